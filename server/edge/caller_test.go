package edge

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

func TestCallers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	of := func(id uuid.UUID) string { return bearer(r.token(t, id, nil)) }
	otherKey := r.key(other, "read")
	aal1 := bearer(r.token(t, staff, fiber.Map{"aal": "aal1"}))
	r.do(func() { r.members[membership{staff, haiec.ID}] = "viewer" })
	both := []string{of(owner), "X-API-Key: " + r.readKey}
	for name, c := range map[string]struct {
		method, url string
		headers     []string
		status      int
		code        string
		want        echo // compared where status is 200: kind, role, tenant, SQL role
	}{
		"anonymous":                     {"GET", "haiec.kestrel.ai/api/tenant", nil, 401, "unauthenticated", echo{}},
		"owner":                         {"GET", "haiec.kestrel.ai/api/tenant", []string{of(owner)}, 200, "", echo{Kind: "person", Role: "owner", Tenant: "haiec", SQLRole: "authenticated"}},
		"viewer":                        {"GET", "haiec.kestrel.ai/api/tenant", []string{of(viewer)}, 200, "", echo{Kind: "person", Role: "viewer", Tenant: "haiec", SQLRole: "authenticated"}},
		"another tenant's owner":        {"GET", "haiec.kestrel.ai/api/tenant", []string{of(stranger)}, 403, "not_a_member", echo{}},
		"owner elsewhere":               {"GET", "other-co.kestrel.ai/api/tenant", []string{of(owner)}, 403, "not_a_member", echo{}},
		"header cannot change the host": {"GET", "haiec.kestrel.ai/api/tenant", []string{of(stranger), "X-Kestrel-Tenant: other-co"}, 403, "not_a_member", echo{}},
		"staff is a person on a tenant": {"GET", "haiec.kestrel.ai/api/tenant", []string{of(staff)}, 200, "", echo{Kind: "person", Role: "viewer", Tenant: "haiec", SQLRole: "authenticated"}},
		"staff is no member elsewhere":  {"GET", "other-co.kestrel.ai/api/tenant", []string{of(staff)}, 403, "not_a_member", echo{}},
		"key":                           {"GET", "haiec.kestrel.ai/api/tenant", []string{"X-API-Key: " + r.readKey}, 200, "", echo{Kind: "key", Tenant: "haiec", SQLRole: "kestrel_key"}},
		"key as Bearer":                 {"GET", "haiec.kestrel.ai/api/tenant", []string{bearer(r.readKey)}, 200, "", echo{Kind: "key", Tenant: "haiec", SQLRole: "kestrel_key"}},
		"key of another tenant":         {"GET", "haiec.kestrel.ai/api/tenant", []string{bearer(otherKey)}, 403, "wrong_tenant", echo{}},
		"key on api.":                   {"GET", "api.kestrel.ai/api/tenant", []string{bearer(otherKey)}, 200, "", echo{Kind: "key", Tenant: "other-co", SQLRole: "kestrel_key"}},
		"key on api. with its tenant":   {"GET", "api.kestrel.ai/api/tenant", []string{bearer(otherKey), "X-Kestrel-Tenant: other-co"}, 200, "", echo{Kind: "key", Tenant: "other-co", SQLRole: "kestrel_key"}},
		"key on api. naming another":    {"GET", "api.kestrel.ai/api/tenant", []string{bearer(otherKey), "X-Kestrel-Tenant: haiec"}, 403, "wrong_tenant", echo{}},
		"key as admin":                  {"GET", "admin.kestrel.ai/api/admin/tenants", []string{bearer(r.bothKey)}, 403, "not_a_platform_admin", echo{}},
		"key as admin on api.":          {"GET", "api.kestrel.ai/api/twilio/x", []string{bearer(r.bothKey)}, 403, "not_a_platform_admin", echo{}},
		"unknown key":                   {"GET", "haiec.kestrel.ai/api/tenant", []string{bearer("kst_live_" + strings.Repeat("a", 43))}, 401, "invalid_credentials", echo{}},
		"malformed key":                 {"GET", "haiec.kestrel.ai/api/tenant", []string{bearer("kst_live_' or 1=1")}, 401, "invalid_credentials", echo{}},
		"read key may not write":        {"POST", "haiec.kestrel.ai/api/tenant/write", []string{bearer(r.readKey)}, 403, "insufficient_scope", echo{}},
		"write key may":                 {"POST", "haiec.kestrel.ai/api/tenant/write", []string{bearer(r.bothKey)}, 204, "", echo{}},
		"viewer may not write":          {"POST", "haiec.kestrel.ai/api/tenant/write", []string{of(viewer)}, 403, "forbidden", echo{}},
		"owner may":                     {"POST", "haiec.kestrel.ai/api/tenant/write", []string{of(owner)}, 204, "", echo{}},
		"admin":                         {"GET", "admin.kestrel.ai/api/admin/tenants", []string{of(staff)}, 200, "", echo{Kind: "platform_admin", SQLRole: "kestrel_admin"}},
		"admin on api.":                 {"GET", "api.kestrel.ai/api/admin/tenants", []string{of(staff)}, 200, "", echo{Kind: "platform_admin", SQLRole: "kestrel_admin"}},
		"admin without second factor":   {"GET", "admin.kestrel.ai/api/admin/tenants", []string{aal1}, 403, "mfa_required", echo{}},
		"owner as admin":                {"GET", "admin.kestrel.ai/api/admin/tenants", []string{of(owner)}, 403, "not_a_platform_admin", echo{}},
		"owner as admin on api.":        {"GET", "api.kestrel.ai/api/admin/tenants", []string{of(owner), "X-Kestrel-Tenant: haiec"}, 403, "not_a_platform_admin", echo{}},
		"person on api. names a tenant": {"GET", "api.kestrel.ai/api/tenant", []string{of(owner), "X-Kestrel-Tenant: haiec"}, 200, "", echo{Kind: "person", Role: "owner", Tenant: "haiec", SQLRole: "authenticated"}},
		"person on api. names none":     {"GET", "api.kestrel.ai/api/tenant", []string{of(owner)}, 400, "tenant_required", echo{}},
		"person on api. names another":  {"GET", "api.kestrel.ai/api/tenant", []string{of(owner), "X-Kestrel-Tenant: other-co"}, 404, "tenant_not_found", echo{}},
		"person on api. names nonsense": {"GET", "api.kestrel.ai/api/tenant", []string{of(owner), "X-Kestrel-Tenant: ' or 1=1"}, 404, "tenant_not_found", echo{}},
		"staff on api. is a person":     {"GET", "api.kestrel.ai/api/tenant", []string{of(staff), "X-Kestrel-Tenant: haiec"}, 200, "", echo{Kind: "person", Role: "viewer", Tenant: "haiec", SQLRole: "authenticated"}},
		"staff on api. is no member":    {"GET", "api.kestrel.ai/api/tenant", []string{of(staff), "X-Kestrel-Tenant: other-co"}, 404, "tenant_not_found", echo{}},
		"a job on api., admin":          {"GET", "api.kestrel.ai/api/jobs/1", []string{of(staff)}, 200, "", echo{Kind: "platform_admin", SQLRole: "kestrel_admin"}},
		"a job on api., person":         {"GET", "api.kestrel.ai/api/jobs/1", []string{of(owner)}, 400, "tenant_required", echo{}},
		"a job on api., person, named":  {"GET", "api.kestrel.ai/api/jobs/1", []string{of(owner), "X-Kestrel-Tenant: haiec"}, 200, "", echo{Kind: "person", Role: "owner", Tenant: "haiec", SQLRole: "authenticated"}},
		"two credentials":               {"GET", "haiec.kestrel.ai/api/tenant", both, 401, "ambiguous_credentials", echo{}},
		"two Authorizations":            {"GET", "haiec.kestrel.ai/api/tenant", []string{of(owner), of(viewer)}, 401, "ambiguous_credentials", echo{}},
		"Basic":                         {"GET", "haiec.kestrel.ai/api/tenant", []string{"Authorization: Basic YTpi"}, 401, "invalid_credentials", echo{}},
		"no token":                      {"GET", "haiec.kestrel.ai/api/tenant", []string{"Authorization: Bearer"}, 401, "invalid_credentials", echo{}},
		"Supabase key":                  {"GET", "haiec.kestrel.ai/api/tenant", []string{bearer("sb_secret_x")}, 401, "invalid_credentials", echo{}},
		"token in the query":            {"GET", "haiec.kestrel.ai/api/tenant?access_token=" + r.token(t, owner, nil), nil, 401, "unauthenticated", echo{}},
		"sign-in passes the public key": {"POST", "haiec.kestrel.ai/auth/v1/token", []string{bearer("sb_publishable_x")}, 200, "", echo{Kind: "anonymous", Tenant: "haiec", SQLRole: "anon"}},
	} {
		a := r.ask(t, c.method, c.url, c.headers...)
		if a.status != c.status || a.problem.Code != c.code {
			t.Errorf("%s: %d %q, want %d %q", name, a.status, a.problem.Code, c.status, c.code)
			continue
		}
		if got := (echo{Kind: a.echo.Kind, Role: a.echo.Role, Tenant: a.echo.Tenant, SQLRole: a.echo.SQLRole}); a.status == 200 && got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if a.status == 401 && a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	if log := r.log.String(); strings.Contains(log, "eyJ") || strings.Contains(log, "access_token") || strings.Contains(log, r.readKey) || strings.Contains(log, "@x.test") {
		t.Error("the log holds a secret or an address")
	}
}

