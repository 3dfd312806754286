-- Rules that every door obeys (API, jobs, Studio, SQL): one function each, called by triggers and Go alike.
-- Functions are SECURITY DEFINER where the caller may not touch what they keep; every one has search_path = ''.

-- Jobs -----------------------------------------------------------------------------------------------------------

create function private.emit(p_tenant uuid, p_subject uuid, p_type text, p_data jsonb default '{}') returns uuid
language plpgsql security definer set search_path = '' as $$
declare v_id uuid := private.uuid_v7();
begin
  insert into public.events (id, tenant_id, subject_id, type, data) values (v_id, p_tenant, p_subject, p_type, p_data);
  perform private.announce('event', p_subject, p_tenant);
  return v_id;
end $$;
comment on function private.emit(uuid, uuid, text, jsonb) is 'Appends an event and wakes its listeners at commit.';

create function private.announce(p_topic text, p_id uuid, p_tenant uuid default null) returns void
language sql security definer set search_path = '' as $$
  select pg_catalog.pg_notify('kestrel', pg_catalog.json_build_object('topic', p_topic, 'id', p_id, 'tenant', p_tenant)::text)
$$;
comment on function private.announce(text, uuid, uuid) is 'Tells every server, at commit, what to forget or stream.';

create function private.enqueue(p_kind text, p_tenant uuid, p_subject uuid, p_run_at timestamptz default null, p_max_attempts int default 25) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid := private.uuid_v7();
  v_river bigint;
  v_later boolean := coalesce(p_run_at > pg_catalog.now(), false);
begin
  insert into river.river_job (kind, args, state, scheduled_at, max_attempts)
  values (p_kind, pg_catalog.jsonb_build_object('job_id', v_id, 'subject_id', p_subject),
          (case when v_later then 'scheduled' else 'available' end)::river.river_job_state,
          case when v_later then p_run_at else pg_catalog.now() end, p_max_attempts)
  returning id into v_river;
  insert into public.jobs (id, tenant_id, kind, subject_id, river_job_id) values (v_id, p_tenant, p_kind, p_subject, v_river);
  perform pg_catalog.pg_notify('river.river_insert', '{"queue":"default"}');
  return v_id;
end $$;
comment on function private.enqueue(text, uuid, uuid, timestamptz, int) is 'The only way a job comes to be: our record and River''s row, in the caller''s transaction. Carries ids, never personal data.';

create function private.job_step(p_job uuid, p_state text, p_step text, p_reason text default null, p_attempt int default null) returns void
language plpgsql security definer set search_path = '' as $$
declare v_job public.jobs;
begin
  update public.jobs set state = p_state, step = p_step, reason = p_reason, attempt = coalesce(p_attempt, attempt), updated_at = pg_catalog.now(),
    finished_at = case when p_state in ('done', 'failed') then pg_catalog.now() end
  where id = p_job and (state, step, reason, attempt) is distinct from (p_state, p_step, p_reason, coalesce(p_attempt, attempt))
    and not (state = 'done' and p_state = 'running')
  returning * into v_job;
  if found then
    perform private.emit(v_job.tenant_id, p_job, 'job.' || p_step,
      pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('state', p_state, 'step', p_step, 'reason', p_reason, 'attempt', v_job.attempt)));
  end if;
end $$;
comment on function private.job_step(uuid, text, text, text, int) is 'Moves a job''s record and tells whoever watches; saying the same twice is silent.';

create function private.queue_email(p_template text, p_tenant uuid, p_to text, p_dedupe text, p_params jsonb default '{}') returns uuid
language plpgsql security definer set search_path = '' as $$
declare v_id uuid;
begin
  insert into public.email_log (template, tenant_id, to_email, dedupe_key, params)
  values (p_template, p_tenant, pg_catalog.lower(p_to), p_dedupe, p_params)
  on conflict (dedupe_key) do nothing returning id into v_id;
  return v_id;
end $$;
comment on function private.queue_email(text, uuid, text, text, jsonb) is 'Puts an e-mail in the outbox unless one with that dedupe key is there: null then.';

-- Slugs ----------------------------------------------------------------------------------------------------------

create function private.slug_problem(p_slug text) returns text language sql stable security definer set search_path = '' as $$
  select case
    when p_slug !~ '^[a-z0-9]([a-z0-9-]{1,38}[a-z0-9])$' or p_slug ~ '^..--' then 'slug_invalid'
    when exists (select from private.reserved_slugs where slug = p_slug) then 'slug_reserved'
    when exists (select from public.tenant_slugs where slug = p_slug) then 'slug_taken'
  end
