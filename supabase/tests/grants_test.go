// Package tests holds the database to its promises: who may read and write what, and that every door has the same
// effects. It runs real SQL as the real roles on a real Postgres.
package tests

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"kestrel.ai/supabase/supabasetest"
)

// writable is everything that each role may write through SQL, PostgREST or supabase-js. All else is 42501.
// service_role may write everything and truncate nothing; the rules hold it by trigger.
var writable = map[string]map[string]map[string]string{
	"anon": {},
	"authenticated": {
		"tenants":         {"update": "company_name owner_name owner_phone industry forward_to_number timezone brand_color logo_path"},
		"tenant_users":    {"update": "role", "delete": "*"},
		"tenant_api_keys": {"insert": "tenant_id name prefix scopes expires_at created_by", "update": "name revoked_at"},
		"invitations":     {"insert": "tenant_id email role", "update": "revoked_at sends"},
		"contacts":        contacts,
		"appointments":    appointments,
		"call_messages":   {"update": "read_at"},
		"agent_scenarios": {"insert": "tenant_id name held_at lines expect", "update": "name held_at lines expect", "delete": "*"},
	},
	"kestrel_key": {
		"tenants":       {"update": "company_name owner_name owner_phone industry forward_to_number timezone brand_color logo_path"},
		"contacts":      contacts,
		"appointments":  appointments,
		"call_messages": {"update": "read_at"},
	},
	"kestrel_admin": {
		"plans": {"update": "name price_cents monthly_calls description position is_offered"},
		"tenants": {
			"insert": "slug company_name owner_name owner_email owner_phone industry plan_tier subscription_status twilio_phone_number forward_to_number max_monthly_calls timezone billing_anchor brand_color trial_ends_at terms_version terms_accepted_at",
			"update": "slug company_name owner_name owner_email owner_phone industry plan_tier subscription_status status_reason twilio_phone_number forward_to_number max_monthly_calls current_month_calls timezone billing_anchor brand_color logo_path trial_ends_at deleted_at",
		},
		"tenant_users":      {"update": "role", "delete": "*"},
		"tenant_api_keys":   {"insert": "tenant_id name prefix scopes expires_at created_by", "update": "name revoked_at"},
		"invitations":       {"insert": "tenant_id email role", "update": "revoked_at sends"},
		"platform_admins":   {"insert": "email granted_by", "delete": "*"},
		"tenant_notes":      {"insert": "tenant_id body author_label", "update": "body", "delete": "*"},
		"tenant_views":      {"update": "ended_at"},
		"phone_numbers":     {"insert": "tenant_id phone_number", "update": "is_primary status status_reason a2p_status"},
		"number_purchases":  {"insert": "tenant_id phone_number area_code friendly_name activate requested_by"},
		"usage_adjustments": {"insert": "tenant_id usage_id calls reason actor"},
		"agent_scenarios":   {"insert": "tenant_id name held_at lines expect", "update": "name held_at lines expect", "delete": "*"},
		"contacts":          contacts,
		"appointments":      appointments,
		"call_messages":     {"update": "read_at"},
	},
}

var contacts = map[string]string{
	"insert": "tenant_id phone_number name email address notes is_blocked",
	"update": "name email address notes is_blocked",
}

var appointments = map[string]string{
	"insert": "tenant_id contact_id starts_at ends_at lane service customer_name customer_phone address notes idempotency_key",
	"update": "starts_at ends_at lane status service customer_name customer_phone address notes",
}

func TestWhatEachRoleMayWrite(t *testing.T) {
	t.Parallel()
	db := supabasetest.New(t)
	pool := openPool(t, db.SuperuserURL) // only the superuser may become every role
	columns := columnsOf(t, pool, "public")
	for role, tables := range writable {
		for table := range tables {
			if columns[table] == nil {
				t.Errorf("%s: there is no table %s", role, table)
			}
		}
		for _, table := range slices.Sorted(maps.Keys(columns)) {
			for _, column := range columns[table] {
				may := strings.Fields(tables[table]["update"])
				attempt(t, pool, role, slices.Contains(may, column), fmt.Sprintf("update public.%s set %s = default where false", table, column))
				may = strings.Fields(tables[table]["insert"])
				attempt(t, pool, role, slices.Contains(may, column), fmt.Sprintf("insert into public.%s (%s) select null where false", table, column))
			}
			attempt(t, pool, role, tables[table]["delete"] == "*", fmt.Sprintf("delete from public.%s", table))
			attempt(t, pool, role, false, fmt.Sprintf("truncate public.%s cascade", table))
		}
	}
	for _, table := range slices.Sorted(maps.Keys(columns)) {
		attempt(t, pool, "service_role", false, fmt.Sprintf("truncate public.%s cascade", table))
		attempt(t, pool, "kestrel_app", false, fmt.Sprintf("select 1 from public.%s", table))
	}
	for table := range columnsOf(t, pool, "private") {
		for _, role := range []string{"anon", "authenticated", "kestrel_key", "kestrel_admin", "kestrel_app"} {
			attempt(t, pool, role, false, fmt.Sprintf("select 1 from private.%s", table))
			attempt(t, pool, role, false, fmt.Sprintf("delete from private.%s", table))
		}
	}
	for table := range columnsOf(t, pool, "river") {
		for _, role := range []string{"anon", "authenticated", "kestrel_key", "kestrel_admin"} {
			attempt(t, pool, role, false, fmt.Sprintf("select 1 from river.%s", table))
		}
	}
}

