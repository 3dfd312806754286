package tests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"kestrel.ai/supabase/supabasetest"
)

// The brief's insert, as staff type it into Studio.
const briefInsert = `INSERT INTO tenants (
    slug, company_name, owner_name, owner_email, owner_phone,
    industry, plan_tier, subscription_status,
    twilio_phone_number, forward_to_number, is_active
) VALUES (
    'haiec', 'HAIEC', 'HAIEC Owner', 'admin@haiec.com', '+18573825169',
    'hvac', 'professional', 'trial',
    '+18573825169', '+18573825169', TRUE
);`

type studio struct {
	t    *testing.T
	pool *pgxpool.Pool
}

func newStudio(t *testing.T, statements ...string) studio {
	t.Helper()
	s := studio{t, supabasetest.New(t).Admin}
	for _, sql := range statements {
		s.run(sql)
	}
	return s
}

func (s studio) run(sql string) {
	s.t.Helper()
	if _, err := s.pool.Exec(context.Background(), sql); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// refused wants the SQLSTATE and code that the edge answers with.
func (s studio) refused(state, code, sql string) {
	s.t.Helper()
	_, err := s.pool.Exec(context.Background(), sql)
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != state || e.ConstraintName != code {
		s.t.Errorf("%s: %v, want %s %s", sql, err, state, code)
	}
}

// is compares a query's single-column rows, as text.
func (s studio) is(sql string, want ...string) {
	s.t.Helper()
	rows, err := s.pool.Query(context.Background(), sql)
	if err != nil {
		s.t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values, err := row.Values()
		return fmt.Sprint(values...), err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		s.t.Errorf("%s (-want +got):\n%s", sql, diff)
	}
}

const ready = "update phone_numbers set status = 'ready'"

func TestBriefsInsertMakesAWholeTenant(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert)
	s.is("select concat_ws(' ', subscription_status, is_active, max_monthly_calls, current_month_calls, trial_ends_at - created_at) from tenants", "trial t 500 0 14 days")
	s.is("select slug from tenant_slugs where retired_at is null", "haiec")
	s.is("select email || ' ' || role from tenant_users", "admin@haiec.com owner")
	s.is("select concat_ws(' ', plan_tier, price_cents, monthly_calls, status) from tenant_plans", "professional 29900 500 trial")
	s.is("select (period_start <= now() and period_end > now())::text from tenant_usage", "true")
	s.is("select phone_number || ' ' || status || ' ' || is_primary from phone_numbers", "+18573825169 unverified true")
	s.is("select kind from jobs order by kind", "fallback_publish", "number_verify", "tenant_created")
	s.is("select kind from river.river_job order by kind", "fallback_publish", "number_verify", "tenant_created")
	s.is("select actor || ' ' || action from activity_log order by id", "login:postgres tenant.created", "login:postgres member.created", "login:postgres number.created")
	s.is("select type from events where type like 'tenant.%'", "tenant.created")
}

func TestEditsInStudioObeyTheRules(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert)
	s.refused("KS409", "no_number", "update tenants set subscription_status = 'active'")
	s.run(ready)
	s.is("select template || ' ' || to_email from email_log", "live admin@haiec.com") // a trial on a ready number answers calls
	s.run("update tenants set is_active = false")
	s.is("select subscription_status from tenants", "suspended")
	s.refused("KS409", "illegal_transition", "update tenants set subscription_status = 'trial'")
	s.run("update tenants set is_active = true")
	s.is("select subscription_status || ' ' || (suspended_at is null) from tenants", "active true")
	s.is("select count(*) from email_log", "1") // "You're Live!" once
	s.is("select status from tenant_plans order by valid_from", "trial", "suspended", "active")

	s.run("update tenants set max_monthly_calls = 42")
	s.run("update tenants set plan_tier = 'premium'")
	s.is("select max_monthly_calls from tenants", "42")
	s.run("update tenants set max_monthly_calls = null")
	s.is("select max_monthly_calls from tenants", "1500")
	s.run("update tenants set current_month_calls = 7")
	s.is("select calls || ' ' || adjusted_calls from tenant_usage", "0 7")
	s.is("select actor || ' ' || calls from usage_adjustments", "login:postgres 7")

	s.run("update tenants set owner_email = 'New@Haiec.com'")
	s.is("select t.owner_email || ' ' || u.email from tenants t, tenant_users u", "new@haiec.com admin@haiec.com")
	s.refused("KS409", "last_owner", "delete from tenant_users")
}

