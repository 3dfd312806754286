-- What is known of a call once it is over, and how calls are found again.

alter table public.call_logs
  add column intent text constraint call_logs_intent_length check (char_length(intent) <= 200),
  add column caller_name text constraint call_logs_caller_name_length check (char_length(caller_name) <= 120),
  add column callback_number text constraint call_logs_callback_number_e164 check (callback_number ~ '^\+[1-9][0-9]{7,14}$'),
  add column caller_address text constraint call_logs_caller_address_length check (char_length(caller_address) <= 1000),
  add column follow_up text constraint call_logs_follow_up_length check (char_length(follow_up) <= 1000),
  add column quality_score smallint constraint call_logs_quality_score_range check (quality_score between 0 and 100),
  add column analysed_at timestamptz;
comment on column public.call_logs.intent is 'What the caller wanted, in a few words.';
comment on column public.call_logs.caller_name is 'As the caller gave it.';
comment on column public.call_logs.callback_number is 'Where the caller wants to be called back, E.164.';
comment on column public.call_logs.caller_address is 'As the caller gave it.';
comment on column public.call_logs.follow_up is 'What the business should do next; empty if nothing.';
comment on column public.call_logs.quality_score is 'How well the receptionist did, 0 to 100.';
comment on column public.call_logs.analysed_at is 'When the transcript was analysed.';

create index call_turns_words_idx on public.call_turns using gin (tenant_id, pg_catalog.to_tsvector('simple', text));

create function private.may_read(p_tenant uuid) returns boolean language plpgsql stable security definer set search_path = '' as $$
begin
  if p_tenant is distinct from coalesce(private.host_tenant(), p_tenant) then return false; end if;
  return case pg_catalog.current_setting('role')
    when 'authenticated' then p_tenant = any (private.readable_tenants())
    when 'kestrel_key' then p_tenant = any (private.key_tenants('read'))
    when 'anon' then false
    else true end;
end $$;
comment on function private.may_read(uuid) is 'Whether the scope may read the tenant''s data, for functions that read with more right than their caller.';

-- Row-level security keeps the planner from the index: @@ is not leakproof. So the right is checked once, then the index is used.
create function private.calls_saying(p_tenant uuid, p_words text) returns setof uuid
language plpgsql stable security definer set search_path = '' as $$
begin
  if not private.may_read(p_tenant) then return; end if;
  return query select distinct u.call_id from public.call_turns u
    where u.tenant_id = p_tenant and pg_catalog.to_tsvector('simple', u.text) @@ pg_catalog.websearch_to_tsquery('simple', p_words);
end $$;
comment on function private.calls_saying(uuid, text) is 'Calls of a tenant in whose transcript one turn has all the words.';
grant execute on function private.may_read(uuid), private.calls_saying(uuid, text) to authenticated, kestrel_key, kestrel_admin, service_role;

create function private.note_listening(p_tenant uuid, p_call uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if not private.may_read(p_tenant) then raise insufficient_privilege; end if;
  insert into public.activity_log (tenant_id, actor, actor_label, action, table_name, record_id, request_id)
  values (p_tenant, private.actor(), coalesce(private.setting('actor_label'), ''), 'call.listened', 'call_logs', p_call, private.setting('request_id'));
end $$;
comment on function private.note_listening(uuid, uuid) is 'Writes down who listens in on a call.';
grant execute on function private.note_listening(uuid, uuid) to authenticated, kestrel_key, kestrel_admin, service_role;
