package supabase

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	testIssuer = "http://auth.test/auth/v1"
	testSecret = "super-secret-jwt-token-with-at-least-32-characters"
	testPerson = "0198c0de-0000-7000-8000-000000000001"
)

// authority is an Auth server's keys and JWKS endpoint.
type authority struct {
	ec      *ecdsa.PrivateKey
	rsa     *rsa.PrivateKey
	url     string
	fetches atomic.Int64
	down    atomic.Bool
	kid     atomic.Pointer[string]
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	a.kid.Store(new("key-1"))
	var err error
	if a.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if a.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		a.fetches.Add(1)
		if a.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		point := point(a.ec)
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{
			map[string]any{"kty": "EC", "crv": "P-256", "kid": *a.kid.Load(), "alg": "ES256", "use": "sig", "x": b64(point[1:33]), "y": b64(point[33:])},
			map[string]any{"kty": "RSA", "kid": "rsa-1", "n": b64(a.rsa.N.Bytes()), "e": b64(big.NewInt(int64(a.rsa.E)).Bytes())},
			map[string]any{"kty": "oct", "kid": "oct-1", "k": b64([]byte(testSecret))},
			map[string]any{"kty": "EC", "crv": "P-256", "kid": "off-curve", "x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))},
		}})
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

func (a *authority) config() VerifierConfig {
	return VerifierConfig{Issuer: testIssuer, Algs: []string{"ES256", "RS256", "HS256"}, JWKSURL: a.url, HS256Secret: testSecret}
}

