package apitest

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"kestrel.ai/server/edge"
)

// Company is a tenant with one caller of each kind, all at its own host.
type Company struct {
	ID       uuid.UUID
	Slug     string
	Number   string // its primary number, ready
	NumberID uuid.UUID

	Owner, Admin, Member, Viewer Caller
	ReadKey, WriteKey            Caller
	WriteKeyID                   uuid.UUID
}

// Company makes an active tenant with a ready number, people of each role, and two API keys.
func (w *World) Company(slug, number string) Company {
	w.t.Helper()
	c := Company{Slug: slug, Number: number}
	host, mail := slug+".kestrel.ai", "@"+slug+".test"
	c.ID = Value[uuid.UUID](w, `insert into tenants (slug, company_name, owner_name, owner_email, plan_tier, subscription_status)
		values ($1, $2, 'The Owner', $3, 'professional', 'pending') returning id`, slug, strings.ToUpper(slug), "owner"+mail)
	c.NumberID = Value[uuid.UUID](w, `insert into phone_numbers (tenant_id, phone_number, status, provider_sid, is_primary)
		values ($1, $2, 'ready', 'PN' || md5($2), true) returning id`, c.ID, number)
	w.Exec(`update tenants set subscription_status = 'active' where id = $1`, c.ID)

	c.Owner = w.Person("owner"+mail, host)
	w.Exec(`update tenant_users set user_id = $2 where tenant_id = $1`, c.ID, c.Owner.UserID)
	for role, caller := range map[string]*Caller{"admin": &c.Admin, "member": &c.Member, "viewer": &c.Viewer} {
		*caller = w.Person(role+mail, host)
		w.Exec(`insert into tenant_users (tenant_id, user_id, email, role) values ($1, $2, $3, $4::member_role)`, c.ID, caller.UserID, role+mail, role)
	}
	c.ReadKey, _ = w.Key(c.ID, host, "read")
	c.WriteKey, c.WriteKeyID = w.Key(c.ID, host, "read", "write")
	return c
}

// Key makes an API key of the tenant.
func (w *World) Key(tenant uuid.UUID, host string, scopes ...string) (Caller, uuid.UUID) {
	w.t.Helper()
	plain, prefix, hash := edge.NewKey()
	id := Value[uuid.UUID](w, `insert into tenant_api_keys (tenant_id, name, prefix, scopes) values ($1, $2, $3, $4) returning id`, tenant, strings.Join(scopes, "+"), prefix, scopes)
	w.Exec(`insert into private.api_key_hashes (hash, key_id) values ($1, $2)`, hash[:], id)
	return Caller{Name: "key " + strings.Join(scopes, "+"), Host: host, w: w}.With("Authorization", "Bearer "+plain), id
}

// View is a platform admin's view as the company, at its host.
func (c Company) View(admin Caller, write bool) (Caller, uuid.UUID) {
	w := admin.w
	w.t.Helper()
	token, hash := edge.NewViewToken()
	id := Value[uuid.UUID](w, `select (private.start_view($1, $2, 'They asked for help', $3, $4, now())).id`, c.ID, admin.UserID, write, hash[:])
	return Caller{Name: "view", Host: c.Slug + ".kestrel.ai", w: w}.With("Authorization", "Bearer "+token), id
}

// Callers are all of the company's, by name.
func (c Company) Callers() map[string]Caller {
	return map[string]Caller{"owner": c.Owner, "admin": c.Admin, "member": c.Member, "viewer": c.Viewer, "key_read": c.ReadKey, "key_write": c.WriteKey}
}

// Calls inserts n finished calls, a minute apart, the newest now.
func (w *World) Calls(tenant uuid.UUID, n int) {
	w.t.Helper()
	_, err := w.Admin.Exec(context.Background(), `insert into call_logs (tenant_id, call_sid, from_number, to_number, status, started_at, ended_at, duration_seconds, summary, outcome, is_test)
		select $1::uuid, 'CA' || md5($1::uuid::text || i), '+16175551234', '+18573825169', 'completed', now() - i * interval '1 minute', now() - i * interval '1 minute' + interval '50 seconds', 50,
			'Furnace makes noise; booked for Tuesday at 9.', 'booked', true
		from generate_series(1, $2::int) i`, tenant, n)
	if err != nil {
		w.t.Fatal(err)
	}
}
