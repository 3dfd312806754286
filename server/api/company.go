package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// Company is a tenant as its own people see it.
type Company struct {
	ID                 uuid.UUID  `json:"id" format:"uuid"`
	Slug               string     `json:"slug" example:"haiec"`
	CompanyName        string     `json:"company_name" example:"HAIEC"`
	OwnerName          string     `json:"owner_name" example:"HAIEC Owner"`
	OwnerEmail         string     `json:"owner_email" example:"admin@haiec.com"`
	OwnerPhone         *string    `json:"owner_phone" example:"+18573825169"`
	Industry           string     `json:"industry" example:"hvac"`
	PlanTier           string     `json:"plan_tier" example:"professional"`
	SubscriptionStatus string     `json:"subscription_status" enum:"pending,trial,active,suspended,cancelled"`
	StatusReason       *string    `json:"status_reason"`
	TwilioPhoneNumber  *string    `json:"twilio_phone_number" example:"+18573825169"`
	ForwardToNumber    *string    `json:"forward_to_number" example:"+18573825169"`
	MaxMonthlyCalls    *int32     `json:"max_monthly_calls" example:"500"`
	CurrentMonthCalls  int32      `json:"current_month_calls" example:"42"`
	IsActive           bool       `json:"is_active" doc:"Whether calls are answered"`
	Timezone           string     `json:"timezone" example:"America/New_York"`
	BrandColor         *string    `json:"brand_color" example:"#1c7ed6"`
	LogoPath           *string    `json:"logo_path"`
	TrialEndsAt        *time.Time `json:"trial_ends_at"`
	GraceEndsAt        *time.Time `json:"grace_ends_at" doc:"Of a trial: until when calls are still answered after its end"`
	AccessEndsAt       *time.Time `json:"access_ends_at" doc:"Of a cancelled tenant: until when it can be read and exported"`
	CreatedAt          time.Time  `json:"created_at"`
	UpdatedAt          time.Time  `json:"updated_at"`
}

type companyOutput struct{ Body Company }

const getCompanyDoc doc = `Get the company
The tenant's own profile, plan and status.`

func (a *API) getCompany(ctx context.Context, _ *struct{}) (*companyOutput, error) {
	r, err := a.query(ctx).FindProfile(ctx, tenantOf(ctx))
	return &companyOutput{Body: a.company(r)}, err
}

type patchCompanyInput struct{ Body PatchCompany }

// PatchCompany is what a tenant's admins may change of it; plan, status, limits, numbers and slug are not theirs.
type PatchCompany struct {
	CompanyName     field[string] `json:"company_name,omitempty" minLength:"1" maxLength:"120" example:"HAIEC"`
	OwnerName       field[string] `json:"owner_name,omitempty" maxLength:"120" example:"HAIEC Owner"`
	OwnerPhone      field[string] `json:"owner_phone,omitempty" nullable:"true" maxLength:"40" example:"+18573825169"`
	Industry        field[string] `json:"industry,omitempty" maxLength:"60" example:"hvac"`
	ForwardToNumber field[string] `json:"forward_to_number,omitempty" nullable:"true" maxLength:"40" example:"+18573825169"`
	Timezone        field[string] `json:"timezone,omitempty" minLength:"1" maxLength:"64" example:"America/New_York"`
	BrandColor      field[string] `json:"brand_color,omitempty" nullable:"true" maxLength:"7" example:"#1c7ed6"`
}

// Resolve normalises the fields and says everything that is wrong with them.
func (b *PatchCompany) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.name("company_name", &b.CompanyName.Value, 120)
	f.line("owner_name", &b.OwnerName.Value, 120)
	f.phone("owner_phone", &b.OwnerPhone.Value)
	f.phone("forward_to_number", &b.ForwardToNumber.Value)
	f.matching("industry", &b.Industry.Value, industry, "is a word such as hvac")
	f.matching("brand_color", &b.BrandColor.Value, colour, "is not a colour such as #1c7ed6")
	return f.errs
}

