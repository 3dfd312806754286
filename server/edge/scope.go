package edge

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kestrel.ai/subdomain"
	"kestrel.ai/supabase"
)

// Kind is what a principal is.
type Kind uint8

// The kinds of principal.
const (
	Anonymous     Kind = iota
	Person             // a signed-in person; within a tenant, a member of it
	Key                // an API key of one tenant
	PlatformAdmin      // Kestrel's staff, on admin. and api. only
	View               // Kestrel's staff, looking at one tenant as that tenant does
)

// String names the kind in logs.
func (k Kind) String() string {
	return [...]string{"anonymous", "person", "key", "platform_admin", "view"}[min(k, View)]
}

// Principal is the verified caller. Its standing (Role, Scopes, Kind) was looked up live for this request.
type Principal struct {
	Kind      Kind
	UserID    uuid.UUID       // of a Person or PlatformAdmin, or the View's platform admin
	Email     string          // as in the token, or the View's platform admin's
	AAL       string          // "aal1" or "aal2"
	Claims    json.RawMessage // the token's payload
	Role      Role            // in Scope.Tenant; empty for all but a Person there
	KeyID     uuid.UUID       // of a Key
	KeyName   string
	Scopes    []string // "read", "write" of a Key or View
	View      TenantView
	ExpiresAt time.Time // of the token or key; zero if it does not expire

	keyHash [32]byte
}

// Scope is who asks for what, of which tenant. The zero Scope may do nothing.
type Scope struct {
	Tenant    subdomain.Tenant // zero where the request is about no tenant
	Host      subdomain.HostKind
	Principal Principal
	RequestID string
	IP        string
}

// request is the edge's record of one request; its scope is complete before a handler runs.
type request struct {
	scope   Scope
	failure error
}

type requestKey struct{}

func requestOf(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

// FromContext returns the request's scope: of c.UserContext(), or of the context that huma hands to operations.
func FromContext(ctx context.Context) Scope {
	if r := requestOf(ctx); r != nil {
		return r.scope
	}
	return Scope{}
}

// WithScope returns a context that carries the scope, for streams that outlive their request, and for tests.
func WithScope(ctx context.Context, s Scope) context.Context {
	return context.WithValue(ctx, requestKey{}, &request{scope: s})
}

// Address is what one subscriber holds: the caller's IPv4 address, or its IPv6 /64.
func (s Scope) Address() [16]byte { return ipKey(s.IP) }

// SQL is the scope under which the request's SQL runs: the caller's own rights, narrowed to the tenant if there
// is one.
func (s Scope) SQL() supabase.Scope {
	var sql supabase.Scope
	switch p := s.Principal; p.Kind {
	case Person:
		sql = supabase.AsPerson(p.Claims, p.UserID, p.Email)
	case Key:
		sql = supabase.AsKey(p.KeyID, p.KeyName)
	case PlatformAdmin:
		sql = supabase.AsAdmin(p.UserID, p.Email)
	case View:
		sql = supabase.AsView(p.View.ID, p.UserID, p.Email+" viewing as "+s.Tenant.CompanyName, !p.View.CanWrite)
	default:
		sql = supabase.Anon()
	}
	if s.Tenant.ID != uuid.Nil {
		sql = sql.At(s.Tenant.ID)
	}
	return sql.Request(s.RequestID)
}

// readOnly reports whether the scope's tenant may be read but not changed; SQL holds to the same.
func (s Scope) readOnly() bool {
	return s.Tenant.Status == "suspended" || s.Tenant.Status == "cancelled"
}

// Can reports whether the caller may do the action in the scope's tenant, as that now stands.
func (s Scope) Can(a Action) bool {
	return s.may(a) && !(a.Writes() && s.readOnly())
}

func (s Scope) may(a Action) bool {
	switch s.Principal.Kind {
	case Person:
		return Allowed(s.Principal.Role, a)
	case Key:
		return KeyAllowed(s.Principal.Scopes, a)
	case View:
		return ViewAllowed(s.Principal.Scopes, a)
	}
	return false
}

// Check is a condition on the caller; it returns nil or a Problem.
type Check func(Scope) error

// RequirePlatformAdmin admits platform admins.
func RequirePlatformAdmin(s Scope) error {
	switch s.Principal.Kind {
	case PlatformAdmin:
		return nil
	case Anonymous:
		return errSignIn
	}
	return errNotAdmin
}

// RequireMember admits persons of at least the role, and no API key.
func RequireMember(least Role) Check {
	return func(s Scope) error {
		switch {
		case s.Principal.Kind == Anonymous:
			return errSignIn
		case s.Principal.Kind != Person || !s.Principal.Role.AtLeast(least):
			return errForbidden
		}
		return nil
	}
}

// RequireScope admits API keys and views that have the scope ("read", "write"), and persons whose role stands for it.
func RequireScope(scope string) Check {
	return func(s Scope) error {
		switch p := s.Principal; {
		case p.Kind == Anonymous:
			return errSignIn
		case (p.Kind == Key || p.Kind == View) && slices.Contains(p.Scopes, scope), p.Kind == Person && p.Role.AtLeast(scopeRole[scope]):
			if scope == "write" && s.readOnly() {
				return errReadOnly
			}
			return nil
		case p.Kind == Key:
			return errKeyScope
		case p.Kind == View:
			return errView
		}
		return errForbidden
	}
}

// RequireAction admits whoever may do the action in the scope's tenant.
func RequireAction(a Action) Check {
	return func(s Scope) error {
		switch {
		case s.Can(a):
			return nil
		case s.may(a):
			return errReadOnly
		case s.Principal.Kind == Anonymous:
			return errSignIn
		case s.Principal.Kind == Key:
			return errKeyScope
		case s.Principal.Kind == View:
			return errView
		}
		return errForbidden
	}
}

// Guard makes fiber middleware of a check. In huma, call the check with FromContext(ctx) instead.
func Guard(check Check) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if err := check(FromContext(c.UserContext())); err != nil {
			return err
		}
		return c.Next()
	}
}