$$;
comment on function private.slug_problem(text) is 'Null when the slug is free; else slug_invalid, slug_reserved or slug_taken.';

create function private.take_slug(p_tenant uuid, p_slug text) returns void
language plpgsql security definer set search_path = '' as $$
begin
  case private.slug_problem(p_slug)
    when 'slug_invalid' then
      perform private.reject(422, 'slug_invalid', 'A subdomain is 3 to 40 lower-case letters, digits and hyphens, and starts and ends with a letter or digit.', 'slug');
    when 'slug_reserved' then
      perform private.reject(422, 'slug_reserved', pg_catalog.format('The subdomain %s is reserved. Choose another.', p_slug), 'slug');
    else null;
  end case;
  update public.tenant_slugs set retired_at = pg_catalog.now() where tenant_id = p_tenant and retired_at is null and slug <> p_slug;
  insert into public.tenant_slugs as s (slug, tenant_id) values (p_slug, p_tenant)
  on conflict (slug) do update set retired_at = null where s.tenant_id = p_tenant;
  if not found then
    perform private.reject(409, 'slug_taken', pg_catalog.format('The subdomain %s is taken. Choose another.', p_slug), 'slug');
  end if;
end $$;

-- Tenant life ----------------------------------------------------------------------------------------------------

create function private.may_become(p_from text, p_to text, p_suspension text default null) returns boolean language sql immutable set search_path = '' as $$
  select (p_from, p_to) in (
    ('pending', 'trial'), ('pending', 'active'), ('pending', 'cancelled'),
    ('trial', 'active'), ('trial', 'suspended'), ('trial', 'cancelled'),
    ('active', 'suspended'), ('active', 'cancelled'),
    ('suspended', 'active'), ('suspended', 'cancelled'),
    ('cancelled', 'active'))
    or p_from = 'suspended' and p_to = 'trial' and p_suspension is not distinct from 'trial_ended'
$$;
comment on function private.may_become(text, text, text) is 'The state machine of a tenant''s life. Who was suspended because its trial ended can have more of it; who was suspended by hand cannot.';

create function private.change_status(p_tenant uuid, p_to text, p_reason text default null) returns void
language plpgsql set search_path = '' as $$
declare v public.tenants;
begin
  select * into v from public.tenants where id = p_tenant for no key update;
  if not found then perform private.reject(404, 'tenant_not_found', 'There is no such tenant.'); end if;
  if v.deleted_at is not null then
    perform private.reject(409, 'tenant_deleted', pg_catalog.format('A tenant that is deleted cannot become %s. Restore it first.', p_to), 'subscription_status');
  end if;
  perform private.check_transition(p_tenant, v.subscription_status, p_to, v.suspension);
  update public.tenants set subscription_status = p_to, status_reason = p_reason where id = p_tenant;
end $$;
comment on function private.change_status(uuid, text, text) is 'A change of status asked for by name: unlike an edit of the column, staying the same is refused too.';

create function private.has_number(p_tenant uuid) returns boolean language sql stable security definer set search_path = '' as $$
  select exists (select from public.phone_numbers where tenant_id = p_tenant and is_primary and status in ('configuring', 'ready'))
$$;

create function private.check_transition(p_tenant uuid, p_from text, p_to text, p_suspension text) returns void
language plpgsql stable security definer set search_path = '' as $$
begin
  if not private.may_become(p_from, p_to, p_suspension) then
    perform private.reject(409, 'illegal_transition', pg_catalog.format('A tenant that is %s%s cannot become %s.', p_from,
      case when p_suspension = 'by_hand' and p_to = 'trial' then ' by hand' end, p_to), 'subscription_status');
  end if;
  if p_to in ('trial', 'active') and not private.has_number(p_tenant) then
    perform private.reject(409, 'no_number', pg_catalog.format('A tenant that is %s cannot become %s without a phone number that we own. Buy one first.', p_from, p_to), 'subscription_status');
  end if;
end $$;
comment on function private.check_transition(uuid, text, text, text) is 'Raises KS409 naming both states when the change is not allowed.';

