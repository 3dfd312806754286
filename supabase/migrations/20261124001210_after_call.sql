-- After the call: its recording, what it was about, who is told. And texts: who may be sent any, and who answers them.

alter table public.call_logs add column notified_at timestamptz;
comment on column public.call_logs.notified_at is 'When the owner was told of it.';
create index call_logs_recorded_idx on public.call_logs (tenant_id, started_at) where recording_path is not null or voicemail_path is not null;

-- Recordings ------------------------------------------------------------------------------------------------------

create table private.recording_deletions (
  recording_sid text primary key,
  asked_at timestamptz not null default now()
);
alter table private.recording_deletions enable row level security;
grant select, insert, update, delete on private.recording_deletions to service_role;
comment on table private.recording_deletions is 'Recordings that are to go at Twilio. A row is dropped once Twilio has none such.';

create function private.forget_recordings(p_calls uuid[]) returns void
language sql security definer set search_path = '' as $$
  insert into private.recording_deletions (recording_sid)
  select s.sid from public.call_logs c cross join lateral (values (c.recording_sid), (c.voicemail_sid)) s (sid) where c.id = any (p_calls) and s.sid is not null
  on conflict do nothing
$$;
comment on function private.forget_recordings(uuid[]) is 'Has the calls'' recordings deleted at Twilio.';

create function private.call_deleted() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into private.recording_deletions (recording_sid) select s.sid from (values (old.recording_sid), (old.voicemail_sid)) s (sid) where s.sid is not null on conflict do nothing;
  return null;
end $$;
create trigger call_deleted after delete on public.call_logs for each row
  when (old.recording_sid is not null or old.voicemail_sid is not null) execute function private.call_deleted();
comment on function private.call_deleted() is 'A call that is gone leaves no recording at Twilio.';

-- Analysis --------------------------------------------------------------------------------------------------------

create function private.call_outcome(p_call uuid) returns text
language sql stable security definer set search_path = '' as $$
  select case
    when exists (select from public.appointments a where a.tenant_id = c.tenant_id and a.conversation_id = c.id and a.status <> 'cancelled') then 'booked'
    when changed.moved then 'rescheduled'
    when changed.cancelled then 'cancelled'
    when c.transferred_at is not null or c.forward_taken then 'transferred'
    when exists (select from public.call_messages m where m.tenant_id = c.tenant_id and m.conversation_id = c.id) then 'message'
    when c.voicemail_sid is not null then 'voicemail'
    when private.was_missed(c) then 'missed'
    when c.answered_at is not null and not exists (select from public.call_turns u where u.tenant_id = c.tenant_id and u.call_id = c.id and u.speaker = 'caller') then 'abandoned' end
  from public.call_logs c cross join lateral (
    select coalesce(pg_catalog.bool_or(n.change = 'moved'), false) as moved, coalesce(pg_catalog.bool_or(n.change = 'cancelled'), false) as cancelled
    from public.appointments a join public.appointment_notices n on n.tenant_id = a.tenant_id and n.appointment_id = a.id
    where a.tenant_id = c.tenant_id and a.customer_phone = c.from_number and n.created_at between c.started_at and coalesce(c.ended_at, c.closed_at, c.started_at) + interval '1 minute'
  ) changed where c.id = p_call
$$;
comment on function private.call_outcome(uuid) is 'What became of a call by our own rows; null where only what was said can tell.';

create function private.keep_analysis(p_call uuid, p jsonb, p_at timestamptz) returns void
language plpgsql security definer set search_path = '' as $$
declare c public.call_logs;
begin
  -- An erased caller has no transcript any more: what was read before that is not kept.
  update public.call_logs l set
    outcome = coalesce(private.call_outcome(l.id), nullif(p ->> 'outcome', ''), l.outcome),
    summary = nullif(p ->> 'summary', ''), intent = nullif(p ->> 'intent', ''), sentiment = nullif(p ->> 'sentiment', ''),
    caller_name = nullif(p ->> 'caller_name', ''), callback_number = nullif(p ->> 'callback_number', ''), caller_address = nullif(p ->> 'caller_address', ''),
    follow_up = coalesce(p ->> 'follow_up', ''), quality_score = (p ->> 'quality_score')::smallint, analysed_at = p_at
  where l.id = p_call and l.analysed_at is null
    and exists (select from public.call_turns u where u.tenant_id = l.tenant_id and u.call_id = l.id)
  returning * into c;
  if not found then return; end if;
  update public.contacts set name = case when name = '' then coalesce(c.caller_name, '') else name end,
    address = case when address = '' then coalesce(c.caller_address, '') else address end
  where tenant_id = c.tenant_id and id = c.contact_id and (name = '' and c.caller_name is not null or address = '' and c.caller_address is not null);
  perform private.emit(c.tenant_id, c.id, 'call.analysed', pg_catalog.jsonb_build_object('outcome', c.outcome, 'sentiment', c.sentiment));
