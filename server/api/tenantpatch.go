package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/subdomain"
)

type patchTenantInput struct {
	TenantPath
	Body PatchTenant
}

// PatchTenant is what staff may change; what is left out stays.
type PatchTenant struct {
	CompanyName        field[string] `json:"company_name,omitempty" minLength:"1" maxLength:"120" example:"HAIEC"`
	Slug               field[string] `json:"slug,omitempty" maxLength:"63" example:"haiec" doc:"The old one redirects from then on"`
	OwnerName          field[string] `json:"owner_name,omitempty" maxLength:"120" example:"HAIEC Owner"`
	OwnerEmail         field[string] `json:"owner_email,omitempty" minLength:"3" maxLength:"254" example:"admin@haiec.com" doc:"The contact's address; who may sign in does not change"`
	OwnerPhone         field[string] `json:"owner_phone,omitempty" nullable:"true" maxLength:"40" example:"+18573825169"`
	Industry           field[string] `json:"industry,omitempty" maxLength:"60" example:"hvac"`
	PlanTier           field[string] `json:"plan_tier,omitempty" maxLength:"31" example:"premium" doc:"Opens a new term at today's price"`
	SubscriptionStatus field[string] `json:"subscription_status,omitempty" enum:"pending,trial,active,suspended,cancelled" doc:"Illegal changes are refused"`
	StatusReason       field[string] `json:"status_reason,omitempty" nullable:"true" maxLength:"500" doc:"Why, shown to the customer"`
	IsActive           field[bool]   `json:"is_active,omitempty" doc:"false suspends, true activates"`
	TwilioPhoneNumber  field[string] `json:"twilio_phone_number,omitempty" nullable:"true" maxLength:"40" example:"+18573825169" doc:"Attaches a number we own, and makes it the primary one"`
	ForwardToNumber    field[string] `json:"forward_to_number,omitempty" nullable:"true" maxLength:"40" example:"+18573825169"`
	MaxMonthlyCalls    field[int32]  `json:"max_monthly_calls,omitempty" nullable:"true" minimum:"1" maximum:"10000000" example:"750" doc:"null returns to the plan's"`
	CurrentMonthCalls  field[int32]  `json:"current_month_calls,omitempty" minimum:"0" maximum:"10000000" example:"10" doc:"Recorded as an adjustment"`
	Timezone           field[string] `json:"timezone,omitempty" minLength:"1" maxLength:"64" example:"America/New_York"`
	BrandColor         field[string] `json:"brand_color,omitempty" nullable:"true" maxLength:"7" example:"#1c7ed6"`
}

// Resolve normalises the fields and says everything that is wrong with them.
func (b *PatchTenant) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.name("company_name", &b.CompanyName.Value, 120)
	f.line("owner_name", &b.OwnerName.Value, 120)
	f.line("status_reason", &b.StatusReason.Value, 500)
	f.email("owner_email", &b.OwnerEmail.Value)
	for name, v := range map[string]*field[string]{"owner_phone": &b.OwnerPhone, "twilio_phone_number": &b.TwilioPhoneNumber, "forward_to_number": &b.ForwardToNumber} {
		f.phone(name, &v.Value)
	}
	f.matching("industry", &b.Industry.Value, industry, "is a word such as hvac")
	f.matching("brand_color", &b.BrandColor.Value, colour, "is not a colour such as #1c7ed6")
	b.PlanTier.Value = strings.ToLower(strings.TrimSpace(b.PlanTier.Value))
	if b.Slug.Sent {
		b.Slug.Value = strings.ToLower(strings.TrimSpace(b.Slug.Value))
		if err := subdomain.ValidSlug(b.Slug.Value); err != nil {
			f.add("slug", err.Error())
		}
	}
	if b.IsActive.Sent {
		want := map[bool]string{true: "active", false: "suspended"}[b.IsActive.Value]
		if b.SubscriptionStatus.Sent && b.SubscriptionStatus.Value != want {
			f.add("is_active", "contradicts subscription_status")
		}
	}
	return f.errs
}

// assignments is an UPDATE's SET clause, made of the fields that were sent.
type assignments struct {
	set  []string
	args []any
}

// assign adds a column; null clears it, and so does the empty string where the column may be null.
func assign[T comparable](s *assignments, column string, f field[T], nullable bool) {
	if !f.Sent {
		return
	}
	var value any = f.Value
	if empty, isText := any(f.Value).(string); f.Null || nullable && isText && empty == "" {
		value = nil
	}
	s.args = append(s.args, value)
	s.set = append(s.set, fmt.Sprintf("%s = $%d", column, len(s.args)))
}

func (b PatchTenant) assignments() *assignments {
	s := &assignments{}
	assign(s, "company_name", b.CompanyName, false)
	assign(s, "slug", b.Slug, false)
	assign(s, "owner_name", b.OwnerName, false)
	assign(s, "owner_email", b.OwnerEmail, false)
	assign(s, "owner_phone", b.OwnerPhone, true)
	assign(s, "industry", b.Industry, false)
	assign(s, "plan_tier", b.PlanTier, false)
	assign(s, "subscription_status", b.SubscriptionStatus, false)
	assign(s, "status_reason", b.StatusReason, true)
	assign(s, "twilio_phone_number", b.TwilioPhoneNumber, true)
	assign(s, "forward_to_number", b.ForwardToNumber, true)
	assign(s, "max_monthly_calls", b.MaxMonthlyCalls, true)
	assign(s, "current_month_calls", b.CurrentMonthCalls, false)
	assign(s, "timezone", b.Timezone, false)
	assign(s, "brand_color", b.BrandColor, true)
	return s
}

const patchTenantDoc doc = `Change a tenant
Only what is sent changes; null clears a field. A change of status follows the state machine (409 otherwise), a change of
slug redirects the old address and points Twilio at the new one, a change of plan opens a new term at today's price.`

func (a *API) patchTenant(ctx context.Context, in *patchTenantInput) (*tenantOutput, error) {
	out := &tenantOutput{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		now, err := a.tenant(ctx, tx, in.ID.UUID)
		if err != nil {
			return err
		}
		if want := in.Body.IsActive; want.Sent && !in.Body.SubscriptionStatus.Sent && want.Value != now.IsActive {
			in.Body.SubscriptionStatus = field[string]{Sent: true, Value: map[bool]string{true: "active", false: "suspended"}[want.Value]}
		}
		if s := in.Body.assignments(); len(s.set) > 0 {
			s.args = append(s.args, in.ID.UUID)
			sql := fmt.Sprintf("update tenants set %s where id = $%d and deleted_at is null", strings.Join(s.set, ", "), len(s.args))
			tag, err := tx.Exec(ctx, sql, s.args...)
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 0 {
				return errNoTenant
			}
		}
		out.Body, err = a.tenant(ctx, tx, in.ID.UUID)
		return err
	})
	if slugTaken(err) {
		return nil, edge.NewProblem(http.StatusConflict, "slug_taken", "The subdomain "+in.Body.Slug.Value+" is taken. Choose another.").At("slug", "is taken").Because(err)
	}
	return out, planProblem(err)
}
