package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
)

// Health is how a tenant is doing.
type Health struct {
	TenantID           uuid.UUID  `json:"tenant_id" db:"id" format:"uuid"`
	Slug               string     `json:"slug" example:"haiec"`
	CompanyName        string     `json:"company_name" example:"HAIEC"`
	SubscriptionStatus string     `json:"subscription_status" example:"active"`
	PlanTier           string     `json:"plan_tier" example:"professional"`
	Issues             []string   `json:"issues" nullable:"false" example:"[\"over_pace\"]" doc:"What needs attention: pending_overdue, failed_jobs, retrying_jobs, failed_emails, not_owned_numbers, failed_numbers, webhook_drift, no_number, over_limit, over_pace, silent; empty for nothing"`
	LastCallAt         *time.Time `json:"last_call_at"`
	FailedJobs         int32      `json:"failed_jobs" example:"0" doc:"In the last 30 days, and not retried since"`
	RetryingJobs       int32      `json:"retrying_jobs" example:"0" doc:"Tried three times or more, and going on"`
	FailedEmails       int32      `json:"failed_emails" example:"0" doc:"Failed or of unknown outcome, in the last 30 days"`
	Numbers            int32      `json:"numbers" example:"1" doc:"Ready ones"`
	NotOwnedNumbers    int32      `json:"not_owned_numbers" example:"0"`
	FailedNumbers      int32      `json:"failed_numbers" example:"0"`
	DriftedWebhooks    int32      `json:"drifted_webhooks" example:"0" doc:"Ready numbers whose webhooks, as the hourly sweep last saw them at Twilio, are not this tenant's. Repair each at /api/admin/numbers/{id}/webhooks"`
	PeriodStart        *time.Time `json:"period_start"`
	PeriodEnd          *time.Time `json:"period_end"`
	Calls              int32      `json:"calls" example:"420" doc:"Counted in the current usage period"`
	MaxMonthlyCalls    *int32     `json:"max_monthly_calls" example:"500"`
	Elapsed            float64    `json:"elapsed" example:"0.7" doc:"Share of the period that has gone by"`
	ProjectedCalls     int32      `json:"projected_calls" example:"600" doc:"At the period's end, at the pace so far"`
	CreatedAt          time.Time  `json:"created_at"`
}

// selectHealth reads Healths by name. A period's pace counts once a tenth of it has gone by; no call for two weeks is silence.
const selectHealth = `select * from (
  select t.id, t.slug, t.company_name, t.subscription_status, t.plan_tier, t.max_monthly_calls, t.created_at, f.*,
    array_remove(array[
      case when t.subscription_status = 'pending' and t.created_at < @overdue_before then 'pending_overdue' end,
      case when f.failed_jobs > 0 then 'failed_jobs' end,
      case when f.retrying_jobs > 0 then 'retrying_jobs' end,
      case when f.failed_emails > 0 then 'failed_emails' end,
      case when f.not_owned_numbers > 0 then 'not_owned_numbers' end,
      case when f.failed_numbers > 0 then 'failed_numbers' end,
      case when f.drifted_webhooks > 0 then 'webhook_drift' end,
      case when t.subscription_status in ('trial', 'active') and f.numbers = 0 then 'no_number' end,
      case when f.calls >= t.max_monthly_calls then 'over_limit'
           when f.elapsed >= 0.1 and f.projected_calls > t.max_monthly_calls then 'over_pace' end,
      case when t.subscription_status = 'active' and greatest(f.last_call_at, t.activated_at) < @silent_before then 'silent' end
    ], null) as issues
  from tenants t
  left join (select tenant_id, count(*) filter (where state = 'failed') as failed, count(*) filter (where state <> 'failed') as retrying from (
      select tenant_id, state from jobs where state = 'failed' and updated_at >= @since
      union all select tenant_id, state from jobs where state in ('queued', 'running') and attempt >= 3) j group by tenant_id) work on work.tenant_id = t.id
  left join (select tenant_id, count(*) as failed from email_log where status in ('failed', 'unknown') and updated_at >= @since group by tenant_id) mail on mail.tenant_id = t.id
  left join lateral (select count(*) filter (where n.status = 'ready') as ready, count(*) filter (where n.status = 'not_owned') as not_owned,
      count(*) filter (where n.status = 'failed') as failed, count(*) filter (where n.status = 'ready'
        and (n.webhooks_drifted_at is not null or n.webhooks ->> 'voice_url' is distinct from @voice_url || t.slug)) as drifted
    from phone_numbers n where n.tenant_id = t.id and n.released_at is null) numbers on true
  left join lateral (select period_start, period_end, greatest(calls + adjusted_calls, 0) as calls,
      (extract(epoch from @at - period_start) / extract(epoch from period_end - period_start))::float8 as elapsed
    from tenant_usage where tenant_id = t.id and period_start <= @at and period_end > @at limit 1) u on true
  cross join lateral (select
    (select started_at from call_logs where tenant_id = t.id order by started_at desc, id desc limit 1) as last_call_at,
    coalesce(work.failed, 0)::int as failed_jobs, coalesce(work.retrying, 0)::int as retrying_jobs, coalesce(mail.failed, 0)::int as failed_emails,
    numbers.ready::int as numbers, numbers.not_owned::int as not_owned_numbers, numbers.failed::int as failed_numbers, numbers.drifted::int as drifted_webhooks,
    u.period_start, u.period_end, coalesce(u.calls, 0)::int as calls, coalesce(u.elapsed, 0)::float8 as elapsed,
    case when u.elapsed > 0 then least(ceil(u.calls / u.elapsed), 1000000000) else 0 end::int as projected_calls) f
  where t.deleted_at is null
) h where `

func (a *API) health(ctx context.Context, where string, args pgx.NamedArgs) ([]Health, error) {
	now := a.Now()
	args["at"], args["overdue_before"], args["since"], args["silent_before"] = now, a.overdueBefore(), now.AddDate(0, 0, -30), now.AddDate(0, 0, -14)
	args["voice_url"] = a.Config.WebhookBase + "/api/voice/incoming?tenant="
	rows, err := a.DB.As(edge.FromContext(ctx).SQL()).Query(ctx, selectHealth+where, args)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Health])
}

type healthOutput struct{ Body Health }

const tenantHealthDoc doc = `Get a tenant's health
Its last call, failing jobs and e-mails, what is wrong with its numbers, and the pace of its usage.`

func (a *API) tenantHealth(ctx context.Context, in *TenantPath) (*healthOutput, error) {
	found, err := a.health(ctx, `id = @id`, pgx.NamedArgs{"id": in.ID.UUID})
	if err == nil && len(found) == 0 {
		err = errNoTenant
	}
	if err != nil {
		return nil, err
	}
	return &healthOutput{Body: found[0]}, nil
}

type listHealthInput struct {
	PageInput
	Issue string `query:"issue" enum:"pending_overdue,failed_jobs,retrying_jobs,failed_emails,not_owned_numbers,failed_numbers,webhook_drift,no_number,over_limit,over_pace,silent" doc:"Only those with this one"`
}

const listHealthDoc doc = `List tenants that need attention
Those with an issue, newest first.`

func (a *API) listHealth(ctx context.Context, in *listHealthInput) (*listOutput[Health], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.health(ctx, `cardinality(issues) > 0 and (@issue = '' or @issue = any (issues)) and id < @before order by id desc limit @max_rows`,
		pgx.NamedArgs{"issue": in.Issue, "before": c.ID, "max_rows": in.rows()})
	return paged(in.PageInput, rows, func(h Health) Health { return h }, func(h Health) cursor { return cursor{ID: h.TenantID} }), err
}
