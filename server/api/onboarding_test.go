package api_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
	"kestrel.ai/server/edge"
)

func signUp(slug, email string) map[string]any {
	return map[string]any{"company_name": strings.ToUpper(slug), "slug": slug, "owner_name": "Pat", "owner_email": email, "plan_tier": "starter"}
}

func TestDrafts(t *testing.T) {
	t.Parallel()
	now := time.Now()
	w := apitest.New(t, func(d *api.Deps, _ *edge.Config) { d.Now = func() time.Time { return now } })
	w.Company("haiec", "+18573825169")
	visitor := w.Anonymous("kestrel.ai")
	begun := apitest.JSON[api.NewDraft](t, visitor.Do("POST", "/api/onboarding/draft", map[string]any{"step": 1, "company_name": "HAIEC"}))
	if begun.Token == "" || len(begun.Errors) != 0 || len(begun.Suggestions) == 0 || begun.Suggestions[0] != "haiec-hq" {
		t.Fatalf("%+v", begun)
	}
	holder := visitor.With("Onboarding-Draft", begun.Token)
	for _, c := range []struct {
		name   string
		draft  map[string]any
		faults string
	}{
		{"nothing of later steps", map[string]any{"step": 1, "company_name": "HAIEC", "owner_email": "nonsense", "slug": "admin"}, ""},
		{"what is missing", map[string]any{"step": 4}, "company_name is required; owner_name is required; owner_email is required; plan_tier is required"},
		{"an e-mail", map[string]any{"step": 2, "company_name": "A", "owner_name": "B", "owner_email": "b@"}, "owner_email is not an e-mail address"},
		{"a taken slug", map[string]any{"step": 3, "company_name": "A", "owner_name": "B", "owner_email": "b@c.de", "slug": "haiec"}, "slug is taken"},
		{"a reserved slug", map[string]any{"step": 3, "company_name": "A", "owner_name": "B", "owner_email": "b@c.de", "slug": "billing"}, "slug is reserved"},
		{"a plan", map[string]any{"step": 4, "company_name": "A", "owner_name": "B", "owner_email": "b@c.de", "plan_tier": "gold"}, "plan_tier is not on offer"},
		{"a national number", map[string]any{"step": 5, "company_name": "A", "owner_name": "B", "owner_email": "b@c.de", "plan_tier": "starter", "country": "DE", "forward_to_number": "030 901820"}, ""},
		{"a number nowhere", map[string]any{"step": 5, "company_name": "A", "owner_name": "B", "owner_email": "b@c.de", "plan_tier": "starter", "forward_to_number": "12"}, "forward_to_number is not a phone number; use a form such as +18573825169"},
		{"terms", map[string]any{"step": 5, "company_name": "A", "owner_name": "B", "owner_email": "b@c.de", "plan_tier": "starter", "terms_version": "2026-01-01"}, "accept_terms must be true"},
	} {
		got := apitest.JSON[api.JudgedDraft](t, holder.Do("PUT", "/api/onboarding/draft", c.draft))
		var said []string
		for _, e := range got.Errors {
			said = append(said, e.Field+" "+e.Message)
		}
		if all := strings.Join(said, "; "); all != c.faults {
			t.Errorf("%s: %q, want %q", c.name, all, c.faults)
		}
	}
	// A reload loses nothing, of what is wrong either.
	if again := apitest.JSON[api.JudgedDraft](t, holder.Do("GET", "/api/onboarding/draft", nil)); again.Draft.TermsVersion != "2026-01-01" || len(again.Errors) != 1 {
		t.Errorf("%+v", again)
	}
	wants(t, "a guess", visitor.With("Onboarding-Draft", "guess").Do("GET", "/api/onboarding/draft", nil), 404, "draft_not_found")
	now = now.Add(7*24*time.Hour + time.Minute)
	wants(t, "after 7 days", holder.Do("GET", "/api/onboarding/draft", nil), 404, "draft_not_found")

	other := apitest.JSON[api.NewDraft](t, visitor.Do("POST", "/api/onboarding/draft", map[string]any{"company_name": "Other"}))
	if n := apitest.Value[int](w, `select count(*) from private.onboarding_drafts where strpos(data::text, $1) > 0 or encode(hash, 'escape') = $1`, other.Token); n != 0 {
		t.Error("the token is kept")
	}
	if a := visitor.With("Onboarding-Draft", other.Token).Do("POST", "/api/onboarding", signUp("other", "o@other.test")); a.Status != 201 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	wants(t, "after the order", visitor.With("Onboarding-Draft", other.Token).Do("GET", "/api/onboarding/draft", nil), 404, "draft_not_found")
	w.Exec(`select private.forget_sign_ups($1)`, now)
	if n := apitest.Value[int](w, `select count(*) from private.onboarding_drafts`); n != 0 {
		t.Errorf("%d drafts are left", n)
	}
}

func TestSignUpLimits(t *testing.T) {
	t.Parallel()
	now := time.Now()
	w := apitest.New(t, func(d *api.Deps, _ *edge.Config) {
		d.Now = func() time.Time { return now }
		d.Config.SignUps = api.SignUps{PerAddress: 6, PerEmail: 2, Drafts: 1}
	})
	visitor := w.Anonymous("kestrel.ai")
	limited := func(what string, a apitest.Answer) {
		t.Helper()
		wants(t, what, a, 429, "sign_up_limited")
		if s, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || s < 1 || s > 3600 {
			t.Errorf("%s: Retry-After %q", what, a.Header.Get("Retry-After"))
		}
	}
	first := visitor.With("Idempotency-Key", "one")
	made := first.Do("POST", "/api/onboarding", signUp("acme", "pat@acme.test"))
	if again := first.Do("POST", "/api/onboarding", signUp("acme", "pat@acme.test")); made.Status != 201 || again.Status != 201 || again.Body != made.Body {
		t.Errorf("%d %s, then %d %s", made.Status, made.Body, again.Status, again.Body)
	}
	wants(t, "a second tenant", visitor.Do("POST", "/api/onboarding", signUp("acme-two", "pat@acme.test")), 409, "owner_email_taken")
	limited("a third try", visitor.Do("POST", "/api/onboarding", signUp("acme-two", "pat@acme.test")))
	for i := range 3 {
		_ = visitor.Do("POST", "/api/onboarding", signUp("co-"+strconv.Itoa(i), strconv.Itoa(i)+"@acme.test"))
	}
	limited("too many from here", visitor.Do("POST", "/api/onboarding", signUp("co-9", "9@acme.test")))
	if n := apitest.Value[int](w, `select count(*) from tenants`); n != 4 {
		t.Errorf("%d tenants", n)
	}
	if a := visitor.Do("POST", "/api/onboarding/draft", map[string]any{}); a.Status != 201 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	limited("a second draft", visitor.Do("POST", "/api/onboarding/draft", map[string]any{}))
	now = now.Add(time.Hour)
	if a := visitor.Do("POST", "/api/onboarding", signUp("co-9", "9@acme.test")); a.Status != 201 {
		t.Errorf("an hour later: %d %s", a.Status, a.Body)
	}
	// Whoever was made owner since owns a tenant too.
	w.Exec(`update tenant_users set email = 'bought@acme.test' where email = '9@acme.test'`)
	w.Exec(`update tenants set owner_email = 'office@acme.test' where owner_email = '9@acme.test'`)
	wants(t, "an owner by transfer", visitor.Do("POST", "/api/onboarding", signUp("co-10", "bought@acme.test")), 409, "owner_email_taken")
}
