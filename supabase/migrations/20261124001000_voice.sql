-- Calls and texts as they happen: one function takes each event exactly once, in whatever order events come.

alter table public.call_logs
  add column agent_version int,
  add column route text constraint call_logs_route_known check (route in ('agent', 'forward', 'voicemail', 'message', 'reject')),
  add column route_reason text,
  add column answered_at timestamptz,
  add column agent_ended_at timestamptz,
  add column agent_estimated boolean not null default false,
  add column end_reason text constraint call_logs_end_reason_known check (end_reason in ('caller_hung_up', 'agent_hung_up', 'transferred', 'caller_silent', 'too_long',
    'model_unreachable', 'model_lost', 'model_silent', 'stream_lost', 'never_connected', 'drained', 'broken', 'forwarded', 'voicemail', 'message', 'missed', 'rejected', 'unknown')),
  add column transfer_number text,
  add column transferred_at timestamptz,
  add column forward_taken boolean,
  add column latency_p50_ms int,
  add column latency_p95_ms int,
  add column carrier_cost_micros bigint not null default 0,
  add column model_cost_micros bigint not null default 0,
  add column model_usage jsonb,
  add column recording_sid text,
  add column recording_seconds int,
  add column voicemail_sid text,
  add column voicemail_seconds int,
  add column voicemail_path text,
  add column turn_base int not null default 0,
  add column reconciled_at timestamptz,
  add column closed_at timestamptz,
  add column erased_at timestamptz;
create index call_logs_open_idx on public.call_logs (started_at) where closed_at is null;
comment on column public.call_logs.agent_version is 'The receptionist''s version that was to answer.';
comment on column public.call_logs.route is 'Where the call was sent when it rang: agent, forward, voicemail, message or reject.';
comment on column public.call_logs.route_reason is 'Why, where it was not as usual: after_hours, over_limit, suspended, cancelled, blocked, concurrency, unavailable…';
comment on column public.call_logs.answered_at is 'When the agent spoke its first word.';
comment on column public.call_logs.agent_ended_at is 'When the agent''s part was over.';
comment on column public.call_logs.agent_estimated is 'The agent''s seconds are reckoned from the call''s: its own report was lost.';
comment on column public.call_logs.end_reason is 'Why the call ended, from a fixed list: caller_hung_up, agent_hung_up, transferred, voicemail…';
comment on column public.call_logs.transfer_number is 'Whom the agent wanted to hand the call to.';
comment on column public.call_logs.transferred_at is 'When that person took it.';
comment on column public.call_logs.forward_taken is 'Whether a person took the call when it was forwarded without the agent; null where it was not, or nobody has said.';
comment on column public.call_logs.latency_p50_ms is 'Half of the agent''s answers began within so many milliseconds.';
comment on column public.call_logs.latency_p95_ms is '95 % of them did.';
comment on column public.call_logs.carrier_cost_micros is 'The telephone network''s part of the cost, in millionths of a US dollar.';
comment on column public.call_logs.model_cost_micros is 'The models'' part of the cost, in millionths of a US dollar.';
comment on column public.call_logs.model_usage is 'Tokens of the conversation by kind.';
comment on column public.call_logs.recording_sid is 'Twilio''s RE… identifier of the call''s recording.';
comment on column public.call_logs.recording_seconds is 'Its length.';
comment on column public.call_logs.voicemail_sid is 'Twilio''s RE… identifier of the message that the caller left.';
comment on column public.call_logs.voicemail_seconds is 'Its length.';
comment on column public.call_logs.voicemail_path is 'Object in the recordings bucket.';
comment on column public.call_logs.turn_base is 'Turns of earlier conversations in this call: a transfer that failed comes back to the agent.';
comment on column public.call_logs.reconciled_at is 'When Twilio was last asked what became of it.';
comment on column public.call_logs.erased_at is 'When its caller was erased: nothing that comes later about them is kept.';
comment on column public.call_logs.closed_at is 'When everything about it had come in, and its jobs were queued.';

