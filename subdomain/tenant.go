// Package subdomain turns what a request names (a host, a called number) into a tenant: parsing, reserved
// names and the tenant cache. It knows neither an HTTP framework nor a database; package supabase implements Source.
package subdomain

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// ErrNotFound says that no live tenant has the slug or number. A deleted tenant is not found either.
var ErrNotFound = errors.New("tenant not found")

// Tenant is what routing knows of a tenant. Values come from a shared cache: treat Numbers as read-only.
type Tenant struct {
	ID          uuid.UUID
	Slug        string // the current one
	CompanyName string
	Status      string // pending, trial, active, suspended or cancelled
	ForwardTo   string // E.164; empty if the tenant forwards nowhere
	Timezone    string // IANA name
	Numbers     []string
	ClosesAt    time.Time // of a cancelled tenant: from then on it is closed to its own people; zero if never
	Deleted     bool
}

// Closed reports whether the tenant's own people are shut out: it is cancelled, and its last period is over.
func (t Tenant) Closed(now time.Time) bool {
	return !t.ClosesAt.IsZero() && !now.Before(t.ClosesAt)
}

// Source loads tenants. Both methods return ErrNotFound (possibly wrapped) where there is no live tenant; any
// other error means "could not tell".
type Source interface {
	// TenantBySlug finds the tenant by its current slug or a retired one; in the latter case the answer's Slug
	// differs from the one asked for.
	TenantBySlug(ctx context.Context, slug string) (Tenant, error)
	// TenantByNumber finds the tenant that has the E.164 number live.
	TenantByNumber(ctx context.Context, e164 string) (Tenant, error)
}
