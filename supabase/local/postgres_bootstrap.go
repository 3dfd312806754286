package local

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
)

//go:embed bootstrap.sql
var bootstrapSQL string

// BootstrapSQL is the SQL that Bootstrap runs, for those who key a cache by it.
func BootstrapSQL() string { return bootstrapSQL }

// Bootstrap makes conn's database look like a new Supabase project's: roles, schemas auth, storage and extensions,
// default privileges, auth.uid() and its kin. conn must be the superuser supabase_admin. It may be run again.
// The tables of auth and storage come from InstallAuth and InstallStorage.
func Bootstrap(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.PgConn().Exec(ctx, bootstrapSQL).ReadAll(); err != nil {
		return fmt.Errorf("bootstrap database %s: %w", conn.Config().Database, err)
	}
	return nil
}
