package agent

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase/db"
)

// States of a version.
const (
	Draft     = "draft"
	Published = "published"
	Archived  = "archived"
)

// ErrNoVersion says that the tenant does not exist, or has no version in that state.
var ErrNoVersion = errors.New("there is no such version of the agent")

// Load reads a tenant's agent, published or draft, under the caller's scope. What its settings leave out is completed;
// what is wrong in them is left to Complete.
func Load(ctx context.Context, q db.DBTX, tenant uuid.UUID, state string) (*Profile, error) {
	r, err := db.New(q).FindAgent(ctx, tenant, state)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, ErrNoVersion
	}
	if err != nil {
		return nil, err
	}
	return NewProfile(r.ID, r.Slug, r.CompanyName, r.Industry, r.Timezone, r.ForwardTo, int(r.Version), r.Settings), nil
}

// NewProfile makes a profile from a tenant's row and a version's settings as they are stored.
func NewProfile(tenant uuid.UUID, slug, companyName, industry, timezone, forwardTo string, version int, stored json.RawMessage) *Profile {
	settings, _ := Complete(stored, industry, companyName)
	return &Profile{
		TenantID: tenant, Slug: slug, CompanyName: companyName, Timezone: timezone, ForwardTo: forwardTo,
		Version: version, Settings: settings,
	}
}

// rules are what the diary's SQL needs of the settings.
func (p *Profile) rules() json.RawMessage { return Rules(p.Settings) }

// Rules are the settings that free slots follow from, for the functions of the diary.
func Rules(s Settings) json.RawMessage {
	raw, err := json.Marshal(map[string]any{"hours": s.Hours, "booking": s.Booking})
	if err != nil {
		return nil // plain fields: it cannot fail
	}
	return raw
}
