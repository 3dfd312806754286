package tests

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/supabasetest"
)

// customer is a tenant with a row in every table and one person of each role.
type customer struct {
	id     uuid.UUID
	people map[string]uuid.UUID // by role
	read   uuid.UUID            // API keys, by scope
	write  uuid.UUID
}

const fillEveryTable = `
with u as (select id from tenant_usage where tenant_id = $1),
  n as (insert into phone_numbers (tenant_id, phone_number, status) values ($1, '+1617' || $2 || '00', 'ready') returning id),
  p as (insert into number_purchases (tenant_id, phone_number) values ($1, '+1617' || $2 || '01') returning id),
  c as (insert into contacts (tenant_id, phone_number, name) values ($1, '+1617' || $2 || '02', 'Caller') returning id),
  l as (insert into call_logs (tenant_id, phone_number_id, contact_id, call_sid, started_at, agent_seconds, duration_seconds, status)
        select $1, n.id, c.id, 'CA' || $2, now(), 30, 35, 'completed' from n, c returning id),
  t as (insert into call_turns (tenant_id, call_id, position, speaker, text) select $1, l.id, 1, 'caller', 'Hello' from l),
  a as (insert into appointments (tenant_id, contact_id, call_id, starts_at, ends_at) select $1, c.id, l.id, now() + interval '1 day', now() + interval '25 hours' from c, l returning id),
  m as (insert into messages (tenant_id, phone_number_id, contact_id, direction, from_number, to_number, body)
        select $1, n.id, c.id, 'inbound', '+16175550100', '+16175550101', 'Hi' from n, c),
  v as (insert into agent_versions (tenant_id, version) values ($1, 2)),
  sc as (insert into agent_scenarios (tenant_id, name, lines) values ($1, 'Asks', '["Hello"]')),
  sr as (insert into agent_scenario_runs (tenant_id, batch_id, name, held_at, lines, expect) values ($1, $1, 'Asks', '', '["Hello"]', '{}')),
  k as (insert into calendar_feeds (tenant_id, prefix) values ($1, 'feed')),
  an as (insert into appointment_notices (tenant_id, appointment_id, change) select $1, a.id, 'booked' from a),
  cm as (insert into call_messages (tenant_id, body) values ($1, 'Call back')),
  so as (insert into sms_opt_outs (tenant_id, phone_number, source) values ($1, '+1617' || $2 || '03', 'stop')),
  i as (insert into invitations (tenant_id, email) values ($1, 'invited' || $2 || '@example.com')),
  r as (insert into tenant_requests (tenant_id, kind, plan_tier, from_tier) values ($1, 'plan', 'premium', 'starter')),
  o as (insert into tenant_notes (tenant_id, body) values ($1, 'A note')),
  w as (insert into tenant_views (tenant_id, admin_user_id, admin_email, reason, expires_at) values ($1, $1, 'a@example.com', 'To help them', now())),
  bo as (insert into bulk_orders (id, action, params, actor) values (gen_random_uuid(), 'suspend', '{}', 'test') returning id),
  bi as (insert into bulk_items (order_id, tenant_id, position) select bo.id, $1, 1 from bo),
  x as (insert into tenant_exports (tenant_id) values ($1)),
  im as (insert into tenant_imports (id, tenant_id, bucket, object, slug, company_name, owner_email) values ($1, $1, 'imports', 'a.zip', 'a', 'A', 'a@example.com')),
  e as (insert into email_log (tenant_id, template, to_email, dedupe_key) values ($1, 'welcome', 'a@example.com', 'test:' || $2))
insert into usage_adjustments (tenant_id, usage_id, calls, actor) select $1, u.id, 1, 'test' from u`

// staffTables are a tenant's, but not for it to see.
var staffTables = map[string]bool{"email_log": true, "tenant_notes": true, "tenant_views": true, "bulk_items": true, "tenant_imports": true}

