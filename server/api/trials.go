package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// Trial extension -------------------------------------------------------------------------------------------------

type extendTrialInput struct {
	TenantPath
	Body ExtendTrial
}

// ExtendTrial says by how much, or until when.
type ExtendTrial struct {
	Days        int       `json:"days,omitempty" minimum:"1" maximum:"365" example:"7" doc:"Days from the present end, or from now if that is past"`
	TrialEndsAt time.Time `json:"trial_ends_at,omitzero" example:"2026-04-01T16:00:00Z" doc:"Or the new end itself"`
}

// Resolve wants exactly one of the two.
func (b *ExtendTrial) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	if (b.Days == 0) == b.TrialEndsAt.IsZero() {
		f.add("days", "is required, or trial_ends_at, and not both")
	}
	return f.errs
}

var errTrialEnd = edge.NewProblem(http.StatusUnprocessableEntity, "trial_end_invalid", "The new end must lie in the next two years.").At("trial_ends_at", "must lie in the next two years")

const extendTrialDoc doc = `Extend a trial
By days, or to a date. The mail three days before the end follows the new end. A tenant that was suspended because its
trial ended is back on trial; any other that is not on trial: 409 illegal_transition.`

func (a *API) extendTrial(ctx context.Context, in *extendTrialInput) (*tenantOutput, error) {
	out := &tenantOutput{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q, now := db.New(tx), a.Now()
		present, err := q.TrialToExtend(ctx, in.ID.UUID)
		if errors.Is(err, pgx.ErrNoRows) {
			return errNoTenant
		}
		if err != nil {
			return err
		}
		ends := in.Body.TrialEndsAt
		if ends.IsZero() {
			ends = now
			if present != nil && present.After(now) {
				ends = *present
			}
			ends = ends.AddDate(0, 0, in.Body.Days)
		}
		if !ends.After(now) || ends.After(now.AddDate(2, 0, 0)) {
			return errTrialEnd
		}
		if err := q.ExtendTrial(ctx, in.ID.UUID, ends); err != nil {
			return err
		}
		out.Body, err = a.tenant(ctx, tx, in.ID.UUID)
		return err
	})
	return out, err
}

// Usage reset -----------------------------------------------------------------------------------------------------

// UsageReset is what a reset by hand has done.
type UsageReset struct {
	Closed  int32         `json:"closed" example:"1" doc:"Periods closed now: none when nothing was due"`
	Periods []BilledUsage `json:"periods" nullable:"false" doc:"Up to 24 periods, newest first"`
}

// BilledUsage is one usage period, with what it costs us.
type BilledUsage struct {
	PeriodStart   time.Time  `json:"period_start"`
	PeriodEnd     time.Time  `json:"period_end" doc:"Exclusive"`
	Calls         int32      `json:"calls" example:"40" doc:"Counted, each once"`
	AdjustedCalls int32      `json:"adjusted_calls" example:"2" doc:"Added by hand"`
	LateCalls     int32      `json:"late_calls" example:"0" doc:"Arrived after the period closed: not billed"`
	Seconds       int32      `json:"seconds" example:"5400"`
	LateSeconds   int32      `json:"late_seconds" example:"0" doc:"Known only after the period closed: of late calls, and of those that still ran"`
	SMS           int32      `json:"sms" example:"12" doc:"Segments"`
	LateSMS       int32      `json:"late_sms" example:"0" doc:"Known only after the period closed"`
	CostMicros    int64      `json:"cost_micros" example:"765000" doc:"Our cost, in millionths of a US dollar"`
	LateCost      int64      `json:"late_cost_micros" example:"0" doc:"Known only after the period closed"`
	ClosedAt      *time.Time `json:"closed_at"`
}

type usageResetOutput struct{ Body UsageReset }

const resetUsageDoc doc = `Reset a tenant's usage by hand
Closes the tenant's periods that have ended, in order, and opens the next: what the hourly job does for everybody.
Where nothing is due it changes nothing.`

func (a *API) resetUsage(ctx context.Context, in *TenantPath) (*usageResetOutput, error) {
	out := &usageResetOutput{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		var err error
		if out.Body.Closed, err = q.ResetUsage(ctx, in.ID.UUID, a.Now()); err != nil {
			return err
		}
		rows, err := q.TenantPeriods(ctx, in.ID.UUID)
		out.Body.Periods = each(rows, func(r db.TenantPeriodsRow) BilledUsage {
			return BilledUsage{PeriodStart: r.PeriodStart, PeriodEnd: r.PeriodEnd, Calls: r.Calls, AdjustedCalls: r.AdjustedCalls, LateCalls: r.LateCalls,
				Seconds: r.Seconds, LateSeconds: r.LateSeconds, SMS: r.Sms, LateSMS: r.LateSms, CostMicros: r.CostMicros, LateCost: r.LateCostMicros, ClosedAt: r.ClosedAt}
		})
		return err
	})
	return out, err
}