const patchCompanyDoc doc = `Change the company
Only what is sent changes; null clears a field. For the tenant's admins and owners.`

func (a *API) patchCompany(ctx context.Context, in *patchCompanyInput) (*companyOutput, error) {
	s, b := &assignments{}, in.Body
	assign(s, "company_name", b.CompanyName, false)
	assign(s, "owner_name", b.OwnerName, false)
	assign(s, "owner_phone", b.OwnerPhone, true)
	assign(s, "industry", b.Industry, false)
	assign(s, "forward_to_number", b.ForwardToNumber, true)
	assign(s, "timezone", b.Timezone, false)
	assign(s, "brand_color", b.BrandColor, true)
	out := &companyOutput{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		if len(s.set) > 0 {
			sql := fmt.Sprintf("update tenants set %s where id = $%d", strings.Join(s.set, ", "), len(s.args)+1)
			tag, err := tx.Exec(ctx, sql, append(s.args, tenantOf(ctx))...)
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 0 {
				return errForbidden
			}
		}
		r, err := db.New(tx).FindProfile(ctx, tenantOf(ctx))
		out.Body = a.company(r)
		return err
	})
	return out, err
}

func (a *API) company(r db.FindProfileRow) Company {
	return Company{ID: r.ID, Slug: r.Slug, CompanyName: r.CompanyName, OwnerName: r.OwnerName, OwnerEmail: r.OwnerEmail, OwnerPhone: r.OwnerPhone,
		Industry: r.Industry, PlanTier: r.PlanTier, SubscriptionStatus: r.SubscriptionStatus, StatusReason: r.StatusReason, TwilioPhoneNumber: r.TwilioPhoneNumber,
		ForwardToNumber: r.ForwardToNumber, MaxMonthlyCalls: r.MaxMonthlyCalls, CurrentMonthCalls: r.CurrentMonthCalls, IsActive: r.IsActive, Timezone: r.Timezone,
		BrandColor: r.BrandColor, LogoPath: r.LogoPath, TrialEndsAt: r.TrialEndsAt, GraceEndsAt: a.graceEnds(r.SubscriptionStatus, r.TrialEndsAt),
		AccessEndsAt: r.AccessEndsAt, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}
}

// graceEnds is when a tenant on trial is suspended.
func (a *API) graceEnds(status string, trialEnds *time.Time) *time.Time {
	if status != "trial" || trialEnds == nil {
		return nil
	}
	ends := trialEnds.Add(a.Config.TrialGrace)
	return &ends
}

// Me --------------------------------------------------------------------------------------------------------------

// Me is the caller, as this tenant knows it.
type Me struct {
	Kind    string      `json:"kind" enum:"person,key,view" doc:"A view is a platform admin who looks at the tenant as the tenant does"`
	UserID  *uuid.UUID  `json:"user_id,omitempty" doc:"Of a person"`
	Email   string      `json:"email,omitempty" example:"admin@haiec.com" doc:"Of a person"`
	Role    string      `json:"role,omitempty" example:"owner" doc:"Of a person: viewer, member, admin or owner"`
	KeyID   *uuid.UUID  `json:"key_id,omitempty" doc:"Of an API key"`
	KeyName string      `json:"key_name,omitempty" doc:"Of an API key"`
	ViewAs  *MeViewAs   `json:"view_as,omitempty" doc:"Of a view: say so on every screen"`
	Actions []string    `json:"actions" nullable:"false" example:"[\"tenant.read\"]" doc:"What the caller may do here"`
	Tenant  MeAtCompany `json:"tenant"`
}

// MeAtCompany names the tenant.
type MeAtCompany struct {
	ID          uuid.UUID `json:"id" format:"uuid"`
	Slug        string    `json:"slug" example:"haiec"`
	CompanyName string    `json:"company_name" example:"HAIEC"`
	Status      string    `json:"status" example:"active"`
}

type meOutput struct{ Body Me }

const meDoc doc = `Get the caller
The person or API key, its role, and what it may do here.`

