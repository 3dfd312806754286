-- Import: the archive of an export becomes a new tenant. The rows are written by the job, in one transaction; what
-- follows a new row in daily life stands aside for it.

create table public.tenant_imports (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid references public.tenants (id) on delete cascade,
  state text not null default 'open' constraint tenant_imports_state_known check (state in ('open', 'done', 'failed')),
  bucket text not null constraint tenant_imports_bucket_known check (bucket in ('exports', 'imports')),
  object text not null constraint tenant_imports_object_length check (char_length(object) between 1 and 400),
  sha256 text,
  slug text not null,
  company_name text not null,
  owner_email text not null,
  counts jsonb not null default '{}',
  report jsonb not null default '{}',
  job_id uuid,
  requested_by text not null default '',
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  clean_at timestamptz
);
create index tenant_imports_tenant_idx on public.tenant_imports (tenant_id);
create index tenant_imports_clean_idx on public.tenant_imports (clean_at) where clean_at is not null;
comment on table public.tenant_imports is 'Orders to make a new tenant of an export''s archive.';
comment on column public.tenant_imports.id is 'Opaque key; the new tenant gets it as its own.';
comment on column public.tenant_imports.tenant_id is 'The new tenant, once it is there.';
comment on column public.tenant_imports.state is 'open, done or failed.';
comment on column public.tenant_imports.bucket is 'Where the archive lies: exports or imports.';
comment on column public.tenant_imports.object is 'Its path there.';
comment on column public.tenant_imports.sha256 is 'What the archive''s SHA-256 must be, in hexadecimal; empty where only its manifest tells.';
comment on column public.tenant_imports.slug is 'The new tenant''s subdomain.';
comment on column public.tenant_imports.company_name is 'The new tenant''s name.';
comment on column public.tenant_imports.owner_email is 'The new tenant''s owner.';
comment on column public.tenant_imports.counts is 'Rows imported by table, and files.';
comment on column public.tenant_imports.report is 'What the archive was, and what was left behind and why.';
comment on column public.tenant_imports.job_id is 'The job that does it.';
comment on column public.tenant_imports.requested_by is 'E-mail address of who asked.';
comment on column public.tenant_imports.created_at is 'When it was asked for.';
comment on column public.tenant_imports.finished_at is 'When the tenant was there.';
comment on column public.tenant_imports.clean_at is 'Of one that failed, until the files it may have brought are removed.';

alter table public.tenant_imports enable row level security;
revoke all on public.tenant_imports from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.tenant_imports to service_role;
grant select on public.tenant_imports to kestrel_admin;
create policy admin_all on public.tenant_imports for all to kestrel_admin using (true) with check (true);
create policy host_tenant on public.tenant_imports as restrictive for all to anon, authenticated, kestrel_key, kestrel_admin
  using ((select private.host_tenant()) is null or tenant_id = (select private.host_tenant()));
create trigger log_activity after insert on public.tenant_imports for each row execute function private.log_activity('import');

create function private.import_fixed() returns trigger language plpgsql set search_path = '' as $$
begin
  perform private.reject(409, 'tenant_fixed', 'An import stays with the tenant that it made.', 'tenant_id');
  return null;
end $$;
create trigger tenant_fixed before update of tenant_id on public.tenant_imports for each row
  when (old.tenant_id is distinct from new.tenant_id and (old.tenant_id is not null or new.tenant_id is distinct from new.id)) execute function private.import_fixed();
comment on function private.import_fixed() is 'An import gets its tenant once, the one with its own id.';

create table private.import_archives (
  object text primary key,
  created_at timestamptz not null default now()
);
comment on table private.import_archives is 'What was uploaded to the bucket imports, until it is deleted a week later.';
create index import_archives_created_idx on private.import_archives (created_at);
alter table private.import_archives enable row level security;
grant select, insert, update, delete on private.import_archives to service_role;

create function private.offer_archive() returns text
language plpgsql security definer set search_path = '' as $$
declare v text := private.uuid_v7() || '.zip';
begin
  insert into private.import_archives (object) values (v);
  return v;
end $$;
comment on function private.offer_archive() is 'A path in the bucket imports where one archive may be uploaded.';