// Over HTTP, every token attack is a 401, on a tenant's host and for an admin.
func TestTokenAttacksOverHTTP(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits[ClassIP] = PerMinute(1000) })
	enc := base64.RawURLEncoding.EncodeToString
	part := func(v any) string { b, _ := json.Marshal(v); return enc(b) }
	good := r.token(t, staff, nil)
	sections := strings.Split(good, ".")
	claims := r.claims(staff, nil)
	point, _ := r.signer.PublicKey.Bytes()
	confused, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(point)
	if err != nil {
		t.Fatal(err)
	}
	attacks := map[string]string{
		"none": part(fiber.Map{"alg": "none"}) + "." + part(claims) + ".", "nOnE": part(fiber.Map{"alg": "nOnE"}) + "." + part(claims) + ".AA",
		"HS confusion": confused, "r = s = 0": sections[0] + "." + sections[1] + "." + enc(make([]byte, 64)), "no signature": sections[0] + "." + sections[1] + ".",
		"jwk":       part(fiber.Map{"alg": "ES256", "kid": "k1", "jwk": fiber.Map{"kty": "EC"}}) + "." + sections[1] + "." + sections[2],
		"jku":       part(fiber.Map{"alg": "ES256", "kid": "k1", "jku": "http://127.0.0.1:9/"}) + "." + sections[1] + "." + sections[2],
		"kid path":  part(fiber.Map{"alg": "ES256", "kid": "../../dev/null"}) + "." + sections[1] + "." + sections[2],
		"kid array": part(fiber.Map{"alg": "ES256", "kid": []string{"k1"}}) + "." + sections[1] + "." + sections[2],
		"wrong aud": r.token(t, staff, fiber.Map{"aud": "x"}), "wrong iss": r.token(t, staff, fiber.Map{"iss": "x"}),
		"expired": r.token(t, staff, fiber.Map{"exp": time.Now().Unix() - 60}), "not yet": r.token(t, staff, fiber.Map{"nbf": time.Now().Unix() + 60}),
		"service": r.token(t, staff, fiber.Map{"role": "service_role"}), "anon": r.token(t, staff, fiber.Map{"role": "anon"}),
		"10 KB":   r.token(t, staff, fiber.Map{"user_metadata": strings.Repeat("x", 10<<10)}),
		"garbage": "\x01\x02\xff", "dots": "...", "one dot": "a.b", "percent": "%00%00", "JSON": `{"alg":"none"}`,
	}
	for name, token := range attacks {
		for _, url := range []string{"admin.kestrel.ai/api/admin/tenants", "haiec.kestrel.ai/api/tenant", "api.kestrel.ai/api/tenant"} {
			res := r.raw(t, "GET /"+strings.SplitN(url, "/", 2)[1]+" HTTP/1.1\r\nHost: "+strings.SplitN(url, "/", 2)[0]+"\r\nAuthorization: Bearer "+token+"\r\n\r\n")
			// A byte that no header may hold is refused before it is a token.
			if want := 401; res.StatusCode != want && (name != "garbage" || res.StatusCode != 400) {
				t.Errorf("%s on %s: %d", name, url, res.StatusCode)
			}
		}
	}
	if res := r.raw(t, "GET /api/tenant HTTP/1.1\r\nHost: haiec.kestrel.ai\r\nAuthorization: Bearer "+strings.Repeat("x", 64<<10)+"\r\n\r\n"); res.StatusCode != 401 {
		t.Errorf("64 KB token: %d", res.StatusCode)
	}
}

func TestRemovalActsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	person, key := bearer(r.token(t, viewer, nil)), bearer(r.readKey)
	admin := bearer(r.token(t, staff, nil))
	ask := func(want int, url, as string) {
		t.Helper()
		if a := r.ask(t, "GET", url, as); a.status != want {
			t.Errorf("%s: %d, want %d", url, a.status, want)
		}
	}
	ask(200, "haiec.kestrel.ai/api/tenant", person)
	ask(200, "haiec.kestrel.ai/api/tenant", key)
	ask(200, "admin.kestrel.ai/api/admin/x", admin)

	asked := r.asked
	ask(200, "haiec.kestrel.ai/api/tenant", person)
	if r.asked != asked {
		t.Error("membership was looked up again")
	}
	hash, _ := HashKey(r.readKey)
	keyID := r.keys[hash].ID
	r.do(func() {
		delete(r.members, membership{viewer, haiec.ID})
		delete(r.keys, hash)
		delete(r.admins, staff)
	})
	r.edge.Invalidate("member", viewer, haiec.ID)
	r.edge.Invalidate("key", keyID, haiec.ID)
	r.edge.Invalidate("admin", staff, uuid.Nil)
	ask(403, "haiec.kestrel.ai/api/tenant", person)
	ask(401, "haiec.kestrel.ai/api/tenant", key)
	ask(403, "admin.kestrel.ai/api/admin/x", admin)

	r.do(func() { delete(r.slugs, "haiec") })
	r.edge.Invalidate("tenant", haiec.ID, haiec.ID)
	ask(404, "haiec.kestrel.ai/api/tenant", bearer(r.token(t, owner, nil)))
	ask(404, "api.kestrel.ai/api/tenant", bearer(r.bothKey))
}

