-- What is due over months, and what customers ask of staff.

-- name: ResetDueUsage :one
select closed::int, busy::boolean from private.reset_due_usage(@at::timestamptz, @most::int);

-- name: DueUsageTenant :one
select tenant_id from tenant_usage where closed_at is null and period_end <= @at::timestamptz order by period_end limit 1;

-- name: ResetUsage :one
select private.reset_usage(@tenant_id::uuid, @at::timestamptz)::int;

-- name: WarnTrials :one
select private.warn_trials(@at::timestamptz)::int;

-- name: EndTrials :one
select private.end_trials(@before::timestamptz)::int;

-- name: RemindPending :one
select private.remind_pending(@at::timestamptz, @admin_email::text)::int;

-- name: TrialToExtend :one
select trial_ends_at from tenants where id = @id and deleted_at is null for no key update;

-- name: ExtendTrial :exec
select private.extend_trial(@id::uuid, @ends_at::timestamptz);

-- name: TenantPeriods :many
select period_start, period_end, calls, adjusted_calls, late_calls, seconds, late_seconds, sms, late_sms, cost_micros, late_cost_micros, closed_at
from tenant_usage where tenant_id = @tenant_id order by period_start desc limit 24;

-- name: RequestPlan :one
select private.request_plan(@tenant_id::uuid, @plan_tier::text)::uuid;

-- name: WithdrawPlan :exec
select private.withdraw_plan(@tenant_id::uuid, @id::uuid);

-- name: ListOwnPlanRequests :many
select id, plan_tier, from_tier, state, reason, requested_by, decided_at, created_at
from tenant_requests where tenant_id = @tenant_id and kind = 'plan' and id < @before order by id desc limit @max_rows;

-- name: DecidePlan :one
select private.decide_plan(@id::uuid, @confirm::boolean, sqlc.narg('reason')::text)::uuid;

-- name: RequestReactivation :one
-- No row where there is nothing to ask.
select r.at::timestamptz from private.request_reactivation(@tenant_id::uuid, @at::timestamptz) r(at) where r.at is not null;

-- name: FindPlanRequest :one
select r.*, t.slug, t.company_name from tenant_requests r join tenants t on t.id = r.tenant_id where r.id = @id and r.kind = 'plan';

-- name: ListPlanRequests :many
select r.*, t.slug, t.company_name from tenant_requests r join tenants t on t.id = r.tenant_id
where r.kind = 'plan' and t.deleted_at is null and r.id < @before and (@state::text = '' or r.state = @state)
order by r.id desc limit @max_rows;

-- name: RequestForNotice :one
select r.id, r.tenant_id, r.kind, r.state, r.requested_by, p.name as plan_wanted, p.price_cents as price_wanted
from tenant_requests r left join plans p on p.tier = r.plan_tier where r.id = @id;
