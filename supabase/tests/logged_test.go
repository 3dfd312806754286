package tests

import (
	"context"
	"maps"
	"testing"

	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase/supabasetest"
)

// notLogged says of tenants' tables which verbs are in the activity log, where not all are, and why.
var notLogged = map[string]struct{ verbs, why string }{
	"activity_log":        {"", "it is the log"},
	"events":              {"", "what happened, in order, for streams; it follows from logged rows and from calls"},
	"bulk_items":          {"", "what is done to each tenant is logged with that tenant, as the admin's"},
	"appointment_notices": {"", "what the customer was told of an appointment, whose change is logged"},
	"call_messages":       {"delete,update", "what callers left comes with their calls"},
	"call_logs":           {"delete,update", "calls come from the network by the thousand"},
	"call_turns":          {"delete,update", "so do their words"},
	"messages":            {"delete,update", "and texts"},
	"sms_opt_outs":        {"", "follows from texts, which are kept"},
	"tenant_usage":        {"delete,update", "a period begins by the clock"},
	"email_log":           {"insert", "the outbox records itself; sending again is logged"},
	"jobs":                {"update", "the queue records itself; trying again is logged, and what River's pages do"},
	"number_purchases":    {"insert,update", "never deleted but by the purge, which blanks the log"},
	"tenant_exports":      {"insert", "who asked for it; the rest is the job's"},
	"tenant_imports":      {"insert", "the same"},
	"calendar_feeds":      {"insert,update", "ended, never deleted"},
	"agent_scenario_runs": {"", "a job's results; what is tried, and with what settings, is logged"},
}

// TestEveryTenantTableIsLogged: whoever adds a table decides what of it is in the activity log.
func TestEveryTenantTableIsLogged(t *testing.T) {
	t.Parallel()
	fixture := supabasetest.New(t)
	rows, _ := fixture.Admin.Query(context.Background(), `
		select c.relname::text, coalesce(string_agg(distinct p.verb, ',' order by p.verb), '')
		from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public'
		left join pg_trigger g on g.tgrelid = c.oid and g.tgfoid = 'private.log_activity'::regproc and g.tgenabled <> 'D'
		left join lateral (values (case when g.tgtype & 4 > 0 then 'insert' end), (case when g.tgtype & 8 > 0 then 'delete' end), (case when g.tgtype & 16 > 0 then 'update' end)) p(verb) on true
		where c.relkind in ('r', 'p') and (c.relname = 'tenants' or exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped))
		group by 1`)
	left := maps.Clone(notLogged)
	var table, verbs string
	if _, err := pgx.ForEachRow(rows, []any{&table, &verbs}, func() error {
		want := "delete,insert,update"
		if except, is := notLogged[table]; is {
			want = except.verbs
		}
		delete(left, table)
		if verbs != want {
			t.Errorf("%s: the log has its %q, want %q", table, verbs, want)
		}
		return nil
	}); err != nil || len(left) > 0 {
		t.Errorf("%v; no tables: %v", err, left)
	}
}
