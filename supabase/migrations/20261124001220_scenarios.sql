-- Scenarios: what a caller may say, and what must come of it. They are rehearsed with the draft before callers hear it.

create table public.agent_scenarios (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  name text not null constraint agent_scenarios_name_length check (char_length(btrim(name)) between 1 and 120 and name !~ '[[:cntrl:]]'),
  held_at text not null default '' constraint agent_scenarios_held_at_form check (held_at = '' or held_at ~ '^(mon|tues|wednes|thurs|fri|satur|sun)day ([01][0-9]|2[0-3]):[0-5][0-9]$'),
  lines jsonb not null constraint agent_scenarios_lines_form check (
    case when jsonb_typeof(lines) = 'array' then jsonb_array_length(lines) between 1 and 30 end
    and not jsonb_path_exists(lines, '$[*] ? (@.type() != "string" || @ like_regex "^\\s*$" || @ like_regex "^.{255}.{246}" flag "s")')),
  expect jsonb not null default '{}' constraint agent_scenarios_expect_form check (jsonb_typeof(expect) = 'object' and pg_column_size(expect) < 20000),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint agent_scenarios_tenant_id_id_key unique (tenant_id, id)
);
comment on table public.agent_scenarios is 'What a caller may say to a tenant''s receptionist, and what must come of it.';
comment on column public.agent_scenarios.id is 'Opaque key.';
comment on column public.agent_scenarios.tenant_id is 'Whose receptionist.';
comment on column public.agent_scenarios.name is 'What it is about.';
comment on column public.agent_scenarios.held_at is 'The local time it is held at, e.g. "tuesday 10:00", two weeks or more ahead; empty: the time it is run.';
comment on column public.agent_scenarios.lines is 'What the caller says, line by line: 1 to 30 texts of at most 500 characters.';
comment on column public.agent_scenarios.expect is 'What must come of it: outcome, tool, contains, lacks.';
comment on column public.agent_scenarios.created_at is 'When it was written.';
comment on column public.agent_scenarios.updated_at is 'Last change.';

create table public.agent_scenario_runs (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  batch_id uuid not null,
  scenario_id uuid,
  name text not null,
  held_at text not null,
  lines jsonb not null,
  expect jsonb not null,
  version int,
  state text not null default 'waiting' constraint agent_scenario_runs_state_known check (state in ('waiting', 'done', 'broken')),
  passed boolean,
  failures text[] not null default '{}',
  transcript jsonb not null default '[]',
  model text not null default '',
  cost_micros bigint not null default 0,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  constraint agent_scenario_runs_passed_when_done check ((state = 'done') = (passed is not null)),
  constraint agent_scenario_runs_scenario_id_fkey foreign key (tenant_id, scenario_id) references public.agent_scenarios (tenant_id, id) on delete set null (scenario_id)
);
create index agent_scenario_runs_newest_idx on public.agent_scenario_runs (tenant_id, id desc);
create index agent_scenario_runs_scenario_idx on public.agent_scenario_runs (tenant_id, scenario_id, id desc);
create index agent_scenario_runs_batch_idx on public.agent_scenario_runs (batch_id);
comment on table public.agent_scenario_runs is 'What came of each rehearsal. They are kept, with the scenario as it was then.';
comment on column public.agent_scenario_runs.id is 'Opaque key.';
comment on column public.agent_scenario_runs.tenant_id is 'Whose receptionist.';
comment on column public.agent_scenario_runs.batch_id is 'Rehearsals that were ordered together; the job''s subject.';
comment on column public.agent_scenario_runs.scenario_id is 'The scenario, while there is one.';
comment on column public.agent_scenario_runs.name is 'The scenario''s name then.';
comment on column public.agent_scenario_runs.held_at is 'Its time then.';
comment on column public.agent_scenario_runs.lines is 'Its lines then.';
comment on column public.agent_scenario_runs.expect is 'What it expected then.';
comment on column public.agent_scenario_runs.version is 'The version of the receptionist that answered.';
comment on column public.agent_scenario_runs.state is 'waiting, done, or broken: the model could not be asked.';
comment on column public.agent_scenario_runs.passed is 'Whether everything expected came about.';
comment on column public.agent_scenario_runs.failures is 'What did not, in words.';
comment on column public.agent_scenario_runs.transcript is 'What was said and which tools were used.';
comment on column public.agent_scenario_runs.model is 'The model that answered.';
comment on column public.agent_scenario_runs.cost_micros is 'What the model cost, in millionths of a US dollar.';
comment on column public.agent_scenario_runs.created_at is 'When it was ordered.';
comment on column public.agent_scenario_runs.finished_at is 'When it was over.';