alter table public.call_turns add column latency_ms int, add column interrupted boolean not null default false;
comment on column public.call_turns.latency_ms is 'From the caller''s last word to the answer''s first sound, in milliseconds.';
comment on column public.call_turns.interrupted is 'The caller cut it short: the text is what was heard.';

alter table public.messages add column opt_out_type text constraint messages_opt_out_type_known check (opt_out_type in ('stop', 'start', 'help'));
comment on column public.messages.opt_out_type is 'stop, start or help where the text is such a request; Twilio has answered it.';

create table private.voice_events (
  id uuid primary key,
  at timestamptz not null
);
create index voice_events_at_idx on private.voice_events (at);
comment on table private.voice_events is 'Events that have been taken: a replay of one does nothing. Forgotten after 30 days.';

create table private.stream_uses (
  call_sid text not null,
  leg int not null,
  at timestamptz not null,
  primary key (call_sid, leg)
);
create index stream_uses_at_idx on private.stream_uses (at);
comment on table private.stream_uses is 'Media tokens that have been used: a call has one stream per leg, whichever process it reaches.';

create table private.reconcile_marks (
  name text primary key,
  at timestamptz not null
);
comment on table private.reconcile_marks is 'Up to when a vendor''s own lists have been compared with ours.';

alter table private.voice_events enable row level security;
alter table private.stream_uses enable row level security;
alter table private.reconcile_marks enable row level security;
grant select, insert, update, delete on private.voice_events, private.stream_uses, private.reconcile_marks to service_role;

create function private.is_final(p_status text) returns boolean language sql immutable set search_path = '' as $$
  select p_status in ('completed', 'busy', 'failed', 'no-answer', 'canceled')
$$;
comment on function private.is_final(text) is 'Whether Twilio''s status of a call is its last.';

create function private.call_row(p_tenant uuid, p_call uuid, p_sid text, p_at timestamptz, p jsonb) returns public.call_logs
language plpgsql security definer set search_path = '' as $$
declare c public.call_logs;
begin
  select * into c from public.call_logs where call_sid = p_sid for no key update;
  if not found then
    insert into public.call_logs (id, tenant_id, phone_number_id, call_sid, direction, from_number, to_number, status, started_at, is_test)
    values (coalesce(nullif(p_call, '00000000-0000-0000-0000-000000000000'), private.uuid_v7()), p_tenant,
      (select id from public.phone_numbers where tenant_id = p_tenant and phone_number = p ->> 'to' and released_at is null),
      p_sid, coalesce(p ->> 'direction', 'inbound'), p ->> 'from', p ->> 'to', 'ringing', coalesce((p ->> 'started_at')::timestamptz, p_at), coalesce(p ->> 'channel' in ('test', 'scenario'), false))
    on conflict (call_sid) do nothing;
    select * into c from public.call_logs where call_sid = p_sid for no key update;
  end if;
  if c.tenant_id <> p_tenant then return null; end if;
  return c;
end $$;
comment on function private.call_row(uuid, uuid, text, timestamptz, jsonb) is 'The call with that SID, made if this is the first that is heard of it; null if it is another tenant''s.';

create function private.was_missed(c public.call_logs) returns boolean language sql immutable set search_path = '' as $$
  select not c.is_blocked and c.transferred_at is null and c.voicemail_sid is null and c.forward_taken is not true
    and (c.forward_taken is false or c.answered_at is null and coalesce(c.route in ('agent', 'voicemail'), false))
$$;
comment on function private.was_missed(public.call_logs) is 'Whether the caller reached neither the receptionist nor, as far as is known, a person or the voicemail.';

create function private.unattended_end(c public.call_logs) returns text language sql immutable set search_path = '' as $$
  select case when private.was_missed(c) then 'missed' when c.voicemail_sid is not null then 'voicemail'
    else case c.route when 'forward' then 'forwarded' when 'reject' then 'rejected' when 'voicemail' then 'voicemail' when 'message' then 'message' else 'unknown' end end
$$;
comment on function private.unattended_end(public.call_logs) is 'Why a call ended of which no receptionist has said so.';

