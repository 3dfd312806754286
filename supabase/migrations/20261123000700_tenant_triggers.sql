-- A tenant row, whoever writes it: normalised, kept to the rules, its projections turned into their truths, its consequences set going.

create function private.is_timezone(p_name text) returns boolean language sql stable set search_path = '' as $$
  select case
    when p_name ~ '^(posix|right|localtime|Factory)' then false
    when p_name in ('UTC', 'America/New_York') or exists (select from public.tenants where timezone = p_name) then true
    else exists (select from pg_catalog.pg_timezone_names where name = p_name) -- reads 600 files
  end
$$;
comment on function private.is_timezone(text) is 'Whether it is an IANA name, which Go and browsers know as well as Postgres.';

create function private.tenant_before_insert() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  new.slug := pg_catalog.lower(pg_catalog.btrim(new.slug));
  new.owner_email := pg_catalog.lower(pg_catalog.btrim(new.owner_email));
  new.company_name := pg_catalog.btrim(new.company_name);
  new.industry := pg_catalog.lower(pg_catalog.btrim(coalesce(nullif(new.industry, ''), 'generic')));
  new.owner_phone := nullif(pg_catalog.btrim(new.owner_phone), '');
  new.twilio_phone_number := nullif(pg_catalog.btrim(new.twilio_phone_number), '');
  new.forward_to_number := nullif(pg_catalog.btrim(new.forward_to_number), '');
  if not private.is_timezone(new.timezone) then
    perform private.reject(422, 'timezone_unknown', pg_catalog.format('%s is not a timezone. Use a name like America/New_York.', new.timezone), 'timezone');
  end if;
  new.billing_anchor := coalesce(new.billing_anchor, extract(day from pg_catalog.now() at time zone new.timezone));
  new.call_limit_override := coalesce(new.max_monthly_calls, new.call_limit_override);
  new.max_monthly_calls := coalesce(new.call_limit_override, (select monthly_calls from public.plans where tier = new.plan_tier));
  new.is_active := new.deleted_at is null and new.subscription_status in ('trial', 'active');
  if new.subscription_status in ('trial', 'active') then new.activated_at := coalesce(new.activated_at, pg_catalog.now()); end if;
  if new.subscription_status = 'trial' then new.trial_ends_at := coalesce(new.trial_ends_at, pg_catalog.now() + interval '14 days'); end if;
  if new.subscription_status = 'suspended' then new.suspended_at := coalesce(new.suspended_at, pg_catalog.now()); end if;
  new.suspension := case when new.subscription_status = 'suspended' then coalesce(new.suspension, 'by_hand') end;
  if new.subscription_status = 'cancelled' then new.cancelled_at := coalesce(new.cancelled_at, pg_catalog.now()); end if;
  return new;
end $$;
create trigger tenant_before_insert before insert on public.tenants for each row execute function private.tenant_before_insert();

create function private.tenant_after_insert() returns trigger language plpgsql security definer set search_path = '' as $$
declare v_usage uuid;
begin
  perform private.take_slug(new.id, new.slug);
  insert into public.tenant_users (tenant_id, email, role) values (new.id, new.owner_email, 'owner');
  perform private.open_term(new.id, pg_catalog.now());
  if not private.importing(new.id) then -- brings its own periods
    v_usage := (private.usage_at(new.id, pg_catalog.now())).id;
    if new.current_month_calls > 0 then
      insert into public.usage_adjustments (tenant_id, usage_id, calls, reason, actor) values (new.id, v_usage, new.current_month_calls, 'Given at creation.', private.actor());
    end if;
    perform private.show_usage(new.id, v_usage);
  end if;
  if new.twilio_phone_number is not null then perform private.attach_number(new.id, new.twilio_phone_number); end if;
  perform private.enqueue('tenant_created', new.id, new.id);
  if new.forward_to_number is not null then perform private.enqueue('fallback_publish', new.id, new.id); end if;
  perform private.emit(new.id, new.id, 'tenant.created', pg_catalog.jsonb_build_object('slug', new.slug, 'status', new.subscription_status));
  perform private.announce('tenant', new.id, new.id);
  return null;
end $$;
create trigger tenant_after_insert after insert on public.tenants for each row execute function private.tenant_after_insert();

