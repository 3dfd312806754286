-- Import: the archive of an export made a new tenant.

-- name: OfferArchive :one
select private.offer_archive()::text;

-- name: OrderImport :one
select private.order_import(sqlc.narg('export_id')::uuid, sqlc.narg('object')::text, sqlc.narg('sha256')::text, @slug::text, @company_name::text, @owner_email::text)::uuid;

-- name: FindImport :one
select id, tenant_id, state, bucket, object, sha256, slug, company_name, owner_email, counts, report, job_id, requested_by, created_at, finished_at
from tenant_imports where id = @id;

-- name: ListImports :many
select id, tenant_id, state, bucket, object, sha256, slug, company_name, owner_email, counts, job_id, requested_by, created_at, finished_at
from tenant_imports order by id desc limit 50;

-- name: ImportToMake :one
select id, bucket, object, sha256, slug, company_name, owner_email from tenant_imports where id = @id and state = 'open';

-- name: FinishImport :exec
select private.finish_import(@id, @at::timestamptz, @counts::jsonb, @report::jsonb);

-- name: FailedImports :many
-- Locked, so that none is begun again while its files are removed.
select id from tenant_imports where clean_at <= @at::timestamptz and state = 'failed' order by clean_at limit 20 for update skip locked;

-- name: CleanedImport :exec
update tenant_imports set clean_at = null where id = @id;

-- name: OldArchives :many
select a.object from private.import_archives a where a.created_at <= @before::timestamptz
  and not exists (select from tenant_imports i where i.bucket = 'imports' and i.object = a.object and i.state = 'open')
order by a.created_at limit 20 for update of a skip locked;

-- name: ForgetArchive :exec
delete from private.import_archives where object = @object;

-- name: KnownPlan :one
select exists (select from plans where tier = @tier)::boolean;
