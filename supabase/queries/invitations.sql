-- Invitations: as the caller, and as the service role for whoever holds a link.

-- name: ListInvitations :many
select id, email, role, invited_by, sends, sent_at, expires_at, accepted_at, revoked_at, created_at
from invitations where tenant_id = @tenant_id order by id desc limit 500;

-- name: FindInvitation :one
select id, email, role, invited_by, sends, sent_at, expires_at, accepted_at, revoked_at, created_at
from invitations where tenant_id = @tenant_id and id = @id;

-- name: CreateInvitation :one
insert into invitations (tenant_id, email, role) values (@tenant_id, @email, @role)
returning id, email, role, invited_by, sends, sent_at, expires_at, accepted_at, revoked_at, created_at;

-- name: ResendInvitation :one
update invitations set sends = sends + 1 where tenant_id = @tenant_id and id = @id
returning id, email, role, invited_by, sends, sent_at, expires_at, accepted_at, revoked_at, created_at;

-- name: RevokeInvitation :execrows
update invitations set revoked_at = @at where tenant_id = @tenant_id and id = @id and revoked_at is null;

-- name: OpenInvitation :one
select o.id::uuid as id, o.email::text as email, o.role::text as role, o.company_name::text as company_name, o.expires_at::timestamptz as expires_at,
  o.signs_in::boolean as signs_in
from private.open_invitation(@tenant_id::uuid, @hash::bytea, @at::timestamptz) o;

-- name: ClaimInvitation :one
select o.id::uuid as id, o.email::text as email, o.role::text as role, o.company_name::text as company_name, o.expires_at::timestamptz as expires_at,
  coalesce(o.user_id, '00000000-0000-0000-0000-000000000000')::uuid as user_id, o.signs_in::boolean as signs_in
from private.claim_invitation(@tenant_id::uuid, @hash::bytea, @at::timestamptz) o;

-- name: ReleaseInvitation :exec
select private.release_invitation(@id::uuid);

-- name: AcceptInvitation :exec
select private.accept_invitation(@id::uuid, @user_id::uuid, @at::timestamptz);

-- name: MintInvitation :one
select private.mint_invitation(@email_id::uuid, @hash::bytea, @link::text, @at::timestamptz)::boolean;

-- name: InviteOwner :exec
select private.invite_owner(@tenant_id::uuid);
