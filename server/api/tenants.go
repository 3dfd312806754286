package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kestrel.ai/server/edge"
	"kestrel.ai/subdomain"
	"kestrel.ai/supabase/db"
)

var errNoTenant = edge.NewProblem(http.StatusNotFound, "tenant_not_found", "There is no such tenant.")

// Tenant is a customer as platform admins see it.
type Tenant struct {
	ID                 uuid.UUID  `json:"id" format:"uuid"`
	Slug               string     `json:"slug" example:"haiec"`
	CompanyName        string     `json:"company_name" example:"HAIEC"`
	OwnerName          string     `json:"owner_name" example:"HAIEC Owner"`
	OwnerEmail         string     `json:"owner_email" example:"admin@haiec.com"`
	OwnerPhone         *string    `json:"owner_phone" example:"+18573825169"`
	Industry           string     `json:"industry" example:"hvac"`
	PlanTier           string     `json:"plan_tier" example:"professional"`
	SubscriptionStatus string     `json:"subscription_status" enum:"pending,trial,active,suspended,cancelled"`
	StatusReason       *string    `json:"status_reason" doc:"Why the status last changed"`
	TwilioPhoneNumber  *string    `json:"twilio_phone_number" example:"+18573825169" doc:"The primary number"`
	NumberStatus       *string    `json:"number_status" example:"ready" doc:"Of the primary number; not_owned says that Twilio does not have it in our account"`
	ForwardToNumber    *string    `json:"forward_to_number" example:"+18573825169"`
	MaxMonthlyCalls    *int32     `json:"max_monthly_calls" example:"500"`
	CallLimitOverride  *int32     `json:"call_limit_override" doc:"What max_monthly_calls was set to, if it is not the plan's"`
	CurrentMonthCalls  int32      `json:"current_month_calls" example:"42"`
	IsActive           bool       `json:"is_active" doc:"Whether calls are answered"`
	Timezone           string     `json:"timezone" example:"America/New_York"`
	BillingAnchor      *int16     `json:"billing_anchor" example:"23" doc:"Day of month on which a usage period starts"`
	BrandColor         *string    `json:"brand_color" example:"#1c7ed6"`
	PriceCents         *int32     `json:"price_cents" example:"29900" doc:"US cents a month of the current term"`
	TrialEndsAt        *time.Time `json:"trial_ends_at"`
	GraceEndsAt        *time.Time `json:"grace_ends_at" db:"-" doc:"Of a trial: when it is suspended unless activated, which is its end and the grace after it"`
	AccessEndsAt       *time.Time `json:"access_ends_at" doc:"Of a cancelled tenant: until when it can be read and exported"`
	Suspension         *string    `json:"suspension" enum:"trial_ended,by_hand" doc:"How a suspension came about; from trial_ended the trial can be extended"`
	ActivatedAt        *time.Time `json:"activated_at"`
	SuspendedAt        *time.Time `json:"suspended_at"`
	CancelledAt        *time.Time `json:"cancelled_at"`
	DeletedAt          *time.Time `json:"deleted_at"`
	CreatedAt          time.Time  `json:"created_at"`
	UpdatedAt          time.Time  `json:"updated_at"`
	Overdue            bool       `json:"overdue" doc:"Pending for more than 48 hours"`
	DashboardURL       string     `json:"dashboard_url" db:"-" example:"https://haiec.kestrel.ai"`
}

// selectTenant reads Tenants by position; $1 is the time before which a pending one is overdue.
const selectTenant = `select t.id, t.slug, t.company_name, t.owner_name, t.owner_email, t.owner_phone, t.industry, t.plan_tier,
  t.subscription_status, t.status_reason, t.twilio_phone_number, n.status as number_status, t.forward_to_number, t.max_monthly_calls,
  t.call_limit_override, t.current_month_calls, t.is_active, t.timezone, t.billing_anchor, t.brand_color, p.price_cents,
  t.trial_ends_at, t.access_ends_at, t.suspension, t.activated_at, t.suspended_at, t.cancelled_at, t.deleted_at, t.created_at, t.updated_at,
  t.subscription_status = 'pending' and t.deleted_at is null and t.created_at < $1::timestamptz as overdue
from tenants t
left join tenant_plans p on p.tenant_id = t.id and p.valid_to is null
left join phone_numbers n on n.tenant_id = t.id and n.is_primary
where `

func (a *API) overdueBefore() time.Time { return a.Now().Add(-48 * time.Hour) }

