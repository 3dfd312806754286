package tests

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase/supabasetest"
)

// TestChangesTravel: every change of who or what is served reaches the servers' caches; a counter's does not.
func TestChangesTravel(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert, ready,
		"insert into auth.users (id, email, email_confirmed_at) values ('22222222-2222-4222-8222-222222222222', 'Admin@HAIEC.com', now())",
		"insert into tenant_api_keys (tenant_id, name, prefix) select id, 'k', 'kst_live_' from tenants",
		"insert into platform_admins (email, user_id) values ('a@example.com', gen_random_uuid()), ('b@example.com', gen_random_uuid())")
	for _, c := range []struct{ topics, sql string }{
		{"tenant", "update tenants set forward_to_number = '+16175550100'"},
		{"tenant", "update tenants set company_name = 'Other name'"},
		{"tenant", "update tenants set timezone = 'UTC'"},
		{"tenant", "update tenants set slug = 'renamed'"},
		{"event tenant", "update tenants set is_active = false"},
		{"event tenant", "delete from tenants"},
		{"event tenant", "update tenants set deleted_at = null"},
		{"event tenant", "update phone_numbers set status = 'configuring'"},
		{"event tenant", "insert into phone_numbers (tenant_id, phone_number) select id, '+16175550101' from tenants"},
		{"event tenant", "update phone_numbers set is_primary = true where phone_number = '+16175550101'"},
		{"tenant", "delete from phone_numbers where phone_number = '+16175550101'"},
		{"tenant", "delete from tenant_slugs where slug = 'haiec'"},
		{"member", "select private.link_person('22222222-2222-4222-8222-222222222222')"},
		{"member", "insert into tenant_users (tenant_id, email, user_id, role) select id, 'c@example.com', gen_random_uuid(), 'viewer' from tenants"},
		{"member", "update tenant_users set role = 'admin' where email = 'c@example.com'"},
		{"member", "delete from tenant_users where email = 'c@example.com'"},
		{"key", "update tenant_api_keys set revoked_at = now()"},
		{"key", "delete from tenant_api_keys"},
		{"admin", "delete from platform_admins where email = 'a@example.com'"},
		{"", "update tenants set current_month_calls = 3"},
		{"", "insert into call_logs (tenant_id, call_sid, started_at, agent_seconds) select id, 'CA1', now(), 5 from tenants"},
		{"", "update tenants set owner_name = 'Nobody routes by it'"},
	} {
		if got := s.heard(c.sql); got != c.topics {
			t.Errorf("%s: %q travelled, want %q", c.sql, got, c.topics)
		}
	}
}

// TestPoliciesAreAskedOncePerStatement: a policy's look-up is an init plan, never a call per row, and the indexes that
// grow with calls serve the queries they were made for.
func TestPoliciesAreAskedOncePerStatement(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := openPool(t, supabasetest.New(t).SuperuserURL)
	tx, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	for _, sql := range []string{
		"set local session_replication_role = replica", // rows without their consequences
		"insert into tenants (slug, company_name, owner_email, billing_anchor) select 't-' || g, 'T', g || '@example.com', 1 from generate_series(1, 500) g",
		"insert into tenant_users (tenant_id, email, role, user_id) select id, owner_email, 'viewer', md5(slug)::uuid from tenants",
		"insert into call_logs (tenant_id, call_sid, started_at, agent_seconds) select id, slug || '-' || g, '2026-01-01'::timestamptz + g * interval '9 hours', 5 from tenants, generate_series(1, 50) g",
		"analyze", "set local role authenticated", "select set_config('request.jwt.claims', json_build_object('sub', md5('t-7')::uuid)::text, true)",
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			t.Fatal(sql, err)
		}
	}
	for _, table := range []string{"tenants", "tenant_users", "phone_numbers", "call_logs", "call_turns", "appointments", "contacts", "messages", "events", "jobs", "activity_log"} {
		plan := explain(t, tx, "select * from public."+table)
		for line := range strings.Lines(plan) {
			if strings.Contains(line, "SubPlan") || (strings.Contains(line, "Filter:") || strings.Contains(line, "Cond:")) && strings.Contains(line, "private.") {
				t.Errorf("%s: %s", table, plan)
			}
		}
	}
	var id string
	if err := tx.QueryRow(ctx, "select id::text from tenants").Scan(&id); err != nil {
		t.Fatal(err)
	}
	own := "tenant_id = '" + id + "'"
	for query, want := range map[string]string{
		"select * from call_logs where " + own + " order by started_at desc, id desc limit 20":                                                                          "Index Scan using call_logs_newest_idx",
		"select sum(duration_seconds), sum(cost_micros), count(usage_id) from call_logs where " + own + " and started_at >= '2026-01-05' and started_at < '2026-01-08'": "Index Only Scan using call_logs_totals_idx",
		"select * from tenants": "Index Scan using tenants_pkey",
	} {
		if plan := explain(t, tx, query); !strings.Contains(plan, want) || strings.Contains(plan, "Sort") {
			t.Errorf("want %s and no sort:\n%s", want, plan)
		}
	}
}

func explain(t *testing.T, tx pgx.Tx, query string) string {
	t.Helper()
	rows, err := tx.Query(context.Background(), "explain (verbose, costs off) "+query)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", query, err))
	}
	return strings.ReplaceAll(strings.Join(lines, "\n"), "public.", "")
}
