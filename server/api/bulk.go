package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

const (
	maxBulk    = 1000 // tenants per order
	maxBulkNow = 200  // done while the caller waits; more are a job's
)

type bulkInput struct{ Body BulkOrder }

// BulkOrder is one action on many tenants.
type BulkOrder struct {
	Action    string      `json:"action" enum:"activate,suspend,change_plan,email"`
	IDs       []id        `json:"ids,omitempty" nullable:"false" minItems:"1" maxItems:"1000" doc:"The tenants; or filter"`
	Filter    *BulkFilter `json:"filter,omitempty" doc:"All tenants that the list would show"`
	DryRun    bool        `json:"dry_run,omitempty" example:"false" doc:"Only tell what would happen"`
	BatchID   *id         `json:"batch_id,omitempty" doc:"Makes a repeated order the same order: it goes on where that one ended, and no owner gets an e-mail twice"`
	SkipTrial bool        `json:"skip_trial,omitempty" example:"false" doc:"Of activate: make pending tenants active at once"`
	Reason    string      `json:"reason,omitempty" maxLength:"500" example:"Payment failed" doc:"Of suspend: shown to the customers"`
	PlanTier  string      `json:"plan_tier,omitempty" maxLength:"31" example:"professional" doc:"Of change_plan"`
	Subject   string      `json:"subject,omitempty" maxLength:"120" example:"Maintenance on Sunday" doc:"Of email"`
	Text      string      `json:"text,omitempty" maxLength:"5000" example:"Calls go to your forward number for ten minutes." doc:"Of email: plain text, a blank line between paragraphs"`
}

// BulkFilter is the filter of the list of tenants.
type BulkFilter struct {
	Search   string   `json:"search,omitempty" maxLength:"120" example:"haiec"`
	Status   []string `json:"status,omitempty" nullable:"false" maxItems:"5" enum:"pending,trial,active,suspended,cancelled"`
	PlanTier string   `json:"plan_tier,omitempty" maxLength:"31" example:"professional"`
	Industry string   `json:"industry,omitempty" maxLength:"60" example:"hvac"`
	Overdue  bool     `json:"overdue,omitempty" example:"false"`
}

// Resolve wants what the action needs, and nothing that it would ignore.
func (b *BulkOrder) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.line("reason", &b.Reason, 500)
	f.line("subject", &b.Subject, 120)
	b.PlanTier = strings.ToLower(strings.TrimSpace(b.PlanTier))
	b.Text = strings.TrimSpace(strings.ReplaceAll(b.Text, "\r\n", "\n"))
	if strings.ContainsFunc(b.Text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
		f.add("text", "holds a control character")
	}
	if (len(b.IDs) == 0) == (b.Filter == nil) {
		f.add("ids", "is required, or filter, but not both")
	}
	for _, field := range []struct {
		name, action string
		sent, needed bool
	}{
		{"skip_trial", "activate", b.SkipTrial, false}, {"reason", "suspend", b.Reason != "", false}, {"plan_tier", "change_plan", b.PlanTier != "", true},
		{"subject", "email", b.Subject != "", true}, {"text", "email", b.Text != "", true},
	} {
		switch {
		case field.sent && field.action != b.Action:
			f.add(field.name, "does not go with this action")
		case field.needed && !field.sent && field.action == b.Action:
			f.add(field.name, "is required")
		}
	}
	return f.errs
}

// params are the order as it is kept: what to do, and to whom, as it was asked for.
func (b BulkOrder) params() json.RawMessage {
	kept := map[string]any{"skip_trial": b.SkipTrial, "reason": b.Reason, "plan_tier": b.PlanTier, "subject": b.Subject, "text": b.Text, "ids": b.IDs, "filter": b.Filter}
	raw, _ := json.Marshal(kept) // plain values
	return raw
}

