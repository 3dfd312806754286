package tests

import (
	_ "embed"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/supabasetest"
)

//go:embed testdata/odd.sql
var oddSQL string

// TestStatementsAreSplitAsTheCLIDoes compares what the history records for a file full of traps.
func TestStatementsAreSplitAsTheCLIDoes(t *testing.T) {
	t.Parallel()
	const history = "select unnest(statements) from supabase_migrations.schema_migrations"
	byApply, byCLI := supabasetest.Bare(t), supabasetest.Bare(t)
	_, err := supabase.Apply(t.Context(), byApply.URL, []supabase.Migration{{Version: "20260101000000", Name: "odd", SQL: oddSQL}})
	if err != nil {
		t.Fatal(err)
	}
	dir := project(t, 0)
	file := filepath.Join(dir, "supabase", "migrations", "20260101000000_odd.sql")
	if err := os.WriteFile(file, []byte(oddSQL), 0o644); err != nil {
		t.Fatal(err)
	}
	mustCLI(t, dir, "migration", "up", "--remote="+byCLI.URL, "--yes")
	want := column(t, connect(t, byCLI.URL), history)
	if diff := cmp.Diff(want, column(t, connect(t, byApply.URL), history)); diff != "" {
		t.Error(diff)
	}
}
