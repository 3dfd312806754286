package subdomain

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// source is a Source whose answers a test changes while it runs.
type source struct {
	mu      sync.Mutex
	tenants map[string]Tenant
	err     error
	loads   atomic.Int64
	during  func() // runs after the answer was read, before it is returned
}

func (s *source) TenantBySlug(_ context.Context, key string) (Tenant, error) {
	s.loads.Add(1)
	s.mu.Lock()
	t, ok := s.tenants[key]
	err, during := s.err, s.during
	s.mu.Unlock()
	if during != nil {
		during()
	}
	if err == nil && !ok {
		err = fmt.Errorf("%q: %w", key, ErrNotFound)
	}
	return t, err
}

func (s *source) TenantByNumber(ctx context.Context, e164 string) (Tenant, error) {
	return s.TenantBySlug(ctx, e164)
}

func (s *source) set(key string, t Tenant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tenants[key] = t
}

func (s *source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func haiec() (*source, Tenant) {
	t := Tenant{ID: uuid.New(), Slug: "haiec", Status: "trial"}
	return &source{tenants: map[string]Tenant{"haiec": t, "+18573825169": t}}, t
}

func TestCacheHitsAndExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, want := haiec()
		c := NewCache(s, CacheOptions{})
		for range 3 {
			got, err := c.BySlug(t.Context(), "haiec")
			if err != nil || got.ID != want.ID {
				t.Fatal(got, err)
			}
			if _, err := c.ByNumber(t.Context(), "+18573825169"); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.loads.Load(); n != 2 {
			t.Errorf("%d loads, want one per key", n)
		}
		time.Sleep(61 * time.Second)
		_, _ = c.BySlug(t.Context(), "haiec")
		if n := s.loads.Load(); n != 3 {
			t.Errorf("%d loads, want a reload after the TTL", n)
		}
	})
}

func TestCacheMissesAreBriefAndBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, want := haiec()
		c := NewCache(s, CacheOptions{Negatives: 512})
		for range 2 {
			if _, err := c.BySlug(t.Context(), "newco"); !errors.Is(err, ErrNotFound) {
				t.Fatal(err)
			}
		}
		if n := s.loads.Load(); n != 1 {
			t.Errorf("%d loads, want 1", n)
		}
		s.set("newco", Tenant{ID: uuid.New(), Slug: "newco"})
		time.Sleep(6 * time.Second)
		if _, err := c.BySlug(t.Context(), "newco"); err != nil {
			t.Error(err)
		}
		_, _ = c.BySlug(t.Context(), "haiec")
		for i := range 5000 {
			_, _ = c.BySlug(t.Context(), fmt.Sprintf("scan-%d", i))
		}
		if n := c.slugs.missed.len(); n > 512 {
			t.Errorf("%d misses kept, want at most 512", n)
		}
		before := s.loads.Load()
		if got, err := c.BySlug(t.Context(), "haiec"); err != nil || got.ID != want.ID || s.loads.Load() != before {
			t.Error("a scan pushed a tenant out")
		}
	})
}

func TestCacheBounded(t *testing.T) {
	t.Parallel()
	s := &source{tenants: map[string]Tenant{}}
	c := NewCache(s, CacheOptions{Entries: 256})
	for i := range 2000 {
		key := fmt.Sprintf("tenant-%d", i)
		s.set(key, Tenant{ID: uuid.New(), Slug: key})
		if _, err := c.BySlug(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if n := c.slugs.found.len(); n > 256 {
		t.Errorf("%d entries", n)
	}
}

func TestCacheInvalidation(t *testing.T) {
	t.Parallel()
	s, tenant := haiec()
	c := NewCache(s, CacheOptions{})
	_, _ = c.BySlug(t.Context(), "haiec")
	_, _ = c.BySlug(t.Context(), "renamed")
	tenant.Slug, tenant.Status = "renamed", "suspended"
	s.set("haiec", tenant)
	s.set("renamed", tenant)
	c.InvalidateTenant(tenant.ID)
	for _, slug := range []string{"haiec", "renamed"} {
		if got, err := c.BySlug(t.Context(), slug); err != nil || got.Status != "suspended" || got.Slug != "renamed" {
			t.Errorf("%s: %+v, %v", slug, got, err)
		}
	}
	tenant.Status = "active"
	s.set("renamed", tenant)
	c.InvalidateAll()
	if got, _ := c.BySlug(t.Context(), "renamed"); got.Status != "active" {
		t.Errorf("after InvalidateAll: %s", got.Status)
	}
}

// A load reads the old row, the row changes and is invalidated, then the load ends: its answer must not stay, and
// one who asks after the invalidation must not get it.
func TestCacheInvalidationDuringLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, tenant := haiec()
		release := make(chan struct{})
		s.during = func() { <-release }
		c := NewCache(s, CacheOptions{})
		go func() { _, _ = c.BySlug(context.Background(), "haiec") }()
		synctest.Wait() // the load has read "trial"

		s.mu.Lock()
		s.during = nil
		s.mu.Unlock()
		tenant.Status = "suspended"
		s.set("haiec", tenant)
		c.InvalidateTenant(tenant.ID)
		if got, err := c.BySlug(t.Context(), "haiec"); err != nil || got.Status != "suspended" {
			t.Errorf("joined the stale load: %s, %v", got.Status, err)
		}
		close(release)
		synctest.Wait()
		if got, _ := c.BySlug(t.Context(), "haiec"); got.Status != "suspended" {
			t.Errorf("the stale load was stored: %s", got.Status)
		}
	})
}

func TestCacheServesStaleWhileSourceFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, want := haiec()
		c := NewCache(s, CacheOptions{StaleFor: 10 * time.Minute})
		_, _ = c.BySlug(t.Context(), "haiec")
		down := errors.New("database is down")
		s.fail(down)
		c.InvalidateAll()
		for range 100 {
			if got, err := c.BySlug(t.Context(), "haiec"); err != nil || got.ID != want.ID {
				t.Fatal(got, err)
			}
		}
		if n := s.loads.Load(); n != 2 {
			t.Errorf("%d loads: a failing source is asked once a second", n)
		}
		if _, err := c.BySlug(t.Context(), "other"); !errors.Is(err, down) {
			t.Errorf("uncached: %v", err)
		}
		time.Sleep(11 * time.Minute)
		if _, err := c.BySlug(t.Context(), "haiec"); !errors.Is(err, down) {
			t.Errorf("past StaleFor: %v", err)
		}
		s.fail(nil)
		if _, err := c.BySlug(t.Context(), "haiec"); err != nil {
			t.Errorf("after recovery: %v", err)
		}
	})
}

func TestCacheSharesLoads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := haiec()
		release := make(chan struct{})
		s.during = func() { <-release }
		c := NewCache(s, CacheOptions{})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { _, _ = c.BySlug(context.Background(), "haiec") })
		}
		synctest.Wait()
		close(release)
		wg.Wait()
		if n := s.loads.Load(); n != 1 {
			t.Errorf("%d loads for 50 callers", n)
		}
	})
}

func TestCacheHitDoesNotAllocate(t *testing.T) {
	s, _ := haiec()
	c := NewCache(s, CacheOptions{})
	_, _ = c.BySlug(t.Context(), "haiec")
	hosts, ctx := Hosts{Base: "kestrel.ai"}, t.Context()
	if n := testing.AllocsPerRun(100, func() {
		_, slug, _ := hosts.Parse("haiec.kestrel.ai:443")
		_, _ = c.BySlug(ctx, slug)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHit(b *testing.B) {
	s := &source{tenants: map[string]Tenant{}}
	c := NewCache(s, CacheOptions{})
	for i := range 10_000 {
		key := fmt.Sprintf("tenant-%d", i)
		s.set(key, Tenant{ID: uuid.New(), Slug: key})
		_, _ = c.BySlug(b.Context(), key)
	}
	hosts, ctx := Hosts{Base: "kestrel.ai"}, b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, slug, _ := hosts.Parse("tenant-4711.kestrel.ai")
			if _, err := c.BySlug(ctx, slug); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	hosts := Hosts{Base: "kestrel.ai"}
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = hosts.Parse("haiec.kestrel.ai:8080")
	}
}

func BenchmarkInvalidateTenant(b *testing.B) {
	s := &source{tenants: map[string]Tenant{}}
	c := NewCache(s, CacheOptions{})
	for i := range 10_000 {
		key := fmt.Sprintf("tenant-%d", i)
		s.set(key, Tenant{ID: uuid.New(), Slug: key})
		_, _ = c.BySlug(b.Context(), key)
	}
	for b.Loop() {
		c.InvalidateTenant(uuid.Nil)
	}
}
