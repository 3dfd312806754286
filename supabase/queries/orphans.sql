-- Numbers at Twilio that nobody has.

-- name: StoreOrphans :many
-- Of these numbers owned at Twilio, keeps those that no tenant has, or had when the sweep began, and no open purchase is after.
insert into orphaned_numbers as o (sid, phone_number, friendly_name, account_sid, monthly_cost_cents, first_seen_at, last_seen_at)
select c.sid, c.phone_number, c.friendly_name, c.account_sid, nullif(c.cost, 0), @at::timestamptz, @at::timestamptz
from (select unnest(@sids::text[]) as sid, unnest(@phone_numbers::text[]) as phone_number, unnest(@friendly_names::text[]) as friendly_name,
             unnest(@account_sids::text[]) as account_sid, unnest(@costs::int[]) as cost) c
where not exists (select from phone_numbers n where (n.released_at is null or n.released_at > @since::timestamptz) and (n.provider_sid = c.sid or n.phone_number = c.phone_number))
  and not exists (select from number_purchases p where p.phone_number = c.phone_number and p.state = 'open')
on conflict (sid) do update set friendly_name = excluded.friendly_name, last_seen_at = excluded.last_seen_at
returning sid, phone_number, friendly_name, (first_seen_at = last_seen_at)::boolean as is_new;

-- name: DropOrphans :execrows
-- Those that a whole sweep did not see any more.
delete from orphaned_numbers where last_seen_at < @at::timestamptz;

-- name: ListOrphans :many
-- Without those that somebody has got since the last sweep.
select o.id, o.sid, o.phone_number, o.friendly_name, o.monthly_cost_cents, o.first_seen_at, o.last_seen_at,
  coalesce((select j.state from jobs j where j.subject_id = o.id and j.kind = 'orphan_release' order by j.id desc limit 1), '')::text as release_state,
  coalesce((select j.reason from jobs j where j.subject_id = o.id and j.kind = 'orphan_release' order by j.id desc limit 1), '')::text as release_reason
from orphaned_numbers o
where not exists (select from phone_numbers n where n.released_at is null and (n.provider_sid = o.sid or n.phone_number = o.phone_number))
  and not exists (select from number_purchases p where p.phone_number = o.phone_number and p.state = 'open')
order by o.first_seen_at, o.sid;

-- name: AdoptNumber :one
select private.adopt_number(@sid::text, @tenant_id::uuid)::uuid;

-- name: ReleaseOrphan :one
select private.release_orphan(@sid::text, @confirm::text)::uuid;

-- name: SweepNumbers :one
select private.sweep_numbers()::uuid;

-- name: HoldOrphan :one
-- Until commit nobody gives the number to a tenant or orders it: what is then looked up stays true.
select o.sid, o.phone_number from orphaned_numbers o, lateral (select pg_advisory_xact_lock(hashtextextended('number:' || o.phone_number, 0))) held where o.id = @id;

-- name: NumberHasOwner :one
select (exists (select from phone_numbers n where n.released_at is null and (n.provider_sid = @sid::text or n.phone_number = @phone_number::text))
  or exists (select from number_purchases p where p.phone_number = @phone_number::text and p.state = 'open'))::boolean;

-- name: DropOrphan :exec
delete from orphaned_numbers where id = @id;
