package tests

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/supabasetest"
)

// TestWhatIsLogged makes one change per row and wants exactly these entries for it: noun.verb, actor and changes.
func TestWhatIsLogged(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fixture := supabasetest.New(t)
	own := newCustomer(t, fixture, 1)
	db, err := supabase.Open(ctx, fixture.AppURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	staff := uuid.New()
	if _, err := fixture.Admin.Exec(ctx, `insert into platform_admins (email, user_id) values ('staff@kestrel.ai', $1)`, staff); err != nil {
		t.Fatal(err)
	}
	owner, admin := person(own.people["owner"]), supabase.AsAdmin(staff, "staff@kestrel.ai")
	work, studio := supabase.AsService("job:usage_reset"), supabase.Scope{}
	for _, c := range []struct {
		name  string
		scope supabase.Scope // the zero Scope is Studio
		sql   string
		want  string // entries, "action by actor: changes", in order
	}{
		{"a person", owner, "update contacts set name = 'Pat' where tenant_id = $1", `contact.updated by person:` + own.people["owner"].String() + `: {"name": ["Caller", "Pat"]}`},
		{"a key", supabase.AsKey(own.write, "Zapier"), "update contacts set name = 'Sam' where tenant_id = $1", `contact.updated by key:` + own.write.String() + `: {"name": ["Pat", "Sam"]}`},
		{"an admin", admin, "update tenants set industry = 'hvac' where id = $1", `tenant.updated by admin:` + staff.String() + `: {"industry": ["generic", "hvac"]}`},
		{"Studio", studio, "update tenants set industry = 'dental' where id = $1", `tenant.updated by login:postgres: {"industry": ["hvac", "dental"]}`},
		{"a job", work, "update tenant_usage set closed_at = '2026-01-01Z' where tenant_id = $1", `usage.updated by job:usage_reset: {"closed_at": [null, "2026-01-01T00:00:00+00:00"]}`},
		{"a call's transcript in Studio", studio, "update call_turns set text = 'Hi' where tenant_id = $1", `call_turn.updated by login:postgres: {"text": ["Hello", "Hi"]}`},
		{"a call in Studio", studio, "update call_logs set summary = 'Booked' where tenant_id = $1", `call.updated by login:postgres: {"summary": [null, "Booked"]}`},
		{"a call by the network", supabase.AsService("webhook:twilio"), "update call_logs set status = 'busy' where tenant_id = $1", ``},
		{"a message in Studio", studio, "update messages set body = 'Ho' where tenant_id = $1", `message.updated by login:postgres: {"body": ["Hi", "Ho"]}`},
		{"a term in Studio", studio, "update tenant_plans set price_cents = 1 where tenant_id = $1 and valid_to is null", `term.updated by login:postgres: {"price_cents": [9900, 1]}`},
		{"secrets, at any depth", studio, `update agent_versions set settings = '{"crm": {"api_key": "k1", "url": "u"}, "hooks": [{"token": "t"}], "password": null}' where tenant_id = $1 and version = 2`,
			`agent.updated by login:postgres: {"settings": [{}, {"crm": {"url": "u", "api_key": "•••"}, "hooks": [{"token": "•••"}], "password": null}]}`},
		{"a rotated secret", studio, `update agent_versions set settings = jsonb_set(settings, '{crm,api_key}', '"k2"') where tenant_id = $1 and version = 2`,
			`agent.updated by login:postgres: {"settings": [{"crm": {"url": "u", "api_key": "•••"}, "hooks": [{"token": "•••"}], "password": null}, {"crm": {"url": "u", "api_key": "•••"}, "hooks": [{"token": "•••"}], "password": null}]}`},
		{"a note", admin, "insert into tenant_notes (tenant_id, body) values ($1, 'Pays late')", ``},
		{"nothing", owner, "update contacts set name = name where tenant_id = $1", ``},
	} {
		q := supabase.Queryer(fixture.Admin)
		if c.scope.Role != "" {
			q = db.As(c.scope)
		}
		var last uuid.UUID
		if err := fixture.Admin.QueryRow(ctx, "select id from activity_log order by id desc limit 1").Scan(&last); err != nil {
			t.Fatal(err)
		}
		if tag, err := q.Exec(ctx, c.sql, own.id); err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("%s: %v %v", c.name, tag, err)
		}
		var got string
		err := fixture.Admin.QueryRow(ctx, `select coalesce(string_agg(action || ' by ' || actor || ': ' || changes, E'\n' order by id), '') from activity_log where tenant_id = $1 and id > $2`, own.id, last).Scan(&got)
		if err != nil || got != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.name, err, got, c.want)
		}
	}
	var hidden bool
	if err := fixture.Admin.QueryRow(ctx, `select tenant_id is null and changes::text like '%•••%' and changes::text not like '%Pays late%' from activity_log
		where action = 'note.created' and actor like 'admin:%'`).Scan(&hidden); err != nil || !hidden {
		t.Errorf("the note's entry: hidden %v %v", hidden, err)
	}
}

