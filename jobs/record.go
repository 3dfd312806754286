package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// Args is what every job that SQL enqueues carries.
type Args struct {
	JobID     uuid.UUID `json:"job_id"`     // our record, public.jobs
	SubjectID uuid.UUID `json:"subject_id"` // the row it is about
}

func (a Args) record() uuid.UUID { return a.JobID }

// recorded is a kind of job that has a record.
type recorded interface {
	river.JobArgs
	record() uuid.UUID
}

// recorder is the one place that keeps public.jobs in step with River, and that lets no job run twice at once.
type recorder struct {
	river.MiddlewareDefaults
	Deps
	leases  *leases
	retries *retries
}

// Work implements rivertype.WorkerMiddleware.
func (r *recorder) Work(ctx context.Context, row *rivertype.JobRow, inner func(context.Context) error) error {
	var args Args
	if err := json.Unmarshal(row.EncodedArgs, &args); err != nil {
		return river.JobCancel(errors.New("unreadable args"))
	}
	lease := row.Kind + ":"
	if args.SubjectID != uuid.Nil {
		lease += args.SubjectID.String()
	}
	leased, release, err := r.leases.take(ctx, lease)
	if errors.Is(err, errLeased) {
		return river.JobSnooze(r.Config.Tuning.RescueEvery)
	}
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	defer release()
	if args.JobID == uuid.Nil {
		return safely(leased, inner)
	}
	// Whoever waited for the lease may have been rescued, or overtaken, meanwhile.
	var current bool
	err = r.DB.Pool().QueryRow(leased, `select state = 'running' and attempt = $2 from river.river_job where id = $1`, row.ID, row.Attempt).Scan(&current)
	if err != nil {
		return err
	}
	if !current {
		return river.JobSnooze(r.Config.Tuning.RescueEvery)
	}
	q := db.New(r.DB.As(scope(row.Kind)))
	state, err := q.JobState(leased, args.JobID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return river.JobCancel(errors.New("its tenant was purged"))
	case err != nil:
		return err
	case state == "done":
		return nil
	case state == "failed":
		return river.JobCancel(errors.New("failed before"))
	}
	if err := q.StartJob(leased, int32(row.Attempt), args.JobID); err != nil {
		return err
	}
	err = safely(leased, inner)
	var waits *rivertype.JobSnoozeError
	switch {
	case errors.As(err, &waits) && ctx.Err() == nil:
		if err := q.WaitJob(leased, args.JobID, int32(row.Attempt)); err != nil {
			return err
		}
		return waits
	case err != nil:
		return r.failed(ctx, leased, row, args, err)
	}
	return q.FinishJob(leased, args.JobID, int32(row.Attempt)) // silent when the worker has said so
}

// failed records why, and tells River what to do: give up, or come back.
func (r *recorder) failed(ctx, leased context.Context, row *rivertype.JobRow, args Args, err error) error {
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	q := db.New(r.DB.As(scope(row.Kind)))
	log := r.Log.With("kind", row.Kind, "job_id", args.JobID, "attempt", row.Attempt)
	if errors.Is(context.Cause(leased), errLeaseLost) {
		log.Warn("job interrupted: its lease was lost")
		return errors.New("interrupted") // the record may be another worker's by now
	}
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		log.Info("job interrupted: stopping")
		if err := q.DelayJob(short, "Kestrel was restarted; it goes on by itself.", int32(row.Attempt), args.JobID); err != nil {
			return err
		}
		return fmt.Errorf("interrupted: %w", context.Canceled)
	}
	f := judge(err)
	log = log.With("reason", f.Reason, "cause", f.cause)
	last := row.Attempt >= row.MaxAttempts
	if !f.Permanent && !last {
		wait := r.retries.wish(row, f.After)
		log.Warn("job failed, will be tried again", "in", wait)
		next := r.Now().Add(wait).UTC().Format("15:04:05")
		if err := q.DelayJob(short, f.Reason+" Next try at "+next+" UTC.", int32(row.Attempt), args.JobID); err != nil {
			return err
		}
		return errors.New(f.Reason)
	}
	reason := f.Reason
	if !f.Permanent {
		reason = fmt.Sprintf("Given up after %d tries. ", row.Attempt) + promise.ReplaceAllString(reason, "")
	}
	log.Error("job failed")
	fail := db.FailJobParams{ID: args.JobID, Reason: reason, Attempt: int32(row.Attempt)}
	if f.Permanent && f.MaybeDone {
		fail.Unknown = &f.MaybeDone
	}
	if err := q.FailJob(short, fail); err != nil {
		return err // not recorded: River must not forget it
	}
	return river.JobCancel(errors.New(f.Reason))
}

// promise is what a reason says of tries to come.
var promise = regexp.MustCompile(`; (?:Kestrel|it) (?:tries|asks) again[^.]*`)

// safely turns a panic into an error, so that it is recorded like any other.
func safely(ctx context.Context, work func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return work(ctx)
}

func scope(kind string) supabase.Scope { return supabase.AsService("job:" + kind) }

// queries run one statement each, as the service role.
func (d *Deps) queries(kind string) *db.Queries { return db.New(d.DB.As(scope(kind))) }

// step tells where a job is.
func step[T recorded](ctx context.Context, d *Deps, job *river.Job[T], name string) error {
	return d.queries(job.Kind).StepJob(ctx, job.Args.record(), name, int32(job.Attempt))
}

// mention is step for a job that holds a transaction. It needs a second connection, which others may hold who wait for
// one as well: so it soon gives up, and only the screen is behind.
func mention[T recorded](ctx context.Context, d *Deps, job *river.Job[T], name string) {
	short, cancel := context.WithTimeout(ctx, 250*time.Millisecond)
	defer cancel()
	if err := step(short, d, job, name); err != nil {
		d.Log.Debug("a step was not told", "kind", job.Kind, "step", name)
	}
}

// finish commits a job's result, its record and River's completion in one transaction. fn may be nil.
func finish[T recorded](ctx context.Context, d *Deps, job *river.Job[T], fn func(*db.Queries) error) error {
	return finishSaying(ctx, d, job, "", fn)
}

// finishSaying is finish with a reason for staff, such as why there was nothing to do.
func finishSaying[T recorded](ctx context.Context, d *Deps, job *river.Job[T], reason string, fn func(*db.Queries) error) error {
	return d.DB.Tx(ctx, scope(job.Kind), func(tx pgx.Tx) error {
		q := db.New(tx)
		if fn != nil {
			if err := fn(q); err != nil {
				return err
			}
		}
		// What is said here stands: completing says nothing to a job that has ended.
		if reason != "" {
			if err := q.EndJob(ctx, job.Args.record(), reason, int32(job.Attempt)); err != nil {
				return err
			}
		}
		return complete(ctx, tx, job)
	})
}

// complete is the end of a job's transaction: its record and River's completion.
func complete[T recorded](ctx context.Context, tx pgx.Tx, job *river.Job[T]) error {
	if err := db.New(tx).FinishJob(ctx, job.Args.record(), int32(job.Attempt)); err != nil {
		return err
	}
	// The queue belongs to the login, not to the scope's role.
	if _, err := tx.Exec(ctx, "reset role"); err != nil {
		return err
	}
	_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
	return err
}
