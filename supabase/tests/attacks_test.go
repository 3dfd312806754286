package tests

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/supabasetest"
)

// TestNobodyPointsAtAnothersRow: a reference to another tenant's row is refused exactly as one to a row that does
// not exist, so that it can neither be made nor probed for.
func TestNobodyPointsAtAnothersRow(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fixture := supabasetest.New(t)
	own, other := newCustomer(t, fixture, 1), newCustomer(t, fixture, 2)
	db, err := supabase.Open(ctx, fixture.AppURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	var theirs uuid.UUID
	if err := fixture.Admin.QueryRow(ctx, "select id from contacts where tenant_id = $1", other.id).Scan(&theirs); err != nil {
		t.Fatal(err)
	}
	for _, scope := range []supabase.Scope{person(own.people["owner"]), supabase.AsKey(own.write, ""), supabase.AsAdmin(uuid.New(), "").At(own.id)} {
		for _, contact := range []uuid.UUID{theirs, uuid.New()} {
			_, err := db.As(scope).Exec(ctx, `insert into appointments (tenant_id, contact_id, starts_at, ends_at) values ($1, $2, '2027-01-01', '2027-01-02')`, own.id, contact)
			wantRefusal(t, scope.Role+" books for another's contact", err, "23503", "appointments_contact_id_fkey")
		}
	}
	for _, sql := range []string{
		"update call_logs set contact_id = (select id from contacts where tenant_id = $2) where tenant_id = $1",
		"update call_logs set phone_number_id = (select id from phone_numbers where tenant_id = $2 limit 1) where tenant_id = $1",
		"update call_logs set usage_id = (select id from tenant_usage where tenant_id = $2) where tenant_id = $1",
		"update call_turns set call_id = (select id from call_logs where tenant_id = $2) where tenant_id = $1",
		"update appointments set call_id = (select id from call_logs where tenant_id = $2) where tenant_id = $1",
		"update messages set contact_id = (select id from contacts where tenant_id = $2) where tenant_id = $1",
		"update messages set usage_id = (select id from tenant_usage where tenant_id = $2) where tenant_id = $1",
		"update messages set phone_number_id = (select id from phone_numbers where tenant_id = $2 limit 1) where tenant_id = $1",
		"insert into usage_adjustments (tenant_id, usage_id, calls, actor) select $1::uuid, id, 1, 'x' from tenant_usage where tenant_id = $2",
	} {
		_, err := db.As(supabase.AsService("test")).Exec(ctx, sql, own.id, other.id)
		wantRefusal(t, sql, err, "23503", "")
	}
	for _, table := range []string{"tenant_users", "tenant_api_keys", "call_logs", "contacts", "tenant_slugs", "email_log"} {
		_, err := fixture.Admin.Exec(ctx, "update "+table+" set tenant_id = $2 where tenant_id = $1", own.id, other.id)
		wantRefusal(t, "Studio moves "+table, err, "KS409", "tenant_fixed")
	}
}

// TestValuesThatWouldBreakReaders: what a tenant stores through supabase-js must not break those who read it.
func TestValuesThatWouldBreakReaders(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fixture := supabasetest.New(t)
	own, other := newCustomer(t, fixture, 1), newCustomer(t, fixture, 2)
	db, err := supabase.Open(ctx, fixture.AppURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	owner := db.As(person(own.people["owner"]))
	for sql, constraint := range map[string]string{
		"update appointments set ends_at = 'infinity'":                                      "appointments_ends_at_range",
		"update appointments set starts_at = '-infinity'":                                   "appointments_starts_at_range",
		"update appointments set ends_at = '12026-01-01'":                                   "appointments_ends_at_range",
		"update appointments set notes = repeat('x', 20001)":                                "appointments_notes_length",
		"update contacts set notes = repeat('x', 20001)":                                    "contacts_notes_length",
		"update tenant_api_keys set revoked_at = 'infinity'":                                "tenant_api_keys_revoked_at_range",
		fmt.Sprintf("update tenants set logo_path = '%s/logo.png'", other.id):               "tenants_logo_path_own",
		fmt.Sprintf("update tenants set logo_path = '%s/../%s/logo.png'", own.id, other.id): "tenants_logo_path_own",
	} {
		_, err := owner.Exec(ctx, sql)
		wantRefusal(t, sql, err, "23514", constraint)
	}
	if _, err := owner.Exec(ctx, "update tenants set logo_path = id || '/logo.png'"); err != nil {
		t.Error(err)
	}
	for _, zone := range []string{"localtime", "posixrules", "posix/America/New_York", "america/new_york", "Foo/Bar+3", "EST5EDT4"} {
		_, err := owner.Exec(ctx, "update tenants set timezone = $1", zone)
		wantRefusal(t, zone, err, "KS422", "timezone_unknown")
	}
	// A key somebody revoked, perhaps because it leaked, does not come back.
	if _, err := owner.Exec(ctx, "update tenant_api_keys set revoked_at = now()"); err != nil {
		t.Fatal(err)
	}
	_, err = owner.Exec(ctx, "update tenant_api_keys set revoked_at = null")
	wantRefusal(t, "a key comes back", err, "KS409", "key_revoked")
}

// TestPlatformTablesAreOutOfReachFromATenantsHost: an admin scope narrowed to a tenant has no power over the platform.
func TestPlatformTablesAreOutOfReachFromATenantsHost(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fixture := supabasetest.New(t)
	own := newCustomer(t, fixture, 1)
	db, err := supabase.Open(ctx, fixture.AppURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	narrowed, wide := db.As(supabase.AsAdmin(uuid.New(), "").At(own.id)), db.As(supabase.AsAdmin(uuid.New(), ""))
	grant := "insert into platform_admins (email) values ('new@example.com')"
	if _, err := narrowed.Exec(ctx, grant); !isDenied(err) {
		t.Errorf("grants platform power at a tenant's host: %v", err)
	}
	if tag, err := narrowed.Exec(ctx, "update plans set price_cents = 1"); err != nil || tag.RowsAffected() != 0 {
		t.Errorf("edits plans at a tenant's host: %v %v", tag, err)
	}
	if _, err := wide.Exec(ctx, grant); err != nil {
		t.Error(err)
	}
	if tag, err := wide.Exec(ctx, "update plans set price_cents = 1 where tier = 'starter'"); err != nil || tag.RowsAffected() != 1 {
		t.Errorf("plans: %v %v", tag, err)
	}
}

func wantRefusal(t *testing.T, what string, err error, state, constraint string) {
	t.Helper()
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != state || constraint != "" && e.ConstraintName != constraint {
		t.Errorf("%s: %v, want %s %s", what, err, state, constraint)
	}
}
