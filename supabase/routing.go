package supabase

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"kestrel.ai/subdomain"
)

// Routing finds tenants before the caller is known: it satisfies subdomain.Source.
type Routing struct{ q Queryer }

// NewRouting reads as the service role, since nobody has been identified yet.
func NewRouting(db *DB) *Routing { return &Routing{db.As(AsService("routing"))} }

const findTenant = `
select t.id, t.slug, t.company_name, t.subscription_status, coalesce(t.forward_to_number, ''), t.timezone, t.access_ends_at,
  array(select n.phone_number from phone_numbers n where n.tenant_id = t.id and n.status in ('configuring', 'ready') order by n.is_primary desc, n.id)
from tenants t `

// TenantBySlug finds by the current or a retired slug.
func (r *Routing) TenantBySlug(ctx context.Context, slug string) (subdomain.Tenant, error) {
	return r.find(ctx, findTenant+`join tenant_slugs s on s.tenant_id = t.id where s.slug = $1 and t.deleted_at is null`, slug)
}

// TenantByNumber finds by a number that is live, in E.164.
func (r *Routing) TenantByNumber(ctx context.Context, e164 string) (subdomain.Tenant, error) {
	return r.find(ctx, findTenant+`join phone_numbers p on p.tenant_id = t.id
		where p.phone_number = $1 and p.status in ('configuring', 'ready') and t.deleted_at is null`, e164)
}

func (r *Routing) find(ctx context.Context, sql, key string) (subdomain.Tenant, error) {
	var t subdomain.Tenant
	var closes *time.Time
	err := r.q.QueryRow(ctx, sql, key).Scan(&t.ID, &t.Slug, &t.CompanyName, &t.Status, &t.ForwardTo, &t.Timezone, &closes, &t.Numbers)
	if closes != nil {
		t.ClosesAt = *closes
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return t, subdomain.ErrNotFound
	}
	return t, err
}