do $$
declare t text;
begin
  foreach t in array array['agent_scenarios', 'agent_scenario_runs'] loop
    execute format('alter table public.%I enable row level security', t);
    execute format('revoke all on public.%I from public, anon, authenticated, service_role', t);
    execute format('grant select, insert, update, delete on public.%I to service_role', t);
    execute format('grant select on public.%I to kestrel_admin, authenticated, kestrel_key', t);
    execute format('create policy admin_all on public.%I for all to kestrel_admin using (true) with check (true)', t);
    execute format('create policy host_tenant on public.%I as restrictive for all to anon, authenticated, kestrel_key, kestrel_admin '
      || 'using ((select private.host_tenant()) is null or tenant_id = (select private.host_tenant()))', t);
    execute format('create policy member_read on public.%I for select to authenticated using (tenant_id = any ((select private.readable_tenants())::uuid[]))', t);
    execute format('create policy key_read on public.%I for select to kestrel_key using (tenant_id = any ((select private.key_tenants(''read''))::uuid[]))', t);
    execute format('create trigger tenant_fixed before update of tenant_id on public.%I for each row when (old.tenant_id is distinct from new.tenant_id) execute function private.tenant_fixed()', t);
  end loop;
end $$;
create policy admin_insert on public.agent_scenarios for insert to authenticated with check (tenant_id = any ((select private.writable_tenants('admin'))::uuid[]));
create policy admin_update on public.agent_scenarios for update to authenticated
  using (tenant_id = any ((select private.writable_tenants('admin'))::uuid[])) with check (tenant_id = any ((select private.writable_tenants('admin'))::uuid[]));
create policy admin_delete on public.agent_scenarios for delete to authenticated using (tenant_id = any ((select private.writable_tenants('admin'))::uuid[]));
grant insert (tenant_id, name, held_at, lines, expect), update (name, held_at, lines, expect), delete on public.agent_scenarios to authenticated, kestrel_admin;
create trigger touch before update on public.agent_scenarios for each row execute function private.touch();
create trigger log_activity after insert or update or delete on public.agent_scenarios for each row execute function private.log_activity('agent_scenario');

create function private.few_scenarios() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform from public.tenants where id = new.tenant_id for no key update;
  if (select pg_catalog.count(*) from public.agent_scenarios where tenant_id = new.tenant_id) >= 50 then
    perform private.reject(409, 'too_many_scenarios', 'There are 50 scenarios already. Delete one first.');
  end if;
  return new;
end $$;
create trigger few_scenarios before insert on public.agent_scenarios for each row execute function private.few_scenarios();
comment on function private.few_scenarios() is 'Fifty scenarios a tenant, by whichever door: each is paid for when it is run.';

