package local_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
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
	for range 3 {
		s.want(s.post("/verify", anyMap{"type": "recovery", "email": "a@example.com", "token": "abcdef"}), 403, "otp_expired")
	}
	s.want(s.post("/verify", anyMap{"type": "recovery", "token_hash": s.lastMail("a@example.com").TokenHash}), 429, "over_request_rate_limit")
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
		"http://a:b@app.localhost:8080/":            "http://app.localhost:8080",
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
		if a := s.do(request{method: "HEAD", path: at, key: "-"}); a.status != 405 { // mail scanners look ahead
			t.Errorf("HEAD: %d", a.status)
		}
		a := s.do(request{method: "GET", path: at, key: "-"})
		if got, session, _ := strings.Cut(a.header.Get("Location"), "#"); a.status != 303 || got != want || !strings.HasPrefix(session, "access_token=") {
			t.Errorf("verify to %q: %d, %q", to, a.status, got)
		}
	}
}

func TestOddInputIsRefusedWithoutA500(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	id := s.user("a@example.com")
	token := s.signIn("a@example.com").str("access_token")
	odd := []any{"' or 1=1 --", "a@example.com'; drop table auth.users; --", "\u0000", "a\u0000@example.com", strings.Repeat("x", 300) + "@example.com", "\u202e@example.com", "{}", 1, nil, []int{1}, anyMap{}}
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
