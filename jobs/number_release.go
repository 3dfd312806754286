package jobs

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/supabase/db"
)

// NumberRelease gives a number back to Twilio.
type NumberRelease struct{ Args }

// Kind implements river.JobArgs.
func (NumberRelease) Kind() string { return "number_release" }

type numberReleaseWorker struct {
	river.WorkerDefaults[NumberRelease]
	Deps
}

func (w *numberReleaseWorker) Work(ctx context.Context, job *river.Job[NumberRelease]) error {
	row, err := w.queries(job.Kind).FindNumberForJob(ctx, job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) || (err == nil && row.Status != "releasing") {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	// Without a SID it never was ours to release; the row only lets go of it.
	if row.ProviderSid != nil {
		if err := step(ctx, &w.Deps, job, "releasing"); err != nil {
			return err
		}
		if err := w.Twilio.Release(ctx, *row.ProviderSid); err != nil {
			return err
		}
	}
	return finish(ctx, &w.Deps, job, func(q *db.Queries) error { return q.RecordReleased(ctx, row.ID) })
}