create function private.close_call(p_call uuid, p_at timestamptz, p_force boolean default false) returns void
language plpgsql security definer set search_path = '' as $$
declare c public.call_logs; v_kind text;
begin
  select * into c from public.call_logs where id = p_call for no key update;
  if not private.is_final(c.status) or (c.route = 'agent' and c.answered_at is not null and c.agent_ended_at is null and not p_force) then return; end if;
  if p_force and c.answered_at is not null and c.agent_ended_at is null and c.agent_seconds = 0 then
    -- The process that held the call is gone, and its report with it.
    update public.call_logs set agent_estimated = true, agent_ended_at = p_at, end_reason = coalesce(end_reason, 'unknown'),
      agent_seconds = greatest(1, least(duration_seconds, duration_seconds - extract(epoch from c.answered_at - c.started_at)::int)) where id = p_call;
  end if;
  if c.closed_at is null then
    update public.call_logs set closed_at = p_at, end_reason = coalesce(end_reason, private.unattended_end(c)) where id = p_call;
    perform private.emit(c.tenant_id, c.id, 'call.closed', pg_catalog.jsonb_build_object('status', c.status));
  elsif c.answered_at is null and c.end_reason in ('forwarded', 'voicemail', 'missed', 'unknown') and c.end_reason <> private.unattended_end(c) then
    update public.call_logs set end_reason = private.unattended_end(c) where id = p_call; -- the voicemail, or who took it, is told of later
  end if;
  if c.analysed_at is null and c.outcome is distinct from coalesce(private.call_outcome(p_call), c.outcome) then
    update public.call_logs set outcome = private.call_outcome(p_call) where id = p_call;
  end if;
  if c.is_test then return; end if;
  foreach v_kind in array array['call_analyze', 'call_notify'] loop
    if (c.answered_at is not null or c.voicemail_sid is not null or v_kind = 'call_notify' and not c.is_blocked) and not exists (select from public.jobs where subject_id = c.id and kind = v_kind) then
      perform private.enqueue(v_kind, c.tenant_id, c.id);
    end if;
  end loop;
end $$;
comment on function private.close_call(uuid, timestamptz, boolean) is 'Ends a call of which all is known, and queues what follows, once. p_force: nothing more will come; the agent''s seconds are reckoned.';

