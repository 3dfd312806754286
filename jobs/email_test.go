package jobs_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/jobs/resend"
	"kestrel.ai/server/sandbox"
)

// mail puts one in the outbox, as SQL does.
func (w *world) mail(template, dedupe string, tenant uuid.UUID, params map[string]any) uuid.UUID {
	w.t.Helper()
	raw, err := json.Marshal(params)
	must(w.t, err)
	return scan[uuid.UUID](w, `insert into email_log (template, tenant_id, to_email, dedupe_key, params) values ($1, $2, 'to@example.com', $3, $4) returning id`,
		template, tenant, dedupe, raw)
}

func (w *world) mailStatus(id uuid.UUID) string {
	return scan[string](w, `select status || coalesce(': ' || error, '') from email_log where id = $1`, id)
}

func TestEveryTemplate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	number := w.forSale("857", 0)
	_, err := w.sandbox.AddNumber(sandbox.Number{PhoneNumber: number})
	must(t, err)
	w.work()
	tenant := w.tenant("acme", "twilio_phone_number", number, "owner_name", "Ann", "brand_color", "#cc3300", "forward_to_number", "+14155550199")
	w.ends("done", "number_verify", scan[uuid.UUID](w, `select id from phone_numbers`))
	w.exec(`update tenants set subscription_status = 'trial' where id = $1`, tenant)
	for template, params := range map[string]map[string]any{
		"admin_new_tenant": {}, "welcome": {}, "live": {}, "trial_ending": {},
		"usage_warning": {"threshold": 80, "calls_used": 82},
		"member_invite": {"accept_url": "https://acme.kestrel.test/accept-invite", "role": "viewer"},
	} {
		id := w.mail(template, "test:"+template, tenant, params)
		w.ends("done", "email_send", id)
		same(t, template, w.mailStatus(id), "sent")
	}
	broken := w.mail("usage_warning", "test:broken", tenant, map[string]any{})
	j := w.ends("failed", "email_send", broken)
	if !strings.Contains(j.Reason, "could not be written") {
		t.Error(j.Reason)
	}
}

// Whatever Resend answers, one e-mail arrives.
func TestEmailOnce(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sandbox.Fault{
		"cut after the effect": {AfterCommit: true},
		"500 after the effect": {Status: 500, AfterCommit: true},
		"500 before it":        {Status: 500},
		"limited":              {Status: 429},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			tenant := w.tenant("acme")
			w.fault(sandbox.Fault{Service: "resend", Match: "POST /emails", Status: fault.Status, AfterCommit: fault.AfterCommit, Count: 3})
			w.exec(`select private.queue_email('welcome', $1, 'to@example.com', 'one') from generate_series(1, 3)`, tenant)
			w.work()
			id := scan[uuid.UUID](w, `select id from email_log where dedupe_key = 'one'`)
			w.ends("done", "email_send", id)
			same(t, "status", w.mailStatus(id), "sent")
			sent := w.mails("to@example.com", "")
			if len(sent) != 1 || sent[0].IdempotencyKey != "kestrel/"+id.String() {
				t.Errorf("sent: %+v", sent)
			}
		})
	}
}

func TestEmailFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.tenant("acme")
	id := w.mail("welcome", "one", tenant, nil)
	stop := w.work(func(d *jobs.Deps) { d.Resend, _ = resend.New(resend.Config{}) })
	w.ends("failed", "email_send", id)
	same(t, "status", w.mailStatus(id), "failed: Set RESEND_API_KEY and RESEND_FROM_EMAIL, then restart Kestrel.")
	stop()
	w.work()
	again := scan[uuid.UUID](w, `select private.resend_email($1)`, id)
	w.ends("done", "email_send", again)
	same(t, "sent", len(w.mails("to@example.com", "")), 1)
}

// After 20 hours Resend may have forgotten its key: nothing is sent again, and an admin decides.
func TestEmailUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.tenant("acme")
	invitation := scan[uuid.UUID](w, `insert into invitations (tenant_id, email) values ($1, 'to@example.com') returning id`, tenant)
	id := scan[uuid.UUID](w, `select id from email_log where dedupe_key = 'invite:' || $1 || ':1'`, invitation)
	w.fault(sandbox.Fault{Service: "resend", Match: "POST /emails", Status: 500, AfterCommit: true, Count: -1})
	w.work()
	w.until("a try", func() bool { return w.job("email_send", id).Attempt > 1 })
	same(t, "link kept", scan[int](w, `select count(*) from private.email_links where email_id = $1`, id), 1)
	w.ahead.Store(int64(21 * time.Hour))
	w.ends("failed", "email_send", id)
	if s := w.mailStatus(id); !strings.HasPrefix(s, "unknown: Resend never confirmed") {
		t.Error(s)
	}
	same(t, "link kept", scan[int](w, `select count(*) from private.email_links where email_id = $1`, id), 0)
	same(t, "sent", len(w.mails("to@example.com", "")), 1)
}

// What cannot have been sent is tried for as long as it takes.
func TestEmailLimitedForADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.tenant("acme")
	id := w.mail("welcome", "one", tenant, nil)
	w.fault(sandbox.Fault{Service: "resend", Match: "POST /emails", Status: 429, Count: -1})
	w.work()
	w.until("a try", func() bool { return w.job("email_send", id).Attempt > 1 })
	w.ahead.Store(int64(21 * time.Hour))
	w.sandbox.ClearFaults("")
	w.ends("done", "email_send", id)
	same(t, "status", w.mailStatus(id), "sent")
}
