package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// Activity is one change that somebody made.
type Activity struct {
	ID         uuid.UUID       `json:"id" format:"uuid"`
	TenantID   *uuid.UUID      `json:"tenant_id" nullable:"true" doc:"null for the platform's own"`
	Actor      string          `json:"actor" example:"admin:019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51" doc:"person:…, key:…, admin:…, job:…, or login:… when done in Studio"`
	ActorLabel string          `json:"actor_label" example:"admin@kestrel.ai" doc:"A platform admin who views as the tenant is so called"`
	Action     string          `json:"action" example:"tenant.suspended"`
	TableName  string          `json:"table_name" example:"tenants"`
	RecordID   *uuid.UUID      `json:"record_id" nullable:"true"`
	Changes    json.RawMessage `json:"changes" doc:"Changed fields as {\"field\": [before, after]}; secrets are masked"`
	RequestID  *string         `json:"request_id"`
	CreatedAt  time.Time       `json:"created_at"`
}

// ActivityFilter is what every list of activity takes.
type ActivityFilter struct {
	PageInput
	Actor  string    `query:"actor" maxLength:"120" example:"admin" doc:"All of it, or what stands before its colon: person, key, admin, job, login"`
	Action string    `query:"action" maxLength:"60" example:"tenant.suspended" doc:"All of it, or what stands before its dot"`
	Table  string    `query:"table" maxLength:"60" example:"tenants"`
	Record id        `query:"record" doc:"Changes of one row"`
	From   time.Time `query:"from" doc:"At or after this"`
	To     time.Time `query:"to" doc:"Before this"`
	Search string    `query:"q" maxLength:"120" example:"haiec" doc:"In the actor's name, the request id, and what changed"`
	Format string    `query:"format" enum:"json,csv" doc:"csv streams all that match; so does Accept: text/csv"`
	Accept string    `header:"Accept" hidden:"true"`
}

const listActivityDoc doc = `List all activity
Who changed what, when, with before and after: newest first. With format=csv, or Accept: text/csv, all that match are
streamed as a file that is safe to open in a spreadsheet.`

func (a *API) listActivity(ctx context.Context, in *ActivityFilter) (*huma.StreamResponse, error) {
	return a.activity(ctx, uuid.Nil, *in)
}

type tenantActivityInput struct {
	TenantPath
	ActivityFilter
}

const tenantActivityDoc doc = `List a tenant's activity
Newest first, or as CSV. A deleted tenant's is still there.`

func (a *API) listTenantActivity(ctx context.Context, in *tenantActivityInput) (*huma.StreamResponse, error) {
	if err := a.known(ctx, in.ID.UUID); err != nil {
		return nil, err
	}
	return a.activity(ctx, in.ID.UUID, in.ActivityFilter)
}

// known finds that there is such a tenant, deleted or not.
func (a *API) known(ctx context.Context, tenant uuid.UUID) error {
	_, err := a.query(ctx).TenantLife(ctx, tenant)
	if errors.Is(err, pgx.ErrNoRows) {
		return errNoTenant
	}
	return err
}

const ownActivityDoc doc = `List the tenant's own activity
Newest first, or as CSV. What Kestrel's staff did for the tenant is in it.`

func (a *API) listOwnActivity(ctx context.Context, in *ActivityFilter) (*huma.StreamResponse, error) {
	return a.activity(ctx, tenantOf(ctx), *in)
}

