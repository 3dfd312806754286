package api

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// What platform admins do about a tenant's people, held to the same rules as its owners.

const tenantMembersDoc doc = `List a tenant's members
Owners first.`

func (a *API) listTenantMembers(ctx context.Context, in *TenantPath) (*listOutput[Member], error) {
	if err := a.open(ctx, a.DB.As(edge.FromContext(ctx).SQL()), in.ID.UUID); err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListMembers(ctx, in.ID.UUID)
	return whole(each(rows, func(r db.ListMembersRow) Member { return member(db.FindMemberRow(r)) })), err
}

// TenantMemberInput names a membership of a tenant in the path.
type TenantMemberInput struct {
	ID       id `path:"id" doc:"The tenant's id"`
	MemberID id `path:"member_id" doc:"The membership's id"`
}

type patchTenantMemberInput struct {
	TenantMemberInput
	Body PatchMember
}

const patchTenantMemberDoc doc = `Change the role of a tenant's member
The last owner stays: 409 last_owner. The tenant's activity log names the admin.`

func (a *API) patchTenantMember(ctx context.Context, in *patchTenantMemberInput) (*memberOutput, error) {
	if err := a.open(ctx, a.DB.As(edge.FromContext(ctx).SQL()), in.ID.UUID); err != nil {
		return nil, err
	}
	return a.changeRole(ctx, in.ID.UUID, in.MemberID.UUID, in.Body.Role, byStaff)
}

const removeTenantMemberDoc doc = `Remove a tenant's member
Within a second, open streams included. The last owner stays: 409 last_owner. API keys that they made are the tenant's and stay.`

func (a *API) removeTenantMember(ctx context.Context, in *TenantMemberInput) (*struct{}, error) {
	if err := a.open(ctx, a.DB.As(edge.FromContext(ctx).SQL()), in.ID.UUID); err != nil {
		return nil, err
	}
	return nil, a.dropMember(ctx, in.ID.UUID, in.MemberID.UUID, byStaff)
}

type handTenantOverInput struct {
	TenantPath
	Body HandTenantOver
}

// HandTenantOver names the new owner.
type HandTenantOver struct {
	MemberID     id  `json:"member_id" doc:"The new owner's membership"`
	FromMemberID *id `json:"from_member_id,omitempty" doc:"The owner who becomes an admin; needed where there are several"`
}

const handTenantOverDoc doc = `Hand a tenant over
The owner becomes an admin and the member an owner, both or neither. The member must have signed in once. Where there are
several owners, say which of them: 409 several_owners.`

func (a *API) handTenantOver(ctx context.Context, in *handTenantOverInput) (*memberOutput, error) {
	if err := a.open(ctx, a.DB.As(edge.FromContext(ctx).SQL()), in.ID.UUID); err != nil {
		return nil, err
	}
	var from *uuid.UUID
	if in.Body.FromMemberID != nil {
		from = &in.Body.FromMemberID.UUID
	}
	out := &memberOutput{}
	return out, a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		if err := q.HandOver(ctx, in.ID.UUID, from, in.Body.MemberID.UUID); err != nil {
			return err
		}
		r, err := q.FindMember(ctx, in.ID.UUID, in.Body.MemberID.UUID)
		out.Body = member(r)
		return err
	})
}