// TestNobodyLeavesTheirRole: the scope roles are dead ends, and no JWT reaches the two that PostgREST does not know.
func TestNobodyLeavesTheirRole(t *testing.T) {
	t.Parallel()
	db := supabasetest.New(t)
	for _, role := range []string{"kestrel_key", "kestrel_admin", "kestrel_app"} {
		var member bool
		if err := db.Admin.QueryRow(context.Background(), "select pg_has_role('authenticator', $1, 'set')", role).Scan(&member); err != nil || member {
			t.Errorf("authenticator may become %s: %v, %v", role, member, err)
		}
	}
	for _, role := range []string{"anon", "authenticated", "kestrel_key", "kestrel_admin"} {
		var super bool
		err := db.Admin.QueryRow(context.Background(), "select rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolinherit from pg_roles where rolname = $1", role).Scan(&super)
		if err != nil || super {
			t.Errorf("%s has an attribute it should not have: %v", role, err)
		}
	}
}

// attempt runs sql as role in a transaction that is rolled back, and wants success or 42501.
func attempt(t *testing.T, pool *pgxpool.Pool, role string, allowed bool, sql string) {
	t.Helper()
	ctx := context.Background()
	tx, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, "set local role "+pgx.Identifier{role}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	_, err = tx.Exec(ctx, sql)
	if denied := isDenied(err); denied == allowed {
		t.Errorf("%s: %s: allowed %v, want %v (%v)", role, sql, !denied, allowed, err)
	}
}

func columnsOf(t *testing.T, pool *pgxpool.Pool, schema string) map[string][]string {
	t.Helper()
	rows, err := pool.Query(context.Background(), `select c.table_name, c.column_name from information_schema.columns c
		join information_schema.tables t using (table_schema, table_name) where c.table_schema = $1 and t.table_type = 'BASE TABLE' and c.is_generated = 'NEVER' order by 1, c.ordinal_position`, schema)
	if err != nil {
		t.Fatal(err)
	}
	columns := map[string][]string{}
	var table, column string
	if _, err := pgx.ForEachRow(rows, []any{&table, &column}, func() error {
		columns[table] = append(columns[table], column)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(columns) == 0 {
		t.Fatalf("schema %s has no tables", schema)
	}
	return columns
}

func TestEveryTableIsFencedAndExplained(t *testing.T) {
	t.Parallel()
	db := supabasetest.New(t)
	for _, check := range []struct{ what, sql string }{
		{"tables without row-level security", `select relname from pg_class where relnamespace in ('public'::regnamespace, 'private'::regnamespace) and relkind = 'r' and not relrowsecurity`},
		{"tables without a comment", `select relname from pg_class where relnamespace in ('public'::regnamespace, 'private'::regnamespace) and relkind = 'r' and obj_description(oid, 'pg_class') is null`},
		{"columns that staff see without a comment", `select c.relname || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
			where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and col_description(c.oid, a.attnum) is null`},
		{"functions without a fixed search path", `select p.oid::regprocedure::text from pg_proc p where pronamespace in ('public'::regnamespace, 'private'::regnamespace) and not coalesce('search_path=""' = any (proconfig), false)`},
		{"functions that everybody may run", `select p.oid::regprocedure::text from pg_proc p where pronamespace in ('public'::regnamespace, 'private'::regnamespace) and (proacl is null or exists (select from aclexplode(proacl) where grantee = 0))`},
		{"foreign keys without an index", `select conrelid::regclass || ' ' || conname from pg_constraint k where contype = 'f' and connamespace = 'public'::regnamespace
			and not exists (select from pg_index i where i.indrelid = k.conrelid and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)`},
		{"tenant tables without the restrictive policy", `select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
			and not exists (select from pg_policy p where p.polrelid = c.oid and not p.polpermissive)`},
	} {
		rows, err := db.Admin.Query(context.Background(), check.sql)
		if err != nil {
			t.Fatal(check.what, err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(found) > 0 {
			t.Errorf("%s: %v %v", check.what, found, err)
		}
	}
}

func isDenied(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "42501"
}

func openPool(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}
