-- What platform admins do about a customer, and what is written down of it: notes, viewing as the tenant, the rest of
-- the activity log, and jobs that are tried again.

-- Notes ----------------------------------------------------------------------------------------------------------

create table public.tenant_notes (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  body text not null constraint tenant_notes_body_length check (char_length(btrim(body)) between 1 and 4000),
  author text not null default private.actor(),
  author_label text not null default '',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index tenant_notes_tenant_idx on public.tenant_notes (tenant_id, id desc);
comment on table public.tenant_notes is 'What Kestrel''s staff note about a customer. Never shown to the customer, nor exported with its data.';
comment on column public.tenant_notes.id is 'Opaque key.';
comment on column public.tenant_notes.tenant_id is 'About whom.';
comment on column public.tenant_notes.body is 'The note.';
comment on column public.tenant_notes.author is 'Who wrote it: admin:… or login:… when done in Studio.';
comment on column public.tenant_notes.author_label is 'Readable name of the author.';
comment on column public.tenant_notes.created_at is 'When it was written.';
comment on column public.tenant_notes.updated_at is 'When it was last edited.';

-- Viewing as a tenant ----------------------------------------------------------------------------------------------

create table public.tenant_views (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  admin_user_id uuid not null,
  admin_email text not null,
  reason text not null constraint tenant_views_reason_length check (char_length(btrim(reason)) between 10 and 500),
  can_write boolean not null default false,
  expires_at timestamptz not null,
  ended_at timestamptz,
  ended_how text constraint tenant_views_ended_how_known check (ended_how in ('ended', 'expired')),
  created_at timestamptz not null default now(),
  constraint tenant_views_ended_whole check ((ended_at is null) = (ended_how is null))
);
create index tenant_views_tenant_idx on public.tenant_views (tenant_id, id desc);
create index tenant_views_admin_idx on public.tenant_views (admin_user_id) where ended_at is null;
create index tenant_views_expires_idx on public.tenant_views (expires_at) where ended_at is null;
comment on table public.tenant_views is 'When platform admins looked at Kestrel as a customer sees it, and why. Set ended_at to end a view within a second.';
comment on column public.tenant_views.id is 'Opaque key.';
comment on column public.tenant_views.tenant_id is 'As whom.';
comment on column public.tenant_views.admin_user_id is 'The admin''s login. The view ends with the admin''s power.';
comment on column public.tenant_views.admin_email is 'The admin''s address.';
comment on column public.tenant_views.reason is 'Why. The customer''s own activity log shows it.';
comment on column public.tenant_views.can_write is 'Whether the view may change data too, as an API key with the scope write may.';
comment on column public.tenant_views.expires_at is 'When it ends by itself: 30 minutes after its start.';
comment on column public.tenant_views.ended_at is 'When it ended: early by hand or with the admin''s power, or by its time.';
comment on column public.tenant_views.ended_how is 'ended, or expired when its time was over.';
comment on column public.tenant_views.created_at is 'When it began.';

create table private.view_hashes (
  hash bytea primary key check (octet_length(hash) = 32),
  view_id uuid not null unique references public.tenant_views (id) on delete cascade
);
comment on table private.view_hashes is 'SHA-256 of each view''s token. 256 random bits need no salt.';

create function private.start_view(p_tenant uuid, p_admin uuid, p_reason text, p_write boolean, p_hash bytea, p_at timestamptz) returns public.tenant_views
language plpgsql security definer set search_path = '' as $$
declare v public.tenant_views; v_email text;
begin
  select email into v_email from public.platform_admins where user_id = p_admin for share;
  if not found then perform private.reject(403, 'not_a_platform_admin', 'Only Kestrel''s staff may do this.'); end if;
  perform from public.tenants where id = p_tenant and deleted_at is null and (private.host_tenant() is null or id = private.host_tenant()) for share;
  if not found then perform private.reject(404, 'tenant_not_found', 'There is no such tenant.'); end if;
  insert into public.tenant_views (tenant_id, admin_user_id, admin_email, reason, can_write, expires_at)
  values (p_tenant, p_admin, v_email, pg_catalog.btrim(p_reason), p_write, p_at + interval '30 minutes') returning * into v;
  insert into private.view_hashes (hash, view_id) values (p_hash, v.id);
  return v;
end $$;
comment on function private.start_view(uuid, uuid, text, boolean, bytea, timestamptz) is 'Begins a view of 30 minutes for a platform admin, with the hash of its token.';

create function private.view_tenants(p_scope text) returns uuid[] language plpgsql stable security definer set search_path = '' as $$
begin
  return array(
    select v.tenant_id from public.tenant_views v join public.tenants t on t.id = v.tenant_id
    where v.id = nullif(pg_catalog.current_setting('kestrel.view_id', true), '')::uuid and (p_scope = 'read' or v.can_write)
      and v.ended_at is null and v.expires_at > pg_catalog.statement_timestamp() and t.deleted_at is null
      and (p_scope = 'read' or t.subscription_status not in ('suspended', 'cancelled'))
      and exists (select from public.platform_admins a where a.user_id = v.admin_user_id));
end $$;
comment on function private.view_tenants(text) is 'The tenant of the scope''s view if the view is good for that, and its admin still one, now.';

create function private.view_before() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  new.ended_how := case when new.ended_at is null then null when new.ended_at >= new.expires_at then 'expired' else 'ended' end;
  return new;
end $$;
create trigger view_before before insert or update on public.tenant_views for each row execute function private.view_before();

create function private.end_own_view(p_at timestamptz) returns void language plpgsql security definer set search_path = '' as $$
begin
  update public.tenant_views v set ended_at = least(p_at, v.expires_at) where v.id = private.setting('view_id')::uuid and v.ended_at is null
    and (private.host_tenant() is null or v.tenant_id = private.host_tenant());
end $$;
comment on function private.end_own_view(timestamptz) is 'Ends the scope''s own view.';

create function private.expire_views(p_at timestamptz) returns int language plpgsql security definer set search_path = '' as $$
declare v_count int;
begin
  with due as (select id from public.tenant_views where ended_at is null and expires_at <= p_at order by expires_at limit 500 for update skip locked)
  update public.tenant_views v set ended_at = v.expires_at from due where v.id = due.id;
  get diagnostics v_count = row_count;
  return v_count;
end $$;
comment on function private.expire_views(timestamptz) is 'Notes the end of views whose time is over, for the activity log. They opened nothing since.';

create function private.view_after() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform private.announce('view', old.id, old.tenant_id);
  return null;
end $$;
create trigger view_after after update or delete on public.tenant_views for each row execute function private.view_after();

create function private.end_views() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'UPDATE' and new.user_id is not distinct from old.user_id then return null; end if;
  update public.tenant_views set ended_at = pg_catalog.now()
  where admin_user_id = old.user_id and ended_at is null and expires_at > pg_catalog.now();
  return null;
end $$;
create trigger end_views after update or delete on public.platform_admins for each row execute function private.end_views();
comment on function private.end_views() is 'An admin''s views end with the admin''s power, and do not come back with it.';

-- Access ---------------------------------------------------------------------------------------------------------

do $$
declare t text;
begin
  foreach t in array array['tenant_notes', 'tenant_views'] loop
    execute format('alter table public.%I enable row level security', t);
    execute format('revoke all on public.%I from public, anon, authenticated, service_role', t);
    execute format('grant select, insert, update, delete on public.%I to service_role', t);
    execute format('grant select on public.%I to kestrel_admin', t);
    execute format('create policy admin_all on public.%I for all to kestrel_admin using (true) with check (true)', t);
    execute format('create policy host_tenant on public.%I as restrictive for all to anon, authenticated, kestrel_key, kestrel_admin '
      || 'using ((select private.host_tenant()) is null or tenant_id = (select private.host_tenant()))', t);
    execute format('create trigger tenant_fixed before update of tenant_id on public.%I for each row when (old.tenant_id is distinct from new.tenant_id) execute function private.tenant_fixed()', t);
  end loop;
end $$;
create trigger touch before update on public.tenant_notes for each row execute function private.touch();
grant insert (tenant_id, body, author_label), update (body), delete on public.tenant_notes to kestrel_admin;
grant update (ended_at) on public.tenant_views to kestrel_admin;
alter table private.view_hashes enable row level security;
grant select, insert, update, delete on private.view_hashes to service_role;
grant execute on function private.start_view(uuid, uuid, text, boolean, bytea, timestamptz) to kestrel_admin, service_role;
grant execute on function private.view_tenants(text) to kestrel_key, service_role;
grant execute on function private.end_own_view(timestamptz) to kestrel_key;
grant execute on function private.expire_views(timestamptz) to service_role;
grant execute on function private.view_after(), private.end_views() to service_role;

-- Activity -------------------------------------------------------------------------------------------------------
-- What follows by rule from another change is not logged again: those are the trigger depths above none.

create trigger log_activity after insert or update or delete on public.tenant_notes for each row execute function private.log_activity('note');
create trigger log_activity after insert or update or delete on public.tenant_views for each row execute function private.log_activity('view', 'started', 'ended');
create trigger log_activity_outcome after update of state on public.number_purchases for each row
  when (old.state is distinct from new.state) execute function private.log_activity('purchase');
create trigger log_activity after insert on public.email_log for each row
  when (new.dedupe_key like 'resend:%') execute function private.log_activity('email', 'resent');
create trigger log_activity after update of state on public.jobs for each row
  when (old.state = 'failed' and new.state = 'queued') execute function private.log_activity('job', 'created', 'retried');
create trigger log_activity after update or delete on public.tenant_usage for each row
  when (pg_trigger_depth() = 0) execute function private.log_activity('usage');
create trigger log_activity after insert or update or delete on public.tenant_plans for each row
  when (pg_trigger_depth() = 0) execute function private.log_activity('term');
create trigger log_activity after insert or update or delete on public.tenant_slugs for each row
  when (pg_trigger_depth() = 0) execute function private.log_activity('slug');
create trigger log_activity after insert or update or delete on private.reserved_slugs for each row execute function private.log_activity('reserved_slug');

-- Calls and messages come from the vendor by the thousand: their own course is no edit. What somebody else does to them is.
create function private.is_vendor() returns boolean language sql stable set search_path = '' as $$
  select coalesce(private.setting('actor'), '') ~ '^(job|webhook):'
$$;
comment on function private.is_vendor() is 'Whether what happens comes from the telephone network, by a webhook or a job.';
grant execute on function private.is_vendor() to anon, authenticated, kestrel_key, kestrel_admin, service_role;
do $$
declare t record;
begin
  for t in select * from (values ('call_logs', 'call'), ('call_turns', 'call_turn'), ('messages', 'message')) as v(name, noun) loop
    execute format('create trigger log_activity after update or delete on public.%I for each row '
      || 'when (pg_trigger_depth() = 0 and not private.is_vendor()) execute function private.log_activity(%L)', t.name, t.noun);
  end loop;
end $$;

-- Jobs -----------------------------------------------------------------------------------------------------------

create function private.river_retried() returns trigger language plpgsql security definer set search_path = '' as $$
declare v public.jobs;
begin
  select * into v from public.jobs where river_job_id = new.id and state = 'failed' and kind <> 'email_send' for update;
  if found then
    perform private.reopen_job(v);
    perform private.job_step(v.id, 'queued', 'queued', null, 0);
  end if;
  return null;
end $$;
create trigger kestrel_retried after update of state on river.river_job for each row
  when (old.finalized_at is not null and new.finalized_at is null) execute function private.river_retried();
comment on function private.river_retried() is 'A job that somebody retries in River''s own pages is retried in our record too. E-mails are not: see private.retry_job.';

create function private.river_by_admin() returns trigger language plpgsql security definer set search_path = '' as $$
declare v public.jobs; v_verb text;
begin
  select * into v from public.jobs where river_job_id = old.id;
  v_verb := case
    when tg_op = 'DELETE' then 'deleted'
    when new.metadata ->> 'cancel_attempted_at' is distinct from old.metadata ->> 'cancel_attempted_at' then 'cancelled'
    when new.state = 'available' and old.state <> 'available' and (v.id is null or v.state <> 'failed' or v.kind = 'email_send') then 'retried' -- else our record's trigger says so
  end;
  if v_verb is not null then
    insert into public.activity_log (tenant_id, actor, actor_label, action, table_name, record_id, changes, request_id)
    values (v.tenant_id, private.actor(), coalesce(private.setting('actor_label'), ''), 'job.' || v_verb, 'jobs', v.id,
      pg_catalog.jsonb_build_object('river_job', pg_catalog.jsonb_build_array(old.kind || ' ' || old.id, case when tg_op = 'UPDATE' then old.kind || ' ' || old.id end)), private.setting('request_id'));
  end if;
  return null;
end $$;
comment on function private.river_by_admin() is 'What a platform admin does to a job in River''s own pages is in the log of the tenant whose job it is.';
-- Its name comes before kestrel_retried: it sees our record as it was.
create trigger kestrel_by_admin after update or delete on river.river_job for each row
  when (coalesce(current_setting('kestrel.actor', true), '') like 'admin:%') execute function private.river_by_admin();
