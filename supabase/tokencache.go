package supabase

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	tokenCacheAge    = 60 * time.Second
	tokenCacheShards = 64
	tokenCacheLimit  = 256 // entries per shard: 16,384 tokens of at most 8 KB in all
)

// tokenCache remembers verified tokens by their SHA-256 until they expire, 60 s at most. A full shard drops an
// arbitrary entry.
type tokenCache struct {
	shards [tokenCacheShards]struct {
		sync.RWMutex
		entries map[[sha256.Size]byte]cachedToken
	}
}

type cachedToken struct {
	claims *Claims
	until  time.Time
}

func (c *tokenCache) get(id [sha256.Size]byte, now time.Time) (*Claims, bool) {
	s := &c.shards[id[0]%tokenCacheShards]
	s.RLock()
	t, ok := s.entries[id]
	s.RUnlock()
	return t.claims, ok && now.Before(t.until)
}

func (c *tokenCache) put(id [sha256.Size]byte, claims *Claims, now time.Time) {
	until := now.Add(tokenCacheAge)
	if claims.ExpiresAt.Before(until) {
		until = claims.ExpiresAt
	}
	if !now.Before(until) {
		return
	}
	s := &c.shards[id[0]%tokenCacheShards]
	s.Lock()
	defer s.Unlock()
	if s.entries == nil {
		s.entries = make(map[[sha256.Size]byte]cachedToken)
	}
	if _, replace := s.entries[id]; !replace && len(s.entries) >= tokenCacheLimit {
		for victim := range s.entries {
			delete(s.entries, victim)
			break
		}
	}
	s.entries[id] = cachedToken{claims, until}
}
