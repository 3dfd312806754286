package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/supabase/db"
)

// TenantsBulk does what an admin ordered for many tenants, each in a transaction of its own; run again, it goes on.
type TenantsBulk struct{ Args }

// Kind implements river.JobArgs.
func (TenantsBulk) Kind() string { return "tenants_bulk" }

type tenantsBulkWorker struct {
	river.WorkerDefaults[TenantsBulk]
	Deps
}

func (w *tenantsBulkWorker) Work(ctx context.Context, job *river.Job[TenantsBulk]) error {
	q, order := w.queries(job.Kind), job.Args.SubjectID
	by, err := q.BulkActor(ctx, order)
	if errors.Is(err, pgx.ErrNoRows) {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	waiting, err := q.WaitingBulk(ctx, order)
	if err != nil {
		return err
	}
	// What is done is the admin's doing, in the activity log too.
	as := scope(job.Kind)
	as.Actor, as.ActorLabel = by.Actor, by.ActorLabel
	run, told := db.New(w.DB.As(as)), time.Now()
	for n, tenant := range waiting {
		if err := run.RunBulk(ctx, order, tenant); err != nil {
			return err
		}
		if n == 0 || time.Since(told) > time.Second {
			told = time.Now()
			p, err := q.BulkProgress(ctx, order)
			if err != nil {
				return err
			}
			said := fmt.Sprintf("%d of %d tenants are done, %d of them refused.", p.Done, p.Total, p.Refused)
			if err := q.TellProgress(ctx, job.Args.JobID, said, int32(job.Attempt)); err != nil {
				return err
			}
		}
	}
	return finish(ctx, &w.Deps, job, nil)
}
