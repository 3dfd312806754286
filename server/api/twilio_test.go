package api_test

import (
	"strings"
	"testing"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
	"kestrel.ai/server/sandbox"
)

func TestSearchNumbers(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	a := staff.Do("POST", "/api/twilio/search-numbers", `{"area_code":"857","limit":20}`)
	found := apitest.JSON[struct{ Items []api.AvailableNumber }](t, a).Items
	if a.Status != 200 || len(found) != 20 || !strings.HasPrefix(found[0].PhoneNumber, "+1857") || !found[0].Capabilities.Voice || found[0].MonthlyCost != 1.15 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	run(t, []step{
		{staff, "POST", "/api/twilio/search-numbers", `{}`, 200, `"items":[{`},
		{staff, "POST", "/api/twilio/search-numbers", `{"toll_free":true}`, 200, `"phone_number":"+18`},
		{staff, "POST", "/api/twilio/search-numbers", `{"area_code":"57","contains":"'","limit":500}`, 422, `"field":"area_code"`},
		{w.Company("haiec", "+18573825169").Owner.At("api.kestrel.ai"), "POST", "/api/twilio/search-numbers", `{}`, 403, "not_a_platform_admin"},
	})
	for _, c := range []struct {
		fault  sandbox.Fault
		status int
		code   string
	}{
		{sandbox.Fault{Service: "twilio", Status: 429, Count: 1}, 429, "twilio_rate_limited"},
		{sandbox.Fault{Service: "twilio", Status: 500, Count: 1}, 502, "twilio_unavailable"},
		{sandbox.Fault{Service: "twilio", Status: 401, Count: 1}, 502, "twilio_credentials"},
	} {
		if _, err := w.Sandbox.AddFault(c.fault); err != nil {
			t.Fatal(err)
		}
		a := staff.Do("POST", "/api/twilio/search-numbers", `{}`)
		if a.Status != c.status || a.Problem().Code != c.code || a.Problem().Detail == "" || c.status == 429 && a.Header.Get("Retry-After") == "" {
			t.Errorf("%+v: %d %s", c.fault, a.Status, a.Body)
		}
	}
}

