-- What platform admins do to many tenants at once, and the numbers at Twilio that nobody has.

create table public.orphaned_numbers (
  id uuid primary key default private.uuid_v7(),
  sid text not null constraint orphaned_numbers_sid_key unique,
  phone_number text not null,
  friendly_name text not null default '',
  account_sid text,
  monthly_cost_cents int,
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null
);
comment on table public.orphaned_numbers is 'Numbers that we pay Twilio for and that no tenant has, as the hourly sweep last saw them. A row goes when somebody has the number, or Twilio no longer has it.';
comment on column public.orphaned_numbers.id is 'Opaque key.';
comment on column public.orphaned_numbers.sid is 'Twilio''s PN… identifier.';
comment on column public.orphaned_numbers.phone_number is 'E.164.';
comment on column public.orphaned_numbers.friendly_name is 'Name at Twilio.';
comment on column public.orphaned_numbers.account_sid is 'Twilio account that owns it.';
comment on column public.orphaned_numbers.monthly_cost_cents is 'What we pay for it, US cents, by Twilio''s list price; empty where that is not known.';
comment on column public.orphaned_numbers.first_seen_at is 'The first sweep that found it.';
comment on column public.orphaned_numbers.last_seen_at is 'The last sweep that found it.';
alter table public.orphaned_numbers enable row level security;
revoke all on public.orphaned_numbers from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.orphaned_numbers to service_role;
grant select on public.orphaned_numbers to kestrel_admin;
create policy admin_read on public.orphaned_numbers for select to kestrel_admin using (true);
create policy host_tenant on public.orphaned_numbers as restrictive for all to kestrel_admin using ((select private.host_tenant()) is null);

create function private.orphan(p_sid text) returns public.orphaned_numbers
language plpgsql security definer set search_path = '' as $$
declare v public.orphaned_numbers;
begin
  select * into v from public.orphaned_numbers where sid = p_sid and private.host_tenant() is null for update;
  if not found then perform private.reject(404, 'orphan_not_found', 'There is no such number that nobody has. Sweep again to see what there is now.'); end if;
  if exists (select from public.jobs where subject_id = v.id and kind = 'orphan_release' and state in ('queued', 'running')) then
    perform private.reject(409, 'number_releasing', pg_catalog.format('The number %s is being released.', v.phone_number));
  end if;
  return v;
end $$;
comment on function private.orphan(text) is 'The orphan with that SID, locked, unless it is on its way back to Twilio.';

create function private.adopt_number(p_sid text, p_tenant uuid) returns uuid
language plpgsql security definer set search_path = '' as $$
declare v public.orphaned_numbers; v_id uuid;
begin
  v := private.orphan(p_sid);
  if not exists (select from public.tenants where id = p_tenant and deleted_at is null) then
    perform private.reject(422, 'tenant_not_found', 'There is no such tenant.', 'tenant_id');
  end if;
  perform private.hold_number(p_tenant, v.phone_number);
  if exists (select from public.phone_numbers where phone_number = v.phone_number and released_at is null)
    or exists (select from public.number_purchases where phone_number = v.phone_number and state = 'open') then
    perform private.reject(409, 'number_taken', pg_catalog.format('Somebody has the number %s by now. Sweep again.', v.phone_number), 'sid');
  end if;
  insert into public.phone_numbers (tenant_id, phone_number, status, provider_sid, account_sid, friendly_name, monthly_cost_cents)
  values (p_tenant, v.phone_number, 'configuring', v.sid, v.account_sid, v.friendly_name, v.monthly_cost_cents) returning id into v_id;
  delete from public.orphaned_numbers where id = v.id;
  perform private.enqueue('fallback_publish', p_tenant, p_tenant);
  return private.enqueue('webhook_configure', p_tenant, v_id);
end $$;
comment on function private.adopt_number(text, uuid) is 'Gives a number that nobody has to a tenant; returns the job that sets its webhooks.';

create function private.release_orphan(p_sid text, p_confirm text) returns uuid
language plpgsql security definer set search_path = '' as $$
declare v public.orphaned_numbers;
begin
  v := private.orphan(p_sid);
  if v.phone_number is distinct from p_confirm then
    perform private.reject(422, 'confirm_mismatch', 'Type the number to be released.', 'confirm');
  end if;
  return private.enqueue('orphan_release', null, v.id);
end $$;
comment on function private.release_orphan(text, text) is 'Orders a number that nobody has to be given back to Twilio; returns the job.';

create function private.sweep_numbers() returns uuid
language plpgsql security definer set search_path = '' as $$
declare v_id uuid;
begin
  if private.host_tenant() is not null then perform private.reject(403, 'not_here', 'Sweep at the platform''s own host.'); end if;
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('number_sweep', 0));
  select id into v_id from public.jobs where kind = 'number_sweep' and state = 'queued' order by id limit 1;
  return coalesce(v_id, private.enqueue('number_sweep', null, null, null, 5));
end $$;
comment on function private.sweep_numbers() is 'Looks for numbers that nobody has now; returns the job, the waiting one if there is one.';