create function private.run_scenarios(p_tenant uuid, p_ids uuid[] default null) returns uuid
language plpgsql security definer set search_path = '' as $$
declare v_batch uuid := private.uuid_v7(); v_count int;
begin
  perform private.may_change(p_tenant, 'admin');
  perform from public.tenants where id = p_tenant for no key update;
  if (select pg_catalog.count(*) from public.jobs where tenant_id = p_tenant and kind = 'scenario_run' and state in ('queued', 'running')) >= 5 then
    perform private.reject(409, 'scenarios_running', 'Five batches of scenarios are being rehearsed already. Wait for the end of one.');
  end if;
  insert into public.agent_scenario_runs (tenant_id, batch_id, scenario_id, name, held_at, lines, expect)
  select tenant_id, v_batch, id, name, held_at, lines, expect from public.agent_scenarios
  where tenant_id = p_tenant and (p_ids is null or id = any (p_ids)) order by id;
  get diagnostics v_count = row_count;
  if p_ids is not null and v_count <> (select pg_catalog.count(distinct i) from pg_catalog.unnest(p_ids) i) then
    perform private.reject(404, 'scenario_not_found', 'There is no such scenario.', 'ids');
  elsif v_count = 0 then
    perform private.reject(409, 'no_scenarios', 'There are no scenarios to rehearse. Write one first.');
  end if;
  return private.enqueue('scenario_run', p_tenant, v_batch, null, 5);
end $$;
comment on function private.run_scenarios(uuid, uuid[]) is 'Orders the rehearsal of a tenant''s scenarios, all or those; returns the job. Five batches at a time: each is paid for.';

revoke execute on function private.few_scenarios(), private.run_scenarios(uuid, uuid[]) from public;
grant execute on function private.run_scenarios(uuid, uuid[]) to authenticated, kestrel_admin, service_role;

-- What models cost -------------------------------------------------------------------------------------------------
-- Asked for a call's analysis, an answer to a text or a rehearsal, a model is paid for whether or not the worker lives to
-- use what it says. So each request is written down before it is sent, and its price as soon as that is heard.

alter table public.call_logs add column model_unpriced int not null default 0;
alter table public.messages add column model_unpriced int not null default 0;
alter table public.agent_scenario_runs add column model_unpriced int not null default 0;
comment on column public.call_logs.model_unpriced is 'Requests to a model about it whose price was not heard: on their way, or the worker ended before the answer. They may have been charged.';
comment on column public.messages.model_unpriced is 'Requests to a model for its answer whose price was not heard: on their way, or the worker ended before the answer. They may have been charged.';
comment on column public.agent_scenario_runs.model_unpriced is 'Requests to a model whose price was not heard: on their way, or the worker ended before the answer. They may have been charged.';

create function private.model_asked(p_subject uuid) returns void language sql security definer set search_path = '' as $$
  update public.call_logs set model_unpriced = model_unpriced + 1 where id = p_subject;
  update public.messages set model_unpriced = model_unpriced + 1 where id = p_subject;
  update public.agent_scenario_runs set model_unpriced = model_unpriced + 1 where id = p_subject;
$$;
comment on function private.model_asked(uuid) is 'A model is about to be asked something for that call, text or rehearsal.';

create function private.model_answered(p_subject uuid, p_micros bigint) returns void language sql security definer set search_path = '' as $$
  -- Tenant before its rows: a price moves the month's count.
  select from public.tenants where id = coalesce((select tenant_id from public.call_logs where id = p_subject), (select tenant_id from public.messages where id = p_subject)) for no key update;
  update public.call_logs set model_unpriced = model_unpriced - 1, model_cost_micros = model_cost_micros + p_micros, cost_micros = cost_micros + p_micros where id = p_subject;
  update public.messages set model_unpriced = model_unpriced - 1, cost_micros = cost_micros + p_micros where id = p_subject;
  update public.agent_scenario_runs set model_unpriced = model_unpriced - 1, cost_micros = cost_micros + p_micros where id = p_subject;
$$;
comment on function private.model_answered(uuid, bigint) is 'What one such request cost, in millionths of a US dollar, said once.';

revoke execute on function private.model_asked(uuid), private.model_answered(uuid, bigint) from public;
grant execute on function private.model_asked(uuid), private.model_answered(uuid, bigint) to service_role;
