-- A comment; with a semicolon.
create schema odd;;
/* nested /* ; */ ; */ create table odd."a;b" (id int, "it's" text default 'it'';s');
comment on table odd."a;b" is E'it\'s; done';
insert into odd."a;b" values (1, 'back\'), (2, $$dollar; $x$ quoted$$), (3, $x$ $$;$$ $x$), (4, 'ü;ß');
create function odd.f(a int) returns int language plpgsql as $fn$
begin
  -- inside; the body
  return $1 + 1;
end;
$fn$;
create function odd.standard(a int) returns int language sql
begin atomic
  select case when a > 0 then 1 else 2 end;
  select a + 1;
end;
create table odd.log (n int);
create rule twice as on insert to odd."a;b" do also (insert into odd.log select 1; insert into odd.log select 2);
do $$ begin perform 1; end $$;
create table odd.costs$in$euro (price$ int);
select (select count(*) from odd.log) ; -- trailing; comment
select 'a'
  ';b';
	select U&'\0061;' as tabbed ;
create table odd.last (n int)
-- the end, without a semicolon
