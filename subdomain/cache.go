package subdomain

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"
)

// CacheOptions bound a Cache in time and memory. The zero value of a field means its default.
type CacheOptions struct {
	TTL         time.Duration // an entry is reloaded after this even if nobody invalidated it; 60 s
	NegativeTTL time.Duration // how long "no such tenant" is believed; 5 s
	StaleFor    time.Duration // how old an entry may be served when the Source fails; 1 h
	LoadTimeout time.Duration // of one call of the Source; 2 s
	Entries     int           // tenants kept, per kind of key; 20,000
	Negatives   int           // misses kept, per kind of key; 4,096
	Now         func() time.Time
}

// Cache answers Source's questions from memory: a hit takes no lock and allocates nothing. It is per process;
// whoever listens to the database calls InvalidateTenant and InvalidateAll.
type Cache struct {
	source  Source
	opts    CacheOptions
	slugs   keyspace
	numbers keyspace
	flights singleflight.Group

	// generation counts invalidations: a load that began before one must not be stored after it.
	generation atomic.Uint64
	// epoch is the generation of the last InvalidateAll: older entries serve only while the Source fails.
	epoch atomic.Uint64
}

type keyspace struct {
	prefix string
	load   func(context.Context, string) (Tenant, error)
	found  table[*entry]
	missed table[time.Time]
}

type entry struct {
	tenant     Tenant
	loaded     time.Time
	retry      time.Time // after a failed reload: not before this
	generation uint64
}

// retryEvery keeps a failing Source from being asked by every request.
const retryEvery = time.Second

// NewCache returns an empty cache over the source.
func NewCache(source Source, opts CacheOptions) *Cache {
	orDefault(&opts.TTL, 60*time.Second)
	orDefault(&opts.NegativeTTL, 5*time.Second)
	orDefault(&opts.StaleFor, time.Hour)
	orDefault(&opts.LoadTimeout, 2*time.Second)
	orDefault(&opts.Entries, 20_000)
	orDefault(&opts.Negatives, 4_096)
	if opts.Now == nil {
		opts.Now = time.Now
	}
	c := &Cache{source: source, opts: opts}
	c.slugs.init("slug", source.TenantBySlug, opts)
	c.numbers.init("number", source.TenantByNumber, opts)
	return c
}

func orDefault[T time.Duration | int](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func (k *keyspace) init(prefix string, load func(context.Context, string) (Tenant, error), opts CacheOptions) {
	k.prefix, k.load = prefix, load
	k.found.init(opts.Entries)
	k.missed.init(opts.Negatives)
}

// BySlug returns the tenant that holds the slug, ErrNotFound, or the Source's error if it fails and nothing
// usable is cached. For a retired slug the answer's Slug differs from the one asked for.
func (c *Cache) BySlug(ctx context.Context, slug string) (Tenant, error) {
	return c.get(ctx, &c.slugs, slug)
}

// ByNumber returns the tenant that has the E.164 number; errors as in BySlug.
func (c *Cache) ByNumber(ctx context.Context, e164 string) (Tenant, error) {
	return c.get(ctx, &c.numbers, e164)
}

func (c *Cache) get(ctx context.Context, k *keyspace, key string) (Tenant, error) {
	now := c.opts.Now()
	if e, ok := k.found.get(key); ok {
		fresh := e.generation >= c.epoch.Load() && now.Sub(e.loaded) < c.opts.TTL
		if fresh || now.Before(e.retry) && now.Sub(e.loaded) < c.opts.StaleFor {
			return e.tenant, nil
		}
	} else if until, ok := k.missed.get(key); ok && now.Before(until) {
		return Tenant{}, ErrNotFound
	}
	// The key may lie in a buffer that the caller's server reuses.
	return c.load(ctx, k, strings.Clone(key))
}

// load asks the Source once for all who wait. Callers of different generations do not share an answer: one who
// comes after an invalidation must not get what was read before it.
func (c *Cache) load(ctx context.Context, k *keyspace, key string) (Tenant, error) {
	generation := c.generation.Load()
	flight := k.prefix + strconv.FormatUint(generation, 36) + ":" + key
	ch := c.flights.DoChan(flight, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.opts.LoadTimeout)
		defer cancel()
		tenant, err := k.load(ctx, key)
		if err == nil && tenant.Deleted {
			err = ErrNotFound
		}
		return c.store(k, key, generation, tenant, err)
	})
	select {
	case r := <-ch:
		tenant, _ := r.Val.(Tenant)
		return tenant, r.Err
	case <-ctx.Done():
		return Tenant{}, ctx.Err()
	}
}

func (c *Cache) store(k *keyspace, key string, generation uint64, tenant Tenant, err error) (Tenant, error) {
	now := c.opts.Now()
	current := func() bool { return c.generation.Load() == generation }
	switch {
	case err == nil:
		k.found.put(key, &entry{tenant: tenant, loaded: now, generation: generation}, current)
		k.missed.drop(key, current)
		return tenant, nil
	case errors.Is(err, ErrNotFound):
		k.missed.put(key, now.Add(c.opts.NegativeTTL), current)
		k.found.drop(key, current)
		return Tenant{}, ErrNotFound
	}
	old, ok := k.found.get(key)
	if !ok || now.Sub(old.loaded) >= c.opts.StaleFor {
		return Tenant{}, err
	}
	again := *old
	again.retry = now.Add(retryEvery)
	k.found.put(key, &again, current)
	return old.tenant, nil
}

// InvalidateTenant forgets the tenant, and every miss: the change may be a new slug or number. When it returns,
// no earlier answer will be served again.
func (c *Cache) InvalidateTenant(id uuid.UUID) {
	c.generation.Add(1)
	for _, k := range []*keyspace{&c.slugs, &c.numbers} {
		k.found.remove(func(_ string, e *entry) bool { return e.tenant.ID == id })
		k.missed.remove(func(string, time.Time) bool { return true })
	}
}

// InvalidateAll has everything reloaded before it is used again, as after a gap in what was heard from the
// database. What is cached serves on only while the Source fails, within StaleFor.
func (c *Cache) InvalidateAll() {
	c.epoch.Store(c.generation.Add(1))
	for _, k := range []*keyspace{&c.slugs, &c.numbers} {
		k.missed.remove(func(string, time.Time) bool { return true })
	}
}
