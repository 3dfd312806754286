package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
)

// Trials, waiting tenants and wishes, by the workers as they run: each mail once, whatever is restarted.
func TestTrialEndsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.tenant("trying", "subscription_status", "trial", "trial_ends_at", time.Now().Add(4*24*time.Hour))
	w.exec(`insert into call_logs (tenant_id, call_sid, started_at, agent_seconds) select $1, 'CA' || i, now() + interval '1 second', 9 from generate_series(1, 3) i`, tenant)
	w.exec(`insert into appointments (tenant_id, starts_at, ends_at) values ($1, now() + interval '1 day', now() + interval '25 hours')`, tenant)
	often := func(d *jobs.Deps) {
		d.Config.Tuning.Lifecycle, d.Config.Tuning.Reset, d.Config.TrialGrace = 100*time.Millisecond, 100*time.Millisecond, 24*time.Hour
	}
	stop := w.work(often)
	w.until("the welcome", func() bool { return len(w.mails("trying@example.com", "Welcome")) == 1 })
	same(t, "told too early", len(w.mails("trying@example.com", "trial ends on")), 0)
	w.ahead.Store(int64(30 * time.Hour))
	w.until("the mail", func() bool { return len(w.mails("trying@example.com", "trial ends on")) == 1 })
	text := w.mails("trying@example.com", "trial ends on")[0].Text
	if !strings.Contains(text, "Calls answered: 3") || !strings.Contains(text, "Appointments: 1") {
		t.Errorf("the trial's mail says\n%s", text)
	}
	stop()
	w.ahead.Store(int64(4*24*time.Hour + 12*time.Hour))
	stop = w.work(often)
	time.Sleep(300 * time.Millisecond)
	same(t, "in its grace", scan[string](w, `select subscription_status from tenants`), "trial")
	w.ahead.Store(int64(5*24*time.Hour + time.Hour))
	w.until("its end", func() bool {
		return scan[string](w, `select subscription_status || status_reason from tenants where status_reason is not null`+
			` union all select '' limit 1`) == "suspendedThe trial has ended."
	})
	stop()
	same(t, "mails of its end", len(w.mails("trying@example.com", "trial ends on")), 1)
	same(t, "terms", scan[[]string](w, `select array_agg(status order by valid_from) from tenant_plans`), []string{"trial", "suspended"})
}

func TestAdminIsRemindedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	waiting := w.tenant("waiting")
	w.tenant("owner", "subscription_status", "suspended")
	often := func(d *jobs.Deps) { d.Config.Tuning.Lifecycle = 100 * time.Millisecond }
	stop := w.work(often)
	w.ends("done", "tenant_created", waiting)
	same(t, "too early", len(w.mails(adminEmail, "Still waiting")), 0)
	w.ahead.Store(int64(25 * time.Hour))
	w.until("the reminder", func() bool { return len(w.mails(adminEmail, "Still waiting: Company waiting")) == 1 })
	stop()
	stop = w.work(often)
	w.exec(`insert into tenant_requests (tenant_id, kind, plan_tier, from_tier, requested_by) select id, 'plan', 'premium', 'starter', 'pat@example.com' from tenants where slug = 'waiting'`)
	w.until("the wish", func() bool { return len(w.mails(adminEmail, "asks for the Premium plan")) == 1 })
	w.exec(`insert into tenant_requests (tenant_id, kind, from_tier) select id, 'reactivation', 'starter' from tenants where slug = 'owner'`)
	w.until("the way back", func() bool { return len(w.mails(adminEmail, "asks to be reactivated")) == 1 })
	stop()
	same(t, "reminders", len(w.mails(adminEmail, "Still waiting")), 1)
}

// A call warns in its own transaction; a new limit is warned of anew; a customer that was suspended meanwhile hears nothing.
func TestUsageWarnings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.tenant("busy", "subscription_status", "trial", "max_monthly_calls", 5)
	call := func() {
		w.exec(`insert into call_logs (tenant_id, call_sid, started_at, agent_seconds) values ($1, 'CA' || md5(random()::text), now(), 9)`, tenant)
	}
	count := func() int { return scan[int](w, `select count(*) from email_log where template = 'usage_warning'`) }
	for n, want := range []int{0, 0, 0, 1, 2, 2} {
		call()
		same(t, "warnings", []int{n + 1, count()}, []int{n + 1, want})
	}
	w.exec(`update tenants set max_monthly_calls = 7`)
	same(t, "at 6 of 7", count(), 3)
	w.exec(`update tenants set max_monthly_calls = 5`)
	same(t, "the old limit again", count(), 3)
	w.exec(`update tenants set max_monthly_calls = null, plan_tier = 'professional'`)
	same(t, "a large plan", count(), 3)
	stop := w.work()
	w.until("them", func() bool { return len(w.mails("busy@example.com", "calls")) == 3 })
	full := w.mails("busy@example.com", "used all")[0].Text
	if !strings.Contains(full, "5 of 5 calls") {
		t.Errorf("it says\n%s", full)
	}
	stop()
	w.exec(`update tenants set max_monthly_calls = 6`)
	w.exec(`update tenants set is_active = false`)
	same(t, "one more queued", count(), 4)
	w.exec(`update tenants set max_monthly_calls = 3`)
	same(t, "none while suspended", count(), 4)
	stop = w.work()
	w.until("the end of it", func() bool { return scan[int](w, `select count(*) from email_log where status = 'queued'`) == 0 })
	stop()
	same(t, "sent", len(w.mails("busy@example.com", "calls")), 3)
}

// A view ends by its time, felt at once and noted by the housekeeping.
func TestViewExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant, admin := w.tenant("acme"), uuid.New()
	w.exec(`insert into platform_admins (email, user_id) values ('staff@kestrel.test', $1)`, admin)
	begun := time.Now().Add(-29 * time.Minute)
	start := func(hash string) uuid.UUID {
		return scan[uuid.UUID](w, `select (private.start_view($1, $2, 'A call is missing', false, sha256($3::text::bytea), $4)).id`, tenant, admin, hash, begun)
	}
	view, ended := start("one"), start("two")
	w.exec(`update tenant_views set ended_at = $2 where id = $1`, ended, begun.Add(time.Minute))
	w.work()
	state := func(id uuid.UUID) string {
		return scan[string](w, `select concat_ws(' ', coalesce(ended_how, 'open'), ended_at = expires_at) from tenant_views where id = $1`, id)
	}
	w.until("a housekeeping before its time", func() bool {
		return scan[int](w, `select count(*) from river.river_job where kind = 'housekeeping' and state = 'completed'`) >= 2
	})
	same(t, "before its time", state(view), "open")
	w.ahead.Store(int64(2 * time.Minute))
	w.until("its end", func() bool { return state(view) == "expired t" })
	same(t, "the one that was ended", state(ended), "ended f")
	same(t, "log", scan[string](w, `select string_agg(action || ' ' || actor, ', ' order by id) from activity_log where record_id = $1 and actor like 'job:%'`, view), "view.ended job:housekeeping")
}
