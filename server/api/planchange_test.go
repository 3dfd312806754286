package api_test

import (
	"slices"
	"testing"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

// A change of plan, at the API and in Studio: the limit holds at once, warnings count against it, and the term is on
// record, so that revenue of any day can be told.
func TestPlanChange(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff, c := w.Staff("staff@kestrel.ai"), w.Company("haiec", "+18573825169")
	w.Exec(`insert into call_logs (tenant_id, call_sid, started_at, agent_seconds) select $1, 'CA' || i, now(), 30 from generate_series(1, 85) i`, c.ID)
	holds := func(what, limit, warnings, terms string) {
		t.Helper()
		got := []string{
			apitest.Value[string](w, `select concat_ws(' ', plan_tier, max_monthly_calls, current_month_calls) from tenants where id = $1`, c.ID),
			apitest.Value[string](w, `select coalesce(string_agg(concat_ws('/', params ->> 'threshold', params ->> 'calls_used', params ->> 'calls_limit'), ' ' order by id), '') from email_log where template = 'usage_warning'`),
			apitest.Value[string](w, `select string_agg(concat_ws('/', plan_tier, price_cents, monthly_calls, valid_to is null), ' ' order by valid_from) from tenant_plans where tenant_id = $1 and status = 'active'`, c.ID),
		}
		if want := []string{limit, warnings, terms}; !slices.Equal(got, want) {
			t.Errorf("%s:\n%q\nwant\n%q", what, got, want)
		}
	}
	holds("at first", "professional 500 85", "", "professional/29900/500/t")
	run(t, []step{{staff, "PATCH", "/api/admin/tenants/" + c.ID.String(), `{"plan_tier":"starter"}`, 200, `"max_monthly_calls":100`}})
	holds("by the API", "starter 100 85", "80/85/100", "professional/29900/500/f starter/9900/100/t")

	// As if the first plan had been sold four days ago, and changed two days later.
	w.Exec(`delete from tenant_plans where tenant_id = $1 and status <> 'active'`, c.ID)
	w.Exec(`update tenant_plans set valid_from = date_trunc('day', now(), 'UTC') - interval '84 hours', valid_to = date_trunc('day', now(), 'UTC') - interval '36 hours' where tenant_id = $1 and valid_to is not null`, c.ID)
	w.Exec(`update tenant_plans set valid_from = date_trunc('day', now(), 'UTC') - interval '36 hours' where tenant_id = $1 and valid_to is null`, c.ID)
	w.Exec(`update tenants set plan_tier = 'premium' where id = $1`, c.ID)
	holds("in Studio", "premium 1500 85", "80/85/100", "professional/29900/500/f starter/9900/100/f premium/59900/1500/t")
	s := apitest.JSON[api.PlatformStats](t, staff.Do("GET", "/api/admin/stats?days=6", nil))
	var mrr []int64
	for _, day := range s.Series {
		mrr = append(mrr, day.MRRCents)
	}
	if want := []int64{0, 29900, 29900, 9900, 9900, 59900}; !slices.Equal(mrr, want) || s.MRRCents != 59900 {
		t.Errorf("%v, now %d, want %v", mrr, s.MRRCents, want)
	}

	// The same limit warns once in a period; one of the tenant's own outlives a change of plan.
	w.Exec(`update tenants set plan_tier = 'starter' where id = $1`, c.ID)
	w.Exec(`update tenants set max_monthly_calls = 80 where id = $1`, c.ID)
	w.Exec(`update tenants set plan_tier = 'premium' where id = $1`, c.ID)
	holds("a limit of its own", "premium 80 85", "80/85/100 100/85/80",
		"professional/29900/500/f starter/9900/100/f premium/59900/1500/f starter/9900/100/f premium/59900/1500/t")
	if n := apitest.Value[int](w, `select count(*) from activity_log where tenant_id = $1 and changes ? 'plan_tier' and action = 'tenant.updated'`, c.ID); n != 4 {
		t.Errorf("%d changes of plan in the log", n)
	}
}
