-- What follows a new tenant, and its e-mails.

-- name: FindNewTenant :one
select t.id, t.slug, t.owner_email, t.subscription_status, t.deleted_at from tenants t where t.id = @id;

-- name: QueueEmail :exec
select private.queue_email(@template::text, @tenant_id::uuid, @to_email::text, @dedupe_key::text, @params::jsonb);

-- name: EmailToSend :one
select e.*, l.link from email_log e left join private.email_links l on l.email_id = e.id where e.id = @id;

-- name: DropEmailLink :exec
delete from private.email_links where email_id = @email_id;

-- name: KeepRendered :exec
update email_log set subject = @subject, html = @html, text = @text, updated_at = @at::timestamptz where id = @id and html is null;

-- name: StartEmail :one
-- Committed before the call, so that the time of the first try is known whatever happens.
update email_log set status = 'sending', attempts = attempts + 1, first_attempt_at = coalesce(first_attempt_at, @at::timestamptz), updated_at = @at::timestamptz
where id = @id and status in ('queued', 'sending') returning first_attempt_at::timestamptz;

-- name: RecordSent :exec
update email_log set status = 'sent', provider_id = @provider_id, error = null, sent_at = @at::timestamptz, updated_at = @at::timestamptz
where id = @id and status in ('queued', 'sending');

-- name: NoteEmailError :exec
-- untouched: nothing was sent yet, so that the time of the first try does not count.
update email_log set error = @error, updated_at = @at::timestamptz, first_attempt_at = case when @untouched::boolean then null else first_attempt_at end
where id = @id and status in ('queued', 'sending');

-- name: TenantForEmail :one
select t.slug, t.company_name, t.owner_name, t.owner_email, t.owner_phone, t.industry, t.subscription_status, t.forward_to_number, t.timezone,
  t.brand_color, t.logo_path, t.trial_ends_at, t.created_at, t.current_month_calls, t.max_monthly_calls,
  n.phone_number, coalesce(n.status in ('configuring', 'ready'), false)::boolean as number_live,
  p.name as plan_name, coalesce(term.monthly_calls, p.monthly_calls)::int as plan_calls, coalesce(term.price_cents, p.price_cents)::int as plan_price_cents,
  coalesce(u.period_end, t.created_at)::timestamptz as period_end,
  (select count(*) from call_logs c where c.tenant_id = t.id and c.usage_id is not null and c.started_at >= t.activated_at)::int as trial_calls,
  (select count(*) from appointments a where a.tenant_id = t.id and a.created_at >= t.activated_at and a.status <> 'cancelled')::int as appointments,
  coalesce(bigger.name, '')::text as next_plan_name, coalesce(bigger.monthly_calls, 0)::int as next_plan_calls, coalesce(bigger.price_cents, 0)::int as next_plan_price_cents
from tenants t
join plans p on p.tier = t.plan_tier
left join tenant_plans term on term.tenant_id = t.id and term.valid_to is null
left join phone_numbers n on n.tenant_id = t.id and n.is_primary
left join lateral (select period_end from tenant_usage where tenant_id = t.id and period_start <= @at::timestamptz order by period_start desc limit 1) u on true
left join lateral (select name, monthly_calls, price_cents from plans where is_offered and monthly_calls > p.monthly_calls order by monthly_calls limit 1) bigger on true
where t.id = @id;

-- name: FindFallback :one
select t.id, t.company_name, t.forward_to_number,
  exists (select from phone_numbers n where n.phone_number = t.forward_to_number and n.released_at is null and n.status in ('configuring', 'ready', 'releasing')) as forward_is_ours
from tenants t where t.id = @id;
