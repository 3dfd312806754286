package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// PlatformStats is the platform in figures.
type PlatformStats struct {
	Total     int64         `json:"total" example:"120" doc:"Tenants that are not deleted"`
	Active    int64         `json:"active" example:"87"`
	Trial     int64         `json:"trial" example:"20"`
	Pending   int64         `json:"pending" example:"8"`
	Suspended int64         `json:"suspended" example:"3"`
	Cancelled int64         `json:"cancelled" example:"2"`
	Overdue   int64         `json:"overdue" example:"1" doc:"Pending for more than 48 hours"`
	MRRCents  int64         `json:"mrr_cents" example:"2601300" doc:"US cents a month: the sum of active tenants' current terms"`
	Series    []PlatformDay `json:"series" nullable:"false" doc:"By day in UTC, oldest first; the last is today so far"`
}

// PlatformDay is one day of the series, as it ended.
type PlatformDay struct {
	Day      string `json:"day" format:"date" example:"2026-03-01"`
	MRRCents int64  `json:"mrr_cents" example:"2601300"`
	Active   int64  `json:"active" example:"87"`
	Trial    int64  `json:"trial" example:"20"`
	Tenants  int64  `json:"tenants" example:"120"`
	SignUps  int64  `json:"sign_ups" example:"3"`
}

type platformStatsInput struct {
	Days int `query:"days" minimum:"1" maximum:"400" default:"30" doc:"Length of the series"`
}

type platformStatsOutput struct{ Body PlatformStats }

const platformStatsDoc doc = `Get the platform's statistics
Tenants by status, monthly recurring revenue, and a series by day.`

func (a *API) platformStats(ctx context.Context, in *platformStatsInput) (*platformStatsOutput, error) {
	totals, err := a.query(ctx).PlatformTotals(ctx, a.overdueBefore())
	if err != nil {
		return nil, err
	}
	today := a.Now().UTC().Truncate(24 * time.Hour)
	days, err := a.query(ctx).PlatformSeries(ctx, today.AddDate(0, 0, 1-in.Days), a.Now())
	if err != nil {
		return nil, err
	}
	return &platformStatsOutput{Body: PlatformStats{
		Total: totals.Total, Active: totals.Active, Trial: totals.Trial, Pending: totals.Pending, Suspended: totals.Suspended,
		Cancelled: totals.Cancelled, Overdue: totals.Overdue, MRRCents: totals.MrrCents,
		Series: each(days, func(d db.PlatformSeriesRow) PlatformDay {
			return PlatformDay{Day: d.Day.UTC().Format(time.DateOnly), MRRCents: d.MrrCents, Active: d.Active, Trial: d.Trial, Tenants: d.Tenants, SignUps: d.SignUps}
		}),
	}}, nil
}

// Plans -----------------------------------------------------------------------------------------------------------

// Plan is what customers can buy.
type Plan struct {
	Tier         string    `json:"tier" example:"professional"`
	Name         string    `json:"name" example:"Professional"`
	PriceCents   int32     `json:"price_cents" example:"29900" doc:"US cents a month, of new terms"`
	MonthlyCalls int32     `json:"monthly_calls" example:"500" doc:"Answered calls included in a period"`
	Description  string    `json:"description" example:"For a small team that books all day."`
	Position     int32     `json:"position" example:"2" doc:"Order on screens"`
	IsOffered    bool      `json:"is_offered" doc:"Whether sign-up shows it"`
	CreatedAt    time.Time `json:"created_at"`
	UpdatedAt    time.Time `json:"updated_at"`
}

// OfferedPlan is a plan as sign-up shows it.
type OfferedPlan struct {
	Tier         string `json:"tier" example:"professional"`
	Name         string `json:"name" example:"Professional"`
	PriceCents   int32  `json:"price_cents" example:"29900" doc:"US cents a month"`
	MonthlyCalls int32  `json:"monthly_calls" example:"500" doc:"Answered calls included in a period"`
	Description  string `json:"description" example:"For a small team that books all day."`
}

const offeredPlansDoc doc = `List the plans on offer
As sign-up shows them.`

func (a *API) listOfferedPlans(ctx context.Context, _ *struct{}) (*listOutput[OfferedPlan], error) {
	plans, err := a.query(ctx).ListOfferedPlans(ctx)
	return whole(each(plans, func(p db.ListOfferedPlansRow) OfferedPlan { return OfferedPlan(p) })), err
}