// BulkOutcome is what an order does, or would do.
type BulkOutcome struct {
	BatchID   *uuid.UUID   `json:"batch_id" nullable:"true" doc:"The order's id; null for a dry run"`
	Action    string       `json:"action" example:"suspend"`
	DryRun    bool         `json:"dry_run" example:"false"`
	Job       *Job         `json:"job,omitempty" doc:"What does it, for more than 200 tenants; follow it at /api/jobs/{id}"`
	Total     int          `json:"total" example:"3"`
	Changed   int          `json:"changed" example:"2" doc:"In a dry run: would change"`
	Refused   int          `json:"refused" example:"1"`
	Waiting   int          `json:"waiting" example:"0" doc:"Not done yet; the same batch_id goes on"`
	OrderedBy string       `json:"ordered_by" example:"admin@kestrel.ai"`
	OrderedAt time.Time    `json:"ordered_at"`
	Results   []BulkResult `json:"results" nullable:"false"`
}

// BulkResult is what an order does at one tenant.
type BulkResult struct {
	TenantID    uuid.UUID `json:"tenant_id" format:"uuid"`
	Slug        string    `json:"slug" example:"haiec"`
	CompanyName string    `json:"company_name" example:"HAIEC"`
	Outcome     string    `json:"outcome" enum:"would_change,changed,refused,waiting"`
	Code        string    `json:"code,omitempty" example:"illegal_transition" doc:"Of a refusal"`
	Message     string    `json:"message,omitempty" example:"A tenant that is pending cannot become suspended." doc:"Why it was refused"`
}

func (o *BulkOutcome) add(r BulkResult) {
	o.Results = append(o.Results, r)
	o.Total++
	switch r.Outcome {
	case "refused":
		o.Refused++
	case "waiting":
		o.Waiting++
	default:
		o.Changed++
	}
}

type bulkOutput struct {
	Location string `header:"Location"`
	Body     BulkOutcome
}

const bulkTenantsDoc doc = `Act on many tenants
Activate, suspend, change the plan of, or write to the owners of up to 1,000 tenants, by ids or by the list's filter. Each
tenant is a transaction of its own, under the rules that hold for it alone: one that is refused changes nothing for the
others, and the answer says why. More than 200 are done by a job. With dry_run nothing happens, and the answer says what
would.`

func (a *API) bulkTenants(ctx context.Context, in *bulkInput) (*bulkOutput, error) {
	b, q := in.Body, a.query(ctx)
	if err := a.knownPlan(ctx, b.PlanTier); err != nil {
		return nil, err
	}
	chosen, strangers, err := a.chosen(ctx, b)
	if err != nil {
		return nil, err
	}
	order := uuid.Must(uuid.NewV7())
	if b.BatchID != nil {
		order = b.BatchID.UUID
	}
	if b.DryRun {
		return a.dryRun(ctx, order, b, chosen, strangers)
	}
	ids := each(chosen, func(t db.BulkTenantsRow) uuid.UUID { return t.ID })
	job, err := q.OrderBulk(ctx, db.OrderBulkParams{ID: order, Action: b.Action, Params: b.params(), Tenants: ids, AsJob: len(ids) > maxBulkNow})
	if err != nil {
		return nil, err
	}
	if job == uuid.Nil {
		if err := a.bulkNow(ctx, q, order); err != nil {
			return nil, err
		}
	}
	out, err := a.bulkOutcome(ctx, order)
	for _, r := range strangers {
		out.Body.add(r)
	}
	return out, err
}

func (a *API) knownPlan(ctx context.Context, tier string) error {
	if tier == "" {
		return nil
	}
	plans, err := a.query(ctx).ListPlans(ctx)
	if err == nil && !slices.ContainsFunc(plans, func(p db.Plan) bool { return p.Tier == tier }) {
		err = edge.NewProblem(http.StatusUnprocessableEntity, "plan_unknown", "There is no such plan.").At("plan_tier", "is not a plan")
	}
	return err
}

