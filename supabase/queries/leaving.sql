-- Leaving: exports, one caller forgotten, purge.

-- name: RequestExport :one
select private.request_export(@tenant_id)::uuid;

-- name: OrderExport :one
select private.order_export(@tenant_id)::uuid;

-- name: FindExport :one
select id, tenant_id, state, bytes, sha256, counts, job_id, requested_by, created_at, ready_at, expires_at
from tenant_exports where id = @id and tenant_id = @tenant_id;

-- name: ListExports :many
select id, tenant_id, state, bytes, sha256, counts, job_id, requested_by, created_at, ready_at, expires_at
from tenant_exports where tenant_id = @tenant_id order by id desc limit 50;

-- name: ExportToMake :one
select e.id, e.tenant_id from tenant_exports e where e.id = @id and e.state = 'open';

-- name: RecordingsAfter :many
select id, recording_path, voicemail_path from call_logs
where tenant_id = @tenant_id and id > @after and (recording_path is not null or voicemail_path is not null) order by id limit 200;

-- name: LogoPath :one
select logo_path from tenants where id = @id;

-- name: RecordExport :exec
update tenant_exports set state = 'ready', bytes = @bytes::bigint, sha256 = @sha256::text, counts = @counts, ready_at = @at::timestamptz, expires_at = @until::timestamptz
where id = @id and state = 'open';

-- name: ExpiredExports :many
-- Locked, so that none is made again while its file is removed.
select id, tenant_id from tenant_exports where state in ('ready', 'failed') and expires_at <= @at::timestamptz
order by expires_at limit 20 for update skip locked;

-- name: ExpireExport :exec
update tenant_exports set state = case state when 'ready' then 'expired' else state end, expires_at = case state when 'ready' then expires_at end where id = @id;

-- name: RequestErasure :one
select private.request_erasure(@tenant_id, @contact_id)::uuid;

-- name: OrderErasure :one
select private.order_erasure(@tenant_id, @contact_id)::uuid;

-- name: ContactTenant :one
select tenant_id from contacts where id = @id;

-- name: CallerRecordings :many
select f.path::text from private.calls_of(@tenant_id, @contact_id) c, unnest(array[c.recording_path, c.voicemail_path]) as f (path) where f.path is not null;

-- name: EraseCaller :exec
select private.erase_caller(@tenant_id, @contact_id);

-- name: RequestPurge :one
select private.request_purge(@tenant_id, @confirm)::uuid;

-- name: PurgeDue :one
select private.purge_due(@at::timestamptz, @most::int)::int;

-- name: TenantExists :one
select exists (select from tenants where id = @id)::boolean;

-- name: MayPurge :one
select private.may_purge(@tenant_id)::boolean;

-- name: PurchasesOpen :one
select exists (select from number_purchases where tenant_id = @tenant_id and state = 'open')::boolean;

-- name: NumbersToRelease :many
select id, provider_sid from phone_numbers where tenant_id = @tenant_id and released_at is null;

-- name: PurgeNumber :exec
update phone_numbers set status = 'released', status_reason = null where id = @id;

-- name: PurgeSome :one
select private.purge_some(@tenant_id, @most::int)::int;

-- name: PurgeTenant :one
select private.purge_tenant(@tenant_id, @at::timestamptz, private.purge_counts(@tenant_id))::boolean;

-- name: LoginIsSpare :one
select private.login_is_spare(@user_id)::boolean;

-- name: SetLogo :execrows
update tenants set logo_path = sqlc.narg('path')::text where id = @id;
