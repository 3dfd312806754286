-- Answers of POSTs that carried an Idempotency-Key.

-- name: ClaimIdempotencyKey :one
-- Returns a row when the caller may go ahead: the key is new, or what held it has expired.
with gone as (
  delete from private.idempotency_keys where ctid in (
    select g.ctid from private.idempotency_keys g where g.created_at < @forget_before and (g.principal, g.key) <> (@principal, @key) limit 20)
)
insert into private.idempotency_keys as k (principal, key, fingerprint, locked_until, created_at)
values (@principal, @key, @fingerprint, @locked_until, @at)
on conflict (principal, key) do update
  set fingerprint = excluded.fingerprint, locked_until = excluded.locked_until, created_at = excluded.created_at, status = null, headers = null, body = null
  where k.created_at < @forget_before or (k.status is null and k.locked_until < @at and k.fingerprint = excluded.fingerprint)
returning k.created_at;

-- name: FindIdempotencyKey :one
select fingerprint, status, headers, body from private.idempotency_keys where principal = @principal and key = @key;

-- name: StoreIdempotentAnswer :execrows
-- created_at tells this try from one that took over.
update private.idempotency_keys set status = @status, headers = @headers, body = @body
where principal = @principal and key = @key and created_at = @at;

-- name: HoldIdempotencyKey :exec
update private.idempotency_keys set locked_until = @locked_until
where principal = @principal and key = @key and status is null and created_at = @at;

-- name: ReleaseIdempotencyKey :exec
delete from private.idempotency_keys where principal = @principal and key = @key and status is null and created_at = @at;
