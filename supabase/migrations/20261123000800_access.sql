-- Who may read and write what. Three fences, each enough alone: column grants, permissive policies by live membership,
-- and one restrictive policy that narrows to the host's tenant. The same holds for PostgREST and Studio's role switcher.

-- Live look-ups ---------------------------------------------------------------------------------------------------

create function private.readable_tenants() returns uuid[] language plpgsql stable security definer set search_path = '' as $$
begin
  return array(
    select m.tenant_id from public.tenant_users m join public.tenants t on t.id = m.tenant_id
    where m.user_id = (nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid and t.deleted_at is null
      and (t.access_ends_at is null or t.access_ends_at > pg_catalog.statement_timestamp()));
end $$;
comment on function private.readable_tenants() is 'Tenants the token''s person is a member of, now; a cancelled one until its period has ended.';

create function private.writable_tenants(p_role public.member_role) returns uuid[] language plpgsql stable security definer set search_path = '' as $$
begin
  return array(
    select m.tenant_id from public.tenant_users m join public.tenants t on t.id = m.tenant_id
    where m.user_id = (nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
      and m.role >= p_role and t.deleted_at is null and t.subscription_status not in ('suspended', 'cancelled'));
end $$;
comment on function private.writable_tenants(public.member_role) is 'Tenants in which the token''s person has at least that role, now; suspended and cancelled ones can only be read.';

create function private.key_tenants(p_scope text) returns uuid[] language plpgsql stable security definer set search_path = '' as $$
begin
  if private.setting('view_id') is not null then return private.view_tenants(p_scope); end if;
  return array(
    select k.tenant_id from public.tenant_api_keys k join public.tenants t on t.id = k.tenant_id
    where k.id = nullif(pg_catalog.current_setting('kestrel.key_id', true), '')::uuid and (p_scope = 'read' or p_scope = any (k.scopes)) and k.revoked_at is null
      and (k.expires_at is null or k.expires_at > pg_catalog.statement_timestamp()) and t.deleted_at is null
      and (t.access_ends_at is null or t.access_ends_at > pg_catalog.statement_timestamp())
      and (p_scope = 'read' or t.subscription_status not in ('suspended', 'cancelled')));
end $$;
comment on function private.key_tenants(text) is 'The tenant of the scope''s API key, or of its view, if that is good for it, now. Writing includes reading.';

grant execute on function private.readable_tenants(), private.writable_tenants(public.member_role) to authenticated;
grant execute on function private.key_tenants(text) to kestrel_key;
grant execute on function private.store_key_hash(uuid, bytea) to authenticated, kestrel_admin;
grant execute on function private.slug_problem(text), private.change_status(uuid, text, text), private.check_transition(uuid, text, text, text), private.may_become(text, text, text) to kestrel_admin;
grant execute on all functions in schema private to service_role;
grant execute on function private.actor() to anon, authenticated, kestrel_key, kestrel_admin;
grant select, insert, update, delete on all tables in schema private to service_role;

-- Row-level security on every table --------------------------------------------------------------------------------

do $$
declare t text; col text;
begin
  for t in select c.relname from pg_catalog.pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' loop
    execute format('alter table public.%I enable row level security', t);
    execute format('revoke all on public.%I from public, anon, authenticated, service_role', t);
    execute format('grant select, insert, update, delete on public.%I to service_role', t);
  end loop;
  for t in select c.relname from pg_catalog.pg_class c where c.relnamespace = 'private'::regnamespace and c.relkind = 'r' loop
    execute format('alter table private.%I enable row level security', t);
  end loop;

  -- A tenant's data: members and keys read their own, platform admins all, each held to the host's tenant where one is set.
  foreach t in array array['tenants', 'tenant_slugs', 'tenant_plans', 'tenant_users', 'tenant_usage', 'usage_adjustments', 'tenant_api_keys',
    'phone_numbers', 'number_purchases', 'contacts', 'call_logs', 'call_turns', 'appointments', 'messages', 'agent_versions',
    'jobs', 'events', 'activity_log', 'email_log'] loop
    col := case when t = 'tenants' then 'id' else 'tenant_id' end;
    execute format('create policy admin_all on public.%I for all to kestrel_admin using (true) with check (true)', t);
    execute format('create policy host_tenant on public.%I as restrictive for all to anon, authenticated, kestrel_key, kestrel_admin '
      || 'using ((select private.host_tenant()) is null or %I = (select private.host_tenant()))', t, col);
    execute format('grant select on public.%I to kestrel_admin', t);
    if t <> 'email_log' then
      execute format('create policy member_read on public.%I for select to authenticated using (%I = any ((select private.readable_tenants())::uuid[]))', t, col);
      execute format('create policy key_read on public.%I for select to kestrel_key using (%I = any ((select private.key_tenants(''read''))::uuid[]))', t, col);
      execute format('grant select on public.%I to authenticated, kestrel_key', t);
    end if;
  end loop;
end $$;

create policy anyone_read on public.plans for select to anon, authenticated, kestrel_key, kestrel_admin using (true);
create policy admin_update on public.plans for update to kestrel_admin using (true) with check (true);
grant select on public.plans to anon, authenticated, kestrel_key, kestrel_admin;
grant update (name, price_cents, monthly_calls, description, position, is_offered) on public.plans to kestrel_admin;

create policy admin_all on public.platform_admins for all to kestrel_admin using (true) with check (true);
create policy host_tenant on public.platform_admins as restrictive for all to kestrel_admin using ((select private.host_tenant()) is null);
create policy host_tenant on public.plans as restrictive for update to kestrel_admin using ((select private.host_tenant()) is null);
grant select, insert (email, granted_by), delete on public.platform_admins to kestrel_admin;

-- What each role may write, column by column. All else is 42501.

create policy member_update on public.tenants for update to authenticated
  using (id = any ((select private.writable_tenants('admin'))::uuid[])) with check (id = any ((select private.writable_tenants('admin'))::uuid[]));
create policy key_update on public.tenants for update to kestrel_key
  using (id = any ((select private.key_tenants('write'))::uuid[])) with check (id = any ((select private.key_tenants('write'))::uuid[]));
grant update (company_name, owner_name, owner_phone, industry, forward_to_number, timezone, brand_color, logo_path) on public.tenants to authenticated, kestrel_key;
grant insert (slug, company_name, owner_name, owner_email, owner_phone, industry, plan_tier, subscription_status, twilio_phone_number, forward_to_number,
    max_monthly_calls, timezone, billing_anchor, brand_color, trial_ends_at, terms_version, terms_accepted_at),
  update (slug, company_name, owner_name, owner_email, owner_phone, industry, plan_tier, subscription_status, status_reason, twilio_phone_number, forward_to_number,
    max_monthly_calls, current_month_calls, timezone, billing_anchor, brand_color, logo_path, trial_ends_at, deleted_at)
  on public.tenants to kestrel_admin;

-- Nobody is added here: who joins has accepted an invitation.
create policy member_update on public.tenant_users for update to authenticated
  using (tenant_id = any ((select private.writable_tenants('admin'))::uuid[]) and user_id is distinct from (select auth.uid())
    and (role < 'admin' or tenant_id = any ((select private.writable_tenants('owner'))::uuid[])))
  with check (tenant_id = any ((select private.writable_tenants('admin'))::uuid[]) and user_id is distinct from (select auth.uid())
    and (role < 'admin' or tenant_id = any ((select private.writable_tenants('owner'))::uuid[])));
create policy member_delete on public.tenant_users for delete to authenticated
  using (tenant_id = any ((select private.writable_tenants('admin'))::uuid[])
    and (role < 'admin' or tenant_id = any ((select private.writable_tenants('owner'))::uuid[])));
grant update (role), delete on public.tenant_users to authenticated, kestrel_admin;

create policy member_insert on public.tenant_api_keys for insert to authenticated
  with check (tenant_id = any ((select private.writable_tenants('admin'))::uuid[]));
create policy member_update on public.tenant_api_keys for update to authenticated
  using (tenant_id = any ((select private.writable_tenants('admin'))::uuid[])) with check (tenant_id = any ((select private.writable_tenants('admin'))::uuid[]));
grant insert (tenant_id, name, prefix, scopes, expires_at, created_by), update (name, revoked_at) on public.tenant_api_keys to authenticated, kestrel_admin;

do $$
declare
  t text;
  member text := '(tenant_id = any ((select private.writable_tenants(''member''))::uuid[]))';
  key text := '(tenant_id = any ((select private.key_tenants(''write''))::uuid[]))';
begin
  foreach t in array array['contacts', 'appointments'] loop
    execute format('create policy member_insert on public.%I for insert to authenticated with check ', t) || member;
    execute format('create policy member_update on public.%I for update to authenticated using ', t) || member || ' with check ' || member;
    execute format('create policy key_insert on public.%I for insert to kestrel_key with check ', t) || key;
    execute format('create policy key_update on public.%I for update to kestrel_key using ', t) || key || ' with check ' || key;
  end loop;
end $$;
grant insert (tenant_id, phone_number, name, email, address, notes, is_blocked), update (name, email, address, notes, is_blocked)
  on public.contacts to authenticated, kestrel_key, kestrel_admin;
grant insert (tenant_id, contact_id, starts_at, ends_at, lane, service, customer_name, customer_phone, address, notes, idempotency_key),
  update (starts_at, ends_at, lane, status, service, customer_name, customer_phone, address, notes)
  on public.appointments to authenticated, kestrel_key, kestrel_admin;

-- Platform admins order work; jobs do it.
grant insert (tenant_id, phone_number, area_code, friendly_name, activate, requested_by) on public.number_purchases to kestrel_admin;
grant update (is_primary, status, status_reason) on public.phone_numbers to kestrel_admin;
grant insert (tenant_id, usage_id, calls, reason, actor) on public.usage_adjustments to kestrel_admin;

-- Signing in ------------------------------------------------------------------------------------------------------

create function private.link_person(p_user uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare v_email text;
begin
  select pg_catalog.lower(email) into v_email from auth.users where id = p_user and email_confirmed_at is not null;
  if v_email is null then return; end if;
  perform pg_catalog.set_config('kestrel.actor', 'person:' || p_user, true), pg_catalog.set_config('kestrel.actor_label', v_email, true);
  update public.tenant_users m set user_id = p_user where email = v_email and user_id is null
    and not exists (select from public.tenant_users o where o.tenant_id = m.tenant_id and o.user_id = p_user);
  update public.platform_admins set user_id = p_user where email = v_email and user_id is null
    and not exists (select from public.platform_admins o where o.user_id = p_user);
end $$;
comment on function private.link_person(uuid) is 'Gives a person with a confirmed address the memberships and powers granted to that address. Only Auth''s own confirmation counts: a token''s e-mail claim does not.';
grant execute on function private.link_person(uuid) to service_role;
