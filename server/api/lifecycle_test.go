package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/server/api/apitest"
)

// A customer's months, as asked for by hand: another plan, a longer trial, the way back, and the closing of a period.
func TestPlanIsAskedForAndConfirmed(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	admin, c := w.Staff("staff@kestrel.ai").At("admin.kestrel.ai"), w.Company("haiec", "+18573825169")

	for who, want := range map[string]int{"viewer": 403, "member": 403, "admin": 403, "key_write": 403} {
		if a := c.Callers()[who].Do("POST", "/api/tenant/plan-request", map[string]any{"plan_tier": "premium"}); a.Status != want {
			t.Errorf("%s: %d %s", who, a.Status, a.Body)
		}
	}
	ask := func(tier string) apitest.Answer {
		return c.Owner.Do("POST", "/api/tenant/plan-request", map[string]any{"plan_tier": tier})
	}
	if a := ask("professional"); a.Status != 409 || !strings.Contains(a.Body, "same_plan") {
		t.Errorf("the same plan: %d %s", a.Status, a.Body)
	}
	if a := ask("nonesuch"); a.Status != 422 || !strings.Contains(a.Body, "plan_unknown") {
		t.Errorf("no plan: %d %s", a.Status, a.Body)
	}
	first, second := ask("starter"), ask("premium")
	if first.Status != 201 || second.Status != 201 {
		t.Fatalf("%d %s, %d %s", first.Status, first.Body, second.Status, second.Body)
	}
	id := apitest.Value[uuid.UUID](w, `select id from tenant_requests where state = 'open'`)
	if n := apitest.Value[int](w, `select count(*) from tenant_requests where state = 'replaced' and plan_tier = 'starter'`); n != 1 {
		t.Errorf("%d replaced", n)
	}
	if a := admin.Do("GET", "/api/admin/plan-requests?state=open", nil); a.Status != 200 || strings.Count(a.Body, `"slug":"haiec"`) != 1 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := admin.Do("POST", "/api/admin/plan-requests/"+id.String()+"/confirm", nil); a.Status != 200 || !strings.Contains(a.Body, `"confirmed"`) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := admin.Do("POST", "/api/admin/plan-requests/"+id.String()+"/decline", map[string]any{"reason": "No"}); a.Status != 409 {
		t.Errorf("decided twice: %d %s", a.Status, a.Body)
	}
	got := apitest.Value[string](w, `select concat_ws(' ', t.plan_tier, t.max_monthly_calls, p.plan_tier, p.price_cents, (select count(*) from tenant_plans where tenant_id = t.id and valid_to is not null) > 0)
		from tenants t join tenant_plans p on p.tenant_id = t.id and p.valid_to is null where t.id = $1`, c.ID)
	if got != "premium 1500 premium 59900 t" {
		t.Error(got)
	}
}