func (a *API) queryTenants(ctx context.Context, q db.DBTX, where string, args ...any) ([]Tenant, error) {
	rows, err := q.Query(ctx, selectTenant+where, append([]any{a.overdueBefore()}, args...)...)
	if err != nil {
		return nil, err
	}
	tenants, err := pgx.CollectRows(rows, pgx.RowToStructByName[Tenant])
	for i := range tenants {
		tenants[i].DashboardURL = a.Config.Origin(tenants[i].Slug)
		tenants[i].GraceEndsAt = a.graceEnds(tenants[i].SubscriptionStatus, tenants[i].TrialEndsAt)
	}
	return tenants, err
}

// tenant finds one that is not deleted.
func (a *API) tenant(ctx context.Context, q db.DBTX, id uuid.UUID) (Tenant, error) {
	found, err := a.queryTenants(ctx, q, `t.id = $2 and t.deleted_at is null`, id)
	if err == nil && len(found) == 0 {
		err = errNoTenant
	}
	if err != nil {
		return Tenant{}, err
	}
	return found[0], nil
}

type TenantPath struct {
	ID id `path:"id" doc:"The tenant's id"`
}

type tenantOutput struct{ Body Tenant }

// Create ----------------------------------------------------------------------------------------------------------

type createTenantInput struct{ Body CreateTenant }

// CreateTenant is the order for a new tenant.
type CreateTenant struct {
	CompanyName        string  `json:"company_name" maxLength:"120" example:"HAIEC"`
	Slug               string  `json:"slug,omitempty" maxLength:"63" example:"haiec" doc:"The subdomain; made from the company name if left out"`
	OwnerName          string  `json:"owner_name,omitempty" maxLength:"120" example:"HAIEC Owner"`
	OwnerEmail         string  `json:"owner_email" maxLength:"254" example:"admin@haiec.com"`
	OwnerPhone         *string `json:"owner_phone,omitempty" nullable:"true" maxLength:"40" example:"+18573825169"`
	Industry           string  `json:"industry,omitempty" maxLength:"60" example:"hvac"`
	PlanTier           string  `json:"plan_tier,omitempty" maxLength:"31" default:"starter" example:"professional"`
	SubscriptionStatus string  `json:"subscription_status,omitempty" enum:"pending,trial,active" example:"pending" doc:"pending if left out"`
	SkipTrial          bool    `json:"skip_trial,omitempty" example:"false" doc:"Make the tenant active at once"`
	TwilioPhoneNumber  *string `json:"twilio_phone_number,omitempty" nullable:"true" maxLength:"40" example:"+18573825169" doc:"A number we own already; it is never bought here"`
	ForwardToNumber    *string `json:"forward_to_number,omitempty" nullable:"true" maxLength:"40" example:"+18573825169"`
	MaxMonthlyCalls    *int32  `json:"max_monthly_calls,omitempty" nullable:"true" minimum:"1" maximum:"10000000" example:"500" doc:"The plan's if left out"`
	Timezone           string  `json:"timezone,omitempty" maxLength:"64" default:"America/New_York" example:"America/New_York"`
	BrandColor         *string `json:"brand_color,omitempty" nullable:"true" maxLength:"7" example:"#1c7ed6"`
}

// Resolve normalises the fields and says everything that is wrong with them.
func (b *CreateTenant) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.name("company_name", &b.CompanyName, 120)
	f.line("owner_name", &b.OwnerName, 120)
	f.email("owner_email", &b.OwnerEmail)
	for name, value := range map[string]*string{"owner_phone": b.OwnerPhone, "twilio_phone_number": b.TwilioPhoneNumber, "forward_to_number": b.ForwardToNumber} {
		if value != nil {
			f.phone(name, value)
		}
	}
	f.matching("industry", &b.Industry, industry, "is a word such as hvac")
	if b.BrandColor != nil {
		f.matching("brand_color", b.BrandColor, colour, "is not a colour such as #1c7ed6")
	}
	b.PlanTier = strings.ToLower(strings.TrimSpace(b.PlanTier))
	b.Slug = strings.ToLower(strings.TrimSpace(b.Slug))
	if b.Slug != "" {
		if err := subdomain.ValidSlug(b.Slug); err != nil {
			f.add("slug", err.Error())
		}
	}
	if b.SkipTrial && b.SubscriptionStatus != "" && b.SubscriptionStatus != "active" {
		f.add("skip_trial", "contradicts subscription_status")
	}
	return f.errs
}

type createdTenant struct {
	Location string `header:"Location" example:"/api/admin/tenants/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51"`
	Body     Tenant
}

const createTenantDoc doc = `Create a tenant
The tenant starts pending, unless subscription_status or skip_trial says otherwise. Its owner becomes a member by e-mail,
a usage period opens, and the notification to staff and the welcome go out. A twilio_phone_number is looked up in our
Twilio account and its webhooks are set; it is never bought.`

