// Package supabasetest gives each test a database of its own, migrated, on one embedded Postgres that all packages'
// tests on this machine share. A copy of the migrated template takes some 20 ms.
package supabasetest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // database/sql driver "pgx", which pgtestdb wants
	"github.com/peterldowns/pgtestdb"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/local"
)

// Database belongs to one test and is dropped when that test passes.
type Database struct {
	Name         string
	URL          string        // as role postgres, the migrations' owner
	AppURL       string        // as kestrel_app, the servers' login; no use on a Bare database
	SuperuserURL string        // as supabase_admin
	Admin        *pgxpool.Pool // on URL
}

// New returns a migrated database, with Auth's and Storage's tables as on Supabase. A Postgres that is missing or
// does not start fails the test.
func New(t testing.TB) *Database {
	t.Helper()
	return create(t, true)
}

// Bare returns a database as a new Supabase project has it, before any migration.
func Bare(t testing.TB) *Database {
	t.Helper()
	return create(t, false)
}

func create(t testing.TB, migrated bool) *Database {
	t.Helper()
	shared, err := theCluster()
	if err != nil {
		t.Fatal(err)
	}
	pg := shared.pg
	conf := pgtestdb.Custom(t, pgtestdb.Config{
		DriverName: "pgx",
		Host:       "127.0.0.1",
		Port:       strconv.Itoa(pg.Port()),
		User:       local.Superuser,
		Password:   pg.Password(local.Superuser),
		Database:   "postgres",
		Options:    "sslmode=disable",
		TestRole:   &pgtestdb.Role{Username: "postgres", Password: pg.Password("postgres")},
		// A test that fails half-way leaves connections open; its real failure must not be buried under theirs.
		ForceTerminateConnections: true,
	}, template{pg: pg, migrated: migrated})
	db := &Database{
		Name:         conf.Database,
		URL:          pg.URL("postgres", conf.Database),
		AppURL:       pg.URL("kestrel_app", conf.Database),
		SuperuserURL: pg.URL(local.Superuser, conf.Database),
	}
	poolConf, err := pgxpool.ParseConfig(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	poolConf.MaxConns = 4
	if db.Admin, err = pgxpool.NewWithConfig(context.Background(), poolConf); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Admin.Close)
	return db
}

// template fills the database that each test's is copied from.
type template struct {
	pg       *local.Postgres
	migrated bool
}

// Hash names the template after everything that goes into it.
func (m template) Hash() (string, error) {
	sum := sha256.New()
	root, err := repository()
	if err != nil {
		return "", err
	}
	scripts, err := filepath.Glob(filepath.Join(root, "supabase", "local", "*.sql"))
	if err != nil {
		return "", err
	}
	for _, path := range scripts {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d %s", filepath.Base(path), len(text), text)
	}
	if m.migrated {
		all, err := supabase.Migrations()
		if err != nil {
			return "", err
		}
		for _, one := range all {
			fmt.Fprintf(sum, "%s %s %d %s", one.Version, one.Name, len(one.SQL), one.SQL)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Migrate fills the empty database of conf.
func (m template) Migrate(ctx context.Context, _ *sql.DB, conf pgtestdb.Config) error {
	// Roles are the cluster's: two templates in the making would trip over each other's ALTER ROLE.
	turn, err := pgx.Connect(ctx, m.pg.URL(local.Superuser, "postgres"))
	if err != nil {
		return err
	}
	defer turn.Close(ctx)
	if _, err := turn.Exec(ctx, "select pg_advisory_lock(hashtext('kestrel template'))"); err != nil {
		return err
	}
	super, err := pgx.Connect(ctx, m.pg.URL(local.Superuser, conf.Database))
	if err != nil {
		return err
	}
	defer super.Close(ctx)
	for _, step := range []func(context.Context, *pgx.Conn) error{
		local.Bootstrap, local.InstallAuth, local.InstallStorage,
	} {
		if err := step(ctx, super); err != nil {
			return err
		}
	}
	if !m.migrated {
		return nil
	}
	url := m.pg.URL("postgres", conf.Database)
	if _, err := supabase.Migrate(ctx, url); err != nil {
		return err
	}
	owner, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer owner.Close(ctx)
	if err := supabase.SetAppPassword(ctx, owner, m.pg.Password("kestrel_app")); err != nil {
		return err
	}
	_, err = owner.Exec(ctx, "analyze")
	return err
}
