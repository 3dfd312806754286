package local_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"kestrel.ai/supabase/local"
)

func (s *stack) getUser(token string) answer {
	s.t.Helper()
	return s.do(request{method: "GET", path: "/auth/v1/user", token: token})
}

func (s *stack) post(path string, body any) answer {
	s.t.Helper()
	return s.do(request{method: "POST", path: "/auth/v1" + path, body: body})
}

type anyMap = map[string]any

func TestTokenHasThePlatformsClaims(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	id := s.user("a@example.com")
	token := s.signIn("a@example.com").str("access_token")
	parts := strings.Split(token, ".")
	var header, claims anyMap
	for i, into := range []*anyMap{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		must(t, err)
		must(t, json.Unmarshal(raw, into))
	}
	if len(header) != 3 || header["alg"] != "ES256" || header["typ"] != "JWT" || header["kid"] == "" {
		t.Errorf("header %v", header)
	}
	want := []string{"aal", "amr", "app_metadata", "aud", "email", "exp", "iat", "is_anonymous", "iss", "phone", "role", "session_id", "sub", "user_metadata"}
	for _, name := range want {
		if _, ok := claims[name]; !ok {
			t.Errorf("claim %s is missing", name)
		}
	}
	if len(claims) != len(want) || claims["iss"] != s.base+"/auth/v1" || claims["aud"] != "authenticated" || claims["sub"] != id ||
		claims["aal"] != "aal1" || claims["exp"].(float64)-claims["iat"].(float64) != 3600 {
		t.Errorf("claims %v", claims)
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	id := s.user("a@example.com")
	good := s.signIn("a@example.com").str("access_token")
	s.want(s.getUser(good), 200, "")
	parts := strings.Split(good, ".")
	claims := jwt.MapClaims{}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	must(t, json.Unmarshal(raw, &claims))
	other, err := local.NewSigningKey()
	must(t, err)
	changed := func(key *local.SigningKey, name string, value any) string {
		c := jwt.MapClaims{}
		for k, v := range claims {
			c[k] = v
		}
		c[name] = value
		token, err := key.Sign(c)
		must(t, err)
		return token
	}
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims).SignedString(jwt.UnsafeAllowNoneSignatureType)
	must(t, err)
	hmac, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(parts[0]))
	must(t, err)
	url, err := s.signing.Sign(jwt.MapClaims{"url": "b/k", "use": "get", "sub": id, "exp": time.Now().Add(time.Hour).Unix()})
	must(t, err)
	for name, token := range map[string]string{
		"alg none": none, "HS256": hmac, "another key": changed(other, "aal", "aal2"), "expired": changed(s.signing, "exp", time.Now().Add(-time.Minute).Unix()),
		"another issuer": changed(s.signing, "iss", "http://evil.example/auth/v1"), "another audience": changed(s.signing, "aud", "anon"),
		"no expiry": changed(s.signing, "exp", nil), "no subject": changed(s.signing, "sub", ""), "another's subject": changed(s.signing, "sub", uuid.NewString()),
		"unsigned": parts[0] + "." + parts[1] + ".", "zero signature": parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
		"changed payload": parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"role":"service_role"}`)) + "." + parts[2],
		"a signed URL's":  url, "an API key": s.keys.ServiceJWT, "long": strings.Repeat("a", 100_000), "session": changed(s.signing, "session_id", uuid.NewString()),
		"session of SQL": changed(s.signing, "session_id", "' or true --"),
	} {
		a := s.getUser(token)
		if a.status != 403 && a.status != 431 {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
		if b := s.do(request{method: "GET", path: "/auth/v1/admin/users", key: s.keys.Secret, token: token}); b.status == 200 && name != "an API key" {
			t.Errorf("%s is an admin's", name)
		}
	}
}

func TestRefreshTokensRotate(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.user("a@example.com")
	first := s.signIn("a@example.com")
	second := s.want(s.refresh(first.str("refresh_token")), 200, "")
	// A lost answer: the parent of the newest token leads to that one, now and later.
	s.pass(time.Minute)
	if again := s.want(s.refresh(first.str("refresh_token")), 200, ""); again.str("refresh_token") != second.str("refresh_token") {
		t.Error("the parent did not get the newest token")
	}
	third := s.want(s.refresh(second.str("refresh_token")), 200, "")
	// An older one, a minute after its rotation, is someone's copy: the session ends.
	s.want(s.refresh(first.str("refresh_token")), 400, "refresh_token_already_used")
	s.want(s.refresh(third.str("refresh_token")), 400, "refresh_token_not_found")
	s.want(s.getUser(third.str("access_token")), 403, "session_not_found")

	// Many at once with one token: all in the interval, none fails, and one newest token remains.
	start := s.signIn("a@example.com").str("refresh_token")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { s.want(s.refresh(start), 200, "") })
	}
	wg.Wait()
	var live int
	must(t, s.pool.QueryRow(context.Background(), "select count(*) from auth.refresh_tokens where not revoked").Scan(&live))
	if live != 1 {
		t.Errorf("%d live refresh tokens", live)
	}
}

func TestLogoutScopes(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.user("a@example.com")
	one, two, three := s.signIn("a@example.com"), s.signIn("a@example.com"), s.signIn("a@example.com")
	out := func(a answer, scope string) {
		t.Helper()
		s.want(s.do(request{method: "POST", path: "/auth/v1/logout?scope=" + scope, token: a.str("access_token")}), 204, "")
	}
	out(one, "local")
	s.want(s.refresh(one.str("refresh_token")), 400, "refresh_token_not_found")
	out(two, "others")
	s.want(s.getUser(two.str("access_token")), 200, "")
	s.want(s.getUser(three.str("access_token")), 403, "session_not_found")
	out(two, "global")
	s.want(s.refresh(two.str("refresh_token")), 400, "")
}

func TestMailedTokensWorkOnceForTheirOwner(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.user("a@example.com")
	s.user("b@example.com")
	s.want(s.post("/recover", anyMap{"email": "a@example.com"}), 200, "")
	m := s.lastMail("a@example.com")
	s.want(s.post("/verify", anyMap{"type": "recovery", "email": "b@example.com", "token": m.OTP}), 403, "otp_expired")
	s.want(s.post("/verify", anyMap{"type": "recovery", "email": "b@example.com", "token_hash": m.TokenHash}), 400, "validation_failed")
	s.want(s.post("/verify", anyMap{"type": "signup", "token_hash": m.TokenHash}), 403, "otp_expired")
	s.want(s.post("/verify", anyMap{"type": "email_change", "token_hash": m.TokenHash}), 403, "otp_expired")
	// Of many at once, one wins.
	var wg sync.WaitGroup
	results := make([]int, 6)
	for i := range results {
		wg.Go(func() {
			results[i] = s.post("/verify", anyMap{"type": "recovery", "token_hash": m.TokenHash}).status
		})
	}
	wg.Wait()
	won := 0
	for _, status := range results {
		if status == 200 {
			won++
		}
	}
	if won != 1 {
		t.Errorf("the link worked %d times", won)
	}
	// A newer mail replaces the older one; a new password kills both.
	s.post("/recover", anyMap{"email": "a@example.com"})
	older := s.lastMail("a@example.com")
	s.post("/recover", anyMap{"email": "a@example.com"})
	s.want(s.post("/verify", anyMap{"type": "recovery", "token_hash": older.TokenHash}), 403, "otp_expired")
	token := s.signIn("a@example.com").str("access_token")
	s.want(s.do(request{method: "PUT", path: "/auth/v1/user", token: token, body: anyMap{"password": "another horse"}}), 200, "")
	s.want(s.post("/verify", anyMap{"type": "recovery", "token_hash": s.lastMail("a@example.com").TokenHash}), 403, "otp_expired")
}

func TestAnswersDoNotTellWhoHasAnAccount(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(o *local.AuthOptions) { o.Limits.Off = false })
	s.user("known@example.com")
	for _, path := range []string{"/recover", "/otp", "/resend"} {
		for range 2 { // the second time is over the limit, for both alike
			var answers [2]answer
			for i, email := range []string{"known@example.com", "unknown@example.com"} {
				answers[i] = s.post(path, anyMap{"email": email, "create_user": false, "type": "signup"})
			}
			if answers[0].status != answers[1].status || string(answers[0].raw) != string(answers[1].raw) {
				t.Errorf("%s: %d %s and %d %s", path, answers[0].status, answers[0].raw, answers[1].status, answers[1].raw)
			}
		}
		s.pass(2 * time.Minute)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(o *local.AuthOptions) { o.Limits = local.Limits{Attempts: 3, MailsPerHour: 2} })
	s.user("a@example.com")
	for range 3 {
		s.want(s.post("/token?grant_type=password", anyMap{"email": "a@example.com", "password": "wrong password"}), 400, "invalid_credentials")
	}
	s.want(s.post("/token?grant_type=password", anyMap{"email": "a@example.com", "password": password}), 429, "over_request_rate_limit")
	s.pass(6 * time.Minute)
	s.signIn("a@example.com")
	s.want(s.post("/recover", anyMap{"email": "a@example.com"}), 200, "")
	s.want(s.post("/recover", anyMap{"email": "a@example.com"}), 429, "over_email_send_rate_limit")
	s.want(s.post("/recover", anyMap{"email": "b@example.com"}), 200, "")
	s.want(s.post("/recover", anyMap{"email": "c@example.com"}), 429, "over_email_send_rate_limit")
}

func TestRedirectsStayHome(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.user("a@example.com")
	for to, want := range map[string]string{
		"http://app.localhost:8080/reset?x=1":       "http://app.localhost:8080/reset?x=1",
		"http://acme.localhost:8080/in":             "http://acme.localhost:8080/in",
		"http://evil.example/":                      "http://app.localhost:8080",
		"https://app.localhost:8080/":               "http://app.localhost:8080",
		"http://app.localhost:8080@evil.example/":   "http://app.localhost:8080",
		"http://app.localhost:8080.evil.example/":   "http://app.localhost:8080",
		"http://app.localhost:8081/":                "http://app.localhost:8080",
		"//evil.example/":                           "http://app.localhost:8080",
		`http://evil.example\@app.localhost:8080/`:  "http://app.localhost:8080",
		"javascript:alert(1)//app.localhost:8080":   "http://app.localhost:8080",
		"http://app.localhost:8080/\r\nSet-Cookie:": "http://app.localhost:8080",
		"": "http://app.localhost:8080",
	} {
		link := s.do(request{method: "POST", path: "/auth/v1/admin/generate_link", key: s.keys.Secret,
			body: anyMap{"type": "recovery", "email": "a@example.com", "redirect_to": to}})
		if got := link.str("redirect_to"); got != want {
			t.Errorf("redirect_to %q became %q", to, got)
		}
		// The link itself is in the recipient's hands: what it says is checked again.
		at := s.base + "/auth/v1/verify?" + url.Values{"type": {"recovery"}, "token": {link.str("hashed_token")}, "redirect_to": {to}}.Encode()
		a := s.do(request{method: "GET", path: at, key: "-"})
		if got, _, _ := strings.Cut(a.header.Get("Location"), "#"); a.status != 303 || got != want {
			t.Errorf("verify to %q: %d, %q", to, a.status, got)
		}
	}
}

