-- People and machines of one tenant.

-- name: ListMembers :many
select id, user_id, email, role, created_at, updated_at from tenant_users where tenant_id = @tenant_id order by role desc, email;

-- name: FindMember :one
select id, user_id, email, role, created_at, updated_at from tenant_users where tenant_id = @tenant_id and id = @id;

-- name: ChangeRole :one
update tenant_users set role = @role where tenant_id = @tenant_id and id = @id returning id, user_id, email, role, created_at, updated_at;

-- name: RemoveMember :execrows
delete from tenant_users where tenant_id = @tenant_id and id = @id;

-- name: TransferOwnership :exec
select private.transfer_ownership(@tenant_id::uuid, @member_id::uuid);

-- name: HandOver :exec
select private.hand_over(@tenant_id::uuid, sqlc.narg(from_id)::uuid, @to_id::uuid);

-- name: LeaveTenant :exec
select private.leave_tenant(@tenant_id::uuid);

-- name: ListKeys :many
select id, name, prefix, scopes, expires_at, last_used_at, revoked_at, created_by, created_at
from tenant_api_keys where tenant_id = @tenant_id order by id desc;

-- name: CreateKey :one
insert into tenant_api_keys (tenant_id, name, prefix, scopes, expires_at, created_by)
values (@tenant_id, @name, @prefix, @scopes, @expires_at, @created_by)
returning id, name, prefix, scopes, expires_at, last_used_at, revoked_at, created_by, created_at;

-- name: StoreKeyHash :exec
select private.store_key_hash(@id, @hash);

-- name: RevokeKey :execrows
update tenant_api_keys set revoked_at = coalesce(revoked_at, @at) where tenant_id = @tenant_id and id = @id;

-- name: FindKey :one
select id, name, prefix, scopes, expires_at, last_used_at, revoked_at, created_by, created_at
from tenant_api_keys where tenant_id = @tenant_id and id = @id;
