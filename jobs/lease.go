package jobs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

var (
	errLeased    = errors.New("another worker is at it")
	errLeaseLost = errors.New("the connection that holds the job's lease was lost")
)

const leaseKey = `hashtextextended('kestrel job ' || $1, 0)`

// leases are advisory locks, one per job being worked, all on one connection of this process. Postgres frees them when
// the process dies, so that a job whose lease is free has no living worker: it can be rescued within seconds, and no
// job ever runs twice at once.
type leases struct {
	config *pgx.ConnConfig
	log    *slog.Logger

	mu   sync.Mutex
	conn *pgx.Conn
	held map[string]context.CancelCauseFunc
}

func newLeases(config *pgx.ConnConfig, log *slog.Logger) *leases {
	return &leases{config: config, log: log, held: map[string]context.CancelCauseFunc{}}
}

// take returns a context that ends with the lease. It fails with errLeased while anybody else has it.
func (l *leases) take(parent context.Context, name string) (ctx context.Context, release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, mine := l.held[name]; mine {
		return nil, nil, errLeased
	}
	// A query that is cancelled costs the connection, and with it everybody's lease.
	short, cancel := context.WithTimeout(context.WithoutCancel(parent), 5*time.Second)
	defer cancel()
	if l.conn == nil {
		if l.conn, err = pgx.ConnectConfig(short, l.config); err != nil {
			l.conn = nil
			return nil, nil, err
		}
	}
	var taken bool
	if err := l.conn.QueryRow(short, `select pg_try_advisory_lock(`+leaseKey+`)`, name).Scan(&taken); err != nil {
		l.lost(err)
		return nil, nil, err
	}
	if !taken {
		return nil, nil, errLeased
	}
	ctx, end := context.WithCancelCause(parent)
	l.held[name] = end
	return ctx, func() { l.release(name) }, nil
}

func (l *leases) release(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end, mine := l.held[name]
	if !mine {
		return
	}
	delete(l.held, name)
	end(nil)
	short, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := l.conn.Exec(short, `select pg_advisory_unlock(`+leaseKey+`)`, name); err != nil {
		l.lost(err)
	}
}

// watch ends the jobs of this process when the connection breaks: others may take them from then on.
func (l *leases) watch(ctx context.Context) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.mu.Lock()
		if l.conn != nil {
			short, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			if err := l.conn.Ping(short); err != nil {
				l.lost(err)
			}
			cancel()
		}
		l.mu.Unlock()
	}
}

// lost gives up the connection and every lease on it. l.mu must be held.
func (l *leases) lost(err error) {
	l.log.Warn("jobs: lease connection lost", "error", err, "jobs", len(l.held))
	l.end()
}

func (l *leases) end() {
	for name, end := range l.held {
		end(errLeaseLost)
		delete(l.held, name)
	}
	if l.conn != nil {
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.conn.Close(short)
		l.conn = nil
	}
}

func (l *leases) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end()
}
