-- What follows from the receptionist's work: callers are told of their appointments, owners get callers' messages.

create table public.appointment_notices (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  appointment_id uuid not null,
  change text not null constraint appointment_notices_change_known check (change in ('booked', 'moved', 'cancelled')),
  state text not null default 'open' constraint appointment_notices_state_known check (state in ('open', 'texted', 'emailed', 'skipped')),
  message_id uuid,
  created_at timestamptz not null default now(),
  done_at timestamptz,
  constraint appointment_notices_appointment_id_fkey foreign key (tenant_id, appointment_id) references public.appointments (tenant_id, id) on delete cascade,
  constraint appointment_notices_message_id_fkey foreign key (message_id) references public.messages (id) on delete set null
);
create index appointment_notices_appointment_idx on public.appointment_notices (appointment_id, tenant_id, id desc);
create index appointment_notices_tenant_idx on public.appointment_notices (tenant_id, id desc);
create index appointment_notices_message_idx on public.appointment_notices (message_id);
comment on table public.appointment_notices is 'Confirmations owed to customers: one for every change of an appointment that is still to come.';
comment on column public.appointment_notices.id is 'Opaque key.';
comment on column public.appointment_notices.tenant_id is 'Whose appointment.';
comment on column public.appointment_notices.appointment_id is 'The appointment.';
comment on column public.appointment_notices.change is 'booked, moved or cancelled.';
comment on column public.appointment_notices.state is 'open; texted to the customer; emailed to the owner, where we cannot text; or skipped, as the appointment had changed again.';
comment on column public.appointment_notices.message_id is 'The text.';
comment on column public.appointment_notices.created_at is 'When the appointment changed.';
comment on column public.appointment_notices.done_at is 'When it was dealt with.';

create table public.call_messages (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  contact_id uuid,
  conversation_id uuid,
  caller_name text not null default '' constraint call_messages_caller_name_length check (char_length(caller_name) <= 120),
  caller_phone text constraint call_messages_caller_phone_e164 check (caller_phone ~ '^\+[1-9][0-9]{7,14}$'),
  body text not null constraint call_messages_body_length check (char_length(body) between 1 and 4000),
  is_urgent boolean not null default false,
  idempotency_key text constraint call_messages_idempotency_key_length check (char_length(idempotency_key) <= 255),
  read_at timestamptz constraint call_messages_read_at_range check (read_at between '2000-01-01 00:00+00' and '2199-12-31 00:00+00'),
  created_at timestamptz not null default now(),
  constraint call_messages_contact_id_fkey foreign key (tenant_id, contact_id) references public.contacts (tenant_id, id) on delete set null (contact_id),
  constraint call_messages_idempotency_key unique (tenant_id, idempotency_key)
);
create index call_messages_newest_idx on public.call_messages (tenant_id, id desc);
create index call_messages_contact_idx on public.call_messages (contact_id, tenant_id);
create index call_messages_conversation_idx on public.call_messages (conversation_id);
comment on table public.call_messages is 'Messages that callers left with the receptionist.';
comment on column public.call_messages.id is 'Opaque key.';
comment on column public.call_messages.tenant_id is 'For whom.';
comment on column public.call_messages.contact_id is 'Who left it, if known.';
comment on column public.call_messages.conversation_id is 'The call or conversation it was left in.';
comment on column public.call_messages.caller_name is 'As given.';
comment on column public.call_messages.caller_phone is 'Where to call back, E.164.';
comment on column public.call_messages.body is 'The message.';
comment on column public.call_messages.is_urgent is 'An emergency.';
comment on column public.call_messages.idempotency_key is 'Makes a repeated message the same message.';
comment on column public.call_messages.read_at is 'When somebody has seen to it.';
comment on column public.call_messages.created_at is 'When it was left.';