func (a *API) createTenant(ctx context.Context, in *createTenantInput) (*createdTenant, error) {
	b := in.Body
	state := "pending"
	switch {
	case b.SkipTrial:
		state = "active"
	case b.SubscriptionStatus != "":
		state = b.SubscriptionStatus
	}
	order := db.CreateTenantParams{
		Slug: b.Slug, CompanyName: b.CompanyName, OwnerName: b.OwnerName, OwnerEmail: b.OwnerEmail, OwnerPhone: unlessEmpty(b.OwnerPhone),
		Industry: b.Industry, PlanTier: b.PlanTier, SubscriptionStatus: state, TwilioPhoneNumber: unlessEmpty(b.TwilioPhoneNumber),
		ForwardToNumber: unlessEmpty(b.ForwardToNumber), MaxMonthlyCalls: b.MaxMonthlyCalls, Timezone: b.Timezone, BrandColor: unlessEmpty(b.BrandColor),
	}
	scope := a.DB.As(edge.FromContext(ctx).SQL())
	var made Tenant
	err := a.withSlug(ctx, db.New(scope), &order, func() error {
		return a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
			id, err := db.New(tx).CreateTenant(ctx, order)
			if err != nil {
				return err
			}
			made, err = a.tenant(ctx, tx, id)
			return err
		})
	})
	if err != nil {
		return nil, planProblem(err)
	}
	return &createdTenant{Location: "/api/admin/tenants/" + made.ID.String(), Body: made}, nil
}

func unlessEmpty(s *string) *string {
	if s == nil || *s == "" {
		return nil
	}
	return s
}

// planProblem says a foreign key to plans in the caller's words.
func planProblem(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.ConstraintName == "tenants_plan_tier_fkey" {
		return edge.NewProblem(http.StatusUnprocessableEntity, "plan_unknown", "There is no such plan.").At("plan_tier", "is not a plan").Because(err)
	}
	return err
}

// Read, delete, restore --------------------------------------------------------------------------------------------

// Term is what a tenant pays and gets now.
type Term struct {
	PlanTier     string    `json:"plan_tier" example:"professional"`
	PriceCents   int32     `json:"price_cents" example:"29900" doc:"US cents a month, as sold"`
	MonthlyCalls int32     `json:"monthly_calls" example:"500" doc:"As sold"`
	Status       string    `json:"status" example:"active"`
	ValidFrom    time.Time `json:"valid_from"`
}

// TenantDetail is a tenant with what hangs on it.
type TenantDetail struct {
	Tenant
	Numbers []Number `json:"numbers" nullable:"false"`
	Term    *Term    `json:"term,omitempty" doc:"The current term"`
}

type tenantDetailOutput struct{ Body TenantDetail }

const getTenantDoc doc = `Get a tenant
With its phone numbers, its current term, and whether it has been pending for more than 48 hours.`

func (a *API) getTenant(ctx context.Context, in *TenantPath) (*tenantDetailOutput, error) {
	out := &tenantDetailOutput{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) (err error) {
		if out.Body.Tenant, err = a.tenant(ctx, tx, in.ID.UUID); err != nil {
			return err
		}
		numbers, err := db.New(tx).ListNumbers(ctx, in.ID.UUID)
		if err != nil {
			return err
		}
		out.Body.Numbers = each(numbers, func(r db.ListNumbersRow) Number { return Number(r) })
		term, err := db.New(tx).FindTerm(ctx, in.ID.UUID)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		t := Term(term)
		out.Body.Term = &t
		return err
	})
	return out, err
}

func each[R, T any](rows []R, show func(R) T) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = show(r)
	}
	return out
}

const deleteTenantDoc doc = `Delete a tenant
Softly: its dashboard and keys close at once, its slug, e-mail and number stay taken, and it can be restored for 30 days.`

func (a *API) deleteTenant(ctx context.Context, in *TenantPath) (*struct{}, error) {
	n, err := a.query(ctx).DeleteTenant(ctx, optionalTime(a.Now()), in.ID.UUID)
	if err == nil && n == 0 {
		err = errNoTenant
	}
	return nil, err
}

func optionalTime(t time.Time) *time.Time { return &t }

const restoreTenantDoc doc = `Restore a deleted tenant
Its status is what it was before.`

func (a *API) restoreTenant(ctx context.Context, in *TenantPath) (*tenantOutput, error) {
	out := &tenantOutput{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		n, err := db.New(tx).RestoreTenant(ctx, in.ID.UUID)
		if err != nil {
			return err
		}
		out.Body, err = a.tenant(ctx, tx, in.ID.UUID)
		if err == nil && n == 0 {
			err = edge.NewProblem(http.StatusConflict, "not_deleted", "A tenant that is "+out.Body.SubscriptionStatus+" cannot be restored: it is not deleted.")
		}
		return err
	})
	return out, err
}