func TestOddInputIsRefusedWithoutA500(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	id := s.user("a@example.com")
	token := s.signIn("a@example.com").str("access_token")
	odd := []any{"' or 1=1 --", "a@example.com'; drop table auth.users; --", "\u0000", "a\u0000@example.com", strings.Repeat("x", 300) + "@example.com", "‮@example.com", "{}", 1, nil, []int{1}, anyMap{}}
	for _, value := range odd {
		for _, q := range []request{
			{method: "POST", path: "/auth/v1/token?grant_type=password", body: anyMap{"email": value, "password": value}},
			{method: "POST", path: "/auth/v1/token?grant_type=refresh_token", body: anyMap{"refresh_token": value}},
			{method: "POST", path: "/auth/v1/token?grant_type=pkce", body: anyMap{"auth_code": value, "code_verifier": value}},
			{method: "POST", path: "/auth/v1/signup", body: anyMap{"email": value, "password": value}},
			{method: "POST", path: "/auth/v1/verify", body: anyMap{"type": value, "token_hash": value}},
			{method: "POST", path: "/auth/v1/verify", body: anyMap{"type": "recovery", "token_hash": value}},
			{method: "POST", path: "/auth/v1/recover", body: anyMap{"email": value}},
			{method: "PUT", path: "/auth/v1/user", token: token, body: anyMap{"email": value, "data": value, "nonce": value}},
			{method: "POST", path: "/auth/v1/factors", token: token, body: anyMap{"factor_type": "totp", "friendly_name": value, "issuer": value}},
			{method: "POST", path: "/auth/v1/factors/" + id + "/verify", token: token, body: anyMap{"challenge_id": value, "code": value}},
			{method: "POST", path: "/auth/v1/admin/users", key: s.keys.Secret, body: anyMap{"email": value, "id": value, "role": value}},
			{method: "PUT", path: "/auth/v1/admin/users/" + id, key: s.keys.Secret, body: anyMap{"user_metadata": value, "ban_duration": value}},
			{method: "GET", path: "/auth/v1/admin/users?filter=%27%00%25&page=1&per_page=1", key: s.keys.Secret},
			{method: "GET", path: "/auth/v1/verify?type=%00&token=%00%ff", key: "-"},
		} {
			if a := s.do(q); a.status >= 500 {
				t.Errorf("%s %s %v: %d %s", q.method, q.path, q.body, a.status, a.raw)
			}
		}
	}
	s.want(s.post("/signup", `{"email":"`+strings.Repeat("x", 2<<20)+`"}`), 413, "request_entity_too_large")
	s.want(s.signIn("a@example.com"), 200, "")
}

