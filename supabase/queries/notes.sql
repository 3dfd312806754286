-- What staff note about a tenant. Newest first; each page starts below an id.

-- name: ListNotes :many
select id, tenant_id, body, author, author_label, created_at, updated_at
from tenant_notes where tenant_id = @tenant_id and id < @before order by id desc limit @max_rows;

-- name: CreateNote :one
insert into tenant_notes (tenant_id, body, author_label) values (@tenant_id, @body, @author_label)
returning id, tenant_id, body, author, author_label, created_at, updated_at;

-- name: UpdateNote :one
update tenant_notes set body = @body where id = @id and tenant_id = @tenant_id
returning id, tenant_id, body, author, author_label, created_at, updated_at;

-- name: DeleteNote :execrows
delete from tenant_notes where id = @id and tenant_id = @tenant_id;