// TestViewsAreNarrow: a view reads one tenant, writes only if it may, and ends with its row, its admin and its time.
func TestViewsAreNarrow(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fixture := supabasetest.New(t)
	own, other := newCustomer(t, fixture, 1), newCustomer(t, fixture, 2)
	db, err := supabase.Open(ctx, fixture.AppURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	staff := uuid.New()
	if _, err := fixture.Admin.Exec(ctx, `insert into platform_admins (email, user_id) values ('staff@kestrel.ai', $1), ('other@kestrel.ai', gen_random_uuid())`, staff); err != nil {
		t.Fatal(err)
	}
	start := func(tenant, admin uuid.UUID, write bool) (id uuid.UUID, err error) {
		hash := uuid.New()
		err = db.As(supabase.AsAdmin(admin, "staff@kestrel.ai")).QueryRow(ctx, "select (private.start_view($1, $2, 'They asked for help', $3, sha256($4), now())).id", tenant, admin, write, hash[:]).Scan(&id)
		return id, err
	}
	reading, err := start(own.id, staff, false)
	if err != nil {
		t.Fatal(err)
	}
	writing, err := start(own.id, staff, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := start(own.id, uuid.New(), false); err == nil {
		t.Error("somebody who is no admin starts a view")
	}
	read, write := supabase.AsView(reading, staff, "x", true), supabase.AsView(writing, staff, "staff@kestrel.ai viewing as Tenant 1", false)
	loose := supabase.AsView(reading, staff, "x", false) // were the transaction not read-only, the policies still are
	count := func(s supabase.Scope) (mine, others int) {
		if err := db.As(s).QueryRow(ctx, "select count(*) filter (where tenant_id = $1), count(*) filter (where tenant_id <> $1) from call_logs", own.id).Scan(&mine, &others); err != nil {
			t.Fatal(err)
		}
		return mine, others
	}
	for name, s := range map[string]supabase.Scope{"read": read, "write": write, "read at its host": read.At(own.id)} {
		if mine, others := count(s); mine != 1 || others != 0 {
			t.Errorf("%s: %d of its own, %d of another's", name, mine, others)
		}
	}
	if mine, others := count(write.At(other.id)); mine+others != 0 {
		t.Error("a view reads at another host")
	}
	const rename = "update tenants set company_name = 'X' where id = $1"
	if _, err := db.As(read).Exec(ctx, rename, own.id); err == nil || !strings.Contains(err.Error(), "25006") {
		t.Errorf("a read-only view writes: %v", err)
	}
	for name, c := range map[string]struct {
		scope supabase.Scope
		at    uuid.UUID
		want  int64
	}{"loose": {loose, own.id, 0}, "another's": {write, other.id, 0}, "its own": {write, own.id, 1}} {
		if tag, err := db.As(c.scope).Exec(ctx, rename, c.at); err != nil || tag.RowsAffected() != c.want {
			t.Errorf("%s: %v %v", name, tag, err)
		}
	}
	for _, sql := range []string{"update tenants set plan_tier = 'premium'", "delete from tenant_users", "insert into tenant_api_keys (tenant_id, name, prefix) select id, 'x', 'x' from tenants",
		"select count(*) from tenant_notes", "select count(*) from tenant_views", "select count(*) from platform_admins", "select private.start_view(null, null, null, null, null, null)"} {
		if _, err := db.As(write).Exec(ctx, sql); !isDenied(err) {
			t.Errorf("%s: %v, want 42501", sql, err)
		}
	}
	var logged string
	if err := fixture.Admin.QueryRow(ctx, "select actor || ' ' || actor_label from activity_log where tenant_id = $1 and table_name = 'tenants' order by id desc limit 1", own.id).Scan(&logged); err != nil ||
		logged != "admin:"+staff.String()+" staff@kestrel.ai viewing as Tenant 1" {
		t.Errorf("logged as %q %v", logged, err)
	}
	gone := func(what string, s supabase.Scope) {
		t.Helper()
		if mine, _ := count(s); mine != 0 {
			t.Errorf("%s: a view still reads", what)
		}
	}
	for what, sql := range map[string]string{"ended": "update tenant_views set ended_at = now() where not can_write", "expired": "update tenant_views set expires_at = now() where can_write"} {
		if _, err := fixture.Admin.Exec(ctx, sql); err != nil {
			t.Fatal(what, err)
		}
	}
	gone("ended", read)
	gone("expired", write)
	again, err := start(own.id, staff, false)
	if err != nil {
		t.Fatal(err)
	}
	last := supabase.AsView(again, staff, "x", true)
	if mine, _ := count(last); mine != 1 {
		t.Error("a new view reads nothing")
	}
	for _, sql := range []string{"delete from platform_admins where user_id = $1", "insert into platform_admins (email, user_id) values ('staff@kestrel.ai', $1)"} {
		if _, err := fixture.Admin.Exec(ctx, sql, staff); err != nil {
			t.Fatal(err)
		}
		gone("its admin was revoked", last)
	}
}