func (a *API) me(ctx context.Context, _ *struct{}) (*meOutput, error) {
	s := edge.FromContext(ctx)
	m := Me{Kind: s.Principal.Kind.String(), Tenant: MeAtCompany{ID: s.Tenant.ID, Slug: s.Tenant.Slug, CompanyName: s.Tenant.CompanyName, Status: s.Tenant.Status}, Actions: []string{}}
	switch s.Principal.Kind {
	case edge.Key:
		m.KeyID, m.KeyName = &s.Principal.KeyID, s.Principal.KeyName
	case edge.View:
		m.ViewAs = viewAs(s.Principal.View)
	default:
		m.UserID, m.Email, m.Role = &s.Principal.UserID, s.Principal.Email, string(s.Principal.Role)
	}
	for _, action := range edge.Actions() {
		if s.Can(action) {
			m.Actions = append(m.Actions, string(action))
		}
	}
	return &meOutput{Body: m}, nil
}

// Usage -----------------------------------------------------------------------------------------------------------

// Usage is what the tenant has used of its plan.
type Usage struct {
	Current         *UsagePeriod  `json:"current,omitempty" doc:"The open period"`
	MaxMonthlyCalls *int32        `json:"max_monthly_calls" example:"500"`
	UsagePercentage float64       `json:"usage_percentage" example:"8.4"`
	PlanTier        string        `json:"plan_tier" example:"professional"`
	Timezone        string        `json:"timezone" example:"America/New_York" doc:"Periods begin at midnight here"`
	History         []UsagePeriod `json:"history" nullable:"false" doc:"Up to 24 periods, newest first, the open one included"`
}

// UsagePeriod is one usage period.
type UsagePeriod struct {
	PeriodStart   time.Time  `json:"period_start"`
	PeriodEnd     time.Time  `json:"period_end" doc:"Exclusive"`
	Calls         int32      `json:"calls" example:"40" doc:"Counted, each once"`
	AdjustedCalls int32      `json:"adjusted_calls" example:"2" doc:"Added by hand"`
	LateCalls     int32      `json:"late_calls" example:"0" doc:"Arrived after the period closed: not billed"`
	Seconds       int32      `json:"seconds" example:"5400"`
	LateSeconds   int32      `json:"late_seconds" example:"0" doc:"Known only after the period closed: of late calls, and of those that still ran"`
	SMS           int32      `json:"sms" example:"12"`
	LateSMS       int32      `json:"late_sms" example:"0" doc:"Known only after the period closed"`
	ClosedAt      *time.Time `json:"closed_at"`
}

type usageOutput struct{ Body Usage }

const usageDoc doc = `Get usage
This period's calls against the plan, and the periods before.`

func (a *API) usage(ctx context.Context, _ *struct{}) (*usageOutput, error) {
	profile, err := a.query(ctx).FindProfile(ctx, tenantOf(ctx))
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListUsage(ctx, tenantOf(ctx))
	if err != nil {
		return nil, err
	}
	u := Usage{MaxMonthlyCalls: profile.MaxMonthlyCalls, PlanTier: profile.PlanTier, Timezone: profile.Timezone,
		History: each(rows, usagePeriod)}
	now := a.Now()
	for i, p := range u.History {
		if !p.PeriodStart.After(now) && p.PeriodEnd.After(now) {
			u.Current = &u.History[i]
			u.UsagePercentage = percentage(p.Calls+p.AdjustedCalls, profile.MaxMonthlyCalls)
		}
	}
	return &usageOutput{Body: u}, nil
}

func usagePeriod(r db.ListUsageRow) UsagePeriod {
	return UsagePeriod{PeriodStart: r.PeriodStart, PeriodEnd: r.PeriodEnd, Calls: r.Calls, AdjustedCalls: r.AdjustedCalls, LateCalls: r.LateCalls,
		Seconds: r.Seconds, LateSeconds: r.LateSeconds, SMS: r.Sms, LateSMS: r.LateSms, ClosedAt: r.ClosedAt}
}
