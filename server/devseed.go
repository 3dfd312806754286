//go:build !production

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// The sign-ins that dev always has, and prints.
const (
	devAdmin, devAdminPassword = "admin@kestrel.ai", "kestrel-admin"
	devOwner, devOwnerPassword = "admin@haiec.com", "kestrel-haiec"
)

// seed makes the platform admin and, unless noSeed or done before, tenants: through the API, as people do it.
func (s *devStack) seed(ctx context.Context, cfg Config, database *supabase.DB, addr string, noSeed bool) error {
	people := authAdmin{url: cfg.SupabaseURL, key: cfg.SupabaseServiceKey.Reveal()}
	if !s.state.AdminMade {
		if err := people.ensure(ctx, devAdmin, devAdminPassword); err != nil {
			return err
		}
		s.state.AdminMade = true
		if err := s.state.save(); err != nil {
			return err
		}
	}
	q := db.New(database.As(supabase.AsService("dev seed")))
	if err := q.EnsureStaff(ctx, devAdmin, "kestrel dev"); err != nil {
		return err
	}
	if noSeed || s.state.Seeded {
		return nil
	}
	admin, err := signIn(ctx, addr, "admin.localhost", devAdmin, devAdminPassword)
	if err != nil {
		return err
	}
	files := supabase.NewStorage(cfg.SupabaseURL, cfg.SupabaseServiceKey.Reveal())
	for _, t := range devTenants {
		if err := s.seedTenant(ctx, admin, database, files, t); err != nil {
			return fmt.Errorf("%s: %w", t.slug, err)
		}
	}
	if err := people.ensure(ctx, devOwner, devOwnerPassword); err != nil {
		return err
	}
	s.state.Seeded = true
	return s.state.save()
}

// devTenant is one of the customers that dev starts with. "" as number leaves it to be provisioned by hand.
type devTenant struct {
	slug, company, owner, email, phone, industry, plan, number, forward, status string
	calls, appointments                                                         int
}

var devTenants = []devTenant{
	{"haiec", "HAIEC", "HAIEC Owner", devOwner, "+18573825169", "hvac", "professional", "+18573825169", "+16175550142", "active", 42, 9},
	{"northside-plumbing", "Northside Plumbing", "Maria Alvarez", "maria@northsideplumbing.example", "+13125550118", "plumbing", "starter", "312", "+13125550119", "trial", 23, 5},
	{"bright-smile-dental", "Bright Smile Dental", "Dr. Aiko Tanaka", "aiko@brightsmile.example", "+14155550133", "dental", "premium", "415", "+14155550134", "active", 61, 12},
	{"volt-electric", "Volt Electric", "Sam Okafor", "sam@voltelectric.example", "+12065550171", "electrical", "professional", "206", "+12065550172", "suspended", 12, 1},
	{"harbor-legal", "Harbor Legal", "Priya Nair", "priya@harborlegal.example", "+16465550150", "legal", "enterprise", "", "+16465550151", "pending", 0, 0},
	{"salon-luna", "Salon Luna", "Luna Rossi", "luna@salonluna.example", "+13055550160", "salon", "starter", "", "", "pending", 0, 0},
}

func (s *devStack) seedTenant(ctx context.Context, admin caller, database *supabase.DB, files *supabase.Storage, t devTenant) error {
	body := map[string]any{
		"company_name": t.company, "slug": t.slug, "owner_name": t.owner, "owner_email": t.email, "owner_phone": t.phone,
		"industry": t.industry, "plan_tier": t.plan,
	}
	if t.forward != "" {
		body["forward_to_number"] = t.forward
	}
	var tenant seededTenant
	err := admin.do(ctx, http.MethodPost, "/api/admin/tenants", body, &tenant)
	var taken *answerError
	if errors.As(err, &taken) && taken.status == http.StatusConflict {
		tenant, err = findSeeded(ctx, admin, t.slug) // an earlier start was cut short: go on where it stopped
	}
	if err != nil {
		return err
	}
	at := "/api/admin/tenants/" + tenant.ID.String()
	if t.number != "" && tenant.Number == "" {
		if err := orderNumber(ctx, admin, database, tenant.ID, at, t.number); err != nil {
			return err
		}
		if err := admin.do(ctx, http.MethodGet, at, nil, &tenant); err != nil {
			return err
		}
	}
	for tenant.Status != t.status {
		step := "/activate"
		if tenant.Status == "active" {
			step = "/suspend"
		}
		if err := admin.do(ctx, http.MethodPost, at+step, map[string]any{}, &tenant); err != nil {
			return err
		}
	}
	return seedCalls(ctx, database, files, tenant.ID, t)
}

type seededTenant struct {
	ID     uuid.UUID `json:"id"`
	Slug   string    `json:"slug"`
	Status string    `json:"subscription_status"`
	Number string    `json:"twilio_phone_number"`
}

func findSeeded(ctx context.Context, admin caller, slug string) (seededTenant, error) {
	var found struct{ Items []seededTenant }
	if err := admin.do(ctx, http.MethodGet, "/api/admin/tenants?search="+slug, nil, &found); err != nil {
		return seededTenant{}, err
	}
	for _, tenant := range found.Items {
		if tenant.Slug == slug {
			return tenant, nil
		}
	}
	return seededTenant{}, errors.New("its slug is taken, and it is not in the list")
}

// orderNumber waits for a number: the one that an earlier start ordered, or a new one. number is the whole number or
// an area code.
func orderNumber(ctx context.Context, admin caller, database *supabase.DB, tenant uuid.UUID, at, number string) error {
	var job uuid.UUID
	err := database.As(supabase.AsService("dev seed")).QueryRow(ctx,
		"select id from public.jobs where tenant_id = $1 and kind = 'number_purchase' and state in ('queued', 'running') limit 1", tenant).Scan(&job)
	if errors.Is(err, pgx.ErrNoRows) {
		order := map[string]any{"area_code": number, "activate": true}
		if len(number) > 3 {
			order = map[string]any{"phone_number": number, "activate": true}
		}
		var started struct{ Job struct{ ID uuid.UUID } }
		err = admin.do(ctx, http.MethodPost, at+"/provision", order, &started)
		job = started.Job.ID
	}
	if err != nil {
		return err
	}
	return admin.await(ctx, job)
}
