package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/jobs"
	"kestrel.ai/server/edge"
	"kestrel.ai/subdomain"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// Import is an order to make a new tenant of an export's archive.
type Import struct {
	ID          uuid.UUID       `json:"id" format:"uuid" doc:"Also of the tenant that it makes"`
	State       string          `json:"state" enum:"open,done,failed" doc:"Why it failed is told by its job"`
	TenantID    *uuid.UUID      `json:"tenant_id" nullable:"true" doc:"The new tenant, once it is there"`
	Archive     string          `json:"archive" example:"imports/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51.zip" doc:"Bucket and path"`
	SHA256      *string         `json:"sha256" doc:"What the archive's must be; null where only its manifest tells"`
	Slug        string          `json:"slug" example:"haiec"`
	CompanyName string          `json:"company_name" example:"HAIEC"`
	OwnerEmail  string          `json:"owner_email" example:"admin@haiec.com"`
	Counts      json.RawMessage `json:"counts" doc:"Rows imported by table, and recordings"`
	Report      json.RawMessage `json:"report,omitempty" doc:"Of one import: whose archive it was, what stayed behind and why (with members and phone numbers), tables and columns that Kestrel does not know"`
	JobID       *uuid.UUID      `json:"job_id" nullable:"true" doc:"The job that does it"`
	RequestedBy string          `json:"requested_by" example:"admin@kestrel.ai"`
	CreatedAt   time.Time       `json:"created_at"`
	FinishedAt  *time.Time      `json:"finished_at"`
}

func imported(r db.FindImportRow) Import {
	return Import{ID: r.ID, State: r.State, TenantID: r.TenantID, Archive: r.Bucket + "/" + r.Object, SHA256: r.Sha256, Slug: r.Slug, CompanyName: r.CompanyName,
		OwnerEmail: r.OwnerEmail, Counts: r.Counts, Report: r.Report, JobID: r.JobID, RequestedBy: r.RequestedBy, CreatedAt: r.CreatedAt, FinishedAt: r.FinishedAt}
}

var errNoImport = edge.NewProblem(http.StatusNotFound, "import_not_found", "There is no such import.")

type importInput struct{ Body ImportOrder }

// ImportOrder is the order for a new tenant out of an archive.
type ImportOrder struct {
	ExportID    *id    `json:"export_id,omitempty" doc:"An export of this Kestrel; or object"`
	Object      string `json:"object,omitempty" maxLength:"400" example:"019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51.zip" doc:"The path in the bucket imports of an archive that was uploaded"`
	SHA256      string `json:"sha256,omitempty" maxLength:"64" doc:"Of object: what its SHA-256 must be, in hexadecimal. Exports tell it; without it an archive that somebody rewrote whole cannot be told from the one that was exported"`
	Slug        string `json:"slug" maxLength:"63" example:"haiec" doc:"The new tenant's subdomain"`
	CompanyName string `json:"company_name" maxLength:"120" example:"HAIEC"`
	OwnerEmail  string `json:"owner_email" maxLength:"254" example:"admin@haiec.com" doc:"The new tenant's owner, who gets the ordinary welcome"`
}

