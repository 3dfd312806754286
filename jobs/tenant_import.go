package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/supabase/db"
)

// ImportsBucket is where archives to be imported are uploaded.
const ImportsBucket = "imports"

// archiveLife is how long an uploaded archive is kept.
const archiveLife = 7 * 24 * time.Hour

// TenantImport makes a new tenant of the archive of an export. Files are uploaded first, under the id that the tenant
// will have; then one transaction makes the tenant, its rows and the end of the job. Whatever happens before that leaves
// no tenant, and may be done again.
type TenantImport struct{ Args }

// Kind implements river.JobArgs.
func (TenantImport) Kind() string { return "tenant_import" }

type tenantImportWorker struct {
	river.WorkerDefaults[TenantImport]
	Deps
}

// Timeout implements river.Worker.
func (w *tenantImportWorker) Timeout(*river.Job[TenantImport]) time.Duration { return longJob }

func (w *tenantImportWorker) Work(ctx context.Context, job *river.Job[TenantImport]) error {
	order, err := w.queries(job.Kind).ImportToMake(ctx, job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	err = w.bring(ctx, job, order)
	if err != nil && judge(err).Permanent {
		// At once, as far as it goes; what remains is removed by Departures.
		if err := w.removeFiles(ctx, order.ID); err != nil {
			w.Log.Warn("files of a failed import stay for now", "import_id", order.ID, "error", err)
		}
	}
	return err
}

func (w *tenantImportWorker) bring(ctx context.Context, job *river.Job[TenantImport], order db.ImportToMakeRow) error {
	if err := step(ctx, &w.Deps, job, "downloading"); err != nil {
		return err
	}
	file, err := os.CreateTemp("", "kestrel-import-*.zip")
	if err != nil {
		return err
	}
	defer file.Close()
	// Nameless from here on: its space is free when the process is gone, however it goes.
	if err := os.Remove(file.Name()); err != nil {
		return err
	}
	sum, size, err := w.download(ctx, order, file)
	if err != nil {
		return err
	}
	if err := step(ctx, &w.Deps, job, "checking"); err != nil {
		return err
	}
	archive, err := openArchive(ctx, file, size)
	if err != nil {
		return err
	}
	i := &importing{order: order, archive: archive, counts: map[string]int64{}, unknown: map[string]bool{}}
	if err := i.look(ctx, w.queries(job.Kind)); err != nil {
		return err
	}
	i.report.Archive.SHA256, i.report.Archive.Bytes = sum, size
	if err := step(ctx, &w.Deps, job, "recordings"); err != nil {
		return err
	}
	if err := w.upload(ctx, i); err != nil {
		return err
	}
	s := scope(job.Kind)
	s.Timeout = longJob
	return w.DB.Tx(ctx, s, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select set_config('kestrel.import', $1, true)", order.ID.String()); err != nil {
			return err
		}
		for _, t := range exportTables {
			if t.comes == nil {
				continue
			}
			mention(ctx, &w.Deps, job, t.name)
			if err := i.table(ctx, tx, t); err != nil {
				return err
			}
		}
		i.report.UnknownColumns = slices.Sorted(maps.Keys(i.unknown))
		err := db.New(tx).FinishImport(ctx, db.FinishImportParams{ID: order.ID, At: w.Now(), Counts: encode(i.counts), Report: encode(i.report)})
		if err != nil {
			return refusal(err, "The archive")
		}
		return complete(ctx, tx, job)
	})
}

// download fetches the archive and compares its sum with the one that is known of it, if one is.
func (w *tenantImportWorker) download(ctx context.Context, order db.ImportToMakeRow, to io.Writer) (sum string, size int64, err error) {
	body, found, err := w.Storage.Download(ctx, order.Bucket, order.Object)
	if err != nil {
		return "", 0, err
	}
	if !found {
		return "", 0, permanently("The archive is not in Storage: it was not uploaded, or has expired. Upload it, or make a new export, and order the import again.")
	}
	defer body.Close()
	hash := sha256.New()
	size, err = io.Copy(io.MultiWriter(to, hash), io.LimitReader(body, maxArchive+1))
	if err != nil {
		return "", 0, err
	}
	if size > maxArchive {
		return "", 0, permanently("The archive has more than %d GiB.", maxArchive>>30)
	}
	sum = hex.EncodeToString(hash.Sum(nil))
	if order.Sha256 != nil && *order.Sha256 != sum {
		return "", 0, permanently("The archive has the SHA-256 %s, not the one that it should: it was changed or damaged.", sum)
	}
	return sum, size, nil
}

// upload puts the archive's files where the new tenant will look for them. Again it puts them there again.
func (w *tenantImportWorker) upload(ctx context.Context, i *importing) error {
	if err := errors.Join(w.Storage.EnsureBucket(ctx, RecordingsBucket, false), w.Storage.EnsureBucket(ctx, LogosBucket, true)); err != nil {
		return err
	}
	put := func(name, bucket, path, contentType string) error {
		f := i.archive.entries[name]
		body, err := f.Open()
		if err != nil {
			return damaged(name)
		}
		defer body.Close()
		size := int64(f.UncompressedSize64)
		return tooLarge(w.Storage.UploadFrom(ctx, bucket, path, contentType, body, size), name, bucket, size)
	}
	for _, name := range slices.Sorted(maps.Keys(i.archive.recordings)) {
		ext := i.archive.recordings[name]
		if err := put("recordings/"+name+ext, RecordingsBucket, i.recordingPath(name, ext), soundTypes[ext]); err != nil {
			return err
		}
		i.counts["recordings"]++
	}
	if i.archive.logo != "" {
		return put(i.archive.logo, LogosBucket, i.order.ID.String()+"/"+i.archive.logo, i.archive.logoType)
	}
	return nil
}

// soundTypes are the files that recordings are.
var soundTypes = map[string]string{".mp3": "audio/mpeg", ".wav": "audio/wav"}

// removeFiles removes what an import that made no tenant had uploaded for it.
func (d *Deps) removeFiles(ctx context.Context, tenant uuid.UUID) error {
	for _, bucket := range []string{RecordingsBucket, LogosBucket} {
		if err := d.Storage.RemoveFolder(ctx, bucket, tenant.String()); err != nil {
			return err
		}
	}
	return nil
}

// cleanImports removes the files of some imports that failed.
func (w *departuresWorker) cleanImports(ctx context.Context, kind string, now time.Time) (n int, err error) {
	err = w.DB.Tx(ctx, scope(kind), func(tx pgx.Tx) error {
		q := db.New(tx)
		failed, err := q.FailedImports(ctx, now)
		if err != nil {
			return err
		}
		for _, id := range failed {
			if err := w.removeFiles(ctx, id); err != nil {
				return err
			}
			if err := q.CleanedImport(ctx, id); err != nil {
				return err
			}
		}
		n = len(failed)
		return nil
	})
	return n, err
}

// expireArchives removes some uploaded archives whose week is over.
func (w *departuresWorker) expireArchives(ctx context.Context, kind string, now time.Time) (n int, err error) {
	err = w.DB.Tx(ctx, scope(kind), func(tx pgx.Tx) error {
		q := db.New(tx)
		old, err := q.OldArchives(ctx, now.Add(-archiveLife))
		if err != nil || len(old) == 0 {
			return err
		}
		if err := w.Storage.Remove(ctx, ImportsBucket, old...); err != nil {
			return err
		}
		for _, object := range old {
			if err := q.ForgetArchive(ctx, object); err != nil {
				return err
			}
		}
		n = len(old)
		return nil
	})
	return n, err
}
