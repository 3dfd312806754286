package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// rescuer finds jobs whose worker died: River says running, yet nobody holds the lease. River's own rescue knows only
// time, and so has to wait an hour.
type rescuer struct {
	pool  *pgxpool.Pool
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
	return &rescuer{pool: d.DB.Pool(), log: d.Log, every: d.Config.Tuning.RescueEvery, self: self, seen: map[orphan]bool{}}
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
	rows, err := r.pool.Query(ctx, `
		select id, attempt, kind || ':' || coalesce(args ->> 'subject_id', '') from river.river_job
		where state = 'running' and attempted_by[array_upper(attempted_by, 1)] is distinct from $1`, r.self)
	if err != nil {
		return err
	}
	type candidate struct {
		orphan
		lease string
	}
	candidates, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c candidate, err error) {
		return c, row.Scan(&c.id, &c.attempt, &c.lease)
	})
	if err != nil {
		return err
	}
	seen := map[orphan]bool{}
	for _, c := range candidates {
		rescued := false
		err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
			var free bool
			if err := tx.QueryRow(ctx, `select pg_try_advisory_xact_lock(`+leaseKey+`)`, c.lease).Scan(&free); err != nil || !free {
				return err
			}
			if seen[c.orphan] = true; !r.seen[c.orphan] {
				return nil
			}
			tag, err := tx.Exec(ctx, rescue, c.id, c.attempt)
			rescued = err == nil && tag.RowsAffected() == 1
			return err
		})
		if err != nil {
			return err
		}
		if rescued {
			r.log.Warn("jobs: rescued a job whose worker died", "river_job_id", c.id, "attempt", c.attempt, "lease", c.lease)
		}
	}
	r.seen = seen
	return nil
}

// rescue frees a job for whoever is next. One that has used up its tries ends; housekeeping then records that.
const rescue = `
with freed as (
  update river.river_job set
    state = (case when attempt >= max_attempts then 'discarded' else 'available' end)::river.river_job_state,
    finalized_at = case when attempt >= max_attempts then now() end,
    scheduled_at = now(),
    errors = array_append(errors, jsonb_build_object('at', now(), 'attempt', attempt, 'error', 'the worker died', 'trace', ''))
  where id = $1 and attempt = $2 and state = 'running'
  returning id
)
select pg_notify('river.river_insert', '{"queue":"default"}') from freed`
