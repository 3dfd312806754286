package jobs

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase/supabasetest"
)

// notExported are tables with rows of tenants that are no tenant's to take along.
var notExported = map[string]string{
	"jobs": "the queue's", "events": "what screens were told", "email_log": "the platform's letters", "number_purchases": "the platform's purchases",
	"tenant_exports": "copies of this", "tenant_imports": "orders of staff", "tenant_notes": "staff's", "tenant_views": "staff's", "bulk_items": "staff's",
	"invitations": "links that are or were secret",
}

// Every table of tenants is exported or said not to be; every one that is exported has a rule for imports, comes after
// what it refers to, and refers to nothing that stays.
func TestEveryTableHasARule(t *testing.T) {
	t.Parallel()
	db := supabasetest.New(t)
	rows, err := db.Admin.Query(t.Context(), `select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
		where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	rule := func(name string) *exportTable {
		for i := range exportTables {
			if exportTables[i].name == name {
				return &exportTables[i]
			}
		}
		return nil
	}
	for _, table := range tables {
		if (rule(table) == nil) != (notExported[table] != "") {
			t.Errorf("%s is neither in exportTables nor in notExported, or in both", table)
		}
	}
	before := map[string]bool{"plans": true, "tenants": true}
	for _, r := range exportTables {
		if (r.comes == nil) == (r.stays == "") {
			t.Errorf("%s: an import must know whether its rows come or why they stay", r.name)
		}
		if r.comes == nil {
			continue
		}
		refs, err := db.Admin.Query(t.Context(), `select k.confrelid::regclass::text, array(select a.attname::text from pg_attribute a where a.attrelid = k.conrelid and a.attnum = any (k.conkey) and a.attname <> 'tenant_id')
			from pg_constraint k where k.conrelid = ('public.' || $1)::regclass and k.contype = 'f'`, r.name)
		if err != nil {
			t.Fatal(err)
		}
		var to string
		var columns []string
		if _, err := pgx.ForEachRow(refs, []any{&to, &columns}, func() error {
			for _, c := range columns {
				if !before[to] && !slices.Contains(r.comes.clear, c) {
					t.Errorf("%s.%s refers to %s, which does not come before it: empty it", r.name, c, to)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		before[r.name] = true
	}
}
