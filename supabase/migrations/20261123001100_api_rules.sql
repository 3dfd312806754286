-- What the API asks for by name: orders that platform admins give to jobs, and the last of them staying. Each function
-- keeps to the host's tenant where the scope names one, as the policies would.

grant insert (tenant_id, phone_number) on public.phone_numbers to kestrel_admin;

create function private.request_webhooks(p_number uuid) returns uuid
language plpgsql security definer set search_path = '' as $$
declare v public.phone_numbers;
begin
  select * into v from public.phone_numbers where id = p_number and released_at is null and (private.host_tenant() is null or tenant_id = private.host_tenant()) for no key update;
  if not found then perform private.reject(404, 'number_not_found', 'There is no such number.'); end if;
  if v.status = 'releasing' then
    perform private.reject(409, 'number_releasing', pg_catalog.format('The number %s is being released.', v.phone_number));
  end if;
  return private.enqueue('webhook_configure', v.tenant_id, v.id);
end $$;
comment on function private.request_webhooks(uuid) is 'Orders the number''s webhooks to be set again; returns the job.';

create function private.request_release(p_number uuid) returns uuid
language plpgsql security definer set search_path = '' as $$
declare v public.phone_numbers;
begin
  select * into v from public.phone_numbers where id = p_number and released_at is null and (private.host_tenant() is null or tenant_id = private.host_tenant()) for no key update;
  if not found then perform private.reject(404, 'number_not_found', 'There is no such number.'); end if;
  if v.status = 'releasing' then
    perform private.reject(409, 'number_releasing', pg_catalog.format('The number %s is being released already.', v.phone_number));
  end if;
  update public.phone_numbers set status = 'releasing', status_reason = null where id = p_number;
  return (select id from public.jobs where subject_id = p_number and kind = 'number_release' order by id desc limit 1);
end $$;
comment on function private.request_release(uuid) is 'Orders the number to be given back to the vendor; returns the job that the change of status made.';

create function private.reopen_job(p_job public.jobs) returns void
language plpgsql security definer set search_path = '' as $$
begin
  if p_job.kind = 'number_purchase' then
    update public.number_purchases set state = 'open', reason = null, finished_at = null where id = p_job.subject_id and state = 'failed';
  end if;
end $$;
comment on function private.reopen_job(public.jobs) is 'Opens again what a job''s failure closed. A number that somebody asked for since is refused by its unique index.';

create function private.retry_job(p_job uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare v public.jobs; v_river bigint;
begin
  select * into v from public.jobs where id = p_job and (private.host_tenant() is null or tenant_id = private.host_tenant()) for update;
  if not found then perform private.reject(404, 'job_not_found', 'There is no such job.'); end if;
  if v.state <> 'failed' then
    perform private.reject(409, 'job_not_failed', pg_catalog.format('A job that is %s cannot be retried; only one that failed can.', v.state));
  end if;
  if v.kind = 'email_send' then
    perform private.reject(409, 'resend_instead', 'An e-mail that failed is sent again as a new one: use its resend action.');
  end if;
  perform private.reopen_job(v);
  insert into river.river_job (kind, args, state, max_attempts)
  values (v.kind, pg_catalog.jsonb_build_object('job_id', v.id, 'subject_id', v.subject_id), 'available', 25) returning id into v_river;
  update public.jobs set river_job_id = v_river, finished_at = null where id = p_job;
  perform private.job_step(p_job, 'queued', 'queued', null, 0);
  perform pg_catalog.pg_notify('river.river_insert', '{"queue":"default"}');
end $$;
comment on function private.retry_job(uuid) is 'Runs a failed job again, under the same id.';

create function private.resend_email(p_email uuid) returns uuid
language plpgsql security definer set search_path = '' as $$
declare v public.email_log; v_id uuid := private.uuid_v7();
begin
  select * into v from public.email_log where id = p_email and (private.host_tenant() is null or tenant_id = private.host_tenant()) for no key update;
  if not found then perform private.reject(404, 'email_not_found', 'There is no such e-mail.'); end if;
  if v.status in ('queued', 'sending') then
    perform private.reject(409, 'email_underway', pg_catalog.format('An e-mail that is %s cannot be sent again yet.', v.status));
  end if;
  insert into public.email_log (id, tenant_id, template, to_email, dedupe_key, params)
  values (v_id, v.tenant_id, v.template, v.to_email, 'resend:' || v_id, v.params);
  return v_id;
end $$;
comment on function private.resend_email(uuid) is 'Sends an e-mail once more, as a row of its own: asked for by a person, so no dedupe key holds it back.';

create function private.last_admin_stays() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if not exists (select from public.platform_admins where id <> old.id) then
    perform private.reject(409, 'last_admin', 'Kestrel needs a platform admin. Grant it to somebody else first.');
  end if;
  return old;
end $$;
create trigger last_admin_stays before delete on public.platform_admins for each row execute function private.last_admin_stays();

create function private.one_revocation() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  -- Before any row is locked: two revocations that each held their own row would wait for the other's for ever.
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('last_admin', 0));
  return null;
end $$;
create trigger one_revocation before delete on public.platform_admins for each statement execute function private.one_revocation();

grant execute on function private.request_webhooks(uuid), private.request_release(uuid), private.retry_job(uuid), private.resend_email(uuid) to kestrel_admin, service_role;
revoke execute on function private.last_admin_stays(), private.one_revocation() from public;

