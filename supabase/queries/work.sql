-- What a tenant's people read every day. Newest first, by covering indexes; each page starts below a row.

-- name: ListAppointments :many
select id, starts_at, ends_at, lane, status, service, customer_name, customer_phone, address, notes, contact_id, call_id, created_at, updated_at
from appointments
where tenant_id = @tenant_id and (starts_at, id) < (@before_at::timestamptz, @before::uuid) and starts_at >= @since::timestamptz
  and (@status::text = '' or status = @status)
order by starts_at desc, id desc limit @max_rows;

-- name: ListMessages :many
select id, direction, from_number, to_number, body, status, error, contact_id, created_at, sent_by, reply_to
from messages where tenant_id = @tenant_id and id < @before order by id desc limit @max_rows;

-- name: ListMessagesWith :many
-- One conversation, by the customer's number.
select id, direction, from_number, to_number, body, status, error, contact_id, created_at, sent_by, reply_to
from messages where tenant_id = @tenant_id and party = @party::text and id < @before order by id desc limit @max_rows;

-- name: ListMessagesOf :many
-- A contact's, by their number and by what names them.
select id, direction, from_number, to_number, body, status, error, contact_id, created_at, sent_by, reply_to
from messages where tenant_id = @tenant_id and contact_id = @contact_id::uuid and id < @before order by id desc limit @max_rows;

-- name: ListConversations :many
-- The latest message with each customer.
select m.id, m.party::text as number, m.contact_id, coalesce(c.name, '')::text as name, m.direction, m.body, m.status, m.created_at,
  exists (select from sms_opt_outs o where o.tenant_id = m.tenant_id and o.phone_number = m.party)::boolean as opted_out
from messages m left join contacts c on c.tenant_id = m.tenant_id and c.id = m.contact_id
where m.tenant_id = @tenant_id and m.id < @before
  and not exists (select from messages l where l.tenant_id = m.tenant_id and l.party = m.party and l.id > m.id)
order by m.id desc limit @max_rows;

-- name: SendText :one
select m.* from private.send_text(@tenant_id::uuid, @to_number::text, @body::text, @at::timestamptz) m;

-- name: ListContacts :many
select id, phone_number, name, email, address, notes, is_blocked, created_at, updated_at
from contacts
where tenant_id = @tenant_id and id < @before
  and (@search::text = '' or strpos(lower(name), lower(@search)) > 0 or strpos(coalesce(phone_number, ''), @search) > 0 or strpos(lower(coalesce(email, '')), lower(@search)) > 0)
order by id desc limit @max_rows;

-- name: ListAgentVersions :many
select id, version, state, settings, published_at, created_at, updated_at
from agent_versions where tenant_id = @tenant_id and state in ('draft', 'published') order by version desc;

-- name: ListUsage :many
select period_start, period_end, calls, adjusted_calls, late_calls, seconds, late_seconds, sms, late_sms, closed_at
from tenant_usage where tenant_id = @tenant_id order by period_start desc limit 24;

-- name: PageCallMessages :many
select id, contact_id, conversation_id, caller_name, caller_phone, body, is_urgent, read_at, created_at from call_messages
where tenant_id = @tenant_id and id < @before and (not @open_only::boolean or read_at is null) order by id desc limit @max_rows;

-- name: MarkCallMessage :one
update call_messages set read_at = case when @done::boolean then coalesce(read_at, @at::timestamptz) end
where tenant_id = @tenant_id and id = @id returning id, contact_id, conversation_id, caller_name, caller_phone, body, is_urgent, read_at, created_at;
