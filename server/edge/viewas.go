package edge

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/subdomain"
)

const viewPrefix = "kst_view_"

// TenantView is a platform admin's running view as a tenant. It is good for what an API key of that tenant is good
// for, and for nothing of the platform's: no view is opened from a view.
type TenantView struct {
	ID         uuid.UUID
	TenantID   uuid.UUID
	TenantSlug string
	AdminID    uuid.UUID // the platform admin's login
	AdminEmail string
	Reason     string
	CanWrite   bool
	ExpiresAt  time.Time
}

// NewViewToken makes the token of a view, of 256 random bits: the plain text, to be shown once, and its SHA-256.
func NewViewToken() (plain string, hash [sha256.Size]byte) { return newToken(viewPrefix) }

func (s *standing) view(ctx context.Context, hash [32]byte) (TenantView, bool, error) {
	now := s.now()
	v, err := s.views.get(ctx, hash, now, func(ctx context.Context) (TenantView, error) {
		v, found, err := s.directory.View(ctx, hash)
		if !found {
			v = TenantView{} // remembered as well
		}
		return v, err
	})
	return v, err == nil && v.ID != uuid.Nil && now.Before(v.ExpiresAt), err
}

// forgetViews forgets those that match, and all tokens that were found to be none.
func (s *standing) forgetViews(match func(TenantView) bool) {
	s.views.forget(func(_ [32]byte, v TenantView) bool { return v.ID == uuid.Nil || match(v) })
}

func (e *Edge) viewPrincipal(ctx context.Context, plain string) (Principal, error) {
	hash, err := hashToken(viewPrefix, plain)
	if err != nil {
		return Principal{}, errCredentials.Because(err)
	}
	v, found, err := e.live.view(ctx, hash)
	if err != nil {
		return Principal{}, errUnavailable.Because(err)
	}
	if !found {
		return Principal{}, errCredentials
	}
	return Principal{Kind: View, ExpiresAt: v.ExpiresAt, keyHash: hash}, nil
}

// admitView lets a view into its own tenant, at its host and at api., and nowhere else.
func (e *Edge) admitView(ctx context.Context, s *Scope, want access, p Principal, named string) error {
	if want == platform || s.Host == subdomain.Admin {
		return errNotAdmin
	}
	v, found, err := e.live.view(ctx, p.keyHash)
	if err != nil {
		return errUnavailable.Because(err)
	}
	if !found {
		return errCredentials
	}
	if s.Host == subdomain.API {
		if err := e.namedTenant(ctx, s, v.TenantSlug); err != nil {
			return err
		}
		if named != "" && named != s.Tenant.Slug {
			return errViewTenant
		}
	}
	if s.Tenant.ID != v.TenantID || v.TenantID == uuid.Nil {
		return errViewTenant
	}
	p.View, p.UserID, p.Email, p.Scopes = v, v.AdminID, v.AdminEmail, []string{"read"}
	if v.CanWrite {
		p.Scopes = []string{"read", "write"}
	}
	s.Principal = p
	return nil
}
