-- One tenant, as platform admins handle it. The list, whose shape depends on the request, is in server/api.

-- name: CreateTenant :one
insert into tenants (slug, company_name, owner_name, owner_email, owner_phone, industry, plan_tier, subscription_status,
  twilio_phone_number, forward_to_number, max_monthly_calls, timezone, brand_color, terms_version, terms_accepted_at)
values (@slug, @company_name, @owner_name, @owner_email, @owner_phone, @industry, @plan_tier, @subscription_status,
  @twilio_phone_number, @forward_to_number, @max_monthly_calls, @timezone, @brand_color, @terms_version, @terms_accepted_at)
returning id;

-- name: SlugProblem :one
select coalesce(private.slug_problem(@slug), '')::text;

-- name: FindTenantID :one
select id from tenants where slug = @slug and deleted_at is null;

-- name: FindTerm :one
select plan_tier, price_cents, monthly_calls, status, valid_from from tenant_plans where tenant_id = @tenant_id and valid_to is null;

-- name: DeleteTenant :execrows
update tenants set deleted_at = @at where id = @id and deleted_at is null;

-- name: RestoreTenant :execrows
update tenants set deleted_at = null where id = @id and deleted_at is not null;

-- name: TenantLife :one
select subscription_status, deleted_at from tenants where id = @id;

-- name: ChangeStatus :exec
select private.change_status(@id, @status, sqlc.narg('reason'));

-- name: TenantStats :one
select
  (select count(*) from call_logs c where c.tenant_id = t.id and not c.is_test)::bigint as total_calls,
  t.current_month_calls as calls_this_month,
  t.max_monthly_calls,
  (select count(*) from appointments a where a.tenant_id = t.id)::bigint as total_appointments,
  (select count(*) from appointments a where a.tenant_id = t.id and a.status = 'scheduled' and a.starts_at > @at::timestamptz)::bigint as upcoming_appointments
from tenants t where t.id = @id and t.deleted_at is null;

-- name: FindProfile :one
select id, slug, company_name, owner_name, owner_email, owner_phone, industry, plan_tier, subscription_status, status_reason,
  twilio_phone_number, forward_to_number, max_monthly_calls, current_month_calls, is_active, timezone, brand_color, logo_path,
  trial_ends_at, access_ends_at, created_at, updated_at
from tenants where id = @id and deleted_at is null;
