package supabase_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/supabasetest"
)

func three() []supabase.Migration {
	return []supabase.Migration{
		{Version: "1", Name: "one", SQL: "create table one (n int); insert into one values (1)"},
		{Version: "2", Name: "two", SQL: "create table two (n int)"},
		{Version: "3", Name: "three", SQL: "alter table one add column m int"},
	}
}

func TestApplyContinuesAndRepeats(t *testing.T) {
	t.Parallel()
	db := supabasetest.Bare(t)
	for i, want := range [][]string{{"1"}, {"2", "3"}, nil} {
		got, err := supabase.Apply(t.Context(), db.URL, three()[:min(1+2*i, 3)])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("run %d: %s", i, diff)
		}
	}
}

func TestApplyAtTheSameTime(t *testing.T) {
	t.Parallel()
	db := supabasetest.Bare(t)
	var wg sync.WaitGroup
	counts := make([]int, 4)
	for i := range counts {
		wg.Go(func() {
			applied, err := supabase.Apply(t.Context(), db.URL, three())
			if err != nil {
				t.Error(err)
			}
			counts[i] = len(applied)
		})
	}
	wg.Wait()
	if sum := counts[0] + counts[1] + counts[2] + counts[3]; sum != 3 {
		t.Errorf("%v migrations applied, want 3 by one of them", counts)
	}
}

func TestApplyFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		second string // what the second migration runs
		want   string
	}{
		"error":           {"create table kept (n int); select 1 from nowhere", "2_two: statement 2"},
		"own transaction": {"create table kept (n int); commit; select 1", "ends the file's transaction"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := supabasetest.Bare(t)
			all := three()
			all[1].SQL = c.second
			applied, err := supabase.Apply(t.Context(), db.URL, all)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if diff := cmp.Diff([]string{"1"}, applied); diff != "" {
				t.Error(diff)
			}
			var recorded int
			const sql = "select count(*) from supabase_migrations.schema_migrations"
			if err := db.Admin.QueryRow(t.Context(), sql).Scan(&recorded); err != nil || recorded != 1 {
				t.Errorf("%d recorded, %v", recorded, err)
			}
		})
	}
}

func TestApplyRefusesAnotherHistory(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]string{"newer": "9", "between": "2.5", "before": "0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := supabasetest.Bare(t)
			if _, err := supabase.Apply(t.Context(), db.URL, three()); err != nil {
				t.Fatal(err)
			}
			const sql = "insert into supabase_migrations.schema_migrations (version) values ($1)"
			if _, err := db.Admin.Exec(t.Context(), sql, version); err != nil {
				t.Fatal(err)
			}
			_, err := supabase.Apply(t.Context(), db.URL, three())
			if !errors.Is(err, supabase.ErrHistory) || !strings.Contains(err.Error(), version) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("skipped", func(t *testing.T) {
		t.Parallel()
		db := supabasetest.Bare(t)
		all := three()
		if _, err := supabase.Apply(t.Context(), db.URL, []supabase.Migration{all[0], all[2]}); err != nil {
			t.Fatal(err)
		}
		if _, err := supabase.Apply(t.Context(), db.URL, all); !errors.Is(err, supabase.ErrHistory) {
			t.Errorf("error %v", err)
		}
	})
}

func TestReadMigrationsTakesOnlyMigrations(t *testing.T) {
	t.Parallel()
	got, err := supabase.ReadMigrations(fstest.MapFS{
		"2_b.sql": {Data: []byte("b")}, "10_a.sql": {Data: []byte("a")}, "README.md": {}, "x_y.sql": {}, "3_c.sql/x": {},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Versions sort as text, which is how the CLI and the history's primary key order them.
	want := []supabase.Migration{{Version: "10", Name: "a", SQL: "a"}, {Version: "2", Name: "b", SQL: "b"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSetAppPasswordLetsTheServersIn(t *testing.T) {
	t.Parallel()
	db := supabasetest.New(t) // which set the password that AppURL carries
	conn, err := pgx.Connect(t.Context(), db.AppURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var who string
	if err := conn.QueryRow(t.Context(), "select current_user").Scan(&who); err != nil || who != "kestrel_app" {
		t.Errorf("logged in as %q, %v", who, err)
	}
	owner, err := pgx.Connect(t.Context(), db.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(t.Context())
	for _, bad := range []string{"", "naïve", "a\x00b"} {
		if supabase.SetAppPassword(t.Context(), owner, bad) == nil {
			t.Errorf("password %q was accepted", bad)
		}
	}
}
