-- How people come to a tenant and pass it on: invitations whose link proves the mailbox, transfer, leaving. And what
-- sign-up keeps before there is a tenant: drafts, and limits that hold for all processes together.

create table public.invitations (
  id uuid primary key default private.uuid_v7(),
  tenant_id uuid not null references public.tenants (id) on delete cascade,
  email text not null constraint invitations_email_format check (email ~ '^[^@\s<>",;:]+@[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.[a-z]{2,}$' and char_length(email) <= 254),
  role public.member_role not null default 'member',
  template text not null default 'member_invite' constraint invitations_template_known check (template in ('member_invite', 'welcome')),
  invited_by text not null default '' constraint invitations_invited_by_length check (char_length(invited_by) <= 254),
  sends int not null default 1 constraint invitations_sends_positive check (sends > 0),
  sent_at timestamptz not null default now(),
  expires_at timestamptz not null,
  accepted_at timestamptz,
  accepted_by uuid,
  revoked_at timestamptz constraint invitations_revoked_at_range check (revoked_at between '2000-01-01 00:00+00' and '2199-12-31 00:00+00'),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index invitations_email_open on public.invitations (tenant_id, email) where accepted_at is null and revoked_at is null;
create index invitations_tenant_idx on public.invitations (tenant_id, id desc);
create index invitations_sent_idx on public.invitations (tenant_id, sent_at);
comment on table public.invitations is 'Who was asked to join which tenant. A new row sends the e-mail; its link is kept only as a hash, elsewhere.';
comment on column public.invitations.id is 'Opaque key.';
comment on column public.invitations.tenant_id is 'The tenant to join.';
comment on column public.invitations.email is 'Address it was sent to; only its login may accept.';
comment on column public.invitations.role is 'Role given on acceptance.';
comment on column public.invitations.template is 'E-mail that carries the link: member_invite, or welcome for a new tenant''s owner.';
comment on column public.invitations.invited_by is 'Who asked.';
comment on column public.invitations.sends is 'E-mails so far. Raise it by one to send another, with a new link.';
comment on column public.invitations.sent_at is 'When the last e-mail was asked for.';
comment on column public.invitations.expires_at is 'When the last link ends: 24 hours after sending, 7 days for an owner''s first.';
comment on column public.invitations.accepted_at is 'When it was accepted.';
comment on column public.invitations.accepted_by is 'Login that accepted.';
comment on column public.invitations.revoked_at is 'Set to revoke it, for good.';
comment on column public.invitations.created_at is 'When it was made.';
comment on column public.invitations.updated_at is 'When it last changed.';

create table private.invitation_tokens (
  hash bytea primary key check (octet_length(hash) = 32),
  invitation_id uuid not null references public.invitations (id) on delete cascade,
  expires_at timestamptz not null,
  claimed_until timestamptz
);
create index invitation_tokens_invitation_idx on private.invitation_tokens (invitation_id);
comment on table private.invitation_tokens is 'SHA-256 of the links sent for invitations, one per e-mail. Each ends by itself; acceptance and revocation end all.';

create table private.onboarding_drafts (
  hash bytea primary key check (octet_length(hash) = 32),
  data jsonb not null,
  updated_at timestamptz not null,
  expires_at timestamptz not null
);
create index onboarding_drafts_expires_idx on private.onboarding_drafts (expires_at);
comment on table private.onboarding_drafts is 'Half-filled sign-up forms, by the hash of a token that the browser keeps. Gone after 7 days.';

create table private.rate_windows (
  bucket bytea primary key check (octet_length(bucket) = 32),
  started_at timestamptz not null,
  hits int not null
);
create index rate_windows_started_idx on private.rate_windows (started_at);
comment on table private.rate_windows is 'Counts behind limits that hold for all processes together. The key is a hash: no address is kept.';

create function private.take_rate(p_bucket bytea, p_limit int, p_window interval, p_at timestamptz) returns int
language sql security definer set search_path = '' as $$
  insert into private.rate_windows as r (bucket, started_at, hits) values (p_bucket, p_at, 1)
  on conflict (bucket) do update set
    started_at = case when r.started_at <= p_at - p_window then p_at else r.started_at end,
    hits = case when r.started_at <= p_at - p_window then 1 else r.hits + 1 end
  returning case when hits <= p_limit then 0 else greatest(1, pg_catalog.ceil(extract(epoch from started_at + p_window - p_at))::int) end
$$;
comment on function private.take_rate(bytea, int, interval, timestamptz) is 'Counts one use. 0 while there are no more than p_limit in the window, else the seconds until it ends.';

create function private.forget_sign_ups(p_at timestamptz) returns void language plpgsql security definer set search_path = '' as $$
begin
  delete from private.onboarding_drafts where expires_at <= p_at;
  delete from private.rate_windows where started_at < p_at - interval '1 day';
end $$;
comment on function private.forget_sign_ups(timestamptz) is 'Purges drafts and counts that have ended.';

-- Invitations -----------------------------------------------------------------------------------------------------

create function private.invitation_before() returns trigger language plpgsql security definer set search_path = '' as $$
declare v_life interval := case new.template when 'welcome' then interval '7 days' else interval '24 hours' end;
begin
  new.updated_at := pg_catalog.now();
  if tg_op = 'INSERT' then
    new.email := pg_catalog.lower(pg_catalog.btrim(new.email));
    new.expires_at := coalesce(new.expires_at, pg_catalog.now() + v_life);
    new.invited_by := coalesce(nullif(new.invited_by, ''), case
      when private.actor() like 'admin:%' then 'Kestrel'
      when private.actor() like 'person:%' then coalesce(private.setting('actor_label'), nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'email') end, '');
    -- Somebody who was added but has never signed in may be sent a link.
    if exists (select from public.tenant_users m join auth.users u on u.id = m.user_id
               where m.tenant_id = new.tenant_id and m.email = new.email and u.last_sign_in_at is not null) then
      perform private.reject(409, 'already_member', pg_catalog.format('%s is a member already.', new.email), 'email');
    end if;
  else
    if old.accepted_at is not null or old.revoked_at is not null then
      perform private.reject(409, 'invitation_closed', pg_catalog.format('An invitation that was %s stays so. Make a new one.',
        case when old.accepted_at is null then 'revoked' else 'accepted' end));
    end if;
    if (new.email, new.role, new.template) is distinct from (old.email, old.role, old.template) then
      perform private.reject(409, 'invitation_fixed', 'An invitation cannot be changed once it is sent. Revoke it and make a new one.');
    end if;
    if new.sends = old.sends then return new; end if;
    if new.sends <> old.sends + 1 then
      perform private.reject(422, 'sends_step', 'Raise it by one to send the invitation again.', 'sends');
    end if;
    if old.sent_at > pg_catalog.now() - interval '1 minute' then
      perform private.reject(429, 'invitation_just_sent', 'The invitation was sent less than a minute ago.');
    end if;
    new.sent_at := pg_catalog.now();
    new.expires_at := pg_catalog.now() + v_life;
  end if;
  if (select pg_catalog.count(*) from public.invitations where tenant_id = new.tenant_id and sent_at > pg_catalog.now() - interval '1 day') >= 200 then
    perform private.reject(429, 'too_many_invitations', 'This tenant has sent 200 invitations within a day. Wait before sending more.');
  end if;
  return new;
end $$;
create trigger invitation_before before insert or update on public.invitations for each row execute function private.invitation_before();

create function private.invitation_after() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' or new.sends <> old.sends then
    perform private.queue_email(new.template, new.tenant_id, new.email,
      case when new.template = 'welcome' and new.sends = 1 then 'welcome:' || new.tenant_id else pg_catalog.format('invite:%s:%s', new.id, new.sends) end,
      pg_catalog.jsonb_build_object('link', 'invitation', 'invitation_id', new.id, 'role', new.role, 'invited_by', new.invited_by, 'expires_at', new.expires_at,
        'status', (select subscription_status from public.tenants where id = new.tenant_id)));
  end if;
  return null;
end $$;
create trigger invitation_after after insert or update on public.invitations for each row execute function private.invitation_after();
create trigger log_activity after insert or update or delete on public.invitations for each row execute function private.log_activity('invitation');
create trigger tenant_fixed before update of tenant_id on public.invitations for each row
  when (old.tenant_id is distinct from new.tenant_id) execute function private.tenant_fixed();

create function private.invite_owner(p_tenant uuid) returns void language sql security definer set search_path = '' as $$
  insert into public.invitations (tenant_id, email, role, template, invited_by)
  select id, owner_email, 'owner', 'welcome', 'Kestrel' from public.tenants where id = p_tenant
  on conflict do nothing
$$;
comment on function private.invite_owner(uuid) is 'The first link of a new tenant''s owner, in the welcome: 7 days.';

create function private.mint_invitation(p_email uuid, p_hash bytea, p_link text, p_at timestamptz) returns boolean
language plpgsql security definer set search_path = '' as $$
declare v public.invitations;
begin
  select i.* into v from public.email_log e join public.invitations i on i.id = (e.params ->> 'invitation_id')::uuid and i.tenant_id = e.tenant_id and i.email = e.to_email
  where e.id = p_email for no key update of i;
  if not found or v.accepted_at is not null or v.revoked_at is not null or v.expires_at <= p_at then return false; end if;
  insert into private.email_links (email_id, link) values (p_email, p_link) on conflict do nothing;
  if found then
    insert into private.invitation_tokens (hash, invitation_id, expires_at) values (p_hash, v.id, v.expires_at);
  end if;
  return true;
end $$;
comment on function private.mint_invitation(uuid, bytea, text, timestamptz) is 'Gives an unsent e-mail its link, once. False if the invitation is no longer open.';

create function private.open_invitation(p_tenant uuid, p_hash bytea, p_at timestamptz,
  out id uuid, out email text, out role public.member_role, out company_name text, out expires_at timestamptz, out user_id uuid, out signs_in boolean)
language plpgsql security definer set search_path = '' as $$
declare v public.invitations;
begin
  select k.expires_at into expires_at from private.invitation_tokens k where k.hash = p_hash;
  select i.* into v from private.invitation_tokens k join public.invitations i on i.id = k.invitation_id where k.hash = p_hash and i.tenant_id = p_tenant;
  case
    when v.id is null then perform private.reject(404, 'invitation_not_found', 'This is no link of an invitation. Use the whole link of the e-mail.');
    when v.accepted_at is not null then perform private.reject(410, 'invitation_used', 'This invitation was accepted already. Sign in.');
    when v.revoked_at is not null then perform private.reject(410, 'invitation_revoked', 'This invitation was withdrawn.');
    when expires_at <= p_at then perform private.reject(410, 'invitation_expired', 'This invitation has expired. Ask for a new one.');
    else null;
  end case;
  select u.id, u.last_sign_in_at is not null and u.email_confirmed_at is not null into user_id, signs_in
  from auth.users u where pg_catalog.lower(u.email) = v.email order by u.created_at limit 1;
  signs_in := coalesce(signs_in, false);
  id := v.id; email := v.email; role := v.role;
  select t.company_name into company_name from public.tenants t where t.id = p_tenant;
end $$;
comment on function private.open_invitation(uuid, bytea, timestamptz) is 'The invitation that a link opens at its tenant, or KS404, KS410 saying why not. signs_in: the address has a login that was used.';

create function private.claim_invitation(p_tenant uuid, p_hash bytea, p_at timestamptz,
  out id uuid, out email text, out role public.member_role, out company_name text, out expires_at timestamptz, out user_id uuid, out signs_in boolean)
language plpgsql security definer set search_path = '' as $$
declare v_id uuid;
begin
  select k.invitation_id into v_id from private.invitation_tokens k where k.hash = p_hash;
  perform from public.invitations i where i.id = v_id for no key update;
  select * into id, email, role, company_name, expires_at, user_id, signs_in from private.open_invitation(p_tenant, p_hash, p_at);
  if exists (select from private.invitation_tokens k where k.invitation_id = v_id and k.claimed_until > p_at) then
    perform private.reject(409, 'in_progress', 'This invitation is being accepted.');
  end if;
  update private.invitation_tokens k set claimed_until = p_at + interval '1 minute' where k.invitation_id = v_id;
end $$;
comment on function private.claim_invitation(uuid, bytea, timestamptz) is 'Holds an invitation for whoever is accepting it, for a minute, so that no second one sets another password meanwhile.';

create function private.release_invitation(p_invitation uuid) returns void language sql security definer set search_path = '' as $$
  update private.invitation_tokens set claimed_until = null where invitation_id = p_invitation
$$;
comment on function private.release_invitation(uuid) is 'Gives back what claim_invitation held.';

create function private.accept_invitation(p_invitation uuid, p_user uuid, p_at timestamptz) returns void
language plpgsql security definer set search_path = '' as $$
declare v public.invitations; v_member uuid;
begin
  perform from public.tenants where id = (select tenant_id from public.invitations where id = p_invitation) for no key update;
  select * into v from public.invitations where id = p_invitation for update;
  case
    when v.id is null then perform private.reject(404, 'invitation_not_found', 'There is no such invitation.');
    when v.accepted_at is not null then perform private.reject(410, 'invitation_used', 'This invitation was accepted already. Sign in.');
    when v.revoked_at is not null then perform private.reject(410, 'invitation_revoked', 'This invitation was withdrawn.');
    when not exists (select from auth.users where id = p_user and pg_catalog.lower(email) = v.email and email_confirmed_at is not null) then
      perform private.reject(403, 'other_address', 'Only the address that was invited may accept.');
    else null;
  end case;
  select id into v_member from public.tenant_users where tenant_id = v.tenant_id and (email = v.email or user_id = p_user) order by user_id = p_user desc nulls last limit 1;
  if v_member is null then
    insert into public.tenant_users (tenant_id, user_id, email, role) values (v.tenant_id, p_user, v.email, v.role);
  else
    update public.tenant_users set user_id = p_user, role = greatest(role, v.role) where id = v_member and (user_id, role) is distinct from (p_user, greatest(role, v.role));
  end if;
  update public.invitations set accepted_at = p_at, accepted_by = p_user where id = v.id;
end $$;
comment on function private.accept_invitation(uuid, uuid, timestamptz) is 'Makes the login a member and ends the invitation. One who is a member already keeps the stronger role.';

-- Handing over and leaving -----------------------------------------------------------------------------------------

create function private.own_membership(p_tenant uuid) returns uuid language plpgsql stable security definer set search_path = '' as $$
begin
  return (select id from public.tenant_users where tenant_id = p_tenant and (private.host_tenant() is null or private.host_tenant() = p_tenant)
    and user_id = (nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid);
end $$;
comment on function private.own_membership(uuid) is 'The token''s person''s membership in the tenant, null if none.';

create function private.hand_over(p_tenant uuid, p_from uuid, p_to uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare v_from uuid; v_owners uuid[]; v_to public.tenant_users;
begin
  perform from public.tenants where id = p_tenant and (private.host_tenant() is null or id = private.host_tenant()) for no key update;
  if not found then perform private.reject(404, 'tenant_not_found', 'There is no such tenant.'); end if;
  v_owners := array(select id from public.tenant_users where tenant_id = p_tenant and role = 'owner');
  v_from := coalesce(p_from, case when pg_catalog.cardinality(v_owners) = 1 then v_owners[1] end);
  case
    when v_from is null then perform private.reject(409, 'several_owners', 'There are several owners. Say which of them becomes an admin.', 'from_member_id');
    when v_from <> all (v_owners) then perform private.reject(409, 'not_an_owner', 'Only an owner can hand the tenant over.', 'from_member_id');
    else null;
  end case;
  select * into v_to from public.tenant_users where tenant_id = p_tenant and id = p_to for update;
  case
    when v_to.id is null then perform private.reject(404, 'member_not_found', 'There is no such member.', 'member_id');
    when v_to.id = v_from then perform private.reject(409, 'already_owner', pg_catalog.format('%s is the owner already.', v_to.email), 'member_id');
    when v_to.user_id is null then perform private.reject(409, 'member_not_joined', pg_catalog.format('%s has not joined yet.', v_to.email), 'member_id');
    else null;
  end case;
  update public.tenant_users set role = 'owner' where id = p_to;
  update public.tenant_users set role = 'admin' where id = v_from;
end $$;
comment on function private.hand_over(uuid, uuid, uuid) is 'An owner becomes admin and another member owner, both or neither. Without p_from the only owner.';

create function private.transfer_ownership(p_tenant uuid, p_to uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare v_own uuid;
begin
  perform from public.tenants where id = p_tenant for no key update;
  v_own := private.own_membership(p_tenant);
  if v_own is null or p_tenant <> all (private.writable_tenants('owner')) then
    perform private.reject(403, 'owner_required', 'Only an owner may hand the tenant over.');
  end if;
  perform private.hand_over(p_tenant, v_own, p_to);
end $$;
comment on function private.transfer_ownership(uuid, uuid) is 'The calling owner becomes admin and another member owner, both or neither.';

create function private.leave_tenant(p_tenant uuid) returns void
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.tenant_users where id = private.own_membership(p_tenant);
  if not found then perform private.reject(404, 'member_not_found', 'You are no member here.'); end if;
end $$;
comment on function private.leave_tenant(uuid) is 'Ends the caller''s own membership. The last owner stays.';

-- Who may -----------------------------------------------------------------------------------------------------------

do $$
declare
  t text;
  may text := '(tenant_id = any ((select private.writable_tenants(''admin''))::uuid[]) and (role < ''admin'' or tenant_id = any ((select private.writable_tenants(''owner''))::uuid[])))';
begin
  foreach t in array array['invitation_tokens', 'onboarding_drafts', 'rate_windows'] loop
    execute format('alter table private.%I enable row level security', t);
    execute format('grant select, insert, update, delete on private.%I to service_role', t);
  end loop;
  alter table public.invitations enable row level security;
  revoke all on public.invitations from public, anon, authenticated, service_role;
  grant select, insert, update, delete on public.invitations to service_role;
  create policy admin_all on public.invitations for all to kestrel_admin using (true) with check (true);
  create policy host_tenant on public.invitations as restrictive for all to anon, authenticated, kestrel_key, kestrel_admin
    using ((select private.host_tenant()) is null or tenant_id = (select private.host_tenant()));
  create policy member_read on public.invitations for select to authenticated using (tenant_id = any ((select private.readable_tenants())::uuid[]));
  create policy key_read on public.invitations for select to kestrel_key using (tenant_id = any ((select private.key_tenants('read'))::uuid[]));
  execute 'create policy member_insert on public.invitations for insert to authenticated with check ' || may;
  execute 'create policy member_update on public.invitations for update to authenticated using ' || may || ' with check ' || may;
end $$;
grant select on public.invitations to authenticated, kestrel_key, kestrel_admin;
grant insert (tenant_id, email, role), update (revoked_at, sends) on public.invitations to authenticated, kestrel_admin;
grant execute on function private.hand_over(uuid, uuid, uuid) to kestrel_admin;
grant execute on function private.transfer_ownership(uuid, uuid), private.leave_tenant(uuid) to authenticated;
grant execute on function private.take_rate(bytea, int, interval, timestamptz), private.forget_sign_ups(timestamptz), private.invite_owner(uuid),
  private.mint_invitation(uuid, bytea, text, timestamptz), private.open_invitation(uuid, bytea, timestamptz), private.claim_invitation(uuid, bytea, timestamptz),
  private.release_invitation(uuid), private.accept_invitation(uuid, uuid, timestamptz) to service_role;
