package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/jobs"
	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// linkLife is how long a signed link to an export works: as long as a removed member may still fetch it.
const linkLife = time.Minute

// Export is a copy of all of a tenant's data.
type Export struct {
	ID          uuid.UUID       `json:"id" format:"uuid"`
	State       string          `json:"state" enum:"open,ready,failed,expired"`
	Bytes       *int64          `json:"bytes" example:"1048576"`
	SHA256      *string         `json:"sha256" doc:"Of the file, in hexadecimal"`
	Counts      json.RawMessage `json:"counts" doc:"Rows by table, and recordings"`
	JobID       *uuid.UUID      `json:"job_id" nullable:"true" doc:"The job that makes it"`
	RequestedBy string          `json:"requested_by" example:"admin@haiec.com"`
	CreatedAt   time.Time       `json:"created_at"`
	ReadyAt     *time.Time      `json:"ready_at"`
	ExpiresAt   *time.Time      `json:"expires_at" doc:"When the file is deleted"`
	URL         string          `json:"url,omitempty" example:"https://project.supabase.co/storage/v1/object/sign/exports/…" doc:"Where one export, once it is ready, can be fetched for a minute. It is a secret"`
}

func export(r db.TenantExport) Export {
	return Export{ID: r.ID, State: r.State, Bytes: r.Bytes, SHA256: r.Sha256, Counts: r.Counts, JobID: r.JobID, RequestedBy: r.RequestedBy,
		CreatedAt: r.CreatedAt, ReadyAt: r.ReadyAt, ExpiresAt: r.ExpiresAt}
}

var (
	errNoExport  = edge.NewProblem(http.StatusNotFound, "export_not_found", "There is no such export.")
	errNoStorage = edge.NewProblem(http.StatusServiceUnavailable, "storage_unavailable", "Files cannot be reached right now. Try again in a minute.")
)

const requestExportDoc doc = `Export all data
Orders a zip file of all of the tenant's rows, as JSON and as CSV, and of its recordings; with a manifest. Follow the job
at Location, then get the export: the job's subject_id. While one is being made, that one is answered. For admins and
owners, of a suspended tenant too, and of a cancelled one until its period ends.`

func (a *API) requestExport(ctx context.Context, _ *struct{}) (*jobOrderedOutput, error) {
	return a.ordered(ctx, func(q *db.Queries) (uuid.UUID, error) { return q.RequestExport(ctx, tenantOf(ctx)) })
}

const listExportsDoc doc = `List exports
The last 50, newest first.`

func (a *API) listOwnExports(ctx context.Context, _ *struct{}) (*listOutput[Export], error) {
	return a.exportsOf(ctx, tenantOf(ctx))
}

func (a *API) exportsOf(ctx context.Context, tenant uuid.UUID) (*listOutput[Export], error) {
	rows, err := a.query(ctx).ListExports(ctx, tenant)
	return whole(each(rows, export)), err
}

type exportInput struct {
	ID id `path:"id" doc:"The export's id"`
}

type exportOutput struct{ Body Export }

const getExportDoc doc = `Get an export
With a link to its file, once that is ready: for a minute, and for whoever has it. Get the export again for another.`

func (a *API) getOwnExport(ctx context.Context, in *exportInput) (*exportOutput, error) {
	return a.exportOf(ctx, tenantOf(ctx), in.ID.UUID)
}

func (a *API) exportOf(ctx context.Context, tenant, id uuid.UUID) (*exportOutput, error) {
	r, err := a.query(ctx).FindExport(ctx, id, tenant)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoExport
	}
	if err != nil {
		return nil, err
	}
	out := &exportOutput{Body: export(r)}
	if r.State != "ready" || r.ExpiresAt == nil || !a.Now().Before(*r.ExpiresAt) {
		return out, nil
	}
	if a.Storage == nil {
		return nil, errNoStorage
	}
	name := "kestrel-export-" + r.CreatedAt.UTC().Format("2006-01-02") + ".zip"
	out.Body.URL, err = a.Storage.SignedURL(ctx, jobs.ExportsBucket, jobs.ExportObject(tenant, id), name, linkLife)
	if err != nil {
		return nil, errNoStorage.Because(err)
	}
	return out, nil
}

// Platform admins -------------------------------------------------------------------------------------------------

func (a *API) exportTenant(ctx context.Context, in *TenantPath) (*jobOrderedOutput, error) {
	return a.ordered(ctx, func(q *db.Queries) (uuid.UUID, error) { return q.OrderExport(ctx, in.ID.UUID) })
}

func (a *API) listExports(ctx context.Context, in *TenantPath) (*listOutput[Export], error) {
	return a.exportsOf(ctx, in.ID.UUID)
}

type tenantExportInput struct {
	TenantPath
	ExportID id `path:"export_id" doc:"The export's id"`
}

func (a *API) getExport(ctx context.Context, in *tenantExportInput) (*exportOutput, error) {
	return a.exportOf(ctx, in.ID.UUID, in.ExportID.UUID)
}

// One caller ------------------------------------------------------------------------------------------------------

// ContactPath names a contact.
type ContactPath struct {
	ID id `path:"id" doc:"The contact's id"`
}

const eraseContactDoc doc = `Forget one caller
Removes the contact, its transcripts, recordings and messages for good, and the person from calls, appointments and the
activity log. The calls still count. Follow the job at Location. For admins and owners.`

func (a *API) eraseContact(ctx context.Context, in *ContactPath) (*jobOrderedOutput, error) {
	return a.ordered(ctx, func(q *db.Queries) (uuid.UUID, error) { return q.RequestErasure(ctx, tenantOf(ctx), in.ID.UUID) })
}

type tenantContactInput struct {
	TenantPath
	ContactID id `path:"contact_id" doc:"The contact's id"`
}

func (a *API) eraseTenantContact(ctx context.Context, in *tenantContactInput) (*jobOrderedOutput, error) {
	return a.ordered(ctx, func(q *db.Queries) (uuid.UUID, error) { return q.OrderErasure(ctx, in.ID.UUID, in.ContactID.UUID) })
}

// Purge -----------------------------------------------------------------------------------------------------------

type purgeInput struct {
	TenantPath
	Body struct {
		Confirm string `json:"confirm" minLength:"1" maxLength:"63" example:"haiec" doc:"The tenant's subdomain, typed"`
	}
}

const purgeTenantDoc doc = `Purge a deleted tenant
Gives its numbers back, removes its files, its rows and the logins that nothing else needs, for good; by itself that
happens 30 days after the deletion. Slug, e-mail address and number are free afterwards. A tenant that is not deleted is
refused (409 tenant_not_deleted). Restoring it stops a purge at what it has not removed yet.`

func (a *API) purgeTenant(ctx context.Context, in *purgeInput) (*jobOrderedOutput, error) {
	return a.ordered(ctx, func(q *db.Queries) (uuid.UUID, error) { return q.RequestPurge(ctx, in.ID.UUID, in.Body.Confirm) })
}