create function private.tenant_before_update() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  new.twilio_phone_number := nullif(pg_catalog.btrim(new.twilio_phone_number), '');
  -- The counter moves with every call: that is not an edit.
  if pg_catalog.to_jsonb(new) - 'current_month_calls' = pg_catalog.to_jsonb(old) - 'current_month_calls' then return new; end if;
  new.owner_phone := nullif(pg_catalog.btrim(new.owner_phone), '');
  new.forward_to_number := nullif(pg_catalog.btrim(new.forward_to_number), '');
  new.billing_anchor := coalesce(new.billing_anchor, old.billing_anchor);
  new.updated_at := pg_catalog.now();
  new.slug := pg_catalog.lower(pg_catalog.btrim(new.slug));
  new.owner_email := pg_catalog.lower(pg_catalog.btrim(new.owner_email));
  new.company_name := pg_catalog.btrim(new.company_name);
  new.industry := pg_catalog.lower(pg_catalog.btrim(coalesce(nullif(new.industry, ''), 'generic')));
  if new.timezone <> old.timezone and not private.is_timezone(new.timezone) then
    perform private.reject(422, 'timezone_unknown', pg_catalog.format('%s is not a timezone. Use a name like America/New_York.', new.timezone), 'timezone');
  end if;
  if new.is_active <> old.is_active and new.subscription_status = old.subscription_status and new.deleted_at is not distinct from old.deleted_at then
    new.subscription_status := case when new.is_active then 'active' else 'suspended' end;
  end if;
  if new.subscription_status <> old.subscription_status then
    if old.deleted_at is not null and new.deleted_at is not null then
      perform private.reject(409, 'tenant_deleted', pg_catalog.format('A tenant that is deleted cannot become %s. Restore it first.', new.subscription_status), 'subscription_status');
    end if;
    perform private.check_transition(new.id, old.subscription_status, new.subscription_status, old.suspension);
    if (old.subscription_status, new.subscription_status) = ('suspended', 'trial') and new.trial_ends_at is not distinct from old.trial_ends_at then
      perform private.reject(422, 'trial_end_missing', 'A trial that has ended needs a new end. Set trial_ends_at together with the status.', 'trial_ends_at');
    end if;
    if new.subscription_status in ('trial', 'active') then new.activated_at := coalesce(new.activated_at, pg_catalog.now()); end if;
    if new.subscription_status = 'trial' then new.trial_ends_at := coalesce(new.trial_ends_at, pg_catalog.now() + interval '14 days'); end if;
    new.suspended_at := case when new.subscription_status = 'suspended' then pg_catalog.now() end;
    new.cancelled_at := case when new.subscription_status = 'cancelled' then pg_catalog.now() end;
    new.access_ends_at := case when new.subscription_status = 'cancelled' then (private.usage_at(new.id, pg_catalog.now())).period_end end;
    if new.status_reason is not distinct from old.status_reason then new.status_reason := null; end if;
  end if;
  new.suspension := case when new.subscription_status = 'suspended' then coalesce(new.suspension, old.suspension, 'by_hand') end;
  new.is_active := new.deleted_at is null and new.subscription_status in ('trial', 'active');
  if new.max_monthly_calls is distinct from old.max_monthly_calls then new.call_limit_override := new.max_monthly_calls; end if;
  new.max_monthly_calls := coalesce(new.call_limit_override, case
    when new.plan_tier = old.plan_tier then (select monthly_calls from public.tenant_plans where tenant_id = new.id order by valid_from desc limit 1) end,
    (select monthly_calls from public.plans where tier = new.plan_tier));
  return new;
end $$;
create trigger tenant_before_update before update on public.tenants for each row execute function private.tenant_before_update();