func newCustomer(t *testing.T, db *supabasetest.Database, number int) customer {
	t.Helper()
	ctx := context.Background()
	c := customer{people: map[string]uuid.UUID{}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(db.Admin.QueryRow(ctx, `insert into tenants (slug, company_name, owner_email, subscription_status)
		values ('tenant-' || $1, 'Tenant ' || $1, 'owner' || $1 || '@example.com', 'trial') returning id`, fmt.Sprint(number)).Scan(&c.id))
	_, err := db.Admin.Exec(ctx, fillEveryTable, c.id, fmt.Sprintf("555%02d", number))
	must(err)
	for _, role := range []string{"viewer", "member", "admin", "owner"} {
		id := uuid.New()
		c.people[role] = id
		_, err := db.Admin.Exec(ctx, `insert into tenant_users (tenant_id, email, role, user_id) values ($1, $2, $3, $4)
			on conflict (tenant_id, email) do update set user_id = excluded.user_id`, c.id, personEmail(role, number), role, id)
		must(err)
	}
	for scope, id := range map[string]*uuid.UUID{"read": &c.read, "write": &c.write} {
		must(db.Admin.QueryRow(ctx, `insert into tenant_api_keys (tenant_id, name, prefix, scopes) values ($1, $2, 'kst_live_', array[$2]) returning id`, c.id, scope).Scan(id))
	}
	return c
}

func personEmail(role string, number int) string {
	return fmt.Sprintf("%s%d@example.com", role, number)
}

func person(id uuid.UUID) supabase.Scope {
	return supabase.AsPerson([]byte(fmt.Sprintf(`{"sub":%q,"role":"authenticated"}`, id)), id, "")
}

// TestNobodyReadsAnothersRows asks every table as every kind of caller.
func TestNobodyReadsAnothersRows(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fixture := supabasetest.New(t)
	own, other := newCustomer(t, fixture, 1), newCustomer(t, fixture, 2)
	db, err := supabase.Open(ctx, fixture.AppURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)

	callers := map[string]supabase.Scope{
		"key read": supabase.AsKey(own.read, ""), "key write": supabase.AsKey(own.write, ""),
		"admin at tenant": supabase.AsAdmin(uuid.New(), "").At(own.id),
		"stranger":        person(uuid.New()), "anonymous": supabase.Anon(),
		// A person or key of one tenant at the other's host sees neither.
		"owner at other host": person(own.people["owner"]).At(other.id), "key at other host": supabase.AsKey(own.write, "").At(other.id),
	}
	for role, id := range own.people {
		callers[role] = person(id)
		callers[role+" at host"] = person(id).At(own.id)
	}
	nothing := map[string]bool{"stranger": true, "anonymous": true, "owner at other host": true, "key at other host": true}
	for table, columns := range columnsOf(t, fixture.Admin, "public") {
		column := "tenant_id"
		if table == "tenants" {
			column = "id"
		}
		if !slices.Contains(columns, column) {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(callers)) {
			var mine, others int
			err := db.As(callers[name]).QueryRow(ctx, fmt.Sprintf(`select count(*) filter (where %[1]s = $1), count(*) filter (where %[1]s is distinct from $1) from %[2]s`, column, table), own.id).Scan(&mine, &others)
			staffOnly := staffTables[table] && name != "admin at tenant"
			switch {
			case staffOnly || name == "anonymous":
				if !isDenied(err) {
					t.Errorf("%s reads %s: %v, want 42501", name, table, err)
				}
			case err != nil:
				t.Errorf("%s reads %s: %v", name, table, err)
			case others != 0:
				t.Errorf("%s sees %d rows of another tenant in %s", name, others, table)
			case nothing[name] && mine != 0:
				t.Errorf("%s sees %d rows in %s, want none", name, mine, table)
			case !nothing[name] && mine == 0:
				t.Errorf("%s sees none of its rows in %s", name, table)
			}
		}
	}
}

// TestRightsEndWithTheRow: membership, key and tenant are read live, not from the token.
func TestRightsEndWithTheRow(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fixture := supabasetest.New(t)
	own := newCustomer(t, fixture, 1)
	db, err := supabase.Open(ctx, fixture.AppURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	count := func(s supabase.Scope) (n int) {
		if err := db.As(s).QueryRow(ctx, "select count(*) from call_logs").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, step := range []struct {
		what, sql string
		scope     supabase.Scope
	}{
		{"a removed member", "delete from tenant_users where user_id = '" + own.people["viewer"].String() + "'", person(own.people["viewer"])},
		{"a revoked key", "update tenant_api_keys set revoked_at = now() where id = '" + own.read.String() + "'", supabase.AsKey(own.read, "")},
		{"an expired key", "update tenant_api_keys set expires_at = now() where id = '" + own.write.String() + "'", supabase.AsKey(own.write, "")},
		{"a deleted tenant's owner", "delete from tenants", person(own.people["owner"])},
	} {
		if count(step.scope) != 1 {
			t.Errorf("%s reads nothing even before", step.what)
		}
		if _, err := fixture.Admin.Exec(ctx, step.sql); err != nil {
			t.Fatal(err)
		}
		if n := count(step.scope); n != 0 {
			t.Errorf("%s still reads %d calls", step.what, n)
		}
	}
}

// TestWritesStayHome tries to write another tenant's rows, and rows above one's role.
func TestWritesStayHome(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fixture := supabasetest.New(t)
	own, other := newCustomer(t, fixture, 1), newCustomer(t, fixture, 2)
	db, err := supabase.Open(ctx, fixture.AppURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	owner, admin, member, viewer := person(own.people["owner"]), person(own.people["admin"]), person(own.people["member"]), person(own.people["viewer"])
	const rename, contact, invite = "update tenants set company_name = 'X' where id = $1", "insert into contacts (tenant_id, name) values ($1, 'X')",
		"insert into tenant_users (tenant_id, email, role) values ($1, 'x' || random() || '@example.com', %s)"
	const send = "insert into invitations (tenant_id, email, role) values ($1, 'x' || random() || '@example.com', %s)"
	const scenario = `insert into agent_scenarios (tenant_id, name, lines) values ($1, 'Asks', '["Hello"]')`
	promote := func(who string) string {
		return "update tenant_users set role = 'owner' where tenant_id = $1 and user_id = '" + own.people[who].String() + "'"
	}
	for _, c := range []struct {
		name  string
		scope supabase.Scope
		sql   string
		at    uuid.UUID
		rows  int64
		deny  bool
	}{
		{"owner renames own", owner, rename, own.id, 1, false},
		{"owner renames another", owner, rename, other.id, 0, false},
		{"member renames own", member, rename, own.id, 0, false},
		{"write key renames own", supabase.AsKey(own.write, ""), rename, own.id, 1, false},
		{"read key renames own", supabase.AsKey(own.read, ""), rename, own.id, 0, false},
		{"write key renames another", supabase.AsKey(own.write, ""), rename, other.id, 0, false},
		{"write key adds contact", supabase.AsKey(own.write, ""), contact, own.id, 1, false},
		{"write key adds another's contact", supabase.AsKey(own.write, ""), contact, other.id, 0, true},
		{"member adds contact", member, contact, own.id, 1, false},
		{"admin writes scenario", admin, scenario, own.id, 1, false},
		{"admin writes another's scenario", admin, scenario, other.id, 0, true},
		{"member writes scenario", member, scenario, own.id, 0, true},
		{"write key writes scenario", supabase.AsKey(own.write, ""), scenario, own.id, 0, true},
		{"member deletes scenarios", member, "delete from agent_scenarios where tenant_id = $1", own.id, 0, false},
		{"viewer adds contact", viewer, contact, own.id, 0, true},
		{"member adds another's contact", member, contact, other.id, 0, true},
		{"member adds contact at another host", member.At(other.id), contact, own.id, 0, true},
		{"read key adds contact", supabase.AsKey(own.read, ""), contact, own.id, 0, true},
		{"admin adds without asking", admin, fmt.Sprintf(invite, "'member'"), own.id, 0, true},
		{"owner adds without asking", owner, fmt.Sprintf(invite, "'owner'"), own.id, 0, true},
		{"owner adds into another", owner, fmt.Sprintf(invite, "'viewer'"), other.id, 0, true},
		{"admin sends member an invitation", admin, fmt.Sprintf(send, "'member'"), own.id, 1, false},
		{"admin sends admin an invitation", admin, fmt.Sprintf(send, "'admin'"), own.id, 0, true},
		{"owner sends owner an invitation", owner, fmt.Sprintf(send, "'owner'"), own.id, 1, false},
		{"owner sends invitation into another", owner, fmt.Sprintf(send, "'viewer'"), other.id, 0, true},
		{"member sends invitation", member, fmt.Sprintf(send, "'viewer'"), own.id, 0, true},
		{"write key sends invitation", supabase.AsKey(own.write, ""), fmt.Sprintf(send, "'viewer'"), own.id, 0, true},
		{"admin withdraws owner's invitation", admin, "update invitations set revoked_at = now() where tenant_id = $1 and role = 'owner'", own.id, 0, false},
		{"owner withdraws another's", owner, "update invitations set revoked_at = now() where tenant_id = $1", other.id, 0, false},
		{"member adds", member, fmt.Sprintf(invite, "'viewer'"), own.id, 0, true},
		{"admin promotes self", admin, promote("admin"), own.id, 0, false},
		{"admin demotes owner", admin, "update tenant_users set role = 'viewer' where tenant_id = $1 and role = 'owner'", own.id, 0, false},
		{"platform admin at host writes another", supabase.AsAdmin(uuid.New(), "").At(own.id), rename, other.id, 0, false},
		{"platform admin writes", supabase.AsAdmin(uuid.New(), ""), rename, other.id, 1, false},
	} {
		tag, err := db.As(c.scope).Exec(ctx, c.sql, c.at)
		switch {
		case c.deny && !isDenied(err), !c.deny && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case tag.RowsAffected() != c.rows:
			t.Errorf("%s: %d rows, want %d", c.name, tag.RowsAffected(), c.rows)
		}
	}
	if _, err := fixture.Admin.Exec(ctx, "update tenants set subscription_status = 'suspended' where id = $1", own.id); err != nil {
		t.Fatal(err)
	}
	if tag, err := db.As(owner).Exec(ctx, rename, own.id); err != nil || tag.RowsAffected() != 0 {
		t.Errorf("a suspended tenant's owner still writes: %v %v", tag, err)
	}
}

// TestScopeLeavesNothingBehind: the same connection runs scoped and unscoped statements in turn.
func TestScopeLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fixture := supabasetest.New(t)
	db, err := supabase.Open(ctx, fixture.AppURL+"&pool_max_conns=1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	service := db.As(supabase.AsService("test"))
	var n int
	if err := service.QueryRow(ctx, "select count(*) from tenants").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if err := service.QueryRow(ctx, "select 1 / 0").Scan(&n); err == nil {
		t.Error("an error was lost")
	}
	var user, claims string
	if err := db.Pool().QueryRow(ctx, "select current_user, coalesce(current_setting('request.jwt.claims', true), '')").Scan(&user, &claims); err != nil || user != "kestrel_app" || claims != "" {
		t.Errorf("left behind: %s %q %v", user, claims, err)
	}
	if _, err := db.Pool().Exec(ctx, "select count(*) from tenants"); !isDenied(err) {
		t.Errorf("SQL without a scope: %v, want 42501", err)
	}
	err = db.Tx(ctx, supabase.AsService("test"), func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "insert into tenants (slug, company_name, owner_email) values ('rolled-back', 'X', 'x@example.com')")
		if err != nil {
			return err
		}
		return context.Canceled
	})
	if err == nil {
		t.Error("the transaction's error was lost")
	}
	if err := service.QueryRow(ctx, "select count(*) from tenants").Scan(&n); err != nil || n != 0 {
		t.Errorf("not rolled back: %d %v", n, err)
	}
}