func TestSecondFactor(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.user("a@example.com")
	s.user("b@example.com")
	in := s.signIn("a@example.com")
	stale := s.signIn("a@example.com")
	thief := s.signIn("b@example.com").str("access_token")
	as := func(token, method, path string, body any) answer {
		t.Helper()
		return s.do(request{method: method, path: "/auth/v1" + path, token: token, body: body})
	}
	token := in.str("access_token")
	enrolled := s.want(as(token, "POST", "/factors", anyMap{"factor_type": "totp"}), 200, "")
	path := "/factors/" + enrolled.str("id")
	secret := enrolled.str("totp", "secret")
	challenge := func(token string) string {
		t.Helper()
		return s.want(as(token, "POST", path+"/challenge", nil), 200, "").str("id")
	}
	code := func() string {
		code, err := local.TOTPAt(secret, s.now())
		must(t, err)
		return code
	}
	s.want(as(thief, "POST", path+"/challenge", nil), 404, "mfa_factor_not_found")
	c := challenge(token)
	s.want(as(thief, "POST", path+"/verify", anyMap{"challenge_id": c, "code": code()}), 404, "mfa_factor_not_found")
	used := code()
	strong := s.want(as(token, "POST", path+"/verify", anyMap{"challenge_id": c, "code": used}), 200, "")
	s.want(as(token, "POST", path+"/verify", anyMap{"challenge_id": c, "code": used}), 422, "mfa_factor_not_found")
	s.want(as(token, "POST", path+"/verify", anyMap{"challenge_id": challenge(token), "code": used}), 422, "mfa_verification_failed")
	// What was signed in by password alone is signed out, and an old refresh token gains nothing.
	s.want(s.getUser(stale.str("access_token")), 403, "session_not_found")
	s.want(s.refresh(in.str("refresh_token")), 400, "refresh_token_not_found")
	aal := func(a answer) string {
		t.Helper()
		var claims anyMap
		raw, err := base64.RawURLEncoding.DecodeString(strings.Split(a.str("access_token"), ".")[1])
		must(t, err)
		must(t, json.Unmarshal(raw, &claims))
		return claims["aal"].(string)
	}
	renewed := s.want(s.refresh(strong.str("refresh_token")), 200, "")
	if aal(strong) != "aal2" || aal(renewed) != "aal2" || aal(s.signIn("a@example.com")) != "aal1" {
		t.Error("the assurance level does not follow the session")
	}
	late := challenge(strong.str("access_token"))
	s.pass(10 * time.Minute)
	s.want(as(strong.str("access_token"), "POST", path+"/verify", anyMap{"challenge_id": late, "code": code()}), 422, "mfa_challenge_expired")
	s.want(as(strong.str("access_token"), "DELETE", path, nil), 200, "")
	if got := aal(s.want(s.refresh(renewed.str("refresh_token")), 200, "")); got != "aal1" {
		t.Errorf("%s after the factor is gone", got)
	}
}

