// Package tests runs the real Supabase CLI on real databases.
package tests

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase/local"
)

// cli runs the CLI that `npm ci` installed, on the project in workdir (the folder above its supabase folder), and
// returns what it printed. It must not talk to anyone but the database, so every proxy leads nowhere.
func cli(t *testing.T, workdir string, args ...string) (string, error) {
	t.Helper()
	bin, err := filepath.Abs("../node_modules/.bin/supabase")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		t.Fatal("the Supabase CLI is not installed (run make deps)")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	home := t.TempDir()
	cmd := exec.CommandContext(ctx, bin, append(args, "--workdir", workdir, "--agent", "no")...)
	cmd.Dir = workdir
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "SUPABASE_HOME=" + home, "TMPDIR=" + os.TempDir(), "NO_COLOR=1",
		"SUPABASE_TELEMETRY_DISABLED=1", "DO_NOT_TRACK=1", "SUPABASE_NO_UPDATE_NOTIFIER=1", "SUPABASE_NO_KEYRING=1",
		"HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9", "NO_PROXY=127.0.0.1",
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustCLI(t *testing.T, workdir string, args ...string) string {
	t.Helper()
	out, err := cli(t, workdir, args...)
	if err != nil {
		t.Fatalf("supabase %s %s: %v\n%s", args[0], args[1], err, out)
	}
	return out
}

// project is a folder with a copy of our supabase folder's configuration, seed and first n migrations (all if n < 0).
func project(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	files, err := filepath.Glob("../migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	if n >= 0 {
		files = files[:n]
	}
	if err := os.MkdirAll(filepath.Join(dir, "supabase", "migrations"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, from := range append(files, "../config.toml", "../seed.sql") {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "supabase", from[len("../"):]), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// newCluster is a Postgres of this test's own: roles are cluster-wide, and here the migrations must make them.
func newCluster(t *testing.T) *local.Postgres {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "kestrel-cli-test-") //nolint:usetesting // Postgres' user must reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	pg, err := local.StartPostgres(t.Context(), local.PostgresOptions{
		Dir: filepath.Join(dir, "pg"), Binaries: local.Binaries(".."), Unsafe: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := pg.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return pg
}

// bare makes database name as a new Supabase project has it and returns its URL for role postgres.
func bare(t *testing.T, pg *local.Postgres, name string) string {
	t.Helper()
	conn := connect(t, pg.URL(local.Superuser, "postgres"))
	if _, err := conn.Exec(t.Context(), "create database "+pgx.Identifier{name}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	super := connect(t, pg.URL(local.Superuser, name))
	for _, step := range []func(context.Context, *pgx.Conn) error{
		local.Bootstrap, local.InstallAuth, local.InstallStorage,
	} {
		if err := step(t.Context(), super); err != nil {
			t.Fatal(err)
		}
	}
	return pg.URL("postgres", name)
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
