package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nyaruka/phonenumbers"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// onboarding is the scope of people who are nobody yet: one of the API's three uses of the service role.
func (a *API) onboarding(ctx context.Context) supabase.Scope {
	return supabase.AsService("onboarding").Request(edge.FromContext(ctx).RequestID)
}

type onboardInput struct {
	Draft string `header:"Onboarding-Draft" maxLength:"64" doc:"Token of the draft that this ends, if there is one"`
	Body  Onboard
}

// Onboard is the sign-up form.
type Onboard struct {
	CompanyName     string  `json:"company_name" maxLength:"120" example:"HAIEC"`
	Industry        string  `json:"industry,omitempty" maxLength:"60" example:"hvac"`
	OwnerName       string  `json:"owner_name" maxLength:"120" example:"HAIEC Owner"`
	OwnerEmail      string  `json:"owner_email" maxLength:"254" example:"admin@haiec.com"`
	OwnerPhone      *string `json:"owner_phone,omitempty" nullable:"true" maxLength:"40" example:"+18573825169"`
	Slug            string  `json:"slug,omitempty" maxLength:"63" example:"haiec" doc:"The subdomain; made from the company name if left out"`
	PlanTier        string  `json:"plan_tier" maxLength:"31" example:"professional"`
	ForwardToNumber *string `json:"forward_to_number,omitempty" nullable:"true" maxLength:"40" example:"+18573825169"`
	Timezone        string  `json:"timezone,omitempty" maxLength:"64" default:"America/New_York" example:"America/New_York"`
	Country         string  `json:"country,omitempty" minLength:"2" maxLength:"2" example:"US" doc:"ISO 3166: how phone numbers without + are read; US if left out"`
	TermsVersion    string  `json:"terms_version,omitempty" maxLength:"40" example:"2026-01-01" doc:"Of the terms that were shown, if any were; kept with the time"`
	AcceptTerms     bool    `json:"accept_terms,omitempty" example:"true" doc:"Must be true where terms were shown"`
}

// Resolve normalises the fields and says everything that is wrong with them.
func (b *Onboard) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	order := CreateTenant{CompanyName: b.CompanyName, Slug: b.Slug, OwnerName: b.OwnerName, OwnerEmail: b.OwnerEmail, Industry: b.Industry, PlanTier: b.PlanTier}
	f.errs = order.Resolve(nil, at)
	region := strings.ToUpper(b.Country)
	switch {
	case region == "":
		region = "US"
	case phonenumbers.GetCountryCodeForRegion(region) == 0:
		f.add("country", "is not a country such as US")
	}
	for name, value := range map[string]*string{"owner_phone": b.OwnerPhone, "forward_to_number": b.ForwardToNumber} {
		if value != nil {
			f.phoneIn(name, value, region)
		}
	}
	b.CompanyName, b.Slug, b.OwnerName, b.OwnerEmail, b.Industry, b.PlanTier = order.CompanyName, order.Slug, order.OwnerName, order.OwnerEmail, order.Industry, order.PlanTier
	if b.TermsVersion != "" {
		f.line("terms_version", &b.TermsVersion, 40)
	}
	if b.TermsVersion != "" && !b.AcceptTerms {
		f.add("accept_terms", "must be true")
	}
	return f.errs
}

// Onboarded says what was made.
type Onboarded struct {
	TenantID     uuid.UUID `json:"tenant_id" format:"uuid"`
	Slug         string    `json:"slug" example:"haiec"`
	CompanyName  string    `json:"company_name" example:"HAIEC"`
	OwnerEmail   string    `json:"owner_email" example:"admin@haiec.com"`
	Status       string    `json:"status" example:"pending"`
	DashboardURL string    `json:"dashboard_url" example:"https://haiec.kestrel.ai"`
}

type onboardedOutput struct{ Body Onboarded }

var errEmailKnown = edge.NewProblem(http.StatusConflict, "owner_email_taken",
	"This e-mail address is registered already. Sign in, or use another address.").At("owner_email", "is registered already")

const onboardDoc doc = `Sign up
Creates a tenant that is pending until staff give it a number. The owner gets a welcome with a link to set a password.
Bounded by address and by e-mail, for all servers together: 429 with Retry-After.`

func (a *API) onboard(ctx context.Context, in *onboardInput) (*onboardedOutput, error) {
	b := in.Body
	if err := a.limitSignUp(ctx, b.OwnerEmail); err != nil {
		return nil, err
	}
	offered, err := a.query(ctx).ListOfferedPlans(ctx)
	if err != nil {
		return nil, err
	}
	known := false
	for _, p := range offered {
		known = known || p.Tier == b.PlanTier
	}
	if !known {
		return nil, edge.NewProblem(http.StatusUnprocessableEntity, "plan_unknown", "There is no such plan on offer.").At("plan_tier", "is not on offer")
	}
	order := db.CreateTenantParams{
		Slug: b.Slug, CompanyName: b.CompanyName, OwnerName: b.OwnerName, OwnerEmail: b.OwnerEmail, OwnerPhone: unlessEmpty(b.OwnerPhone),
		Industry: b.Industry, PlanTier: b.PlanTier, SubscriptionStatus: "pending", ForwardToNumber: unlessEmpty(b.ForwardToNumber), Timezone: b.Timezone,
	}
	if b.TermsVersion != "" {
		order.TermsVersion, order.TermsAcceptedAt = &b.TermsVersion, optionalTime(a.Now())
	}
	out := &onboardedOutput{}
	scope := a.onboarding(ctx)
	if owns, err := db.New(a.DB.As(scope)).OwnsTenant(ctx, b.OwnerEmail); err != nil {
		return nil, err
	} else if owns {
		return nil, errEmailKnown
	}
	err = a.withSlug(ctx, db.New(a.DB.As(scope)), &order, func() error {
		return a.DB.Tx(ctx, scope, func(tx pgx.Tx) error {
			q := db.New(tx)
			made, err := q.CreateTenant(ctx, order)
			if err == nil && in.Draft != "" {
				err = q.DropDraft(ctx, hashOf(in.Draft))
			}
			if err != nil {
				return err
			}
			out.Body = Onboarded{TenantID: made, Slug: order.Slug, CompanyName: order.CompanyName, OwnerEmail: order.OwnerEmail,
				Status: "pending", DashboardURL: a.Config.Origin(order.Slug)}
			return a.settle(ctx, tx, http.StatusCreated, out.Body)
		})
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.ConstraintName == "tenants_owner_email_key" {
		return nil, errEmailKnown.Because(err)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}
