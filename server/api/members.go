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

type addMemberInput struct{ Body AddMember }

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

type newMemberOutput struct {
	Location string `header:"Location"`
	Body     Member
}

type memberOutput struct{ Body Member }

const addMemberDoc doc = `Add a member
By e-mail; whoever signs in with that address, confirmed, is in. Admins add viewers and members, owners anybody.`

func (a *API) addMember(ctx context.Context, in *addMemberInput) (*newMemberOutput, error) {
	if err := mayGrant(ctx, in.Body.Role); err != nil {
		return nil, err
	}
	r, err := a.query(ctx).AddMember(ctx, tenantOf(ctx), in.Body.Email, db.MemberRole(in.Body.Role))
	if err != nil {
		return nil, err
	}
	return &newMemberOutput{Location: "/api/tenant/members/" + r.ID.String(), Body: member(db.FindMemberRow(r))}, nil
}

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
Ends one's own membership, within a second. The last owner stays: 409 last_owner.`

func (a *API) leaveTenant(ctx context.Context, _ *leaveInput) (*struct{}, error) {
	return nil, a.query(ctx).LeaveTenant(ctx, tenantOf(ctx))
}

const tenantMembersDoc doc = `List a tenant's members
Owners first.`

func (a *API) listTenantMembers(ctx context.Context, in *TenantPath) (*listOutput[Member], error) {
	if err := a.open(ctx, a.DB.As(edge.FromContext(ctx).SQL()), in.ID.UUID); err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListMembers(ctx, in.ID.UUID)
	return whole(each(rows, func(r db.ListMembersRow) Member { return member(db.FindMemberRow(r)) })), err
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
	out := &memberOutput{}
	err := a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		now, err := findMember(ctx, q, in.ID.UUID)
		if err != nil {
			return err
		}
		if now.UserID != nil && *now.UserID == edge.FromContext(ctx).Principal.UserID {
			return errSelf
		}
		if err := mayGrant(ctx, in.Body.Role); err != nil {
			return err
		}
		r, err := q.ChangeRole(ctx, db.MemberRole(in.Body.Role), tenantOf(ctx), in.ID.UUID)
		if errors.Is(err, pgx.ErrNoRows) {
			return errForbidden
		}
		out.Body = member(db.FindMemberRow(r))
		return err
	})
	return out, err
}

// findMember finds a member whom the caller may change.
func findMember(ctx context.Context, q *db.Queries, id uuid.UUID) (db.FindMemberRow, error) {
	now, err := q.FindMember(ctx, tenantOf(ctx), id)
	if errors.Is(err, pgx.ErrNoRows) {
		return now, errNoMember
	}
	if err != nil {
		return now, err
	}
	return now, mayGrant(ctx, string(now.Role))
}

const removeMemberDoc doc = `Remove a member
Within a second, open streams included. The last owner stays: 409 last_owner.`

func (a *API) removeMember(ctx context.Context, in *MemberInput) (*struct{}, error) {
	return nil, a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		if _, err := findMember(ctx, q, in.ID.UUID); err != nil {
			return err
		}
		n, err := q.RemoveMember(ctx, tenantOf(ctx), in.ID.UUID)
		if err == nil && n == 0 {
			err = errForbidden
		}
		return err
	})
}
