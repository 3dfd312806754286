package voice

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/server/agent"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

const (
	usageEvery  = time.Minute      // between two looks at every tenant's use
	usageFresh  = 10 * time.Minute // a limit that nobody could check for so long limits nobody
	reloadRetry = time.Second
	reloadEvery = 10 * time.Minute // of everything, should a notification have been lost
)

// Listing is a tenant as its calls need it: immutable, shared. Only its use moves.
type Listing struct {
	Profile   *agent.Profile
	Status    string // pending, trial, active, suspended or cancelled
	ForwardTo string // E.164; empty for none

	slugs   []string // the current one and those retired
	numbers []string // E.164, live
	blocked map[string]struct{}
	usage   atomic.Pointer[usage]
	read    [sha256.Size]byte // of what the settings were made of
}

type usage struct {
	used, limit int // limit < 0: none
	periodEnd   time.Time
	at          time.Time
}

// HasSlug reports whether the tenant's webhooks may carry the slug: its own, or one it had.
func (l *Listing) HasSlug(slug string) bool { return slices.Contains(l.slugs, slug) }

// Blocked reports whether the tenant takes no calls from the number.
func (l *Listing) Blocked(from string) bool {
	_, contact := l.blocked[from]
	return from != "" && (contact || slices.Contains(l.Profile.Settings.BlockList, from))
}

// OverLimit reports whether the period's calls are known to be used up. What cannot be known limits nobody.
func (l *Listing) OverLimit(now time.Time) bool {
	u := l.usage.Load()
	return u != nil && u.limit >= 0 && u.used >= u.limit && now.Sub(u.at) < usageFresh && (u.periodEnd.IsZero() || now.Before(u.periodEnd))
}

// Directory keeps every tenant's Listing in memory, so that a call is answered without a question to Postgres. While
// Postgres is away it goes on serving what it has. It is per process.
type Directory struct {
	q   *db.Queries
	now func() time.Time
	log *slog.Logger

	mu      sync.RWMutex
	loaded  bool
	tenants map[uuid.UUID]*Listing
	numbers map[string]*Listing
	slugs   map[string]*Listing
	ours    map[string]uuid.UUID // every number of Kestrel's, live or not yet, and whose it is

	changed chan struct{}
	pending struct {
		sync.Mutex
		all     bool
		tenants map[uuid.UUID]bool // true: its use alone
	}
}

// NewDirectory is empty until Run has loaded it.
func NewDirectory(d *supabase.DB, now func() time.Time, log *slog.Logger) *Directory {
	dir := &Directory{
		q: db.New(d.As(supabase.AsService("webhook:twilio"))), now: now, log: log,
		tenants: map[uuid.UUID]*Listing{}, numbers: map[string]*Listing{}, slugs: map[string]*Listing{}, ours: map[string]uuid.UUID{},
		changed: make(chan struct{}, 1),
	}
	dir.pending.tenants = map[uuid.UUID]bool{}
	return dir
}

// Loaded reports whether calls can be told whose they are.
func (d *Directory) Loaded() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.loaded
}

// ByNumber finds the tenant that has the number live.
func (d *Directory) ByNumber(e164 string) (*Listing, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	l, ok := d.numbers[e164]
	return l, ok
}

// BySlug finds the tenant that has the slug, or had it.
func (d *Directory) BySlug(slug string) (*Listing, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	l, ok := d.slugs[slug]
	return l, ok
}

// Profile is the tenant's published receptionist.
func (d *Directory) Profile(tenant uuid.UUID) (*agent.Profile, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if l, ok := d.tenants[tenant]; ok {
		return l.Profile, true
	}
	return nil, false
}

// Ours reports whether the number is Kestrel's own: a call forwarded to it would come back.
func (d *Directory) Ours(e164 string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, ours := d.ours[e164]
	return ours
}

// Heard takes what the database announced. It does not block.
func (d *Directory) Heard(c supabase.Change) {
	switch c.Topic {
	case supabase.Reset:
		d.ask(uuid.Nil, false)
	case "tenant", "voice":
		d.ask(c.ID, false)
	}
}

// Used has a tenant's use looked up again, as after a call. It does not block.
func (d *Directory) Used(tenant uuid.UUID) { d.ask(tenant, true) }

func (d *Directory) ask(tenant uuid.UUID, usageOnly bool) {
	d.pending.Lock()
	if tenant == uuid.Nil {
		d.pending.all = true
	} else if before, asked := d.pending.tenants[tenant]; !asked || before {
		d.pending.tenants[tenant] = usageOnly
	}
	d.pending.Unlock()
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// Run loads everything, then what changes, until ctx ends. What cannot be read now is read again later.
func (d *Directory) Run(ctx context.Context) {
	d.ask(uuid.Nil, false)
	minute, whole := time.NewTicker(usageEvery), time.NewTicker(reloadEvery)
	defer minute.Stop()
	defer whole.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.changed:
			if err := d.refresh(ctx); err != nil && ctx.Err() == nil {
				d.log.Warn("voice: the directory could not be refreshed; the old one serves on", "error", err)
				select {
				case <-ctx.Done():
				case <-time.After(reloadRetry):
				}
			}
		case <-whole.C:
			d.ask(uuid.Nil, false)
		case <-minute.C:
			if err := d.loadUsage(ctx, nil); err != nil && ctx.Err() == nil {
				d.log.Warn("voice: the tenants' use could not be read", "error", err)
			}
		}
	}
}

// refresh reads what was asked for; what fails is asked for again.
func (d *Directory) refresh(ctx context.Context) error {
	d.pending.Lock()
	all, tenants := d.pending.all, d.pending.tenants
	d.pending.all, d.pending.tenants = false, map[uuid.UUID]bool{}
	d.pending.Unlock()
	if all {
		if err := d.load(ctx, nil); err != nil {
			d.ask(uuid.Nil, false)
			return err
		}
		return nil
	}
	var failed error
	for id, usageOnly := range tenants {
		load := d.load
		if usageOnly {
			load = d.loadUsage
		}
		if err := load(ctx, &id); err != nil {
			d.ask(id, usageOnly)
			failed = err
		}
	}
	return failed
}
