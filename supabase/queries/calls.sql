-- One call, and what many amount to.

-- name: FindCall :one
select sqlc.embed(call_logs) from call_logs where tenant_id = @tenant_id and id = @id;

-- name: ListTurns :many
select position, speaker, text, started_ms, ended_ms, latency_ms, interrupted from call_turns where tenant_id = @tenant_id and call_id = @call_id order by position;

-- name: ListCallActions :many
select created_at as at, (data ->> 'name')::text as name, coalesce((data ->> 'duration_ms')::int, 0)::int as duration_ms, coalesce((data ->> 'timed_out')::boolean, false)::boolean as timed_out
from events where tenant_id = @tenant_id and subject_id = @call_id and type = 'call.tool' order by id limit 200;

-- name: ListCallAppointments :many
select id, starts_at, ends_at, lane, status, service, customer_name, customer_phone, address, notes, contact_id, call_id, created_at, updated_at
from appointments where tenant_id = @tenant_id and call_id = @call_id order by starts_at, id limit 50;

-- name: ListMessagesOfCall :many
select id, contact_id, conversation_id, caller_name, caller_phone, body, is_urgent, read_at, created_at
from call_messages where tenant_id = @tenant_id and conversation_id = @call_id order by id limit 50;

-- name: CallTotals :one
select count(*)::int as calls, count(usage_id)::int as counted, count(*) filter (where agent_seconds > 0)::int as answered,
  coalesce(sum(duration_seconds), 0)::bigint as seconds, coalesce(avg(duration_seconds) filter (where agent_seconds > 0), 0)::float8 as average_seconds,
  coalesce(avg(quality_score), 0)::float8 as quality_score, count(distinct from_number)::int as callers
from call_logs where tenant_id = @tenant_id and started_at >= @since::timestamptz and started_at < @until::timestamptz and not is_test;

-- name: CallSeries :many
select date_trunc(@step::text, started_at at time zone @zone::text)::timestamp as at, count(*)::int as calls,
  count(*) filter (where outcome = 'booked')::int as booked, coalesce(sum(duration_seconds), 0)::bigint as seconds
from call_logs where tenant_id = @tenant_id and started_at >= @since::timestamptz and started_at < @until::timestamptz and not is_test
group by 1 order by 1;

-- name: CallShares :many
select v.kind::text as kind, v.value::text as value, count(*)::int as calls
from call_logs c cross join lateral (values ('outcome', coalesce(c.outcome, 'unknown')), ('sentiment', coalesce(c.sentiment, 'unknown'))) v (kind, value)
where c.tenant_id = @tenant_id and c.started_at >= @since::timestamptz and c.started_at < @until::timestamptz and not c.is_test
group by 1, 2 order by 1, 3 desc, 2;

-- name: BusiestHours :many
select extract(isodow from started_at at time zone @zone::text)::int as weekday, extract(hour from started_at at time zone @zone::text)::int as hour, count(*)::int as calls
from call_logs where tenant_id = @tenant_id and started_at >= @since::timestamptz and started_at < @until::timestamptz and not is_test
group by 1, 2 order by 1, 2;

-- name: ListLiveCalls :many
-- Calls that are with the receptionist, or on their way to it.
select id, call_sid, from_number, to_number, started_at, answered_at, is_test, contact_id from call_logs
where tenant_id = @tenant_id and closed_at is null and agent_ended_at is null and route = 'agent' and status in ('queued', 'ringing', 'in-progress')
  and started_at > @since::timestamptz
order by started_at desc, id desc limit 100;

-- name: ListCallEvents :many
-- A turn's text is read from its row, from where it can be erased.
select e.id, e.subject_id, e.type, e.created_at, (e.data || coalesce(
    (select jsonb_build_object('text', u.text, 'started_ms', u.started_ms, 'ended_ms', u.ended_ms) from call_turns u
     where e.type = 'call.turn' and u.tenant_id = e.tenant_id and u.call_id = e.subject_id and u.position = (e.data ->> 'position')::int), '{}'))::jsonb as data
from events e where e.tenant_id = @tenant_id and e.id > @after and e.type like 'call.%' order by e.id limit 500;

-- name: NoteListening :exec
select private.note_listening(@tenant_id::uuid, @call_id::uuid);
