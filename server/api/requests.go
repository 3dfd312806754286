package api

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// PlanRequest is a customer's wish for another plan.
type PlanRequest struct {
	ID          uuid.UUID  `json:"id" format:"uuid"`
	TenantID    uuid.UUID  `json:"tenant_id" format:"uuid"`
	Slug        string     `json:"slug" example:"haiec"`
	CompanyName string     `json:"company_name" example:"HAIEC"`
	PlanTier    *string    `json:"plan_tier" example:"premium" doc:"The plan asked for"`
	FromTier    string     `json:"from_tier" example:"professional" doc:"The plan at that time"`
	State       string     `json:"state" enum:"open,confirmed,declined,replaced,withdrawn"`
	Reason      *string    `json:"reason" doc:"Why it was declined"`
	RequestedBy string     `json:"requested_by" example:"admin@haiec.com"`
	DecidedAt   *time.Time `json:"decided_at"`
	CreatedAt   time.Time  `json:"created_at"`
}

type planRequestOutput struct{ Body PlanRequest }

func planRequest(r db.FindPlanRequestRow) PlanRequest {
	return PlanRequest{ID: r.ID, TenantID: r.TenantID, Slug: r.Slug, CompanyName: r.CompanyName, PlanTier: r.PlanTier, FromTier: r.FromTier, State: r.State,
		Reason: r.Reason, RequestedBy: r.RequestedBy, DecidedAt: r.DecidedAt, CreatedAt: r.CreatedAt}
}

// A tenant asks ---------------------------------------------------------------------------------------------------

type requestPlanInput struct {
	Body struct {
		PlanTier string `json:"plan_tier" minLength:"1" maxLength:"31" example:"premium" doc:"One of those offered"`
	}
}

const requestPlanDoc doc = `Ask for another plan
For the tenant's owners. Staff confirm or decline; once confirmed, the new limits hold at once. A later wish replaces one
that is still open.`

func (a *API) requestPlan(ctx context.Context, in *requestPlanInput) (*planRequestOutput, error) {
	out := &planRequestOutput{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		id, err := q.RequestPlan(ctx, tenantOf(ctx), in.Body.PlanTier)
		if err != nil {
			return err
		}
		r, err := q.FindPlanRequest(ctx, id)
		out.Body = planRequest(r)
		return err
	})
	return out, err
}

// OwnPlanRequest is a wish for another plan as the tenant sees it.
type OwnPlanRequest struct {
	ID          uuid.UUID  `json:"id" format:"uuid"`
	PlanTier    *string    `json:"plan_tier" example:"premium" doc:"The plan asked for"`
	FromTier    string     `json:"from_tier" example:"professional" doc:"The plan at that time"`
	State       string     `json:"state" enum:"open,confirmed,declined,replaced,withdrawn"`
	Reason      *string    `json:"reason" doc:"Why it was declined"`
	RequestedBy string     `json:"requested_by" example:"admin@haiec.com"`
	DecidedAt   *time.Time `json:"decided_at"`
	CreatedAt   time.Time  `json:"created_at"`
}

const listOwnPlanRequestsDoc doc = `List the wishes for another plan
Newest first.`

func (a *API) listOwnPlanRequests(ctx context.Context, in *PageInput) (*listOutput[OwnPlanRequest], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListOwnPlanRequests(ctx, tenantOf(ctx), c.ID, in.rows())
	return paged(*in, rows, func(r db.ListOwnPlanRequestsRow) OwnPlanRequest { return OwnPlanRequest(r) },
		func(r db.ListOwnPlanRequestsRow) cursor { return cursor{ID: r.ID} }), err
}

const withdrawPlanDoc doc = `Withdraw a wish for another plan
For the tenant's owners. Withdrawing twice is well; 409 where staff have decided it or a later wish has replaced it.`

func (a *API) withdrawPlan(ctx context.Context, in *RequestPath) (*struct{}, error) {
	return nil, a.query(ctx).WithdrawPlan(ctx, tenantOf(ctx), in.ID.UUID)
}

// Reactivation is what has become of asking for it.
type Reactivation struct {
	SubscriptionStatus string     `json:"subscription_status" example:"suspended"`
	RequestedAt        *time.Time `json:"requested_at" doc:"When staff was last told; null where there is nothing to ask"`
}

type reactivationOutput struct{ Body Reactivation }

const requestReactivationDoc doc = `Ask to be reactivated
For the admins and owners of a suspended or cancelled tenant. Staff is told once a day at most.`

func (a *API) requestReactivation(ctx context.Context, _ *struct{}) (*reactivationOutput, error) {
	out := &reactivationOutput{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		asked, err := q.RequestReactivation(ctx, tenantOf(ctx), a.Now())
		if err == nil {
			out.Body.RequestedAt = &asked
		} else if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		life, err := q.TenantLife(ctx, tenantOf(ctx))
		out.Body.SubscriptionStatus = life.SubscriptionStatus
		return err
	})
	return out, err
}

// Staff decide ----------------------------------------------------------------------------------------------------

type listPlanRequestsInput struct {
	PageInput
	State string `query:"state" enum:"open,confirmed,declined,replaced,withdrawn"`
}

const listPlanRequestsDoc doc = `List wishes for another plan
Newest first.`

func (a *API) listPlanRequests(ctx context.Context, in *listPlanRequestsInput) (*listOutput[PlanRequest], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListPlanRequests(ctx, c.ID, in.State, in.rows())
	return paged(in.PageInput, rows, func(r db.ListPlanRequestsRow) PlanRequest { return planRequest(db.FindPlanRequestRow(r)) },
		func(r db.ListPlanRequestsRow) cursor { return cursor{ID: r.ID} }), err
}

// RequestPath names a request.
type RequestPath struct {
	ID id `path:"id" doc:"The request's id"`
}

type declinePlanInput struct {
	RequestPath
	Body *reasonBody
}

const confirmPlanDoc doc = `Confirm a wish for another plan
The tenant's plan changes at once, at today's price, and the term is on record. 409 where it was decided already.`

func (a *API) confirmPlan(ctx context.Context, in *RequestPath) (*planRequestOutput, error) {
	return a.decidePlan(ctx, in.ID.UUID, true, "")
}

const declinePlanDoc doc = `Decline a wish for another plan
The reason is shown to the customer. 409 where it was decided already.`

func (a *API) declinePlan(ctx context.Context, in *declinePlanInput) (*planRequestOutput, error) {
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	return a.decidePlan(ctx, in.ID.UUID, false, reason)
}

func (a *API) decidePlan(ctx context.Context, request uuid.UUID, confirm bool, reason string) (*planRequestOutput, error) {
	out := &planRequestOutput{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		if _, err := q.DecidePlan(ctx, request, confirm, optional(reason)); err != nil {
			return err
		}
		r, err := q.FindPlanRequest(ctx, request)
		out.Body = planRequest(r)
		return err
	})
	return out, err
}