do $$
declare t text;
begin
  foreach t in array array['appointment_notices', 'call_messages'] loop
    execute format('alter table public.%I enable row level security', t);
    execute format('revoke all on public.%I from public, anon, authenticated, service_role', t);
    execute format('grant select, insert, update, delete on public.%I to service_role', t);
    execute format('grant select on public.%I to kestrel_admin, authenticated, kestrel_key', t);
    execute format('create policy admin_all on public.%I for all to kestrel_admin using (true) with check (true)', t);
    execute format('create policy host_tenant on public.%I as restrictive for all to anon, authenticated, kestrel_key, kestrel_admin '
      || 'using ((select private.host_tenant()) is null or tenant_id = (select private.host_tenant()))', t);
    execute format('create policy member_read on public.%I for select to authenticated using (tenant_id = any ((select private.readable_tenants())::uuid[]))', t);
    execute format('create policy key_read on public.%I for select to kestrel_key using (tenant_id = any ((select private.key_tenants(''read''))::uuid[]))', t);
    execute format('create trigger tenant_fixed before update of tenant_id on public.%I for each row when (old.tenant_id is distinct from new.tenant_id) execute function private.tenant_fixed()', t);
  end loop;
end $$;
create policy member_update on public.call_messages for update to authenticated
  using (tenant_id = any ((select private.writable_tenants('member'))::uuid[])) with check (tenant_id = any ((select private.writable_tenants('member'))::uuid[]));
create policy key_update on public.call_messages for update to kestrel_key
  using (tenant_id = any ((select private.key_tenants('write'))::uuid[])) with check (tenant_id = any ((select private.key_tenants('write'))::uuid[]));
grant update (read_at) on public.call_messages to authenticated, kestrel_key, kestrel_admin;

create function private.appointment_after() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  v_change text := case
    when tg_op = 'INSERT' then case when new.status = 'scheduled' then 'booked' end
    when new.status = 'cancelled' and old.status = 'scheduled' then 'cancelled'
    when new.status = 'scheduled' and old.status <> 'scheduled' then 'booked'
    when new.status = 'scheduled' and new.starts_at <> old.starts_at then 'moved' end;
  v_id uuid := private.uuid_v7();
begin
  if v_change is null or private.importing(new.tenant_id) then return null; end if;
  perform private.emit(new.tenant_id, new.id, 'appointment.' || v_change, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('starts_at', new.starts_at, 'conversation_id', new.conversation_id)));
  if new.customer_phone is not null and greatest(new.starts_at, case when v_change = 'moved' then old.starts_at end) > pg_catalog.now() then
    insert into public.appointment_notices (id, tenant_id, appointment_id, change) values (v_id, new.tenant_id, new.id, v_change);
    perform private.enqueue('appointment_confirm', new.tenant_id, v_id);
  end if;
  return null;
end $$;
create trigger appointment_after after insert or update of starts_at, status on public.appointments for each row execute function private.appointment_after();
comment on function private.appointment_after() is 'A booking, whoever made, moved or cancelled it: live screens hear of it, and the customer is to be told at once.';

create function private.queue_text(p_tenant uuid, p_to text, p_body text, p_contact uuid default null) returns uuid
language plpgsql security definer set search_path = '' as $$
declare v_id uuid := private.uuid_v7();
begin
  insert into public.messages (id, tenant_id, phone_number_id, contact_id, direction, from_number, to_number, body)
  select v_id, p_tenant, n.id, p_contact, 'outbound', n.phone_number, p_to, p_body from public.phone_numbers n
  where n.id = private.text_sender(p_tenant) and private.text_problem(p_tenant, p_to) is null;
  if not found then return null; end if;
  perform private.enqueue('message_send', p_tenant, v_id);
  return v_id;
end $$;
comment on function private.queue_text(uuid, text, text, uuid) is 'Puts a text in the outbox, from the tenant''s first number that can send; null where none can, or the receiver wants none.';

create function private.take_message(p_tenant uuid, p jsonb) returns uuid
language plpgsql security definer set search_path = '' as $$
declare v_id uuid; v_text uuid;
begin
  perform private.may_change(p_tenant, 'member');
  insert into public.call_messages (tenant_id, contact_id, conversation_id, caller_name, caller_phone, body, is_urgent, idempotency_key)
  values (p_tenant, private.keep_contact(p_tenant, p ->> 'contact_phone', p ->> 'caller_name'), (p ->> 'conversation_id')::uuid, coalesce(p ->> 'caller_name', ''),
    nullif(p ->> 'caller_phone', ''), p ->> 'body', coalesce((p ->> 'is_urgent')::boolean, false), p ->> 'idempotency_key')
  on conflict (tenant_id, idempotency_key) do nothing returning id into v_id;
  if v_id is null then
    return (select id from public.call_messages where tenant_id = p_tenant and idempotency_key = p ->> 'idempotency_key');
  end if;
  perform private.emit(p_tenant, v_id, 'message.taken', pg_catalog.jsonb_build_object('is_urgent', coalesce((p ->> 'is_urgent')::boolean, false), 'conversation_id', p ->> 'conversation_id'));
  if p ->> 'text_to' <> '' then
    v_text := private.queue_text(p_tenant, p ->> 'text_to', p ->> 'text');
  end if;
  return v_id;
