-- Leaving: a tenant's data as a file, one caller forgotten, a deleted tenant purged. What is due is decided by a time
-- that the caller passes in.

-- Exports ---------------------------------------------------------------------------------------------------------

create table public.tenant_exports (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  state text not null default 'open' constraint tenant_exports_state_known check (state in ('open', 'ready', 'failed', 'expired')),
  bytes bigint,
  sha256 text,
  counts jsonb not null default '{}',
  job_id uuid,
  requested_by text not null default '',
  created_at timestamptz not null default now(),
  ready_at timestamptz,
  expires_at timestamptz
);
create unique index tenant_exports_open_key on public.tenant_exports (tenant_id) where state = 'open';
create index tenant_exports_tenant_idx on public.tenant_exports (tenant_id, id desc);
create index tenant_exports_expiry_idx on public.tenant_exports (expires_at) where state in ('ready', 'failed');
comment on table public.tenant_exports is 'Copies of all of a tenant''s data, as zip files in the private bucket exports. Kept for seven days.';
comment on column public.tenant_exports.id is 'Opaque key; the file is exports/<tenant>/<id>.zip.';
comment on column public.tenant_exports.tenant_id is 'Whose data.';
comment on column public.tenant_exports.state is 'open, ready, failed or expired.';
comment on column public.tenant_exports.bytes is 'Size of the file.';
comment on column public.tenant_exports.sha256 is 'SHA-256 of the file, in hexadecimal.';
comment on column public.tenant_exports.counts is 'Rows by table, and recordings.';
comment on column public.tenant_exports.job_id is 'The job that makes it.';
comment on column public.tenant_exports.requested_by is 'E-mail address of who asked.';
comment on column public.tenant_exports.created_at is 'When it was asked for.';
comment on column public.tenant_exports.ready_at is 'When it could be fetched first.';
comment on column public.tenant_exports.expires_at is 'When the file is deleted; of one that failed, until what it may have uploaded is.';

alter table public.tenant_exports enable row level security;
revoke all on public.tenant_exports from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.tenant_exports to service_role;
grant select on public.tenant_exports to kestrel_admin, authenticated, kestrel_key;
create policy admin_all on public.tenant_exports for all to kestrel_admin using (true) with check (true);
create policy host_tenant on public.tenant_exports as restrictive for all to anon, authenticated, kestrel_key, kestrel_admin
  using ((select private.host_tenant()) is null or tenant_id = (select private.host_tenant()));
create policy member_read on public.tenant_exports for select to authenticated using (tenant_id = any ((select private.readable_tenants())::uuid[]));
create policy key_read on public.tenant_exports for select to kestrel_key using (tenant_id = any ((select private.key_tenants('read'))::uuid[]));
create trigger tenant_fixed before update of tenant_id on public.tenant_exports for each row when (old.tenant_id is distinct from new.tenant_id) execute function private.tenant_fixed();
create trigger log_activity after insert on public.tenant_exports for each row execute function private.log_activity('export');

