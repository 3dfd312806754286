-- Calls and texts: what the directory keeps in memory, and what the journal and reconciliation write.

-- name: VoiceTenants :many
-- Every tenant, or the one named (as a range, which one plan serves either way): its routing, its published receptionist, its use and its blocked callers.
select t.id, t.slug, t.company_name, t.industry, t.subscription_status, coalesce(t.forward_to_number, '')::text as forward_to, t.timezone,
  t.max_monthly_calls, t.current_month_calls, u.period_end,
  array(select s.slug from tenant_slugs s where s.tenant_id = t.id)::text[] as slugs,
  array(select n.phone_number from phone_numbers n where n.tenant_id = t.id and n.status in ('configuring', 'ready'))::text[] as numbers,
  array(select c.phone_number from contacts c where c.tenant_id = t.id and c.is_blocked and c.phone_number is not null)::text[] as blocked,
  coalesce(v.version, 0)::int as version, coalesce(v.settings, '{}')::jsonb as settings
from tenants t
left join agent_versions v on v.tenant_id = t.id and v.state = 'published'
left join tenant_usage u on u.tenant_id = t.id and u.is_current
where t.deleted_at is null and t.id between coalesce(sqlc.narg('tenant_id')::uuid, '00000000-0000-0000-0000-000000000000') and coalesce(sqlc.narg('tenant_id')::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff');

-- name: VoiceUsage :many
select t.id, t.max_monthly_calls, t.current_month_calls, u.period_end from tenants t left join tenant_usage u on u.tenant_id = t.id and u.is_current
where t.deleted_at is null and t.id between coalesce(sqlc.narg('tenant_id')::uuid, '00000000-0000-0000-0000-000000000000') and coalesce(sqlc.narg('tenant_id')::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff');

-- name: OwnedNumbers :many
-- Of all tenants, deleted ones too, or of the one named.
select phone_number, tenant_id from phone_numbers where released_at is null and (sqlc.narg('tenant_id')::uuid is null or tenant_id = sqlc.narg('tenant_id')::uuid);

-- name: RecordCallEvent :one
select private.record_call_event(@id::uuid, @type::text, @tenant_id::uuid, @call_id::uuid, @call_sid::text, @at::timestamptz, @data::jsonb)::boolean;

-- name: UseStream :execrows
-- No row: it has been used.
insert into private.stream_uses (call_sid, leg, at) values (@call_sid, @leg, @at) on conflict do nothing;

-- name: FindCallEnding :one
select end_reason, coalesce(transfer_number, '')::text as transfer_number, transferred_at, agent_ended_at from call_logs where call_sid = @call_sid and tenant_id = @tenant_id;

-- name: OpenCalls :many
-- Calls that should be over by now, those first that Twilio has been asked about longest ago.
select id, tenant_id, call_sid, status, started_at from call_logs
where closed_at is null and started_at < @before::timestamptz and (reconciled_at is null or reconciled_at < @asked::timestamptz) and not is_test
  and call_sid ~ '^CA[0-9a-fA-F]{32}$'
order by reconciled_at nulls first, started_at limit @max_rows;

-- name: MarkReconciled :exec
update call_logs set reconciled_at = @at::timestamptz where id = @id;

-- name: CloseCall :exec
select private.close_call(@id::uuid, @at::timestamptz, true);

-- name: UnknownCalls :many
-- Of Twilio's calls, those that we have no row of, with whose number it was.
select s.sid::text as call_sid, n.tenant_id from (select unnest(@sids::text[]) as sid, unnest(@numbers::text[]) as number) s
join phone_numbers n on n.phone_number = s.number and n.released_at is null
where not exists (select from call_logs c where c.call_sid = s.sid);

-- name: FindReconcileMark :one
select at from private.reconcile_marks where name = @name;

-- name: SetReconcileMark :exec
insert into private.reconcile_marks (name, at) values (@name, @at) on conflict (name) do update set at = excluded.at;

-- name: ForgetVoiceEvents :exec
with uses as (delete from private.stream_uses u where u.at < @before::timestamptz)
delete from private.voice_events e where e.at < @before::timestamptz;
