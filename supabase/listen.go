package supabase

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Change is what the database announces at commit on channel "kestrel". Topics: tenant (its routing changed),
// member (ID is the person), key, admin (ID is the person), event (ID is the subject).
type Change struct {
	Topic  string    `json:"topic"`
	ID     uuid.UUID `json:"id"`
	Tenant uuid.UUID `json:"tenant"`
}

// Reset is the topic sent after the connection was lost: whatever was missed, forget everything.
const Reset = "reset"

// Listener holds the process's one LISTEN connection and tells subscribers what changed.
type Listener struct {
	url string
	log *slog.Logger

	mu   sync.RWMutex
	subs map[int]func(Change)
	next int
}

// NewListener needs a session URL (not a transaction pooler's). Run does the work.
func NewListener(url string, log *slog.Logger) *Listener {
	return &Listener{url: url, log: log, subs: map[int]func(Change){}}
}

// Subscribe calls fn for every change until the returned function is called. fn must not block.
func (l *Listener) Subscribe(fn func(Change)) (unsubscribe func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := l.next
	l.next++
	l.subs[id] = fn
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.subs, id)
	}
}

// Run listens until ctx ends, reconnecting with a growing pause of at most 5 s.
func (l *Listener) Run(ctx context.Context) {
	pause := 50 * time.Millisecond
	for ctx.Err() == nil {
		started := time.Now()
		err := l.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(started) > 10*time.Second {
			pause = 50 * time.Millisecond
		}
		l.log.Warn("listen connection lost", "error", err, "retry_in", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(pause*2, 5*time.Second)
	}
}

func (l *Listener) listen(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, l.url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "listen kestrel"); err != nil {
		return err
	}
	l.publish(Change{Topic: Reset})
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		var c Change
		if err := json.Unmarshal([]byte(n.Payload), &c); err != nil {
			l.log.Error("unreadable notification", "error", err)
			continue
		}
		l.publish(c)
	}
}

func (l *Listener) publish(c Change) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, fn := range l.subs {
		fn(c)
	}
}
