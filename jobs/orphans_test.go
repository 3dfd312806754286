package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/sandbox"
)

func (w *world) sweep() {
	w.t.Helper()
	id := scan[uuid.UUID](w, `select private.sweep_numbers()`)
	w.until("the sweep", func() bool { return scan[string](w, `select state from jobs where id = $1`, id) == "done" })
}

func (w *world) subject(job uuid.UUID) uuid.UUID {
	w.t.Helper()
	return scan[uuid.UUID](w, `select subject_id from jobs where id = $1`, job)
}

// What nobody has is kept until somebody has it, or Twilio no longer does.
func TestOrphans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var sids []string
	for _, number := range []string{"+18575550201", "+18005550202", "+18575550203", "+18575550204"} {
		n, err := w.sandbox.AddNumber(sandbox.Number{PhoneNumber: number, FriendlyName: "Old " + number})
		must(t, err)
		sids = append(sids, n.SID)
	}
	tenant := w.tenant("haiec")
	// A purchase that is open is nobody's orphan.
	w.exec(`insert into number_purchases (tenant_id, phone_number) values ($1, '+18575550204')`, tenant)
	w.exec(`update river.river_job set state = 'scheduled', scheduled_at = now() + interval '1 day' where kind = 'number_purchase'`)
	w.work()
	w.sweep()
	orphans := func() string {
		return scan[string](w, `select coalesce(string_agg(phone_number || ' ' || monthly_cost_cents || ' ' || friendly_name, ', ' order by phone_number), '') from orphaned_numbers`)
	}
	same(t, "found", orphans(), "+18005550202 220 Old +18005550202, +18575550201 120 Old +18575550201, +18575550203 120 Old +18575550203")
	first := scan[time.Time](w, `select first_seen_at from orphaned_numbers where sid = $1`, sids[0])

	number := w.subject(scan[uuid.UUID](w, `select private.adopt_number($1, $2)`, sids[0], tenant))
	w.ends("done", "webhook_configure", number)
	same(t, "adopted", scan[string](w, `select status || ' ' || provider_sid || ' ' || (webhooks ->> 'voice_url') from phone_numbers where id = $1`, number),
		"ready "+sids[0]+" "+webhookBase+"/api/voice/incoming?tenant=haiec")

	orphan := w.subject(scan[uuid.UUID](w, `select private.release_orphan($1, '+18005550202')`, sids[1]))
	w.ends("done", "orphan_release", orphan)
	same(t, "numbers at Twilio", len(w.sandbox.Numbers()), 3)
	w.sweep()
	same(t, "left", orphans(), "+18575550203 120 Old +18575550203")
	if later := scan[time.Time](w, `select first_seen_at from orphaned_numbers where sid = $1`, sids[2]); later.Before(first.Add(-time.Second)) {
		t.Errorf("first seen at %v", later)
	}

	// Somebody gets it before its release is carried out: it stays.
	w.exec(`insert into phone_numbers (tenant_id, phone_number, status, provider_sid) values ($1, '+18575550203', 'ready', $2)`, tenant, sids[2])
	w.exec(`select private.release_orphan($1, '+18575550203')`, sids[2])
	w.ends("failed", "orphan_release", scan[uuid.UUID](w, `select id from orphaned_numbers where sid = $1`, sids[2]))
	same(t, "numbers at Twilio", len(w.sandbox.Numbers()), 3)
	w.sweep()
	same(t, "left", orphans(), "")
}