create function private.announce_live(p_tenant uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare v public.tenants;
begin
  select * into v from public.tenants where id = p_tenant and deleted_at is null and subscription_status in ('trial', 'active');
  if found and exists (select from public.phone_numbers where tenant_id = p_tenant and is_primary and status = 'ready') then
    perform private.queue_email('live', p_tenant, v.owner_email, 'live:' || p_tenant);
  end if;
end $$;
comment on function private.announce_live(uuid) is '"You''re Live!", once, as soon as calls are answered on a number that is ready.';

create function private.open_term(p_tenant uuid, p_at timestamptz) returns void
language plpgsql security definer set search_path = '' as $$
declare t public.tenants; cur public.tenant_plans; p public.plans; v_at timestamptz;
begin
  select * into t from public.tenants where id = p_tenant;
  select * into cur from public.tenant_plans where tenant_id = p_tenant and valid_to is null;
  if found and t.deleted_at is null and (cur.plan_tier, cur.status) = (t.plan_tier, t.subscription_status) then return; end if;
  -- A transaction that began earlier may get here later: terms follow each other all the same.
  select greatest(p_at, pg_catalog.max(coalesce(valid_to, valid_from))) into v_at from public.tenant_plans where tenant_id = p_tenant;
  if cur.id is not null then
    if cur.valid_from >= v_at then
      delete from public.tenant_plans where id = cur.id;
    else
      update public.tenant_plans set valid_to = v_at where id = cur.id;
    end if;
  end if;
  if t.deleted_at is not null then return; end if;
  select * into p from public.plans where tier = t.plan_tier;
  -- A change of status alone keeps the price that was sold; a new plan is sold at today's.
  if cur.id is null then
    select * into cur from public.tenant_plans where tenant_id = p_tenant order by valid_from desc limit 1;
  end if;
  insert into public.tenant_plans (tenant_id, plan_tier, price_cents, monthly_calls, status, valid_from)
  values (p_tenant, t.plan_tier,
          case when cur.plan_tier = t.plan_tier then cur.price_cents else p.price_cents end,
          case when cur.plan_tier = t.plan_tier then cur.monthly_calls else p.monthly_calls end,
          t.subscription_status, v_at);
end $$;

-- Usage ----------------------------------------------------------------------------------------------------------

create function private.period_bounds(p_anchor int, p_zone text, p_at timestamptz, out period_start timestamptz, out period_end timestamptz)
language plpgsql immutable set search_path = '' as $$
declare
  v_month date := pg_catalog.date_trunc('month', p_at at time zone p_zone)::date;
  v_this timestamp;
begin
  v_this := private.anchor_day(v_month, p_anchor);
  if p_at < (v_this at time zone p_zone) then
    v_month := (v_month - interval '1 month')::date;
    v_this := private.anchor_day(v_month, p_anchor);
  end if;
  period_start := v_this at time zone p_zone;
  period_end := private.anchor_day((v_month + interval '1 month')::date, p_anchor)::timestamp at time zone p_zone;
end $$;
comment on function private.period_bounds(int, text, timestamptz) is 'The usage period that holds an instant: anchor day, clamped in short months, at midnight in the tenant''s timezone.';

create function private.anchor_day(p_month date, p_anchor int) returns date language sql immutable set search_path = '' as $$
  select (p_month + (least(p_anchor, extract(day from (p_month + interval '1 month - 1 day'))::int) - 1))::date
$$;

create function private.usage_at(p_tenant uuid, p_at timestamptz) returns public.tenant_usage
language plpgsql security definer set search_path = '' as $$
declare v public.tenant_usage; t record; b record; v_from timestamptz; v_to timestamptz;
begin
  select * into v from public.tenant_usage where tenant_id = p_tenant and period_start <= p_at and period_end > p_at order by period_start desc limit 1;
  if found then return v; end if;
  select billing_anchor, timezone into t from public.tenants where id = p_tenant;
  select pg_catalog.min(period_start) into v_to from public.tenant_usage where tenant_id = p_tenant and period_start > p_at;
  select period_end into v_from from public.tenant_usage where tenant_id = p_tenant and is_current;
  if v_from <= p_at then
    -- From where the chain of periods has got to, one after the other: whether a call or the reset comes first is the same.
    select pg_catalog.max(period_end) into v_from from public.tenant_usage where tenant_id = p_tenant and period_end <= p_at;
  else
    -- A call of long before the tenant's time starts no such chain.
    b := private.period_bounds(t.billing_anchor, t.timezone, p_at);
    select coalesce(pg_catalog.max(period_end), b.period_start) into v_from from public.tenant_usage where tenant_id = p_tenant and period_end > b.period_start and period_end <= p_at;
  end if;
  loop
    -- After a move of anchor or timezone a period starts where the one before ended; a stub of hours joins the next.
    b := private.period_bounds(t.billing_anchor, t.timezone, v_from);
    if b.period_end - v_from < interval '2 days' then
      b.period_end := (private.period_bounds(t.billing_anchor, t.timezone, b.period_end)).period_end;
    end if;
    insert into public.tenant_usage (tenant_id, period_start, period_end) values (p_tenant, v_from, least(b.period_end, v_to))
    on conflict (tenant_id, period_start) do update set updated_at = pg_catalog.now() returning * into v;
    exit when v.period_end > p_at;
    v_from := v.period_end;
  end loop;
  return v;
end $$;
comment on function private.usage_at(uuid, timestamptz) is 'The usage row that holds an instant, opened if need be, as are those between it and the last one there is.';

create function private.count_call() returns trigger language plpgsql security definer set search_path = '' as $$
declare v public.tenant_usage; v_usage uuid := new.usage_id; v_seconds int := new.duration_seconds; v_cost bigint := new.cost_micros; v_first boolean := v_usage is null;
begin
  if private.importing(new.tenant_id) then return null; end if;
  if v_first then
    if new.is_test or new.is_blocked or new.agent_seconds < 1 then return null; end if;
  end if;
  -- Tenant before usage, here and in every other rule: one order of locks, no deadlock with an edit of the tenant.
  perform from public.tenants where id = new.tenant_id for no key update;
  if v_first then
    select u.id into v_usage from private.usage_at(new.tenant_id, new.started_at) u;
  else
    v_seconds := v_seconds - old.duration_seconds;
    v_cost := v_cost - old.cost_micros;
  end if;
  select * into v from public.tenant_usage where id = v_usage for no key update;
  if v.closed_at is not null then
    update public.tenant_usage set late_calls = late_calls + v_first::int, late_seconds = late_seconds + v_seconds, late_cost_micros = late_cost_micros + v_cost,
      updated_at = pg_catalog.now() where id = v_usage and (v_first or (v_seconds, v_cost) <> (0, 0));
  else
    update public.tenant_usage set calls = calls + v_first::int, seconds = seconds + v_seconds, cost_micros = cost_micros + v_cost, updated_at = pg_catalog.now() where id = v_usage;
    if v_first then
      -- The first call of a period shows it, before the reset comes by.
      if not v.is_current and v.period_start <= pg_catalog.now() and pg_catalog.now() < v.period_end then perform private.show_usage(new.tenant_id, v_usage); end if;
      perform private.warn_usage(v_usage);
    end if;
  end if;
  if v_first then update public.call_logs set usage_id = v_usage where id = new.id; end if;
  return null;
end $$;
create trigger count_call after insert or update of agent_seconds, duration_seconds, cost_micros, is_test, is_blocked on public.call_logs
  for each row execute function private.count_call();
comment on function private.count_call() is 'A call counts once, when the agent has answered it, in the period of its start; what is known of it only after the close is noted there as late.';

create function private.project_usage() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if new.is_current then
    perform private.project(new.tenant_id, 'current_month_calls', (new.calls + new.adjusted_calls)::text);
  end if;
  return null;
end $$;

-- A projection writes the brief's column on tenants from its truth. The tenant triggers leave a value that equals its truth alone.
create function private.project(p_tenant uuid, p_column text, p_value text) returns void
language plpgsql security definer set search_path = '' as $$
begin
  case p_column
    when 'current_month_calls' then
      update public.tenants set current_month_calls = greatest(p_value::int, 0) where id = p_tenant and current_month_calls is distinct from greatest(p_value::int, 0);
    when 'twilio_phone_number' then
      update public.tenants set twilio_phone_number = p_value where id = p_tenant and twilio_phone_number is distinct from p_value;
  end case;
end $$;
create trigger project_usage after insert or update of calls, adjusted_calls, is_current on public.tenant_usage for each row execute function private.project_usage();

create function private.adjust_usage() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if private.importing(new.tenant_id) then return null; end if;
  perform from public.tenants where id = new.tenant_id for no key update;
  update public.tenant_usage set adjusted_calls = adjusted_calls + new.calls, updated_at = pg_catalog.now() where id = new.usage_id;
  perform private.warn_usage(new.usage_id);
  return null;
end $$;
create trigger adjust_usage after insert on public.usage_adjustments for each row execute function private.adjust_usage();

-- Numbers --------------------------------------------------------------------------------------------------------

create function private.attach_number(p_tenant uuid, p_number text) returns uuid
language plpgsql security definer set search_path = '' as $$
declare v_id uuid; v_owner uuid;
begin
  select id, tenant_id into v_id, v_owner from public.phone_numbers where phone_number = p_number and released_at is null;
  if v_owner is distinct from p_tenant and v_id is not null then
    perform private.reject(409, 'number_taken', pg_catalog.format('The number %s belongs to another tenant.', p_number), 'twilio_phone_number');
  end if;
  if v_id is null then
    insert into public.phone_numbers (tenant_id, phone_number, is_primary) values (p_tenant, p_number, true) returning id into v_id;
  else
    update public.phone_numbers set is_primary = true, status = case when status in ('not_owned', 'failed') then 'unverified' else status end where id = v_id;
  end if;
  return v_id;
end $$;
comment on function private.attach_number(uuid, text) is 'Makes a number the tenant''s primary one. A number we do not know yet starts unverified, and a job looks at Twilio.';

create function private.record_purchase(p_purchase uuid, p_sid text, p_account text, p_name text, p_webhooks jsonb, p_locality text, p_region text, p_capabilities jsonb, p_cost int) returns uuid
language plpgsql security definer set search_path = '' as $$
declare i public.number_purchases; v_id uuid; v_owner uuid;
begin
  select tenant_id into v_owner from public.number_purchases where id = p_purchase;
  perform from public.tenants where id = v_owner for no key update;
  select * into i from public.number_purchases where id = p_purchase for update;
  if i.state = 'done' then
    return (select id from public.phone_numbers where provider_sid = i.provider_sid and released_at is null);
  end if;
  select id, tenant_id into v_id, v_owner from public.phone_numbers where phone_number = i.phone_number and released_at is null;
  if v_id is not null and v_owner <> i.tenant_id then
    perform private.reject(409, 'number_taken', pg_catalog.format('The number %s belongs to another tenant.', i.phone_number), 'phone_number');
  end if;
  if v_id is null then
    insert into public.phone_numbers (tenant_id, phone_number, status) values (i.tenant_id, i.phone_number, 'configuring') returning id into v_id;
  end if;
  if not private.has_number(i.tenant_id) then
    update public.phone_numbers set is_primary = true where id = v_id;
  end if;
  update public.phone_numbers set status = 'ready', status_reason = null, provider_sid = p_sid, account_sid = p_account, friendly_name = p_name,
    locality = coalesce(p_locality, locality), region = coalesce(p_region, region), capabilities = coalesce(p_capabilities, capabilities),
    monthly_cost_cents = coalesce(p_cost, monthly_cost_cents), webhooks = p_webhooks, webhooks_checked_at = pg_catalog.now(), webhooks_drifted_at = null,
    purchased_at = coalesce(purchased_at, pg_catalog.now()) where id = v_id;
  update public.number_purchases set state = 'done', provider_sid = p_sid, reason = null, finished_at = pg_catalog.now() where id = p_purchase;
  if i.activate then perform private.activate_tenant(i.tenant_id); end if;
  return v_id;
end $$;
comment on function private.record_purchase(uuid, text, text, text, jsonb, text, text, jsonb, int) is 'Ends a purchase: the number, its webhooks, the intent and the activation in one transaction.';

create function private.activate_tenant(p_tenant uuid, p_skip_trial boolean default false) returns void
language plpgsql security definer set search_path = '' as $$
begin
  update public.tenants set subscription_status = case when subscription_status = 'pending' and not p_skip_trial then 'trial' else 'active' end
  where id = p_tenant and deleted_at is null and subscription_status in ('pending', 'suspended', 'cancelled');
end $$;
comment on function private.activate_tenant(uuid, boolean) is 'Pending becomes trial (or active), suspended and cancelled become active; one that is live stays as it is.';

create function private.hold_number(p_tenant uuid, p_number text) returns void
language plpgsql security definer set search_path = '' as $$
begin
  perform from public.tenants where id = p_tenant for no key update;
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('number:' || p_number, 0));
end $$;
comment on function private.hold_number(uuid, text) is 'Until commit, nobody else attaches or orders this number: what is then looked up stays true.';