func TestTrialIsExtended(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	admin, c := w.Staff("staff@kestrel.ai").At("admin.kestrel.ai"), w.Company("haiec", "+18573825169")
	trial := apitest.Value[uuid.UUID](w, `insert into tenants (slug, company_name, owner_email, subscription_status, trial_ends_at) values ('trying', 'Trying', 'a@trying.test', 'trial', now() + interval '2 days') returning id`)
	path := "/api/admin/tenants/" + trial.String() + "/extend-trial"
	for name, body := range map[string]map[string]any{
		"nothing": {}, "both": {"days": 3, "trial_ends_at": time.Now().Add(time.Hour)}, "past": {"trial_ends_at": time.Now().Add(-time.Hour)}, "too far": {"trial_ends_at": time.Now().AddDate(5, 0, 0)},
	} {
		if a := admin.Do("POST", path, body); a.Status != 422 {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	if a := admin.Do("POST", path, map[string]any{"days": 7}); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if days := apitest.Value[int](w, `select round(extract(epoch from trial_ends_at - now()) / 86400)::int from tenants where id = $1`, trial); days != 9 {
		t.Errorf("%d days", days)
	}
	if a := admin.Do("POST", "/api/admin/tenants/"+c.ID.String()+"/extend-trial", map[string]any{"days": 7}); a.Status != 409 || !strings.Contains(a.Body, "not_on_trial") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestUsageIsResetByHand(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	admin, c := w.Staff("staff@kestrel.ai").At("admin.kestrel.ai"), w.Company("haiec", "+18573825169")
	path := "/api/admin/tenants/" + c.ID.String() + "/usage/reset"
	if a := admin.Do("POST", path, nil); a.Status != 200 || !strings.Contains(a.Body, `"closed":0`) {
		t.Errorf("nothing due: %d %s", a.Status, a.Body)
	}
	w.Exec(`update tenant_usage set period_start = period_start - interval '95 days', period_end = period_end - interval '95 days', calls = 7 where tenant_id = $1`, c.ID)
	if a := admin.Do("POST", path, nil); a.Status != 200 || strings.Contains(a.Body, `"closed":0`) || !strings.Contains(a.Body, `"calls":7`) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if n := apitest.Value[int](w, `select count(*) from tenant_usage where tenant_id = $1 and closed_at is null`, c.ID); n != 1 {
		t.Errorf("%d open periods", n)
	}
	if n := apitest.Value[int](w, `select current_month_calls from tenants where id = $1`, c.ID); n != 0 {
		t.Errorf("shows %d", n)
	}
	if a := admin.Do("POST", path, nil); !strings.Contains(a.Body, `"closed":0`) {
		t.Errorf("again: %s", a.Body)
	}
}

func TestSuspendedAsksAndCancelledLeaves(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c := w.Company("haiec", "+18573825169")
	ask := func(as apitest.Caller) apitest.Answer {
		return as.Do("POST", "/api/tenant/reactivation-request", map[string]any{})
	}
	if a := ask(c.Owner); a.Status != 202 || !strings.Contains(a.Body, `"requested_at":null`) {
		t.Errorf("while active: %d %s", a.Status, a.Body)
	}
	w.Exec(`update tenants set subscription_status = 'suspended' where id = $1`, c.ID)
	for range 2 {
		if a := ask(c.Admin); a.Status != 202 || strings.Contains(a.Body, `"requested_at":null`) {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	if a := ask(c.Member); a.Status != 403 {
		t.Errorf("a member: %d", a.Status)
	}
	if n := apitest.Value[int](w, `select count(*) from jobs where kind = 'request_notice'`); n != 1 {
		t.Errorf("staff is told %d times", n)
	}
	w.Exec(`update tenants set subscription_status = 'active' where id = $1`, c.ID)
	if state := apitest.Value[string](w, `select state from tenant_requests`); state != "confirmed" {
		t.Error(state)
	}

	// A customer who left reads until the period it left in is over.
	w.Exec(`update tenants set subscription_status = 'cancelled' where id = $1`, c.ID)
	if ok := apitest.Value[bool](w, `select access_ends_at > now() and access_ends_at = (select period_end from tenant_usage where tenant_id = t.id) from tenants t`); !ok {
		t.Error("no end of access")
	}
	status := func(as apitest.Caller) int { return as.Do("GET", "/api/tenant/calls", nil).Status }
	within(t, func() bool {
		return status(c.Owner) == 200 && c.Owner.Do("PATCH", "/api/tenant", map[string]any{"industry": "hvac"}).Status == 403
	})
	w.Exec(`update tenants set access_ends_at = now() - interval '1 second' where id = $1`, c.ID)
	within(t, func() bool { return status(c.Owner) == 403 && status(c.ReadKey) == 403 })
	if a := c.Owner.Do("GET", "/api/tenant", nil); !strings.Contains(a.Body, "tenant_closed") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	w.Exec(`update tenants set subscription_status = 'active' where id = $1`, c.ID)
	within(t, func() bool { return status(c.Owner) == 200 })
}

// within waits for what travels by notification.
func within(t *testing.T, true func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !true(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}
