-- name: GrantPlatformAdmin :one
insert into platform_admins (email, granted_by) values (lower(@email), @granted_by)
on conflict (email) do update set email = excluded.email
returning *;

-- name: RevokePlatformAdmin :execrows
delete from platform_admins where email = lower(@email);

-- name: ListPlatformAdmins :many
select * from platform_admins order by id;
