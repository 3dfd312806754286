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

// free gives a job to whoever is next, and ends one that has used up its tries. What the record says of its end, River
// was only not told yet: that stays.
func (r *rescuer) free(ctx context.Context, tx pgx.Tx, o orphan, record uuid.UUID) error {
	said, err := db.New(tx).JobState(ctx, record)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	// The queue belongs to the login, not to the scope's role.
	if _, err := tx.Exec(ctx, "reset role"); err != nil {
		return err
	}
	var state string
	err = tx.QueryRow(ctx, rescue, o.id, o.attempt, said).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // its worker was only just done with it
	}
	if err != nil {
		return err
	}
	r.log.Warn("jobs: rescued a job whose worker died", "job_id", record, "river_job_id", o.id, "attempt", o.attempt, "state", state)
	if _, err := tx.Exec(ctx, "set local role service_role"); err != nil {
		return err
	}
	q := db.New(tx)
	switch state {
	case "available":
		return q.DelayJob(ctx, "Its worker died; another one goes on.", int32(o.attempt), record)
	case "discarded":
		return q.FailJob(ctx, db.FailJobParams{ID: record, Attempt: int32(o.attempt), Reason: "Its worker died every time, the last time now. The log has the details; try it again once that is mended."})
	}
	return nil
}

const rescue = `
with freed as (
  update river.river_job set
    state = v.state, finalized_at = case when v.state <> 'available' then now() end, scheduled_at = now(),
    errors = case when $3 in ('done', 'failed') then errors
      else array_append(errors, jsonb_build_object('at', now(), 'attempt', attempt, 'error', 'the worker died', 'trace', '')) end
  from (select (case when $3 = 'done' then 'completed' when $3 = 'failed' then 'cancelled'
    when j.attempt >= j.max_attempts then 'discarded' else 'available' end)::river.river_job_state as state from river.river_job j where j.id = $1) v
  where id = $1 and attempt = $2 and river_job.state = 'running'
  returning v.state::text as state
)
select state from freed, pg_notify('river.river_insert', '{"queue":"default"}')`
