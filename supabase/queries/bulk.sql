-- What platform admins do to many tenants at once.

-- name: OrderBulk :one
select coalesce(private.bulk_order(@id::uuid, @action::text, @params::jsonb, @tenants::uuid[], @as_job::boolean), '00000000-0000-0000-0000-000000000000')::uuid as job_id;

-- name: TryBulk :many
select private.bulk_try(@action::text, @params::jsonb, @id::uuid, t.id, false)::text[] as result
from unnest(@tenants::uuid[]) with ordinality as t (id, position) order by t.position;

-- name: RunBulk :exec
select private.bulk_run(@id::uuid, @tenant_id::uuid);

-- name: BulkTenants :many
-- Of these ids, the tenants that there are.
select id, slug, company_name from tenants where id = any (@ids::uuid[]);

-- name: BulkResults :many
select r.tenant_id::uuid as tenant_id, r.slug::text as slug, r.company_name::text as company_name, r.outcome::text as outcome,
  coalesce(r.code, '')::text as code, coalesce(r.message, '')::text as message
from private.bulk_results(@id::uuid) r;

-- name: FindBulkOrder :one
select o.action::text as action, coalesce(o.job_id, '00000000-0000-0000-0000-000000000000')::uuid as job_id, o.actor_label::text as ordered_by, o.created_at::timestamptz as created_at
from private.bulk_order_of(@id::uuid) o;

-- name: BulkActor :one
select actor, actor_label from bulk_orders where id = @id;

-- name: WaitingBulk :many
select tenant_id from bulk_items where order_id = @id and outcome = 'waiting' order by position;

-- name: BulkProgress :one
select count(*)::int as total, (count(*) filter (where outcome <> 'waiting'))::int as done, (count(*) filter (where outcome = 'refused'))::int as refused
from bulk_items where order_id = @id;

-- name: TellProgress :exec
select private.job_step(@job_id::uuid, 'running', 'running', @said::text, @attempt::int);