create function private.order_import(p_export uuid, p_object text, p_sha256 text, p_slug text, p_company text, p_email text) returns uuid
language plpgsql security definer set search_path = '' as $$
declare v_id uuid := private.uuid_v7(); v_job uuid; e public.tenant_exports;
begin
  if private.host_tenant() is not null then raise insufficient_privilege; end if;
  case private.slug_problem(p_slug)
    when 'slug_invalid' then perform private.reject(422, 'slug_invalid', 'A subdomain is 3 to 40 lower-case letters, digits and hyphens, and starts and ends with a letter or digit.', 'slug');
    when 'slug_reserved' then perform private.reject(422, 'slug_reserved', pg_catalog.format('The subdomain %s is reserved. Choose another.', p_slug), 'slug');
    when 'slug_taken' then perform private.reject(409, 'slug_taken', pg_catalog.format('The subdomain %s is taken. Choose another.', p_slug), 'slug');
    else null;
  end case;
  if exists (select from public.tenants where owner_email = p_email) then
    perform private.reject(409, 'owner_email_taken', 'Another tenant has this owner. One e-mail address owns one tenant.', 'owner_email');
  end if;
  if p_export is not null then
    select * into e from public.tenant_exports where id = p_export;
    if not found then perform private.reject(404, 'export_not_found', 'There is no such export.'); end if;
    if e.state <> 'ready' then perform private.reject(409, 'export_not_ready', pg_catalog.format('This export is %s. Only one that is ready can be imported.', e.state), 'export_id'); end if;
  else
    insert into private.import_archives (object) values (p_object) on conflict (object) do nothing;
  end if;
  v_job := private.enqueue('tenant_import', null, v_id);
  insert into public.tenant_imports (id, bucket, object, sha256, slug, company_name, owner_email, job_id, requested_by)
  values (v_id, case when p_export is null then 'imports' else 'exports' end, coalesce(e.tenant_id || '/' || e.id || '.zip', p_object), coalesce(e.sha256, p_sha256),
    p_slug, p_company, p_email, v_job, coalesce(private.setting('actor_label'), ''));
  return v_job;
end $$;
comment on function private.order_import(uuid, text, text, text, text, text) is 'Orders a new tenant out of an export, or of an archive in the bucket imports; returns the job.';

create function private.importing(p_tenant uuid) returns boolean
language sql stable security definer set search_path = '' as $$
  select private.setting('import') = p_tenant::text and exists (select from public.tenant_imports where id = p_tenant and state = 'open')
$$;
comment on function private.importing(uuid) is 'Whether this transaction is bringing the tenant''s rows in. What counts a new row, logs it or acts upon it asks this first, and leaves it as it comes. Of a tenant that is there already it is never true.';

create function private.finish_import(p_import uuid, p_at timestamptz, p_counts jsonb, p_report jsonb) returns void
language plpgsql security definer set search_path = '' as $$
begin
  update public.tenant_imports set state = 'done', tenant_id = p_import, finished_at = p_at, counts = p_counts, report = p_report where id = p_import and state = 'open';
  if not found then perform private.reject(409, 'import_not_open', 'This import is not open any more.'); end if;
  -- From here on it is a tenant like any other.
  perform private.shown_usage(p_import);
  if not exists (select from public.agent_versions where tenant_id = p_import and state = 'published') then
    insert into public.agent_versions (tenant_id, version, state) values (p_import, null, 'published');
  end if;
  insert into public.activity_log (tenant_id, actor, actor_label, action, table_name, record_id, changes, request_id)
  values (p_import, private.actor(), coalesce(private.setting('actor_label'), ''), 'tenant.imported', 'tenants', p_import, pg_catalog.jsonb_build_object('counts', pg_catalog.jsonb_build_array(null, p_counts)), private.setting('request_id'));
end $$;
comment on function private.finish_import(uuid, timestamptz, jsonb, jsonb) is 'The last of an import: what every tenant has and the archive had not, the log''s entry, the order''s result.';

create function private.import_failed() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  -- Files come before rows: those of an import that failed are due to be removed at once.
  update public.tenant_imports set state = case when new.state = 'failed' then 'failed' else 'open' end,
    clean_at = case when new.state = 'failed' then created_at end
  where id = new.subject_id and state in ('open', 'failed');
  return null;
end $$;
create trigger import_failed after update of state on public.jobs for each row
  when (new.kind = 'tenant_import' and (new.state = 'failed' or old.state = 'failed')) execute function private.import_failed();
comment on function private.import_failed() is 'An import fails, and opens again, with its job.';

revoke execute on function private.import_fixed(), private.offer_archive(), private.order_import(uuid, text, text, text, text, text), private.importing(uuid),
  private.finish_import(uuid, timestamptz, jsonb, jsonb), private.import_failed() from public;
grant execute on function private.offer_archive(), private.order_import(uuid, text, text, text, text, text) to kestrel_admin;
grant execute on function private.offer_archive(), private.order_import(uuid, text, text, text, text, text), private.importing(uuid), private.finish_import(uuid, timestamptz, jsonb, jsonb) to service_role;
