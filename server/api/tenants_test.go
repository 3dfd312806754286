package api_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

// The brief's own request, byte for byte.
const briefsTenant = `{
    "company_name": "HAIEC",
    "slug": "haiec",
    "owner_name": "HAIEC Owner",
    "owner_email": "admin@haiec.com",
    "owner_phone": "+18573825169",
    "industry": "hvac",
    "plan_tier": "professional",
    "twilio_phone_number": "+18573825169",
    "forward_to_number": "+18573825169"
  }`

func TestCreateTenantAsInTheBrief(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	a := staff.Do("POST", "/api/admin/tenants/", briefsTenant)
	if a.Status != 201 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	made := apitest.JSON[api.Tenant](t, a)
	if made.Slug != "haiec" || made.SubscriptionStatus != "pending" || made.PlanTier != "professional" || *made.PriceCents != 29900 || *made.MaxMonthlyCalls != 500 ||
		*made.TwilioPhoneNumber != "+18573825169" || *made.NumberStatus != "unverified" || made.DashboardURL != "https://haiec.kestrel.ai" {
		t.Errorf("%s", a.Body)
	}
	if got := a.Header.Get("Location"); got != "/api/admin/tenants/"+made.ID.String() {
		t.Error(got)
	}
	for what, n := range map[string]int{
		`select count(*) from tenant_users where email = 'admin@haiec.com' and role = 'owner'`:                                            1,
		`select count(*) from tenant_usage`:                                                                                               1,
		`select count(*) from jobs where kind in ('tenant_created', 'number_verify')`:                                                     2,
		`select count(*) from activity_log where action = 'tenant.created' and actor like 'admin:%' and actor_label = 'admin@kestrel.ai'`: 1,
		`select count(*) from number_purchases`:                                                                                           0,
	} {
		if got := apitest.Value[int](w, what); got != n {
			t.Errorf("%s: %d, want %d", what, got, n)
		}
	}
	if detail := staff.Do("GET", "/api/admin/tenants/"+made.ID.String()+"/", nil); detail.Status != 200 || !strings.Contains(detail.Body, `"numbers":[{"id"`) || !strings.Contains(detail.Body, `"term":{"plan_tier":"professional"`) {
		t.Errorf("%d %s", detail.Status, detail.Body)
	}
}

func TestCreateTenantSaysEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	for name, c := range map[string]struct {
		body   any
		status int
		fields string
	}{
		"nothing":       {`{}`, 422, "company_name,owner_email"},
		"all at once":   {`{"company_name":"A\u0007","owner_email":"nobody","owner_phone":"12","slug":"x","industry":"1","forward_to_number":"abc","brand_color":"red","surprise":1}`, 422, "brand_color,company_name,forward_to_number,industry,owner_email,owner_phone,slug,surprise"},
		"blank name":    {`{"company_name":"  ","owner_email":"a@b.co"}`, 422, "company_name"},
		"reserved slug": {`{"company_name":"A","owner_email":"a@b.co","slug":"admin"}`, 422, "slug"},
		"unknown plan":  {`{"company_name":"Acme","owner_email":"a@b.co","plan_tier":"gold"}`, 422, "plan_tier"},
		"unknown zone":  {`{"company_name":"Acme","owner_email":"a@b.co","timezone":"Mars/Base"}`, 422, "timezone"},
		"no start here": {`{"company_name":"Acme","owner_email":"a@b.co","subscription_status":"suspended"}`, 422, "subscription_status"},
		"contradiction": {`{"company_name":"Acme","owner_email":"a@b.co","subscription_status":"trial","skip_trial":true}`, 422, "skip_trial"},
		"no slug in it": {`{"company_name":"東京","owner_email":"a@b.co"}`, 422, "slug"},
		"not JSON":      {`{"company_name":`, 400, "body"},
		"wrong type":    {`{"company_name":5,"owner_email":"a@b.co"}`, 422, "company_name"},
		"limit of zero": {`{"company_name":"Acme","owner_email":"a@b.co","max_monthly_calls":0}`, 422, "max_monthly_calls"},
		"an array":      {`[]`, 422, "body"},
	} {
		a := staff.Do("POST", "/api/admin/tenants", c.body)
		var fields []string
		for _, e := range a.Problem().Errors {
			fields = append(fields, e.Field)
		}
		if a.Status != c.status || sorted(fields) != c.fields {
			t.Errorf("%s: %d %s, want %d %s\n%s", name, a.Status, sorted(fields), c.status, c.fields, a.Body)
		}
		if a.Header.Get("Content-Type") != "application/problem+json" || a.Problem().RequestID == "" {
			t.Errorf("%s: %v", name, a.Header)
		}
	}
	for _, contentType := range []string{"application/x-www-form-urlencoded", "text/plain", ""} {
		if a := staff.With("Content-Type", contentType).Do("POST", "/api/admin/tenants", briefsTenant); a.Status != 415 {
			t.Errorf("%q: %d", contentType, a.Status)
		}
	}
	if n := apitest.Value[int](w, `select count(*) from tenants`); n != 0 {
		t.Errorf("%d tenants were made", n)
	}
}

