package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// become changes the status by name; the state machine in SQL refuses what is illegal, naming both states.
func (a *API) become(ctx context.Context, id uuid.UUID, to func(from string) string, reason string) (*tenantOutput, error) {
	out := &tenantOutput{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		now, err := q.TenantLife(ctx, id)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && now.DeletedAt != nil {
			return errNoTenant
		}
		if err != nil {
			return err
		}
		if err := q.ChangeStatus(ctx, id, to(now.SubscriptionStatus), optional(reason)); err != nil {
			return err
		}
		out.Body, err = a.tenant(ctx, tx, id)
		return err
	})
	return out, err
}

type activateInput struct {
	TenantPath
	Body *struct {
		SkipTrial bool `json:"skip_trial,omitempty" example:"false" doc:"Make a pending tenant active at once, without a trial"`
	}
}

const activateTenantDoc doc = `Activate a tenant
A pending one starts its trial (or becomes active, with skip_trial), any other becomes active. It needs a phone number
that we own: 409 no_number otherwise. The "You're Live!" mail goes out once.`

func (a *API) activateTenant(ctx context.Context, in *activateInput) (*tenantOutput, error) {
	skip := in.Body != nil && in.Body.SkipTrial
	return a.become(ctx, in.ID.UUID, func(from string) string {
		if from == "pending" && !skip {
			return "trial"
		}
		return "active"
	}, "")
}

type reasonInput struct {
	TenantPath
	Body *reasonBody
}

type reasonBody struct {
	Reason string `json:"reason,omitempty" maxLength:"500" example:"Payment failed" doc:"Shown to the customer"`
}

// Resolve says what is wrong with the reason.
func (b *reasonBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.line("reason", &b.Reason, 500)
	return f.errs
}

func (in *reasonInput) reason() string {
	if in.Body == nil {
		return ""
	}
	return in.Body.Reason
}

const suspendTenantDoc doc = `Suspend a tenant
Calls are not answered, its people may read but not write, until it is activated again.`

func (a *API) suspendTenant(ctx context.Context, in *reasonInput) (*tenantOutput, error) {
	return a.become(ctx, in.ID.UUID, func(string) string { return "suspended" }, in.reason())
}

const cancelTenantDoc doc = `Cancel a tenant
The customer leaves. It can be activated again later.`

func (a *API) cancelTenant(ctx context.Context, in *reasonInput) (*tenantOutput, error) {
	return a.become(ctx, in.ID.UUID, func(string) string { return "cancelled" }, in.reason())
}

// Statistics ------------------------------------------------------------------------------------------------------

// TenantStats is a tenant in figures.
type TenantStats struct {
	TotalCalls           int64   `json:"total_calls" example:"1280"`
	CallsThisMonth       int32   `json:"calls_this_month" example:"42" doc:"Counted in the current usage period"`
	UsagePercentage      float64 `json:"usage_percentage" example:"8.4" doc:"Of the calls included"`
	TotalAppointments    int64   `json:"total_appointments" example:"311"`
	UpcomingAppointments int64   `json:"upcoming_appointments" example:"7"`
}

type tenantStatsOutput struct{ Body TenantStats }

const tenantStatsDoc doc = `Get a tenant's statistics
Calls, usage of the plan in this period, appointments.`

func (a *API) tenantStats(ctx context.Context, in *TenantPath) (*tenantStatsOutput, error) {
	s, err := a.query(ctx).TenantStats(ctx, a.Now(), in.ID.UUID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoTenant
	}
	if err != nil {
		return nil, err
	}
	return &tenantStatsOutput{Body: TenantStats{
		TotalCalls: s.TotalCalls, CallsThisMonth: s.CallsThisMonth, UsagePercentage: percentage(s.CallsThisMonth, s.MaxMonthlyCalls),
		TotalAppointments: s.TotalAppointments, UpcomingAppointments: s.UpcomingAppointments,
	}}, nil
}

// percentage of the limit, to one decimal; 0 without one.
func percentage(calls int32, limit *int32) float64 {
	if limit == nil || *limit <= 0 {
		return 0
	}
	return float64(int64(calls)*1000/int64(*limit)) / 10
}

// Provisioning ----------------------------------------------------------------------------------------------------

type provisionInput struct {
	TenantPath
	Body ProvisionTenant
}

// ProvisionTenant orders a number, and all that belongs to one.
type ProvisionTenant struct {
	AreaCode     string `json:"area_code,omitempty" pattern:"^[2-9][0-9]{2}$" patternDescription:"area code such as 857" example:"857" doc:"Buy the first number found here"`
	PhoneNumber  string `json:"phone_number,omitempty" maxLength:"40" doc:"Or buy this number"`
	FriendlyName string `json:"friendly_name,omitempty" maxLength:"40" example:"HAIEC Voice Agent"`
	Activate     bool   `json:"activate,omitempty" example:"true" doc:"Activate the tenant once the number is ready"`
}

// Resolve wants exactly one of the two ways to choose a number.
func (b *ProvisionTenant) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.phone("phone_number", &b.PhoneNumber)
	f.line("friendly_name", &b.FriendlyName, 40)
	switch {
	case b.AreaCode == "" && b.PhoneNumber == "":
		f.add("area_code", "is required, or phone_number")
	case b.AreaCode != "" && b.PhoneNumber != "":
		f.add("area_code", "cannot go with phone_number")
	}
	return f.errs
}

const provisionTenantDoc doc = `Provision a tenant with a phone number
The complete workflow as one job: search the area code (or take the number given), buy exactly one number, set its
webhooks, store it and, if asked, activate the tenant. Follow the job at Location.`

func (a *API) provisionTenant(ctx context.Context, in *provisionInput) (*jobOrderedOutput, error) {
	return a.orderNumber(ctx, db.OrderNumberParams{
		TenantID: in.ID.UUID, PhoneNumber: optional(in.Body.PhoneNumber), AreaCode: optional(in.Body.AreaCode),
		FriendlyName: optional(in.Body.FriendlyName), Activate: in.Body.Activate,
	})
}

var errPurchaseOpen = edge.NewProblem(http.StatusConflict, "purchase_in_progress", "This is being bought already. Wait for that job to end.")