create function private.number_before() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'DELETE' then
    if old.provider_sid is not null and old.status <> 'released' and exists (select from public.tenants where id = old.tenant_id) then
      perform private.reject(409, 'number_owned', pg_catalog.format('We still pay for %s. Set its status to releasing instead of deleting the row.', old.phone_number), 'phone_number');
    end if;
    return old;
  end if;
  new.updated_at := pg_catalog.now();
  if tg_op = 'INSERT' then
    perform private.hold_number(new.tenant_id, new.phone_number);
    if exists (select from public.number_purchases where phone_number = new.phone_number and state = 'open' and tenant_id <> new.tenant_id) then
      perform private.reject(409, 'number_taken', pg_catalog.format('The number %s is being bought for another tenant.', new.phone_number), 'phone_number');
    end if;
    new.is_primary := new.is_primary or not exists (select from public.phone_numbers where tenant_id = new.tenant_id and is_primary);
  elsif new.phone_number <> old.phone_number or new.tenant_id <> old.tenant_id then
    perform private.reject(409, 'number_fixed', 'A number cannot be renamed or moved. Release it, or add another.', 'phone_number');
  end if;
  if new.status = 'released' then new.is_primary := false; end if;
  new.released_at := case when new.status = 'released' then coalesce(new.released_at, pg_catalog.now()) end;
  if new.is_primary then
    update public.phone_numbers set is_primary = false where tenant_id = new.tenant_id and is_primary and id <> new.id;
  end if;
  return new;
