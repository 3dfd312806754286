package edge

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// recentLimit bounds each memory of answers; a full one drops an arbitrary entry.
const recentLimit = 20_000

// recent remembers answers for standingTTL, "no" included. What is loaded while something is forgotten is handed to
// those who had asked before, and not kept. The zero value is ready.
type recent[K comparable, V any] struct {
	mu         sync.RWMutex
	entries    map[K]remembered[V]
	generation uint64
	flights    singleflight.Group
}

type remembered[V any] struct {
	value V
	until time.Time
}

// loadTimeout bounds one question to the database.
const loadTimeout = 5 * time.Second

func (r *recent[K, V]) get(ctx context.Context, key K, now time.Time, load func(context.Context) (V, error)) (V, error) {
	r.mu.RLock()
	e, ok := r.entries[key]
	generation := r.generation
	r.mu.RUnlock()
	if ok && now.Before(e.until) {
		return e.value, nil
	}
	ch := r.flights.DoChan(fmt.Sprint(generation, key), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		value, err := load(ctx)
		if err == nil {
			r.keep(key, remembered[V]{value, now.Add(standingTTL)}, generation)
		}
		return value, err
	})
	var zero V
	select {
	case res := <-ch:
		if res.Err != nil {
			return zero, res.Err
		}
		return res.Val.(V), nil
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}

func (r *recent[K, V]) keep(key K, e remembered[V], generation uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.generation != generation {
		return
	}
	if r.entries == nil {
		r.entries = make(map[K]remembered[V])
	}
	if _, replace := r.entries[key]; !replace && len(r.entries) >= recentLimit {
		for victim := range r.entries {
			delete(r.entries, victim)
			break
		}
	}
	r.entries[key] = e
}

func (r *recent[K, V]) forget(match func(K, V) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.generation++
	for key, e := range r.entries {
		if match(key, e.value) {
			delete(r.entries, key)
		}
	}
}