func TestFirstVisitLinksMembership(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	newcomer := uuid.New()
	r.do(func() { r.waiting["invited@x.test"] = membership{tenant: haiec.ID} })
	if a := r.ask(t, "GET", "haiec.kestrel.ai/api/tenant", bearer(r.token(t, newcomer, fiber.Map{"email": "invited@x.test"}))); a.status != 200 || a.echo.Role != "member" {
		t.Errorf("%d %+v", a.status, a.problem)
	}
	if a := r.ask(t, "GET", "admin.kestrel.ai/api/admin/x", bearer(r.token(t, uuid.New(), fiber.Map{"email": "staff@x.test"}))); a.status != 200 || a.echo.Kind != "platform_admin" {
		t.Errorf("staff by address: %d %+v", a.status, a.problem)
	}
}

func TestDatabaseDownIs503(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.do(func() { r.err = errors.New("password=hunter2 connection refused") })
	for _, as := range []string{bearer(r.token(t, owner, nil)), bearer(r.readKey)} {
		a := r.ask(t, "GET", "haiec.kestrel.ai/api/tenant", as)
		if a.status != 503 || a.header.Get("Retry-After") == "" || strings.Contains(a.body, "hunter2") {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

func TestExpiredKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hash, _ := HashKey(r.readKey)
	r.do(func() { k := r.keys[hash]; k.ExpiresAt = time.Now().Add(-time.Second); r.keys[hash] = k })
	if a := r.ask(t, "GET", "haiec.kestrel.ai/api/tenant", bearer(r.readKey)); a.status != 401 {
		t.Errorf("%d", a.status)
	}
}

func TestLastUseIsCoalesced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 3 {
		r.ask(t, "GET", "haiec.kestrel.ai/api/tenant", bearer(r.readKey))
	}
	if r.touched != nil {
		t.Error("stored before the flush")
	}
	r.do(func() { r.err = errors.New("down") })
	r.edge.flushKeys(t.Context())
	r.do(func() { r.err, r.touched = nil, nil })
	r.edge.flushKeys(t.Context())
	if len(r.touched) != 1 {
		t.Errorf("stored %d keys after a failed flush, want 1", len(r.touched))
	}
}

func TestNewKey(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		plain, prefix, hash := NewKey()
		again, err := HashKey(plain)
		if err != nil || again != hash || !strings.HasPrefix(plain, prefix) || len(prefix) != 13 || len(plain) != 52 || seen[plain] {
			t.Fatalf("%s %s %v", plain, prefix, err)
		}
		seen[plain] = true
	}
}

func TestRememberedAnswersRace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{members: map[membership]string{{owner, haiec.ID}: "owner"}}
		s := newStanding(w, time.Now)
		release, reading := make(chan struct{}), make(chan struct{})
		slow := slowDirectory{w, reading, release}
		s.directory = slow
		go func() { _, _ = s.member(t.Context(), owner, haiec.ID, "") }()
		<-reading // it has read "owner"
		w.do(func() { delete(w.members, membership{owner, haiec.ID}) })
		s.directory = w
		s.forgetMembers(owner, haiec.ID)
		close(release)
		synctest.Wait()
		if role, err := s.member(t.Context(), owner, haiec.ID, ""); role != "" || err != nil {
			t.Errorf("a removed membership came back: %q %v", role, err)
		}
	})
}
