package jobs

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/supabase/db"
)

// WebhookConfigure makes a number's webhooks at Twilio what they should be, e.g. after a change of subdomain.
type WebhookConfigure struct{ Args }

// Kind implements river.JobArgs.
func (WebhookConfigure) Kind() string { return "webhook_configure" }

type webhookConfigureWorker struct {
	river.WorkerDefaults[WebhookConfigure]
	Deps
}

func (w *webhookConfigureWorker) Work(ctx context.Context, job *river.Job[WebhookConfigure]) error {
	row, err := w.queries(job.Kind).FindNumberForJob(ctx, job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) || (err == nil && (row.Status == "releasing" || row.Status == "released")) {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	n, owned, err := w.find(ctx, row)
	if err != nil {
		return err
	}
	if !owned {
		reason := goneReason
		if row.ProviderSid == nil {
			reason = "Our Twilio account does not have this number. Buy another one here, or port it to Twilio and set it again."
		}
		return finish(ctx, &w.Deps, job, func(q *db.Queries) error { return q.RecordNotOwned(ctx, &reason, row.ID) })
	}
	return configureNumber(ctx, &w.Deps, job, row, n)
}

func (w *webhookConfigureWorker) find(ctx context.Context, row db.FindNumberForJobRow) (twilio.OwnedNumber, bool, error) {
	if row.ProviderSid == nil {
		return w.Twilio.FindByNumber(ctx, row.PhoneNumber)
	}
	n, err := w.Twilio.Fetch(ctx, *row.ProviderSid)
	if errors.Is(err, twilio.ErrNotFound) {
		return n, false, nil
	}
	return n, err == nil, err
}
