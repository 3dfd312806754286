package jobs

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/supabase/db"
)

// NumberVerify finds out whether a number that somebody gave to a tenant is in our account, and configures it if so.
// It never buys.
type NumberVerify struct{ Args }

// Kind implements river.JobArgs.
func (NumberVerify) Kind() string { return "number_verify" }

type numberVerifyWorker struct {
	river.WorkerDefaults[NumberVerify]
	Deps
}

func (w *numberVerifyWorker) Work(ctx context.Context, job *river.Job[NumberVerify]) error {
	row, err := w.queries(job.Kind).FindNumberForJob(ctx, job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) || (err == nil && !slices.Contains([]string{"unverified", "not_owned", "failed"}, row.Status)) {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	n, owned, err := w.Twilio.FindByNumber(ctx, row.PhoneNumber)
	if err != nil {
		return err
	}
	if !owned {
		reason := "Our Twilio account does not have this number, so calls to it do not reach Kestrel. Buy another one here, or port it to Twilio and set it again."
		return finish(ctx, &w.Deps, job, func(q *db.Queries) error { return q.RecordNotOwned(ctx, &reason, row.ID) })
	}
	return configureNumber(ctx, &w.Deps, job, row, n)
}

// configureNumber sets the webhooks of an owned number and records it as ready.
func configureNumber[T recorded](ctx context.Context, d *Deps, job *river.Job[T], row db.FindNumberForJobRow, n twilio.OwnedNumber) error {
	if err := step(ctx, d, job, "configuring"); err != nil {
		return err
	}
	n, err := d.configure(ctx, n, d.webhooks(row.TenantID, row.Slug))
	if err != nil {
		return err
	}
	return finish(ctx, d, job, func(q *db.Queries) error {
		slug, err := q.LockTenantSlug(ctx, row.TenantID)
		if err != nil {
			return err
		}
		if slug != row.Slug {
			return &Failure{Reason: "The tenant's subdomain changed meanwhile; the webhooks are set again."}
		}
		if row.Status == "unverified" || row.Status == "not_owned" || row.Status == "failed" {
			if err := q.EnqueueJob(ctx, FallbackPublish{}.Kind(), row.TenantID, row.TenantID); err != nil {
				return err
			}
		}
		return q.RecordNumber(ctx, db.RecordNumberParams{
			ID: row.ID, Sid: &n.SID, AccountSid: &n.AccountSID, FriendlyName: &n.FriendlyName,
			Capabilities: capabilitiesJSON(n.Capabilities), Webhooks: webhooksJSON(n.Webhooks), CheckedAt: d.Now(),
			MonthlyCostCents: int32(d.Twilio.MonthlyCents(n.PhoneNumber)),
		})
	})
}
