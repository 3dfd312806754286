-- Buying, checking, configuring and releasing numbers.

-- name: FindPurchase :one
select p.id, p.tenant_id, p.phone_number, p.area_code, p.friendly_name, p.state, p.reason, p.refused, p.attempted_at, t.slug, t.company_name,
  (t.deleted_at is not null or t.subscription_status = 'cancelled')::boolean as closed
from number_purchases p join tenants t on t.id = p.tenant_id where p.id = @id;

-- name: TakenNumbers :many
-- Of these numbers, the ones that a tenant has or an open purchase is after.
select c.phone_number::text from unnest(@candidates::text[]) as c (phone_number)
where exists (select from phone_numbers n where n.phone_number = c.phone_number and n.released_at is null)
   or exists (select from number_purchases p where p.phone_number = c.phone_number and p.state = 'open' and p.id <> @id);

-- name: ChooseNumber :execrows
update number_purchases set phone_number = @phone_number where id = @id and state = 'open' and phone_number is null;

-- name: RefuseNumber :exec
update number_purchases set refused = array_append(refused, phone_number), phone_number = null, attempted_at = null
where id = @id and state = 'open' and phone_number = @phone_number and area_code is not null;

-- name: SetPurchaseAttempt :exec
update number_purchases set attempted_at = @attempted_at where id = @id;

-- name: LockTenantSlug :one
-- The slug that webhooks must name, held until the transaction ends, with the lock that recording a number takes anyway.
select slug from tenants where id = @id for no key update;

-- name: KeepClosed :exec
-- A tenant that was closed while its number was being bought gets the number, but is not activated.
update number_purchases p set activate = false from tenants t
where p.id = @id and t.id = p.tenant_id and (t.deleted_at is not null or t.subscription_status in ('cancelled', 'suspended'));

-- name: RecordPurchase :one
select private.record_purchase(@id::uuid, @sid::text, @account_sid::text, @friendly_name::text, @webhooks::jsonb, sqlc.narg('locality')::text,
  sqlc.narg('region')::text, @capabilities::jsonb, sqlc.narg('monthly_cost_cents')::int)::uuid;

-- name: FindNumberForJob :one
select n.id, n.tenant_id, n.phone_number, n.status, n.provider_sid, t.slug
from phone_numbers n join tenants t on t.id = n.tenant_id where n.id = @id;

-- name: RecordNumber :exec
update phone_numbers set status = 'ready', status_reason = null, provider_sid = @sid, account_sid = @account_sid, friendly_name = @friendly_name,
  capabilities = @capabilities, webhooks = @webhooks, webhooks_checked_at = @checked_at::timestamptz, webhooks_drifted_at = null,
  monthly_cost_cents = coalesce(nullif(@monthly_cost_cents::int, 0), monthly_cost_cents)
where id = @id and status in ('unverified', 'not_owned', 'configuring', 'ready', 'failed');

-- name: NumbersToCompare :many
-- Those of these that are ready, and that nobody has set or checked since the sweep began.
select n.id, n.provider_sid::text as sid, n.tenant_id, t.slug from phone_numbers n join tenants t on t.id = n.tenant_id
where n.status = 'ready' and n.provider_sid = any (@sids::text[]) and coalesce(n.webhooks_checked_at < @at::timestamptz, true);

-- name: RecordWebhooksSeen :many
-- Writes only what has changed; a subdomain that was changed meanwhile has a job of its own. Returns those that drifted now.
update phone_numbers n set webhooks = s.webhooks, webhooks_checked_at = @at::timestamptz,
  webhooks_drifted_at = case when s.drifted then coalesce(n.webhooks_drifted_at, @at::timestamptz) end
from (select unnest(@ids::uuid[]) as id, unnest(@slugs::text[]) as slug, unnest(@webhooks::text[])::jsonb as webhooks, unnest(@drifted::boolean[]) as drifted) s, tenants t
where n.id = s.id and t.id = n.tenant_id and t.slug = s.slug and n.status = 'ready' and coalesce(n.webhooks_checked_at < @at::timestamptz, true)
  and (n.webhooks, n.webhooks_drifted_at is not null) is distinct from (s.webhooks, s.drifted)
returning n.phone_number, t.slug, (n.webhooks_drifted_at is not distinct from @at::timestamptz)::boolean as is_new;

-- name: NumbersUnlisted :many
-- Those that were ready before a listing and are not on it.
select n.id, n.tenant_id, n.phone_number, n.provider_sid::text as sid,
  (exists (select from phone_numbers o where o.status = 'ready' and o.provider_sid = any (@sids::text[])))::boolean as others_listed
from phone_numbers n where n.status = 'ready' and n.provider_sid <> all (@sids::text[]) and n.updated_at < @since::timestamptz
order by n.id;

-- name: RecordNotOwned :exec
update phone_numbers set status = 'not_owned', status_reason = @reason where id = @id and status in ('unverified', 'not_owned', 'configuring', 'ready', 'failed');

-- name: RecordReleased :exec
update phone_numbers set status = 'released', status_reason = null where id = @id and status = 'releasing';
