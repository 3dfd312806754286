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
	if a := c.Viewer.Do("GET", "/api/tenant/plan-requests", nil); a.Status != 200 || strings.Count(a.Body, `"from_tier":"professional"`) != 2 || !strings.Contains(a.Body, `"replaced"`) {
		t.Errorf("its own: %d %s", a.Status, a.Body)
	}
	withdraw := func(who apitest.Caller, id uuid.UUID) apitest.Answer {
		return who.Do("DELETE", "/api/tenant/plan-requests/"+id.String(), nil)
	}
	if a := withdraw(c.Admin, id); a.Status != 403 {
		t.Errorf("an admin: %d %s", a.Status, a.Body)
	}
	for range 2 {
		if a := withdraw(c.Owner, id); a.Status != 204 {
			t.Errorf("withdraw: %d %s", a.Status, a.Body)
		}
	}
	if a := admin.Do("POST", "/api/admin/plan-requests/"+id.String()+"/confirm", nil); a.Status != 409 || !strings.Contains(a.Body, "withdrawn already") {
		t.Errorf("confirmed what was withdrawn: %d %s", a.Status, a.Body)
	}
	if a := ask("premium"); a.Status != 201 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	id = apitest.Value[uuid.UUID](w, `select id from tenant_requests where state = 'open'`)
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
	if a := withdraw(c.Owner, id); a.Status != 409 || !strings.Contains(a.Body, "request_decided") {
		t.Errorf("withdrawn after that: %d %s", a.Status, a.Body)
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
	if a := admin.Do("POST", "/api/admin/tenants/"+c.ID.String()+"/extend-trial", map[string]any{"days": 7}); a.Status != 409 || !strings.Contains(a.Body, "active cannot become trial") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// A trial that ended can go on; a suspension by hand is another matter.
func TestEndedTrialIsExtended(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	admin, c := w.Staff("staff@kestrel.ai").At("admin.kestrel.ai"), w.Company("haiec", "+18573825169")
	path := "/api/admin/tenants/" + c.ID.String()
	extend := func(days int) apitest.Answer {
		return admin.Do("POST", path+"/extend-trial", map[string]any{"days": days})
	}
	state := func() string {
		return apitest.Value[string](w, `select concat_ws(' ', t.subscription_status, t.is_active, t.suspension, t.status_reason, p.status) from tenants t join tenant_plans p on p.tenant_id = t.id and p.valid_to is null where t.id = $1`, c.ID)
	}
	w.Exec(`update tenants set subscription_status = 'suspended' where id = $1`, c.ID)
	if a := extend(7); a.Status != 409 || !strings.Contains(a.Body, "suspended by hand cannot become trial") {
		t.Errorf("by hand: %d %s", a.Status, a.Body)
	}
	waiting := apitest.Value[uuid.UUID](w, `insert into tenants (slug, company_name, owner_email) values ('waiting', 'Waiting', 'a@waiting.test') returning id`)
	if a := admin.Do("POST", "/api/admin/tenants/"+waiting.String()+"/extend-trial", map[string]any{"days": 7}); a.Status != 409 || !strings.Contains(a.Body, "pending has no trial") {
		t.Errorf("pending: %d %s", a.Status, a.Body)
	}

	w.Exec(`update tenants set subscription_status = 'active' where id = $1`, c.ID)
	w.Exec(`alter table tenants disable trigger tenant_before_update`)
	w.Exec(`update tenants set subscription_status = 'trial', trial_ends_at = now() - interval '2 days' where id = $1`, c.ID)
	w.Exec(`alter table tenants enable trigger tenant_before_update`)
	w.Exec(`select private.end_trials(now())`)
	if got := state(); got != "suspended f trial_ended The trial has ended. suspended" {
		t.Error(got)
	}
	if a := admin.Do("GET", path, nil); !strings.Contains(a.Body, `"suspension":"trial_ended"`) || !strings.Contains(a.Body, `"grace_ends_at":null`) {
		t.Error(a.Body)
	}
	within(t, func() bool {
		return c.Owner.Do("POST", "/api/tenant/reactivation-request", map[string]any{}).Status == 202 && c.Owner.Do("PATCH", "/api/tenant", map[string]any{"industry": "hvac"}).Status == 403
	})
	if a := extend(7); a.Status != 200 || !strings.Contains(a.Body, `"subscription_status":"trial"`) || strings.Contains(a.Body, `"grace_ends_at":null`) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if got := state(); got != "trial t trial" {
		t.Error(got)
	}
	if days := apitest.Value[int](w, `select round(extract(epoch from trial_ends_at - now()) / 86400)::int from tenants where id = $1`, c.ID); days != 7 {
		t.Errorf("%d days", days)
	}
	// Told: to every server, in the events, in the log, to whoever asked; and it ends again.
	within(t, func() bool {
		return c.Owner.Do("PATCH", "/api/tenant", map[string]any{"industry": "hvac"}).Status == 200
	})
	if got := apitest.Value[string](w, `select concat_ws(' ', (select count(*) from events where type = 'tenant.trial' and data ->> 'from' = 'suspended'),
		(select count(*) from activity_log where action = 'tenant.trial' and actor like 'admin:%'), (select state from tenant_requests), private.end_trials(now() + interval '8 days'))`); got != "1 1 confirmed 1" {
		t.Error(got)
	}
	if got := state(); got != "suspended f trial_ended The trial has ended. suspended" {
		t.Error(got)
	}
	// In Studio the same rule holds, and a new end is needed.
	if _, err := w.Admin.Exec(t.Context(), `update tenants set subscription_status = 'trial' where id = $1`, c.ID); err == nil || !strings.Contains(err.Error(), "needs a new end") {
		t.Error(err)
	}
	w.Exec(`update tenants set subscription_status = 'trial', trial_ends_at = now() + interval '1 day' where id = $1`, c.ID)
	w.Exec(`update tenants set is_active = false where id = $1`, c.ID)
	if got := state(); got != "suspended f by_hand suspended" {
		t.Error(got)
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

	if a := c.Owner.Do("GET", "/api/tenant", nil); !strings.Contains(a.Body, `"access_ends_at":null`) {
		t.Error(a.Body)
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
	if a := c.Owner.Do("GET", "/api/tenant", nil); strings.Contains(a.Body, `"access_ends_at":null`) {
		t.Error(a.Body)
	}
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