// The sweep compares the webhooks of every number that is somebody's, and tells; whoever repairs them has the last word.
func TestWebhookDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n, err := w.sandbox.AddNumber(sandbox.Number{PhoneNumber: "+18575550301"})
	must(t, err)
	tenant := w.tenant("haiec")
	number := scan[uuid.UUID](w, `insert into phone_numbers (tenant_id, phone_number) values ($1, '+18575550301') returning id`, tenant)
	w.work()
	w.ends("done", "number_verify", number)
	state := func() string {
		return scan[string](w, `select concat_ws(' ', status, webhooks_drifted_at is not null, monthly_cost_cents, right(webhooks ->> 'sms_url', 12)) from phone_numbers where id = $1`, number)
	}
	right := right12(scan[string](w, `select webhooks ->> 'sms_url' from phone_numbers where id = $1`, number))
	w.sweep()
	same(t, "as it should be", state(), "ready f 120 "+right)
	same(t, "nothing is written then", scan[int](w, `select count(*) from phone_numbers where webhooks_checked_at = updated_at`), 0)

	client, err := twilio.New(twilio.Config{AccountSID: sandbox.DefaultAccountSID, AuthToken: sandbox.DefaultAuthToken, BaseURL: w.vendors})
	must(t, err)
	hooks := twilio.WebhooksFor(webhookBase, "haiec", "https://example.com/fallback.xml")
	hooks.SMS = "https://elsewhere.example/sms"
	_, err = client.SetWebhooks(t.Context(), n.SID, hooks)
	must(t, err)
	w.sweep()
	same(t, "drifted", state(), "ready t 120 .example/sms")
	since := scan[time.Time](w, `select webhooks_drifted_at from phone_numbers where id = $1`, number)
	w.sweep()
	same(t, "since", scan[time.Time](w, `select webhooks_drifted_at from phone_numbers where id = $1`, number), since)
	same(t, "log", scan[int](w, `select count(*) from activity_log where record_id = $1 and changes ? 'webhooks_drifted_at' and actor = 'job:number_sweep'`, number), 1)

	w.exec(`select private.request_webhooks($1)`, number)
	w.ends("done", "webhook_configure", number)
	same(t, "repaired", state(), "ready f 120 "+right)
	w.sweep()
	same(t, "and stays so", state(), "ready f 120 "+right)
}

// A number that was released in Twilio's console is noted by the next sweep; a listing of another account is not believed.
func TestVanishedNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.work()
	tenant := w.tenant("acme")
	w.ends("done", "number_purchase", w.buy(tenant, "857", false))
	must(t, w.sandbox.Reset())
	w.sweep()
	same(t, "while Twilio may be behind", w.numberStatus(tenant), "ready")
	w.ahead.Store(int64(5 * time.Minute))
	w.sweep()
	if s := w.numberStatus(tenant); !strings.HasPrefix(s, "not_owned: Our Twilio account no longer has this number") {
		t.Error(s)
	}
	same(t, "log", scan[int](w, `select count(*) from activity_log where changes -> 'status' = '["ready", "not_owned"]' and actor = 'job:number_sweep'`), 1)

	w.exec(`update phone_numbers set status = 'ready', status_reason = null`)
	w.exec(`insert into phone_numbers (tenant_id, phone_number, status, provider_sid) values ($1, '+18575550209', 'ready', 'PN' || md5('x'))`, w.tenant("other"))
	w.ahead.Store(int64(10 * time.Minute))
	w.sweep()
	same(t, "in another account", scan[int](w, `select count(*) from phone_numbers where status = 'ready'`), 2)
}

func right12(s string) string { return s[len(s)-12:] }

// What an admin ordered for many tenants is done as the admin, once, by whichever worker.
func TestTenantsBulk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tenant("one")
	w.tenant("two")
	w.exec(`insert into phone_numbers (tenant_id, phone_number, status) select id, '+1857555030' || right(slug, 1)::text::char, 'ready' from (select id, case slug when 'one' then '1' else '2' end as slug from tenants) t`)
	w.exec(`update tenants set subscription_status = 'active'`)
	for _, action := range []string{`suspend', '{"reason": "Not paid"}`, `email', '{"subject": "Sunday", "text": "We are closed."}`} {
		order := uuid.New()
		w.exec(`select set_config('kestrel.actor', 'admin:1', true), set_config('kestrel.actor_label', 'admin@kestrel.test', true),
			private.bulk_order($1, '`+action+`', (select array_agg(id order by slug) from tenants), true)`, order)
		w.work()
		w.ends("done", "tenants_bulk", order)
	}
	same(t, "suspended", scan[string](w, `select string_agg(distinct subscription_status || ' ' || status_reason, ',') from tenants`), "suspended Not paid")
	same(t, "log", scan[string](w, `select string_agg(distinct actor || ' ' || actor_label, ',') from activity_log where action = 'tenant.suspended'`), "admin:1 admin@kestrel.test")
	w.until("the e-mails", func() bool {
		return len(w.mails("one@example.com", "Sunday")) == 1 && len(w.mails("two@example.com", "Sunday")) == 1
	})
	same(t, "e-mails", scan[int](w, `select count(*) from email_log where template = 'announcement'`), 2)
}
