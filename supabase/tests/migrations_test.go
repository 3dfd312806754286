package tests

import (
	_ "embed"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/local"
)

//go:embed catalogue.sql
var catalogueSQL string

// catalogue describes everything in the database, the migration history included.
func catalogue(t *testing.T, pg *local.Postgres, db string) []string {
	t.Helper()
	conn := connect(t, pg.URL(local.Superuser, db))
	lines := column(t, conn, catalogueSQL)
	history := column(t, conn, "select to_jsonb(m)::text from supabase_migrations.schema_migrations m order by version")
	return append(lines, history...)
}

func column(t *testing.T, conn *pgx.Conn, sql string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestCLIAndMigrateAreInterchangeable migrates four databases: by Migrate, by the CLI, and half by each in both
// orders. All end up with the same schema and the same history.
func TestCLIAndMigrateAreInterchangeable(t *testing.T) {
	t.Parallel()
	pg := newCluster(t)
	all, err := supabase.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	half := len(all) / 2
	whole := project(t, -1)
	migrate := func(url string, first int) {
		t.Helper()
		if first < len(all) {
			_, err = supabase.Apply(t.Context(), url, all[:first])
		} else {
			_, err = supabase.Migrate(t.Context(), url)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	up := func(dir, url string) {
		t.Helper()
		mustCLI(t, dir, "migration", "up", "--remote="+url, "--yes")
	}

	migrate(bare(t, pg, "by_migrate"), len(all))
	want := catalogue(t, pg, "by_migrate")
	if len(want) < 100 {
		t.Fatalf("the catalogue has %d lines only", len(want))
	}
	url := bare(t, pg, "by_cli")
	up(whole, url)
	if diff := cmp.Diff(want, catalogue(t, pg, "by_cli")); diff != "" {
		t.Errorf("the CLI's schema differs from Migrate's:\n%s", diff)
	}
	migrate(url, len(all)) // nothing to do, and no complaint

	url = bare(t, pg, "cli_first")
	up(project(t, half), url)
	migrate(url, len(all))
	if diff := cmp.Diff(want, catalogue(t, pg, "cli_first")); diff != "" {
		t.Errorf("CLI, then Migrate:\n%s", diff)
	}
	inStep(t, whole, url)

	url = bare(t, pg, "migrate_first")
	migrate(url, half)
	up(whole, url)
	if diff := cmp.Diff(want, catalogue(t, pg, "migrate_first")); diff != "" {
		t.Errorf("Migrate, then CLI:\n%s", diff)
	}
	inStep(t, whole, url)
}

// inStep fails unless `supabase migration list` pairs every local migration with a remote one.
func inStep(t *testing.T, dir, url string) {
	t.Helper()
	out := mustCLI(t, dir, "migration", "list", "--remote="+url, "--output-format", "json")
	var list struct {
		Migrations []struct{ Local, Remote string }
	}
	if err := json.Unmarshal([]byte(out[max(strings.Index(out, "{"), 0):]), &list); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(list.Migrations) == 0 {
		t.Error("supabase migration list lists nothing")
	}
	for _, m := range list.Migrations {
		if m.Local == "" || m.Local != m.Remote {
			t.Errorf("supabase migration list: local %q, remote %q", m.Local, m.Remote)
		}
	}
}

// TestResetSeedsAndAdvisorsFindNothing runs `supabase db reset`, which drops, migrates and seeds, then the advisors.
// The seed may run again.
func TestResetSeedsAndAdvisorsFindNothing(t *testing.T) {
	t.Parallel()
	pg := newCluster(t)
	url := bare(t, pg, "reset")
	if _, err := supabase.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	dir := project(t, -1)
	mustCLI(t, dir, "db", "reset", "--remote="+url, "--yes")
	seed, err := os.ReadFile("../seed.sql")
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, url)
	if _, err := conn.PgConn().Exec(t.Context(), string(seed)).ReadAll(); err != nil {
		t.Fatal(err)
	}
	slugs := column(t, conn, "select slug from public.tenants")
	if diff := cmp.Diff([]string{"haiec"}, slugs); diff != "" {
		t.Error(diff)
	}

	advise := func() (string, error) {
		return cli(t, dir, "db", "advisors", "--remote="+url, "--level", "warn", "--fail-on", "warn")
	}
	if out, err := advise(); err != nil {
		t.Errorf("supabase db advisors: %v\n%s", err, out)
	}
	// Would they have said something?
	const openTable = "create table public.open_to_all (id int); grant select on public.open_to_all to anon"
	if _, err := conn.PgConn().Exec(t.Context(), openTable).ReadAll(); err != nil {
		t.Fatal(err)
	}
	if out, err := advise(); err == nil || !strings.Contains(out, "open_to_all") {
		t.Errorf("the advisors do not see a table without row-level security: %v\n%s", err, out)
	}
}
