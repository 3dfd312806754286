-- A customer over months: usage periods and their warnings, trials, and what customers ask of the platform's staff.
-- What is due is decided by a time that the caller passes in, never by the database's clock.

-- Usage -----------------------------------------------------------------------------------------------------------

create function private.shown_usage(p_tenant uuid) returns public.tenant_usage
language plpgsql security definer set search_path = '' as $$
declare v public.tenant_usage;
begin
  select * into v from public.tenant_usage where tenant_id = p_tenant and is_current;
  if not found then
    v := private.usage_at(p_tenant, pg_catalog.now());
    perform private.show_usage(p_tenant, v.id);
  end if;
  return v;
end $$;
comment on function private.shown_usage(uuid) is 'The period that tenants.current_month_calls shows.';

create function private.show_usage(p_tenant uuid, p_usage uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
  update public.tenant_usage set is_current = false where tenant_id = p_tenant and is_current and id <> p_usage;
  update public.tenant_usage set is_current = true where id = p_usage and not is_current;
end $$;
comment on function private.show_usage(uuid, uuid) is 'Makes this the period that tenants.current_month_calls shows. The tenant''s row is locked by the caller.';

create function private.warn_usage(p_usage uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare u record; v_used int; v_threshold int; v_key text;
begin
  select o.tenant_id, o.period_start, o.period_end, o.calls, o.adjusted_calls, t.max_monthly_calls as most, t.owner_email into u
  from public.tenant_usage o join public.tenants t on t.id = o.tenant_id
  where o.id = p_usage and o.closed_at is null and t.deleted_at is null and t.subscription_status in ('trial', 'active') and t.max_monthly_calls is not null
    -- A call that comes late, for a period that is over, warns nobody.
    and not exists (select from public.tenant_usage c where c.tenant_id = o.tenant_id and c.is_current and c.period_start > o.period_start);
  if not found then return; end if;
  v_used := u.calls + u.adjusted_calls;
  v_threshold := case when v_used >= u.most then 100 when v_used * 100::bigint >= u.most * 80::bigint then 80 end;
  if v_threshold is null then return; end if;
  v_key := pg_catalog.concat_ws(':', u.tenant_id, pg_catalog.to_char(u.period_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI'), u.most);
  -- Who was told that all is used, and has since been given some back, need not hear of most.
  if v_threshold = 80 and exists (select from public.email_log where dedupe_key = 'usage:100:' || v_key) then return; end if;
  perform private.queue_email('usage_warning', u.tenant_id, u.owner_email, 'usage:' || v_threshold || ':' || v_key,
    pg_catalog.jsonb_build_object('threshold', v_threshold, 'calls_used', v_used, 'calls_limit', u.most, 'period_ends_at', u.period_end));
end $$;
comment on function private.warn_usage(uuid) is 'Queues the warning that this period''s count calls for: the higher of 80 % and 100 % reached, once per period, limit and threshold.';

create function private.usage_before_update() returns trigger language plpgsql set search_path = '' as $$
begin
  if old.closed_at is not null and (new.closed_at, new.period_start, new.period_end, new.calls, new.seconds, new.sms, new.cost_micros)
     is distinct from (old.closed_at, old.period_start, old.period_end, old.calls, old.seconds, old.sms, old.cost_micros) then
    perform private.reject(409, 'period_closed', 'A usage period that is closed stays as it is. Record an adjustment instead.', 'closed_at');
  end if;
  return new;
end $$;
comment on function private.usage_before_update() is 'Totals of a closed period are final; a period closes once.';
create trigger usage_before_update before update on public.tenant_usage for each row execute function private.usage_before_update();

create function private.reset_usage(p_tenant uuid, p_at timestamptz) returns int
language plpgsql security definer set search_path = '' as $$
declare v_shown timestamptz; u public.tenant_usage; v_count int := 0;
begin
  perform from public.tenants where id = p_tenant and (private.host_tenant() is null or id = private.host_tenant()) for no key update;
  if not found then perform private.reject(404, 'tenant_not_found', 'There is no such tenant.'); end if;
  select period_start into v_shown from public.tenant_usage where tenant_id = p_tenant and is_current;
  loop
    select * into u from public.tenant_usage where tenant_id = p_tenant and closed_at is null and period_end <= p_at order by period_start limit 1;
    exit when not found;
    update public.tenant_usage set closed_at = p_at, is_current = false, updated_at = p_at where id = u.id;
    perform private.emit(p_tenant, u.id, 'usage.closed', pg_catalog.jsonb_build_object('period_start', u.period_start, 'period_end', u.period_end,
      'calls', u.calls + u.adjusted_calls, 'seconds', u.seconds, 'sms', u.sms));
    v_count := v_count + 1;
    -- Every period has its row, however long nobody looked; a call of long before the tenant's time starts no such chain.
    if u.period_start >= v_shown then perform private.usage_at(p_tenant, u.period_end); end if;
  end loop;
  u := private.usage_at(p_tenant, p_at);
  if v_shown is null or u.period_start > v_shown then perform private.show_usage(p_tenant, u.id); end if;
  return v_count;
end $$;
comment on function private.reset_usage(uuid, timestamptz) is 'Closes, in order, each of the tenant''s periods that has ended by p_at, opens those that follow, and shows the one that holds p_at. Returns how many it closed: none when run again.';

create function private.reset_due_usage(p_at timestamptz, p_most int, out closed int, out busy boolean)
language plpgsql security definer set search_path = '' as $$
declare v uuid; v_seen int := 0;
begin
  closed := 0;
  for v in
    select t.id from public.tenant_usage u join public.tenants t on t.id = u.tenant_id
    where u.closed_at is null and u.period_end <= p_at order by u.period_end limit p_most for no key update of t skip locked
  loop
    v_seen := v_seen + 1;
    closed := closed + private.reset_usage(v, p_at);
  end loop;
  -- Nothing left that is free, yet something due: another transaction is at work on those tenants.
  busy := v_seen = 0 and exists (select from public.tenant_usage where closed_at is null and period_end <= p_at);
end $$;
comment on function private.reset_due_usage(timestamptz, int) is 'Resets a few of the tenants that are due, and waits for none that is being called just now.';

-- Messages count like calls, once each, as many segments as they take.

alter table public.messages
  add column segments int not null default 0 constraint messages_segments_positive check (segments >= 0),
  add column cost_micros bigint not null default 0,
  add column usage_id uuid,
  add constraint messages_usage_id_fkey foreign key (tenant_id, usage_id) references public.tenant_usage (tenant_id, id) on delete set null (usage_id);
create index messages_usage_idx on public.messages (usage_id, tenant_id);
comment on column public.messages.segments is 'Parts it was sent in, as Twilio counts and bills them; reckoned from the text where Twilio has not said.';
comment on column public.messages.cost_micros is 'Our cost, in millionths of a US dollar.';
comment on column public.messages.usage_id is 'The period that counted it.';

create function private.sms_segments(p_body text) returns int language plpgsql immutable set search_path = '' as $$
declare
  -- The basic set of GSM 03.38, and the characters that take two places there; any other makes it UCS-2.
  c_basic constant text := E'@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&''()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà';
  c_double constant text := E'^{}\\[~]|€\f';
  v_rest text := pg_catalog.translate(p_body, c_basic, '');
  v_length int := pg_catalog.char_length(p_body);
begin
  if pg_catalog.translate(v_rest, c_double, '') = '' then
    v_length := v_length + pg_catalog.char_length(v_rest);
    return case when v_length <= 160 then 1 else (v_length + 152) / 153 end;
  end if;
  v_length := v_length + (select pg_catalog.count(*) from pg_catalog.regexp_matches(p_body, '[\U00010000-\U0010FFFF]', 'g'));
  return case when v_length <= 70 then 1 else (v_length + 66) / 67 end;
end $$;
comment on function private.sms_segments(text) is 'How many parts a text message takes: https://www.twilio.com/docs/glossary/what-sms-character-limit';

create function private.count_message() returns trigger language plpgsql security definer set search_path = '' as $$
declare u public.tenant_usage; v_sms int; v_cost bigint;
begin
  if private.importing(new.tenant_id) then return new; end if;
  perform from public.tenants where id = new.tenant_id for no key update;
  if tg_op = 'INSERT' then
    if new.segments = 0 then new.segments := private.sms_segments(new.body); end if;
    u := private.usage_at(new.tenant_id, new.created_at);
    new.usage_id := u.id;
    v_sms := new.segments;
    v_cost := new.cost_micros;
  else
    v_sms := new.segments - old.segments;
    v_cost := new.cost_micros - old.cost_micros;
  end if;
  update public.tenant_usage set updated_at = pg_catalog.now(),
    sms = sms + case when closed_at is null then v_sms else 0 end, cost_micros = cost_micros + case when closed_at is null then v_cost else 0 end,
    late_sms = late_sms + case when closed_at is null then 0 else v_sms end, late_cost_micros = late_cost_micros + case when closed_at is null then 0 else v_cost end
  where id = new.usage_id;
  return new;
end $$;
comment on function private.count_message() is 'A message counts in the period in which it came or went; what Twilio says later of its parts and price moves the count, and is noted as late once the period is closed.';
create trigger count_message before insert or update of segments, cost_micros on public.messages for each row execute function private.count_message();

-- Trials and waiting tenants --------------------------------------------------------------------------------------

create index tenants_trial_idx on public.tenants (trial_ends_at) where subscription_status = 'trial' and deleted_at is null;

create function private.warn_trials(p_at timestamptz) returns int
language plpgsql security definer set search_path = '' as $$
declare t record; v_count int := 0;
begin
  for t in
    select id, owner_email, trial_ends_at, 'trial_ending:' || id || ':' || pg_catalog.to_char(trial_ends_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS') as key
    from public.tenants x
    where subscription_status = 'trial' and deleted_at is null and trial_ends_at > p_at and trial_ends_at <= p_at + interval '3 days'
  loop
    continue when exists (select from public.email_log where dedupe_key = t.key);
    v_count := v_count + (private.queue_email('trial_ending', t.id, t.owner_email, t.key, pg_catalog.jsonb_build_object('trial_ends_at', t.trial_ends_at)) is not null)::int;
  end loop;
  return v_count;
end $$;
comment on function private.warn_trials(timestamptz) is 'Queues the mail that a trial ends within three days, once for each end. A trial whose end nobody saw coming gets none.';

create function private.end_trials(p_before timestamptz) returns int
language plpgsql security definer set search_path = '' as $$
declare v_count int;
begin
  with due as (
    select id from public.tenants where subscription_status = 'trial' and deleted_at is null and trial_ends_at <= p_before
    order by trial_ends_at limit 500 for no key update skip locked
  )
  update public.tenants t set subscription_status = 'suspended', suspension = 'trial_ended', status_reason = 'The trial has ended.' from due where t.id = due.id;
  get diagnostics v_count = row_count;
  return v_count;
end $$;
comment on function private.end_trials(timestamptz) is 'Suspends up to 500 tenants whose trial ended by then, which is now less the grace; returns how many.';

create function private.extend_trial(p_tenant uuid, p_ends timestamptz) returns void
language plpgsql set search_path = '' as $$
declare v public.tenants;
begin
  select * into v from public.tenants where id = p_tenant and deleted_at is null for no key update;
  if not found then perform private.reject(404, 'tenant_not_found', 'There is no such tenant.'); end if;
  if v.subscription_status = 'pending' then
    perform private.reject(409, 'illegal_transition', 'A tenant that is pending has no trial yet that could be extended. Activate it: that starts its trial.', 'subscription_status');
  end if;
  if v.subscription_status <> 'trial' then perform private.check_transition(p_tenant, v.subscription_status, 'trial', v.suspension); end if;
  update public.tenants set trial_ends_at = p_ends, subscription_status = 'trial' where id = p_tenant;
end $$;
comment on function private.extend_trial(uuid, timestamptz) is 'Gives a trial a new end, also one that has ended: the tenant is back on trial then.';

create function private.remind_pending(p_at timestamptz, p_admin text) returns int
language plpgsql security definer set search_path = '' as $$
declare t record; v_count int := 0;
begin
  for t in
    select id, 'pending_reminder:' || id as key from public.tenants
    where subscription_status = 'pending' and deleted_at is null and created_at <= p_at - interval '24 hours'
  loop
    continue when exists (select from public.email_log where dedupe_key = t.key);
    v_count := v_count + (private.queue_email('pending_reminder', t.id, p_admin, t.key) is not null)::int;
  end loop;
  return v_count;
end $$;
comment on function private.remind_pending(timestamptz, text) is 'Tells the platform''s admin, once, of each tenant that has waited for activation for 24 hours.';

-- What customers ask for ------------------------------------------------------------------------------------------

create table public.tenant_requests (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  kind text not null constraint tenant_requests_kind_known check (kind in ('plan', 'reactivation')),
  plan_tier text references public.plans (tier),
  from_tier text not null references public.plans (tier),
  state text not null default 'open' constraint tenant_requests_state_known check (state in ('open', 'confirmed', 'declined', 'replaced', 'withdrawn')),
  reason text,
  requested_by text not null default '',
  decided_by text,
  decided_at timestamptz,
  created_at timestamptz not null default now(),
  constraint tenant_requests_plan_tier_given check ((kind = 'plan') = (plan_tier is not null))
);
create unique index tenant_requests_open_key on public.tenant_requests (tenant_id, kind) where state = 'open';
create index tenant_requests_tenant_idx on public.tenant_requests (tenant_id, id desc);
create index tenant_requests_plan_tier_idx on public.tenant_requests (plan_tier);
create index tenant_requests_from_tier_idx on public.tenant_requests (from_tier);
comment on table public.tenant_requests is 'What customers ask of us: another plan, or to be reactivated. Decided in the app; editing a row here changes nothing of the tenant.';
comment on column public.tenant_requests.id is 'Opaque key.';
comment on column public.tenant_requests.tenant_id is 'Who asks.';
comment on column public.tenant_requests.kind is 'plan or reactivation.';
comment on column public.tenant_requests.plan_tier is 'The plan asked for.';
comment on column public.tenant_requests.from_tier is 'The plan at that time.';
comment on column public.tenant_requests.state is 'open, confirmed, declined, replaced by a later wish, or withdrawn by the customer.';
comment on column public.tenant_requests.reason is 'Why it was declined, shown to the customer.';
comment on column public.tenant_requests.requested_by is 'E-mail address of who asked.';
comment on column public.tenant_requests.decided_by is 'Who decided: admin:…, or job:… and the like when the tenant was reactivated anyway.';
comment on column public.tenant_requests.decided_at is 'When it was decided.';
comment on column public.tenant_requests.created_at is 'When it was asked for.';

alter table public.tenant_requests enable row level security;
revoke all on public.tenant_requests from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.tenant_requests to service_role;
grant select on public.tenant_requests to kestrel_admin, authenticated, kestrel_key;
create policy admin_all on public.tenant_requests for all to kestrel_admin using (true) with check (true);
create policy host_tenant on public.tenant_requests as restrictive for all to anon, authenticated, kestrel_key, kestrel_admin
  using ((select private.host_tenant()) is null or tenant_id = (select private.host_tenant()));
create policy member_read on public.tenant_requests for select to authenticated using (tenant_id = any ((select private.readable_tenants())::uuid[]));
create policy key_read on public.tenant_requests for select to kestrel_key using (tenant_id = any ((select private.key_tenants('read'))::uuid[]));
create trigger tenant_fixed before update of tenant_id on public.tenant_requests for each row when (old.tenant_id is distinct from new.tenant_id) execute function private.tenant_fixed();
create trigger log_activity after insert or update or delete on public.tenant_requests for each row execute function private.log_activity('request');

create function private.request_after() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if new.state = 'open' then perform private.enqueue('request_notice', new.tenant_id, new.id); end if;
  perform private.emit(new.tenant_id, new.id, 'request.' || new.state, pg_catalog.jsonb_build_object('kind', new.kind));
  return null;
end $$;
create trigger request_after after insert or update of state on public.tenant_requests for each row execute function private.request_after();

create function private.request_plan(p_tenant uuid, p_tier text) returns uuid
language plpgsql security definer set search_path = '' as $$
declare t public.tenants; v_id uuid;
begin
  if p_tenant <> all (private.writable_tenants('owner')) or p_tenant is distinct from coalesce(private.host_tenant(), p_tenant) then
    raise insufficient_privilege;
  end if;
  select * into t from public.tenants where id = p_tenant for no key update;
  if not exists (select from public.plans where tier = p_tier and is_offered) then
    perform private.reject(422, 'plan_unknown', 'There is no such plan.', 'plan_tier');
  end if;
  if t.plan_tier = p_tier then
    perform private.reject(409, 'same_plan', 'This is your plan already.', 'plan_tier');
  end if;
  update public.tenant_requests set state = 'replaced', decided_by = private.actor(), decided_at = pg_catalog.now() where tenant_id = p_tenant and kind = 'plan' and state = 'open';
  insert into public.tenant_requests (tenant_id, kind, plan_tier, from_tier, requested_by)
  values (p_tenant, 'plan', p_tier, t.plan_tier, coalesce(private.setting('actor_label'), '')) returning id into v_id;
  return v_id;
end $$;
comment on function private.request_plan(uuid, text) is 'An owner asks for another plan; a later wish replaces one that is still open.';

create function private.withdraw_plan(p_tenant uuid, p_request uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare v_state text;
begin
  if p_tenant <> all (private.writable_tenants('owner')) or p_tenant is distinct from coalesce(private.host_tenant(), p_tenant) then
    raise insufficient_privilege;
  end if;
  perform from public.tenants where id = p_tenant for no key update;
  select state into v_state from public.tenant_requests where id = p_request and tenant_id = p_tenant and kind = 'plan' for update;
  if not found then perform private.reject(404, 'request_not_found', 'There is no such request.'); end if;
  if v_state = 'withdrawn' then return; end if;
  if v_state <> 'open' then
    perform private.reject(409, 'request_decided', pg_catalog.format('This request is %s already.', v_state), 'state');
  end if;
  update public.tenant_requests set state = 'withdrawn', decided_by = private.actor(), decided_at = pg_catalog.now() where id = p_request;
end $$;
comment on function private.withdraw_plan(uuid, uuid) is 'An owner takes back a wish for another plan that nobody has decided yet.';

create function private.decide_plan(p_request uuid, p_confirm boolean, p_reason text default null) returns uuid
language plpgsql security definer set search_path = '' as $$
declare r public.tenant_requests; v_tenant uuid;
begin
  select tenant_id into v_tenant from public.tenant_requests where id = p_request and kind = 'plan' and (private.host_tenant() is null or tenant_id = private.host_tenant());
  -- Tenant first, as everywhere.
  perform from public.tenants where id = v_tenant and deleted_at is null for no key update;
  if not found then perform private.reject(404, 'request_not_found', 'There is no such request.'); end if;
  select * into r from public.tenant_requests where id = p_request for update;
  if r.state <> 'open' then
    perform private.reject(409, 'request_decided', pg_catalog.format('This request is %s already.', r.state), 'state');
  end if;
  update public.tenant_requests set state = case when p_confirm then 'confirmed' else 'declined' end, reason = p_reason, decided_by = private.actor(), decided_at = pg_catalog.now()
  where id = p_request;
  if p_confirm then update public.tenants set plan_tier = r.plan_tier where id = v_tenant; end if;
  return v_tenant;
end $$;
comment on function private.decide_plan(uuid, boolean, text) is 'Confirms a wish for another plan, which changes it at once and opens a term at today''s price, or declines it.';

create function private.request_reactivation(p_tenant uuid, p_at timestamptz) returns timestamptz
language plpgsql security definer set search_path = '' as $$
declare t public.tenants; v_last timestamptz;
begin
  if p_tenant is distinct from coalesce(private.host_tenant(), p_tenant) or p_tenant <> all (private.readable_tenants()) or not exists (
    select from public.tenant_users m where m.tenant_id = p_tenant and m.role >= 'admin'
      and m.user_id = (nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid) then
    raise insufficient_privilege;
  end if;
  select * into t from public.tenants where id = p_tenant for no key update;
  if t.subscription_status not in ('suspended', 'cancelled') then return null; end if;
  select created_at into v_last from public.tenant_requests where tenant_id = p_tenant and kind = 'reactivation' order by id desc limit 1;
  if v_last > p_at - interval '24 hours' then return v_last; end if;
  update public.tenant_requests set state = 'replaced', decided_by = private.actor(), decided_at = p_at where tenant_id = p_tenant and kind = 'reactivation' and state = 'open';
  insert into public.tenant_requests (tenant_id, kind, from_tier, requested_by, created_at)
  values (p_tenant, 'reactivation', t.plan_tier, coalesce(private.setting('actor_label'), ''), p_at);
  return p_at;
end $$;
comment on function private.request_reactivation(uuid, timestamptz) is 'A suspended or cancelled customer''s admin asks to be reactivated; staff is told once a day at most. Returns when it was asked, null where there is nothing to ask.';

create function private.settle_requests() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  update public.tenant_requests set state = 'confirmed', decided_by = private.actor(), decided_at = pg_catalog.now() where tenant_id = new.id and kind = 'reactivation' and state = 'open';
  return null;
end $$;
create trigger settle_requests after update of subscription_status on public.tenants for each row
  when (old.subscription_status in ('suspended', 'cancelled') and new.subscription_status in ('trial', 'active')) execute function private.settle_requests();
comment on function private.settle_requests() is 'A tenant that lives again has what it asked for, whichever way it came about.';

revoke execute on all functions in schema private from public;
grant execute on all functions in schema private to service_role;
grant execute on function private.request_plan(uuid, text), private.withdraw_plan(uuid, uuid), private.request_reactivation(uuid, timestamptz) to authenticated;
grant execute on function private.decide_plan(uuid, boolean, text), private.reset_usage(uuid, timestamptz), private.extend_trial(uuid, timestamptz) to kestrel_admin;