func TestSlugsStayUniqueForEver(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert, ready, "update tenants set slug = 'HAIEC-HVAC'")
	s.is("select slug || ' ' || (retired_at is not null) from tenant_slugs order by slug", "haiec true", "haiec-hvac false")
	s.is("select count(*) from jobs where kind = 'webhook_configure'", "1")
	insert := "insert into tenants (slug, company_name, owner_email) values ('%s', 'X', 'x@example.com')"
	s.refused("KS409", "slug_taken", fmt.Sprintf(insert, "haiec"))
	s.refused("KS422", "slug_reserved", fmt.Sprintf(insert, "admin"))
	for _, bad := range []string{"ab", "-abc", "abc-", "a b", "xn--abc", strings.Repeat("a", 41), "a.b", "café"} {
		s.refused("KS422", "slug_invalid", fmt.Sprintf(insert, bad))
	}
	s.run("update tenants set slug = 'haiec'")
	s.is("select slug from tenant_slugs where retired_at is null", "haiec")
	s.run("delete from tenants")
	s.refused("KS409", "slug_taken", fmt.Sprintf(insert, "haiec-hvac"))
}

func TestDeleteOnlyMarksAndRestoreBringsBack(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert, ready, "delete from tenants where slug = 'haiec'")
	s.is("select concat_ws(' ', deleted_at is not null, is_active, subscription_status) from tenants", "t f trial")
	s.is("select count(*) from tenant_plans where valid_to is null", "0")
	s.refused("KS409", "tenant_deleted", "update tenants set subscription_status = 'suspended'")
	s.run("update tenants set deleted_at = null")
	s.is("select concat_ws(' ', is_active, subscription_status) from tenants", "t trial")
	s.is("select action from activity_log where action in ('tenant.deleted', 'tenant.restored') order by id", "tenant.deleted", "tenant.restored")
}

func TestNumberTypedInStudioIsVerified(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert, ready)
	s.run("update tenants set twilio_phone_number = '+16175550123'")
	s.is("select phone_number || ' ' || status || ' ' || is_primary from phone_numbers order by id", "+18573825169 ready false", "+16175550123 unverified true")
	s.is("select count(*) from jobs where kind = 'number_verify'", "2")
	s.run("insert into tenants (slug, company_name, owner_email) values ('other', 'Other', 'o@example.com')")
	s.refused("KS409", "number_taken", "update tenants set twilio_phone_number = '+18573825169' where slug = 'other'")
	s.run("update phone_numbers set status = 'released' where phone_number = '+16175550123'")
	s.is("select twilio_phone_number is null from tenants where slug = 'haiec'", "true")
	s.run("update tenants set twilio_phone_number = '+16175550123' where slug = 'other'") // released: free again
	s.refused("KS409", "number_fixed", "update phone_numbers set phone_number = '+16175550999' where phone_number = '+18573825169'")
}

func TestTheSQLDoorValidatesAlike(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert)
	for column, bad := range map[string][]string{
		"owner_phone": {"8573825169", "+0123456789", "+1857", "+1 857 382 5169"}, "forward_to_number": {"tel:+18573825169"}, "twilio_phone_number": {"857"},
		"owner_email": {"nobody", "a@b", "a b@example.com", "a@example.com\n", "<a@example.com>"}, "subscription_status": {"gone"}, "plan_tier": {"gold"},
		"max_monthly_calls": {"0", "-1"}, "billing_anchor": {"0", "32"}, "company_name": {"", "  ", "a\nb"}, "brand_color": {"red"}, "timezone": {"Mars/Olympus"},
	} {
		for _, value := range bad {
			_, err := s.pool.Exec(context.Background(), fmt.Sprintf("update tenants set %s = $1", column), quoted(column, value))
			var e *pgconn.PgError
			if !errors.As(err, &e) || !strings.Contains(e.ConstraintName+e.ColumnName, column) && e.ConstraintName != "illegal_transition" {
				t.Errorf("%s = %q: %v, want a refusal that names the field", column, value, err)
			}
		}
	}
}