var (
	hexSum     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	objectPath = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]*$`)
)

// Resolve normalises the fields and says everything that is wrong with them.
func (b *ImportOrder) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.name("company_name", &b.CompanyName, 120)
	f.email("owner_email", &b.OwnerEmail)
	f.matching("sha256", &b.SHA256, hexSum, "is not a SHA-256 in hexadecimal")
	b.Slug = strings.ToLower(strings.TrimSpace(b.Slug))
	if err := subdomain.ValidSlug(b.Slug); err != nil {
		f.add("slug", err.Error())
	}
	switch {
	case (b.ExportID == nil) == (b.Object == ""):
		f.add("export_id", "give either export_id or object")
	case b.ExportID != nil && b.SHA256 != "":
		f.add("sha256", "is known of an export")
	case b.Object != "" && (!objectPath.MatchString(b.Object) || path.Clean(b.Object) != b.Object):
		f.add("object", "is not a path in the bucket imports")
	}
	return f.errs
}

const importTenantDoc doc = `Import a tenant
Orders a new tenant out of the archive of an export: pending, with a new owner, and with the contacts, calls, recordings,
appointments, messages, usage periods and receptionist of the old one under new ids. Numbers, members, keys, terms and
the activity log stay behind: the import's report tells which. The archive is not believed: one whose sums, names, sizes
or rows are not as an export makes them fails the job for good, with what is wrong, and changes nothing. Nobody but the
new owner, and the platform's staff, gets an e-mail. Follow the job at Location, then get the import: the job's subject_id.`

func (a *API) importTenant(ctx context.Context, in *importInput) (*jobOrderedOutput, error) {
	b := in.Body
	order := db.OrderImportParams{Object: optional(b.Object), Sha256: optional(b.SHA256), Slug: b.Slug, CompanyName: b.CompanyName, OwnerEmail: b.OwnerEmail}
	if b.ExportID != nil {
		order.ExportID = &b.ExportID.UUID
	}
	return a.ordered(ctx, func(q *db.Queries) (uuid.UUID, error) { return q.OrderImport(ctx, order) })
}

// ArchiveOffer is a place for one archive.
type ArchiveOffer struct {
	Object    string    `json:"object" example:"019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51.zip" doc:"For the import's order"`
	UploadURL string    `json:"upload_url" example:"https://project.supabase.co/storage/v1/object/upload/sign/imports/…" doc:"Where the file is to be PUT, with Content-Type application/zip. It is a secret"`
	ExpiresAt time.Time `json:"expires_at" doc:"Until when it can be uploaded; what was is kept for a week"`
}

type archiveOfferOutput struct{ Body ArchiveOffer }

const offerArchiveDoc doc = `Offer a place for an archive
Answers where the zip file of an export can be PUT, straight into Storage, and the object to name in the order. Storage
refuses files over the project's upload limit (413).`

func (a *API) offerArchive(ctx context.Context, _ *struct{}) (*archiveOfferOutput, error) {
	if a.Storage == nil {
		return nil, errNoStorage
	}
	object, err := a.query(ctx).OfferArchive(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.Storage.EnsureBucket(ctx, jobs.ImportsBucket, false); err != nil {
		return nil, errNoStorage.Because(err)
	}
	link, err := a.Storage.SignedUpload(ctx, jobs.ImportsBucket, object)
	if err != nil {
		return nil, errNoStorage.Because(err)
	}
	return &archiveOfferOutput{Body: ArchiveOffer{Object: object, UploadURL: link, ExpiresAt: a.Now().Add(supabase.UploadLife)}}, nil
}

const listImportsDoc doc = `List imports
The last 50, newest first, without their reports.`

func (a *API) listImports(ctx context.Context, _ *struct{}) (*listOutput[Import], error) {
	rows, err := a.query(ctx).ListImports(ctx)
	return whole(each(rows, func(r db.ListImportsRow) Import {
		return imported(db.FindImportRow{ID: r.ID, State: r.State, TenantID: r.TenantID, Bucket: r.Bucket, Object: r.Object, Sha256: r.Sha256, Slug: r.Slug, CompanyName: r.CompanyName,
			OwnerEmail: r.OwnerEmail, Counts: r.Counts, JobID: r.JobID, RequestedBy: r.RequestedBy, CreatedAt: r.CreatedAt, FinishedAt: r.FinishedAt})
	})), err
}

type importPath struct {
	ID id `path:"id" doc:"The import's id"`
}

type importOutput struct{ Body Import }

const getImportDoc doc = `Get an import
With its counts, and its report once it is done.`

func (a *API) getImport(ctx context.Context, in *importPath) (*importOutput, error) {
	r, err := a.query(ctx).FindImport(ctx, in.ID.UUID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoImport
	}
	return &importOutput{Body: imported(r)}, err
}