end $$;
create trigger number_before before insert or update or delete on public.phone_numbers for each row execute function private.number_before();

create function private.number_after() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'DELETE' then
    if exists (select from public.tenants where id = old.tenant_id) then
      perform private.project(old.tenant_id, 'twilio_phone_number', (select phone_number from public.phone_numbers where tenant_id = old.tenant_id and is_primary));
      perform private.announce('tenant', old.tenant_id, old.tenant_id);
    end if;
    return null;
  end if;
  if tg_op = 'INSERT' or (old.is_primary, old.status) is distinct from (new.is_primary, new.status) then
    if new.status = 'unverified' and (tg_op = 'INSERT' or old.status <> 'unverified') then
      perform private.enqueue('number_verify', new.tenant_id, new.id);
    end if;
    if new.status = 'releasing' and tg_op = 'UPDATE' and old.status <> 'releasing' then
      perform private.enqueue('number_release', new.tenant_id, new.id);
    end if;
    perform private.project(new.tenant_id, 'twilio_phone_number', (select phone_number from public.phone_numbers where tenant_id = new.tenant_id and is_primary));
    perform private.announce('tenant', new.tenant_id, new.tenant_id);
    if new.is_primary and new.status = 'ready' then perform private.announce_live(new.tenant_id); end if;
    perform private.emit(new.tenant_id, new.id, 'number.' || new.status, pg_catalog.jsonb_build_object('phone_number', new.phone_number));
  end if;
  return null;
