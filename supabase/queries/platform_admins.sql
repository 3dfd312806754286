-- name: ListStaff :many
select id, email, user_id, granted_by, created_at from platform_admins order by id;

-- name: AddStaff :one
insert into platform_admins (email, granted_by) values (@email, @granted_by) returning id, email, user_id, granted_by, created_at;

-- name: EnsureStaff :exec
insert into platform_admins (email, granted_by) values (lower(@email), @granted_by) on conflict (email) do nothing;

-- name: RemoveStaff :execrows
delete from platform_admins where id = @id;

-- name: RemoveStaffByEmail :execrows
delete from platform_admins where email = lower(@email);
