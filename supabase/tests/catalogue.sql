-- One line of text for everything that a schema consists of, in every schema that is not Postgres's own.
-- Lines carry no object ids, so two databases can be compared.
with
schemas as (
  select oid, nspname from pg_namespace where nspname !~ '^(pg_|information_schema$)'
),
relations as (
  select c.*, format('%I.%I', nspname, relname) as name
  from pg_class c join schemas s on s.oid = relnamespace
  where not exists (select from pg_depend d where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e')
),
functions as (
  select p.*, p.oid::regprocedure as name
  from pg_proc p join schemas s on s.oid = pronamespace
  where not exists (select from pg_depend d where d.objid = p.oid and d.classid = 'pg_proc'::regclass and d.deptype = 'e')
)
select format('schema %s owner %s acl %s comment %s', s.nspname, n.nspowner::regrole, n.nspacl,
              obj_description(s.oid, 'pg_namespace'))
from schemas s join pg_namespace n on n.oid = s.oid
union all
select format('relation %s kind %s owner %s rls %s %s options %s acl %s comment %s view %s', name, relkind,
              relowner::regrole, relrowsecurity, relforcerowsecurity, reloptions, relacl,
              obj_description(oid, 'pg_class'), case when relkind in ('v', 'm') then pg_get_viewdef(oid) end)
from relations
union all
select format('column %s.%s %s type %s null %s identity %s generated %s default %s acl %s comment %s', r.name, a.attnum,
              a.attname, format_type(a.atttypid, a.atttypmod), not a.attnotnull, a.attidentity, a.attgenerated,
              pg_get_expr(d.adbin, d.adrelid), a.attacl, col_description(r.oid, a.attnum))
from relations r
join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
union all
select format('constraint %s on %s: %s validated %s comment %s', c.conname,
              coalesce(nullif(c.conrelid, 0)::regclass::text, c.contypid::regtype::text),
              pg_get_constraintdef(c.oid), c.convalidated, obj_description(c.oid, 'pg_constraint'))
from pg_constraint c join schemas s on s.oid = c.connamespace
union all
select format('index %s valid %s comment %s', pg_get_indexdef(i.indexrelid), i.indisvalid,
              obj_description(i.indexrelid, 'pg_class'))
from pg_index i join relations r on r.oid = i.indrelid
union all
select format('sequence %s', to_jsonb(q) - 'last_value')
from pg_sequences q join schemas s on s.nspname = q.schemaname
union all
select format('function %s owner %s acl %s comment %s: %s', name, proowner::regrole, proacl,
              obj_description(oid, 'pg_proc'), case when prokind in ('f', 'p') then pg_get_functiondef(oid) end)
from functions
union all
select format('trigger on %s enabled %s comment %s: %s', r.name, t.tgenabled, obj_description(t.oid, 'pg_trigger'),
              pg_get_triggerdef(t.oid))
from pg_trigger t join relations r on r.oid = t.tgrelid
where not t.tgisinternal
union all
select format('policy %s', to_jsonb(p)) from pg_policies p
union all
select format('type %s kind %s owner %s acl %s comment %s labels %s base %s default %s', t.oid::regtype, t.typtype,
              t.typowner::regrole, t.typacl, obj_description(t.oid, 'pg_type'),
              (select string_agg(enumlabel, ',' order by enumsortorder) from pg_enum e where e.enumtypid = t.oid),
              nullif(t.typbasetype, 0)::regtype, t.typdefault)
from pg_type t join schemas s on s.oid = t.typnamespace
where t.typtype in ('e', 'd', 'r')
union all
select format('default acl %s in %s for %s: %s', d.defaclrole::regrole, nullif(d.defaclnamespace, 0)::regnamespace,
              d.defaclobjtype, d.defaclacl)
from pg_default_acl d
union all
select format('extension %s in %s version %s', extname, extnamespace::regnamespace, extversion) from pg_extension
union all
select format('event trigger %s on %s: %s', evtname, evtevent, evtfoid::regproc) from pg_event_trigger
union all
select format('publication %s tables %s', pubname,
              (select array_agg(t.schemaname || '.' || t.tablename order by 1) from pg_publication_tables t
               where t.pubname = p.pubname))
from pg_publication p
union all
select format('rows in %s: %s', name,
              (xpath('/row/n/text()', query_to_xml('select count(*) as n from ' || name, false, true, '')))[1])
from relations where relkind = 'r'
order by 1
