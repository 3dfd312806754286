package edge

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Directory answers who somebody is, from live rows. Every error means "could not tell".
type Directory interface {
	// Membership returns the person's role in the tenant, "" if there is none.
	Membership(ctx context.Context, userID, tenantID uuid.UUID) (role string, err error)
	// LinkMemberships gives the person the memberships and staff powers that wait for their address. It must hold
	// the address to be theirs only if Auth has confirmed it (auth.users.email_confirmed_at): the token's word is not enough.
	LinkMemberships(ctx context.Context, userID uuid.UUID, email string) error
	// PlatformAdmin reports whether the person is staff.
	PlatformAdmin(ctx context.Context, userID uuid.UUID) (bool, error)
	// Key finds an API key by its SHA-256; false if there is none, or it is revoked, expired or its tenant deleted.
	Key(ctx context.Context, hash [32]byte) (APIKey, bool, error)
	// View finds a platform admin's view by its token's SHA-256; false if there is none, or it ended, or its admin
	// is none any more, or its tenant is deleted.
	View(ctx context.Context, hash [32]byte) (TenantView, bool, error)
	// TouchKeys stores when keys were last used.
	TouchKeys(ctx context.Context, used map[uuid.UUID]time.Time) error
}

// APIKey is a live API key.
type APIKey struct {
	ID         uuid.UUID
	TenantID   uuid.UUID
	TenantSlug string
	Name       string
	Scopes     []string  // of "read", "write"
	ExpiresAt  time.Time // zero: never
}

// standingTTL bounds how long a lost notification can keep a removed right alive.
const standingTTL = 30 * time.Second

// standing is the Directory with a short memory.
type standing struct {
	directory Directory
	now       func() time.Time
	members   recent[membership, Role]
	admins    recent[uuid.UUID, bool]
	keys      recent[[32]byte, APIKey]
	views     recent[[32]byte, TenantView]

	mu       sync.Mutex
	lastUsed map[uuid.UUID]time.Time
}

type membership struct{ user, tenant uuid.UUID }

func newStanding(d Directory, now func() time.Time) *standing {
	return &standing{directory: d, now: now, lastUsed: make(map[uuid.UUID]time.Time)}
}

func (s *standing) member(ctx context.Context, user, tenant uuid.UUID, email string) (Role, error) {
	return s.members.get(ctx, membership{user, tenant}, s.now(), func(ctx context.Context) (Role, error) {
		role, err := s.directory.Membership(ctx, user, tenant)
		if err == nil && role == "" && email != "" {
			// The first visit of somebody who was invited by address.
			if err = s.directory.LinkMemberships(ctx, user, email); err == nil {
				role, err = s.directory.Membership(ctx, user, tenant)
			}
		}
		return Role(role), err
	})
}

func (s *standing) admin(ctx context.Context, user uuid.UUID, email string) (bool, error) {
	return s.admins.get(ctx, user, s.now(), func(ctx context.Context) (bool, error) {
		is, err := s.directory.PlatformAdmin(ctx, user)
		if err == nil && !is && email != "" {
			if err = s.directory.LinkMemberships(ctx, user, email); err == nil {
				is, err = s.directory.PlatformAdmin(ctx, user)
			}
		}
		return is, err
	})
}

func (s *standing) key(ctx context.Context, hash [32]byte) (APIKey, bool, error) {
	now := s.now()
	key, err := s.keys.get(ctx, hash, now, func(ctx context.Context) (APIKey, error) {
		key, found, err := s.directory.Key(ctx, hash)
		if !found {
			key = APIKey{} // remembered as well
		}
		return key, err
	})
	live := key.ID != uuid.Nil && (key.ExpiresAt.IsZero() || now.Before(key.ExpiresAt))
	return key, err == nil && live, err
}

// used notes that a key served a request; flushUsed stores it.
func (s *standing) used(id uuid.UUID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastUsed[id] = s.now()
}

func (s *standing) flushUsed(ctx context.Context) error {
	s.mu.Lock()
	batch := s.lastUsed
	s.lastUsed = make(map[uuid.UUID]time.Time)
	s.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	err := s.directory.TouchKeys(ctx, batch)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		for id, at := range batch {
			if _, newer := s.lastUsed[id]; !newer {
				s.lastUsed[id] = at
			}
		}
	}
	return err
}

// forgetMembers forgets one person's membership; a nil user stands for all of the tenant's, a nil tenant for all of
// the person's.
func (s *standing) forgetMembers(user, tenant uuid.UUID) {
	s.members.forget(func(m membership, _ Role) bool {
		return (user == uuid.Nil || m.user == user) && (tenant == uuid.Nil || m.tenant == tenant)
	})
}

func (s *standing) forgetKey(id uuid.UUID) {
	s.keys.forget(func(_ [32]byte, k APIKey) bool { return k.ID == id || k.ID == uuid.Nil })
}

func (s *standing) forgetTenantKeys(tenant uuid.UUID) {
	s.keys.forget(func(_ [32]byte, k APIKey) bool { return k.TenantID == tenant || k.ID == uuid.Nil })
}

func (s *standing) forgetAdmin(user uuid.UUID) {
	s.admins.forget(func(id uuid.UUID, _ bool) bool { return user == uuid.Nil || id == user })
}

func (s *standing) forgetAll() {
	s.members.forget(func(membership, Role) bool { return true })
	s.admins.forget(func(uuid.UUID, bool) bool { return true })
	s.keys.forget(func([32]byte, APIKey) bool { return true })
	s.forgetViews(func(TenantView) bool { return true })
}