end $$;
create trigger number_after after insert or update or delete on public.phone_numbers for each row execute function private.number_after();

create function private.purchase_before() returns trigger language plpgsql security definer set search_path = '' as $$
declare v_owner uuid; v_status text;
begin
  if tg_op = 'UPDATE' and (new.state <> 'open' or (new.phone_number, new.state) is not distinct from (old.phone_number, old.state)) then return new; end if;
  if new.phone_number is not null then
    perform private.hold_number(new.tenant_id, new.phone_number);
    select tenant_id, status into v_owner, v_status from public.phone_numbers where phone_number = new.phone_number and released_at is null;
    if v_owner is not null and (v_owner <> new.tenant_id or v_status in ('configuring', 'ready', 'releasing')) then
      perform private.reject(409, 'number_taken', pg_catalog.format('The number %s is already owned by %s.', new.phone_number,
        case when v_owner = new.tenant_id then 'this tenant' else 'another tenant' end), 'phone_number');
    end if;
  end if;
  if tg_op = 'UPDATE' then return new; end if;
  perform from public.tenants where id = new.tenant_id for no key update;
  if exists (select from public.tenants where id = new.tenant_id and (deleted_at is not null or subscription_status = 'cancelled')) then
    perform private.reject(409, 'tenant_closed', 'This tenant is cancelled or deleted. Restore it before buying a number.', 'tenant_id');
  end if;
  new.job_id := private.enqueue('number_purchase', new.tenant_id, new.id);
  return new;
end $$;
create trigger purchase_before before insert or update of phone_number, state on public.number_purchases for each row execute function private.purchase_before();

create function private.email_after() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform private.enqueue('email_send', new.tenant_id, new.id);
  return null;
end $$;
create trigger email_after after insert on public.email_log for each row execute function private.email_after();
