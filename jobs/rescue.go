package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// rescuer finds jobs whose worker died: River says running, yet nobody holds the lease. River's own rescue knows only
// time, and so has to wait an hour.
type rescuer struct {
	db    *supabase.DB
	log   *slog.Logger
	every time.Duration
	self  string          // River's id of this process
	seen  map[orphan]bool // without a lease at the last look
}

// orphan is one try of one job.
type orphan struct {
	id      int64
	attempt int
}

func newRescuer(d Deps, self string) *rescuer {
	return &rescuer{db: d.DB, log: d.Log, every: d.Config.Tuning.RescueEvery, self: self, seen: map[orphan]bool{}}
}

// run looks at once and then every so often.
func (r *rescuer) run(ctx context.Context) {
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	for {
		if err := r.look(ctx); err != nil && ctx.Err() == nil {
			r.log.Error("jobs: rescue", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look rescues what was without a lease at the last look already: between River's taking a job and our taking its
// lease, and again at its end, there are some milliseconds.
func (r *rescuer) look(ctx context.Context) error {
	rows, err := r.db.Pool().Query(ctx, `
		select id, attempt, kind || ':' || coalesce(args ->> 'subject_id', ''), coalesce((args ->> 'job_id')::uuid, '00000000-0000-0000-0000-000000000000')
		from river.river_job where state = 'running' and attempted_by[array_upper(attempted_by, 1)] is distinct from $1`, r.self)
	if err != nil {
		return err
	}
	type candidate struct {
		orphan
		lease  string
		record uuid.UUID
	}
	candidates, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c candidate, err error) {
		return c, row.Scan(&c.id, &c.attempt, &c.lease, &c.record)
	})
	if err != nil {
		return err
	}
	seen := map[orphan]bool{}
	for _, c := range candidates {
		err := r.db.Tx(ctx, scope("rescue"), func(tx pgx.Tx) error {
			var free bool
			if err := tx.QueryRow(ctx, `select pg_try_advisory_xact_lock(`+leaseKey+`)`, c.lease).Scan(&free); err != nil || !free {
				return err
			}
			if seen[c.orphan] = true; !r.seen[c.orphan] {
				return nil
			}
			return r.free(ctx, tx, c.orphan, c.record)
		})
		if err != nil {
			return err
		}
	}
	r.seen = seen
	return nil
}

// free gives a job to whoever is next, and ends one that has used up its tries.
func (r *rescuer) free(ctx context.Context, tx pgx.Tx, o orphan, record uuid.UUID) error {
	// The queue belongs to the login, not to the scope's role.
	if _, err := tx.Exec(ctx, "reset role"); err != nil {
		return err
	}
	var ended bool
	err := tx.QueryRow(ctx, rescue, o.id, o.attempt).Scan(&ended)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // its worker was only just done with it
	}
	if err != nil {
		return err
	}
	r.log.Warn("jobs: rescued a job whose worker died", "job_id", record, "river_job_id", o.id, "attempt", o.attempt, "ended", ended)
	if _, err := tx.Exec(ctx, "set local role service_role"); err != nil {
		return err
	}
	q := db.New(tx)
	if ended {
		return q.FailJob(ctx, db.FailJobParams{ID: record, Attempt: int32(o.attempt), Reason: "Its worker died every time, the last time now. The log has the details; try it again once that is mended."})
	}
	return q.DelayJob(ctx, "Its worker died; another one goes on.", int32(o.attempt), record)
}

const rescue = `
with freed as (
  update river.river_job set
    state = (case when attempt >= max_attempts then 'discarded' else 'available' end)::river.river_job_state,
    finalized_at = case when attempt >= max_attempts then now() end,
    scheduled_at = now(),
    errors = array_append(errors, jsonb_build_object('at', now(), 'attempt', attempt, 'error', 'the worker died', 'trace', ''))
  where id = $1 and attempt = $2 and state = 'running'
  returning state = 'discarded' as ended
)
select ended from freed, pg_notify('river.river_insert', '{"queue":"default"}')`
