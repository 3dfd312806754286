package jobs

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/supabase/db"
)

// CallerErase forgets one caller of a tenant: recordings first, while the calls still know where they lie, then the
// rows. The calls themselves stay, and count.
type CallerErase struct{ Args }

// Kind implements river.JobArgs.
func (CallerErase) Kind() string { return "caller_erase" }

type callerEraseWorker struct {
	river.WorkerDefaults[CallerErase]
	Deps
}

func (w *callerEraseWorker) Work(ctx context.Context, job *river.Job[CallerErase]) error {
	q, contact := w.queries(job.Kind), job.Args.SubjectID
	tenant, err := q.ContactTenant(ctx, contact)
	if errors.Is(err, pgx.ErrNoRows) {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	if err := step(ctx, &w.Deps, job, "recordings"); err != nil {
		return err
	}
	recordings, err := q.CallerRecordings(ctx, tenant, contact)
	if err != nil {
		return err
	}
	var own []string
	for _, path := range recordings {
		if ownFile(tenant, path) {
			own = append(own, path)
		}
	}
	if err := w.Storage.Remove(ctx, RecordingsBucket, own...); err != nil {
		return err
	}
	if err := step(ctx, &w.Deps, job, "erasing"); err != nil {
		return err
	}
	return finish(ctx, &w.Deps, job, func(q *db.Queries) error { return q.EraseCaller(ctx, tenant, contact) })
}
