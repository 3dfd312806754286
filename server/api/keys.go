package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

var errNoKey = edge.NewProblem(http.StatusNotFound, "key_not_found", "There is no such API key.")

// APIKey is an API key without its secret.
type APIKey struct {
	ID         uuid.UUID  `json:"id" format:"uuid"`
	Name       string     `json:"name" example:"Website form"`
	Prefix     string     `json:"prefix" example:"kst_live_a1B2" doc:"To recognise it by"`
	Scopes     []string   `json:"scopes" nullable:"false" enum:"read,write"`
	ExpiresAt  *time.Time `json:"expires_at" doc:"null: never"`
	LastUsedAt *time.Time `json:"last_used_at" doc:"To within half a minute"`
	RevokedAt  *time.Time `json:"revoked_at"`
	CreatedBy  string     `json:"created_by" example:"admin@haiec.com"`
	CreatedAt  time.Time  `json:"created_at"`
}

// NewAPIKey is an API key with its secret, shown this once.
type NewAPIKey struct {
	APIKey
	Key string `json:"key" example:"kst_live_a1B2…" doc:"The key itself. Store it now: it is never shown again"`
}

// CreateAPIKey is the order for a key.
type CreateAPIKey struct {
	Name      string     `json:"name" maxLength:"80" example:"Website form"`
	Scopes    []string   `json:"scopes,omitempty" nullable:"false" enum:"read,write" minItems:"1" maxItems:"2" uniqueItems:"true" doc:"read if left out" example:"[\"read\"]"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" nullable:"true" doc:"Never if left out"`
}

// Resolve says what is wrong with the fields.
func (b *CreateAPIKey) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.name("name", &b.Name, 80)
	return f.errs
}

type keyListInput struct {
	ID id `path:"id" doc:"The tenant's id"`
}

type createKeyInput struct {
	ID   id `path:"id" doc:"The tenant's id"`
	Body CreateAPIKey
}

type createOwnKeyInput struct{ Body CreateAPIKey }

type keyInput struct {
	ID    id `path:"id" doc:"The tenant's id"`
	KeyID id `path:"key_id"`
}

type ownKeyInput struct {
	KeyID id `path:"key_id"`
}

type newKeyOutput struct {
	Location string `header:"Location"`
	Body     NewAPIKey
}

const createKeyDoc doc = `Create an API key of a tenant
256 random bits, shown once and kept as a SHA-256. A repeat with the same Idempotency-Key gets 409 already_created, since
the secret is not kept.`

func (a *API) createKey(ctx context.Context, in *createKeyInput) (*newKeyOutput, error) {
	return a.makeKey(ctx, in.ID.UUID, in.Body, "/api/admin/tenants/"+in.ID.String()+"/api-keys/")
}

const createOwnKeyDoc doc = `Create an API key
Of the tenant itself; for its admins and owners. Shown once. A repeat with the same Idempotency-Key gets 409
already_created, since the secret is not kept.`

func (a *API) createOwnKey(ctx context.Context, in *createOwnKeyInput) (*newKeyOutput, error) {
	return a.makeKey(ctx, tenantOf(ctx), in.Body, "/api/tenant/api-keys/")
}

// makeKey stores the key and its hash in one transaction: SQL takes a hash only then.
func (a *API) makeKey(ctx context.Context, tenant uuid.UUID, b CreateAPIKey, path string) (*newKeyOutput, error) {
	if b.ExpiresAt != nil && !b.ExpiresAt.After(a.Now()) {
		return nil, edge.NewProblem(http.StatusUnprocessableEntity, "invalid", "The key would have expired already.").At("expires_at", "is in the past")
	}
	if len(b.Scopes) == 0 {
		b.Scopes = []string{"read"}
	}
	scope := edge.FromContext(ctx)
	plain, prefix, hash := edge.NewKey()
	out := &newKeyOutput{}
	err := a.DB.Tx(ctx, scope.SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		if err := a.open(ctx, tx, tenant); err != nil {
			return err
		}
		key, err := q.CreateKey(ctx, db.CreateKeyParams{TenantID: tenant, Name: b.Name, Prefix: prefix, Scopes: b.Scopes, ExpiresAt: b.ExpiresAt, CreatedBy: scope.Principal.Email})
		if err != nil {
			return err
		}
		out.Body, out.Location = NewAPIKey{APIKey: APIKey(key), Key: plain}, path+key.ID.String()
		return q.StoreKeyHash(ctx, key.ID, hash[:])
	})
	return out, err
}

// open finds that the tenant exists, is not deleted, and is the caller's to see.
func (a *API) open(ctx context.Context, q db.DBTX, tenant uuid.UUID) error {
	life, err := db.New(q).TenantLife(ctx, tenant)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && life.DeletedAt != nil {
		return errNoTenant
	}
	return err
}

const listKeysDoc doc = `List a tenant's API keys
Without their secrets; revoked ones too.`

func (a *API) listKeys(ctx context.Context, in *keyListInput) (*listOutput[APIKey], error) {
	if err := a.open(ctx, a.DB.As(edge.FromContext(ctx).SQL()), in.ID.UUID); err != nil {
		return nil, err
	}
	return a.keysOf(ctx, in.ID.UUID)
}

const listOwnKeysDoc doc = `List the API keys
Of the tenant itself, without their secrets; revoked ones too.`

func (a *API) listOwnKeys(ctx context.Context, _ *struct{}) (*listOutput[APIKey], error) {
	return a.keysOf(ctx, tenantOf(ctx))
}

func (a *API) keysOf(ctx context.Context, tenant uuid.UUID) (*listOutput[APIKey], error) {
	keys, err := a.query(ctx).ListKeys(ctx, tenant)
	return whole(each(keys, func(r db.ListKeysRow) APIKey { return APIKey(r) })), err
}

const revokeKeyDoc doc = `Revoke an API key of a tenant
Within a second, open streams included. Revoking twice is the same as once.`

func (a *API) revokeKey(ctx context.Context, in *keyInput) (*struct{}, error) {
	return nil, a.dropKey(ctx, in.ID.UUID, in.KeyID.UUID)
}

const revokeOwnKeyDoc doc = `Revoke an API key
Within a second, open streams included. Revoking twice is the same as once.`

func (a *API) revokeOwnKey(ctx context.Context, in *ownKeyInput) (*struct{}, error) {
	return nil, a.dropKey(ctx, tenantOf(ctx), in.KeyID.UUID)
}

func (a *API) dropKey(ctx context.Context, tenant, key uuid.UUID) error {
	n, err := a.query(ctx).RevokeKey(ctx, optionalTime(a.Now()), tenant, key)
	if err != nil || n > 0 {
		return err
	}
	if _, err := a.query(ctx).FindKey(ctx, tenant, key); err == nil {
		return errForbidden
	}
	return errNoKey
}
