package local

import (
	"context"
	_ "embed" // the schemas
	"fmt"

	"github.com/jackc/pgx/v5"
)

//go:embed auth.sql
var authSQL string

//go:embed storage.sql
var storageSQL string

// InstallAuth creates what is missing of Supabase Auth's tables in schema auth. conn logs in as the superuser
// supabase_admin; the schema and the platform's roles exist already. It can be called again, and concurrently.
func InstallAuth(ctx context.Context, conn *pgx.Conn) error {
	return install(ctx, conn, "supabase_auth_admin", authSQL)
}

// InstallStorage creates what is missing of Supabase Storage's tables and functions in schema storage, under the
// same conditions as InstallAuth.
func InstallStorage(ctx context.Context, conn *pgx.Conn) error {
	return install(ctx, conn, "supabase_storage_admin", storageSQL)
}

func install(ctx context.Context, conn *pgx.Conn, owner, script string) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// IF NOT EXISTS races with itself: two installers would both find nothing and one would fail.
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock(hashtext($1)), set_config('role', $1, true)", owner); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, script)
		return err
	})
	if err != nil {
		return fmt.Errorf("install tables of %s: %w", owner, err)
	}
	return nil
}