func TestCreateTenantNormalises(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	a := staff.Do("POST", "/api/admin/tenants", `{"company_name":" Müller & Söhne ","owner_email":" Boss@Mueller.DE ","owner_phone":"(857) 382-5169","industry":"HVAC","skip_trial":true}`)
	made := apitest.JSON[api.Tenant](t, a)
	if a.Status != 201 || made.Slug != "muller-and-sohne" || made.CompanyName != "Müller & Söhne" || made.OwnerEmail != "boss@mueller.de" || *made.OwnerPhone != "+18573825169" ||
		made.Industry != "hvac" || made.SubscriptionStatus != "active" || made.PlanTier != "starter" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	// The next one of that name gets the next slug, and one that chooses it is told what is free.
	a = staff.Do("POST", "/api/admin/tenants", `{"company_name":"Müller & Söhne","owner_email":"two@mueller.de"}`)
	if next := apitest.JSON[api.Tenant](t, a); a.Status != 201 || next.Slug != "muller-and-sohne-hq" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	a = staff.Do("POST", "/api/admin/tenants", `{"company_name":"M","slug":"muller-and-sohne","owner_email":"three@mueller.de"}`)
	if p := a.Problem(); a.Status != 409 || p.Code != "slug_taken" || p.Errors[0].Field != "slug" || !strings.Contains(p.Errors[0].Message, "muller-and-sohne-co") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	a = staff.Do("POST", "/api/admin/tenants", `{"company_name":"Other","owner_email":"boss@mueller.de"}`)
	if p := a.Problem(); a.Status != 409 || p.Code != "owner_email_taken" || p.Errors[0].Field != "owner_email" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestSameSlugAtOnce(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	var wait sync.WaitGroup
	var mu sync.Mutex
	got := map[int]int{}
	for i := range 8 {
		wait.Go(func() {
			a := staff.Do("POST", "/api/admin/tenants", fmt.Sprintf(`{"company_name":"Acme","slug":"acme","owner_email":"o%d@acme.test"}`, i))
			mu.Lock()
			defer mu.Unlock()
			got[a.Status]++
		})
	}
	wait.Wait()
	if got[201] != 1 || got[409] != 7 {
		t.Errorf("%v", got)
	}
}

func TestPatchTenant(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	c := w.Company("haiec", "+18573825169")
	at := "/api/admin/tenants/" + c.ID.String()
	for _, step := range []struct {
		body   string
		status int
		code   string
		want   string // in the body
	}{
		{`{"company_name":"HAIEC Heating","owner_phone":"857-382-5169","industry":"Plumbing"}`, 200, "", `"owner_phone":"+18573825169"`},
		{`{"owner_phone":null,"max_monthly_calls":750}`, 200, "", `"owner_phone":null`},
		{`{"max_monthly_calls":null}`, 200, "", `"max_monthly_calls":500`},
		{`{"plan_tier":"premium"}`, 200, "", `"price_cents":59900`},
		{`{"current_month_calls":17}`, 200, "", `"current_month_calls":17`},
		{`{"is_active":false,"status_reason":"Payment failed"}`, 200, "", `"subscription_status":"suspended"`},
		{`{"subscription_status":"trial"}`, 409, "illegal_transition", "A tenant that is suspended by hand cannot become trial."},
		{`{"is_active":true}`, 200, "", `"subscription_status":"active"`},
		{`{"slug":"haiec-heating"}`, 200, "", `"slug":"haiec-heating"`},
		{`{}`, 200, "", `"slug":"haiec-heating"`},
		{`{"slug":"admin"}`, 422, "invalid", "slug"},
		{`{"company_name":null}`, 422, "", "company_name"},
		{`{"deleted_at":null}`, 422, "invalid", "deleted_at"},
		{`{"is_active":true,"subscription_status":"suspended"}`, 422, "invalid", "contradicts"},
		{`{"owner_email":"no"}`, 422, "invalid", "owner_email"},
		{`{"plan_tier":"gold"}`, 422, "plan_unknown", "plan_tier"},
		{`{"twilio_phone_number":"+18575550123"}`, 200, "", `"number_status":"unverified"`},
	} {
		a := staff.Do("PATCH", at, step.body)
		if a.Status != step.status || step.code != "" && a.Problem().Code != step.code || !strings.Contains(a.Body, step.want) {
			t.Errorf("%s: %d %s", step.body, a.Status, a.Body)
		}
	}
	if a := staff.Do("PATCH", "/api/admin/tenants/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51", `{}`); a.Status != 404 || a.Problem().Code != "tenant_not_found" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestTenantLife(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	made := apitest.JSON[api.Tenant](t, staff.Do("POST", "/api/admin/tenants", `{"company_name":"Acme","owner_email":"o@acme.test"}`))
	at := "/api/admin/tenants/" + made.ID.String()
	step := func(method, path string, body any, status int, want string) {
		t.Helper()
		if a := staff.Do(method, at+path, body); a.Status != status || !strings.Contains(a.Body, want) {
			t.Errorf("%s %s: %d %s, want %d %s", method, path, a.Status, a.Body, status, want)
		}
	}
	step("POST", "/activate", nil, 409, `"code":"no_number"`)
	step("POST", "/suspend", nil, 409, "A tenant that is pending cannot become suspended.")
	w.Exec(`insert into phone_numbers (tenant_id, phone_number, status) values ($1, '+18575550100', 'ready')`, made.ID)
	step("POST", "/activate", `{}`, 200, `"subscription_status":"trial"`)
	step("POST", "/activate", `{"skip_trial":true}`, 200, `"subscription_status":"active"`)
	step("POST", "/activate", nil, 409, "A tenant that is active cannot become active.")
	step("POST", "/suspend", `{"reason":"Payment failed"}`, 200, `"status_reason":"Payment failed"`)
	step("POST", "/cancel", `{"reason":"Moved away"}`, 200, `"subscription_status":"cancelled"`)
	step("POST", "/cancel", `{"surprise":1}`, 422, "surprise")
	step("POST", "/restore", nil, 409, `"code":"not_deleted"`)
	step("DELETE", "", nil, 204, "")
	for _, gone := range []struct{ method, path string }{{"GET", ""}, {"PATCH", ""}, {"DELETE", ""}, {"GET", "/stats"}, {"POST", "/activate"}, {"GET", "/api-keys"}, {"GET", "/numbers"}} {
		var body any
		if gone.method == "PATCH" {
			body = `{"company_name":"X"}`
		}
		step(gone.method, gone.path, body, 404, "tenant_not_found")
	}
	if a := staff.Do("GET", "/api/admin/tenants?deleted=true", nil); !strings.Contains(a.Body, made.ID.String()) {
		t.Error(a.Body)
	}
	step("POST", "/restore", nil, 200, `"subscription_status":"cancelled"`)
	step("GET", "/activity", nil, 200, `"action":"tenant.restored"`)
	step("GET", "/stats", nil, 200, `{"total_calls":0,"calls_this_month":0,"usage_percentage":0,"total_appointments":0,"upcoming_appointments":0}`)
}