end $$;
comment on function private.keep_analysis(uuid, jsonb, timestamptz) is 'Keeps what a model read in a call''s transcript, once. Our own rows know the outcome better; a contact''s name and address are filled where empty.';

create function private.keep_outcome(p_call uuid) returns void
language sql security definer set search_path = '' as $$
  update public.call_logs set outcome = coalesce(private.call_outcome(p_call), outcome) where id = p_call and analysed_at is null
$$;
comment on function private.keep_outcome(uuid) is 'The outcome alone, of a call that no model has read.';

-- Notices ---------------------------------------------------------------------------------------------------------

create function private.message_after() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if private.importing(new.tenant_id) then return null; end if;
  if new.is_urgent or exists (select from public.messages where id = new.conversation_id and tenant_id = new.tenant_id)
     or exists (select from public.jobs where subject_id = new.conversation_id and kind = 'call_notify' and state = 'done') then
    perform private.enqueue('message_notify', new.tenant_id, new.id);
  end if;
  return null;
end $$;
create trigger message_after after insert on public.call_messages for each row execute function private.message_after();
comment on function private.message_after() is 'A message of a call is told with the call; the owner hears at once of what is urgent, was texted, or comes when the call has been told.';

create function private.notify_owner(p_tenant uuid, p_dedupe text, p_email text, p_params jsonb, p_phone text, p_text text) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if private.queue_email('call_summary', p_tenant, p_email, p_dedupe, p_params) is not null and coalesce(p_phone, '') <> '' then
    perform private.queue_text(p_tenant, p_phone, p_text);
  end if;
end $$;
comment on function private.notify_owner(uuid, text, text, jsonb, text, text) is 'Tells the owner by e-mail, and by text where a number is given; once per dedupe key.';

-- Texts -----------------------------------------------------------------------------------------------------------

alter table public.phone_numbers add column a2p_status text not null default 'pending'
  constraint phone_numbers_a2p_status_known check (a2p_status in ('unregistered', 'pending', 'registered', 'failed'));
comment on column public.phone_numbers.a2p_status is
  'A2P 10DLC registration of a US long code: unregistered and failed ones send no texts; pending ones try, until a carrier refuses.';
grant update (a2p_status) on public.phone_numbers to kestrel_admin;

alter table public.messages
  add column party text generated always as (case direction when 'inbound' then from_number else to_number end) stored,
  add column reply_to uuid constraint messages_reply_to_key unique,
  add column sent_by text not null default '',
  add constraint messages_reply_to_fkey foreign key (reply_to) references public.messages (id) on delete set null;
create index messages_party_idx on public.messages (tenant_id, party, id desc);
comment on column public.messages.party is 'The customer''s number: sender or receiver. Follows from the others.';
comment on column public.messages.reply_to is 'The text that this one answers; at most one answer each.';
comment on column public.messages.sent_by is 'Who wrote it: agent, person:…, key:…; empty for confirmations.';

create table public.sms_opt_outs (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  phone_number text not null constraint sms_opt_outs_phone_number_e164 check (phone_number ~ '^\+[1-9][0-9]{7,14}$'),
  source text not null constraint sms_opt_outs_source_known check (source in ('stop', 'carrier')),
  created_at timestamptz not null default now(),
  constraint sms_opt_outs_phone_number_key unique (tenant_id, phone_number)
);
comment on table public.sms_opt_outs is 'Who asked for no more texts from the business: none is sent until they text START. Kept when a caller is erased.';
comment on column public.sms_opt_outs.id is 'Opaque key.';
comment on column public.sms_opt_outs.tenant_id is 'From whom.';
comment on column public.sms_opt_outs.phone_number is 'Whose number, E.164.';
comment on column public.sms_opt_outs.source is 'stop: they texted so; carrier: Twilio refused to send (21610).';
comment on column public.sms_opt_outs.created_at is 'Since when.';
alter table public.sms_opt_outs enable row level security;
revoke all on public.sms_opt_outs from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.sms_opt_outs to service_role;
grant select on public.sms_opt_outs to kestrel_admin, authenticated, kestrel_key;
create policy admin_all on public.sms_opt_outs for all to kestrel_admin using (true) with check (true);
create policy host_tenant on public.sms_opt_outs as restrictive for all to anon, authenticated, kestrel_key, kestrel_admin
  using ((select private.host_tenant()) is null or tenant_id = (select private.host_tenant()));
