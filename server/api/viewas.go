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

// TenantView is a platform admin's view as a tenant.
type TenantView struct {
	ID         uuid.UUID  `json:"id" format:"uuid"`
	TenantID   uuid.UUID  `json:"tenant_id" format:"uuid"`
	AdminEmail string     `json:"admin_email" example:"admin@kestrel.ai"`
	Reason     string     `json:"reason" example:"They say Tuesday's calls are missing"`
	CanWrite   bool       `json:"can_write" example:"false"`
	ExpiresAt  time.Time  `json:"expires_at"`
	EndedAt    *time.Time `json:"ended_at" doc:"When it ended"`
	EndedHow   *string    `json:"ended_how" enum:"ended,expired" doc:"ended by hand or with the admin's power, or expired"`
	CreatedAt  time.Time  `json:"created_at"`
}

// StartedView is a view with the token that opens it.
type StartedView struct {
	TenantView
	Token string `json:"token" example:"kst_view_…" doc:"Sent as Bearer, at the tenant's host or api. Shown once"`
	URL   string `json:"url" example:"https://haiec.kestrel.ai" doc:"The tenant's host"`
}

// StartView says why, and what for.
type StartView struct {
	Reason string `json:"reason" minLength:"10" maxLength:"500" example:"They say Tuesday's calls are missing" doc:"The tenant's own activity log shows it"`
	Write  bool   `json:"write,omitempty" example:"false" doc:"Whether data may be changed, as an API key with the scope write may"`
}

// Resolve wants a reason that says something.
func (b *StartView) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.line("reason", &b.Reason, 500)
	if len([]rune(b.Reason)) < 10 {
		f.add("reason", "is too short; say why in 10 characters or more")
	}
	return f.errs
}

type startViewInput struct {
	TenantPath
	Body StartView
}

type startedViewOutput struct {
	Location string `header:"Location"`
	Body     StartedView
}

const startViewDoc doc = `View as a tenant
For 30 minutes, read-only unless asked otherwise. The token is good for what an API key of the tenant is good for: never
for people, keys, the platform's own, or another view. Start, end and every change are in the tenant's activity log under
the admin's name; GET /api/tenant/me tells the dashboard to say so. It ends early when it is ended, or with the admin's power.`

func (a *API) startView(ctx context.Context, in *startViewInput) (*startedViewOutput, error) {
	slug, err := a.query(ctx).FindTenantSlug(ctx, in.ID.UUID)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoTenant
	}
	if err != nil {
		return nil, err
	}
	token, hash := edge.NewViewToken()
	r, err := a.query(ctx).StartView(ctx, db.StartViewParams{TenantID: in.ID.UUID, AdminID: edge.FromContext(ctx).Principal.UserID,
		Reason: in.Body.Reason, CanWrite: in.Body.Write, Hash: hash[:], At: a.Now()})
	return &startedViewOutput{Location: "/api/admin/tenants/" + in.ID.String() + "/view-as/" + r.ID.String(),
		Body: StartedView{TenantView: TenantView(r), Token: token, URL: a.Config.Origin(slug)}}, err
}

type listViewsInput struct {
	TenantPath
	PageInput
}

const listViewsDoc doc = `List views as a tenant
Who looked, why and for how long: newest first.`

func (a *API) listViews(ctx context.Context, in *listViewsInput) (*listOutput[TenantView], error) {
	if err := a.known(ctx, in.ID.UUID); err != nil {
		return nil, err
	}
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListViews(ctx, in.ID.UUID, c.ID, in.rows())
	return paged(in.PageInput, rows, func(r db.ListViewsRow) TenantView { return TenantView(r) }, func(r db.ListViewsRow) cursor { return cursor{ID: r.ID} }), err
}

type viewInput struct {
	TenantPath
	ViewID id `path:"view_id"`
}

const endViewDoc doc = `End a view as a tenant
Within a second, open streams included. Any platform admin may. Ending twice is the same as once.`

func (a *API) endView(ctx context.Context, in *viewInput) (*struct{}, error) {
	n, err := a.query(ctx).EndView(ctx, a.Now(), in.ViewID.UUID, in.ID.UUID)
	if err != nil || n > 0 {
		return nil, err
	}
	exists, err := a.query(ctx).ViewExists(ctx, in.ViewID.UUID, in.ID.UUID)
	if err == nil && !exists {
		err = errNoView
	}
	return nil, err
}

const endOwnViewDoc doc = `End this view
By the view's own token, as the banner at the tenant's host does; within a second, the token then opens nothing.`

func (a *API) endOwnView(ctx context.Context, _ *struct{}) (*struct{}, error) {
	scope := edge.FromContext(ctx).SQL()
	scope.ReadOnly = false // of a view that may only read, its end is still its own
	return nil, db.New(a.DB.As(scope)).EndOwnView(ctx, a.Now())
}

var errNoView = edge.NewProblem(http.StatusNotFound, "view_not_found", "There is no such view.")

// MeViewAs is what the dashboard's banner says while a platform admin looks at it.
type MeViewAs struct {
	ID        uuid.UUID `json:"id" format:"uuid"`
	Admin     string    `json:"admin" example:"admin@kestrel.ai"`
	Reason    string    `json:"reason" example:"They say Tuesday's calls are missing"`
	ExpiresAt time.Time `json:"expires_at"`
	ReadOnly  bool      `json:"read_only" example:"true"`
}

func viewAs(v edge.TenantView) *MeViewAs {
	return &MeViewAs{ID: v.ID, Admin: v.AdminEmail, Reason: v.Reason, ExpiresAt: v.ExpiresAt, ReadOnly: !v.CanWrite}
}
