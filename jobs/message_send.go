package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/supabase/db"
)

// MessageSend sends one text of the outbox (messages, outbound and queued). Twilio knows no idempotency key, so a text
// that may have been sent is never sent again: it ends as unknown.
type MessageSend struct{ Args }

// Kind implements river.JobArgs.
func (MessageSend) Kind() string { return "message_send" }

type messageSendWorker struct {
	river.WorkerDefaults[MessageSend]
	Deps
}

func (w *messageSendWorker) Work(ctx context.Context, job *river.Job[MessageSend]) error {
	q := w.queries(job.Kind)
	m, err := q.TextToSend(ctx, job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	switch m.Status {
	case "queued":
	case "sending":
		return &Failure{Permanent: true, MaybeDone: true, Reason: "Kestrel stopped while it sent this text; whether it was sent can be seen at Twilio."}
	default:
		return finish(ctx, &w.Deps, job, nil)
	}
	if m.OptedOut {
		return permanently("The receiver has asked for no more texts.")
	}
	if n, err := q.StartText(ctx, m.ID); err != nil || n == 0 {
		return err
	}
	// From here on the process may end, but not the request: what Twilio answers must be written down.
	asked, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	sent, err := w.Twilio.SendSMS(asked, m.FromNumber, m.ToNumber, m.Body, twilio.TextStatusURL(w.Config.WebhookBase, m.Slug, m.ID))
	if err != nil {
		f := judge(err)
		// The code tells SQL what to learn from it: 21610 and 30034.
		if tw := (*twilio.Error)(nil); errors.As(err, &tw) && tw.Code != 0 && f.Permanent {
			f.Reason = fmt.Sprintf("%s (Twilio error %d)", strings.TrimSuffix(f.Reason, "."), tw.Code)
		}
		if f.MaybeDone {
			f.Permanent = true
			f.Reason = "Twilio did not confirm this text; whether it was sent can be seen there."
		}
		if !f.Permanent {
			if err := q.WaitText(asked, &f.Reason, m.ID); err != nil {
				return err
			}
		}
		return f
	}
	return finish(asked, &w.Deps, job, func(q *db.Queries) error {
		return q.SentText(asked, sent.Status, &sent.SID, m.ID)
	})
}
