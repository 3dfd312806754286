-- Who a caller is: looked up as the service role, before there is a caller.

-- name: FindMembership :one
select role from tenant_users where user_id = @user_id::uuid and tenant_id = @tenant_id;

-- name: LinkPerson :exec
select private.link_person(@user_id);

-- name: IsPlatformAdmin :one
select exists (select from platform_admins where user_id = @user_id::uuid);

-- name: FindAPIKey :one
select k.id, k.tenant_id, t.slug, k.name, k.scopes, k.expires_at
from private.api_key_hashes h
join tenant_api_keys k on k.id = h.key_id
join tenants t on t.id = k.tenant_id
where h.hash = @hash and k.revoked_at is null and (k.expires_at is null or k.expires_at > @at::timestamptz) and t.deleted_at is null;

-- name: TouchAPIKeys :exec
update tenant_api_keys k set last_used_at = used.at
from (select unnest(@ids::uuid[]) as id, unnest(@used_at::timestamptz[]) as at) used
where k.id = used.id and (k.last_used_at is null or k.last_used_at < used.at);

-- name: CreateTicket :exec
insert into private.tickets (hash, principal, tenant_id, path, expires_at) values ($1, $2, $3, $4, $5);

-- name: TakeTicket :one
delete from private.tickets where hash = $1 returning principal, tenant_id, path, expires_at;
