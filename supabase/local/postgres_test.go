package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase/local"
)

// dataDir is a fresh folder; what StartPostgres had to put elsewhere goes with it.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pg")
	t.Cleanup(func() {
		if root := rootOf(dir); root != dir {
			_ = os.RemoveAll(root)
		}
	})
	return dir
}

func rootOf(dir string) string {
	if moved, err := os.ReadFile(filepath.Join(dir, "kestrel-postgres.path")); err == nil {
		return strings.TrimSpace(string(moved))
	}
	return dir
}

func start(t *testing.T, opts local.PostgresOptions) *local.Postgres {
	t.Helper()
	opts.Binaries = local.Binaries("..")
	pg, err := local.StartPostgres(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return pg
}

func stop(t *testing.T, pg *local.Postgres) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := pg.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func query[T any](t *testing.T, url, sql string) (value T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func TestPostgresLooksLikeSupabaseAndKeepsItsData(t *testing.T) {
	t.Parallel()
	// In reach of every user, so that the data stays in it also as root.
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	pg := start(t, local.PostgresOptions{Dir: dir})
	if rootOf(dir) != dir {
		t.Errorf("the data went to %s", rootOf(dir))
	}
	url := pg.URL("postgres", "postgres")
	if query[bool](t, url, "select rolsuper from pg_roles where rolname = current_user") {
		t.Error("postgres is a superuser")
	}
	if !query[bool](t, url, "select auth.uid() is null and has_schema_privilege('anon', 'extensions', 'usage')") {
		t.Error("schemas are not as on Supabase")
	}
	if got := query[string](t, url, "select current_setting('fsync') || current_setting('listen_addresses')"); got != "on127.0.0.1" {
		t.Errorf("fsync and addresses: %s", got)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "create table kept as select 7 as n"); err != nil {
		t.Fatal(err)
	}
	// The open connection is cut by Stop.
	stop(t, pg)
	again := start(t, local.PostgresOptions{Dir: dir})
	defer stop(t, again)
	if again.URL("postgres", "postgres") != url {
		t.Error("the URL changed over a restart though its port was free")
	}
	if got := query[int](t, url, "select n from kept"); got != 7 {
		t.Errorf("kept %d", got)
	}
}

// As root, a folder behind a 0700 parent is out of reach for the server's user.
func TestPostgresBehindAClosedFolder(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	pg := start(t, local.PostgresOptions{Dir: dir, Unsafe: true})
	stop(t, pg)
	port := pg.Port()
	again := start(t, local.PostgresOptions{Dir: dir, Unsafe: true})
	if again.Port() != port {
		t.Error("a second start did not find the first one's data")
	}
	stop(t, again)
	// Removing the folder means starting afresh, wherever its data was.
	moved := rootOf(dir) != dir
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	fresh := start(t, local.PostgresOptions{Dir: dir, Unsafe: true})
	defer stop(t, fresh)
	if os.Geteuid() == 0 && !moved {
		t.Error("no note says where the data is")
	}
	if fresh.Password("postgres") == again.Password("postgres") {
		t.Error("the removed folder's data came back")
	}
}

// TestPostgresAfterKill kills the owning process with SIGKILL while it writes, and wants every row it reported.
func TestPostgresAfterKill(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("KESTREL_TEST_VICTIM"); dir != "" {
		beKilled(t, dir)
	}
	dir := dataDir(t)
	victim := exec.Command(os.Args[0], "-test.run", "^TestPostgresAfterKill$")
	victim.Env = append(os.Environ(), "KESTREL_TEST_VICTIM="+dir)
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	committed := 0
	lines := json.NewDecoder(out)
	for committed < 50 {
		if err := lines.Decode(&committed); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := local.StartPostgres(t.Context(), local.PostgresOptions{Dir: dir, Binaries: local.Binaries("..")}); !errors.Is(err, local.ErrInUse) {
		t.Errorf("second start: %v", err)
	}
	if err := victim.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for lines.Decode(&committed) == nil { // what it still reported
	}
	_ = victim.Wait()
	pg := start(t, local.PostgresOptions{Dir: dir})
	defer stop(t, pg)
	if got := query[int](t, pg.URL("postgres", "postgres"), "select max(n) from rows"); got < committed {
		t.Errorf("%d rows were committed, %d are left", committed, got)
	}
}

func beKilled(t *testing.T, dir string) {
	pg := start(t, local.PostgresOptions{Dir: dir})
	conn, err := pgx.Connect(t.Context(), pg.URL("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "create table rows (n int)"); err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		if _, err := conn.Exec(t.Context(), "insert into rows values ($1)", n); err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(n); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPostgresRefusals(t *testing.T) {
	t.Parallel()
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken := listener.Addr().(*net.TCPAddr).Port
	for name, c := range map[string]struct {
		opts local.PostgresOptions
		want error
	}{
		"foreign folder": {local.PostgresOptions{Dir: foreign, Binaries: local.Binaries("..")}, local.ErrForeignDir},
		"no binaries":    {local.PostgresOptions{Dir: dataDir(t), Binaries: t.TempDir()}, local.ErrNoBinaries},
		"port in use":    {local.PostgresOptions{Dir: dataDir(t), Binaries: local.Binaries(".."), Port: taken}, local.ErrPortInUse},
	} {
		_, err := local.StartPostgres(t.Context(), c.opts)
		if !errors.Is(err, c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %v", name, err, c.want)
		}
	}
}

func TestPostgresOfAnotherMajor(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	stop(t, start(t, local.PostgresOptions{Dir: dir, Unsafe: true}))
	if err := os.WriteFile(filepath.Join(rootOf(dir), "data", "PG_VERSION"), []byte("16\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := local.StartPostgres(t.Context(), local.PostgresOptions{Dir: dir, Binaries: local.Binaries("..")})
	if !errors.Is(err, local.ErrForeignDir) || !strings.Contains(err.Error(), "Postgres 16") {
		t.Errorf("start: %v", err)
	}
}
