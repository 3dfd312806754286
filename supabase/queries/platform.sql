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
-- Each day as it ended: what began or ended before the next midnight, UTC. One pass over terms and tenants, however many days.
with change as (
  select greatest(date_trunc('day', valid_from, 'UTC'), @first_day::timestamptz) as day, (case when status = 'active' then price_cents else 0 end)::bigint as mrr,
      (status = 'active')::int as active, (status = 'trial')::int as trial, 0 as tenants, 0 as sign_ups from tenant_plans where status in ('active', 'trial')
  union all select greatest(date_trunc('day', valid_to, 'UTC'), @first_day::timestamptz), -(case when status = 'active' then price_cents else 0 end)::bigint,
      -(status = 'active')::int, -(status = 'trial')::int, 0, 0 from tenant_plans where status in ('active', 'trial') and valid_to is not null
  union all select greatest(date_trunc('day', created_at, 'UTC'), @first_day::timestamptz), 0, 0, 0, 1, (created_at >= @first_day::timestamptz)::int from tenants
  union all select greatest(date_trunc('day', deleted_at, 'UTC'), @first_day::timestamptz), 0, 0, 0, -1, 0 from tenants where deleted_at is not null
), daily as (
  select change.day, sum(mrr) as mrr, sum(active) as active, sum(trial) as trial, sum(tenants) as tenants, sum(sign_ups) as sign_ups from change group by change.day
)
select g.day::timestamptz as day, coalesce(sum(d.mrr) over w, 0)::bigint as mrr_cents, coalesce(sum(d.active) over w, 0)::bigint as active,
  coalesce(sum(d.trial) over w, 0)::bigint as trial, coalesce(sum(d.tenants) over w, 0)::bigint as tenants, coalesce(d.sign_ups, 0)::bigint as sign_ups
from generate_series(@first_day::timestamptz, @at::timestamptz, interval '24 hours') as g(day) left join daily d on d.day = g.day
window w as (order by g.day) order by g.day;

-- name: UpdatePlan :one
update plans set name = coalesce(sqlc.narg('name'), name), price_cents = coalesce(sqlc.narg('price_cents'), price_cents),
  monthly_calls = coalesce(sqlc.narg('monthly_calls'), monthly_calls), description = coalesce(sqlc.narg('description'), description),
  position = coalesce(sqlc.narg('position'), position), is_offered = coalesce(sqlc.narg('is_offered'), is_offered)
where tier = @tier returning *;

-- name: ListOfferedPlans :many
select tier, name, price_cents, monthly_calls, description from plans where is_offered order by position, tier;
