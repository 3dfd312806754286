-- Sign-up, as the service role: there is no caller yet.

-- name: TakeRate :one
select private.take_rate(@bucket::bytea, @most::int, pg_catalog.make_interval(secs => @seconds::int), @at::timestamptz)::int;

-- name: OwnsTenant :one
select (exists (select from tenant_users m join tenants t on t.id = m.tenant_id where m.email = @email and m.role = 'owner' and t.deleted_at is null)
  or exists (select from tenants where owner_email = @email))::boolean as owns;

-- name: CreateDraft :exec
insert into private.onboarding_drafts (hash, data, updated_at, expires_at) values (@hash, @data, @at, @expires_at);

-- name: KeepDraft :execrows
update private.onboarding_drafts set data = @data, updated_at = @at::timestamptz, expires_at = @expires_at where hash = @hash and expires_at > @at::timestamptz;

-- name: FindDraft :one
select data, updated_at, expires_at from private.onboarding_drafts where hash = @hash and expires_at > @at::timestamptz;

-- name: DropDraft :exec
delete from private.onboarding_drafts where hash = @hash;

-- name: ForgetSignUps :exec
select private.forget_sign_ups(@at::timestamptz);