end $$;
comment on function private.take_message(uuid, jsonb) is 'Keeps a caller''s message: caller_name, caller_phone, contact_phone, body, is_urgent, conversation_id, idempotency_key; where text_to is given, text is sent there at once.';

create function private.end_notice(p_notice uuid, p_state text, p_message uuid, p_at timestamptz) returns void
language sql security definer set search_path = '' as $$
  update public.appointment_notices set state = p_state, message_id = coalesce(p_message, message_id), done_at = p_at where id = p_notice and (state = 'open' or p_state = 'emailed')
$$;
comment on function private.end_notice(uuid, text, uuid, timestamptz) is 'Says how a customer was told.';

create function private.tell_owner(p_notice uuid, p_why text) returns void
language plpgsql security definer set search_path = '' as $$
declare n record; v_at timestamp;
begin
  -- Tenant before its rows: a customer who is being erased is not written about any more.
  perform from public.tenants t join public.appointment_notices o on o.tenant_id = t.id where o.id = p_notice for no key update of t;
  select o.id, o.change, o.tenant_id, a.starts_at, a.service, a.customer_name, a.customer_phone, t.timezone, t.owner_email into n
  from public.appointment_notices o join public.appointments a on a.id = o.appointment_id join public.tenants t on t.id = o.tenant_id where o.id = p_notice;
  v_at := n.starts_at at time zone n.timezone;
  perform private.queue_email('announcement', n.tenant_id, n.owner_email, 'appointment_notice:' || n.id, pg_catalog.jsonb_build_object(
    'subject', 'Please confirm an appointment: ' || coalesce(nullif(n.customer_name, ''), n.customer_phone),
    'text', pg_catalog.format(E'The appointment of %s (%s) was %s: %s, %s%s.\n\nThe customer could not be told by text: %s Please call them.',
      coalesce(nullif(n.customer_name, ''), 'a caller'), n.customer_phone, n.change, pg_catalog.to_char(v_at, 'FMDay, FMMonth FMDD, YYYY "at" FMHH12:MI AM'), n.timezone,
      case when n.service <> '' then ', ' || n.service else '' end, p_why)));
  perform private.end_notice(p_notice, 'emailed', null, pg_catalog.now());
end $$;
comment on function private.tell_owner(uuid, text) is 'A customer who cannot be texted is told by the owner, who gets an e-mail; once per change.';

create function private.text_failed() returns trigger language plpgsql security definer set search_path = '' as $$
declare v uuid;
begin
  for v in select id from public.appointment_notices where message_id = new.id and state = 'texted' loop
    perform private.tell_owner(v, coalesce(new.error, 'it was not delivered.'));
  end loop;
  return null;
end $$;
create trigger text_failed after update of status on public.messages for each row
  when (new.status in ('failed', 'undelivered', 'unknown') and old.status is distinct from new.status) execute function private.text_failed();
comment on function private.text_failed() is 'A confirmation that did not arrive, as soon as we or Twilio know it.';

create function private.is_ours(p_number text) returns boolean language sql stable security definer set search_path = '' as $$
  select exists (select from public.phone_numbers where phone_number = p_number and released_at is null)
$$;
comment on function private.is_ours(text) is 'Whether the number is Kestrel''s own: forwarding to it would ring the receptionist again.';

revoke execute on function private.appointment_after(), private.queue_text(uuid, text, text, uuid), private.take_message(uuid, jsonb),
  private.end_notice(uuid, text, uuid, timestamptz), private.tell_owner(uuid, text), private.text_failed(), private.is_ours(text) from public;
grant execute on function private.queue_text(uuid, text, text, uuid), private.take_message(uuid, jsonb), private.end_notice(uuid, text, uuid, timestamptz),
  private.tell_owner(uuid, text), private.is_ours(text) to service_role;

-- What callers left comes with their calls; what somebody does to it is an edit.
create trigger log_activity after update or delete on public.call_messages for each row
  when (pg_trigger_depth() = 0 and not private.is_vendor()) execute function private.log_activity('call_message');
