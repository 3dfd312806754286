package voice_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/voice"
)

// shared is what two processes know of used tokens; away, nobody can tell.
type shared struct {
	used map[string]bool
	away bool
}

func (s *shared) Use(_ context.Context, _ uuid.UUID, sid string, leg int, _ time.Time) (bool, error) {
	if s.away {
		return false, errors.New("away")
	}
	key := sid + strings.Repeat("+", leg)
	first := !s.used[key]
	s.used[key] = true
	return first, nil
}

func TestTokens(t *testing.T) {
	t.Parallel()
	now := time.Now()
	profile := &agent.Profile{TenantID: uuid.New(), Settings: agent.Settings{Greeting: "Hello"}}
	profiles := func(id uuid.UUID) (*agent.Profile, bool) { return profile, id == profile.TenantID }
	uses := &shared{used: map[string]bool{}}
	minter := func(key string) *voice.Minter {
		return voice.NewMinter([]byte(key), profiles, uses, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	}
	one, other := minter(sessionKey), minter(sessionKey)
	call := func() agent.Call {
		return agent.Call{ID: uuid.New(), SID: callSID(), From: aCaller, To: haiec, Channel: agent.ChannelCall, StartedAt: now.Truncate(time.Millisecond)}
	}
	refused := func(what string, m *voice.Minter, token string) {
		t.Helper()
		if _, err := m.Open(t.Context(), token); !errors.Is(err, voice.ErrToken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	c := call()
	token := one.Mint(c, profile.TenantID, 0)
	offer, err := other.Open(t.Context(), token)
	if err != nil || offer.Call != c || offer.Profile != profile {
		t.Fatalf("%v %+v", err, offer)
	}
	refused("used twice in one process", other, token)
	refused("used in another process", one, token)
	refused("a second token of the same call", one, one.Mint(c, profile.TenantID, 0))
	if again, err := one.Open(t.Context(), one.Mint(c, profile.TenantID, 1)); err != nil || !strings.Contains(again.Profile.Settings.Greeting, "message") {
		t.Errorf("after a transfer that failed: %v %+v", err, again.Profile)
	}
	refused("none", one, "")
	refused("forged", one, token[:len(token)-4]+"AAAA")
	refused("changed", one, "e30"+token)
	refused("another key's", minter(strings.Repeat("x", 32)), one.Mint(call(), profile.TenantID, 0))
	refused("another tenant's", one, one.Mint(call(), uuid.New(), 0))
	refused("endless", one, strings.Repeat("a", 1<<20))
	late := one.Mint(call(), profile.TenantID, 0)
	now = now.Add(2 * time.Minute)
	refused("late", one, late)
	uses.away = true
	if _, err := one.Open(t.Context(), one.Mint(call(), profile.TenantID, 0)); err != nil {
		t.Errorf("with Postgres away: %v", err)
	}
}
