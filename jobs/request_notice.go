package jobs

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"kestrel.ai/jobs/emails"
	"kestrel.ai/supabase/db"
)

// RequestNotice tells the platform's admin what a customer asks for: another plan, or to be reactivated.
type RequestNotice struct{ Args }

// Kind implements river.JobArgs.
func (RequestNotice) Kind() string { return "request_notice" }

type requestNoticeWorker struct {
	river.WorkerDefaults[RequestNotice]
	Deps
}

func (w *requestNoticeWorker) Work(ctx context.Context, job *river.Job[RequestNotice]) error {
	r, err := w.queries(job.Kind).RequestForNotice(ctx, job.Args.SubjectID)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && (r.State != "open" || w.Config.AdminEmail == "") {
		return finish(ctx, &w.Deps, job, nil)
	}
	if err != nil {
		return err
	}
	params := map[string]any{"kind": r.Kind, "requested_by": r.RequestedBy}
	if r.PlanWanted != nil {
		params["plan_wanted"], params["plan_wanted_price_cents"] = *r.PlanWanted, *r.PriceWanted
	}
	return finish(ctx, &w.Deps, job, func(q *db.Queries) error {
		return q.QueueEmail(ctx, db.QueueEmailParams{
			Template: emails.TemplateTenantRequest, TenantID: r.TenantID, ToEmail: w.Config.AdminEmail,
			DedupeKey: "tenant_request:" + r.ID.String(), Params: encode(params),
		})
	})
}
