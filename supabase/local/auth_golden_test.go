package local_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kestrel.ai/supabase/local"
)

func TestAuthFixtures(t *testing.T) {
	t.Parallel()
	r := &recorder{stack: newStack(t), seen: map[string]bool{}}
	admin, j := r.keys.Secret, func(kv ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i].(string)] = kv[i+1]
		}
		return m
	}
	post := func(path string, body any) request {
		return request{method: "POST", path: "/auth/v1" + path, body: body}
	}
	as := func(q request, token string) request { q.token = token; return q }
	by := func(q request, key string) request { q.key = key; return q }
	get := func(path string) request { return request{method: "GET", path: "/auth/v1" + path} }
	put := func(path string, body any) request {
		return request{method: "PUT", path: "/auth/v1" + path, body: body}
	}
	del := func(path string, body any) request {
		return request{method: "DELETE", path: "/auth/v1" + path, body: body}
	}

	r.call("health", by(get("/health"), "-"))
	r.call("jwks", by(get("/.well-known/jwks.json"), "-"))
	r.call("settings", get("/settings"))
	r.fails("no_api_key", by(get("/settings"), "-"))
	r.fails("wrong_api_key", by(get("/settings"), "sb_publishable_wrong"))
	r.fails("not_found", get("/nothing"))

	// Sign-up and what confirms it.
	ann := j("email", "Ann@example.com", "password", password, "data", j("name", "Ann"))
	r.call("signup", post("/signup?redirect_to=http://acme.localhost:8080/welcome", ann))
	r.fails("signup_weak_password", post("/signup", j("email", "b@example.com", "password", "short")))
	r.fails("signup_long_password", post("/signup", j("email", "b@example.com", "password", strings.Repeat("x", 73))))
	r.fails("signup_bad_email", post("/signup", j("email", "nobody", "password", password)))
	r.fails("signup_anonymous", post("/signup", j()))
	r.fails("signup_phone", post("/signup", j("phone", "+15550100", "password", password)))
	r.fails("signup_bad_json", post("/signup", "{"))
	r.fails("token_password_unconfirmed", post("/token?grant_type=password", ann))
	r.call("verify_link_signup", by(request{method: "GET", path: r.lastMail("ann@example.com").Link}, "-"))
	r.call("verify_link_used", by(request{method: "GET", path: r.lastMail("ann@example.com").Link}, "-"))
	r.fails("verify_link_without_token", by(get("/verify?type=signup"), "-"))
	r.call("signup_taken", post("/signup", ann))

	// Tokens.
	in := r.call("token_password", post("/token?grant_type=password", ann))
	r.fails("token_password_wrong", post("/token?grant_type=password", j("email", "ann@example.com", "password", "wrong password")))
	r.fails("token_password_unknown", post("/token?grant_type=password", j("email", "who@example.com", "password", password)))
	r.fails("token_unsupported_grant", post("/token?grant_type=implicit", j()))
	r.fails("token_password_without_email", post("/token?grant_type=password", j("password", password)))
	fresh := r.call("token_refresh", post("/token?grant_type=refresh_token", j("refresh_token", in.str("refresh_token"))))
	r.fails("token_refresh_unknown", post("/token?grant_type=refresh_token", j("refresh_token", "aaaaaaaaaaaa")))
	r.fails("token_refresh_malformed", post("/token?grant_type=refresh_token", j("refresh_token", "no")))
	r.refresh(fresh.str("refresh_token"))
	r.pass(11 * time.Second)
	r.call("token_refresh_used", post("/token?grant_type=refresh_token", j("refresh_token", in.str("refresh_token"))))
	r.fails("token_pkce_unknown", post("/token?grant_type=pkce", j("auth_code", "no", "code_verifier", "no")))

	// The user.
	token := r.signIn("ann@example.com").str("access_token")
	r.call("user_get", as(get("/user"), token))
	r.fails("user_get_without_token", get("/user"))
	r.fails("user_get_anon", as(get("/user"), r.keys.AnonJWT))
	r.fails("user_get_bad_token", as(get("/user"), "eyJ.eyJ.x"))
	r.call("user_update_data", as(put("/user", j("data", j("name", "Ann B", "gone", nil))), token))
	r.fails("user_update_same_password", as(put("/user", j("password", password)), token))
	r.fails("user_update_weak_password", as(put("/user", j("password", "short")), token))
	r.fails("user_update_app_metadata", as(put("/user", j("app_metadata", j("role", "admin"))), token))
	r.call("user_update_email", as(put("/user", j("email", "ann2@example.com")), token))
	r.call("verify_email_change_first", post("/verify", j("type", "email_change", "token_hash", r.lastMail("ann@example.com").TokenHash)))
	r.call("verify_email_change_second", post("/verify", j("type", "email_change", "token", r.lastMail("ann2@example.com").OTP, "email", "ann2@example.com")))
	r.call("reauthenticate", as(get("/reauthenticate"), token))
	r.call("user_update_password", as(put("/user", j("password", "another horse", "nonce", r.lastMail("ann2@example.com").OTP)), token))
	r.fails("user_update_bad_nonce", as(put("/user", j("data", j(), "nonce", "000000")), token))

	// Mails.
	bob := "bob@example.com"
	r.user(bob)
	r.call("recover", post("/recover", j("email", bob)))
	r.call("verify_recovery", post("/verify", j("type", "recovery", "token_hash", r.lastMail(bob).TokenHash)))
	r.fails("verify_recovery_used", post("/verify", j("type", "recovery", "token_hash", r.lastMail(bob).TokenHash)))
	r.call("recover_unknown", post("/recover", j("email", "who@example.com")))
	r.call("otp", post("/otp", j("email", bob, "create_user", false)))
	r.call("verify_otp", post("/verify", j("type", "email", "email", bob, "token", r.lastMail(bob).OTP)))
	r.call("otp_unknown", post("/otp", j("email", "who@example.com", "create_user", false)))
	r.fails("verify_otp_wrong", post("/verify", j("type", "email", "email", bob, "token", "000000")))
	r.fails("verify_unknown_type", post("/verify", j("type", "sorcery", "token_hash", "x")))
	r.fails("verify_without_token", post("/verify", j("type", "email", "email", bob)))
	r.call("magiclink", post("/magiclink", j("email", bob)))
	r.pass(2 * time.Hour)
	r.call("verify_link_expired", by(request{method: "GET", path: r.lastMail(bob).Link}, "-"))
	r.call("resend", post("/resend", j("type", "signup", "email", "who@example.com")))
	r.fails("resend_bad_type", post("/resend", j("type", "fax", "email", bob)))
	r.fails("recover_bad_email", post("/recover", j("email", "")))

	// PKCE: the link leads to a code.
	verifier := strings.Repeat("v", 43)
	r.call("otp_pkce", post("/otp", j("email", bob, "code_challenge", verifier, "code_challenge_method", "plain")))
	r.fails("otp_pkce_half", post("/otp", j("email", bob, "code_challenge", verifier)))
	to := r.call("verify_link_pkce", by(request{method: "GET", path: r.lastMail(bob).Link}, "-"))
	_, code, _ := strings.Cut(to.header.Get("Location"), "code=")
	r.call("token_pkce", post("/token?grant_type=pkce", j("auth_code", code, "code_verifier", verifier)))

	// The second factor.
	token = r.signIn(bob).str("access_token")
	enrolled := r.call("factor_enrol", as(post("/factors", j("factor_type", "totp", "friendly_name", "phone")), token))
	r.fails("factor_enrol_same_name", as(post("/factors", j("factor_type", "totp", "friendly_name", "phone")), token))
	r.fails("factor_enrol_bad_type", as(post("/factors", j("factor_type", "knock")), token))
	factor := "/factors/" + enrolled.str("id")
	challenge := r.call("factor_challenge", as(post(factor+"/challenge", nil), token)).str("id")
	r.fails("factor_challenge_unknown", as(post("/factors/00000000-0000-4000-8000-000000000000/challenge", nil), token))
	r.fails("factor_verify_wrong", as(post(factor+"/verify", j("challenge_id", challenge, "code", "abcdef")), token))
	r.fails("factor_verify_unknown_challenge", as(post(factor+"/verify", j("challenge_id", "x", "code", "000000")), token))
	totp, err := local.TOTPAt(enrolled.str("totp", "secret"), r.now())
	must(t, err)
	strong := r.call("factor_verify", as(post(factor+"/verify", j("challenge_id", challenge, "code", totp)), token)).str("access_token")
	r.call("factor_list", as(get("/factors"), strong))
	weak := r.signIn(bob).str("access_token")
	r.fails("factor_unenrol_aal1", as(del(factor, nil), weak))
	r.fails("user_update_password_aal1", as(put("/user", j("password", "another horse")), weak))
	r.call("factor_unenrol", as(del(factor, nil), strong))

	// Leaving.
	r.fails("logout_bad_scope", as(post("/logout?scope=galaxy", nil), strong))
	r.call("logout", as(post("/logout?scope=global", nil), strong))
	r.fails("user_get_logged_out", as(get("/user"), strong))

	// Admins.
	made := r.call("admin_create", by(post("/admin/users", j("email", "cy@example.com", "password", password, "email_confirm", true,
		"user_metadata", j("name", "Cy"), "app_metadata", j("tier", 1))), admin)).str("id")
	r.fails("admin_create_taken", by(post("/admin/users", j("email", "cy@example.com")), admin))
	r.fails("admin_create_without_email", by(post("/admin/users", j()), admin))
	r.fails("admin_without_token", post("/admin/users", j()))
	r.fails("admin_as_anon", as(get("/admin/users"), r.keys.AnonJWT))
	r.fails("admin_as_person", as(by(get("/admin/users"), admin), r.signIn("cy@example.com").str("access_token")))
	r.call("admin_get", as(get("/admin/users/"+made), r.keys.ServiceJWT))
	r.fails("admin_get_unknown", by(get("/admin/users/00000000-0000-4000-8000-000000000000"), admin))
	r.fails("admin_get_malformed", by(get("/admin/users/me"), admin))
	r.call("admin_list", by(get("/admin/users?page=1&per_page=2"), admin))
	r.fails("admin_list_bad_page", by(get("/admin/users?page=x"), admin))
	r.call("admin_update_ban", by(put("/admin/users/"+made, j("ban_duration", "24h", "app_metadata", j("tier", 2))), admin))
	r.fails("token_password_banned", post("/token?grant_type=password", j("email", "cy@example.com", "password", password)))
	r.fails("admin_update_taken", by(put("/admin/users/"+made, j("email", bob)), admin))
	r.call("admin_update_unban", by(put("/admin/users/"+made, j("ban_duration", "none")), admin))
	r.call("admin_factors", by(get("/admin/users/"+made+"/factors"), admin))
	r.call("admin_delete_softly", by(del("/admin/users/"+made, j("should_soft_delete", true)), admin))
	r.call("admin_delete", by(del("/admin/users/"+made, nil), admin))
	r.call("invite", by(post("/invite", j("email", "di@example.com", "data", j("name", "Di"))), admin))
	r.fails("invite_taken", by(post("/invite", j("email", bob)), admin))
	for _, kind := range []string{"signup", "invite", "magiclink", "recovery", "email_change_current", "email_change_new"} {
		email := bob
		if kind == "signup" || kind == "invite" {
			email = kind + "@example.com"
		}
		r.call("generate_link_"+kind, by(post("/admin/generate_link", j("type", kind, "email", email, "password", password,
			"new_email", "bob2@example.com", "redirect_to", "http://acme.localhost:8080/in")), admin))
	}
	r.fails("generate_link_unknown_user", by(post("/admin/generate_link", j("type", "recovery", "email", "who@example.com")), admin))
	r.fails("generate_link_bad_type", by(post("/admin/generate_link", j("type", "fax", "email", bob)), admin))

	files, err := filepath.Glob(filepath.Join("testdata", "auth", "*.json"))
	must(t, err)
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".json"); !r.seen[name] {
			t.Errorf("%s is nobody's fixture", file)
		}
	}
}
