package jobs

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/supabase/db"
)

// RecordingFetch brings a call's recording, and the message that a caller left, from Twilio into Storage.
type RecordingFetch struct{ Args }

// Kind implements river.JobArgs.
func (RecordingFetch) Kind() string { return "recording_fetch" }

type recordingFetchWorker struct {
	river.WorkerDefaults[RecordingFetch]
	Deps
}

func (w *recordingFetchWorker) Work(ctx context.Context, job *river.Job[RecordingFetch]) error {
	q := w.queries(job.Kind)
	c, err := q.CallToFetch(ctx, job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	if err := w.Storage.EnsureBucket(ctx, RecordingsBucket, false); err != nil {
		return err
	}
	if c.RecordingSid != nil && c.RecordingPath == nil {
		path := c.TenantID.String() + "/" + c.ID.String() + ".wav"
		if err := w.fetch(ctx, *c.RecordingSid, 2, path, func() (int64, error) { return q.KeepRecording(ctx, &path, c.ID, c.RecordingSid) }); err != nil {
			return err
		}
	}
	if c.VoicemailSid != nil && c.VoicemailPath == nil {
		path := c.TenantID.String() + "/" + c.ID.String() + ".voicemail.wav"
		if err := w.fetch(ctx, *c.VoicemailSid, 1, path, func() (int64, error) { return q.KeepVoicemail(ctx, &path, c.ID, c.VoicemailSid) }); err != nil {
			return err
		}
	}
	policy, err := w.Reception.Policy(ctx, c.TenantID)
	if err != nil {
		return err
	}
	if !policy.DeleteAtTwilio {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err := finish(ctx, &w.Deps, job, func(q *db.Queries) error { return q.ForgetRecordings(ctx, []uuid.UUID{c.ID}) }); err != nil {
		return err
	}
	// What fails now is deleted within the hour.
	for _, sid := range []*string{c.RecordingSid, c.VoicemailSid} {
		if sid != nil {
			_ = w.deleteAtTwilio(ctx, q, *sid)
		}
	}
	return nil
}

// fetch streams one recording into Storage, and then says so on its row.
func (w *recordingFetchWorker) fetch(ctx context.Context, sid string, channels int, path string, keep func() (int64, error)) error {
	audio, size, err := w.Twilio.OpenRecording(ctx, sid, channels)
	if errors.Is(err, twilio.ErrNotFound) {
		return &Failure{Reason: "Twilio has not got the recording ready; Kestrel tries again by itself.", cause: err}
	}
	if err != nil {
		return err
	}
	defer audio.Close()
	if size < 0 { // Storage wants to know
		spooled, n, err := spool(audio)
		if err != nil {
			return err
		}
		defer spooled.Close()
		audio, size = spooled, n
	}
	if err := w.Storage.UploadFrom(ctx, RecordingsBucket, path, "audio/wav", audio, size); err != nil {
		return err
	}
	kept, err := keep()
	if err == nil && kept == 0 { // its caller was erased meanwhile
		err = w.Storage.Remove(ctx, RecordingsBucket, path)
	}
	return err
}

// spool puts a stream into a file that nobody else sees, and that is gone when it is closed.
func spool(r io.Reader) (*os.File, int64, error) {
	f, err := os.CreateTemp("", "kestrel-recording-*")
	if err != nil {
		return nil, 0, err
	}
	_ = os.Remove(f.Name()) // the open file stays
	n, err := io.Copy(f, r)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, n, nil
}

// deleteAtTwilio deletes a recording that is to go, and takes it off the list.
func (d *Deps) deleteAtTwilio(ctx context.Context, q *db.Queries, sid string) error {
	if err := d.Twilio.DeleteRecording(ctx, sid); err != nil {
		return err
	}
	return q.RecordingDeleted(ctx, sid)
}