func TestAutoConfirmSignsIn(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(o *local.AuthOptions) { o.AutoConfirm = true })
	in := s.want(s.post("/signup", anyMap{"email": "a@example.com", "password": password}), 200, "")
	s.want(s.getUser(in.str("access_token")), 200, "")
	s.want(s.post("/signup", anyMap{"email": "a@example.com", "password": password}), 422, "user_already_exists")
	if s.mailCount() != 0 {
		t.Error("a mail went out")
	}
}

func TestPasswordsAreBcryptAndTablesClosed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.user("a@example.com")
	ctx := context.Background()
	var hash string
	must(t, s.pool.QueryRow(ctx, "select encrypted_password from auth.users").Scan(&hash))
	if !strings.HasPrefix(hash, "$2a$10$") {
		t.Errorf("hash %.7s…", hash)
	}
	for role, allowed := range map[string]bool{"postgres": true, "supabase_auth_admin": true, "anon": false, "authenticated": false, "service_role": false} {
		for _, table := range []string{"users", "identities", "sessions", "refresh_tokens", "mfa_factors", "mfa_challenges", "mfa_amr_claims", "one_time_tokens", "flow_state"} {
			for _, privilege := range []string{"select", "insert", "update", "delete"} {
				var got bool
				must(t, s.pool.QueryRow(ctx, "select has_table_privilege($1, 'auth.' || $2, $3)", role, table, privilege).Scan(&got))
				if got != allowed {
					t.Errorf("%s may %s auth.%s: %v", role, privilege, table, got)
				}
			}
		}
	}
}

func TestSigningKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	keys := make([]*local.SigningKey, 4)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			key, err := local.LoadOrCreateKey(path)
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	wg.Wait()
	token, err := keys[0].RoleJWT("anon", time.Now())
	must(t, err)
	header, _, _ := strings.Cut(token, ".")
	for _, key := range keys {
		same, err := key.RoleJWT("anon", time.Now())
		must(t, err)
		if !strings.HasPrefix(same, header+".") {
			t.Error("the keys differ")
		}
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	must(t, os.Chmod(path, 0o644))
	if _, err := local.LoadOrCreateKey(path); err == nil {
		t.Error("a key that others can read was accepted")
	}
}