// chosen are the tenants that the order names, in its order, and the ids that are none.
func (a *API) chosen(ctx context.Context, b BulkOrder) (chosen []db.BulkTenantsRow, strangers []BulkResult, err error) {
	if b.Filter != nil {
		list := listTenantsInput{Search: b.Filter.Search, Status: b.Filter.Status, PlanTier: b.Filter.PlanTier, Industry: b.Filter.Industry, Overdue: b.Filter.Overdue}
		where, args := list.where()
		found, err := a.queryTenants(ctx, a.DB.As(edge.FromContext(ctx).SQL()), strings.Join(where, " and ")+fmt.Sprintf(" order by t.id limit %d", maxBulk+1), args...)
		if err == nil && len(found) > maxBulk {
			err = edge.NewProblem(http.StatusUnprocessableEntity, "too_many_tenants", "More than 1,000 tenants match. Narrow the filter.").At("filter", "matches more than 1,000 tenants")
		}
		return each(found, func(t Tenant) db.BulkTenantsRow {
			return db.BulkTenantsRow{ID: t.ID, Slug: t.Slug, CompanyName: t.CompanyName}
		}), nil, err
	}
	known := map[uuid.UUID]db.BulkTenantsRow{}
	rows, err := a.query(ctx).BulkTenants(ctx, each(b.IDs, func(i id) uuid.UUID { return i.UUID }))
	for _, r := range rows {
		known[r.ID] = r
	}
	seen := map[uuid.UUID]bool{}
	for _, i := range b.IDs {
		if seen[i.UUID] {
			continue
		}
		seen[i.UUID] = true
		if t, ok := known[i.UUID]; ok {
			chosen = append(chosen, t)
		} else {
			strangers = append(strangers, BulkResult{TenantID: i.UUID, Outcome: "refused", Code: "tenant_not_found", Message: "There is no such tenant."})
		}
	}
	return chosen, strangers, err
}

// dryRun does the action at each tenant and takes it back at once, fifty to a statement.
func (a *API) dryRun(ctx context.Context, order uuid.UUID, b BulkOrder, chosen []db.BulkTenantsRow, strangers []BulkResult) (*bulkOutput, error) {
	out := &bulkOutput{Body: BulkOutcome{Action: b.Action, DryRun: true, OrderedBy: edge.FromContext(ctx).Principal.Email, OrderedAt: a.Now(), Results: []BulkResult{}}}
	q, params := a.query(ctx), b.params()
	for some := range slices.Chunk(chosen, 50) {
		tried, err := q.TryBulk(ctx, db.TryBulkParams{Action: b.Action, Params: params, ID: order, Tenants: each(some, func(t db.BulkTenantsRow) uuid.UUID { return t.ID })})
		if err != nil {
			return nil, err
		}
		for n, r := range tried {
			out.Body.add(BulkResult{some[n].ID, some[n].Slug, some[n].CompanyName, strings.Replace(r[0], "changed", "would_change", 1), r[1], r[2]})
		}
	}
	for _, r := range strangers {
		out.Body.add(r)
	}
	return out, nil
}

// bulkNow does what the order has left. A tenant at which it fails for no reason of its own stays waiting.
func (a *API) bulkNow(ctx context.Context, q *db.Queries, order uuid.UUID) error {
	results, err := q.BulkResults(ctx, order)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Outcome != "waiting" {
			continue
		}
		if err := q.RunBulk(ctx, order, r.TenantID); err != nil {
			a.Log.WarnContext(ctx, "bulk: a tenant stays waiting", "tenant_id", r.TenantID, "error", err)
		}
	}
	return ctx.Err()
}

type bulkPath struct {
	ID id `path:"id" doc:"The order's batch_id"`
}

const getBulkOrderDoc doc = `Get an order for many tenants
What has become of it at each tenant so far.`

func (a *API) getBulkOrder(ctx context.Context, in *bulkPath) (*bulkOutput, error) {
	return a.bulkOutcome(ctx, in.ID.UUID)
}

func (a *API) bulkOutcome(ctx context.Context, order uuid.UUID) (*bulkOutput, error) {
	q := a.query(ctx)
	o, err := q.FindBulkOrder(ctx, order)
	if err != nil {
		return nil, err
	}
	out := &bulkOutput{Location: "/api/admin/bulk/" + order.String()}
	out.Body = BulkOutcome{BatchID: &order, Action: o.Action, OrderedBy: o.OrderedBy, OrderedAt: o.CreatedAt, Results: []BulkResult{}}
	if o.JobID != uuid.Nil {
		r, err := q.FindJob(ctx, o.JobID)
		if err != nil {
			return nil, err
		}
		job := Job(r)
		out.Body.Job = &job
	}
	results, err := q.BulkResults(ctx, order)
	for _, r := range results {
		out.Body.add(BulkResult(r))
	}
	return out, err
}