create policy member_read on public.sms_opt_outs for select to authenticated using (tenant_id = any ((select private.readable_tenants())::uuid[]));
create policy key_read on public.sms_opt_outs for select to kestrel_key using (tenant_id = any ((select private.key_tenants('read'))::uuid[]));
create trigger tenant_fixed before update of tenant_id on public.sms_opt_outs for each row when (old.tenant_id is distinct from new.tenant_id) execute function private.tenant_fixed();

create function private.opt_out(p_tenant uuid, p_phone text, p_source text) returns void
language sql security definer set search_path = '' as $$
  insert into public.sms_opt_outs (tenant_id, phone_number, source) select p_tenant, p_phone, p_source where p_phone ~ '^\+[1-9][0-9]{7,14}$' on conflict do nothing
$$;
comment on function private.opt_out(uuid, text, text) is 'No more texts to that number.';

create function private.text_asks() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if private.importing(new.tenant_id) then return null; end if;
  if new.opt_out_type = 'stop' then
    perform private.opt_out(new.tenant_id, new.from_number, 'stop');
  else
    delete from public.sms_opt_outs where tenant_id = new.tenant_id and phone_number = new.from_number;
  end if;
  return null;
end $$;
create trigger text_asks after insert on public.messages for each row when (new.direction = 'inbound' and new.opt_out_type in ('stop', 'start')) execute function private.text_asks();
comment on function private.text_asks() is 'STOP and START, the moment they arrive.';

create function private.text_refused() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if new.error like '%30034%' then
    update public.phone_numbers set a2p_status = 'unregistered' where tenant_id = new.tenant_id and phone_number = new.from_number and a2p_status in ('pending', 'registered');
  else
    perform private.opt_out(new.tenant_id, new.to_number, 'carrier');
  end if;
  return null;
end $$;
create trigger text_refused after update of error on public.messages for each row
  when (new.direction = 'outbound' and new.error is distinct from old.error and (new.error like '%30034%' or new.error like '%21610%')) execute function private.text_refused();
comment on function private.text_refused() is 'What Twilio''s refusals mean for the texts after: 30034, the number is not registered; 21610, the receiver wants none.';

create function private.is_long_code(p_number text) returns boolean language sql immutable set search_path = '' as $$
  select p_number ~ '^\+1[0-9]{10}$' and p_number !~ '^\+18(00|33|44|55|66|77|88)'
$$;
comment on function private.is_long_code(text) is 'Whether carriers want the number registered for texts (A2P 10DLC): North American, not toll-free.';

create function private.text_sender(p_tenant uuid, p_from text default null) returns uuid
language sql stable security definer set search_path = '' as $$
  select id from public.phone_numbers
  where tenant_id = p_tenant and status = 'ready' and released_at is null and phone_number = coalesce(p_from, phone_number)
    and coalesce((capabilities ->> 'sms')::boolean, true) and (a2p_status in ('pending', 'registered') or not private.is_long_code(phone_number))
  order by is_primary desc, id limit 1
$$;
comment on function private.text_sender(uuid, text) is 'The tenant''s first number that can send texts, or that one if it can.';

create function private.text_problem(p_tenant uuid, p_to text, p_from text default null) returns text
language sql stable security definer set search_path = '' as $$
  select case
    when exists (select from public.sms_opt_outs where tenant_id = p_tenant and phone_number = p_to) then 'opted_out'
    when private.text_sender(p_tenant, p_from) is not null then null
    when exists (select from public.phone_numbers where tenant_id = p_tenant and status = 'ready' and released_at is null and phone_number = coalesce(p_from, phone_number)
      and coalesce((capabilities ->> 'sms')::boolean, true)) then 'unregistered'
    else 'no_number' end
$$;
comment on function private.text_problem(uuid, text, text) is 'Why a text cannot be sent: opted_out, unregistered or no_number; null where it can.';

