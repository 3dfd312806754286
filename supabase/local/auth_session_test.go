package local_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kestrel.ai/supabase/local"
)

func TestRefreshTokensRotate(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.user("a@example.com")
	first := s.signIn("a@example.com")
	second := s.want(s.refresh(first.str("refresh_token")), 200, "")
	third := s.want(s.refresh(second.str("refresh_token")), 200, "")
	// One that was rotated is someone's copy: the whole family ends.
	s.want(s.refresh(second.str("refresh_token")), 400, "refresh_token_already_used")
	s.want(s.refresh(third.str("refresh_token")), 400, "refresh_token_not_found")
	s.want(s.getUser(third.str("access_token")), 403, "session_not_found")
	s.want(s.refresh(first.str("refresh_token")), 400, "refresh_token_not_found")

	// Many at once with one token: one of them rotates it, and the others end the session.
	start := s.signIn("a@example.com").str("refresh_token")
	var rotated atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if s.refresh(start).status == 200 {
				rotated.Add(1)
			}
		})
	}
	wg.Wait()
	var live int
	must(t, s.pool.QueryRow(context.Background(), "select count(*) from auth.refresh_tokens where not revoked").Scan(&live))
	if live != 0 || rotated.Load() != 1 {
		t.Errorf("%d live refresh tokens after %d rotations", live, rotated.Load())
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

// A mail that cannot be sent leaves nothing behind: the person can try again.
func TestMailerFailureUndoesTheRequest(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(o *local.AuthOptions) {
		o.Mailer = func(context.Context, local.Mail) error { return errors.New("secret detail") }
	})
	a := s.want(s.post("/signup", anyMap{"email": "a@example.com", "password": password}), 500, "unexpected_failure")
	if strings.Contains(string(a.raw), "secret") {
		t.Errorf("the answer tells the cause: %s", a.raw)
	}
	var users int
	must(t, s.pool.QueryRow(context.Background(), "select count(*) from auth.users").Scan(&users))
	if users != 0 {
		t.Errorf("%d users", users)
	}
}
