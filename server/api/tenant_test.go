package api_test

import (
	"fmt"
	"strings"
	"testing"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

type step struct {
	as     apitest.Caller
	method string
	path   string
	body   any
	status int
	want   string // in the body
}

func run(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		if a := s.as.Do(s.method, s.path, s.body); a.Status != s.status || !strings.Contains(a.Body, s.want) {
			t.Errorf("%s: %s %s %v: %d %s, want %d %s", s.as.Name, s.method, s.path, s.body, a.Status, a.Body, s.status, s.want)
		}
	}
}

func TestCompany(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c := w.Company("haiec", "+18573825169")
	run(t, []step{
		{c.Viewer, "GET", "/api/tenant", nil, 200, `"slug":"haiec"`},
		{c.ReadKey.At("api.kestrel.ai"), "GET", "/api/tenant/", nil, 200, `"slug":"haiec"`},
		{c.Viewer, "GET", "/api/tenant/me", nil, 200, `"role":"viewer"`},
		{c.WriteKey, "GET", "/api/tenant/me", nil, 200, `"kind":"key"`},
		{c.Viewer, "GET", "/api/tenant/numbers", nil, 200, `"phone_number":"+18573825169"`},
		{c.Viewer, "GET", "/api/tenant/usage", nil, 200, `"usage_percentage":0,`},
		{c.Viewer, "GET", "/api/tenant/activity", nil, 200, `"action":"tenant.active"`},
		{c.Viewer, "GET", "/api/tenant/agent", nil, 200, `"state":"published"`},
		{c.Admin, "PATCH", "/api/tenant", `{"company_name":"HAIEC Heating","brand_color":"#1C7ED6","forward_to_number":"(617) 555-0123"}`, 200, `"forward_to_number":"+16175550123"`},
		{c.Admin, "PATCH", "/api/tenant", `{"brand_color":null}`, 200, `"brand_color":null`},
		{c.Admin, "PATCH", "/api/tenant", `{"plan_tier":"enterprise"}`, 422, `"field":"plan_tier"`},
		{c.Admin, "PATCH", "/api/tenant", `{"subscription_status":"active"}`, 422, `"field":"subscription_status"`},
		{c.Admin, "PATCH", "/api/tenant", `{"timezone":"Mars/Base","company_name":"X"}`, 422, `"field":"timezone"`},
		{c.Member, "PATCH", "/api/tenant", `{"company_name":"X"}`, 403, ""},
		{c.WriteKey, "PATCH", "/api/tenant", `{"owner_name":"Pat"}`, 200, `"owner_name":"Pat"`},
	})
	if me := apitest.JSON[api.Me](t, c.Owner.Do("GET", "/api/tenant/me", nil)); len(me.Actions) < 12 || me.Email != "owner@haiec.test" {
		t.Errorf("%+v", me)
	}
	w.Exec(`update tenants set subscription_status = 'suspended' where id = $1`, c.ID)
	eventually(t, func() bool { return c.Owner.Do("PATCH", "/api/tenant", `{"company_name":"X"}`).Status == 403 })
	run(t, []step{{c.Owner, "GET", "/api/tenant", nil, 200, `"suspended"`}})
}

func TestMembers(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c := w.Company("haiec", "+18573825169")
	id := func(email string) string {
		return apitest.Value[string](w, `select id::text from tenant_users where tenant_id = $1 and email = $2`, c.ID, email)
	}
	owner, admin, viewer := id("owner@haiec.test"), id("admin@haiec.test"), id("viewer@haiec.test")
	run(t, []step{
		{c.Viewer, "GET", "/api/tenant/members", nil, 200, `"email":"owner@haiec.test"`},
		{c.Admin, "POST", "/api/tenant/members", `{"email":" New@HAIEC.test "}`, 201, `"role":"member"`},
		{c.Admin, "POST", "/api/tenant/members", `{"email":"new@haiec.test"}`, 409, `"field":"email"`},
		{c.Admin, "POST", "/api/tenant/members", `{"email":"x@haiec.test","role":"admin"}`, 403, "owner_required"},
		{c.Owner, "POST", "/api/tenant/members", `{"email":"x@haiec.test","role":"admin"}`, 201, `"role":"admin"`},
		{c.Admin, "POST", "/api/tenant/members", `{"email":"no","role":"king"}`, 422, `"field":"email"`},
		{c.Admin, "PATCH", "/api/tenant/members/" + viewer, `{"role":"member"}`, 200, `"role":"member"`},
		{c.Admin, "PATCH", "/api/tenant/members/" + owner, `{"role":"viewer"}`, 403, "owner_required"},
		{c.Admin, "DELETE", "/api/tenant/members/" + owner, nil, 403, "owner_required"},
		{c.Owner, "PATCH", "/api/tenant/members/" + owner, `{"role":"viewer"}`, 403, "own_role"},
		{c.Owner, "DELETE", "/api/tenant/members/" + owner, nil, 409, "last_owner"},
		{c.Owner, "PATCH", "/api/tenant/members/" + admin, `{"role":"owner"}`, 200, `"role":"owner"`},
		{c.Owner, "PATCH", "/api/tenant/members/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51", `{"role":"owner"}`, 404, "member_not_found"},
		{c.Viewer, "DELETE", "/api/tenant/members/" + admin, nil, 403, ""},
		{c.Owner, "DELETE", "/api/tenant/members/" + viewer, nil, 204, ""},
	})
	eventually(t, func() bool { return c.Viewer.Do("GET", "/api/tenant", nil).Status == 403 })
}

