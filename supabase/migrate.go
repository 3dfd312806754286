package supabase

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

//go:embed migrations/*.sql
var embedded embed.FS

// ErrHistory means that the database's migration history is not a beginning of ours: it knows a migration that this
// build does not, or lacks one that comes before those it has. The Supabase CLI refuses the same.
var ErrHistory = errors.New("migration history differs")

// migrateLock is the advisory lock's key: "kestrel" in ASCII, so that two releases never migrate at once.
const migrateLock = 0x6b65737472656c

// Migration is one file of a migrations folder, named <version>_<name>.sql as the Supabase CLI wants it.
type Migration struct {
	Version, Name string
	SQL           string
}

// Migrations are the embedded ones in order.
func Migrations() ([]Migration, error) {
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return nil, err
	}
	return ReadMigrations(sub)
}

var migrationFile = regexp.MustCompile(`^([0-9]+)_(.*)\.sql$`)

// ReadMigrations reads the migrations of a folder in the order of their versions. Other files are passed over.
func ReadMigrations(dir fs.FS) ([]Migration, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	var found []Migration
	for _, e := range entries {
		parts := migrationFile.FindStringSubmatch(e.Name())
		if parts == nil || e.IsDir() {
			continue
		}
		text, err := fs.ReadFile(dir, e.Name())
		if err != nil {
			return nil, fmt.Errorf("read migrations: %w", err)
		}
		found = append(found, Migration{Version: parts[1], Name: parts[2], SQL: string(text)})
	}
	slices.SortFunc(found, func(a, b Migration) int { return strings.Compare(a.Version, b.Version) })
	return found, nil
}

// Migrate brings the database at url to the embedded schema and returns the versions it applied. url logs in as role
// postgres on a session (not a transaction pooler). Each file is one transaction, recorded as the Supabase CLI
// records it, so either may continue where the other stopped. River's schema is validated at the end.
// An error wraps ErrHistory or names the file and the statement; what was applied before it stays applied.
func Migrate(ctx context.Context, url string) (applied []string, err error) {
	all, err := Migrations()
	if err != nil {
		return nil, err
	}
	if applied, err = Apply(ctx, url, all); err != nil {
		return applied, err
	}
	return applied, validateRiver(ctx, url)
}

// Apply is Migrate for the given migrations, without River's validation: to stop half-way, or for other files.
func Apply(ctx context.Context, url string, migrations []Migration) (applied []string, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) // which also gives the lock back
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", int64(migrateLock)); err != nil {
		return nil, fmt.Errorf("migrate: wait for another migration: %w", err)
	}
	if err := createHistory(ctx, conn); err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	rows, err := conn.Query(ctx, "select version from supabase_migrations.schema_migrations")
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	done, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	pending, err := pendingOf(migrations, done)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	for _, m := range pending {
		if err := m.apply(ctx, conn); err != nil {
			return applied, fmt.Errorf("migrate: %s_%s: %w", m.Version, m.Name, err)
		}
		applied = append(applied, m.Version)
	}
	return applied, nil
}

// createHistory makes the table that the Supabase CLI keeps its history in (CLI 3.1.0: version, statements, name).
func createHistory(ctx context.Context, conn *pgx.Conn) error {
	var exists bool
	err := conn.QueryRow(ctx, "select to_regclass('supabase_migrations.schema_migrations') is not null").Scan(&exists)
	if err != nil || exists {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `create schema if not exists supabase_migrations`)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `create table if not exists supabase_migrations.schema_migrations (
			version text not null primary key, statements text[], name text)`)
		return err
	})
}

// pendingOf returns what follows in ours after done.
func pendingOf(ours []Migration, done []string) ([]Migration, error) {
	slices.Sort(done)
	for i, version := range done {
		switch {
		case i >= len(ours) || version < ours[i].Version:
			return nil, fmt.Errorf("%w: the database has %s, which this build does not know", ErrHistory, version)
		case version > ours[i].Version:
			return nil, fmt.Errorf("%w: the database has %s but not %s before it", ErrHistory, version, ours[i].Version)
		}
	}
	return ours[len(done):], nil
}

func (m Migration) apply(ctx context.Context, conn *pgx.Conn) error {
	// Settings a file made for its session must not reach the next; the CLI resets likewise.
	if _, err := conn.Exec(ctx, "reset all"); err != nil {
		return err
	}
	statements := splitStatements(m.SQL)
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for i, sql := range statements {
			if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
				return fmt.Errorf("statement %d: %w", i+1, located(sql, err))
			}
			if conn.PgConn().TxStatus() != 'T' {
				return fmt.Errorf("statement %d ends the file's transaction", i+1)
			}
		}
		_, err := tx.Exec(ctx, `insert into supabase_migrations.schema_migrations (version, name, statements)
			values ($1, $2, $3)`, m.Version, m.Name, statements)
		return err
	})
}

// located adds the line in sql that a Postgres error points at.
func located(sql string, err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Position < 1 {
		return err
	}
	runes := []rune(sql)
	end := min(int(pgErr.Position)-1, len(runes))
	line := strings.Count(string(runes[:end]), "\n")
	return fmt.Errorf("%w, at %q", err, strings.TrimSpace(strings.Split(sql, "\n")[line]))
}

// validateRiver checks that schema river is what the linked River expects.
func validateRiver(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return fmt.Errorf("validate river: %w", err)
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: "river"})
	if err != nil {
		return fmt.Errorf("validate river: %w", err)
	}
	result, err := migrator.Validate(ctx, nil)
	if err != nil {
		return fmt.Errorf("validate river: %w", err)
	}
	if !result.OK {
		return fmt.Errorf("schema river is not this River's: %s", strings.Join(result.Messages, "; "))
	}
	return nil
}

// SetAppPassword sets the password with which serve and work log in as kestrel_app. conn is role postgres.
// The server never sees the password itself, only its SCRAM verifier, so no log can hold it.
func SetAppPassword(ctx context.Context, conn *pgx.Conn, password string) error {
	verifier, err := scramVerifier(password)
	if err != nil {
		return fmt.Errorf("set the password of kestrel_app: %w", err)
	}
	// A verifier is base64 and punctuation without quotes.
	if _, err := conn.Exec(ctx, "alter role kestrel_app password '"+verifier+"'"); err != nil {
		return fmt.Errorf("set the password of kestrel_app: %w", err)
	}
	return nil
}
