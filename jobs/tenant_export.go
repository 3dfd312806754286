package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// ExportLife is how long the file of an export is kept.
const ExportLife = 7 * 24 * time.Hour

// TenantExport writes all of a tenant's data into one zip file: rows as JSON and as CSV, recordings, and a manifest.
// Rows and files stream through a temporary file, so that memory does not grow with the tenant.
type TenantExport struct{ Args }

// Kind implements river.JobArgs.
func (TenantExport) Kind() string { return "tenant_export" }

type tenantExportWorker struct {
	river.WorkerDefaults[TenantExport]
	Deps
}

// Timeout implements river.Worker.
func (w *tenantExportWorker) Timeout(*river.Job[TenantExport]) time.Duration { return longJob }

// ExportObject is where an export's file lies in its bucket.
func ExportObject(tenant, export uuid.UUID) string {
	return tenant.String() + "/" + export.String() + ".zip"
}

func (w *tenantExportWorker) Work(ctx context.Context, job *river.Job[TenantExport]) error {
	e, err := w.queries(job.Kind).ExportToMake(ctx, job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "kestrel-export-*.zip")
	if err != nil {
		return err
	}
	defer file.Close()
	// Nameless from here on: its space is free when the process is gone, however it goes.
	if err := os.Remove(file.Name()); err != nil {
		return err
	}

	now := w.Now()
	out := newArchive(file, e.TenantID, now)
	err = w.snapshot(ctx, job.Kind, func(tx pgx.Tx) error {
		for _, t := range exportTables {
			mention(ctx, &w.Deps, job, t.name)
			if err := out.table(ctx, tx, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := step(ctx, &w.Deps, job, "recordings"); err != nil {
		return err
	}
	if err := w.recordings(ctx, job.Kind, e.TenantID, out); err != nil {
		return err
	}
	if err := w.logo(ctx, job.Kind, e.TenantID, out); err != nil {
		return err
	}
	if err := out.close(); err != nil {
		return err
	}
	if err := step(ctx, &w.Deps, job, "uploading"); err != nil {
		return err
	}
	if err := w.Storage.EnsureBucket(ctx, ExportsBucket, false); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	if err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := w.Storage.UploadFrom(ctx, ExportsBucket, ExportObject(e.TenantID, e.ID), "application/zip", file, size); err != nil {
		return tooLarge(err, "The export", ExportsBucket, size)
	}
	return finish(ctx, &w.Deps, job, func(q *db.Queries) error {
		return q.RecordExport(ctx, db.RecordExportParams{
			ID: e.ID, Bytes: size, Sha256: hex.EncodeToString(sum.Sum(nil)), Counts: encode(out.manifest.Counts), At: now, Until: now.Add(ExportLife),
		})
	})
}

// recordings adds the calls' sound files, page by page. One that is missing in Storage is named in the manifest.
func (w *tenantExportWorker) recordings(ctx context.Context, kind string, tenant uuid.UUID, out *archive) error {
	q := w.queries(kind)
	var after uuid.UUID
	for {
		page, err := q.RecordingsAfter(ctx, tenant, after)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, r := range page {
			after = r.ID
			name := r.ID.String()
			if err := w.recording(ctx, tenant, r.ID, name, r.RecordingPath, out); err != nil {
				return err
			}
			if err := w.recording(ctx, tenant, r.ID, name+voicemailSuffix, r.VoicemailPath, out); err != nil {
				return err
			}
		}
	}
}

// voicemailSuffix tells the message that a caller left from the recording of the call itself.
const voicemailSuffix = "-voicemail"

func (w *tenantExportWorker) recording(ctx context.Context, tenant, call uuid.UUID, name string, path *string, out *archive) error {
	if path == nil {
		return nil
	}
	if !ownFile(tenant, *path) {
		out.missing(call)
		return nil
	}
	body, found, err := w.Storage.Download(ctx, RecordingsBucket, *path)
	if err != nil {
		return err
	}
	if !found {
		out.missing(call)
		return nil
	}
	defer body.Close()
	return out.recording(name, *path, body)
}

// logo adds the company's, if it has one.
func (w *tenantExportWorker) logo(ctx context.Context, kind string, tenant uuid.UUID, out *archive) error {
	path, err := w.queries(kind).LogoPath(ctx, tenant)
	if err != nil || path == nil || !ownFile(tenant, *path) {
		return err
	}
	body, found, err := w.Storage.Download(ctx, LogosBucket, *path)
	if err != nil || !found {
		return err
	}
	defer body.Close()
	return out.file("logo", *path, body)
}

// tooLarge says what to do about a file that Storage will not take, however often it is tried.
func tooLarge(err error, what, bucket string, size int64) error {
	var known *supabase.ServiceError
	if !errors.As(err, &known) || known.Status != http.StatusRequestEntityTooLarge {
		return err
	}
	return permanently("%s has %d MiB, more than Storage takes. Raise the project's upload limit (Storage settings, global file size limit) and that of the bucket %s, then retry this job.",
		what, size>>20+1, bucket)
}