const listPlansDoc doc = `List plans
All of them, also those no longer on offer.`

func (a *API) listPlans(ctx context.Context, _ *struct{}) (*listOutput[Plan], error) {
	plans, err := a.query(ctx).ListPlans(ctx)
	return whole(each(plans, func(p db.Plan) Plan { return Plan(p) })), err
}

type patchPlanInput struct {
	Tier string `path:"tier" maxLength:"31" example:"professional"`
	Body PatchPlan
}

// PatchPlan is what may change of a plan.
type PatchPlan struct {
	Name         *string `json:"name,omitempty" minLength:"1" maxLength:"60" example:"Professional"`
	PriceCents   *int32  `json:"price_cents,omitempty" minimum:"0" maximum:"100000000" example:"29900"`
	MonthlyCalls *int32  `json:"monthly_calls,omitempty" minimum:"1" maximum:"10000000" example:"500"`
	Description  *string `json:"description,omitempty" maxLength:"200" example:"For a small team that books all day."`
	Position     *int32  `json:"position,omitempty" minimum:"0" maximum:"1000" example:"2"`
	IsOffered    *bool   `json:"is_offered,omitempty" example:"true"`
}

// Resolve says what is wrong with the texts.
func (b *PatchPlan) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	if b.Name != nil {
		f.name("name", b.Name, 60)
	}
	if b.Description != nil {
		f.line("description", b.Description, 200)
	}
	return f.errs
}

type planOutput struct{ Body Plan }

const patchPlanDoc doc = `Change a plan
New terms get the new price and calls; running ones keep what they were sold.`

func (a *API) patchPlan(ctx context.Context, in *patchPlanInput) (*planOutput, error) {
	b := in.Body
	p, err := a.query(ctx).UpdatePlan(ctx, db.UpdatePlanParams{Tier: in.Tier, Name: b.Name, PriceCents: b.PriceCents, MonthlyCalls: b.MonthlyCalls,
		Description: b.Description, Position: b.Position, IsOffered: b.IsOffered})
	return &planOutput{Body: Plan(p)}, err
}

// Staff -----------------------------------------------------------------------------------------------------------

// PlatformAdmin is one of Kestrel's staff.
type PlatformAdmin struct {
	ID        uuid.UUID  `json:"id" format:"uuid"`
	Email     string     `json:"email" example:"admin@kestrel.ai"`
	UserID    *uuid.UUID `json:"user_id" nullable:"true" doc:"Their login; null until they first sign in"`
	GrantedBy string     `json:"granted_by" example:"admin@kestrel.ai"`
	CreatedAt time.Time  `json:"created_at"`
}

const listAdminsDoc doc = `List platform admins
Kestrel's staff, oldest first.`

func (a *API) listAdmins(ctx context.Context, _ *struct{}) (*listOutput[PlatformAdmin], error) {
	admins, err := a.query(ctx).ListStaff(ctx)
	return whole(each(admins, func(r db.PlatformAdmin) PlatformAdmin { return PlatformAdmin(r) })), err
}

type grantAdminInput struct{ Body GrantAdmin }

// GrantAdmin names whom to make a platform admin.
type GrantAdmin struct {
	Email string `json:"email" maxLength:"254" example:"colleague@kestrel.ai"`
}

// Resolve wants an e-mail address.
func (b *GrantAdmin) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.email("email", &b.Email)
	return f.errs
}

type adminOutput struct{ Body PlatformAdmin }

const grantAdminDoc doc = `Grant platform admin
To an address; its power begins when a person with that address, confirmed, signs in.`

func (a *API) grantAdmin(ctx context.Context, in *grantAdminInput) (*adminOutput, error) {
	r, err := a.query(ctx).AddStaff(ctx, in.Body.Email, edge.FromContext(ctx).Principal.Email)
	return &adminOutput{Body: PlatformAdmin(r)}, err
}

type adminInput struct {
	ID id `path:"id" doc:"The grant's id"`
}

const revokeAdminDoc doc = `Revoke platform admin
Within a second, open streams included. The last one stays: 409 last_admin.`

func (a *API) revokeAdmin(ctx context.Context, in *adminInput) (*struct{}, error) {
	n, err := a.query(ctx).RemoveStaff(ctx, in.ID.UUID)
	if err == nil && n == 0 {
		err = edge.NewProblem(http.StatusNotFound, "admin_not_found", "There is no such platform admin.")
	}
	return nil, err
}
