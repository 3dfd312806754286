package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// Member is a person of the tenant.
type Member struct {
	ID        uuid.UUID  `json:"id" format:"uuid" doc:"The membership's id"`
	UserID    *uuid.UUID `json:"user_id" nullable:"true" doc:"Their login; null until they first sign in"`
	Email     string     `json:"email" example:"dispatch@haiec.com"`
	Role      string     `json:"role" enum:"viewer,member,admin,owner"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
}

func member(r db.FindMemberRow) Member {
	return Member{ID: r.ID, UserID: r.UserID, Email: r.Email, Role: string(r.Role), CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}
}

const listMembersDoc doc = `List the members
Owners first.`

func (a *API) listMembers(ctx context.Context, _ *struct{}) (*listOutput[Member], error) {
	rows, err := a.query(ctx).ListMembers(ctx, tenantOf(ctx))
	return whole(each(rows, func(r db.ListMembersRow) Member { return member(db.FindMemberRow(r)) })), err
}

// AddMember names a person by address.
type AddMember struct {
	Email string `json:"email" maxLength:"254" example:"dispatch@haiec.com"`
	Role  string `json:"role,omitempty" enum:"viewer,member,admin,owner" default:"member"`
}

// Resolve wants an e-mail address.
func (b *AddMember) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.email("email", &b.Email)
	return f.errs
}

type memberOutput struct{ Body Member }

const addMemberDoc doc = `Invite somebody (as a member)
The same as POST /api/tenant/invitations, and answered by the invitation: nobody joins who has not accepted.`

// mayGrant says early and clearly what row-level security would refuse.
func mayGrant(ctx context.Context, role string) error {
	if edge.Role(role).AtLeast(edge.Admin) && !edge.FromContext(ctx).Can(edge.WriteAdmins) {
		return edge.NewProblem(http.StatusForbidden, "owner_required", "Only an owner may make or change admins and owners.").At("role", "may be set by an owner only")
	}
	return nil
}

type transferInput struct{ Body TransferOwnership }

// TransferOwnership names the new owner.
type TransferOwnership struct {
	MemberID id `json:"member_id" doc:"The membership's id"`
}

const transferDoc doc = `Hand the tenant over
The calling owner becomes an admin and the member an owner, both or neither. The member must have signed in once.`

func (a *API) transferOwnership(ctx context.Context, in *transferInput) (*memberOutput, error) {
	out := &memberOutput{}
	return out, a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		if err := q.TransferOwnership(ctx, tenantOf(ctx), in.Body.MemberID.UUID); err != nil {
			return err
		}
		r, err := q.FindMember(ctx, tenantOf(ctx), in.Body.MemberID.UUID)
		out.Body = member(r)
		return err
	})
}

type leaveInput struct{ Body LeaveTenant }

// LeaveTenant confirms that one means it.
type LeaveTenant struct {
	Confirm bool `json:"confirm" enum:"true" example:"true" doc:"Must be true: only somebody else can undo it"`
}

const leaveDoc doc = `Leave the tenant
Ends one's own membership, within a second, of a suspended or cancelled tenant too. The last owner stays: 409 last_owner.`

func (a *API) leaveTenant(ctx context.Context, _ *leaveInput) (*struct{}, error) {
	return nil, a.query(ctx).LeaveTenant(ctx, tenantOf(ctx))
}

// MemberInput names a membership in the path.
type MemberInput struct {
	ID id `path:"id" doc:"The membership's id"`
}

type patchMemberInput struct {
	MemberInput
	Body PatchMember
}

// PatchMember is a new role.
type PatchMember struct {
	Role string `json:"role" enum:"viewer,member,admin,owner"`
}

var (
	errNoMember  = edge.NewProblem(http.StatusNotFound, "member_not_found", "There is no such member.")
	errForbidden = edge.NewProblem(http.StatusForbidden, "forbidden", "You may not do this.")
	errSelf      = edge.NewProblem(http.StatusForbidden, "own_role", "You cannot change your own role. Ask another owner.")
)

const patchMemberDoc doc = `Change a member's role
Nobody changes their own. Admins handle viewers and members, owners everybody; the last owner stays.`

func (a *API) patchMember(ctx context.Context, in *patchMemberInput) (*memberOutput, error) {
	return a.changeRole(ctx, tenantOf(ctx), in.ID.UUID, in.Body.Role, byRole)
}

// whoMay tells what a change of members is held to, besides the rules of SQL.
type whoMay bool

const (
	byRole  whoMay = true  // the caller's own standing in the tenant
	byStaff whoMay = false // the platform's power over all of them
)

func (a *API) changeRole(ctx context.Context, tenant, id uuid.UUID, role string, may whoMay) (*memberOutput, error) {
	out := &memberOutput{}
	return out, a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		now, err := findMember(ctx, q, tenant, id, may)
		switch {
		case err != nil:
			return err
		case may == byRole && now.UserID != nil && *now.UserID == edge.FromContext(ctx).Principal.UserID:
			return errSelf
		case may == byRole:
			if err := mayGrant(ctx, role); err != nil {
				return err
			}
		}
		r, err := q.ChangeRole(ctx, db.MemberRole(role), tenant, id)
		if errors.Is(err, pgx.ErrNoRows) {
			return errForbidden
		}
		out.Body = member(db.FindMemberRow(r))
		return err
	})
}

// findMember finds a member whom the caller may change.
func findMember(ctx context.Context, q *db.Queries, tenant, id uuid.UUID, may whoMay) (db.FindMemberRow, error) {
	now, err := q.FindMember(ctx, tenant, id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return now, errNoMember
	case err == nil && may == byRole:
		err = mayGrant(ctx, string(now.Role))
	}
	return now, err
}

const removeMemberDoc doc = `Remove a member
Within a second, open streams included. The last owner stays: 409 last_owner. API keys that they made are the tenant's and stay.`

func (a *API) removeMember(ctx context.Context, in *MemberInput) (*struct{}, error) {
	return nil, a.dropMember(ctx, tenantOf(ctx), in.ID.UUID, byRole)
}

func (a *API) dropMember(ctx context.Context, tenant, id uuid.UUID, may whoMay) error {
	return a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		if _, err := findMember(ctx, q, tenant, id, may); err != nil {
			return err
		}
		n, err := q.RemoveMember(ctx, tenant, id)
		if err == nil && n == 0 {
			err = errForbidden
		}
		return err
	})
}
