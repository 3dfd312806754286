-- The diary: which slots are free, and booking, moving and cancelling, each one function for every door. The rules (hours
-- and booking of a version's settings) are passed in, so that a draft can be tried; the time is, too.

alter table public.appointments
  add column conversation_id uuid,
  add constraint appointments_tenant_key unique (tenant_id, id);
create index appointments_conversation_idx on public.appointments (conversation_id) where conversation_id is not null;
comment on column public.appointments.conversation_id is 'The call or conversation it was made in; known before the call has its row.';

create function private.link_call() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  update public.appointments set call_id = new.id where conversation_id = new.id and tenant_id = new.tenant_id and call_id is null;
  return null;
end $$;
create trigger link_call after insert on public.call_logs for each row execute function private.link_call();
comment on function private.link_call() is 'A call''s row may come after what was booked in it: they find each other here.';

create function private.keep_contact(p_tenant uuid, p_phone text, p_name text default '', p_address text default '', p_email text default null) returns uuid
language sql security definer set search_path = '' as $$
  insert into public.contacts as c (tenant_id, phone_number, name, address, email)
  select p_tenant, p_phone, coalesce(p_name, ''), coalesce(p_address, ''), nullif(p_email, '') where p_phone is not null and p_phone <> ''
  on conflict (tenant_id, phone_number) do update set
    name = case when excluded.name <> '' then excluded.name else c.name end,
    address = case when excluded.address <> '' then excluded.address else c.address end,
    email = coalesce(excluded.email, c.email)
  returning id
$$;
comment on function private.keep_contact(uuid, text, text, text, text) is 'The contact with that number, made if need be; what is given replaces what was known, and nothing else is lost. Null without a number.';

-- Slots -----------------------------------------------------------------------------------------------------------

create function private.open_spans(p_hours jsonb, p_zone text, p_day date) returns table (opens_at timestamptz, closes_at timestamptz)
language sql stable set search_path = '' as $$
  select (p_day + (s ->> 'opens')::time) at time zone p_zone,
    (case when s ->> 'closes' = '24:00' then p_day + 1 + time '00:00' else p_day + (s ->> 'closes')::time end) at time zone p_zone
  from pg_catalog.jsonb_array_elements(coalesce(
    (select case when coalesce(h ->> 'opens', '') = '' then '[]' else pg_catalog.jsonb_build_array(h) end
     from pg_catalog.jsonb_array_elements(coalesce(nullif(p_hours -> 'holidays', 'null'), '[]')) h where h ->> 'date' = p_day::text limit 1),
    (select pg_catalog.jsonb_agg(w) from pg_catalog.jsonb_array_elements(coalesce(nullif(p_hours -> 'weekly', 'null'), '[]')) w
     where w ->> 'day' = (array['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'])[extract(isodow from p_day)::int]),
    '[]')) s
$$;
comment on function private.open_spans(jsonb, text, date) is 'When a business is open on a local date: a holiday''s hours, else the weekday''s. A wall-clock time that daylight saving skips is the instant after it.';

create function private.free_slots(p_tenant uuid, p_rules jsonb, p_from timestamptz, p_to timestamptz, p_minutes int, p_now timestamptz, p_limit int, p_except uuid default null)
returns table (starts_at timestamptz, ends_at timestamptz)
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
declare
  b jsonb := p_rules -> 'booking';
  v_zone text := (select timezone from public.tenants where id = p_tenant);
  v_slot interval := pg_catalog.make_interval(mins => (b ->> 'slot_minutes')::int);
  v_length interval := pg_catalog.make_interval(mins => coalesce(nullif(p_minutes, 0), (b ->> 'slot_minutes')::int));
  v_buffer interval := pg_catalog.make_interval(mins => (b ->> 'buffer_minutes')::int);
  v_first timestamptz := greatest(p_from, p_now + pg_catalog.make_interval(mins => (b ->> 'lead_minutes')::int));
  v_last timestamptz := least(p_to, p_now + pg_catalog.make_interval(days => (b ->> 'horizon_days')::int));
  v_day date;
begin
  if not (b ->> 'enabled')::boolean or v_last < v_first then return; end if;
  -- A day at a time, so that the first few slots do not cost a year's.
  for v_day in select d::date from pg_catalog.generate_series((v_first at time zone v_zone)::date::timestamp, (v_last at time zone v_zone)::date::timestamp, interval '1 day') d loop
    return query
      select g.at, g.at + v_length
      from private.open_spans(p_rules -> 'hours', v_zone, v_day) s,
        lateral pg_catalog.generate_series(s.opens_at, s.closes_at - v_length, v_slot) g(at)
      where g.at >= v_first and g.at < v_last and private.free_lane(p_tenant, g.at, g.at + v_length, v_buffer, (b ->> 'capacity')::int, p_except) is not null
      order by g.at limit p_limit;
    get diagnostics p_minutes = row_count;
    p_limit := p_limit - p_minutes;
    exit when p_limit <= 0;
  end loop;
end $$;
comment on function private.free_slots(uuid, jsonb, timestamptz, timestamptz, int, timestamptz, int, uuid) is
  'The first p_limit slots of p_minutes that start from p_from and before p_to: in business hours, after the lead time, within the horizon, with a lane free and its buffer kept. p_except: an appointment that is about to move.';

create function private.free_lane(p_tenant uuid, p_starts timestamptz, p_ends timestamptz, p_buffer interval, p_capacity int, p_except uuid default null) returns int
language sql stable set search_path = '' as $$
  select l.lane from pg_catalog.generate_series(0, p_capacity - 1) l(lane)
  where not exists (select from public.appointments a where a.tenant_id = p_tenant and a.lane = l.lane and a.status = 'scheduled'
    and pg_catalog.tstzrange(a.starts_at, a.ends_at) && pg_catalog.tstzrange(p_starts - p_buffer, p_ends + p_buffer) and a.id is distinct from p_except)
  order by l.lane limit 1
$$;
comment on function private.free_lane(uuid, timestamptz, timestamptz, interval, int, uuid) is 'The first lane with nothing in that time, nor within the buffer before and after it; null if none.';

create function private.pick_slot(p_tenant uuid, p_rules jsonb, p_starts timestamptz, p_minutes int, p_now timestamptz, p_force boolean, p_except uuid default null,
  out ends_at timestamptz, out lane int)
language plpgsql security definer set search_path = '' as $$
declare
  b jsonb := p_rules -> 'booking';
  v_local timestamp := p_starts at time zone (select timezone from public.tenants where id = p_tenant);
begin
  -- Bookings of one tenant queue up here: what is free stays free until this one is in.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('diary:' || p_tenant, 0));
  ends_at := p_starts + pg_catalog.make_interval(mins => coalesce(nullif(p_minutes, 0), (b ->> 'slot_minutes')::int));
  lane := private.free_lane(p_tenant, p_starts, ends_at, case when p_force then interval '0' else pg_catalog.make_interval(mins => (b ->> 'buffer_minutes')::int) end,
    (b ->> 'capacity')::int, p_except);
  case
    when p_force then null;
    when not (b ->> 'enabled')::boolean then perform private.reject(409, 'booking_off', 'Appointments cannot be booked here.');
    when p_starts < p_now + pg_catalog.make_interval(mins => (b ->> 'lead_minutes')::int) then
      perform private.reject(409, 'too_soon', pg_catalog.format('Appointments need %s minutes'' notice.', b ->> 'lead_minutes'), 'starts_at');
    when p_starts >= p_now + pg_catalog.make_interval(days => (b ->> 'horizon_days')::int) then
      perform private.reject(409, 'too_far', pg_catalog.format('Appointments can be booked %s days ahead.', b ->> 'horizon_days'), 'starts_at');
    when lane is not null and not exists (select from private.free_slots(p_tenant, p_rules, p_starts, p_starts + interval '1 microsecond', p_minutes, p_now, 1, p_except)) then
      perform private.reject(409, 'not_offered', pg_catalog.format('No appointment of that length starts at %s: it is outside business hours, or between two slots.', pg_catalog.to_char(v_local, 'FMDay, HH24:MI')), 'starts_at');
    else null;
  end case;
  if lane is null then
    perform private.reject(409, 'slot_taken', 'That time is taken.', 'starts_at');
  end if;