-- Bulk orders ----------------------------------------------------------------------------------------------------

create table public.bulk_orders (
  id uuid primary key,
  action text not null constraint bulk_orders_action_known check (action in ('activate', 'suspend', 'change_plan', 'email')),
  params jsonb not null,
  actor text not null,
  actor_label text not null default '',
  job_id uuid,
  created_at timestamptz not null default now()
);
comment on table public.bulk_orders is 'What an admin ordered for many tenants at once. Ordered in the app; editing a row here changes nothing of a tenant.';
comment on column public.bulk_orders.id is 'The batch_id that the order came with.';
comment on column public.bulk_orders.action is 'activate, suspend, change_plan or email.';
comment on column public.bulk_orders.params is 'What the action takes: the reason, the plan, or the e-mail''s subject and text.';
comment on column public.bulk_orders.actor is 'Who ordered it: admin:…, or login:… when done in Studio.';
comment on column public.bulk_orders.actor_label is 'Readable name of who ordered it.';
comment on column public.bulk_orders.job_id is 'The job that does it, where it is done by one.';
comment on column public.bulk_orders.created_at is 'When it was ordered.';
create table public.bulk_items (
  order_id uuid not null references public.bulk_orders (id) on delete cascade,
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  position int not null,
  outcome text not null default 'waiting' constraint bulk_items_outcome_known check (outcome in ('waiting', 'changed', 'refused')),
  code text,
  message text,
  primary key (order_id, tenant_id)
);
create index bulk_items_tenant_idx on public.bulk_items (tenant_id);
comment on table public.bulk_items is 'What became of a bulk order at each tenant, written in the transaction that did it.';
comment on column public.bulk_items.order_id is 'The order.';
comment on column public.bulk_items.tenant_id is 'The tenant.';
comment on column public.bulk_items.position is 'Its place in the order.';
comment on column public.bulk_items.outcome is 'waiting, changed or refused.';
comment on column public.bulk_items.code is 'Why it was refused, as a stable word.';
comment on column public.bulk_items.message is 'Why it was refused.';
alter table public.bulk_orders enable row level security;
alter table public.bulk_items enable row level security;
revoke all on public.bulk_orders, public.bulk_items from public, anon, authenticated, service_role;
grant select, insert, update, delete on public.bulk_orders, public.bulk_items to service_role;
grant select on public.bulk_orders, public.bulk_items to kestrel_admin;
create policy admin_read on public.bulk_orders for select to kestrel_admin using (true);
create policy host_tenant on public.bulk_orders as restrictive for all to kestrel_admin using ((select private.host_tenant()) is null);
create policy admin_read on public.bulk_items for select to kestrel_admin using (true);
create policy host_tenant on public.bulk_items as restrictive for all to anon, authenticated, kestrel_key, kestrel_admin
  using ((select private.host_tenant()) is null or tenant_id = (select private.host_tenant()));
create trigger tenant_fixed before update of tenant_id on public.bulk_items for each row when (old.tenant_id is distinct from new.tenant_id) execute function private.tenant_fixed();

