package edge

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// Database is the Directory and TicketStore over Postgres. It reads as the service role: these are the look-ups that
// come before the caller is known.
type Database struct{ q *db.Queries }

// NewDatabase is what a running server uses as Deps.Directory and Deps.Tickets.
func NewDatabase(d *supabase.DB) *Database {
	return &Database{db.New(d.As(supabase.AsService("edge")))}
}

// Membership satisfies Directory.
func (d *Database) Membership(ctx context.Context, userID, tenantID uuid.UUID) (string, error) {
	role, err := d.q.FindMembership(ctx, userID, tenantID)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return string(role), err
}

// LinkMemberships satisfies Directory; the address that counts is the one Auth confirmed, not the token's.
func (d *Database) LinkMemberships(ctx context.Context, userID uuid.UUID, _ string) error {
	return d.q.LinkPerson(ctx, userID)
}

// PlatformAdmin satisfies Directory.
func (d *Database) PlatformAdmin(ctx context.Context, userID uuid.UUID) (bool, error) {
	return d.q.IsPlatformAdmin(ctx, userID)
}

// Key satisfies Directory.
func (d *Database) Key(ctx context.Context, hash [32]byte) (APIKey, bool, error) {
	row, err := d.q.FindAPIKey(ctx, hash[:], time.Now())
	if errors.Is(err, pgx.ErrNoRows) {
		return APIKey{}, false, nil
	}
	key := APIKey{ID: row.ID, TenantID: row.TenantID, TenantSlug: row.Slug, Name: row.Name, Scopes: row.Scopes}
	if row.ExpiresAt != nil {
		key.ExpiresAt = *row.ExpiresAt
	}
	return key, err == nil, err
}

// View satisfies Directory.
func (d *Database) View(ctx context.Context, hash [32]byte) (TenantView, bool, error) {
	r, err := d.q.FindView(ctx, hash[:], time.Now())
	if errors.Is(err, pgx.ErrNoRows) {
		return TenantView{}, false, nil
	}
	return TenantView{ID: r.ID, TenantID: r.TenantID, TenantSlug: r.Slug, AdminID: r.AdminUserID, AdminEmail: r.AdminEmail,
		Reason: r.Reason, CanWrite: r.CanWrite, ExpiresAt: r.ExpiresAt}, err == nil, err
}

// TouchKeys satisfies Directory.
func (d *Database) TouchKeys(ctx context.Context, used map[uuid.UUID]time.Time) error {
	ids, at := make([]uuid.UUID, 0, len(used)), make([]time.Time, 0, len(used))
	for id, when := range used {
		ids, at = append(ids, id), append(at, when)
	}
	return d.q.TouchAPIKeys(ctx, ids, at)
}

// CreateTicket satisfies TicketStore.
func (d *Database) CreateTicket(ctx context.Context, hash [32]byte, principal json.RawMessage, tenantID uuid.UUID, path string, expiresAt time.Time) error {
	ticket := db.CreateTicketParams{Hash: hash[:], Principal: principal, Path: path, ExpiresAt: expiresAt}
	if tenantID != uuid.Nil {
		ticket.TenantID = &tenantID
	}
	return d.q.CreateTicket(ctx, ticket)
}

// TakeTicket satisfies TicketStore.
func (d *Database) TakeTicket(ctx context.Context, hash [32]byte) (json.RawMessage, uuid.UUID, string, time.Time, bool, error) {
	row, err := d.q.TakeTicket(ctx, hash[:])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, uuid.Nil, "", time.Time{}, false, nil
	}
	var tenant uuid.UUID
	if row.TenantID != nil {
		tenant = *row.TenantID
	}
	return row.Principal, tenant, row.Path, row.ExpiresAt, err == nil, err
}
