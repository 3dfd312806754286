-- The platform as a whole: figures, plans, staff.

-- name: PlatformTotals :one
select count(*)::bigint as total,
  count(*) filter (where subscription_status = 'active')::bigint as active,
  count(*) filter (where subscription_status = 'trial')::bigint as trial,
  count(*) filter (where subscription_status = 'pending')::bigint as pending,
  count(*) filter (where subscription_status = 'suspended')::bigint as suspended,
  count(*) filter (where subscription_status = 'cancelled')::bigint as cancelled,
  count(*) filter (where subscription_status = 'pending' and created_at < @overdue_before::timestamptz)::bigint as overdue,
  (select coalesce(sum(p.price_cents), 0) from tenant_plans p where p.valid_to is null and p.status = 'active')::bigint as mrr_cents
from tenants where deleted_at is null;

-- name: PlatformSeries :many
select d.day::timestamptz as day,
  (select coalesce(sum(p.price_cents), 0) from tenant_plans p
    where p.status = 'active' and p.valid_from <= d.ending and (p.valid_to is null or p.valid_to > d.ending))::bigint as mrr_cents,
  (select count(*) from tenants t where t.created_at <= d.ending and (t.deleted_at is null or t.deleted_at > d.ending))::bigint as tenants,
  (select count(*) from tenants t where t.created_at >= d.day and t.created_at < d.day + interval '24 hours')::bigint as sign_ups
from (
  select g.day, least(g.day + interval '24 hours', sqlc.arg(at)::timestamptz) as ending
  from generate_series(sqlc.arg(first_day)::timestamptz, sqlc.arg(at)::timestamptz, interval '24 hours') as g(day)
) d order by d.day;

-- name: UpdatePlan :one
update plans set name = coalesce(sqlc.narg('name'), name), price_cents = coalesce(sqlc.narg('price_cents'), price_cents),
  monthly_calls = coalesce(sqlc.narg('monthly_calls'), monthly_calls), description = coalesce(sqlc.narg('description'), description),
  position = coalesce(sqlc.narg('position'), position), is_offered = coalesce(sqlc.narg('is_offered'), is_offered)
where tier = @tier returning *;

-- name: ListOfferedPlans :many
select tier, name, price_cents, monthly_calls, description from plans where is_offered order by position, tier;