// quoted makes a parameter of the column's type.
func quoted(column, value string) any {
	if column == "max_monthly_calls" || column == "billing_anchor" {
		var n int
		_, _ = fmt.Sscan(value, &n)
		return n
	}
	return value
}

func TestACallCountsOnce(t *testing.T) {
	t.Parallel()
	s := newStudio(t, briefInsert)
	call := "insert into call_logs (tenant_id, call_sid, started_at, agent_seconds, duration_seconds, is_test, is_blocked) select id, '%s', now(), %d, 20, %t, %t from tenants on conflict (call_sid) do nothing"
	for _, sql := range []string{
		fmt.Sprintf(call, "CA1", 10, false, false), fmt.Sprintf(call, "CA1", 10, false, false),
		fmt.Sprintf(call, "CA2", 0, false, false), fmt.Sprintf(call, "CA3", 9, true, false), fmt.Sprintf(call, "CA4", 9, false, true),
	} {
		s.run(sql)
	}
	s.is("select calls || ' ' || seconds from tenant_usage", "1 20")
	s.run("update call_logs set agent_seconds = 3 where call_sid = 'CA2'") // status events may come in any order
	s.run("update call_logs set agent_seconds = 4, duration_seconds = 30 where call_sid = 'CA2'")
	s.is("select calls || ' ' || seconds from tenant_usage", "2 50")
	s.is("select current_month_calls from tenants", "2")
	s.run("update tenant_usage set closed_at = now()")
	s.run(fmt.Sprintf(call, "CA5", 10, false, false))
	s.is("select calls || ' ' || late_calls from tenant_usage", "2 1")
	// What is billed stays; what becomes known later, of calls that still ran and of messages, is beside it.
	s.run("update call_logs set duration_seconds = 90, cost_micros = 4000 where call_sid = 'CA2'")
	s.run("update call_logs set summary = 'Long' where call_sid = 'CA2'")
	s.run("insert into messages (tenant_id, direction, from_number, to_number, body) select id, 'inbound', '+16175550100', '+16175550101', 'Hi' from tenants")
	s.run("update messages set cost_micros = 7500")
	s.is("select concat_ws(' ', calls, seconds, sms, cost_micros, late_calls, late_seconds, late_sms, late_cost_micros) from tenant_usage", "2 50 0 0 1 80 1 11500")
	s.is("select (seconds + late_seconds = (select sum(duration_seconds) from call_logs where usage_id is not null))::text from tenant_usage", "true")
}

func TestPeriodsFollowAnchorAndZone(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	for _, c := range []struct{ anchor, zone, at, want string }{
		{"1", "UTC", "2026-03-01 00:00+00", "2026-03-01 00:00:00+00 2026-04-01 00:00:00+00"},
		{"31", "America/New_York", "2026-02-28 12:00+00", "2026-02-28 05:00:00+00 2026-03-31 04:00:00+00"},
		{"31", "America/New_York", "2026-02-28 04:59+00", "2026-01-31 05:00:00+00 2026-02-28 05:00:00+00"},
		{"8", "America/New_York", "2026-03-08 12:00+00", "2026-03-08 05:00:00+00 2026-04-08 04:00:00+00"}, // clocks go forward
		{"30", "Europe/London", "2028-02-29 10:00+00", "2028-02-29 00:00:00+00 2028-03-29 23:00:00+00"},   // a leap year
		{"15", "Asia/Kolkata", "2026-12-31 20:00+00", "2026-12-14 18:30:00+00 2027-01-14 18:30:00+00"},
	} {
		s.is(fmt.Sprintf("select to_char(period_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS+00') || ' ' || to_char(period_end at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS+00') from private.period_bounds(%s, '%s', '%s')", c.anchor, c.zone, c.at), c.want)
	}
}

func TestReservedSlugsAreOneList(t *testing.T) {
	t.Parallel()
	body, err := os.ReadFile("../../subdomain/reserved.txt")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(body)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			names = append(names, line)
		}
	}
	newStudio(t).is(`select slug from private.reserved_slugs order by slug collate "C"`, names...)
}
