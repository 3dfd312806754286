package jobs_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/sandbox"
)

// Checking, configuring and releasing a number: each fails with what to do about it, and goes on when tried again.
func TestNumberJobsFailAndGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	phone := w.forSale("857", 0)
	_, err := w.sandbox.AddNumber(sandbox.Number{PhoneNumber: phone})
	must(t, err)
	unconfigured := func(d *jobs.Deps) { d.Twilio, _ = twilio.New(twilio.Config{}) }
	tenant := w.tenant("acme", "twilio_phone_number", phone)
	number := scan[uuid.UUID](w, `select id from phone_numbers`)

	// fails runs a job without Twilio, then again with it.
	fails := func(kind, status string) {
		t.Helper()
		stop := w.work(unconfigured)
		j := w.ends("failed", kind, number)
		stop()
		same(t, kind, w.numberStatus(tenant), status+": Set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, then restart Kestrel.")
		w.exec(`select private.retry_job($1)`, j.ID)
		stop = w.work()
		same(t, "the same record", w.ends("done", kind, number).ID, j.ID)
		stop()
	}
	fails("number_verify", "failed")
	same(t, "verified", w.numberStatus(tenant), "ready")

	w.exec(`update tenants set slug = 'renamed'`)
	fails("webhook_configure", "ready")
	same(t, "configured", w.sandbox.Numbers()[0].VoiceURL, webhookBase+"/api/voice/incoming?tenant=renamed")

	w.exec(`update phone_numbers set status = 'releasing'`)
	fails("number_release", "releasing")
	same(t, "released", w.numberStatus(tenant), "released")
	same(t, "owned", len(w.sandbox.Numbers()), 0)
}

// A number that somebody released in the Twilio console is found missing; releasing it once more is no failure.
func TestNumberGoneAtTwilio(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.work()
	tenant := w.tenant("acme")
	w.ends("done", "number_purchase", w.buy(tenant, "857", false))
	number := scan[uuid.UUID](w, `select id from phone_numbers`)
	must(t, w.sandbox.Reset())
	w.exec(`update tenants set slug = 'renamed'`)
	w.ends("done", "webhook_configure", number)
	if s := w.numberStatus(tenant); !strings.HasPrefix(s, "not_owned: Our Twilio account no longer has this number") {
		t.Error(s)
	}
	w.exec(`update phone_numbers set status = 'releasing'`)
	w.ends("done", "number_release", number)
	same(t, "released", w.numberStatus(tenant), "released")
}