func TestReadLists(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other-co", "+18575550100")
	w.Calls(c.ID, 25)
	w.Calls(other.ID, 3)
	for i := range 7 {
		w.Exec(`insert into appointments (tenant_id, starts_at, ends_at, customer_name) values ($1, now() + $2 * interval '1 day', now() + $2 * interval '1 day' + interval '1 hour', 'Pat')`, c.ID, i-2)
		w.Exec(`insert into messages (tenant_id, direction, from_number, to_number, body) values ($1, 'inbound', '+16175551234', '+18573825169', 'hi')`, c.ID)
		w.Exec(`insert into contacts (tenant_id, phone_number, name) values ($1, $2, $3)`, c.ID, fmt.Sprintf("+1617555010%d", i), fmt.Sprintf("Pat %d", i))
	}
	for path, n := range map[string]int{
		"/api/tenant/calls?limit=4": 25, "/api/tenant/appointments?limit=3": 7, "/api/tenant/messages?limit=2": 7, "/api/tenant/contacts?limit=2": 7,
		"/api/tenant/contacts?limit=2&search=PAT%203": 1, "/api/tenant/contacts?limit=2&search=0105": 1, "/api/tenant/appointments?limit=2&status=cancelled": 0, "/api/tenant/activity?limit=5": 0,
	} {
		seen := walk(t, c.Viewer, path, nil)
		if len(seen) != n && !strings.Contains(path, "activity") {
			t.Errorf("%s: %d rows, want %d", path, len(seen), n)
		}
	}
	if n := len(walk(t, other.ReadKey.At("api.kestrel.ai"), "/api/tenant/calls?limit=2", nil)); n != 3 {
		t.Errorf("another tenant's key sees %d calls", n)
	}
	page := apitest.JSON[struct{ Items []api.Call }](t, c.Viewer.Do("GET", "/api/tenant/calls?limit=2", nil))
	if len(page.Items) != 2 || !page.Items[0].StartedAt.After(page.Items[1].StartedAt) {
		t.Errorf("%+v", page)
	}
	ahead := apitest.JSON[struct{ Items []api.Appointment }](t, c.Viewer.Do("GET", "/api/tenant/appointments?from=2020-01-01T00:00:00Z&to=2020-02-01T00:00:00Z", nil))
	if len(ahead.Items) != 0 {
		t.Errorf("%+v", ahead)
	}
	w.Exec(`update agent_versions set settings = '{"greeting":"Hello"}' where tenant_id = $1`, c.ID)
	w.Exec(`insert into agent_versions (tenant_id, version, state, settings) values ($1, 2, 'draft', '{}')`, c.ID)
	run(t, []step{{c.Viewer, "GET", "/api/tenant/agent", nil, 200, `"greeting":"Hello"`}})
}

func TestOnboarding(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	w.Company("taken", "+18573825169")
	nobody := w.Anonymous("kestrel.ai")
	form := `{"company_name":"HAIEC","industry":"HVAC","owner_name":"Pat","owner_email":"%s","owner_phone":"857-382-5169","slug":"%s","plan_tier":"%s","forward_to_number":"+18573825169","accept_terms":%t,"terms_version":"2026-01-01"}`
	run(t, []step{
		{nobody, "GET", "/api/onboarding/plans", nil, 200, `"tier":"starter"`},
		{nobody, "GET", "/api/onboarding/slug?name=HAIEC", nil, 200, `{"slug":"haiec","available":true,"reason":null,"suggestions":[]}`},
		{nobody, "GET", "/api/onboarding/slug?slug=Taken", nil, 200, `"available":false,"reason":"slug_taken","suggestions":["taken-hq"`},
		{nobody, "GET", "/api/onboarding/slug?slug=admin", nil, 200, `"reason":"slug_reserved"`},
		{nobody, "GET", "/api/onboarding/slug?slug=-", nil, 200, `"reason":"slug_invalid"`},
		{nobody, "GET", "/api/onboarding/slug", nil, 422, "name"},
		{nobody, "POST", "/api/onboarding", fmt.Sprintf(form, "pat@haiec.test", "haiec", "professional", false), 422, `"field":"accept_terms"`},
		{nobody, "POST", "/api/onboarding", fmt.Sprintf(form, "pat@haiec.test", "haiec", "gold", true), 422, `"field":"plan_tier"`},
		{nobody, "POST", "/api/onboarding", `{}`, 422, `"field":"owner_email"`},
		{nobody, "POST", "/api/onboarding", fmt.Sprintf(form, "pat@haiec.test", "taken", "starter", true), 409, "slug_taken"},
		{nobody, "POST", "/api/onboarding", fmt.Sprintf(form, "pat@haiec.test", "haiec", "professional", true), 201, `"slug":"haiec","company_name":"HAIEC","owner_email":"pat@haiec.test","status":"pending","dashboard_url":"https://haiec.kestrel.ai"`},
		{nobody, "POST", "/api/onboarding", `{"company_name":"Plain","owner_name":"Pat","owner_email":"pat@plain.test","plan_tier":"starter"}`, 201, `"slug":"plain"`},
		{nobody, "POST", "/api/onboarding", fmt.Sprintf(form, "pat@haiec.test", "haiec-two", "professional", true), 409, "owner_email_taken"},
		{nobody.At("haiec.kestrel.ai"), "POST", "/api/onboarding", `{}`, 404, ""},
	})
	for what, n := range map[string]int{
		`select count(*) from tenants where slug = 'plain' and terms_version is null and terms_accepted_at is null`:                                                                               1,
		`select count(*) from tenants where slug = 'haiec' and subscription_status = 'pending' and terms_version = '2026-01-01' and terms_accepted_at is not null and plan_tier = 'professional'`: 1,
		`select count(*) from activity_log where action = 'tenant.created' and actor = 'onboarding'`:                                                                                              2,
	} {
		if got := apitest.Value[int](w, what); got != n {
			t.Errorf("%s: %d", what, got)
		}
	}
}
