package subdomain

import (
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"
)

const shards = 256

// table is a bounded map whose reads take no lock and do not allocate: 256 small maps, each replaced whole when
// it changes. A full shard drops an arbitrary entry.
type table[V any] struct {
	seed   maphash.Seed
	limit  int // per shard
	shards [shards]shard[V]
}

type shard[V any] struct {
	writing sync.Mutex
	entries atomic.Pointer[map[string]V]
}

func (t *table[V]) init(limit int) {
	t.seed = maphash.MakeSeed()
	t.limit = max(1, (limit+shards-1)/shards)
}

func (t *table[V]) shard(key string) *shard[V] {
	return &t.shards[maphash.String(t.seed, key)%shards]
}

func (t *table[V]) get(key string) (v V, ok bool) {
	if m := t.shard(key).entries.Load(); m != nil {
		v, ok = (*m)[key]
	}
	return v, ok
}

// put stores the value if allowed still says so once no removal can run in between.
func (t *table[V]) put(key string, v V, allowed func() bool) {
	s := t.shard(key)
	s.writing.Lock()
	defer s.writing.Unlock()
	if !allowed() {
		return
	}
	next := map[string]V{}
	if m := s.entries.Load(); m != nil {
		next = maps.Clone(*m)
	}
	if _, replace := next[key]; !replace && len(next) >= t.limit {
		for victim := range next {
			delete(next, victim)
			break
		}
	}
	next[key] = v
	s.entries.Store(&next)
}

// remove drops every entry that matches.
func (t *table[V]) remove(match func(key string, v V) bool) {
	for i := range t.shards {
		s := &t.shards[i]
		s.writing.Lock()
		if m := s.entries.Load(); m != nil && len(*m) > 0 {
			next := *m
			copied := false
			for key, v := range *m {
				if match(key, v) {
					if !copied {
						next, copied = maps.Clone(*m), true
					}
					delete(next, key)
				}
			}
			s.entries.Store(&next)
		}
		s.writing.Unlock()
	}
}

// drop removes one key.
func (t *table[V]) drop(key string, allowed func() bool) {
	s := t.shard(key)
	s.writing.Lock()
	defer s.writing.Unlock()
	m := s.entries.Load()
	if m == nil || !allowed() {
		return
	}
	if _, ok := (*m)[key]; !ok {
		return
	}
	next := maps.Clone(*m)
	delete(next, key)
	s.entries.Store(&next)
}

func (t *table[V]) len() (n int) {
	for i := range t.shards {
		if m := t.shards[i].entries.Load(); m != nil {
			n += len(*m)
		}
	}
	return n
}