end $$;
comment on function private.pick_slot(uuid, jsonb, timestamptz, int, timestamptz, boolean, uuid) is
  'Holds a slot for the rest of the transaction, or refuses with KS409 and the reason. p_force: people may book outside hours, lead time, buffer and grid, never twice in one lane.';

-- Bookings --------------------------------------------------------------------------------------------------------

create function private.book(p_tenant uuid, p_rules jsonb, p jsonb, p_now timestamptz, p_force boolean default false) returns public.appointments
language plpgsql security definer set search_path = '' as $$
declare v public.appointments; v_slot record; v_call uuid := (p ->> 'conversation_id')::uuid; v_contact uuid; v_starts timestamptz := (p ->> 'starts_at')::timestamptz;
begin
  perform private.may_change(p_tenant, 'member');
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('diary:' || p_tenant, 0));
  select * into v from public.appointments where tenant_id = p_tenant and idempotency_key = p ->> 'idempotency_key';
  if found then return v; end if;
  v_contact := coalesce((p ->> 'contact_id')::uuid, private.keep_contact(p_tenant, coalesce(p ->> 'contact_phone', p ->> 'customer_phone'), p ->> 'customer_name', p ->> 'address'));
  -- After a barge-in the model may ask again for what it has: the same person, the same time, the same call.
  select * into v from public.appointments where tenant_id = p_tenant and conversation_id = v_call and starts_at = v_starts
    and contact_id is not distinct from v_contact and status = 'scheduled';
  if found then return v; end if;
  v_slot := private.pick_slot(p_tenant, p_rules, v_starts, (p ->> 'minutes')::int, p_now, p_force);
  insert into public.appointments (id, tenant_id, contact_id, call_id, conversation_id, starts_at, ends_at, lane, service, customer_name, customer_phone, address, notes, idempotency_key)
  values (coalesce((p ->> 'id')::uuid, private.uuid_v7()), p_tenant, v_contact, (select id from public.call_logs where id = v_call and tenant_id = p_tenant), v_call, v_starts, v_slot.ends_at, v_slot.lane, coalesce(p ->> 'service', ''),
    coalesce(p ->> 'customer_name', ''), nullif(p ->> 'customer_phone', ''), coalesce(p ->> 'address', ''), coalesce(p ->> 'notes', ''), p ->> 'idempotency_key')
  returning * into v;
  return v;
