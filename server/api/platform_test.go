package api_test

import (
	"strings"
	"testing"
	"time"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

// eventually waits for what a notification brings about.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not come to be")
		}
	}
}

func TestPlatform(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	c := w.Company("haiec", "+18573825169")
	w.Company("other-co", "+18575550100")
	w.Exec(`insert into tenants (slug, company_name, owner_email, subscription_status, created_at) values ('slow', 'Slow', 'o@slow.test', 'pending', now() - interval '3 days')`)
	s := apitest.JSON[api.PlatformStats](t, staff.Do("GET", "/api/admin/stats?days=5", nil))
	if s.Total != 3 || s.Active != 2 || s.Pending != 1 || s.Overdue != 1 || s.MRRCents != 2*29900 || len(s.Series) != 5 {
		t.Errorf("%+v", s)
	}
	if first, today := s.Series[0], s.Series[4]; today.MRRCents != 2*29900 || today.Tenants != 3 || today.Active != 2 || today.Trial != 0 || today.SignUps != 2 || first.Tenants != 0 || first.MRRCents != 0 ||
		today.Day != time.Now().UTC().Format(time.DateOnly) {
		t.Errorf("%+v", s.Series)
	}
	w.Exec(`insert into email_log (tenant_id, template, to_email, dedupe_key, status, subject, html, text) values ($1, 'welcome', 'o@haiec.test', 'x', 'failed', 'Hi', '<p>Hi</p>', 'Hi')`, c.ID)
	mail := "/api/admin/emails/" + apitest.Value[string](w, `select id::text from email_log where dedupe_key = 'x'`)
	run(t, []step{
		{staff, "GET", "/api/admin/plans", nil, 200, `"tier":"enterprise"`},
		{staff, "PATCH", "/api/admin/plans/starter", `{"price_cents":10900,"name":" Start "}`, 200, `"name":"Start","price_cents":10900`},
		{staff, "PATCH", "/api/admin/plans/starter", `{"price_cents":-1,"tier":"x"}`, 422, `"field":"tier"`},
		{staff, "PATCH", "/api/admin/plans/none", `{"price_cents":1}`, 404, "not_found"},
		{staff, "GET", "/api/admin/activity?limit=3", nil, 200, `"next":"`},
		{staff, "GET", "/api/admin/tenants/" + c.ID.String() + "/activity", nil, 200, `"action":"tenant.created"`},
		{staff, "GET", "/api/admin/emails?status=failed&template=welcome&tenant_id=" + c.ID.String(), nil, 200, `"to_email":"o@haiec.test"`},
		{staff, "GET", "/api/admin/emails?status=lost", nil, 422, "status"},
		{staff, "GET", mail, nil, 200, `"html":"<p>Hi</p>"`},
		{staff, "GET", "/api/admin/emails/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51", nil, 404, ""},
		{staff, "POST", mail + "/resend", nil, 202, `"status":"queued"`},
		{staff, "GET", "/api/admin/emails/nonsense", nil, 422, "id"},
		{c.Owner, "GET", "/api/admin/emails", nil, 404, ""},
	})
	if n := apitest.Value[int](w, `select count(*) from jobs where kind = 'email_send' and subject_id in (select id from email_log where dedupe_key like 'resend:%')`); n != 1 {
		t.Errorf("%d jobs send it again", n)
	}
}

func TestPlatformAdmins(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	first := w.Staff("first@kestrel.ai")
	run(t, []step{
		{first, "POST", "/api/admin/admins", `{"email":"nobody"}`, 422, `"field":"email"`},
		{first, "POST", "/api/admin/admins", `{"email":"Second@Kestrel.ai"}`, 201, `"granted_by":"first@kestrel.ai"`},
		{first, "POST", "/api/admin/admins", `{"email":"second@kestrel.ai"}`, 409, `"field":"email"`},
		{first, "GET", "/api/admin/admins", nil, 200, `"email":"second@kestrel.ai"`},
		{first, "DELETE", "/api/admin/admins/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51", nil, 404, "admin_not_found"},
	})
	id := func(email string) string {
		return apitest.Value[string](w, `select id::text from platform_admins where email = $1`, email)
	}
	self := id("first@kestrel.ai")
	run(t, []step{
		{first, "DELETE", "/api/admin/admins/" + id("second@kestrel.ai"), nil, 204, ""},
		{first, "DELETE", "/api/admin/admins/" + self, nil, 409, "last_admin"},
	})
	w.Staff("third@kestrel.ai")
	run(t, []step{{first, "DELETE", "/api/admin/admins/" + self, nil, 204, ""}})
	eventually(t, func() bool { return first.Do("GET", "/api/admin/stats", nil).Status == 403 })
}

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	c, other := w.Company("haiec", "+18573825169"), w.Company("other-co", "+18575550100")
	for path, as := range map[string]apitest.Caller{"/api/admin/tenants/" + c.ID.String() + "/api-keys": staff, "/api/tenant/api-keys": c.Admin} {
		a := as.Do("POST", path, `{"name":"Website","scopes":["read","write"]}`)
		made := apitest.JSON[api.NewAPIKey](t, a)
		if a.Status != 201 || !strings.HasPrefix(made.Key, made.Prefix) || a.Header.Get("Location") != path+"/"+made.ID.String() || a.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		key := w.Anonymous("api.kestrel.ai").With("X-Api-Key", made.Key)
		run(t, []step{
			{key, "GET", "/api/tenant", nil, 200, `"slug":"haiec"`},
			{key, "POST", "/api/tenant/api-keys", `{"name":"more"}`, 403, ""},
			{as, "GET", path, nil, 200, made.Prefix},
			{as, "POST", path, `{"name":" ","scopes":["root"]}`, 422, `"field":"name"`},
			{as, "POST", path, `{"name":"x","scopes":[]}`, 422, `"field":"scopes"`},
			{as, "POST", path, `{"name":"x","expires_at":"2020-01-01T00:00:00Z"}`, 422, `"field":"expires_at"`},
			{as, "DELETE", path + "/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51", nil, 404, "key_not_found"},
			{other.Owner, "DELETE", "/api/tenant/api-keys/" + made.ID.String(), nil, 404, "key_not_found"},
			{as, "DELETE", path + "/" + made.ID.String(), nil, 204, ""},
			{as, "DELETE", path + "/" + made.ID.String(), nil, 204, ""},
		})
		if list := as.Do("GET", path, nil); strings.Contains(list.Body, made.Key) {
			t.Error("the list shows a secret")
		}
		eventually(t, func() bool { return key.Do("GET", "/api/tenant", nil).Status == 401 })
	}
	run(t, []step{
		{staff, "POST", "/api/admin/tenants/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51/api-keys", `{"name":"x"}`, 404, "tenant_not_found"},
		{c.Member, "POST", "/api/tenant/api-keys", `{"name":"x"}`, 403, ""},
	})
}