create function private.send_text(p_tenant uuid, p_to text, p_body text, p_at timestamptz) returns public.messages
language plpgsql security definer set search_path = '' as $$
declare m public.messages; v_id uuid;
begin
  perform private.may_change(p_tenant, 'member');
  perform from public.tenants where id = p_tenant for no key update;
  if private.is_ours(p_to) then
    perform private.reject(409, 'own_number', 'That number is one of Kestrel''s own: nobody reads texts there.', 'to');
  end if;
  case private.text_problem(p_tenant, p_to)
    when 'opted_out' then perform private.reject(409, 'opted_out', 'This number has asked for no more texts. They can text START to your number.', 'to');
    when 'unregistered' then perform private.reject(409, 'number_unregistered', 'Your number is not registered for texts with the carriers yet.');
    when 'no_number' then perform private.reject(409, 'no_number', 'You have no number that can send texts.');
    else null;
  end case;
  if (select pg_catalog.count(*) from public.messages where tenant_id = p_tenant and sent_by <> '' and sent_by <> 'agent' and direction = 'outbound' and created_at > p_at - interval '1 hour') >= 200 then
    perform private.reject(429, 'too_many_texts', 'That is 200 texts within the hour. Go on a little later.');
  end if;
  v_id := private.queue_text(p_tenant, p_to, p_body, (select id from public.contacts where tenant_id = p_tenant and phone_number = p_to));
  update public.messages set sent_by = coalesce(nullif(private.actor(), ''), 'person') where id = v_id returning * into m;
  perform private.emit(p_tenant, v_id, 'sms.queued', '{}');
  return m;
end $$;
comment on function private.send_text(uuid, text, text, timestamptz) is 'Puts a person''s text in the outbox; refuses whom the business may not text.';

create table private.text_steps (
  message_id uuid not null references public.messages (id) on delete cascade,
  position int not null,
  call_id text not null,
  name text not null,
  arguments text not null,
  output text,
  primary key (message_id, position)
);
alter table private.text_steps enable row level security;
grant select, insert, update, delete on private.text_steps to service_role;
comment on table private.text_steps is 'Tools used while a text is being answered, each written down before it runs: who takes over after a crash goes on from there. Gone once it is answered.';

create function private.answer_text(p_message uuid, p_body text, p_at timestamptz) returns uuid
language plpgsql security definer set search_path = '' as $$
declare m public.messages; v_id uuid := private.uuid_v7();
begin
  delete from private.text_steps where message_id = p_message;
  select * into m from public.messages where id = p_message and direction = 'inbound';
  insert into public.messages (id, tenant_id, phone_number_id, contact_id, direction, from_number, to_number, body, reply_to, sent_by, created_at)
  select v_id, m.tenant_id, n.id, m.contact_id, 'outbound', n.phone_number, m.from_number, p_body, m.id, 'agent', p_at
  from public.phone_numbers n where n.id = private.text_sender(m.tenant_id, m.to_number)
    and not exists (select from public.sms_opt_outs o where o.tenant_id = m.tenant_id and o.phone_number = m.from_number)
  on conflict (reply_to) do nothing;
  if not found then return null; end if;
  perform private.enqueue('message_send', m.tenant_id, v_id);
  return v_id;
end $$;
comment on function private.answer_text(uuid, text, timestamptz) is 'Puts the one answer to a text in the outbox; null where there is one, or none may be sent.';

revoke execute on function private.forget_recordings(uuid[]), private.call_deleted(), private.call_outcome(uuid), private.keep_analysis(uuid, jsonb, timestamptz),
  private.keep_outcome(uuid), private.message_after(), private.notify_owner(uuid, text, text, jsonb, text, text), private.opt_out(uuid, text, text), private.text_asks(),
  private.text_refused(), private.is_long_code(text), private.text_problem(uuid, text, text), private.text_sender(uuid, text),
  private.send_text(uuid, text, text, timestamptz), private.answer_text(uuid, text, timestamptz) from public;
grant execute on function private.forget_recordings(uuid[]), private.keep_analysis(uuid, jsonb, timestamptz), private.keep_outcome(uuid), private.call_outcome(uuid),
  private.notify_owner(uuid, text, text, jsonb, text, text), private.opt_out(uuid, text, text), private.text_problem(uuid, text, text),
  private.answer_text(uuid, text, timestamptz) to service_role;
grant execute on function private.send_text(uuid, text, text, timestamptz) to authenticated, kestrel_key, kestrel_admin, service_role;