func TestTwilioNotConfigured(t *testing.T) {
	t.Parallel()
	w := apitest.New(t, apitest.WithoutTwilio)
	staff := w.Staff("admin@kestrel.ai")
	c := w.Company("haiec", "+18573825169")
	for path, body := range map[string]any{
		"/api/twilio/search-numbers":                              `{}`,
		"/api/twilio/purchase-number":                             `{"phone_number":"+18575550123","tenant_slug":"haiec"}`,
		"/api/admin/tenants/" + c.ID.String() + "/provision":      `{"area_code":"857"}`,
		"/api/admin/numbers/" + c.NumberID.String() + "/webhooks": nil,
		"/api/admin/numbers/" + c.NumberID.String() + "/release":  `{"confirm":"+18573825169"}`,
		"/api/admin/numbers/" + c.NumberID.String() + "/test-sms": `{"to":"+16175551234"}`,
	} {
		if a := staff.Do("POST", path, body); a.Status != 503 || a.Problem().Code != "twilio_not_configured" {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
}

func TestPurchase(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	c, other := w.Company("haiec", "+18573825169"), w.Company("other-co", "+18575550100")
	a := staff.Do("POST", "/api/twilio/purchase-number", `{"phone_number":"(857) 555-0123","tenant_slug":"haiec","friendly_name":"HAIEC Voice Agent","activate":true}`)
	job := apitest.JSON[api.JobOrdered](t, a).Job
	if a.Status != 202 || job.State != "queued" || job.Kind != "number_purchase" || *job.TenantID != c.ID || a.Header.Get("Location") != "/api/jobs/"+job.ID.String() {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	at, id := "/api/twilio/purchase-number", c.ID.String()
	run(t, []step{
		{staff, "POST", at, `{"phone_number":"+18575550123","tenant_id":"` + id + `"}`, 409, "purchase_in_progress"},
		{staff, "POST", at, `{"phone_number":"+18575550123","tenant_id":"` + other.ID.String() + `"}`, 409, "purchase_in_progress"},
		{staff, "POST", at, `{"phone_number":"+18575550100","tenant_id":"` + id + `"}`, 409, "number_taken"},
		{staff, "POST", at, `{"phone_number":"12","tenant_id":"` + id + `","tenant_slug":"haiec"}`, 422, `"field":"phone_number"`},
		{staff, "POST", at, `{"phone_number":"+18575550124"}`, 422, `"field":"tenant_id"`},
		{staff, "POST", at, `{"phone_number":"+18575550124","tenant_slug":"nobody"}`, 404, `"field":"tenant_slug"`},
		{staff, "POST", at, `{"phone_number":"+18575550124","tenant_id":"019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51"}`, 404, "tenant_not_found"},
		{staff, "POST", "/api/admin/tenants/" + id + "/provision", `{"area_code":"857","activate":true}`, 202, `"kind":"number_purchase"`},
		{staff, "POST", "/api/admin/tenants/" + id + "/provision", `{"area_code":"617"}`, 409, "purchase_in_progress"},
		{staff, "POST", "/api/admin/tenants/" + id + "/provision", `{}`, 422, `"field":"area_code"`},
		{staff, "GET", "/api/jobs/" + job.ID.String(), nil, 200, `"step":"queued"`},
		{c.Viewer, "GET", "/api/jobs/" + job.ID.String(), nil, 200, `"step":"queued"`},
		{c.ReadKey.At("api.kestrel.ai"), "GET", "/api/jobs/" + job.ID.String(), nil, 200, `"step":"queued"`},
		{other.Owner, "GET", "/api/jobs/" + job.ID.String(), nil, 404, "job_not_found"},
		{other.Owner, "GET", "/api/jobs/" + job.ID.String() + "/events", nil, 404, "job_not_found"},
		{staff, "GET", "/api/admin/jobs?state=queued&kind=number_purchase&tenant_id=" + id, nil, 200, job.ID.String()},
		{staff, "GET", "/api/admin/jobs?state=done", nil, 200, `"items":[],"next":null`},
		{staff, "POST", "/api/admin/jobs/" + job.ID.String() + "/retry", nil, 409, "job_not_failed"},
	})
	w.Exec(`update number_purchases set state = 'failed' where job_id = $1`, job.ID)
	w.Exec(`select private.job_step($1, 'failed', 'failed', 'Twilio refused')`, job.ID)
	run(t, []step{
		{staff, "POST", "/api/admin/jobs/" + job.ID.String() + "/retry", nil, 202, `"state":"queued"`},
		{staff, "POST", "/api/admin/jobs/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51/retry", nil, 404, "job_not_found"},
		{staff, "GET", "/api/jobs/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51", nil, 404, "job_not_found"},
	})
	if n := apitest.Value[int](w, `select count(*) from river.river_job where args ->> 'job_id' = $1::text`, job.ID.String()); n != 2 {
		t.Errorf("%d jobs of River", n)
	}
	if s := apitest.Value[string](w, `select state from number_purchases where job_id = $1`, job.ID); s != "open" {
		t.Error(s)
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	c, other := w.Company("haiec", "+18573825169"), w.Company("other-co", "+18575550100")
	tenant, at := "/api/admin/tenants/"+c.ID.String()+"/numbers", "/api/admin/numbers/"+c.NumberID.String()
	run(t, []step{
		{staff, "GET", tenant, nil, 200, `"phone_number":"+18573825169","status":"ready"`},
		{staff, "POST", tenant, `{"phone_number":"+18575550100"}`, 409, `"field":"phone_number"`},
		{staff, "POST", tenant, `{"phone_number":"x"}`, 422, `"field":"phone_number"`},
		{staff, "POST", at + "/webhooks", nil, 202, `"kind":"webhook_configure"`},
		{staff, "POST", at + "/release", `{"confirm":"+18575550100"}`, 422, "confirm_mismatch"},
		{staff, "POST", at + "/release", `{}`, 422, `"field":"confirm"`},
		{staff, "POST", at + "/test-sms", `{"to":"abc"}`, 422, `"field":"to"`},
		{staff, "POST", at + "/test-sms", `{"to":"+16175551234"}`, 422, "twilio_refused"}, // the sandbox does not own the sender
		{staff, "POST", "/api/admin/numbers/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51/primary", nil, 404, "number_not_found"},
		{staff, "POST", "/api/admin/numbers/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51/webhooks", nil, 404, "number_not_found"},
		{staff, "POST", "/api/admin/numbers/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51/release", `{"confirm":"x"}`, 404, "number_not_found"},
	})
	second := apitest.JSON[api.Number](t, staff.Do("POST", tenant, `{"phone_number":"857 555 0123"}`))
	if second.Status != "unverified" || second.IsPrimary {
		t.Errorf("%+v", second)
	}
	run(t, []step{
		{staff, "POST", "/api/admin/numbers/" + second.ID.String() + "/primary", nil, 200, `"is_primary":true`},
		{staff, "GET", "/api/admin/tenants/" + c.ID.String(), nil, 200, `"twilio_phone_number":"+18575550123"`},
		{staff, "POST", tenant, `{"phone_number":"+18575550124","primary":true}`, 201, `"is_primary":true`},
		{staff, "POST", at + "/release", `{"confirm":"857-382-5169"}`, 202, `"kind":"number_release"`},
		{staff, "POST", at + "/release", `{"confirm":"+18573825169"}`, 409, "number_releasing"},
		{staff, "POST", at + "/primary", nil, 409, "number_releasing"},
		{staff, "POST", at + "/webhooks", nil, 409, "number_releasing"},
		{other.Owner, "GET", "/api/tenant/numbers", nil, 200, `"phone_number":"+18575550100"`},
	})
}

func TestNumberStatus(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	c := w.Company("haiec", "+18573825169")
	at := "/api/twilio/number-status/"
	s := apitest.JSON[api.NumberStatus](t, staff.Do("GET", at+"%2B18573825169", nil))
	if s.Owned || s.InSync || s.Actual != nil || s.Tenant.Slug != "haiec" || s.Expected.Voice != "https://api.kestrel.ai/api/voice/incoming?tenant=haiec" ||
		s.Expected.Status != "https://api.kestrel.ai/api/voice/status?tenant=haiec" || s.Expected.SMS != "https://api.kestrel.ai/api/sms/incoming?tenant=haiec" {
		t.Errorf("%+v", s)
	}
	w.OwnNumber("+18573825169", *s.Expected)
	if s = apitest.JSON[api.NumberStatus](t, staff.Do("GET", at+"+18573825169/", nil)); !s.Owned || !s.InSync || *s.Actual != *s.Expected {
		t.Errorf("%+v", s)
	}
	w.Exec(`update tenants set slug = 'haiec-heating' where id = $1`, c.ID)
	if s = apitest.JSON[api.NumberStatus](t, staff.Do("GET", at+"8573825169", nil)); !s.Owned || s.InSync {
		t.Errorf("%+v", s)
	}
	run(t, []step{
		{staff, "GET", at + "+18575550199", nil, 200, `{"phone_number":"+18575550199","owned":false,"in_sync":false}`},
		{staff, "GET", at + "twelve", nil, 422, `"field":"phone"`},
		{staff, "POST", "/api/admin/numbers/" + c.NumberID.String() + "/test-sms", `{"to":"+16175551234","body":"Hello"}`, 200, `"from":"+18573825169"`},
	})
}

func TestPreviewProvision(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff, c := w.Staff("admin@kestrel.ai"), w.Company("haiec", "+18573825169")
	path := "/api/admin/tenants/" + c.ID.String() + "/provision"
	preview := apitest.JSON[api.ProvisionPreview](t, staff.Do("GET", path, nil))
	if preview.TenantID != c.ID || !strings.HasSuffix(preview.Webhooks.Voice, "/api/voice/incoming?tenant=haiec") || !strings.HasSuffix(preview.Webhooks.SMS, "/api/sms/incoming?tenant=haiec") ||
		!strings.HasSuffix(preview.FriendlyName, " Voice Agent") {
		t.Errorf("%+v", preview)
	}
	run(t, []step{
		{staff, "GET", "/api/admin/slug?slug=haiec", nil, 200, `"available":false,"reason":"slug_taken","suggestions":["haiec-hq"`},
		{staff, "GET", "/api/admin/slug?name=Fresh+Air", nil, 200, `{"slug":"fresh-air","available":true`},
		{staff, "GET", "/api/admin/slug", nil, 422, `"field":"name"`},
		{c.Owner, "GET", "/api/admin/slug?slug=x", nil, 404, ""},
		{staff, "DELETE", "/api/admin/tenants/" + c.ID.String(), nil, 204, ""},
		{staff, "GET", path, nil, 404, "tenant_not_found"},
	})
}