create function private.tenant_after_update() returns trigger language plpgsql security definer set search_path = '' as $$
declare n record;
begin
  -- A value that equals its truth was projected from it; any other was typed.
  if new.current_month_calls <> old.current_month_calls then
    insert into public.usage_adjustments (tenant_id, usage_id, calls, actor)
    select new.id, u.id, new.current_month_calls - (u.calls + u.adjusted_calls), private.actor()
    from private.shown_usage(new.id) u where new.current_month_calls <> greatest(u.calls + u.adjusted_calls, 0);
  end if;
  if new.slug <> old.slug then
    perform private.take_slug(new.id, new.slug);
    for n in select id from public.phone_numbers where tenant_id = new.id and status in ('configuring', 'ready') loop
      perform private.enqueue('webhook_configure', new.id, n.id);
    end loop;
  end if;
  if new.twilio_phone_number is distinct from old.twilio_phone_number then
    if new.twilio_phone_number is null then
      update public.phone_numbers set is_primary = false where tenant_id = new.id and is_primary;
    elsif not exists (select from public.phone_numbers where tenant_id = new.id and is_primary and phone_number = new.twilio_phone_number) then
      perform private.attach_number(new.id, new.twilio_phone_number);
    end if;
  end if;
  if (new.plan_tier, new.subscription_status, new.deleted_at is null) is distinct from (old.plan_tier, old.subscription_status, old.deleted_at is null) then
    perform private.open_term(new.id, pg_catalog.now());
  end if;
  if new.subscription_status <> old.subscription_status then
    perform private.emit(new.id, new.id, 'tenant.' || new.subscription_status, pg_catalog.jsonb_build_object('from', old.subscription_status));
    perform private.announce_live(new.id);
  end if;
  if (new.deleted_at is null) <> (old.deleted_at is null) then
    perform private.emit(new.id, new.id, case when new.deleted_at is null then 'tenant.restored' else 'tenant.deleted' end);
  end if;
  if new.forward_to_number is distinct from old.forward_to_number then perform private.enqueue('fallback_publish', new.id, new.id); end if;
  if new.max_monthly_calls is distinct from old.max_monthly_calls then perform private.warn_usage((private.shown_usage(new.id)).id); end if;
  if (new.slug, new.company_name, new.subscription_status, new.deleted_at, new.forward_to_number, new.timezone, new.access_ends_at)
     is distinct from (old.slug, old.company_name, old.subscription_status, old.deleted_at, old.forward_to_number, old.timezone, old.access_ends_at) then
    perform private.announce('tenant', new.id, new.id);
  end if;
  return null;
end $$;
create trigger tenant_after_update after update on public.tenants for each row execute function private.tenant_after_update();

create function private.tenant_before_delete() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if private.setting('purge') = old.id::text and old.deleted_at is not null then return old; end if;
  update public.tenants set deleted_at = coalesce(deleted_at, pg_catalog.now()) where id = old.id;
  return null;
end $$;
create trigger tenant_before_delete before delete on public.tenants for each row execute function private.tenant_before_delete();
comment on function private.tenant_before_delete() is 'A delete marks the row instead; only the purge job, naming the tenant in kestrel.purge, removes it.';

create function private.slug_after() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform private.announce('tenant', old.tenant_id, old.tenant_id);
  return null;
end $$;
create trigger slug_after after update or delete on public.tenant_slugs for each row execute function private.slug_after();

create function private.tenant_fixed() returns trigger language plpgsql set search_path = '' as $$
begin
  perform private.reject(409, 'tenant_fixed', 'A row cannot be moved to another tenant. Add it there, and remove it here.', 'tenant_id');
  return null;
end $$;
comment on function private.tenant_fixed() is 'What belongs to one tenant stays with it: a member, a key or a call moved by mistake would open one customer''s data to another.';
do $$
declare t text;
begin
  for t in select c.relname from pg_catalog.pg_class c join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
           where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' loop
    execute format('create trigger tenant_fixed before update of tenant_id on public.%I for each row when (old.tenant_id is distinct from new.tenant_id) execute function private.tenant_fixed()', t);
  end loop;
end $$;

-- Members, keys, admins ------------------------------------------------------------------------------------------

create function private.member_before() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op <> 'DELETE' then
    new.email := pg_catalog.lower(pg_catalog.btrim(new.email));
    new.updated_at := pg_catalog.now();
  end if;
  if tg_op <> 'INSERT' and old.role = 'owner' and (tg_op = 'DELETE' or new.role <> 'owner') then
    -- Two owners leaving at once wait for each other here, and the second then sees that it is the last.
    perform from public.tenants where id = old.tenant_id for no key update;
    if found and not exists (select from public.tenant_users where tenant_id = old.tenant_id and role = 'owner' and id <> old.id) then
      perform private.reject(409, 'last_owner', 'A tenant needs an owner. Make somebody else owner first.', 'role');
    end if;
  end if;
  return case when tg_op = 'DELETE' then old else new end;
