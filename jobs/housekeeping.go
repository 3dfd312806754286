package jobs

import (
	"context"
	"time"

	"github.com/riverqueue/river"
)

// Housekeeping asks, once a minute, what has been left lying: jobs that River lost, e-mails and purchases without a
// job, views as a tenant that ran out, expired rows. It takes the time from Go and can be late or run twice.
type Housekeeping struct{}

// Kind implements river.JobArgs.
func (Housekeeping) Kind() string { return "housekeeping" }

type housekeepingWorker struct {
	river.WorkerDefaults[Housekeeping]
	Deps
}

// lostAfter is how long something stands still before it counts as lost.
const lostAfter = 2 * time.Minute

func (w *housekeepingWorker) Work(ctx context.Context, job *river.Job[Housekeeping]) error {
	q, now := w.queries(job.Kind), w.Now()
	lost, err := q.ReconcileJobs(ctx, now.Add(-lostAfter))
	if err != nil {
		return err
	}
	if lost > 0 {
		w.Log.Warn("jobs: found lost ones", "count", lost)
	}
	if _, err := q.DeleteExpiredTickets(ctx, now); err != nil {
		return err
	}
	if err := q.ForgetSignUps(ctx, now); err != nil {
		return err
	}
	if _, err := q.ExpireViews(ctx, now); err != nil {
		return err
	}
	_, err = q.DeleteOldIdempotencyKeys(ctx, now.Add(-24*time.Hour))
	return err
}