create function private.record_call(p_type text, c public.call_logs, p_at timestamptz, p jsonb) returns void
language plpgsql security definer set search_path = '' as $$
declare v_rank constant jsonb := '{"queued":0,"ringing":1,"in-progress":2}'; v_status text; v_told jsonb := '{}'; v_seconds int; v_cost bigint;
begin
  case p_type
    when 'call.started' then
      update public.call_logs set from_number = coalesce(p ->> 'from', from_number), to_number = coalesce(p ->> 'to', to_number), started_at = least(started_at, p_at),
        route = coalesce(p ->> 'route', route), route_reason = coalesce(nullif(p ->> 'route_reason', ''), route_reason), agent_version = coalesce((p ->> 'agent_version')::int, agent_version),
        is_blocked = is_blocked or coalesce(p ->> 'route' = 'reject' or p ->> 'route_reason' = 'blocked', false),
        is_test = is_test or coalesce(p ->> 'channel' in ('test', 'scenario'), false),
        phone_number_id = coalesce(phone_number_id, (select id from public.phone_numbers where tenant_id = c.tenant_id and phone_number = p ->> 'to' and released_at is null))
      where id = c.id;
      if p ->> 'route' = 'agent' and p ->> 'channel' = 'call' and p ->> 'from' ~ '^\+[1-9][0-9]{7,14}$' then
        insert into public.contacts (tenant_id, phone_number) values (c.tenant_id, p ->> 'from') on conflict do nothing;
        update public.call_logs set contact_id = (select id from public.contacts where tenant_id = c.tenant_id and phone_number = p ->> 'from') where id = c.id and contact_id is null;
      end if;
      if p ->> 'route_reason' = 'over_limit' then perform private.warn_usage((private.shown_usage(c.tenant_id)).id); end if;
      v_told := pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('route', p -> 'route', 'route_reason', p -> 'route_reason', 'channel', p -> 'channel'));
    when 'call.answered' then
      update public.call_logs set answered_at = least(answered_at, p_at), status = case when private.is_final(status) then status else 'in-progress' end, route = coalesce(route, 'agent'),
        is_test = is_test or coalesce(p ->> 'channel' in ('test', 'scenario'), false) where id = c.id;
    when 'call.turn' then
      insert into public.call_turns (tenant_id, call_id, position, speaker, text, started_ms, ended_ms, latency_ms, interrupted)
      values (c.tenant_id, c.id, c.turn_base + (p ->> 'position')::int, p ->> 'speaker', p ->> 'text', (p ->> 'started_ms')::int, (p ->> 'ended_ms')::int,
        nullif((p ->> 'latency_ms')::int, 0), coalesce((p ->> 'interrupted')::boolean, false))
      on conflict (tenant_id, call_id, position) do nothing;
      -- The text is in its row, from where it can be erased.
      v_told := pg_catalog.jsonb_build_object('position', c.turn_base + (p ->> 'position')::int, 'speaker', p ->> 'speaker');
    when 'call.tool' then
      v_told := p - 'tool_call_id';
    when 'call.ended' then
      -- A process that prepared the call, and never had its stream, says nothing about it once another has.
      if p ->> 'reason' = 'never_connected' and c.answered_at is not null then return; end if;
      v_seconds := pg_catalog.floor(coalesce((p ->> 'agent_seconds')::numeric, 0))::int;
      update public.call_logs set agent_seconds = case when agent_estimated then 0 else agent_seconds end + v_seconds, agent_estimated = false,
        agent_ended_at = greatest(agent_ended_at, p_at), end_reason = p ->> 'reason', transfer_number = coalesce(nullif(p #>> '{ending,number}', ''), transfer_number),
        latency_p50_ms = coalesce(nullif((p ->> 'latency_p50_ms')::int, 0), latency_p50_ms), latency_p95_ms = coalesce(nullif((p ->> 'latency_p95_ms')::int, 0), latency_p95_ms),
        model_usage = case when model_usage is null then p -> 'usage' else
          (select pg_catalog.jsonb_object_agg(k, coalesce((model_usage ->> k)::bigint, 0) + coalesce((p #>> array['usage', k])::bigint, 0))
           from pg_catalog.jsonb_object_keys(model_usage || coalesce(p -> 'usage', '{}')) k) end,
        model_cost_micros = model_cost_micros + coalesce((p ->> 'cost_micros')::bigint, 0), cost_micros = cost_micros + coalesce((p ->> 'cost_micros')::bigint, 0),
        turn_base = coalesce((select pg_catalog.max(position) from public.call_turns where tenant_id = c.tenant_id and call_id = c.id), 0)
      where id = c.id;
      v_told := pg_catalog.jsonb_build_object('reason', p ->> 'reason');
    when 'call.transferred' then
      update public.call_logs set transferred_at = coalesce(transferred_at, p_at), outcome = coalesce(outcome, 'transferred') where id = c.id;
    when 'call.forwarded' then
      update public.call_logs set forward_taken = coalesce(forward_taken, false) or (p ->> 'taken')::boolean where id = c.id;
      v_told := p;
    when 'call.status' then
      -- The last word stands; of two last ones, the first, with Twilio's longer duration.
      v_status := case when private.is_final(c.status) then c.status when private.is_final(p ->> 'status') or (v_rank ->> (p ->> 'status'))::int > coalesce((v_rank ->> c.status)::int, 0) then p ->> 'status' else c.status end;
      v_seconds := greatest(c.duration_seconds, coalesce((p ->> 'duration')::int, 0));
      v_cost := greatest(c.carrier_cost_micros, coalesce((p ->> 'cost_micros')::bigint, 0));
      update public.call_logs set status = v_status, duration_seconds = v_seconds, carrier_cost_micros = v_cost, cost_micros = cost_micros + v_cost - carrier_cost_micros,
        from_number = coalesce(from_number, p ->> 'from'), to_number = coalesce(to_number, p ->> 'to'), started_at = least(started_at, (p ->> 'started_at')::timestamptz),
        ended_at = case when private.is_final(v_status) then coalesce(ended_at, (p ->> 'ended_at')::timestamptz, p_at) end
      where id = c.id;
      if v_status = c.status then
        perform private.close_call(c.id, p_at);
        return;
      end if;
      v_told := pg_catalog.jsonb_build_object('status', v_status);
    when 'call.recording' then
      if p ->> 'kind' = 'voicemail' then
        update public.call_logs set voicemail_sid = p ->> 'recording_sid', voicemail_seconds = (p ->> 'duration')::int where id = c.id and voicemail_sid is distinct from p ->> 'recording_sid';
      else
        update public.call_logs set recording_sid = p ->> 'recording_sid', recording_seconds = (p ->> 'duration')::int where id = c.id and recording_sid is distinct from p ->> 'recording_sid';
      end if;
      if not found then return; end if;
      perform private.enqueue('recording_fetch', c.tenant_id, c.id);
      v_told := pg_catalog.jsonb_build_object('kind', p ->> 'kind');
    when 'message.taken' then
      perform private.take_message(c.tenant_id, pg_catalog.jsonb_build_object('body', p ->> 'body', 'caller_phone', c.from_number, 'contact_phone', c.from_number,
        'conversation_id', c.id, 'idempotency_key', 'voicemail:' || (p ->> 'recording_sid')));
      update public.call_logs set outcome = coalesce(outcome, 'message') where id = c.id;
      perform private.close_call(c.id, p_at);
      return; -- take_message tells of it
    else null;
  end case;
  perform private.emit(c.tenant_id, c.id, p_type, v_told);
  if p_type <> 'call.turn' and p_type <> 'call.tool' then perform private.close_call(c.id, p_at); end if;
end $$;
comment on function private.record_call(text, public.call_logs, timestamptz, jsonb) is 'What one event of a call means for its row. Events may come late, twice and in any order.';

create function private.record_text(p_tenant uuid, p_type text, p_at timestamptz, p jsonb) returns void
language plpgsql security definer set search_path = '' as $$
declare v_id uuid := private.uuid_v7(); v_rank constant jsonb := '{"accepted":0,"scheduled":0,"queued":1,"sending":2,"sent":3}'; v_contact uuid;
begin
  if p_type = 'sms.received' then
    if p ->> 'from' ~ '^\+[1-9][0-9]{7,14}$' then
      insert into public.contacts (tenant_id, phone_number) values (p_tenant, p ->> 'from') on conflict do nothing;
      select id into v_contact from public.contacts where tenant_id = p_tenant and phone_number = p ->> 'from';
    end if;
    insert into public.messages (id, tenant_id, phone_number_id, contact_id, direction, from_number, to_number, body, status, provider_sid, segments, opt_out_type, created_at)
    values (v_id, p_tenant, (select id from public.phone_numbers where tenant_id = p_tenant and phone_number = p ->> 'to' and released_at is null), v_contact,
      'inbound', p ->> 'from', p ->> 'to', p ->> 'body', 'received', p ->> 'sid', coalesce((p ->> 'segments')::int, 0),
      -- To who gets our texts, Yes is an answer.
      case when pg_catalog.upper(pg_catalog.btrim(p ->> 'body')) <> 'YES' or exists (select from public.sms_opt_outs where tenant_id = p_tenant and phone_number = p ->> 'from')
        then p ->> 'opt_out_type' end, p_at)
    on conflict (provider_sid) do nothing;
    if not found then return; end if;
    perform private.emit(p_tenant, v_id, 'sms.received', '{}');
    if exists (select from public.tenants where id = p_tenant and deleted_at is null and subscription_status in ('trial', 'active'))
       and not exists (select from public.contacts where id = v_contact and is_blocked) then
      perform private.enqueue('sms_answer', p_tenant, v_id);
    end if;
  else
    update public.messages m set status = p ->> 'status', error = coalesce(p ->> 'error', m.error), provider_sid = coalesce(m.provider_sid, p ->> 'sid')
    where m.tenant_id = p_tenant and (m.provider_sid = p ->> 'sid' or m.provider_sid is null and m.id = (p ->> 'message')::uuid and m.direction = 'outbound') and m.status <> p ->> 'status'
      and (not v_rank ? (p ->> 'status') or v_rank ? m.status and (v_rank ->> m.status)::int < (v_rank ->> (p ->> 'status'))::int)
      and m.status not in ('delivered', 'undelivered', 'failed')
    returning m.id into v_id;
    if found then perform private.emit(p_tenant, v_id, 'sms.status', pg_catalog.jsonb_build_object('status', p ->> 'status')); end if;
  end if;
end $$;
comment on function private.record_text(uuid, text, timestamptz, jsonb) is 'A text that came in, or what became of one that went out. Repeats and late news change nothing.';

create function private.record_call_event(p_id uuid, p_type text, p_tenant uuid, p_call uuid, p_sid text, p_at timestamptz, p_data jsonb) returns boolean
language plpgsql security definer set search_path = '' as $$
declare c public.call_logs;
begin
  -- Tenant before its rows: one order of locks. A tenant that was purged has no calls.
  perform from public.tenants where id = p_tenant for no key update;
  if not found then return false; end if;
  insert into private.voice_events (id, at) values (p_id, p_at) on conflict do nothing;
  if not found then return false; end if;
  case
    when p_type = 'stream.used' then
      insert into private.stream_uses (call_sid, leg, at) values (p_sid, (p_data ->> 'leg')::int, p_at) on conflict do nothing;
    when p_type like 'sms.%' then
      perform private.record_text(p_tenant, p_type, p_at, p_data);
    else
      c := private.call_row(p_tenant, p_call, p_sid, p_at, p_data);
      if c.id is null then return false; end if;
      if c.erased_at is not null then
        if p_type = 'call.recording' then
          insert into private.recording_deletions (recording_sid) values (p_data ->> 'recording_sid') on conflict do nothing;
        end if;
        if p_type in ('call.recording', 'call.turn', 'message.taken') then return true; end if;
        p_data := p_data - 'from' - 'to' #- '{ending,number}';
      end if;
      perform private.record_call(p_type, c, p_at, p_data);
  end case;
  return true;
end $$;
comment on function private.record_call_event(uuid, text, uuid, uuid, text, timestamptz, jsonb) is 'Takes one event of a call, a text or a stream, exactly once by its id; false for a repeat, and for a tenant or call that is not there to take it.';

-- Routing changes that no other trigger tells of.

create function private.block_after() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform private.announce('voice', coalesce(new.tenant_id, old.tenant_id), coalesce(new.tenant_id, old.tenant_id));
  return null;
end $$;
create trigger block_insert after insert on public.contacts for each row when (new.is_blocked) execute function private.block_after();
create trigger block_update after update of is_blocked on public.contacts for each row when (old.is_blocked <> new.is_blocked) execute function private.block_after();
create trigger block_delete after delete on public.contacts for each row when (old.is_blocked) execute function private.block_after();
comment on function private.block_after() is 'Tells every server, at commit, that a caller is rejected from now on, or no longer.';

create function private.limit_after() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform private.announce('voice', new.id, new.id);
  return null;
end $$;
create trigger limit_after after update of max_monthly_calls, industry on public.tenants for each row
  when ((old.max_monthly_calls, old.industry) is distinct from (new.max_monthly_calls, new.industry)) execute function private.limit_after();
comment on function private.limit_after() is 'Tells every server, at commit, how many calls the tenant now has.';

revoke execute on function private.is_final(text), private.was_missed(public.call_logs), private.unattended_end(public.call_logs), private.call_row(uuid, uuid, text, timestamptz, jsonb), private.close_call(uuid, timestamptz, boolean),
  private.record_call(text, public.call_logs, timestamptz, jsonb), private.record_text(uuid, text, timestamptz, jsonb),
  private.record_call_event(uuid, text, uuid, uuid, text, timestamptz, jsonb), private.block_after(), private.limit_after() from public;
grant execute on function private.is_final(text), private.was_missed(public.call_logs), private.record_call_event(uuid, text, uuid, uuid, text, timestamptz, jsonb), private.close_call(uuid, timestamptz, boolean) to service_role;
