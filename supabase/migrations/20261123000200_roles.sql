-- Who runs SQL. kestrel_app is the servers' login: it owns nothing, inherits nothing and may only become one of the
-- scope roles for a transaction. kestrel_key and kestrel_admin are not granted to PostgREST's authenticator, so no JWT
-- can reach them. Roles are cluster-wide: another database of this cluster may have made them already.
do $$
declare r text;
begin
  foreach r in array array['kestrel_key', 'kestrel_admin'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = r) then
      execute format('create role %I nologin noinherit', r);
    end if;
  end loop;
  if not exists (select from pg_catalog.pg_roles where rolname = 'kestrel_app') then
    create role kestrel_app login noinherit;
  end if;
end $$;
grant anon, authenticated, service_role, kestrel_key, kestrel_admin to kestrel_app;

create schema if not exists private;
comment on schema private is 'Policy helpers, rules every door obeys, and secrets such as key hashes. Never exposed by PostgREST.';
comment on schema river is 'River''s job queue. Not exposed; see public.jobs for the record staff read.';

-- Nothing is granted that is not spelled out in a later migration (TRUNCATE would ignore row-level security).
alter default privileges for role postgres in schema public revoke all on tables from anon, authenticated, service_role;
alter default privileges for role postgres in schema public revoke all on sequences from anon, authenticated, service_role;
alter default privileges for role postgres in schema public revoke all on functions from anon, authenticated, service_role;
alter default privileges for role postgres revoke execute on functions from public;
revoke all on schema private from public;
grant usage on schema public, private to anon, authenticated, service_role, kestrel_key, kestrel_admin, kestrel_app;
revoke create on schema public from public;

grant usage on schema river to kestrel_app;
grant select, insert, update, delete on all tables in schema river to kestrel_app;
grant usage, select on all sequences in schema river to kestrel_app;
grant execute on all functions in schema river to kestrel_app;

create extension if not exists btree_gist with schema extensions;
create extension if not exists btree_gin with schema extensions;

-- UUIDv7 (RFC 9562): 48 bits of milliseconds, then 12 bits of the microseconds within, so that keys made in one
-- backend sort by time; Postgres 18 has it built in.
create function private.uuid_v7() returns uuid language sql volatile set search_path = '' as $$
  select pg_catalog.encode(
    pg_catalog.substr(pg_catalog.int8send(us / 1000), 3)
    || pg_catalog.int2send((28672 + (us % 1000) * 4096 / 1000)::int2)
    || pg_catalog.set_byte(pg_catalog.substr(r, 9), 0, (pg_catalog.get_byte(r, 8) & 63) | 128),
    'hex')::uuid
  from (select (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::int8 as us,
               pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) as r) s
$$;
comment on function private.uuid_v7() is 'Primary key default: opaque to people, ordered by time for the disk.';

-- The transaction's settings, as the scope put them there. They only ever narrow or name; none grants.
-- plpgsql here and in the policies' look-ups: it keeps its plans for the session, where SQL plans anew in every query.
create function private.setting(name text) returns text language plpgsql stable set search_path = '' as $$
begin
  return nullif(pg_catalog.current_setting('kestrel.' || name, true), '');
end $$;
create function private.host_tenant() returns uuid language plpgsql stable set search_path = '' as $$
begin
  return nullif(pg_catalog.current_setting('kestrel.tenant_id', true), '')::uuid;
end $$;

-- Raises an error that the edge answers as problem+json: SQLSTATE 'KS' + HTTP status, CONSTRAINT = code, COLUMN = field.
create function private.reject(status int, code text, message text, field text default '') returns void
language plpgsql set search_path = '' as $$
begin
  raise exception using errcode = 'KS' || status, message = message, constraint = code, column = field;
end $$;

grant execute on function private.uuid_v7(), private.setting(text), private.host_tenant(), private.reject(int, text, text, text)
  to anon, authenticated, service_role, kestrel_key, kestrel_admin, kestrel_app;
