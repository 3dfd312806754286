package jobs

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/supabase/db"
)

// OrphanRelease gives a number that nobody has back to Twilio.
type OrphanRelease struct{ Args }

// Kind implements river.JobArgs.
func (OrphanRelease) Kind() string { return "orphan_release" }

type orphanReleaseWorker struct {
	river.WorkerDefaults[OrphanRelease]
	Deps
}

// Work holds the number while Twilio is asked: until then nobody can give it to a tenant.
func (w *orphanReleaseWorker) Work(ctx context.Context, job *river.Job[OrphanRelease]) error {
	err := w.DB.Tx(ctx, scope(job.Kind), func(tx pgx.Tx) error {
		q := db.New(tx)
		n, err := q.HoldOrphan(ctx, job.Args.SubjectID)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // released or adopted before
		}
		if err != nil {
			return err
		}
		taken, err := q.NumberHasOwner(ctx, n.Sid, n.PhoneNumber)
		if err != nil {
			return err
		}
		if taken {
			return permanently("Somebody has this number by now: it was not released.")
		}
		if err := w.Twilio.Release(ctx, n.Sid); err != nil {
			return err
		}
		return q.DropOrphan(ctx, job.Args.SubjectID)
	})
	if err != nil {
		return err
	}
	return finish(ctx, &w.Deps, job, nil)
}
