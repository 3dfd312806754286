-- The receptionist's versions: one draft, one published, older ones kept. Every new tenant has version 1 published; what
-- its settings leave out, the server fills with the industry's defaults.

create unique index agent_versions_draft_key on public.agent_versions (tenant_id) where state = 'draft';
alter table public.agent_versions add constraint agent_versions_settings_object check (jsonb_typeof(settings) = 'object' and pg_column_size(settings) < 500000);
comment on column public.agent_versions.version is 'Counts up per tenant. Leave empty for the next.';
comment on column public.agent_versions.state is 'draft, published or archived. Publishing one archives the one before.';
comment on column public.agent_versions.settings is 'Greeting, hours, services, booking rules… What is left out is as usual in the industry.';

create function private.may_change(p_tenant uuid, p_role public.member_role) returns void
language plpgsql stable security definer set search_path = '' as $$
begin
  if p_tenant is distinct from coalesce(private.host_tenant(), p_tenant) or not (case pg_catalog.current_setting('role')
    when 'authenticated' then p_tenant = any (private.writable_tenants(p_role))
    when 'kestrel_key' then p_role <= 'member' and p_tenant = any (private.key_tenants('write'))
    when 'anon' then false
    else true end)
  then raise insufficient_privilege; end if;
end $$;
comment on function private.may_change(uuid, public.member_role) is 'Refuses, with 42501, who may not change what people of that role may change in the tenant. For functions that write what the caller''s grants do not reach.';

create function private.agent_before() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'DELETE' then
    if old.state = 'published' and exists (select from public.tenants where id = old.tenant_id) then
      perform private.reject(409, 'agent_published', 'Callers hear this version. Publish another one first.', 'state');
    end if;
    return old;
  end if;
  if private.importing(new.tenant_id) then return new; end if;
  perform from public.tenants where id = new.tenant_id for no key update;
  if tg_op = 'INSERT' then
    new.version := coalesce(new.version, (select pg_catalog.max(version) + 1 from public.agent_versions where tenant_id = new.tenant_id), 1);
  elsif new.version <> old.version then
    perform private.reject(409, 'agent_version_fixed', 'A version keeps its number.', 'version');
  elsif new.state <> old.state and (old.state, new.state) not in (('draft', 'published'), ('draft', 'archived'), ('archived', 'published'), ('published', 'archived')) then
    perform private.reject(409, 'agent_state', pg_catalog.format('A version that is %s cannot become %s. Draft a new one.', old.state, new.state), 'state');
  elsif old.state = 'published' and new.state = 'archived' and coalesce(private.setting('publishing'), '') <> new.tenant_id::text then
    perform private.reject(409, 'agent_published', 'Callers hear this version. Publish another one instead.', 'state');
  end if;
  if new.state = 'published' and (tg_op = 'INSERT' or old.state <> 'published') then
    perform pg_catalog.set_config('kestrel.publishing', new.tenant_id::text, true);
    update public.agent_versions set state = 'archived' where tenant_id = new.tenant_id and state = 'published' and id <> new.id;
    perform pg_catalog.set_config('kestrel.publishing', '', true);
    new.published_at := pg_catalog.now();
  end if;
  return new;
end $$;
create trigger agent_before before insert or update or delete on public.agent_versions for each row execute function private.agent_before();
comment on function private.agent_before() is 'The life of a version, whoever writes it.';

create function private.agent_after() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if private.importing(new.tenant_id) then return null; end if;
  if new.state = 'published' and (tg_op = 'INSERT' or (old.state, old.settings) is distinct from (new.state, new.settings)) then
    perform private.announce('tenant', new.tenant_id, new.tenant_id);
    if new.version > 1 or tg_op = 'UPDATE' then
      perform private.emit(new.tenant_id, new.id, 'agent.published', pg_catalog.jsonb_build_object('version', new.version));
    end if;
  end if;
  return null;
end $$;
create trigger agent_after after insert or update on public.agent_versions for each row execute function private.agent_after();
comment on function private.agent_after() is 'Tells every server, at commit, that callers are to hear something else.';

create function private.first_agent() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if private.importing(new.id) then return null; end if;
  insert into public.agent_versions (tenant_id, version, state) values (new.id, 1, 'published');
  return null;
end $$;
create trigger zz_first_agent after insert on public.tenants for each row execute function private.first_agent();
comment on function private.first_agent() is 'A new tenant''s receptionist, by whichever door: as usual in its industry.';

