package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/supabase/db"
)

// CallReconcile asks Twilio what became of calls whose end nobody has reported, and whether there were calls that we know
// nothing of: webhooks get lost, and processes die. It takes the time from Go and can be late or run twice.
type CallReconcile struct{}

// Kind implements river.JobArgs.
func (CallReconcile) Kind() string { return "call_reconcile" }

type callReconcileWorker struct {
	river.WorkerDefaults[CallReconcile]
	Deps
}

const (
	openFor      = 5 * time.Minute // before a call's silence is looked into, and between two looks
	reportWithin = 2 * time.Minute // after a call's end its process has said what it had to say, or never will
	listedTwice  = 10 * time.Minute
	firstListing = 24 * time.Hour
	callsMark    = "calls"
	maxOpenCalls = 200
)

func (w *callReconcileWorker) Work(ctx context.Context, _ *river.Job[CallReconcile]) error {
	return ReconcileCalls(ctx, w.Deps)
}

// ReconcileCalls is the job, once. Without Twilio there is nothing to ask.
func ReconcileCalls(ctx context.Context, d Deps) error {
	w := &callReconcileWorker{Deps: d}
	q := w.queries(CallReconcile{}.Kind())
	err := errors.Join(w.open(ctx, q), w.unknown(ctx, q))
	if errors.Is(err, twilio.ErrNotConfigured) {
		err = nil
	}
	return errors.Join(err, q.ForgetVoiceEvents(ctx, w.Now().Add(-30*24*time.Hour)))
}

// open completes the calls that should be over by now.
func (w *callReconcileWorker) open(ctx context.Context, q *db.Queries) error {
	now := w.Now()
	calls, err := q.OpenCalls(ctx, now.Add(-openFor), now.Add(-openFor), maxOpenCalls)
	if err != nil {
		return err
	}
	for _, c := range calls {
		found, err := w.Twilio.FetchCall(ctx, c.CallSid)
		switch {
		case errors.Is(err, twilio.ErrNotFound):
			found = twilio.Call{SID: c.CallSid, Status: "failed", EndedAt: c.StartedAt}
		case err != nil:
			return err // nobody else's answer will be better
		}
		if err := w.settle(ctx, q, c.ID, c.TenantID, found); err != nil {
			return err
		}
	}
	return nil
}

// settle takes Twilio's word. A call that has been over for a while is closed: what its process has not said by now is lost.
func (w *callReconcileWorker) settle(ctx context.Context, q *db.Queries, id, tenant uuid.UUID, found twilio.Call) error {
	now := w.Now()
	if !found.Over() {
		return q.MarkReconciled(ctx, now, id)
	}
	if err := w.record(ctx, q, id, tenant, found); err != nil {
		return err
	}
	if now.Sub(found.EndedAt) > reportWithin {
		if err := q.CloseCall(ctx, id, now); err != nil {
			return err
		}
		w.Log.Info("jobs: a call's end was reported by nobody", "call_id", id, "tenant_id", tenant, "status", found.Status)
	}
	return q.MarkReconciled(ctx, now, id)
}

func (w *callReconcileWorker) record(ctx context.Context, q *db.Queries, id, tenant uuid.UUID, c twilio.Call) error {
	data, err := json.Marshal(map[string]any{
		"status": c.Status, "duration": c.Duration, "from": e164OrNull(c.From), "to": e164OrNull(c.To), "started_at": timeOrNull(c.StartedAt), "ended_at": timeOrNull(c.EndedAt),
		"cost_micros": int64(math.Round(math.Ceil(float64(c.Duration)/60) * w.Config.IncomingMinute * 1e6)),
	})
	if err != nil {
		return err
	}
	event, err := uuid.NewV7()
	if err != nil {
		return err
	}
	_, err = q.RecordCallEvent(ctx, db.RecordCallEventParams{ID: event, Type: "call.status", TenantID: tenant, CallID: id, CallSid: c.SID, At: w.Now(), Data: data})
	return err
}

// unknown looks through Twilio's calls since the last time for those that left nothing here, as in an outage.
func (w *callReconcileWorker) unknown(ctx context.Context, q *db.Queries) error {
	now := w.Now()
	since, err := q.FindReconcileMark(ctx, callsMark)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		since = now.Add(-firstListing)
	case err != nil:
		return err
	case now.Sub(since) < openFor:
		return nil
	}
	mark := now
	err = w.Twilio.ListCalls(ctx, since.Add(-listedTwice), func(page []twilio.Call) error {
		missing, err := w.missing(ctx, q, page)
		for _, c := range missing {
			if !c.Over() || now.Sub(c.EndedAt) < reportWithin {
				mark = earlier(mark, c.StartedAt) // look again when it is over and told
				continue
			}
			if err := w.record(ctx, q, uuid.Nil, c.tenant, c.Call); err != nil {
				return err
			}
			w.Log.Warn("jobs: Twilio had a call that we knew nothing of", "tenant_id", c.tenant, "call_sid", c.SID)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("twilio's calls: %w", err)
	}
	return q.SetReconcileMark(ctx, callsMark, mark)
}

type missingCall struct {
	twilio.Call
	tenant uuid.UUID
}

func (w *callReconcileWorker) missing(ctx context.Context, q *db.Queries, page []twilio.Call) (missing []missingCall, err error) {
	by := map[string]twilio.Call{}
	var sids, numbers []string
	for _, c := range page {
		if c.Direction == "inbound" && c.ParentSID == "" {
			by[c.SID] = c
			sids, numbers = append(sids, c.SID), append(numbers, c.To)
		}
	}
	rows, err := q.UnknownCalls(ctx, sids, numbers)
	for _, r := range rows {
		missing = append(missing, missingCall{by[r.CallSid], r.TenantID})
	}
	return missing, err
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// e164OrNull leaves out a caller without a number.
func e164OrNull(number string) any {
	if len(number) < 8 || number[0] != '+' {
		return nil
	}
	return number
}
