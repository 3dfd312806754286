package supabase

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Database roles a scope may take. Each is a role kestrel_app may become for one transaction.
const (
	roleAnon    = "anon"
	rolePerson  = "authenticated"
	roleKey     = "kestrel_key"
	roleAdmin   = "kestrel_admin"
	roleService = "service_role"
)

// DefaultTimeout bounds a statement whose scope names no other.
const DefaultTimeout = 8 * time.Second

// Scope says who runs SQL. It is set transaction-locally in the same round trip as the query; without one,
// kestrel_app may read and write nothing. Apart from the role, its settings only narrow or name.
type Scope struct {
	Role       string
	Claims     json.RawMessage // the verified token's, for auth.uid()
	TenantID   uuid.UUID       // the host's tenant; Nil does not narrow
	KeyID      uuid.UUID       // the API key, looked up live by the policies
	ViewID     uuid.UUID       // a platform admin's view as a tenant, looked up live likewise
	ReadOnly   bool            // the transaction refuses every change
	Actor      string          // person:<uuid>, key:<uuid>, admin:<uuid>, job:<kind>…
	ActorLabel string
	RequestID  string
	Timeout    time.Duration
}

// Anon is a caller nobody knows: published plans, nothing else.
func Anon() Scope { return Scope{Role: roleAnon, Actor: "anonymous"} }

// AsPerson is a signed-in person: what live membership allows.
func AsPerson(claims json.RawMessage, userID uuid.UUID, email string) Scope {
	return Scope{Role: rolePerson, Claims: claims, Actor: "person:" + userID.String(), ActorLabel: email}
}

// AsKey is an API key: its one tenant, within its scopes, while it is neither revoked nor expired.
func AsKey(keyID uuid.UUID, name string) Scope {
	return Scope{Role: roleKey, KeyID: keyID, Actor: "key:" + keyID.String(), ActorLabel: name}
}

// AsAdmin is a platform admin, whose powers the caller has checked: every tenant, by the admin grants.
func AsAdmin(userID uuid.UUID, email string) Scope {
	return Scope{Role: roleAdmin, Actor: "admin:" + userID.String(), ActorLabel: email}
}

// AsView is a platform admin who sees Kestrel as a tenant does: what an API key may, and nothing a platform admin may.
// Unless it was asked for writing, the transaction itself refuses to.
func AsView(viewID, adminID uuid.UUID, label string, readOnly bool) Scope {
	return Scope{Role: roleKey, ViewID: viewID, ReadOnly: readOnly, Actor: "admin:" + adminID.String(), ActorLabel: label}
}

// AsService bypasses row-level security. It is spelled aloud, and its callers are few and listed: look-ups before
// the caller is known, jobs, webhooks, onboarding. actor is what the activity log shows, e.g. "job:number_purchase".
func AsService(actor string) Scope {
	return Scope{Role: roleService, Actor: actor, ActorLabel: actor, Timeout: 30 * time.Second}
}

// At narrows the scope to one tenant, the host's.
func (s Scope) At(tenant uuid.UUID) Scope { s.TenantID = tenant; return s }

// Request names the request for the activity log.
func (s Scope) Request(id string) Scope { s.RequestID = id; return s }

const setScope = `select set_config('role', $1, true), set_config('request.jwt.claims', $2, true), set_config('kestrel.tenant_id', $3, true),
  set_config('kestrel.key_id', $4, true), set_config('kestrel.actor', $5, true), set_config('kestrel.actor_label', $6, true),
  set_config('kestrel.request_id', $7, true), set_config('statement_timeout', $8, true), set_config('kestrel.view_id', $9, true),
  case when $10 then set_config('transaction_read_only', 'on', true) end`

func (s Scope) settings() []any {
	timeout := s.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	return []any{s.Role, string(s.Claims), optional(s.TenantID), optional(s.KeyID), s.Actor, s.ActorLabel, s.RequestID, strconv.FormatInt(timeout.Milliseconds(), 10),
		optional(s.ViewID), s.ReadOnly}
}

func optional(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}