-- The first version comes with the tenant: no edit of anybody's.
drop trigger log_activity on public.agent_versions;
create trigger log_activity after update or delete on public.agent_versions for each row execute function private.log_activity('agent');
create trigger log_first after insert on public.agent_versions for each row when (new.version > 1 or new.settings <> '{}') execute function private.log_activity('agent');

create function private.draft_agent(p_tenant uuid, p_settings jsonb) returns public.agent_versions
language plpgsql security definer set search_path = '' as $$
declare v public.agent_versions;
begin
  perform private.may_change(p_tenant, 'admin');
  perform from public.tenants where id = p_tenant for no key update;
  update public.agent_versions set settings = p_settings where tenant_id = p_tenant and state = 'draft' returning * into v;
  if not found then
    insert into public.agent_versions (tenant_id, version, settings) values (p_tenant, null, p_settings) returning * into v;
  end if;
  return v;
end $$;
comment on function private.draft_agent(uuid, jsonb) is 'Keeps the settings as the tenant''s one draft.';

create function private.publish_agent(p_tenant uuid, p_version int default null) returns public.agent_versions
language plpgsql security definer set search_path = '' as $$
declare v public.agent_versions;
begin
  perform private.may_change(p_tenant, 'admin');
  perform from public.tenants where id = p_tenant for no key update;
  select * into v from public.agent_versions
  where tenant_id = p_tenant and case when p_version is null then state = 'draft' else version = p_version end for update;
  case
    when v.id is null and p_version is null then
      select * into v from public.agent_versions where tenant_id = p_tenant and state = 'published';
      return v;
    when v.id is null then perform private.reject(404, 'agent_version_not_found', pg_catalog.format('There is no version %s.', p_version));
    when p_version is not null and v.state = 'draft' then perform private.reject(409, 'agent_version_draft', 'That version is the draft: publish it instead.');
    when v.state = 'published' then return v;
    else null;
  end case;
  update public.agent_versions set state = 'published' where id = v.id returning * into v;
  return v;
end $$;
comment on function private.publish_agent(uuid, int) is 'Publishes the draft, or given a number, rolls back to that version. The one before is archived. Without a draft, or again: nothing.';

