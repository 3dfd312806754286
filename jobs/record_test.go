package jobs_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/sandbox"
)

// clumsy panics on every look-up.
type clumsy struct{ jobs.Twilio }

func (clumsy) FindByNumber(context.Context, string) (twilio.OwnedNumber, bool, error) {
	panic("secret detail")
}

func TestPanicIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	intent := w.buy(w.tenant("acme"), "+14155550123", false)
	w.exec(`update river.river_job set max_attempts = 2 where kind = 'number_purchase'`)
	w.work(func(d *jobs.Deps) { d.Twilio = clumsy{} })
	j := w.ends("failed", "number_purchase", intent)
	same(t, "reason", j.Reason, "Given up after 2 tries. Something went wrong inside Kestrel. The log has the details.")
	same(t, "secrets", scan[int](w, `select count(*) from river.river_job j where strpos(j::text, 'secret detail') > 0`), 0)
	same(t, "intent", scan[string](w, `select state from number_purchases`), "failed")
}

// A failed purchase can be ordered again; a lost job is found; a discarded one leaves its row.
func TestRetryAndReconcile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	intent := w.buy(w.tenant("acme"), w.forSale("857", 0), false)
	stop := w.work(func(d *jobs.Deps) { d.Twilio, _ = twilio.New(twilio.Config{}) })
	j := w.ends("failed", "number_purchase", intent)
	stop()
	w.exec(`select private.retry_job($1)`, j.ID)
	w.exec(`delete from river.river_job where kind = 'number_purchase'`)
	lost := w.buy(w.tenant("other"), w.forSale("857", 1), false)
	w.exec(`update river.river_job set state = 'discarded', finalized_at = now() where kind = 'number_purchase'`)
	w.work()
	w.ahead.Store(int64(3 * time.Minute))
	same(t, "the same record", w.ends("done", "number_purchase", intent).ID, j.ID)
	if j := w.ends("failed", "number_purchase", lost); !strings.Contains(j.Reason, "tried too often") {
		t.Error(j.Reason)
	}
	same(t, "intent", scan[string](w, `select state from number_purchases where id = $1`, lost), "failed")
}

// Stop lets what runs finish; what does not finish in time runs again, without a try lost.
func TestStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	began := make(chan struct{})
	intent := w.buy(w.tenant("acme"), w.forSale("857", 0), false)
	stop := w.work(func(d *jobs.Deps) {
		d.Twilio = stuck{d.Twilio, began}
		d.Config.Tuning.SoftStop = 50 * time.Millisecond
	})
	<-began
	stop()
	if j := w.job("number_purchase", intent); j.State != "queued" || !strings.Contains(j.Reason, "restarted") {
		t.Errorf("%+v", j)
	}
	w.work()
	same(t, "attempt", w.ends("done", "number_purchase", intent).Attempt, 1)
}

// stuck waits in a look-up until it is cancelled.
type stuck struct {
	jobs.Twilio
	began chan struct{}
}

func (s stuck) FindByNumber(ctx context.Context, _ string) (twilio.OwnedNumber, bool, error) {
	close(s.began)
	<-ctx.Done()
	return twilio.OwnedNumber{}, false, ctx.Err()
}

// A worker that loses its lease in the middle of a purchase, while another takes the job over, buys nothing twice.
func TestLeaseLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fault(sandbox.Fault{Match: buying, AfterCommit: true, DelayMS: 4000})
	intent := w.buy(w.tenant("acme"), w.forSale("857", 0), true)
	w.work()
	w.until("the purchase", func() bool { return len(w.sandbox.Numbers()) == 1 })
	w.exec(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'kestrel job leases'`)
	w.work()
	j := w.ends("done", "number_purchase", intent)
	same(t, "owned", len(w.sandbox.Numbers()), 1)
	same(t, "requests to buy", w.requests("POST", "IncomingPhoneNumbers.json") <= 1, true)
	if j.Attempt < 2 {
		t.Errorf("nobody took over: %+v", j)
	}
	w.until("the mail", func() bool { return len(w.mails("acme@example.com", "You're Live!")) == 1 })
}

// What a dead worker left running is taken over at once, unless workers die of it every time.
func TestRescue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	orphan, deadly := w.buy(w.tenant("acme"), w.forSale("857", 0), false), w.buy(w.tenant("other"), w.forSale("857", 1), false)
	w.exec(`update river.river_job set state = 'running', attempt = 3, attempted_at = now(), attempted_by = '{dead}' where kind = 'number_purchase'`)
	w.exec(`update river.river_job set attempt = max_attempts where args ->> 'subject_id' = $1`, deadly.String())
	w.work()
	same(t, "attempt", w.ends("done", "number_purchase", orphan).Attempt, 4)
	if j := w.ends("failed", "number_purchase", deadly); !strings.HasPrefix(j.Reason, "Its worker died every time") {
		t.Error(j.Reason)
	}
	same(t, "owned", len(w.sandbox.Numbers()), 1)
}

// A worker has said how its job ended, and dies or is slow before River has it from there: the record's word stands, and
// the job does not run again.
func TestRescueAfterTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.tenant("acme")
	email := scan[uuid.UUID](w, `select private.queue_email('welcome', $1, 'acme@example.com', 'test:1')`, tenant)
	const refused = "Resend refused the address."
	w.exec(`select private.fail_job(id, $2, 3) from jobs where subject_id = $1`, email, refused)
	bought := w.buy(tenant, w.forSale("857", 0), false)
	w.exec(`select private.job_step(id, 'done', 'done', null, 3) from jobs where subject_id = $1`, bought)
	w.exec(`update river.river_job set state = 'running', attempt = 3, attempted_at = now(), attempted_by = '{dead}'
		where args ->> 'subject_id' in ($1::text, $2::text)`, email.String(), bought.String())
	w.work()
	ended := func(subject uuid.UUID) string {
		return scan[string](w, `select concat_ws(' ', r.state, r.attempt, j.state, j.reason) from jobs j join river.river_job r on r.id = j.river_job_id where j.subject_id = $1`, subject)
	}
	w.until("River's end of the refused", func() bool { return ended(email) == "cancelled 3 failed "+refused })
	w.until("River's end of the bought", func() bool { return ended(bought) == "completed 3 done" })
	same(t, "tried to send", scan[bool](w, `select first_attempt_at is not null from email_log where id = $1`, email), false)
	same(t, "numbers", len(w.sandbox.Numbers()), 0)
}

// What a job promised is not why it ended.
func TestReconciledReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.tenant("acme")
	for i, c := range []struct{ said, ends string }{
		{"Its worker died; another one goes on.", "The job was tried too often without an end. Try it again."},
		{"Kestrel was restarted; it goes on by itself.", "The job was tried too often without an end. Try it again."},
		{"Twilio does not answer. Next try at 10:00:00 UTC.", "Twilio does not answer."},
	} {
		id := w.buy(tenant, w.forSale("857", i), false)
		w.exec(`update river.river_job set state = 'discarded', finalized_at = now() where args ->> 'subject_id' = $1`, id.String())
		w.exec(`update jobs set state = 'queued', reason = $2, updated_at = now() - interval '1 hour' where subject_id = $1`, id, c.said)
		w.exec(`select private.reconcile_jobs(now() - interval '2 minutes')`)
		same(t, c.said, scan[string](w, `select state || ' ' || reason from jobs where subject_id = $1`, id), "failed "+c.ends)
	}
}
