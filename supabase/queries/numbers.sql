-- Phone numbers, and orders to buy them.

-- name: ListNumbers :many
select id, tenant_id, phone_number, status, status_reason, is_primary, a2p_status, friendly_name, locality, region, capabilities, monthly_cost_cents,
  webhooks, webhooks_checked_at, webhooks_drifted_at, purchased_at, created_at, updated_at
from phone_numbers where tenant_id = @tenant_id and released_at is null order by is_primary desc, id;

-- name: FindNumber :one
select id, tenant_id, phone_number, status, status_reason, is_primary, a2p_status, friendly_name, locality, region, capabilities, monthly_cost_cents,
  webhooks, webhooks_checked_at, webhooks_drifted_at, purchased_at, created_at, updated_at
from phone_numbers where id = @id and released_at is null;

-- name: FindNumberByE164 :one
select n.id, n.tenant_id, n.phone_number, n.status, n.status_reason, n.is_primary, n.a2p_status, n.friendly_name, n.locality, n.region, n.capabilities, n.monthly_cost_cents,
  n.webhooks, n.webhooks_checked_at, n.webhooks_drifted_at, n.purchased_at, n.created_at, n.updated_at
from phone_numbers n where n.phone_number = @phone_number and n.released_at is null;

-- name: NumberOwner :one
select id, slug, company_name, (deleted_at is not null)::boolean as is_deleted from tenants where id = @id;

-- name: AttachNumber :one
insert into phone_numbers (tenant_id, phone_number) values (@tenant_id, @phone_number) returning id;

-- name: ClearPrimary :exec
update phone_numbers set is_primary = false where tenant_id = @tenant_id and is_primary and id <> @id;

-- name: SetPrimary :execrows
update phone_numbers set is_primary = true where id = @id and released_at is null and status not in ('releasing', 'released');

-- name: RequestWebhooks :one
select private.request_webhooks(@id)::uuid;

-- name: RequestRelease :one
select private.request_release(@id)::uuid;

-- name: OrderNumber :one
insert into number_purchases (tenant_id, phone_number, area_code, friendly_name, activate, requested_by)
values (@tenant_id, @phone_number, @area_code, @friendly_name, @activate, @requested_by) returning coalesce(job_id, id)::uuid;

-- name: SetA2PStatus :execrows
update phone_numbers set a2p_status = @a2p_status where id = @id and released_at is null;
