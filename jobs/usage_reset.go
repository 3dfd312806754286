package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// UsageReset asks, once an hour, which usage periods have ended: it closes each with its totals, once, and opens those
// that follow. It can be late by any time, and run twice.
type UsageReset struct{}

// Kind implements river.JobArgs.
func (UsageReset) Kind() string { return "usage_reset" }

type usageResetWorker struct {
	river.WorkerDefaults[UsageReset]
	Deps
}

// resetBatch is how many tenants are reset in one transaction: as long as that takes, calls to them wait to be counted.
const resetBatch = 20

func (w *usageResetWorker) Work(ctx context.Context, _ *river.Job[UsageReset]) error {
	closed, err := ResetUsage(ctx, w.DB, w.Now())
	if closed > 0 {
		w.Log.Info("jobs: closed usage periods", "count", closed)
	}
	return err
}

// Timeout implements river.Worker: after an outage all tenants may be due at once.
func (w *usageResetWorker) Timeout(*river.Job[UsageReset]) time.Duration { return 15 * time.Minute }

// ResetUsage closes every usage period that has ended by at, each tenant's in order, and returns how many. What is done
// when it is interrupted stays done.
func ResetUsage(ctx context.Context, database *supabase.DB, at time.Time) (closed int, err error) {
	q := db.New(database.As(scope(UsageReset{}.Kind())))
	for {
		batch, err := q.ResetDueUsage(ctx, at, resetBatch)
		closed += int(batch.Closed)
		if err != nil || batch.Closed == 0 && !batch.Busy {
			return closed, err
		}
		if !batch.Busy {
			continue
		}
		// All that are left are busy: wait for one.
		tenant, err := q.DueUsageTenant(ctx, at)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return closed, err
		}
		one, err := q.ResetUsage(ctx, tenant, at)
		closed += int(one)
		if err != nil {
			return closed, err
		}
	}
}