exception when exclusion_violation then -- somebody wrote the row by hand meanwhile
  perform private.reject(409, 'slot_taken', 'That time is taken.', 'starts_at');
end $$;
comment on function private.book(uuid, jsonb, jsonb, timestamptz, boolean) is
  'Books: starts_at, minutes, service, customer_name, customer_phone, contact_phone (the caller''s own), address, notes, contact_id, conversation_id, idempotency_key. The same key, or the same person and time within one conversation, is the same booking.';

create function private.move_appointment(p_tenant uuid, p_id uuid, p_rules jsonb, p_starts timestamptz, p_now timestamptz, p_force boolean default false, p_minutes int default null)
returns public.appointments
language plpgsql security definer set search_path = '' as $$
declare v public.appointments; v_slot record; v_minutes int;
begin
  perform private.may_change(p_tenant, 'member');
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('diary:' || p_tenant, 0));
  select * into v from public.appointments where tenant_id = p_tenant and id = p_id for update;
  if not found then perform private.reject(404, 'appointment_not_found', 'There is no such appointment.'); end if;
  if v.status <> 'scheduled' then
    perform private.reject(409, 'appointment_closed', pg_catalog.format('An appointment that is %s cannot be moved. Book a new one.', v.status), 'starts_at');
  end if;
  v_minutes := coalesce(p_minutes, (extract(epoch from v.ends_at - v.starts_at) / 60)::int);
  if v.starts_at = p_starts and v.ends_at = p_starts + pg_catalog.make_interval(mins => v_minutes) then return v; end if;
  v_slot := private.pick_slot(p_tenant, p_rules, p_starts, v_minutes, p_now, p_force, p_id);
  update public.appointments set starts_at = p_starts, ends_at = v_slot.ends_at, lane = v_slot.lane where id = p_id returning * into v;
  return v;
exception when exclusion_violation then
  perform private.reject(409, 'slot_taken', 'That time is taken.', 'starts_at');
end $$;
comment on function private.move_appointment(uuid, uuid, jsonb, timestamptz, timestamptz, boolean, int) is 'Moves a booking, keeping its length unless told otherwise; to where it is already: nothing.';

create function private.cancel_appointment(p_tenant uuid, p_id uuid) returns public.appointments
language plpgsql security definer set search_path = '' as $$
declare v public.appointments;
begin
  perform private.may_change(p_tenant, 'member');
  select * into v from public.appointments where tenant_id = p_tenant and id = p_id for update;
  case
    when v.id is null then perform private.reject(404, 'appointment_not_found', 'There is no such appointment.');
    when v.status = 'cancelled' then return v;
    when v.status <> 'scheduled' then perform private.reject(409, 'appointment_closed', pg_catalog.format('An appointment that is %s cannot be cancelled.', v.status), 'status');
    else update public.appointments set status = 'cancelled' where id = p_id returning * into v;
  end case;
  return v;
end $$;
comment on function private.cancel_appointment(uuid, uuid) is 'Cancels a booking; again: nothing.';

revoke execute on function private.link_call(), private.keep_contact(uuid, text, text, text, text), private.open_spans(jsonb, text, date),
  private.free_slots(uuid, jsonb, timestamptz, timestamptz, int, timestamptz, int, uuid), private.free_lane(uuid, timestamptz, timestamptz, interval, int, uuid),
  private.pick_slot(uuid, jsonb, timestamptz, int, timestamptz, boolean, uuid), private.book(uuid, jsonb, jsonb, timestamptz, boolean),
  private.move_appointment(uuid, uuid, jsonb, timestamptz, timestamptz, boolean, int), private.cancel_appointment(uuid, uuid) from public;
grant execute on function private.book(uuid, jsonb, jsonb, timestamptz, boolean), private.move_appointment(uuid, uuid, jsonb, timestamptz, timestamptz, boolean, int),
  private.cancel_appointment(uuid, uuid) to authenticated, kestrel_key, kestrel_admin, service_role;
-- These read by the caller's own policies.
grant execute on function private.free_slots(uuid, jsonb, timestamptz, timestamptz, int, timestamptz, int, uuid),
  private.free_lane(uuid, timestamptz, timestamptz, interval, int, uuid), private.open_spans(jsonb, text, date) to authenticated, kestrel_key, kestrel_admin, service_role;
grant execute on function private.keep_contact(uuid, text, text, text, text) to service_role;
