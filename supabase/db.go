// Package supabase is Kestrel's database: who runs SQL, migrations, tokens, and the Supabase services beside it.
package supabase

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DB runs SQL under a Scope. It is logged in as kestrel_app, which may do nothing by itself.
type DB struct{ pool *pgxpool.Pool }

// Open connects to url, the login of kestrel_app. It fails if the database cannot be reached.
func Open(ctx context.Context, url string) (*DB, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("APP_DATABASE_URL: %w", err)
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "kestrel"
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("database: %w", err)
	}
	return &DB{pool: pool}, nil
}

// Close waits for running queries and closes the connections.
func (db *DB) Close() { db.pool.Close() }

// Pool is for River, whose tables kestrel_app may use without a scope. Everything else goes through As or Tx.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

// Ping tells whether the database answers.
func (db *DB) Ping(ctx context.Context) error { return db.pool.Ping(ctx) }

// Queryer runs single statements; it satisfies sqlc's DBTX.
type Queryer interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
	Query(context.Context, string, ...any) (pgx.Rows, error)
	QueryRow(context.Context, string, ...any) pgx.Row
}

// As runs each statement as its own implicit transaction under the scope, in one round trip. For several statements
// that belong together use Tx.
func (db *DB) As(s Scope) Queryer { return scoped{db.pool, s} }

// Tx runs fn in one transaction under the scope: committed when fn returns nil, rolled back otherwise.
func (db *DB) Tx(ctx context.Context, s Scope, fn func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, db.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, setScope, s.settings()...); err != nil {
			return err
		}
		return fn(tx)
	})
}

// Snapshot runs fn in one read-only transaction under the scope: all that it reads is of the same moment.
func (db *DB) Snapshot(ctx context.Context, s Scope, fn func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, db.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, setScope, s.settings()...); err != nil {
			return err
		}
		return fn(tx)
	})
}

type scoped struct {
	pool  *pgxpool.Pool
	scope Scope
}

// A batch without begin is one implicit transaction: the settings hold for the query and leave nothing behind, and
// an SQL error costs no connection.
func (q scoped) send(ctx context.Context, sql string, args []any) (pgx.BatchResults, error) {
	batch := &pgx.Batch{}
	batch.Queue(setScope, q.scope.settings()...)
	batch.Queue(sql, args...)
	results := q.pool.SendBatch(ctx, batch)
	if _, err := results.Exec(); err != nil {
		_ = results.Close()
		return nil, err
	}
	return results, nil
}

func (q scoped) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	results, err := q.send(ctx, sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := results.Exec()
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	return tag, err
}

func (q scoped) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	results, err := q.send(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		_ = results.Close()
		return nil, err
	}
	return &scopedRows{Rows: rows, results: results}, nil
}

func (q scoped) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := q.Query(ctx, sql, args...)
	return scopedRow{rows, err}
}

// scopedRows gives the connection back when the rows are read or closed.
type scopedRows struct {
	pgx.Rows
	results pgx.BatchResults
	closed  bool
	err     error
}

func (r *scopedRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *scopedRows) Close() {
	if r.closed {
		return
	}
	r.closed = true
	r.Rows.Close()
	r.err = r.Rows.Err()
	if err := r.results.Close(); r.err == nil {
		r.err = err
	}
}

func (r *scopedRows) Err() error {
	if r.closed {
		return r.err
	}
	return r.Rows.Err()
}

type scopedRow struct {
	rows pgx.Rows
	err  error
}

func (r scopedRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}