create function private.bulk_do(p_action text, p_params jsonb, p_order uuid, p_tenant uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare v public.tenants;
begin
  select * into v from public.tenants where id = p_tenant and (private.host_tenant() is null or id = private.host_tenant()) for no key update;
  if not found then perform private.reject(404, 'tenant_not_found', 'There is no such tenant.'); end if;
  if v.deleted_at is not null then perform private.reject(409, 'tenant_deleted', 'The tenant is deleted. Restore it first.'); end if;
  case p_action
    when 'activate' then
      perform private.change_status(p_tenant, case when v.subscription_status = 'pending' and not coalesce((p_params ->> 'skip_trial')::boolean, false) then 'trial' else 'active' end);
    when 'suspend' then
      perform private.change_status(p_tenant, 'suspended', nullif(p_params ->> 'reason', ''));
    when 'change_plan' then
      if v.plan_tier = p_params ->> 'plan_tier' then
        perform private.reject(409, 'plan_unchanged', pg_catalog.format('The tenant is on the plan %s already.', v.plan_tier));
      end if;
      update public.tenants set plan_tier = p_params ->> 'plan_tier' where id = p_tenant;
    when 'email' then
      if private.queue_email('announcement', p_tenant, v.owner_email, 'bulk:' || p_order || ':' || p_tenant,
          pg_catalog.jsonb_build_object('subject', p_params ->> 'subject', 'text', p_params ->> 'text')) is null then
        perform private.reject(409, 'email_queued', 'This owner has had this e-mail.');
      end if;
  end case;
end $$;
comment on function private.bulk_do(text, jsonb, uuid, uuid) is 'One action on one tenant, by the rules that hold for it alone.';

create function private.bulk_try(p_action text, p_params jsonb, p_order uuid, p_tenant uuid, p_keep boolean) returns text[]
language plpgsql security definer set search_path = '' as $$
declare v_state text; v_code text; v_message text;
begin
  perform private.bulk_do(p_action, p_params, p_order, p_tenant);
  if not p_keep then raise exception using errcode = 'KSDRY'; end if;
  return array['changed', '', ''];
exception
  when sqlstate 'KSDRY' then
    return array['changed', '', ''];
  when others then
    get stacked diagnostics v_state = returned_sqlstate, v_code = constraint_name, v_message = message_text;
    if v_state like 'KS%' then return array['refused', v_code, v_message]; end if;
    if v_state like '23%' then return array['refused', 'rule_broken', 'The change breaks a rule of the database.']; end if;
    raise;
end $$;
comment on function private.bulk_try(text, jsonb, uuid, uuid, boolean) is 'Does the action, or without p_keep does it and takes it back, so that a dry run tells exactly what a real one would do: outcome, code, message.';

create function private.bulk_order(p_order uuid, p_action text, p_params jsonb, p_tenants uuid[], p_as_job boolean) returns uuid
language plpgsql security definer set search_path = '' as $$
declare v public.bulk_orders;
begin
  insert into public.bulk_orders (id, action, params, actor, actor_label)
  values (p_order, p_action, p_params, private.actor(), coalesce(private.setting('actor_label'), '')) on conflict (id) do nothing;
  if not found then
    select * into v from public.bulk_orders where id = p_order;
    if (v.action, v.params) is distinct from (p_action, p_params) then
      perform private.reject(409, 'batch_differs', 'This batch_id was used for another order.', 'batch_id');
    end if;
    return v.job_id;
  end if;
  insert into public.bulk_items (order_id, tenant_id, position)
  select p_order, i.id, i.position from pg_catalog.unnest(p_tenants) with ordinality as i (id, position);
  if p_as_job then
    update public.bulk_orders set job_id = private.enqueue('tenants_bulk', null, p_order) where id = p_order returning * into v;
  end if;
  return v.job_id;
end $$;
comment on function private.bulk_order(uuid, text, jsonb, uuid[], boolean) is 'Records an order, once per id: a repeat stays with the tenants that the first one chose. Returns its job, if it is done by one.';

create function private.bulk_run(p_order uuid, p_tenant uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare o public.bulk_orders; r text[];
begin
  perform from public.bulk_items where order_id = p_order and tenant_id = p_tenant and outcome = 'waiting' for update;
  if not found then return; end if;
  select * into o from public.bulk_orders where id = p_order;
  r := private.bulk_try(o.action, o.params, p_order, p_tenant, true);
  update public.bulk_items set outcome = r[1], code = nullif(r[2], ''), message = nullif(r[3], '') where order_id = p_order and tenant_id = p_tenant;
end $$;
comment on function private.bulk_run(uuid, uuid) is 'Does an order at one tenant, once, whoever else is at it.';

create function private.bulk_results(p_order uuid) returns table (tenant_id uuid, slug text, company_name text, outcome text, code text, message text)
language plpgsql stable security definer set search_path = '' as $$
begin
  return query select i.tenant_id, t.slug, t.company_name, i.outcome, i.code, i.message
    from public.bulk_items i join public.tenants t on t.id = i.tenant_id
    where i.order_id = p_order and (private.host_tenant() is null or i.tenant_id = private.host_tenant()) order by i.position;
end $$;
comment on function private.bulk_results(uuid) is 'What has become of an order at each tenant so far, in the order''s own order.';

create function private.bulk_order_of(p_order uuid, out action text, out job_id uuid, out actor_label text, out created_at timestamptz)
language plpgsql stable security definer set search_path = '' as $$
begin
  select o.action, o.job_id, o.actor_label, o.created_at into action, job_id, actor_label, created_at from public.bulk_orders o where o.id = p_order;
  if not found then perform private.reject(404, 'bulk_order_not_found', 'There is no such order.'); end if;
end $$;
comment on function private.bulk_order_of(uuid) is 'An order, without its texts.';

revoke execute on function private.bulk_do(text, jsonb, uuid, uuid), private.orphan(text) from public;
grant execute on function private.adopt_number(text, uuid), private.release_orphan(text, text), private.sweep_numbers(),
  private.bulk_try(text, jsonb, uuid, uuid, boolean), private.bulk_order(uuid, text, jsonb, uuid[], boolean), private.bulk_run(uuid, uuid),
  private.bulk_results(uuid), private.bulk_order_of(uuid) to kestrel_admin, service_role;

-- Locks ----------------------------------------------------------------------------------------------------------

-- A row's foreign key locks its tenant weakly, and the counting after it strongly. Where an edit of the slug waits in
-- between, neither can go on: so what counts takes the strong lock at once.
create function private.tenant_first() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform from public.tenants where id = new.tenant_id for no key update;
  return new;
end $$;
comment on function private.tenant_first() is 'Tenant before everything else: one order of locks, no deadlock with an edit of the tenant.';
create trigger tenant_first before insert on public.call_logs for each row execute function private.tenant_first();
create trigger tenant_first before insert on public.usage_adjustments for each row execute function private.tenant_first();
revoke execute on function private.tenant_first() from public;