create function private.is_tenant_admin(p_tenant uuid) returns boolean language sql stable security definer set search_path = '' as $$
  select p_tenant = coalesce(private.host_tenant(), p_tenant) and p_tenant = any (private.readable_tenants()) and exists (
    select from public.tenant_users m where m.tenant_id = p_tenant and m.role >= 'admin'
      and m.user_id = (nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid)
$$;
comment on function private.is_tenant_admin(uuid) is 'Whether the token''s person is an admin or owner there, now, whatever the tenant''s status lets them change.';

create function private.order_export(p_tenant uuid) returns uuid
language plpgsql security definer set search_path = '' as $$
declare v_job uuid; v_id uuid := private.uuid_v7();
begin
  perform from public.tenants where id = p_tenant and deleted_at is null and (private.host_tenant() is null or id = private.host_tenant()) for no key update;
  if not found then perform private.reject(404, 'tenant_not_found', 'There is no such tenant.'); end if;
  select job_id into v_job from public.tenant_exports where tenant_id = p_tenant and state = 'open';
  if found then return v_job; end if;
  v_job := private.enqueue('tenant_export', p_tenant, v_id);
  insert into public.tenant_exports (id, tenant_id, job_id, requested_by) values (v_id, p_tenant, v_job, coalesce(private.setting('actor_label'), ''));
  return v_job;
end $$;
comment on function private.order_export(uuid) is 'Orders a copy of the tenant''s data; returns the job, of the one that is being made already if there is one.';

create function private.request_export(p_tenant uuid) returns uuid
language plpgsql security definer set search_path = '' as $$
begin
  if not private.is_tenant_admin(p_tenant) then raise insufficient_privilege; end if;
  return private.order_export(p_tenant);
end $$;
comment on function private.request_export(uuid) is 'The same, asked by one of the tenant''s admins; a suspended tenant may leave too, a cancelled one until its period ends.';

create function private.export_failed() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  -- The upload may have come through before the failure: the file is due to be deleted at once.
  update public.tenant_exports set state = case when new.state = 'failed' then 'failed' else 'open' end,
    expires_at = case when new.state = 'failed' then created_at end
  where id = new.subject_id and state in ('open', 'failed');
  return null;
end $$;
create trigger export_failed after update of state on public.jobs for each row
  when (new.kind = 'tenant_export' and (new.state = 'failed' or old.state = 'failed')) execute function private.export_failed();
comment on function private.export_failed() is 'An export fails, and opens again, with its job.';

-- One caller ------------------------------------------------------------------------------------------------------

create function private.order_erasure(p_tenant uuid, p_contact uuid) returns uuid
language plpgsql security definer set search_path = '' as $$
declare v_job uuid;
begin
  perform from public.contacts where tenant_id = p_tenant and id = p_contact and (private.host_tenant() is null or tenant_id = private.host_tenant()) for update;
  if not found then perform private.reject(404, 'contact_not_found', 'There is no such contact.'); end if;
  select id into v_job from public.jobs where subject_id = p_contact and kind = 'caller_erase' and state in ('queued', 'running') order by id desc limit 1;
  return coalesce(v_job, private.enqueue('caller_erase', p_tenant, p_contact));
end $$;
comment on function private.order_erasure(uuid, uuid) is 'Orders one caller to be forgotten; returns the job.';

create function private.request_erasure(p_tenant uuid, p_contact uuid) returns uuid
language plpgsql security definer set search_path = '' as $$
begin
  if not private.is_tenant_admin(p_tenant) or p_tenant <> all (private.writable_tenants('admin')) then raise insufficient_privilege; end if;
  return private.order_erasure(p_tenant, p_contact);
end $$;
comment on function private.request_erasure(uuid, uuid) is 'The same, asked by one of the tenant''s admins.';

create function private.calls_of(p_tenant uuid, p_contact uuid) returns setof public.call_logs
language sql stable security definer set search_path = '' as $$
  select l from public.contacts c join public.call_logs l on l.tenant_id = c.tenant_id and (l.contact_id = c.id or c.phone_number in (l.from_number, l.to_number))
  where c.tenant_id = p_tenant and c.id = p_contact
$$;
comment on function private.calls_of(uuid, uuid) is 'A caller''s calls: those of the contact, and those of its number.';

create function private.erase_caller(p_tenant uuid, p_contact uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare c public.contacts; v_calls uuid[]; v_bookings uuid[]; v_messages uuid[];
begin
  perform from public.tenants where id = p_tenant for no key update;
  select * into c from public.contacts where tenant_id = p_tenant and id = p_contact for update;
  if not found then return; end if;
  -- The triggers would log what is being forgotten.
  perform pg_catalog.set_config('kestrel.purge', p_tenant::text, true);
  v_calls := array(select id from private.calls_of(p_tenant, p_contact));
  v_bookings := array(select id from public.appointments where tenant_id = p_tenant and (contact_id = p_contact or call_id = any (v_calls) or customer_phone = c.phone_number));
  v_messages := array(select id from public.messages where tenant_id = p_tenant and (contact_id = p_contact or c.phone_number in (from_number, to_number)));
  delete from public.call_turns where tenant_id = p_tenant and call_id = any (v_calls);
  perform private.forget_recordings(v_calls);
  -- The call itself stays, and counts: without its caller. Nothing that the counter watches is touched.
  update public.call_logs set contact_id = null,
    from_number = case direction when 'inbound' then null else nullif(from_number, c.phone_number) end, to_number = case direction when 'outbound' then null else nullif(to_number, c.phone_number) end,
    outcome = null, summary = null, sentiment = null, intent = null, caller_name = null, callback_number = null, caller_address = null, follow_up = null,
    recording_path = null, voicemail_path = null, recording_sid = null, voicemail_sid = null, transfer_number = null, erased_at = pg_catalog.now() where id = any (v_calls);
  -- Not null: a worker that writes one of them just now finds it written.
  update public.email_log set params = '{}', subject = '', html = '', text = '', status = case when status in ('queued', 'sending') then 'failed' else status end where tenant_id = p_tenant
    and (dedupe_key = any (select 'call:' || v from pg_catalog.unnest(v_calls) v) or template in ('call_summary', 'announcement') and pg_catalog.strpos(params::text, c.phone_number) > 0);
  update public.appointments set contact_id = null, customer_name = '', customer_phone = null, address = '', notes = '', service = '', idempotency_key = null
  where id = any (v_bookings);
  delete from public.messages where id = any (v_messages);
  delete from public.call_messages where tenant_id = p_tenant and (contact_id = p_contact or conversation_id = any (v_calls) or caller_phone = c.phone_number);
  delete from public.contacts where id = p_contact;
  update public.activity_log set changes = '{}' where tenant_id = p_tenant and changes <> '{}'
    and (record_id = any (v_calls || v_bookings || v_messages || p_contact) or pg_catalog.strpos(changes::text, c.phone_number) > 0 or pg_catalog.strpos(changes::text, p_contact::text) > 0);
  update public.events set data = '{}' where tenant_id = p_tenant and data <> '{}'
    and (subject_id = any (v_calls || v_bookings || v_messages || p_contact) or pg_catalog.strpos(data::text, c.phone_number) > 0);
  perform pg_catalog.set_config('kestrel.purge', '', true);
  insert into public.activity_log (tenant_id, actor, actor_label, action, table_name, record_id, request_id)
  values (p_tenant, private.actor(), coalesce(private.setting('actor_label'), ''), 'contact.erased', 'contacts', p_contact, private.setting('request_id'));
end $$;
comment on function private.erase_caller(uuid, uuid) is 'Forgets one caller: contact, transcripts and messages go; calls and bookings stay without the person, so that usage stays right. Again it does nothing.';

-- Purge -----------------------------------------------------------------------------------------------------------

create table public.tenant_tombstones (
  id uuid primary key,
  plan_tier text not null,
  created_at timestamptz not null,
  deleted_at timestamptz not null,
  purged_at timestamptz not null,
  ordered_by text not null,
  counts jsonb not null default '{}'
);
comment on table public.tenant_tombstones is 'What is left of purged tenants: no name, address or number.';
comment on column public.tenant_tombstones.id is 'The tenant''s id, as its blanked activity still has it.';
comment on column public.tenant_tombstones.plan_tier is 'Its last plan.';
comment on column public.tenant_tombstones.created_at is 'When it had come.';
comment on column public.tenant_tombstones.deleted_at is 'When it was deleted.';
comment on column public.tenant_tombstones.purged_at is 'When its data was removed.';
comment on column public.tenant_tombstones.ordered_by is 'Who ordered that: admin:…, or job:… after 30 days.';
comment on column public.tenant_tombstones.counts is 'What it had, in numbers.';
alter table public.tenant_tombstones enable row level security;
revoke all on public.tenant_tombstones from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.tenant_tombstones to service_role;
grant select on public.tenant_tombstones to kestrel_admin;
create policy admin_all on public.tenant_tombstones for all to kestrel_admin using (true) with check (true);
create policy host_tenant on public.tenant_tombstones as restrictive for all to kestrel_admin using ((select private.host_tenant()) is null);

create table private.purges (
  tenant_id uuid primary key references public.tenants (id) on delete cascade,
  deleted_at timestamptz not null,
  job_id uuid not null,
  ordered_by text not null
);
comment on table private.purges is 'Which deletion of a tenant is to be made final: one that was restored, or deleted anew, since is another.';
alter table private.purges enable row level security;
grant select, insert, update, delete on private.purges to service_role;
create index tenants_deleted_idx on public.tenants (deleted_at) where deleted_at is not null;

-- Who did what and when outlives the tenant; what was changed does not.
alter table public.activity_log drop constraint activity_log_tenant_id_fkey;

create function private.order_purge(p_tenant uuid) returns uuid
language plpgsql security definer set search_path = '' as $$
declare v_deleted timestamptz; v_job uuid;
begin
  select deleted_at into v_deleted from public.tenants where id = p_tenant for no key update;
  select p.job_id into v_job from private.purges p join public.jobs j on j.id = p.job_id where p.tenant_id = p_tenant and p.deleted_at = v_deleted and j.state in ('queued', 'running');
  if found then return v_job; end if;
  -- Of no tenant, so that its record outlives this one.
  v_job := private.enqueue('tenant_purge', null, p_tenant);
  insert into private.purges (tenant_id, deleted_at, job_id, ordered_by) values (p_tenant, v_deleted, v_job, private.actor())
  on conflict (tenant_id) do update set deleted_at = excluded.deleted_at, job_id = excluded.job_id, ordered_by = excluded.ordered_by;
  return v_job;
end $$;
comment on function private.order_purge(uuid) is 'Orders a deleted tenant''s purge; returns the job, of the one that is at work already if there is one.';

create function private.request_purge(p_tenant uuid, p_confirm text) returns uuid
language plpgsql security definer set search_path = '' as $$
declare t public.tenants;
begin
  select * into t from public.tenants where id = p_tenant and (private.host_tenant() is null or id = private.host_tenant()) for no key update;
  if not found then perform private.reject(404, 'tenant_not_found', 'There is no such tenant.'); end if;
  if t.deleted_at is null then perform private.reject(409, 'tenant_not_deleted', 'Only a deleted tenant can be purged. Delete it first.'); end if;
  if p_confirm is distinct from t.slug then
    perform private.reject(422, 'confirmation_wrong', 'Type the tenant''s subdomain to confirm. A purge cannot be undone.', 'confirm');
  end if;
  return private.order_purge(p_tenant);
end $$;
comment on function private.request_purge(uuid, text) is 'An admin purges a deleted tenant before its 30 days are over, by typing its slug.';

create function private.purge_due(p_at timestamptz, p_most int) returns int
language plpgsql security definer set search_path = '' as $$
declare v uuid; v_count int := 0;
begin
  for v in
    select t.id from public.tenants t
    where t.deleted_at <= p_at - interval '30 days' and not exists (select from private.purges p where p.tenant_id = t.id and p.deleted_at = t.deleted_at)
    order by t.deleted_at limit p_most for no key update of t skip locked
  loop
    perform private.order_purge(v);
    v_count := v_count + 1;
  end loop;
  return v_count;
end $$;
comment on function private.purge_due(timestamptz, int) is 'Orders the purge of tenants that were deleted 30 days before p_at; one that failed waits for an admin.';

create function private.may_purge(p_tenant uuid) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
  perform from public.tenants t join private.purges p on p.tenant_id = t.id and p.deleted_at = t.deleted_at where t.id = p_tenant for update of t;
  return found;
end $$;
comment on function private.may_purge(uuid) is 'Whether the deletion that was to be made final still stands. Until the transaction ends, nobody restores it.';

create function private.purge_some(p_tenant uuid, p_most int) returns int
language plpgsql security definer set search_path = '' as $$
declare t text; v_count int;
begin
  if not private.may_purge(p_tenant) then return 0; end if;
  perform pg_catalog.set_config('kestrel.purge', p_tenant::text, true);
  foreach t in array array['call_turns', 'messages', 'appointments', 'call_logs', 'contacts', 'events', 'email_log'] loop
    execute pg_catalog.format('delete from public.%1$I where ctid = any (array(select ctid from public.%1$I where tenant_id = $1 limit $2))', t) using p_tenant, p_most;
    get diagnostics v_count = row_count;
    if v_count > 0 then return v_count; end if;
  end loop;
  update public.activity_log set changes = '{}', actor_label = '', actor = case when actor ~ '^(admin|job|login):' then actor else pg_catalog.split_part(actor, ':', 1) || ':purged' end
  where id = any (array(select id from public.activity_log where tenant_id = p_tenant and (changes <> '{}' or actor_label <> '') limit p_most));
  get diagnostics v_count = row_count;
  return v_count;
end $$;
comment on function private.purge_some(uuid, int) is 'Removes some of the rows of a tenant that is being purged, and blanks its activity; returns how many, 0 when none are left.';

create function private.purge_tenant(p_tenant uuid, p_at timestamptz, p_counts jsonb) returns boolean
language plpgsql security definer set search_path = '' as $$
declare v uuid; v_users uuid[];
begin
  if not private.may_purge(p_tenant) then return false; end if;
  perform pg_catalog.set_config('kestrel.purge', p_tenant::text, true);
  v_users := array(select user_id from public.tenant_users where tenant_id = p_tenant and user_id is not null);
  insert into public.tenant_tombstones (id, plan_tier, created_at, deleted_at, purged_at, ordered_by, counts)
  select t.id, t.plan_tier, t.created_at, t.deleted_at, p_at, p.ordered_by, p_counts from public.tenants t join private.purges p on p.tenant_id = t.id where t.id = p_tenant;
  delete from public.tenants where id = p_tenant;
  update public.activity_log set changes = '{}', actor_label = '' where tenant_id = p_tenant and (changes <> '{}' or actor_label <> '');
  -- Whether a login is still needed shows once the memberships are gone.
  foreach v in array v_users loop
    perform private.enqueue('login_delete', null, v);
  end loop;
  perform pg_catalog.set_config('kestrel.purge', '', true);
  perform private.announce('tenant', p_tenant, p_tenant);
  return true;
end $$;
comment on function private.purge_tenant(uuid, timestamptz, jsonb) is 'Ends a purge: the rest of the rows go, a tombstone stays, and slug, e-mail address and number are free. False when the tenant was restored meanwhile.';

create function private.purge_counts(p_tenant uuid) returns jsonb language sql stable security definer set search_path = '' as $$
  select pg_catalog.jsonb_build_object(
    'members', (select pg_catalog.count(*) from public.tenant_users where tenant_id = p_tenant),
    'numbers', (select pg_catalog.count(*) from public.phone_numbers where tenant_id = p_tenant),
    'usage_periods', (select pg_catalog.count(*) from public.tenant_usage where tenant_id = p_tenant),
    'calls', (select coalesce(pg_catalog.sum(calls), 0) from public.tenant_usage where tenant_id = p_tenant),
    'sms', (select coalesce(pg_catalog.sum(sms), 0) from public.tenant_usage where tenant_id = p_tenant))
$$;
comment on function private.purge_counts(uuid) is 'What the tombstone tells of a tenant. From rows that go last, so that an interrupted purge counts the same.';

create function private.login_is_spare(p_user uuid) returns boolean language sql stable security definer set search_path = '' as $$
  select not exists (
    select from (select p_user as id, (select pg_catalog.lower(email) from auth.users where id = p_user) as email) l
    where exists (select from public.tenant_users m where m.user_id = l.id or m.email = l.email)
       or exists (select from public.platform_admins a where a.user_id = l.id or a.email = l.email))
$$;
comment on function private.login_is_spare(uuid) is 'Whether no tenant, not even a deleted one, and no staff row needs this login.';

revoke execute on function private.is_tenant_admin(uuid), private.order_export(uuid), private.request_export(uuid), private.export_failed(),
  private.order_erasure(uuid, uuid), private.request_erasure(uuid, uuid), private.calls_of(uuid, uuid), private.erase_caller(uuid, uuid),
  private.order_purge(uuid), private.request_purge(uuid, text), private.purge_due(timestamptz, int), private.may_purge(uuid), private.purge_some(uuid, int),
  private.purge_tenant(uuid, timestamptz, jsonb), private.purge_counts(uuid), private.login_is_spare(uuid) from public;
grant execute on all functions in schema private to service_role;
grant execute on function private.request_export(uuid), private.request_erasure(uuid, uuid) to authenticated;
grant execute on function private.order_export(uuid), private.order_erasure(uuid, uuid), private.request_purge(uuid, text) to kestrel_admin;