func (a *authority) verifier(t testing.TB, change ...func(*VerifierConfig)) *Verifier {
	t.Helper()
	cfg := a.config()
	for _, f := range change {
		f(&cfg)
	}
	v, err := NewVerifier(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// point is the public key as 4, x, y.
func point(key *ecdsa.PrivateKey) []byte {
	b, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return b
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

type jwtObject = map[string]any

func claimsWith(change jwtObject) jwtObject {
	now := time.Now().Unix()
	c := jwtObject{"iss": testIssuer, "aud": "authenticated", "sub": testPerson, "role": "authenticated", "email": "a@haiec.com", "aal": "aal1",
		"session_id": "s-1", "iat": now, "exp": now + 3600, "app_metadata": jwtObject{"provider": "email"}, "is_anonymous": false}
	for k, v := range change {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func marshal(v any) []byte {
	if raw, ok := v.(string); ok {
		return []byte(raw)
	}
	b, _ := json.Marshal(v)
	return b
}

// sign makes a token of any header and payload (text is taken as is) with any key.
func sign(t testing.TB, method jwt.SigningMethod, key crypto.PrivateKey, header, payload any) string {
	t.Helper()
	signed := b64(marshal(header)) + "." + b64(marshal(payload))
	sig, err := method.Sign(signed, key)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + b64(sig)
}

func (a *authority) es256(t testing.TB, header, claims jwtObject) string {
	t.Helper()
	h := jwtObject{"alg": "ES256", "typ": "JWT", "kid": *a.kid.Load()}
	for k, v := range header {
		if h[k] = v; v == nil {
			delete(h, k)
		}
	}
	return sign(t, jwt.SigningMethodES256, a.ec, h, claimsWith(claims))
}

func hs256(t testing.TB, secret string, claims jwtObject) string {
	t.Helper()
	return sign(t, jwt.SigningMethodHS256, []byte(secret), jwtObject{"alg": "HS256", "typ": "JWT"}, claimsWith(claims))
}

func TestVerify(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	v := a.verifier(t)
	for name, token := range map[string]string{
		"ES256":         a.es256(t, nil, nil),
		"RS256":         sign(t, jwt.SigningMethodRS256, a.rsa, jwtObject{"alg": "RS256", "kid": "rsa-1"}, claimsWith(nil)),
		"HS256":         hs256(t, testSecret, nil),
		"HS256 and kid": sign(t, jwt.SigningMethodHS256, []byte(testSecret), jwtObject{"alg": "HS256", "kid": "legacy", "typ": "JWT"}, claimsWith(nil)),
		"leeway":        a.es256(t, nil, jwtObject{"exp": time.Now().Unix() - 20, "nbf": time.Now().Unix() + 20}),
		"several aud":   a.es256(t, nil, jwtObject{"aud": []string{"x", "authenticated"}}),
	} {
		for range 2 { // the second time from the cache
			c, err := v.Verify(t.Context(), token)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if c.Subject.String() != testPerson || c.Email != "a@haiec.com" || c.AAL != "aal1" || c.SessionID != "s-1" || !json.Valid(c.Raw) {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}

// Every attack is ErrToken: 401, never a panic, never another error.
func TestTokenAttacks(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	v := a.verifier(t)
	es := func(h, c jwtObject) string { return a.es256(t, h, c) }
	raw := func(payload string) string {
		return sign(t, jwt.SigningMethodES256, a.ec, jwtObject{"alg": "ES256", "kid": "key-1"}, payload)
	}
	unsigned := func(header any) string { return b64(marshal(header)) + "." + b64(marshal(claimsWith(nil))) + "." }
	now := time.Now().Unix()
	good := es(nil, nil)
	parts := strings.Split(good, ".")
	der, _ := x509.MarshalPKIXPublicKey(&a.rsa.PublicKey)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	ecDER, _ := x509.MarshalPKIXPublicKey(&a.ec.PublicKey)
	evil, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	evilJWK := jwtObject{"kty": "EC", "crv": "P-256", "x": b64(point(evil)[1:33]), "y": b64(point(evil)[33:])}
	evilly := func(h jwtObject) string {
		h["alg"] = "ES256"
		return sign(t, jwt.SigningMethodES256, evil, h, claimsWith(nil))
	}
	hsWith := func(key []byte, kid string) string {
		return sign(t, jwt.SigningMethodHS256, key, jwtObject{"alg": "HS256", "kid": kid}, claimsWith(nil))
	}
	body := string(marshal(claimsWith(nil)))

	attacks := map[string]string{
		"empty": "", "dots": "..", "one part": "abc", "four parts": good + ".x", "garbage": "\x00\xff.\x01.\x02", "spaces": " " + good, "padding": good + "=",
		"64 KB":             es(nil, jwtObject{"user_metadata": strings.Repeat("x", 64<<10)}),
		"64 KB of dots":     strings.Repeat(".", 64<<10),
		"alg none":          unsigned(jwtObject{"alg": "none", "typ": "JWT"}) + b64([]byte("x")),
		"alg none unsigned": unsigned(jwtObject{"alg": "none"}),
		"alg None":          unsigned(jwtObject{"alg": "None"}) + "AA", "alg NONE": unsigned(jwtObject{"alg": "NONE"}) + "AA", "alg nOnE": unsigned(jwtObject{"alg": "nOnE"}) + "AA",
		"alg empty": unsigned(jwtObject{"alg": ""}) + "AA", "alg missing": unsigned(jwtObject{"kid": "key-1"}) + "AA", "alg null": unsigned(`{"alg":null}`) + "AA", "alg array": unsigned(`{"alg":["ES256"]}`) + "AA",
		"alg es256":             es(jwtObject{"alg": "es256"}, nil),
		"alg ES384":             es(jwtObject{"alg": "ES384"}, nil),
		"alg PS256":             es(jwtObject{"alg": "PS256", "kid": "rsa-1"}, nil),
		"signature stripped":    parts[0] + "." + parts[1] + ".",
		"signature of another":  parts[0] + "." + b64(marshal(claimsWith(jwtObject{"sub": "0198c0de-0000-7000-8000-000000000002"}))) + "." + parts[2],
		"HS by RSA PEM":         hsWith(public, "rsa-1"),
		"HS by RSA DER":         hsWith(der, "rsa-1"),
		"HS by EC DER":          hsWith(ecDER, "key-1"),
		"HS by EC point":        hsWith(point(a.ec), "key-1"),
		"HS by empty secret":    hsWith([]byte{}, "oct-1"),
		"EC token for RSA key":  es(jwtObject{"kid": "rsa-1"}, nil),
		"RS alg on EC key":      sign(t, jwt.SigningMethodRS256, a.rsa, jwtObject{"alg": "RS256", "kid": "key-1"}, claimsWith(nil)),
		"symmetric key in JWKS": es(jwtObject{"kid": "oct-1"}, nil),
		"embedded jwk":          evilly(jwtObject{"kid": "key-1", "jwk": evilJWK}),
		"embedded jwk, own":     es(jwtObject{"jwk": evilJWK}, nil),
		"jku":                   evilly(jwtObject{"kid": "key-1", "jku": "http://127.0.0.1:1/jwks.json"}),
		"x5u":                   es(jwtObject{"x5u": "http://127.0.0.1:1/"}, nil), "x5c": es(jwtObject{"x5c": []string{"MII"}}, nil),
		"crit": es(jwtObject{"crit": []string{"exp"}}, nil), "b64": es(jwtObject{"b64": false}, nil), "zip": es(jwtObject{"zip": "DEF"}, nil),
		"kid path": evilly(jwtObject{"kid": "../../../../dev/null"}), "kid SQL": evilly(jwtObject{"kid": "' union select 'x'--"}),
		"kid empty": es(jwtObject{"kid": ""}, nil), "kid missing": es(jwtObject{"kid": nil}, nil), "kid array": es(jwtObject{"kid": []string{"key-1"}}, nil),
		"kid number": es(jwtObject{"kid": 1}, nil), "kid null": sign(t, jwt.SigningMethodES256, a.ec, `{"alg":"ES256","kid":null}`, claimsWith(nil)),
		"kid NUL": es(jwtObject{"kid": "key-1\x00"}, nil), "kid long": evilly(jwtObject{"kid": strings.Repeat("k", 4000)}), "kid off curve": evilly(jwtObject{"kid": "off-curve"}),
		"kid of another key": evilly(jwtObject{"kid": "key-1"}),
		"typ":                es(jwtObject{"typ": "at+jwt"}, nil),
		"duplicate header":   sign(t, jwt.SigningMethodES256, a.ec, `{"alg":"none","alg":"ES256","kid":"key-1"}`, claimsWith(nil)),
		"duplicate claim":    raw(`{"sub":"` + testPerson + `",` + body[1:]),
		"duplicate, escaped": raw(`{"s\u0075b":"` + testPerson + `",` + body[1:]),
		"duplicate, nested":  raw(`{"x":{"y":1,"y":2},` + body[1:]),
		"case variant only":  raw(strings.Replace(body, `"sub"`, `"SUB"`, 1)),
		"text after":         raw(body + "{}"),
		"space after":        raw(body + " "),
		"array payload":      raw("[" + body + "]"),
		"null payload":       raw("null"),
		"number payload":     raw("1"),
		"string payload":     raw(`"x"`),
		"empty payload":      raw(""),
		"deep payload":       raw(strings.Repeat("[", 3000) + strings.Repeat("]", 3000)),
		"bad UTF-8":          raw(`{"x":"` + "\xff" + `",` + body[1:]),
		"NUL for jsonb":      raw(`{"x":"\u0000",` + body[1:]),
		"wrong aud":          es(nil, jwtObject{"aud": "other"}),
		"aud missing":        es(nil, jwtObject{"aud": nil}), "aud number": es(nil, jwtObject{"aud": 1}), "aud others": es(nil, jwtObject{"aud": []string{"x"}}),
		"wrong iss": es(nil, jwtObject{"iss": "https://evil.supabase.co/auth/v1"}), "iss missing": es(nil, jwtObject{"iss": nil}), "iss array": es(nil, jwtObject{"iss": []string{testIssuer}}),
		"expired": es(nil, jwtObject{"exp": now - 31}), "exp missing": es(nil, jwtObject{"exp": nil}), "exp text": es(nil, jwtObject{"exp": fmt.Sprint(now + 60)}),
		"exp huge": raw(strings.Replace(body, `"exp":`, `"exp":1e999,"y":`, 1)), "exp negative": es(nil, jwtObject{"exp": -1}), "exp null": raw(strings.Replace(body, `"exp":`, `"exp":null,"y":`, 1)),
		"not yet valid":    es(nil, jwtObject{"nbf": now + 60}),
		"nbf text":         es(nil, jwtObject{"nbf": "soon"}),
		"issued in future": es(nil, jwtObject{"iat": now + 3600}),
		"sub missing":      es(nil, jwtObject{"sub": nil}), "sub empty": es(nil, jwtObject{"sub": ""}), "sub nil": es(nil, jwtObject{"sub": "00000000-0000-0000-0000-000000000000"}),
		"sub urn": es(nil, jwtObject{"sub": "urn:uuid:" + testPerson}), "sub SQL": es(nil, jwtObject{"sub": "' or 1=1 --"}), "sub number": es(nil, jwtObject{"sub": 7}),
		"anon key": hs256(t, testSecret, jwtObject{"role": "anon", "sub": nil}), "service_role": hs256(t, testSecret, jwtObject{"role": "service_role"}),
		"role missing": es(nil, jwtObject{"role": nil}), "role kestrel_admin": es(nil, jwtObject{"role": "kestrel_admin"}), "anonymous sign-in": es(nil, jwtObject{"is_anonymous": true}),
		"r = s = 0": parts[0] + "." + parts[1] + "." + b64(make([]byte, 64)),
		"r = s = n": parts[0] + "." + parts[1] + "." + b64(append(elliptic.P256().Params().N.Bytes(), elliptic.P256().Params().N.Bytes()...)),
		"DER signature": func() string {
			sig, _ := a.ec.Sign(rand.Reader, make([]byte, 32), crypto.SHA256)
			return parts[0] + "." + parts[1] + "." + b64(sig)
		}(),
	}
	for name, token := range attacks {
		if c, err := v.Verify(t.Context(), token); !errors.Is(err, ErrToken) || c != nil {
			t.Errorf("%s: claims %v, error %v", name, c, err)
		} else if strings.Contains(err.Error(), testPerson) || len(err.Error()) > 200 {
			t.Errorf("%s: the error says too much: %v", name, err)
		}
	}
	for _, role := range []string{"anon key", "service_role", "anonymous sign-in"} {
		if role == "anon key" {
			continue // it also has no subject; which of both is said first does not matter
		}
		if _, err := v.Verify(t.Context(), attacks[role]); !errors.Is(err, ErrNotPerson) {
			t.Errorf("%s: %v", role, err)
		}
	}
}

func TestAlgorithmsArePinned(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	asymmetric := a.verifier(t, func(c *VerifierConfig) { c.Algs = []string{"ES256"} })
	if _, err := asymmetric.Verify(t.Context(), hs256(t, testSecret, nil)); !errors.Is(err, ErrToken) {
		t.Errorf("HS256 where only ES256 is configured: %v", err)
	}
	legacy := a.verifier(t, func(c *VerifierConfig) { c.Algs = []string{"HS256"} })
	if _, err := legacy.Verify(t.Context(), a.es256(t, nil, nil)); !errors.Is(err, ErrToken) {
		t.Errorf("ES256 where only HS256 is configured: %v", err)
	}
	for name, change := range map[string]func(*VerifierConfig){
		"none":         func(c *VerifierConfig) { c.Algs = []string{"none"} },
		"no alg":       func(c *VerifierConfig) { c.Algs = nil },
		"no issuer":    func(c *VerifierConfig) { c.Issuer = "" },
		"short secret": func(c *VerifierConfig) { c.HS256Secret = "secret" },
		"no JWKS":      func(c *VerifierConfig) { c.JWKSURL = "" },
	} {
		cfg := a.config()
		change(&cfg)
		if _, err := NewVerifier(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestUnknownKeysCannotStormTheJWKS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	var offset atomic.Int64
	v := a.verifier(t, func(c *VerifierConfig) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	})
	if _, err := v.Verify(t.Context(), a.es256(t, nil, nil)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 200 {
		token := a.es256(t, jwtObject{"kid": fmt.Sprintf("random-%d", i)}, nil)
		wg.Go(func() {
			if _, err := v.Verify(context.Background(), token); !errors.Is(err, ErrToken) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := a.fetches.Load(); n != 1 {
		t.Errorf("%d fetches for 200 unknown keys within the interval, want the first only", n)
	}
	a.kid.Store(new("key-2")) // rotation
	offset.Store(int64(11 * time.Second))
	if _, err := v.Verify(t.Context(), a.es256(t, nil, nil)); err != nil || a.fetches.Load() != 2 {
		t.Errorf("after rotation: %v, %d fetches", err, a.fetches.Load())
	}
}

func TestJWKSOutage(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.down.Store(true)
	var offset atomic.Int64
	v := a.verifier(t, func(c *VerifierConfig) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	})
	if _, err := v.Verify(t.Context(), a.es256(t, nil, nil)); !errors.Is(err, ErrKeysUnavailable) || errors.Is(err, ErrToken) {
		t.Fatalf("no keys yet: %v", err)
	}
	a.down.Store(false)
	offset.Store(int64(2 * time.Second))
	if _, err := v.Verify(t.Context(), a.es256(t, nil, nil)); err != nil {
		t.Fatalf("recovered: %v", err)
	}
	a.down.Store(true)
	offset.Store(int64(time.Minute))
	if _, err := v.Verify(t.Context(), a.es256(t, jwtObject{"kid": "new"}, nil)); !errors.Is(err, ErrToken) {
		t.Errorf("unknown kid in an outage: %v", err)
	}
	if _, err := v.Verify(t.Context(), a.es256(t, nil, jwtObject{"jti": "another"})); err != nil {
		t.Errorf("the keys were not kept: %v", err)
	}
}

func TestVerifiedTokensExpireInTheCache(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	var offset atomic.Int64
	v := a.verifier(t, func(c *VerifierConfig) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	})
	token := a.es256(t, nil, jwtObject{"exp": time.Now().Unix() + 20})
	if _, err := v.Verify(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	offset.Store(int64(55 * time.Second))
	if _, err := v.Verify(t.Context(), token); !errors.Is(err, ErrToken) {
		t.Errorf("served past its expiry: %v", err)
	}
}

func TestTokenCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c tokenCache
	now := time.Now()
	for range 50_000 {
		var id [32]byte
		_, _ = rand.Read(id[:])
		c.put(id, &Claims{ExpiresAt: now.Add(time.Hour)}, now)
	}
	n := 0
	for i := range c.shards {
		n += len(c.shards[i].entries)
	}
	if n > tokenCacheShards*tokenCacheLimit {
		t.Errorf("%d entries", n)
	}
}

func FuzzVerify(f *testing.F) {
	a := newAuthority(f)
	v := a.verifier(f)
	f.Add(a.es256(f, nil, nil) + "x")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := v.Verify(t.Context(), token); err != nil && !errors.Is(err, ErrToken) {
			t.Fatal(err)
		}
	})
}

func benchmarkVerify(b *testing.B, cached bool, token func(*authority) string) {
	a := newAuthority(b)
	v, t := a.verifier(b), token(a)
	if _, err := v.Verify(b.Context(), t); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !cached {
			if _, err := v.verify(b.Context(), t, time.Now()); err != nil {
				b.Fatal(err)
			}
		} else if _, err := v.Verify(b.Context(), t); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyCached(b *testing.B) {
	benchmarkVerify(b, true, func(a *authority) string { return a.es256(b, nil, nil) })
}

func BenchmarkVerifyES256(b *testing.B) {
	benchmarkVerify(b, false, func(a *authority) string { return a.es256(b, nil, nil) })
}

func BenchmarkVerifyHS256(b *testing.B) {
	benchmarkVerify(b, false, func(*authority) string { return hs256(b, testSecret, nil) })
}
