package isolation_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"kestrel.ai/server/api/apitest"
)

func enc(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// hs256 signs with a secret that everybody knows.
func hs256(header, payload string, secret []byte) string {
	signed := enc(header) + "." + enc(payload)
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + enc(string(mac.Sum(nil)))
}

// forgeries are tokens that are nobody's, made for somebody who has every right.
func forgeries(t *testing.T, w *apitest.World, claims jwt.MapClaims) map[string]string {
	t.Helper()
	encoded, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	payload, good := string(encoded), apitest.TokenHeader
	with := func(pairs ...any) string {
		changed := maps.Clone(claims)
		for name, value := range body(pairs...) {
			if changed[name] = value; value == nil {
				delete(changed, name)
			}
		}
		return w.Sign(good, changed)
	}
	der, err := x509.MarshalPKIXPublicKey(w.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	published := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	point, err := w.PublicKey().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	minePoint, err := mine.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(method jwt.SigningMethod, header string, key any) string {
		signed := enc(header) + "." + enc(payload)
		signature, err := method.Sign(signed, key)
		if err != nil {
			t.Fatal(err)
		}
		return signed + "." + enc(string(signature))
	}
	jwk := fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"mine","x":%q,"y":%q}`, enc(string(minePoint[1:33])), enc(string(minePoint[33:])))
	signed := w.Sign(good, payload)
	head, _, _ := strings.Cut(signed, ".")
	now := time.Now()
	out := map[string]string{
		"alg none":                   enc(`{"alg":"none"}`) + "." + enc(payload) + ".",
		"alg None, a signature":      enc(`{"alg":"None"}`) + "." + enc(payload) + ".AAAA",
		"no alg":                     w.Sign(`{"kid":"k1"}`, payload),
		"HS256 by the public PEM":    hs256(`{"alg":"HS256","kid":"k1"}`, payload, published),
		"HS256 by the public DER":    hs256(`{"alg":"HS256","kid":"k1"}`, payload, der),
		"HS256 by the public point":  hs256(`{"alg":"HS256","kid":"k1"}`, payload, point),
		"HS256 by nothing":           hs256(`{"alg":"HS256"}`, payload, nil),
		"RS256 by a stranger":        sign(jwt.SigningMethodRS256, `{"alg":"RS256","kid":"k1"}`, rsaKey),
		"ES256 by a stranger":        sign(jwt.SigningMethodES256, good, mine),
		"ES256 as ES384":             w.Sign(`{"alg":"ES384","kid":"k1"}`, payload),
		"an embedded jwk":            sign(jwt.SigningMethodES256, `{"alg":"ES256","kid":"mine","jwk":`+jwk+`}`, mine),
		"a good one with a jwk":      w.Sign(`{"alg":"ES256","kid":"k1","jwk":`+jwk+`}`, payload),
		"a jku":                      sign(jwt.SigningMethodES256, `{"alg":"ES256","kid":"mine","jku":"`+w.URL+`/jwks"}`, mine),
		"an x5u":                     sign(jwt.SigningMethodES256, `{"alg":"ES256","kid":"mine","x5u":"`+w.URL+`/cert"}`, mine),
		"crit":                       w.Sign(`{"alg":"ES256","kid":"k1","crit":["b64"],"b64":false}`, payload),
		"an unknown kid":             sign(jwt.SigningMethodES256, `{"alg":"ES256","kid":"k2"}`, mine),
		"no kid":                     sign(jwt.SigningMethodES256, `{"alg":"ES256"}`, mine),
		"a kid that is a path":       sign(jwt.SigningMethodES256, `{"alg":"ES256","kid":"../../../../dev/null"}`, mine),
		"a kid that is SQL":          sign(jwt.SigningMethodES256, `{"alg":"ES256","kid":"' or 1=1 --"}`, mine),
		"a kid that is a list":       sign(jwt.SigningMethodES256, `{"alg":"ES256","kid":["k1"]}`, mine),
		"two kids":                   w.Sign(`{"alg":"ES256","kid":"k2","kid":"k1"}`, payload),
		"two algs":                   w.Sign(`{"alg":"none","alg":"ES256","kid":"k1"}`, payload),
		"another issuer":             with("iss", "https://evil.test/auth/v1"),
		"no issuer":                  with("iss", nil),
		"another audience":           with("aud", "anon"),
		"no audience":                with("aud", nil),
		"expired":                    with("exp", now.Add(-time.Minute).Unix()),
		"no expiry":                  with("exp", nil),
		"an expiry as text":          with("exp", "9999999999"),
		"not valid yet":              with("nbf", now.Add(2*time.Minute).Unix()),
		"issued in the future":       with("iat", now.Add(2*time.Minute).Unix()),
		"r = s = 0":                  head + "." + enc(payload) + "." + enc(strings.Repeat("\x00", 64)),
		"an empty signature":         head + "." + enc(payload) + ".",
		"a cut signature":            signed[:len(signed)-6],
		"a changed payload":          head + "." + enc(strings.Replace(payload, "authenticated", "Authenticated", 1)) + signed[strings.LastIndexByte(signed, '.'):],
		"two subjects":               w.Sign(good, `{"sub":"019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51",`+payload[1:]),
		"two roles":                  w.Sign(good, `{"role":"service_role",`+payload[1:]),
		"an escaped twin of sub":     w.Sign(good, `{"\u0073ub":"019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51",`+payload[1:]),
		"service_role":               with("role", "service_role"),
		"anon":                       with("role", "anon", "aud", "anon", "sub", nil),
		"supabase_admin":             with("role", "supabase_admin"),
		"kestrel_admin":              with("role", "kestrel_admin"),
		"an anonymous sign-in":       with("is_anonymous", true),
		"a subject that is no id":    with("sub", "admin"),
		"no subject":                 with("sub", nil),
		"a payload that is a list":   w.Sign(good, `[]`),
		"a payload that is null":     w.Sign(good, `null`),
		"a payload that is no JSON":  w.Sign(good, "\x00\xff"),
		"64 KB of payload":           with("pad", strings.Repeat("x", 47_000)),
		"64 KB of nothing":           strings.Repeat("x", 64_000),
		"many dots":                  strings.Repeat(".", 60_000),
		"deep JSON":                  w.Sign(good, strings.Repeat(`{"a":`, 5_000)+"1"+strings.Repeat("}", 5_000)),
		"five parts (JWE)":           signed + ".AAAA.AAAA",
		"a space within":             strings.Replace(signed, ".", " .", 1),
		"padding":                    signed + "=",
		"a key that is no key":       "kst_live_" + strings.Repeat("A", 43),
		"an empty key":               "kst_live_",
		"a view that is none":        "kst_view_" + strings.Repeat("A", 43),
		"an empty view":              "kst_view_",
		"a Supabase publishable key": "sb_publishable_0123456789abcdefghijkl",
		"a Supabase secret key":      "sb_secret_0123456789abcdefghijkl",
	}
	return out
}

// TestForgedTokens sends each forgery to every host that takes tokens: 401, and never a 500. A good token of the same
// person opens each of them.
func TestForgedTokens(t *testing.T) {
	t.Parallel()
	w := apitest.New(t, inProduction)
	staff := w.Staff("staff@kestrel.ai")
	c := w.Company("haiec", "+18573825169")
	w.Exec(`insert into tenant_users (tenant_id, user_id, email, role) values ($1, $2, 'staff@kestrel.ai', 'owner')`, c.ID, staff.UserID)
	id := job(w, c.ID, "done", "done").String()
	doors := []struct{ host, path, tenant string }{
		{"haiec" + base, "/api/tenant", ""}, {"haiec" + base, "/api/jobs/" + id, ""}, {"haiec" + base, "/api/jobs/" + id + "/events", ""},
		{"admin" + base, "/api/admin/tenants", ""}, {"admin" + base, "/api/twilio/number-status/+18573825169", ""}, {"admin" + base, "/api/jobs/" + id, ""},
		{"api" + base, "/api/tenant", "haiec"}, {"api" + base, "/api/admin/tenants", ""}, {"api" + base, "/api/jobs/" + id, ""},
	}
	claims := apitest.Claims(staff.UserID, "staff@kestrel.ai")
	tokens := forgeries(t, w, claims)
	for _, door := range doors {
		as := w.Anonymous(door.host)
		if door.tenant != "" {
			as = as.With("X-Kestrel-Tenant", door.tenant)
		}
		if a := as.With("Authorization", "Bearer "+w.Sign(apitest.TokenHeader, claims)).Do("GET", door.path, nil); a.Status != 200 {
			t.Errorf("a good token at %s%s: %d %s", door.host, door.path, a.Status, a.Body)
		}
		for name, token := range tokens {
			for header, value := range map[string]string{"Authorization": "Bearer " + token, "X-Api-Key": token} {
				if header == "X-Api-Key" && !strings.HasPrefix(token, "kst_") && name != "service_role" {
					continue
				}
				a := as.With(header, value).Do("GET", door.path, nil)
				if a.Status != 401 || a.Problem().Code != "invalid_credentials" || a.Header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s in %s at %s%s: %d %.300s", name, header, door.host, door.path, a.Status, a.Body)
				}
				if fault := problemFault(a.Status, a.Header.Get("Content-Type"), a.Body); fault != "" {
					t.Errorf("%s in %s at %s%s: %s", name, header, door.host, door.path, fault)
				}
			}
		}
	}
	t.Logf("%d forgeries at %d doors", len(tokens), len(doors))
}
