package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/supabase/db"
)

// RecordingRetention asks, every hour, which recordings have been kept as long as their tenant wants: they go from Storage
// and from Twilio, and their calls stay. It also deletes at Twilio what was to go there and has not.
type RecordingRetention struct{}

// Kind implements river.JobArgs.
func (RecordingRetention) Kind() string { return "recording_retention" }

type recordingRetentionWorker struct {
	river.WorkerDefaults[RecordingRetention]
	Deps
}

const retentionBatch = 200

func (w *recordingRetentionWorker) Work(ctx context.Context, job *river.Job[RecordingRetention]) error {
	q := w.queries(job.Kind)
	for tenant := uuid.Nil; ; {
		next, err := q.NextRecordedTenant(ctx, tenant)
		if errors.Is(err, pgx.ErrNoRows) {
			break
		}
		if err != nil {
			return err
		}
		tenant = next
		if err := w.expire(ctx, job.Kind, tenant); err != nil {
			return err
		}
	}
	return w.deleteAsked(ctx, q)
}

// expire takes the files first: a row that still names one is looked at again.
func (w *recordingRetentionWorker) expire(ctx context.Context, kind string, tenant uuid.UUID) error {
	policy, err := w.Reception.Policy(ctx, tenant)
	if err != nil || policy.KeepDays <= 0 {
		return err
	}
	before := w.Now().Add(-time.Duration(policy.KeepDays) * 24 * time.Hour)
	for {
		expired, err := w.queries(kind).ExpiredRecordings(ctx, tenant, before, retentionBatch)
		if err != nil || len(expired) == 0 {
			return err
		}
		var calls []uuid.UUID
		var files []string
		for _, c := range expired {
			calls = append(calls, c.ID)
			for _, path := range []string{c.RecordingPath, c.VoicemailPath} {
				if ownFile(tenant, path) {
					files = append(files, path)
				}
			}
		}
		if err := w.Storage.Remove(ctx, RecordingsBucket, files...); err != nil {
			return err
		}
		err = w.DB.Tx(ctx, scope(kind), func(tx pgx.Tx) error {
			q := db.New(tx)
			if err := q.ForgetRecordings(ctx, calls); err != nil {
				return err
			}
			return q.DropRecordingPaths(ctx, calls)
		})
		if err != nil {
			return err
		}
	}
}

func (w *recordingRetentionWorker) deleteAsked(ctx context.Context, q *db.Queries) error {
	for last := ""; ; {
		sids, err := q.RecordingsToDelete(ctx, last, retentionBatch)
		if err != nil || len(sids) == 0 {
			return err
		}
		for _, sid := range sids {
			last = sid
			err := w.deleteAtTwilio(ctx, q, sid)
			if errors.Is(err, twilio.ErrNotConfigured) {
				return nil // they wait for the keys
			}
			if err != nil {
				return err // the next hour goes on
			}
		}
	}
}
