package jobs

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/supabase/db"
)

// Buckets of what belongs to one tenant, each file under a folder named by the tenant's id.
const (
	RecordingsBucket = "recordings"
	LogosBucket      = "logos" // everybody may read it
	ExportsBucket    = "exports"
)

// longJob bounds one try of a job that goes through all of a tenant's data.
const longJob = 30 * time.Minute

// TenantPurge makes a tenant's deletion final: numbers first, since they cost money, then files, then rows. Every part
// looks whether the deletion still stands, and may be done again.
type TenantPurge struct{ Args }

// Kind implements river.JobArgs.
func (TenantPurge) Kind() string { return "tenant_purge" }

type tenantPurgeWorker struct {
	river.WorkerDefaults[TenantPurge]
	Deps
}

// Timeout implements river.Worker.
func (w *tenantPurgeWorker) Timeout(*river.Job[TenantPurge]) time.Duration { return longJob }

func (w *tenantPurgeWorker) Work(ctx context.Context, job *river.Job[TenantPurge]) error {
	tenant, q := job.Args.SubjectID, w.queries(job.Kind)
	there, err := q.TenantExists(ctx, tenant)
	if err != nil {
		return err
	}
	if there {
		stands, err := q.MayPurge(ctx, tenant)
		if err != nil {
			return err
		}
		if !stands {
			w.Log.Info("purge stopped: the tenant was restored", "tenant_id", tenant)
			return finish(ctx, &w.Deps, job, nil)
		}
		if err := step(ctx, &w.Deps, job, "releasing"); err != nil {
			return err
		}
		if stands, err = w.releaseNumbers(ctx, q, tenant); err != nil || !stands {
			return err
		}
		if stands, err = q.MayPurge(ctx, tenant); err != nil || !stands {
			return err
		}
	}
	// Also when the rows are gone: a file may have been written since.
	if err := step(ctx, &w.Deps, job, "emptying"); err != nil {
		return err
	}
	if err := w.emptyStorage(ctx, tenant); err != nil {
		return err
	}
	if !there {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err := step(ctx, &w.Deps, job, "deleting"); err != nil {
		return err
	}
	for {
		n, err := q.PurgeSome(ctx, tenant, 2000)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	return finish(ctx, &w.Deps, job, func(q *db.Queries) error {
		purged, err := q.PurgeTenant(ctx, tenant, w.Now())
		if err == nil && !purged {
			w.Log.Info("purge stopped: the tenant was restored", "tenant_id", tenant)
		}
		return err
	})
}

// releaseNumbers gives the tenant's numbers back to Twilio; false when the tenant was restored meanwhile.
func (w *tenantPurgeWorker) releaseNumbers(ctx context.Context, q *db.Queries, tenant uuid.UUID) (bool, error) {
	open, err := q.PurchasesOpen(ctx, tenant)
	if err != nil {
		return false, err
	}
	if open {
		return false, &Failure{Reason: "A number is still being bought for this tenant; Kestrel tries again by itself.", After: time.Minute}
	}
	numbers, err := q.NumbersToRelease(ctx, tenant)
	if err != nil {
		return false, err
	}
	for _, n := range numbers {
		if stands, err := q.MayPurge(ctx, tenant); err != nil || !stands {
			return false, err
		}
		// Without a SID it never was ours to release.
		if n.ProviderSid != nil {
			if err := w.Twilio.Release(ctx, *n.ProviderSid); err != nil {
				return false, err
			}
		}
		if err := q.PurgeNumber(ctx, n.ID); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (w *tenantPurgeWorker) emptyStorage(ctx context.Context, tenant uuid.UUID) error {
	for _, bucket := range []string{RecordingsBucket, LogosBucket, ExportsBucket} {
		if err := w.Storage.RemoveFolder(ctx, bucket, tenant.String()); err != nil {
			return err
		}
	}
	return w.Storage.Remove(ctx, fallbackBucket, fallbackObject(tenant))
}

// LoginDelete removes a login that nobody needs any more, after its last tenant was purged.
type LoginDelete struct{ Args }

// Kind implements river.JobArgs.
func (LoginDelete) Kind() string { return "login_delete" }

type loginDeleteWorker struct {
	river.WorkerDefaults[LoginDelete]
	Deps
}

func (w *loginDeleteWorker) Work(ctx context.Context, job *river.Job[LoginDelete]) error {
	spare, err := w.queries(job.Kind).LoginIsSpare(ctx, job.Args.SubjectID)
	if err != nil {
		return err
	}
	if spare {
		if err := w.Auth.DeleteUser(ctx, job.Args.SubjectID); err != nil {
			return err
		}
	}
	return finish(ctx, &w.Deps, job, nil)
}

// Departures asks, every now and then, which deleted tenants are to be purged, which exports have expired, and what
// imports have left behind.
type Departures struct{}

// Kind implements river.JobArgs.
func (Departures) Kind() string { return "departures" }

type departuresWorker struct {
	river.WorkerDefaults[Departures]
	Deps
}

func (w *departuresWorker) Work(ctx context.Context, job *river.Job[Departures]) error {
	q, now := w.queries(job.Kind), w.Now()
	if _, err := q.PurgeDue(ctx, now, 100); err != nil {
		return err
	}
	for _, some := range []func(context.Context, string, time.Time) (int, error){w.expireExports, w.cleanImports, w.expireArchives} {
		for {
			n, err := some(ctx, job.Kind, now)
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
		}
	}
	return nil
}

// expireExports removes the files of some exports whose time is over, or that failed after they were uploaded.
func (w *departuresWorker) expireExports(ctx context.Context, kind string, now time.Time) (n int, err error) {
	err = w.DB.Tx(ctx, scope(kind), func(tx pgx.Tx) error {
		q := db.New(tx)
		expired, err := q.ExpiredExports(ctx, now)
		if err != nil {
			return err
		}
		for _, e := range expired {
			if err := w.Storage.Remove(ctx, ExportsBucket, ExportObject(e.TenantID, e.ID)); err != nil {
				return err
			}
			if err := q.ExpireExport(ctx, e.ID); err != nil {
				return err
			}
		}
		n = len(expired)
		return nil
	})
	return n, err
}

// snapshot reads all of a tenant at one moment.
func (d *Deps) snapshot(ctx context.Context, kind string, fn func(tx pgx.Tx) error) error {
	s := scope(kind)
	s.Timeout = longJob
	return d.DB.Snapshot(ctx, s, fn)
}
