package edge

import (
	"context"
	"errors"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kestrel.ai/subdomain"
	"kestrel.ai/supabase"
)

// TenantHeader names the tenant by slug where a person speaks to api., whose host names none.
const TenantHeader = "X-Kestrel-Tenant"

// identify puts the caller into the request's scope, or says why there is none. A credential that is presented
// must be good; without one the paths that come here are closed.
func (e *Edge) identify(c *fiber.Ctx, r *request, rt route) error {
	p, named, err := e.credential(c, r, rt)
	if err != nil {
		return err
	}
	if p.Kind == Anonymous {
		return errSignIn
	}
	if header := c.Get(TenantHeader); named == "" && r.scope.Host == subdomain.API {
		named = strings.ToLower(header)
	}
	return e.admit(c.UserContext(), &r.scope, rt.access, p, named)
}

// credential reads the one credential a request may carry. For a ticket, named is the slug it was minted for.
func (e *Edge) credential(c *fiber.Ctx, r *request, rt route) (p Principal, named string, err error) {
	authorization := c.Request().Header.PeekAll(fiber.HeaderAuthorization)
	apiKey := c.Request().Header.PeekAll("X-Api-Key")
	switch {
	case len(authorization)+len(apiKey) > 1:
		return p, "", errAmbiguous
	case len(apiKey) == 1:
		p, err = e.keyPrincipal(c.UserContext(), string(apiKey[0]))
	case len(authorization) == 1:
		scheme, token, _ := strings.Cut(string(authorization[0]), " ")
		switch {
		case !strings.EqualFold(scheme, "Bearer") || token == "":
			err = errCredentials
		case strings.HasPrefix(token, keyPrefix):
			p, err = e.keyPrincipal(c.UserContext(), token)
		case strings.HasPrefix(token, viewPrefix):
			p, err = e.viewPrincipal(c.UserContext(), token)
		default:
			p, err = e.personPrincipal(c.UserContext(), token)
		}
	case c.Context().QueryArgs().Has("ticket"):
		return e.tickets.redeem(c, r.scope)
	case rt.prefix == jobsPrefix && r.scope.Host == subdomain.Admin && c.Path() != jobsSession:
		p, err = e.jobsPrincipal(c)
	}
	return p, "", err
}

func (e *Edge) personPrincipal(ctx context.Context, token string) (Principal, error) {
	claims, err := e.deps.Tokens.Verify(ctx, token)
	switch {
	case errors.Is(err, supabase.ErrToken):
		return Principal{}, errCredentials.Because(err)
	case err != nil:
		return Principal{}, errUnavailable.Because(err)
	}
	return Principal{Kind: Person, UserID: claims.Subject, Email: claims.Email, AAL: claims.AAL, Claims: claims.Raw, ExpiresAt: claims.ExpiresAt}, nil
}

func (e *Edge) keyPrincipal(ctx context.Context, plain string) (Principal, error) {
	hash, err := HashKey(plain)
	if err != nil {
		return Principal{}, errCredentials.Because(err)
	}
	key, found, err := e.live.key(ctx, hash)
	if err != nil {
		return Principal{}, errUnavailable.Because(err)
	}
	if !found {
		return Principal{}, errCredentials
	}
	return Principal{Kind: Key, KeyID: key.ID, KeyName: key.Name, Scopes: key.Scopes, ExpiresAt: key.ExpiresAt, keyHash: hash}, nil
}

// admit decides the caller's standing at this host, from live rows and never from what a token says. On a nil error
// the scope is complete.
func (e *Edge) admit(ctx context.Context, s *Scope, want access, p Principal, named string) error {
	switch p.Kind {
	case Key:
		return e.admitKey(ctx, s, want, p, named)
	case View:
		return e.admitView(ctx, s, want, p, named)
	}
	onTenantHost := s.Host == subdomain.TenantHost
	switch {
	case onTenantHost:
	case want == platform, s.Host == subdomain.Admin, want == either && named == "":
		return e.admitPlatform(ctx, s, want, p)
	case named == "":
		return errTenantWanted
	default:
		if err := e.namedTenant(ctx, s, named); err != nil {
			return err
		}
	}
	role, err := e.live.member(ctx, p.UserID, s.Tenant.ID, p.Email)
	if err != nil {
		return errUnavailable.Because(err)
	}
	if role == "" {
		if !onTenantHost {
			s.Tenant = subdomain.Tenant{}
			return errTenantUnknown // do not tell strangers who is a customer
		}
		return errNotMember
	}
	if s.Tenant.Closed(e.cfg.Now()) {
		return errClosed
	}
	p.Role = role
	s.Principal = p
	return nil
}

func (e *Edge) admitPlatform(ctx context.Context, s *Scope, want access, p Principal) error {
	isAdmin, err := e.live.admin(ctx, p.UserID, p.Email)
	switch {
	case err != nil:
		return errUnavailable.Because(err)
	case !isAdmin && want == either && s.Host == subdomain.API:
		return errTenantWanted
	case !isAdmin:
		return errNotAdmin
	case p.AAL != "aal2" && !e.cfg.Dev:
		return errMFA
	}
	p.Kind = PlatformAdmin
	s.Principal = p
	return nil
}

func (e *Edge) admitKey(ctx context.Context, s *Scope, want access, p Principal, named string) error {
	if want == platform || s.Host == subdomain.Admin {
		return errNotAdmin
	}
	key, found, err := e.live.key(ctx, p.keyHash)
	if err != nil {
		return errUnavailable.Because(err)
	}
	if !found {
		return errCredentials
	}
	if s.Host == subdomain.API {
		if err := e.namedTenant(ctx, s, key.TenantSlug); err != nil {
			return err
		}
		if named != "" && named != s.Tenant.Slug {
			return errKeyTenant
		}
	}
	if s.Tenant.ID != key.TenantID || key.TenantID == uuid.Nil {
		return errKeyTenant
	}
	if s.Tenant.Closed(e.cfg.Now()) {
		return errClosed
	}
	e.live.used(key.ID)
	s.Principal = p
	return nil
}

// namedTenant puts the tenant that a header, key or ticket names into the scope.
func (e *Edge) namedTenant(ctx context.Context, s *Scope, slug string) error {
	t, err := e.tenant(ctx, slug)
	if err != nil {
		return err
	}
	s.Tenant = t
	return nil
}

// recheck reports whether the scope, admitted earlier, would still be: for streams that stay open.
func (e *Edge) recheck(ctx context.Context, s Scope) (bool, error) {
	if s.Tenant.ID != uuid.Nil {
		t, err := e.deps.Tenants.BySlug(ctx, s.Tenant.Slug)
		switch {
		case errors.Is(err, subdomain.ErrNotFound), err == nil && (t.ID != s.Tenant.ID || t.Closed(e.cfg.Now())):
			return false, nil
		case err != nil:
			return true, err
		}
	}
	switch p := s.Principal; p.Kind {
	case Person:
		role, err := e.live.member(ctx, p.UserID, s.Tenant.ID, p.Email)
		return err != nil || role != "" && role == p.Role, err
	case Key:
		_, found, err := e.live.key(ctx, p.keyHash)
		return err != nil || found, err
	case PlatformAdmin:
		admin, err := e.live.admin(ctx, p.UserID, p.Email)
		return err != nil || admin, err
	case View:
		_, found, err := e.live.view(ctx, p.keyHash)
		return err != nil || found, err
	}
	return false, nil
}
