-- Platform admins viewing as a tenant.

-- name: StartView :one
select v.id, v.tenant_id, v.admin_email, v.reason, v.can_write, v.expires_at, v.ended_at, v.ended_how, v.created_at
from private.start_view(@tenant_id, @admin_id, @reason, @can_write, @hash, @at) v;

-- name: ListViews :many
select id, tenant_id, admin_email, reason, can_write, expires_at, ended_at, ended_how, created_at
from tenant_views where tenant_id = @tenant_id and id < @before order by id desc limit @max_rows;

-- name: EndView :execrows
update tenant_views set ended_at = least(@at::timestamptz, expires_at) where id = @id and tenant_id = @tenant_id and ended_at is null;

-- name: EndOwnView :exec
select private.end_own_view(@at::timestamptz);

-- name: ExpireViews :one
select private.expire_views(@at::timestamptz)::int;

-- name: FindView :one
select v.id, v.tenant_id, t.slug, v.admin_user_id, v.admin_email, v.reason, v.can_write, v.expires_at
from private.view_hashes h
join tenant_views v on v.id = h.view_id
join tenants t on t.id = v.tenant_id
where h.hash = @hash and v.ended_at is null and v.expires_at > @at::timestamptz and t.deleted_at is null
  and exists (select from platform_admins a where a.user_id = v.admin_user_id);

-- name: ViewExists :one
select exists (select from tenant_views where id = @id and tenant_id = @tenant_id);

-- name: FindTenantSlug :one
select slug from tenants where id = @id and deleted_at is null;