// activity answers with a page, or streams all, of the tenant's activity; of all for uuid.Nil.
func (a *API) activity(ctx context.Context, tenant uuid.UUID, in ActivityFilter) (*huma.StreamResponse, error) {
	q := a.DB.As(edge.FromContext(ctx).SQL())
	if !wantsCSV(in.Format, in.Accept) {
		page, err := activityPage(ctx, q, tenant, in)
		if err != nil {
			return nil, err
		}
		return sendJSON(page), nil
	}
	in.Limit = csvBatch
	in.Actor, in.Action, in.Table, in.Search = strings.Clone(in.Actor), strings.Clone(in.Action), strings.Clone(in.Table), strings.Clone(in.Search)
	return sendCSV(ctx, a, csvFile[Activity]{name: "activity", header: activityColumns, row: Activity.csv,
		page: func(ctx context.Context, cursor string) (*listOutput[Activity], error) {
			in.Cursor = cursor
			return activityPage(ctx, q, tenant, in)
		}})
}

const selectActivity = `select id, tenant_id, actor, actor_label, action, table_name, record_id, changes, request_id, created_at
from activity_log where %s order by id desc limit %d`

// activityPage reads one page. The query has only those conditions that were asked for, so that each shape of it gets
// the index that serves it.
func activityPage(ctx context.Context, q db.DBTX, tenant uuid.UUID, in ActivityFilter) (*listOutput[Activity], error) {
	begin := newest()
	if !in.To.IsZero() {
		begin.ID = firstID(in.To.Add(longestTransaction))
	}
	c, err := in.after(begin)
	if err != nil {
		return nil, err
	}
	where, args := in.where(tenant, c.ID)
	rows, err := q.Query(ctx, fmt.Sprintf(selectActivity, strings.Join(where, " and "), in.rows()), args...)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Activity])
	if err != nil {
		return nil, err
	}
	return paged(in.PageInput, found, func(r Activity) Activity { return r }, func(r Activity) cursor { return cursor{ID: r.ID} }), nil
}

func (in ActivityFilter) where(tenant, before uuid.UUID) (conditions []string, args []any) {
	add := func(condition string, value any) {
		args = append(args, value)
		conditions = append(conditions, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	add("id < ?", before)
	if tenant != uuid.Nil {
		add("tenant_id = ?::uuid", tenant)
	}
	if in.Actor != "" {
		add("(actor = ?::text or split_part(actor, ':', 1) = ?::text)", in.Actor)
	}
	if in.Action != "" {
		add("(action = ?::text or split_part(action, '.', 1) = ?::text)", in.Action)
	}
	if in.Table != "" {
		add("table_name = ?::text", in.Table)
	}
	if in.Record.UUID != uuid.Nil {
		add("record_id = ?::uuid", in.Record.UUID)
	}
	if !in.From.IsZero() {
		add("created_at >= ?::timestamptz", in.From)
		add("id >= ?::uuid", firstID(in.From))
	}
	if !in.To.IsZero() {
		add("created_at < ?::timestamptz", in.To)
	}
	if search := strings.ToLower(strings.TrimSpace(in.Search)); search != "" {
		add("(strpos(lower(actor_label), ?::text) > 0 or request_id = ?::text or strpos(lower(changes::text), ?::text) > 0)", search)
	}
	return conditions, args
}

// longestTransaction bounds how much later than its transaction's start, which is the row's created_at, a row's id may
// have been made.
const longestTransaction = time.Hour

// firstID is the least UUIDv7 of the millisecond: ids are ordered by time, so it bounds them as the time bounds rows.
func firstID(at time.Time) (first uuid.UUID) {
	ms := max(at.UnixMilli(), 0)
	for i := range 6 {
		first[i] = byte(ms >> (40 - 8*i))
	}
	return first
}

var activityColumns = []string{"id", "created_at", "tenant_id", "actor", "actor_label", "action", "table_name", "record_id", "changes", "request_id"}

func (r Activity) csv() []string {
	return []string{r.ID.String(), r.CreatedAt.UTC().Format(time.RFC3339Nano), text(idText(r.TenantID)), r.Actor, r.ActorLabel, r.Action, r.TableName,
		text(idText(r.RecordID)), string(r.Changes), text(r.RequestID)}
}

func idText(id *uuid.UUID) *string {
	if id == nil {
		return nil
	}
	s := id.String()
	return &s
}
