package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

func outcomes(o api.BulkOutcome) string {
	var out []string
	for _, r := range o.Results {
		out = append(out, strings.Trim(r.Slug+":"+r.Outcome+":"+r.Code, ":"))
	}
	return strings.Join(out, " ")
}

func order(t *testing.T, staff apitest.Caller, body string) api.BulkOutcome {
	t.Helper()
	a := staff.Do("POST", "/api/admin/tenants/bulk", body)
	if a.Status != 200 {
		t.Fatalf("%s: %d %s", body, a.Status, a.Body)
	}
	return apitest.JSON[api.BulkOutcome](t, a)
}

// A dry run says what the real one then does; one tenant's refusal changes nothing for the others.
func TestBulk(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	one, two, gone := w.Company("one", "+18573825169"), w.Company("two", "+18573825170"), w.Company("gone", "+18573825171")
	w.Exec(`delete from tenants where id = $1`, gone.ID)
	waiting := apitest.Value[uuid.UUID](w, `insert into tenants (slug, company_name, owner_email) values ('waiting', 'Waiting', 'o@waiting.test') returning id`)
	stranger := uuid.New()
	all := fmt.Sprintf(`"ids":["%s","%s","%s","%s","%s","%s"]`, one.ID, waiting, gone.ID, stranger, two.ID, one.ID)
	state := func() string {
		return apitest.Value[string](w, `select string_agg(slug || ' ' || subscription_status || ' ' || plan_tier, ', ' order by slug) from tenants`)
	}
	for _, c := range []struct{ body, want, after string }{
		{`"action":"suspend","reason":"Not paid"`, "one:changed waiting:refused:illegal_transition gone:refused:tenant_deleted two:changed refused:tenant_not_found",
			"gone active professional, one suspended professional, two suspended professional, waiting pending starter"},
		{`"action":"activate"`, "one:changed waiting:refused:no_number gone:refused:tenant_deleted two:changed refused:tenant_not_found",
			"gone active professional, one active professional, two active professional, waiting pending starter"},
		{`"action":"change_plan","plan_tier":"starter"`, "one:changed waiting:refused:plan_unchanged gone:refused:tenant_deleted two:changed refused:tenant_not_found",
			"gone active professional, one active starter, two active starter, waiting pending starter"},
		{`"action":"email","subject":"Sunday","text":"We are closed.\n\nBe well."`, "one:changed waiting:changed gone:refused:tenant_deleted two:changed refused:tenant_not_found",
			"gone active professional, one active starter, two active starter, waiting pending starter"},
	} {
		before, written := state(), apitest.Value[int](w, `select count(*) from events`)
		dry := order(t, staff, "{"+c.body+`,"dry_run":true,`+all+"}")
		if got := strings.ReplaceAll(outcomes(dry), "would_change", "changed"); got != c.want || dry.BatchID != nil || !dry.DryRun {
			t.Errorf("dry %s:\n got %s\nwant %s", c.body, got, c.want)
		}
		if after := state(); after != before || apitest.Value[int](w, `select count(*) from events`) != written {
			t.Errorf("dry %s changed something: %s", c.body, after)
		}
		did := order(t, staff, "{"+c.body+","+all+"}")
		if outcomes(did) != c.want || did.Total != 5 || did.Changed+did.Refused != 5 {
			t.Errorf("%s:\n got %s\nwant %s", c.body, outcomes(did), c.want)
		}
		if after := state(); after != c.after {
			t.Errorf("%s: %s", c.body, after)
		}
	}
	if got := apitest.Value[string](w, `select string_agg(distinct actor_label, ' ') from activity_log where tenant_id = $1 and action in ('tenant.suspended', 'tenant.active', 'tenant.updated') and actor like 'admin:%'`, one.ID); got != "admin@kestrel.ai" {
		t.Errorf("the log says %q", got)
	}
	if got := apitest.Value[int](w, `select count(*) from tenant_plans where valid_to is null and tenant_id in ($1, $2)`, one.ID, two.ID); got != 2 {
		t.Errorf("%d open terms", got)
	}
}

// A repeated order is the same order: nobody gets an e-mail twice.
func TestBulkOnce(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	w.Company("one", "+18573825169")
	w.Company("two", "+18573825170")
	batch := uuid.New()
	body := fmt.Sprintf(`{"action":"email","subject":"Hi","text":"Hello.","filter":{"status":["active"]},"batch_id":"%s"}`, batch)
	first := order(t, staff, body)
	w.Company("three", "+18573825171")
	for range 2 {
		if again := order(t, staff, body); outcomes(again) != outcomes(first) || first.Changed != 2 || *again.BatchID != batch {
			t.Errorf("%s, then %s", outcomes(first), outcomes(again))
		}
	}
	if n := apitest.Value[int](w, `select count(*) from email_log where template = 'announcement'`); n != 2 {
		t.Errorf("%d e-mails", n)
	}
	run(t, []step{
		{staff, "GET", "/api/admin/bulk/" + batch.String(), nil, 200, `"changed":2`},
		{staff, "GET", "/api/admin/bulk/" + uuid.NewString(), nil, 404, "bulk_order_not_found"},
		{staff, "POST", "/api/admin/tenants/bulk", strings.Replace(body, "Hello", "Bye", 1), 409, "batch_differs"},
		{staff, "POST", "/api/admin/tenants/bulk", `{"action":"email","filter":{}}`, 422, `"field":"subject"`},
		{staff, "POST", "/api/admin/tenants/bulk", `{"action":"suspend","filter":{},"text":"x"}`, 422, `"field":"text"`},
		{staff, "POST", "/api/admin/tenants/bulk", `{"action":"suspend"}`, 422, `"field":"ids"`},
		{staff, "POST", "/api/admin/tenants/bulk", `{"action":"change_plan","plan_tier":"none","filter":{}}`, 422, "plan_unknown"},
	})
}

