-- How jobs end in failure, and are found when lost: one function each, for the workers and their sweep.

alter table public.number_purchases add column attempted_at timestamptz;
comment on column public.number_purchases.attempted_at is 'When a purchase was sent whose outcome is not known; empty otherwise. Twilio may still be working on it for a while.';

create index jobs_open_idx on public.jobs (updated_at) where state in ('queued', 'running');
create index email_log_open_idx on public.email_log (updated_at) where status in ('queued', 'sending');

create function private.fail_job(p_job uuid, p_reason text, p_attempt int default null, p_unknown boolean default null) returns void
language plpgsql security definer set search_path = '' as $$
declare j public.jobs;
begin
  perform private.job_step(p_job, 'failed', 'failed', p_reason, p_attempt);
  select * into j from public.jobs where id = p_job;
  case j.kind
    when 'number_purchase' then
      update public.number_purchases set state = 'failed', reason = p_reason, finished_at = pg_catalog.now() where id = j.subject_id and state = 'open';
    when 'number_verify' then
      update public.phone_numbers set status = 'failed', status_reason = p_reason where id = j.subject_id and status = 'unverified';
    when 'webhook_configure', 'number_release' then
      update public.phone_numbers set status_reason = p_reason where id = j.subject_id and released_at is null;
    when 'email_send' then
      update public.email_log set error = p_reason, updated_at = pg_catalog.now(),
        status = case when coalesce(p_unknown, first_attempt_at is not null) then 'unknown' else 'failed' end
      where id = j.subject_id and status in ('queued', 'sending');
      delete from private.email_links where email_id = j.subject_id;
    when 'message_send' then
      update public.messages set error = p_reason, status = case when coalesce(p_unknown, status = 'sending') then 'unknown' else 'failed' end
      where id = j.subject_id and status in ('queued', 'sending');
    else null;
  end case;
end $$;
comment on function private.fail_job(uuid, text, int, boolean) is 'Ends a job as failed, and says so on the row it is about. p_unknown: an e-mail that may have been sent all the same.';

create function private.requeue(p_job uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare v_river bigint;
begin
  insert into river.river_job (kind, args)
  select kind, pg_catalog.jsonb_build_object('job_id', id, 'subject_id', subject_id) from public.jobs where id = p_job
  returning id into v_river;
  update public.jobs set river_job_id = v_river where id = p_job;
  perform private.job_step(p_job, 'queued', 'queued', null, 0);
  perform pg_catalog.pg_notify('river.river_insert', '{"queue":"default"}');
end $$;
comment on function private.requeue(uuid) is 'Gives a job that has no row in River a new one; its record stays the same.';

create function private.reconcile_jobs(p_before timestamptz) returns int
language plpgsql security definer set search_path = '' as $$
declare j record; v_count int := 0;
begin
  for j in
    select o.id, o.reason, r.id as river_id, r.state::text as river_state
    from public.jobs o left join river.river_job r on r.id = o.river_job_id
    where o.state in ('queued', 'running') and o.updated_at < p_before and (r.id is null or r.state in ('discarded', 'cancelled', 'completed'))
    order by o.updated_at limit 500 for update of o skip locked
  loop
    v_count := v_count + 1;
    case
      when j.river_id is null then perform private.requeue(j.id);
      when j.river_state = 'completed' then perform private.job_step(j.id, 'done', 'done');
      else perform private.fail_job(j.id, coalesce(nullif(pg_catalog.regexp_replace(j.reason, -- what it promised comes no more
        ' ?(Next try at [0-9:]+ UTC|Its worker died; another one goes on|Kestrel was restarted; it goes on by itself)\.$', ''), ''), 'The job was tried too often without an end. Try it again.'));
    end case;
  end loop;
  for j in
    select e.id, e.tenant_id from public.email_log e
    where e.status in ('queued', 'sending') and e.updated_at < p_before
      and not exists (select from public.jobs o where o.subject_id = e.id and o.state in ('queued', 'running'))
    order by e.updated_at limit 500 for update skip locked
  loop
    v_count := v_count + 1;
    perform private.enqueue('email_send', j.tenant_id, j.id);
  end loop;
  for j in
    select p.id, p.tenant_id from public.number_purchases p
    where p.state = 'open' and p.created_at < p_before
      and not exists (select from public.jobs o where o.subject_id = p.id and o.state in ('queued', 'running'))
    limit 500 for update skip locked
  loop
    v_count := v_count + 1;
    update public.number_purchases set job_id = private.enqueue('number_purchase', j.tenant_id, j.id) where id = j.id;
  end loop;
  return v_count;
end $$;
comment on function private.reconcile_jobs(timestamptz) is 'Finds what has not moved since p_before and has no living job: lost ones are queued again, ended ones are recorded. Returns how many.';

grant execute on function private.fail_job(uuid, text, int, boolean), private.requeue(uuid), private.reconcile_jobs(timestamptz) to service_role;
