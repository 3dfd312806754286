package edge

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

// slowDirectory reads, then waits.
type slowDirectory struct {
	*world
	reading, release chan struct{}
}

func (d slowDirectory) Membership(ctx context.Context, user, tenant uuid.UUID) (string, error) {
	role, err := d.world.Membership(ctx, user, tenant)
	close(d.reading)
	<-d.release
	return role, err
}

func personScope(id uuid.UUID, role Role) Scope {
	return Scope{Tenant: haiec, Principal: Principal{Kind: Person, UserID: id, Role: role}}
}

func TestStreamsAreCutWhenTheRightGoes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	hash, _ := HashKey(r.readKey)
	keyScope := Scope{Tenant: haiec, Principal: Principal{Kind: Key, KeyID: r.keys[hash].ID, keyHash: hash}}
	for name, c := range map[string]struct {
		scope   Scope
		revoke  func()
		topic   string
		id      uuid.UUID
		survive bool
	}{
		"member removed":       {personScope(viewer, Viewer), func() { delete(r.members, membership{viewer, haiec.ID}) }, "member", viewer, false},
		"another one's change": {personScope(owner, Owner), func() {}, "member", viewer, true},
		"key revoked":          {keyScope, func() { delete(r.keys, hash) }, "key", keyScope.Principal.KeyID, false},
		"admin removed":        {Scope{Principal: Principal{Kind: PlatformAdmin, UserID: staff}}, func() { delete(r.admins, staff) }, "admin", staff, false},
	} {
		ctx, closed := r.edge.Streams().Open(c.scope)
		if ctx.Err() != nil || FromContext(ctx).Principal.Kind != c.scope.Principal.Kind {
			t.Fatalf("%s: %v", name, context.Cause(ctx))
		}
		r.do(c.revoke)
		r.edge.Invalidate(c.topic, c.id, haiec.ID)
		if !c.survive {
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), ErrStreamRevoked) {
				t.Errorf("%s: %v", name, context.Cause(ctx))
			}
			if again, closed := r.edge.Streams().Open(c.scope); again.Err() == nil {
				t.Errorf("%s: opened again", name)
			} else {
				closed()
			}
		} else if ctx.Err() != nil {
			t.Errorf("%s: %v", name, context.Cause(ctx))
		}
		closed()
	}
	if n := r.edge.Streams().Len(); n != 0 {
		t.Errorf("%d streams left", n)
	}
}

func TestStreamRoleChangeAndReset(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, closed := r.edge.Streams().Open(personScope(owner, Owner))
	defer closed()
	r.do(func() { r.members[membership{owner, haiec.ID}] = "viewer" })
	r.edge.Invalidate("reset", uuid.Nil, uuid.Nil)
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), ErrStreamRevoked) {
		t.Error(context.Cause(ctx))
	}
}

func TestStreamSurvivesDatabaseOutageUntilItsTokenExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := func(context.Context, Scope) (bool, error) { return false, errors.New("down") }
		s := newStreams(down, time.Now)
		scope := personScope(owner, Owner)
		scope.Principal.ExpiresAt = time.Now().Add(time.Minute)
		ctx, closed := s.Open(scope)
		defer closed()
		s.check(func(Scope) bool { return true })
		synctest.Wait()
		if ctx.Err() != nil {
			t.Error("cut without proof")
		}
		time.Sleep(61 * time.Second)
		if !errors.Is(context.Cause(ctx), ErrStreamExpired) {
			t.Error(context.Cause(ctx))
		}
	})
}

func TestStreamLimitAndDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStreams(func(context.Context, Scope) (bool, error) { return true, nil }, time.Now)
		for range maxStreamsOne {
			ctx, closed := s.Open(personScope(owner, Owner))
			go func() { <-ctx.Done(); time.Sleep(time.Second); closed() }()
		}
		ctx, closed := s.Open(personScope(owner, Owner))
		if closed(); !errors.Is(context.Cause(ctx), ErrStreamLimit) {
			t.Error(context.Cause(ctx))
		}
		if err := s.Drain(t.Context()); err != nil || s.Len() != 0 {
			t.Errorf("%v, %d left", err, s.Len())
		}
		ctx, closed = s.Open(personScope(owner, Owner))
		if closed(); !errors.Is(context.Cause(ctx), ErrDraining) {
			t.Error(context.Cause(ctx))
		}
	})
}
