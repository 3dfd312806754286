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

// Invitation asks a person to join a tenant. Its link is in the e-mail and nowhere else.
type Invitation struct {
	ID         uuid.UUID  `json:"id" format:"uuid"`
	Email      string     `json:"email" example:"dispatch@haiec.com"`
	Role       string     `json:"role" enum:"viewer,member,admin,owner"`
	State      string     `json:"state" enum:"open,accepted,revoked,expired"`
	InvitedBy  string     `json:"invited_by" example:"admin@haiec.com"`
	Sends      int32      `json:"sends" example:"1" doc:"E-mails so far"`
	SentAt     time.Time  `json:"sent_at"`
	ExpiresAt  time.Time  `json:"expires_at"`
	AcceptedAt *time.Time `json:"accepted_at"`
	CreatedAt  time.Time  `json:"created_at"`
}

func (a *API) invitation(r db.FindInvitationRow) Invitation {
	state := "open"
	switch {
	case r.AcceptedAt != nil:
		state = "accepted"
	case r.RevokedAt != nil:
		state = "revoked"
	case !r.ExpiresAt.After(a.Now()):
		state = "expired"
	}
	return Invitation{ID: r.ID, Email: r.Email, Role: string(r.Role), State: state, InvitedBy: r.InvitedBy, Sends: r.Sends,
		SentAt: r.SentAt, ExpiresAt: r.ExpiresAt, AcceptedAt: r.AcceptedAt, CreatedAt: r.CreatedAt}
}

var errNoInvitation = edge.NewProblem(404, "invitation_not_found", "There is no such invitation.")

type invitationOutput struct{ Body Invitation }

type newInvitationOutput struct {
	Location string `header:"Location"`
	Body     Invitation
}

// InvitationInput names one in the path.
type InvitationInput struct {
	ID id `path:"id" doc:"The invitation's id"`
}

// TenantInvitationInput names one of a tenant in the path.
type TenantInvitationInput struct {
	ID           id `path:"id" doc:"The tenant's id"`
	InvitationID id `path:"invitation_id" doc:"The invitation's id"`
}

// List ------------------------------------------------------------------------------------------------------------

const listInvitationsDoc doc = `List the invitations
The newest first, closed ones too.`

func (a *API) listInvitations(ctx context.Context, _ *struct{}) (*listOutput[Invitation], error) {
	return a.invitationsOf(ctx, tenantOf(ctx))
}

const tenantInvitationsDoc doc = `List a tenant's invitations
The newest first, closed ones too.`

func (a *API) listTenantInvitations(ctx context.Context, in *TenantPath) (*listOutput[Invitation], error) {
	if err := a.open(ctx, a.DB.As(edge.FromContext(ctx).SQL()), in.ID.UUID); err != nil {
		return nil, err
	}
	return a.invitationsOf(ctx, in.ID.UUID)
}

func (a *API) invitationsOf(ctx context.Context, tenant uuid.UUID) (*listOutput[Invitation], error) {
	rows, err := a.query(ctx).ListInvitations(ctx, tenant)
	return whole(each(rows, func(r db.ListInvitationsRow) Invitation { return a.invitation(db.FindInvitationRow(r)) })), err
}

// Create ----------------------------------------------------------------------------------------------------------

type inviteInput struct{ Body AddMember }

type inviteToTenantInput struct {
	ID   id `path:"id" doc:"The tenant's id"`
	Body AddMember
}

const inviteDoc doc = `Invite somebody
By e-mail, with a link that works for 24 hours and proves the mailbox. Admins invite viewers and members, owners anybody.`

func (a *API) invite(ctx context.Context, in *inviteInput) (*newInvitationOutput, error) {
	if err := mayGrant(ctx, in.Body.Role); err != nil {
		return nil, err
	}
	return a.newInvitation(ctx, tenantOf(ctx), in.Body, "/api/tenant/invitations/")
}

const inviteToTenantDoc doc = `Invite somebody to a tenant
By e-mail, with a link that works for 24 hours and proves the mailbox.`

func (a *API) inviteToTenant(ctx context.Context, in *inviteToTenantInput) (*newInvitationOutput, error) {
	if err := a.open(ctx, a.DB.As(edge.FromContext(ctx).SQL()), in.ID.UUID); err != nil {
		return nil, err
	}
	return a.newInvitation(ctx, in.ID.UUID, in.Body, "/api/admin/tenants/"+in.ID.String()+"/invitations/")
}

func (a *API) newInvitation(ctx context.Context, tenant uuid.UUID, b AddMember, path string) (*newInvitationOutput, error) {
	r, err := a.query(ctx).CreateInvitation(ctx, tenant, b.Email, db.MemberRole(b.Role))
	if err != nil {
		return nil, err
	}
	return &newInvitationOutput{Location: path + r.ID.String(), Body: a.invitation(db.FindInvitationRow(r))}, nil
}

// Send again ------------------------------------------------------------------------------------------------------

const resendInvitationDoc doc = `Send an invitation again
With a new link that works for as long as the first did. Not within a minute of the last: 429.`

func (a *API) resendInvitation(ctx context.Context, in *InvitationInput) (*invitationOutput, error) {
	return a.sendAgain(ctx, tenantOf(ctx), in.ID.UUID, true)
}

const resendTenantInvitationDoc doc = `Send a tenant's invitation again
With a new link that works for as long as the first did. Not within a minute of the last: 429.`

func (a *API) resendTenantInvitation(ctx context.Context, in *TenantInvitationInput) (*invitationOutput, error) {
	return a.sendAgain(ctx, in.ID.UUID, in.InvitationID.UUID, false)
}

func (a *API) sendAgain(ctx context.Context, tenant, invitation uuid.UUID, byRole bool) (*invitationOutput, error) {
	if _, err := a.findInvitation(ctx, tenant, invitation, byRole); err != nil {
		return nil, err
	}
	r, err := a.query(ctx).ResendInvitation(ctx, tenant, invitation)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errForbidden
	}
	return &invitationOutput{Body: a.invitation(db.FindInvitationRow(r))}, err
}

// findInvitation finds one that the caller may change.
func (a *API) findInvitation(ctx context.Context, tenant, invitation uuid.UUID, byRole bool) (db.FindInvitationRow, error) {
	r, err := a.query(ctx).FindInvitation(ctx, tenant, invitation)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return r, errNoInvitation
	case err == nil && byRole:
		err = mayGrant(ctx, string(r.Role))
	}
	return r, err
}

// Revoke ----------------------------------------------------------------------------------------------------------

const revokeInvitationDoc doc = `Withdraw an invitation
Its links stop working at once. Withdrawing twice is the same as once.`

func (a *API) revokeInvitation(ctx context.Context, in *InvitationInput) (*struct{}, error) {
	return nil, a.withdraw(ctx, tenantOf(ctx), in.ID.UUID, true)
}

const revokeTenantInvitationDoc doc = `Withdraw a tenant's invitation
Its links stop working at once. Withdrawing twice is the same as once.`

func (a *API) revokeTenantInvitation(ctx context.Context, in *TenantInvitationInput) (*struct{}, error) {
	return nil, a.withdraw(ctx, in.ID.UUID, in.InvitationID.UUID, false)
}

func (a *API) withdraw(ctx context.Context, tenant, invitation uuid.UUID, byRole bool) error {
	r, err := a.findInvitation(ctx, tenant, invitation, byRole)
	if err != nil || r.RevokedAt != nil {
		return err
	}
	n, err := a.query(ctx).RevokeInvitation(ctx, optionalTime(a.Now()), tenant, invitation)
	if err == nil && n == 0 {
		err = errForbidden
	}
	return err
}