// Many tenants are a job's; too many are refused.
func TestBulkOfMany(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	w.Exec(`alter table tenants disable trigger user`) // so many rows need no consequences
	w.Exec(`insert into tenants (slug, company_name, owner_email) select 'co-' || i, 'Co ' || i, 'o' || i || '@co.test' from generate_series(1, 201) i`)
	w.Exec(`alter table tenants enable trigger user`)
	o := order(t, staff, `{"action":"suspend","filter":{}}`)
	if o.Job == nil || o.Job.Kind != "tenants_bulk" || o.Waiting != 201 || o.Job.SubjectID == nil || *o.Job.SubjectID != *o.BatchID {
		t.Errorf("%+v", o.Job)
	}
	if dry := order(t, staff, `{"action":"suspend","filter":{"search":"co-20"},"dry_run":true}`); dry.Refused != 3 {
		t.Errorf("%s", outcomes(dry))
	}
	w.Exec(`alter table tenants disable trigger user`)
	w.Exec(`insert into tenants (slug, company_name, owner_email) select 'more-' || i, 'Co ' || i, 'm' || i || '@co.test' from generate_series(1, 800) i`)
	run(t, []step{
		{staff, "POST", "/api/admin/tenants/bulk", `{"action":"suspend","filter":{}}`, 422, "too_many_tenants"},
		{staff, "GET", "/api/jobs/" + o.Job.ID.String(), nil, 200, `"kind":"tenants_bulk"`},
	})
}

func TestHealth(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	c, well := w.Company("haiec", "+18573825169"), w.Company("well", "+18573825170")
	w.Exec(`update phone_numbers set webhooks = jsonb_build_object('voice_url', 'https://api.kestrel.ai/api/voice/incoming?tenant=' || t.slug) from tenants t where t.id = tenant_id`)
	w.Exec(`update tenant_usage set period_start = now() - interval '10 days', period_end = now() + interval '10 days'`)
	w.Exec(`insert into call_logs (tenant_id, call_sid, started_at, agent_seconds) select $1, 'CA' || i, now() - i * interval '1 hour', 9 from generate_series(1, 30) i`, c.ID)
	get := func() api.Health {
		t.Helper()
		return apitest.JSON[api.Health](t, staff.Do("GET", "/api/admin/tenants/"+c.ID.String()+"/health", nil))
	}
	if h := get(); len(h.Issues) != 0 || h.Calls != 30 || h.ProjectedCalls < 59 || h.ProjectedCalls > 61 || h.LastCallAt == nil || h.Numbers != 1 {
		t.Errorf("%+v", h)
	}
	for _, change := range []struct{ issue, sql string }{
		{"over_pace", `update tenants set max_monthly_calls = 50 where slug = 'haiec'`},
		{"over_limit", `update tenants set max_monthly_calls = 30 where slug = 'haiec'`},
		{"failed_jobs", `select private.fail_job(id, 'x') from jobs where kind = 'tenant_created' and tenant_id = (select id from tenants where slug = 'haiec')`},
		{"failed_emails", `insert into email_log (tenant_id, template, to_email, dedupe_key, status) select id, 'welcome', 'a@b.test', 'x', 'unknown' from tenants where slug = 'haiec'`},
		{"webhook_drift", `update phone_numbers set webhooks = '{"voice_url":"https://elsewhere.test"}' where phone_number = '+18573825169'`},
		{"not_owned_numbers", `update phone_numbers set status = 'not_owned' where phone_number = '+18573825169'`},
		{"silent", `update call_logs set started_at = started_at - interval '20 days'`},
	} {
		if change.issue == "silent" {
			w.Exec(`update tenants set activated_at = now() - interval '40 days'`)
		}
		w.Exec(change.sql)
		if h := get(); !slices.Contains(h.Issues, change.issue) {
			t.Errorf("%s is missing: %+v", change.issue, h)
		}
	}
	w.Exec(`insert into tenants (slug, company_name, owner_email, created_at) values ('slow', 'Slow', 'o@slow.test', now() - interval '3 days')`)
	w.Exec(`update tenants set activated_at = now() where id = $1`, well.ID)
	run(t, []step{
		{staff, "GET", "/api/admin/health", nil, 200, `"slug":"slow"`},
		{staff, "GET", "/api/admin/health?issue=not_owned_numbers", nil, 200, `"slug":"haiec"`},
		{staff, "GET", "/api/admin/health?issue=gone", nil, 422, ""},
		{staff, "GET", "/api/admin/tenants/" + uuid.NewString() + "/health", nil, 404, "tenant_not_found"},
	})
	if list := staff.Do("GET", "/api/admin/health", nil); strings.Contains(list.Body, `"slug":"well"`) {
		t.Errorf("a tenant that is well needs attention: %s", list.Body)
	}
}