end $$;
create trigger member_before before insert or update or delete on public.tenant_users for each row execute function private.member_before();

create function private.member_after() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op <> 'INSERT' and old.user_id is not null then perform private.announce('member', old.user_id, old.tenant_id); end if;
  if tg_op <> 'DELETE' and new.user_id is not null then perform private.announce('member', new.user_id, new.tenant_id); end if;
  return null;
end $$;
create trigger member_after after insert or update or delete on public.tenant_users for each row execute function private.member_after();

create function private.key_before() returns trigger language plpgsql set search_path = '' as $$
begin
  if old.revoked_at is not null and new.revoked_at is null then
    perform private.reject(409, 'key_revoked', 'A key that was revoked stays revoked. Make a new one.', 'revoked_at');
  end if;
  return new;
end $$;
create trigger key_before before update on public.tenant_api_keys for each row execute function private.key_before();

create function private.key_after() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'DELETE' or (new.revoked_at, new.expires_at, new.scopes, new.name) is distinct from (old.revoked_at, old.expires_at, old.scopes, old.name) then
    perform private.announce('key', old.id, old.tenant_id);
  end if;
  return null;
end $$;
create trigger key_after after update or delete on public.tenant_api_keys for each row execute function private.key_after();

create function private.admin_before() returns trigger language plpgsql set search_path = '' as $$
begin
  new.email := pg_catalog.lower(pg_catalog.btrim(new.email));
  return new;
end $$;
create trigger admin_before before insert or update on public.platform_admins for each row execute function private.admin_before();

create function private.admin_after() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform private.announce('admin', coalesce((case when tg_op = 'DELETE' then old.user_id else new.user_id end), '00000000-0000-0000-0000-000000000000'));
  return null;
end $$;
create trigger admin_after after insert or update or delete on public.platform_admins for each row execute function private.admin_after();

create function private.store_key_hash(p_key uuid, p_hash bytea) returns void
language plpgsql security definer set search_path = '' as $$
begin
  insert into private.api_key_hashes (hash, key_id)
  select p_hash, id from public.tenant_api_keys where id = p_key and xmin = pg_catalog.pg_current_xact_id()::xid;
  if not found then
    perform private.reject(403, 'key_not_new', 'A key''s hash is stored with the key or not at all.');
  end if;
end $$;
comment on function private.store_key_hash(uuid, bytea) is 'Stores the hash of a key made in this very transaction, so whoever may make the key may store its hash and nobody may change one.';

-- Activity -------------------------------------------------------------------------------------------------------