create function private.discard_draft(p_tenant uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  perform private.may_change(p_tenant, 'admin');
  delete from public.agent_versions where tenant_id = p_tenant and state = 'draft';
  return found;
end $$;
comment on function private.discard_draft(uuid) is 'Drops the draft; false if there was none.';

-- Secret links to the diary ---------------------------------------------------------------------------------------

create table public.calendar_feeds (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  name text not null default '' constraint calendar_feeds_name_length check (char_length(name) <= 80 and name !~ '[[:cntrl:]]'),
  prefix text not null,
  created_by text not null default '',
  created_at timestamptz not null default now(),
  last_read_at timestamptz,
  revoked_at timestamptz
);
create index calendar_feeds_tenant_idx on public.calendar_feeds (tenant_id, id);
comment on table public.calendar_feeds is 'Secret links under which calendar programs read a tenant''s appointments. The link is shown once and kept only as a hash elsewhere.';
comment on column public.calendar_feeds.id is 'Opaque key.';
comment on column public.calendar_feeds.tenant_id is 'Whose diary.';
comment on column public.calendar_feeds.name is 'Whose calendar it is for.';
comment on column public.calendar_feeds.prefix is 'First characters, to recognise it by.';
comment on column public.calendar_feeds.created_by is 'Who made it.';
comment on column public.calendar_feeds.created_at is 'When it was made.';
comment on column public.calendar_feeds.last_read_at is 'Last reading, to within some minutes.';
comment on column public.calendar_feeds.revoked_at is 'Since when it no longer works.';
create table private.calendar_feed_hashes (
  hash bytea primary key check (octet_length(hash) = 32),
  feed_id uuid not null unique references public.calendar_feeds (id) on delete cascade
);
comment on table private.calendar_feed_hashes is 'SHA-256 of each feed''s secret. 256 random bits need no salt.';

create function private.create_feed(p_tenant uuid, p_name text, p_prefix text, p_hash bytea) returns public.calendar_feeds
language plpgsql security definer set search_path = '' as $$
declare v public.calendar_feeds;
begin
  perform private.may_change(p_tenant, 'member');
  perform from public.tenants where id = p_tenant for no key update;
  if (select pg_catalog.count(*) from public.calendar_feeds where tenant_id = p_tenant and revoked_at is null) >= 50 then
    perform private.reject(409, 'too_many_feeds', 'There are 50 calendar links already. Revoke one first.');
  end if;
  insert into public.calendar_feeds (tenant_id, name, prefix, created_by) values (p_tenant, p_name, p_prefix, coalesce(private.setting('actor_label'), '')) returning * into v;
  insert into private.calendar_feed_hashes (hash, feed_id) values (p_hash, v.id);
  return v;
end $$;
comment on function private.create_feed(uuid, text, text, bytea) is 'Makes a secret link to the diary.';

create function private.revoke_feed(p_tenant uuid, p_feed uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  perform private.may_change(p_tenant, 'member');
  delete from private.calendar_feed_hashes h using public.calendar_feeds f where h.feed_id = f.id and f.id = p_feed and f.tenant_id = p_tenant;
  update public.calendar_feeds set revoked_at = coalesce(revoked_at, pg_catalog.now()) where id = p_feed and tenant_id = p_tenant;
  return found;
end $$;
comment on function private.revoke_feed(uuid, uuid) is 'Ends a secret link, at once and for good; false if there is none such.';

create function private.open_feed(p_hash bytea, p_at timestamptz) returns uuid
language plpgsql security definer set search_path = '' as $$
declare f public.calendar_feeds;
begin
  select c.* into f from private.calendar_feed_hashes h join public.calendar_feeds c on c.id = h.feed_id join public.tenants t on t.id = c.tenant_id
  where h.hash = p_hash and c.revoked_at is null and t.deleted_at is null and (t.access_ends_at is null or t.access_ends_at > p_at)
    and c.tenant_id = coalesce(private.host_tenant(), c.tenant_id);
  if f.last_read_at is null or f.last_read_at < p_at - interval '5 minutes' then
    update public.calendar_feeds set last_read_at = p_at where id = f.id;
  end if;
  return f.tenant_id;
end $$;
comment on function private.open_feed(bytea, timestamptz) is 'Whose diary the secret opens; null for nobody''s.';

alter table public.calendar_feeds enable row level security;
alter table private.calendar_feed_hashes enable row level security;
revoke all on public.calendar_feeds from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.calendar_feeds to service_role;
grant select on public.calendar_feeds to kestrel_admin, authenticated, kestrel_key;
grant select, insert, update, delete on private.calendar_feed_hashes to service_role;
create policy admin_all on public.calendar_feeds for all to kestrel_admin using (true) with check (true);
create policy host_tenant on public.calendar_feeds as restrictive for all to anon, authenticated, kestrel_key, kestrel_admin
  using ((select private.host_tenant()) is null or tenant_id = (select private.host_tenant()));
create policy member_read on public.calendar_feeds for select to authenticated using (tenant_id = any ((select private.readable_tenants())::uuid[]));
create policy key_read on public.calendar_feeds for select to kestrel_key using (tenant_id = any ((select private.key_tenants('read'))::uuid[]));
create trigger tenant_fixed before update of tenant_id on public.calendar_feeds for each row when (old.tenant_id is distinct from new.tenant_id) execute function private.tenant_fixed();
create trigger log_activity after insert or update of revoked_at on public.calendar_feeds for each row execute function private.log_activity('calendar_feed');

revoke execute on function private.may_change(uuid, public.member_role), private.agent_before(), private.agent_after(), private.first_agent(),
  private.draft_agent(uuid, jsonb), private.publish_agent(uuid, int), private.discard_draft(uuid),
  private.create_feed(uuid, text, text, bytea), private.revoke_feed(uuid, uuid), private.open_feed(bytea, timestamptz) from public;
grant execute on function private.may_change(uuid, public.member_role), private.draft_agent(uuid, jsonb), private.publish_agent(uuid, int), private.discard_draft(uuid)
  to authenticated, kestrel_admin, service_role;
grant execute on function private.create_feed(uuid, text, text, bytea), private.revoke_feed(uuid, uuid) to authenticated, kestrel_key, kestrel_admin, service_role;
grant execute on function private.open_feed(bytea, timestamptz) to service_role;
grant execute on function private.may_change(uuid, public.member_role) to kestrel_key;
