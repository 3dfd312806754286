-- The diary.

-- name: FreeSlots :many
select s.starts_at::timestamptz as starts_at, s.ends_at::timestamptz as ends_at
from private.free_slots(@tenant_id::uuid, @rules::jsonb, @from_at::timestamptz, @to_at::timestamptz, @minutes::int, @now_at::timestamptz, @max_rows::int, sqlc.narg('except_id')::uuid) s
order by s.starts_at;

-- name: Book :one
select b.* from private.book(@tenant_id::uuid, @rules::jsonb, @booking::jsonb, @now_at::timestamptz, @force::boolean) b;

-- name: MoveAppointment :one
select b.* from private.move_appointment(@tenant_id::uuid, @id::uuid, @rules::jsonb, @starts_at::timestamptz, @now_at::timestamptz, @force::boolean, sqlc.narg('minutes')::int) b;

-- name: CancelAppointment :one
select b.* from private.cancel_appointment(@tenant_id::uuid, @id::uuid) b;

-- name: FindAppointment :one
select * from appointments where tenant_id = @tenant_id and id = @id;

-- name: KeepContact :one
select private.keep_contact(@tenant_id::uuid, @phone::text, @name::text, @address::text)::uuid;

-- name: FindCaller :one
select * from contacts where tenant_id = @tenant_id and phone_number = @phone::text;

-- name: CallerAppointments :many
-- A caller's own: by contact, or by the number they gave.
select id, starts_at, ends_at, status, service, address, notes from appointments
where tenant_id = @tenant_id and (contact_id = @contact_id or customer_phone = @phone::text) order by starts_at desc limit @max_rows;

-- name: CallerCalls :many
select started_at, coalesce(outcome, '')::text as outcome, coalesce(summary, '')::text as summary from call_logs
where tenant_id = @tenant_id and contact_id = @contact_id and id <> @except_id and not is_test order by started_at desc limit @max_rows;

-- name: ConversationAppointments :many
select * from appointments where tenant_id = @tenant_id and conversation_id = @conversation_id::uuid order by id desc;

-- name: NoticeToGive :one
-- is_stale: the appointment has changed again, which has a notice of its own.
select n.id, n.tenant_id, n.change, n.state, a.starts_at, a.service, a.customer_phone, a.contact_id, t.company_name, t.timezone, t.deleted_at,
  coalesce(p.phone_number, '')::text as our_number,
  exists (select from appointment_notices l where l.appointment_id = n.appointment_id and l.tenant_id = n.tenant_id and l.id > n.id)::boolean as is_stale
from appointment_notices n join appointments a on a.id = n.appointment_id join tenants t on t.id = n.tenant_id
left join phone_numbers p on p.tenant_id = t.id and p.is_primary
where n.id = @id;

-- name: QueueText :one
-- Nil where no number of the tenant's can send.
select coalesce(private.queue_text(@tenant_id::uuid, @to_number::text, @body::text, sqlc.narg('contact_id')::uuid), '00000000-0000-0000-0000-000000000000')::uuid as id;

-- name: EndNotice :exec
select private.end_notice(@id::uuid, @state::text, sqlc.narg('message_id')::uuid, @at::timestamptz);

-- name: TellOwner :exec
select private.tell_owner(@id::uuid, @why::text);

-- name: TextToSend :one
-- opted_out: the receiver has asked for no more texts since it was written.
select m.id, m.from_number, m.to_number, m.body, m.status, t.slug,
  exists (select from sms_opt_outs o where o.tenant_id = m.tenant_id and o.phone_number = m.to_number)::boolean as opted_out
from messages m join tenants t on t.id = m.tenant_id where m.id = @id and m.direction = 'outbound';

-- name: StartText :execrows
-- Committed before the call: whoever finds it so afterwards knows that it may have been sent.
update messages set status = 'sending' where id = @id and status = 'queued';

-- name: WaitText :exec
update messages set status = 'queued', error = @error where id = @id and status = 'sending';

-- name: SentText :exec
update messages set status = @status, provider_sid = @provider_sid, error = null where id = @id and status = 'sending';

-- name: FindContact :one
select * from contacts where tenant_id = @tenant_id and id = @id;

-- name: ListFeeds :many
select * from calendar_feeds where tenant_id = @tenant_id order by id desc limit 200;

-- name: CreateFeed :one
select f.* from private.create_feed(@tenant_id::uuid, @name::text, @prefix::text, @hash::bytea) f;

-- name: RevokeFeed :one
select private.revoke_feed(@tenant_id::uuid, @id::uuid)::boolean;

-- name: OpenFeed :one
-- Nil for nobody's.
select coalesce(private.open_feed(@hash::bytea, @at::timestamptz), '00000000-0000-0000-0000-000000000000')::uuid;

-- name: DiaryForFeed :many
select * from appointments where tenant_id = @tenant_id and starts_at >= @since::timestamptz order by starts_at, id limit 5000;