create function private.actor() returns text language sql stable set search_path = '' as $$
  select coalesce(private.setting('actor'), 'person:' || (nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'), 'login:' || session_user)
$$;
comment on function private.actor() is 'Who acts: the scope''s word, else the token''s person, else the database login (Studio).';

create function private.masked(p_field text, p_value jsonb) returns jsonb language plpgsql immutable set search_path = '' as $$
begin
  return case
    when p_value is null or p_value = 'null' then p_value
    when p_field ~* 'secret|password|passcode|credential|private_?key|api_?key$|token$|(^|[._])hash$|(^|[.])authorization$'
      or p_field in ('email_log.params', 'email_log.html', 'email_log.text', 'tenant_notes.body') then '"•••"'
    when pg_catalog.jsonb_typeof(p_value) = 'object' then (select coalesce(pg_catalog.jsonb_object_agg(key, private.masked(key, value)), '{}') from pg_catalog.jsonb_each(p_value))
    when pg_catalog.jsonb_typeof(p_value) = 'array' then (select coalesce(pg_catalog.jsonb_agg(private.masked(p_field, value)), '[]') from pg_catalog.jsonb_array_elements(p_value))
    else p_value end;
end $$;
comment on function private.masked(text, jsonb) is 'The value as the activity log may show it. The one list of what is secret: by the name of the field, of its table on top, at any depth.';

create function private.log_activity() returns trigger language plpgsql security definer set search_path = '' as $$
declare
  b jsonb := case when tg_op = 'INSERT' then '{}' else pg_catalog.to_jsonb(old) end;
  a jsonb := case when tg_op = 'DELETE' then '{}' else pg_catalog.to_jsonb(new) end;
  diff jsonb;
  v_tenant uuid;
  v_op text;
begin
  select pg_catalog.jsonb_object_agg(key, pg_catalog.jsonb_build_array(private.masked(tg_table_name || '.' || key, b -> key), private.masked(tg_table_name || '.' || key, a -> key))) into diff
  from pg_catalog.jsonb_object_keys(b || a) key
  where b -> key is distinct from a -> key
    and key not in ('updated_at', 'created_at', 'last_used_at', 'current_month_calls', 'is_current', 'webhooks_checked_at', 'webhooks')
    and not (tg_op <> 'UPDATE' and coalesce(nullif(b -> key, 'null'), nullif(a -> key, 'null')) is null);
  if diff is null then return null; end if;
  if tg_table_name = 'plans' then diff := diff || pg_catalog.jsonb_build_object('tier', pg_catalog.jsonb_build_array(b -> 'tier', a -> 'tier')); end if;
  v_tenant := case when tg_table_name = 'tenants' then coalesce(a ->> 'id', b ->> 'id') else coalesce(a ->> 'tenant_id', b ->> 'tenant_id') end;
  if tg_op = 'DELETE' and v_tenant is not null and not exists (select from public.tenants where id = v_tenant) then return null; end if;
  if private.setting('purge') = v_tenant::text then return null; end if; -- what is being forgotten is not logged
  if tg_table_name <> 'tenants' and private.importing(v_tenant) then return null; end if; -- nor is what somebody did elsewhere
  if tg_table_name = 'tenant_notes' then v_tenant := null; end if; -- the platform's own: the tenant's log does not tell of it
  if tg_table_name = 'tenants' and tg_op = 'UPDATE' then
    v_op := case
      when diff ? 'deleted_at' then case when a ->> 'deleted_at' is null then 'restored' else 'deleted' end
      when diff ? 'subscription_status' then a ->> 'subscription_status'
      else 'updated' end;
  else
    v_op := case tg_op when 'INSERT' then coalesce(tg_argv[1], 'created') when 'UPDATE' then coalesce(tg_argv[2], 'updated') else 'deleted' end;
  end if;
  insert into public.activity_log (tenant_id, actor, actor_label, action, table_name, record_id, changes, request_id)
  values (v_tenant, private.actor(), coalesce(private.setting('actor_label'), nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'email', session_user),
          tg_argv[0] || '.' || v_op, tg_table_name, coalesce(a ->> 'id', b ->> 'id')::uuid, diff, private.setting('request_id'));
  return null;
end $$;
comment on function private.log_activity() is 'Writes one activity row per changed record, with before and after. Arguments: the noun of the action; its verbs for insert and update, if they are not created and updated.';
create trigger log_activity after insert or update or delete on public.tenants for each row execute function private.log_activity('tenant');
create trigger log_activity after insert or update or delete on public.tenant_users for each row execute function private.log_activity('member');
create trigger log_activity after insert or update or delete on public.tenant_api_keys for each row execute function private.log_activity('api_key');
create trigger log_activity after insert or update or delete on public.phone_numbers for each row execute function private.log_activity('number');
create trigger log_activity after insert on public.number_purchases for each row execute function private.log_activity('purchase');
create trigger log_activity after insert or update or delete on public.plans for each row execute function private.log_activity('plan');
create trigger log_activity after insert or update or delete on public.platform_admins for each row execute function private.log_activity('platform_admin');
create trigger log_activity after insert or update or delete on public.appointments for each row execute function private.log_activity('appointment');
create trigger log_activity after insert or update or delete on public.contacts for each row execute function private.log_activity('contact');
create trigger log_activity after insert or update or delete on public.agent_versions for each row execute function private.log_activity('agent');
create trigger log_activity after insert or update or delete on public.usage_adjustments for each row execute function private.log_activity('usage_adjustment');

create function private.touch() returns trigger language plpgsql set search_path = '' as $$
begin
  new.updated_at := pg_catalog.now();
  return new;
end $$;
create trigger touch before update on public.plans for each row execute function private.touch();
create trigger touch before update on public.contacts for each row execute function private.touch();
create trigger touch before update on public.appointments for each row execute function private.touch();
create trigger touch before update on public.call_logs for each row execute function private.touch();
create trigger touch before update on public.messages for each row execute function private.touch();
create trigger touch before update on public.agent_versions for each row execute function private.touch();
