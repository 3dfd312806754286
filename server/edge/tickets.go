package edge

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kestrel.ai/subdomain"
)

// TicketTTL is how long a ticket may be redeemed.
const TicketTTL = 30 * time.Second

// TicketStore keeps tickets by the SHA-256 of their secret, for all processes.
type TicketStore interface {
	CreateTicket(ctx context.Context, hash [32]byte, principal json.RawMessage, tenantID uuid.UUID, path string, expiresAt time.Time) error
	// TakeTicket removes and returns an unexpired ticket; found is false if there is none. Of two calls with one
	// hash at most one finds it.
	TakeTicket(ctx context.Context, hash [32]byte) (principal json.RawMessage, tenantID uuid.UUID, path string, expiresAt time.Time, found bool, err error)
}

// Tickets mints and redeems single-use tickets: they stand in for a Bearer where a browser cannot send one.
type Tickets struct {
	store TicketStore
	now   func() time.Time
}

// ticketHolder is who a ticket stands for. Standing is not in it: that is looked up when it is redeemed.
type ticketHolder struct {
	Kind      Kind            `json:"kind"`
	UserID    uuid.UUID       `json:"user_id"`
	Email     string          `json:"email,omitempty"`
	AAL       string          `json:"aal,omitempty"`
	Claims    json.RawMessage `json:"claims,omitempty"`
	ExpiresAt time.Time       `json:"expires_at"`
	KeyID     uuid.UUID       `json:"key_id"`
	KeyName   string          `json:"key_name,omitempty"`
	KeyHash   []byte          `json:"key_hash,omitempty"`
	Scopes    []string        `json:"scopes,omitempty"`
	Slug      string          `json:"slug,omitempty"`
}

// Mint makes a ticket for one GET of exactly that path (without query), by this caller, about this tenant. It is
// sent as ?ticket=. A path that is not plain, or not below / on this host, is a 422 Problem.
func (t *Tickets) Mint(ctx context.Context, s Scope, path string) (ticket string, expiresAt time.Time, err error) {
	rt, served := match(s.Host, path)
	if !plain(path) || !served || rt.access == open || under(path, jobsPrefix) {
		return "", time.Time{}, NewProblem(422, "invalid_path", "Tickets are for a path of this host's API.").At("path", "is not a path of this host's API")
	}
	p := s.Principal
	if p.Kind == Anonymous {
		return "", time.Time{}, errSignIn
	}
	holder := ticketHolder{Kind: p.Kind, UserID: p.UserID, Email: p.Email, AAL: p.AAL, Claims: p.Claims, ExpiresAt: p.ExpiresAt,
		KeyID: p.KeyID, KeyName: p.KeyName, Scopes: p.Scopes, Slug: s.Tenant.Slug}
	if p.Kind == Key || p.Kind == View {
		holder.KeyHash = p.keyHash[:]
	}
	body, err := json.Marshal(holder)
	if err != nil {
		return "", time.Time{}, err
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:])
	ticket = base64.RawURLEncoding.EncodeToString(secret[:])
	expiresAt = t.now().Add(TicketTTL)
	return ticket, expiresAt, t.store.CreateTicket(ctx, sha256.Sum256([]byte(ticket)), body, s.Tenant.ID, path, expiresAt)
}

// redeem takes the request's ticket and returns whom it stands for, and the slug it was minted for on api. A ticket
// is spent by being shown, also in the wrong place.
func (t *Tickets) redeem(c *fiber.Ctx, s Scope) (p Principal, slug string, err error) {
	values := c.Context().QueryArgs().PeekMulti("ticket")
	if c.Method() != fiber.MethodGet || len(values) != 1 || len(values[0]) != 43 {
		return p, "", errTicket
	}
	body, tenantID, path, expiresAt, found, err := t.store.TakeTicket(c.UserContext(), sha256.Sum256(values[0]))
	if err != nil {
		return p, "", errUnavailable.Because(err)
	}
	if !found || path != c.Path() || t.now().After(expiresAt) {
		return p, "", errTicket
	}
	var h ticketHolder
	if err := json.Unmarshal(body, &h); err != nil {
		return p, "", errTicket.Because(err)
	}
	if s.Host != subdomain.API && tenantID != s.Tenant.ID {
		return p, "", errTicket.Because(errors.New("minted for another tenant"))
	}
	p = Principal{Kind: h.Kind, UserID: h.UserID, Email: h.Email, AAL: h.AAL, Claims: h.Claims, ExpiresAt: h.ExpiresAt,
		KeyID: h.KeyID, KeyName: h.KeyName, Scopes: h.Scopes}
	if !p.ExpiresAt.IsZero() && t.now().After(p.ExpiresAt) {
		return Principal{}, "", errTicket
	}
	copy(p.keyHash[:], h.KeyHash)
	if p.Kind == PlatformAdmin {
		p.Kind = Person // to be proved again
	}
	return p, h.Slug, nil
}
