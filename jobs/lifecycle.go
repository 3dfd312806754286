package jobs

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// Lifecycle asks, four times an hour, what is due in tenants' lives: the mail that a trial ends, the end of trials, the
// reminder of tenants that wait for activation. Each comes once, however often it is asked.
type Lifecycle struct{}

// Kind implements river.JobArgs.
func (Lifecycle) Kind() string { return "lifecycle" }

type lifecycleWorker struct {
	river.WorkerDefaults[Lifecycle]
	Deps
}

func (w *lifecycleWorker) Work(ctx context.Context, _ *river.Job[Lifecycle]) error {
	ended, err := AdvanceLives(ctx, w.DB, w.Now(), w.Config.TrialGrace, w.Config.AdminEmail)
	if ended > 0 {
		w.Log.Info("jobs: ended trials", "count", ended)
	}
	return err
}

// endBatch is how many trials SQL ends in one transaction.
const endBatch = 500

// AdvanceLives does what is due at a time in tenants' lives, and returns how many trials it ended, grace after their
// end. Without an admin's address nobody is reminded of waiting tenants.
func AdvanceLives(ctx context.Context, database *supabase.DB, at time.Time, grace time.Duration, admin string) (ended int, err error) {
	q := db.New(database.As(scope(Lifecycle{}.Kind())))
	if _, err := q.WarnTrials(ctx, at); err != nil {
		return 0, err
	}
	for {
		n, err := q.EndTrials(ctx, at.Add(-grace))
		ended += int(n)
		if err != nil {
			return ended, err
		}
		if n < endBatch {
			break
		}
	}
	if admin != "" {
		_, err = q.RemindPending(ctx, at, admin)
	}
	return ended, err
}
