package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase/db"
)

// Activity is one change that somebody made.
type Activity struct {
	ID         uuid.UUID       `json:"id" format:"uuid"`
	TenantID   *uuid.UUID      `json:"tenant_id" nullable:"true" doc:"null for the platform's own"`
	Actor      string          `json:"actor" example:"admin:019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51" doc:"person:…, key:…, admin:…, job:…, or login:… when done in Studio"`
	ActorLabel string          `json:"actor_label" example:"admin@kestrel.ai"`
	Action     string          `json:"action" example:"tenant.suspended"`
	TableName  string          `json:"table_name" example:"tenants"`
	RecordID   *uuid.UUID      `json:"record_id" nullable:"true"`
	Changes    json.RawMessage `json:"changes" doc:"Changed fields as {\"field\": [before, after]}"`
	RequestID  *string         `json:"request_id"`
	CreatedAt  time.Time       `json:"created_at"`
}

func activityPage(in PageInput, rows []db.ActivityLog) *listOutput[Activity] {
	return paged(in, rows, func(r db.ActivityLog) Activity { return Activity(r) }, func(r db.ActivityLog) cursor { return cursor{ID: r.ID} })
}

const listActivityDoc doc = `List all activity
Who changed what, when, with before and after: newest first.`

func (a *API) listActivity(ctx context.Context, in *PageInput) (*listOutput[Activity], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListActivity(ctx, c.ID, in.rows())
	return activityPage(*in, rows), err
}

type tenantPageInput struct {
	TenantPath
	PageInput
}

const tenantActivityDoc doc = `List a tenant's activity
Newest first. A deleted tenant's is still there.`

func (a *API) listTenantActivity(ctx context.Context, in *tenantPageInput) (*listOutput[Activity], error) {
	if _, err := a.query(ctx).TenantLife(ctx, in.ID.UUID); errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoTenant
	} else if err != nil {
		return nil, err
	}
	return a.activityOf(ctx, in.ID.UUID, in.PageInput)
}

const ownActivityDoc doc = `List the tenant's own activity
Newest first.`

func (a *API) listOwnActivity(ctx context.Context, in *PageInput) (*listOutput[Activity], error) {
	return a.activityOf(ctx, tenantOf(ctx), *in)
}

func (a *API) activityOf(ctx context.Context, tenant uuid.UUID, in PageInput) (*listOutput[Activity], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListTenantActivity(ctx, tenant, c.ID, in.rows())
	return activityPage(in, rows), err
}

// E-mails ---------------------------------------------------------------------------------------------------------

// Email is one e-mail of the outbox.
type Email struct {
	ID        uuid.UUID  `json:"id" format:"uuid"`
	TenantID  *uuid.UUID `json:"tenant_id" nullable:"true"`
	Template  string     `json:"template" example:"welcome"`
	ToEmail   string     `json:"to_email" example:"admin@haiec.com"`
	Subject   *string    `json:"subject" example:"Welcome to Kestrel" doc:"null until it is rendered"`
	Status    string     `json:"status" enum:"queued,sending,sent,failed,unknown" doc:"unknown: it may have been sent, and that can no longer be checked"`
	Error     *string    `json:"error"`
	Attempts  int32      `json:"attempts" example:"1"`
	SentAt    *time.Time `json:"sent_at"`
	CreatedAt time.Time  `json:"created_at"`
}

// RenderedEmail is an e-mail as it was sent.
type RenderedEmail struct {
	Email
	HTML       *string `json:"html" doc:"As sent, sign-in links left out. Show it in a sandboxed frame"`
	Text       *string `json:"text" doc:"As sent, sign-in links left out"`
	ProviderID *string `json:"provider_id" doc:"Resend's identifier"`
}

func rendered(r db.FindEmailRow) RenderedEmail {
	return RenderedEmail{HTML: r.Html, Text: r.Text, ProviderID: r.ProviderID, Email: Email{ID: r.ID, TenantID: r.TenantID, Template: r.Template,
		ToEmail: r.ToEmail, Subject: r.Subject, Status: r.Status, Error: r.Error, Attempts: r.Attempts, SentAt: r.SentAt, CreatedAt: r.CreatedAt}}
}

type listEmailsInput struct {
	PageInput
	Status   string `query:"status" enum:"queued,sending,sent,failed,unknown"`
	Template string `query:"template" maxLength:"60" example:"welcome"`
	TenantID id     `query:"tenant_id"`
}

const listEmailsDoc doc = `List e-mails
The outbox and its record, newest first.`

func (a *API) listEmails(ctx context.Context, in *listEmailsInput) (*listOutput[Email], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListEmails(ctx, db.ListEmailsParams{Before: c.ID, TenantID: in.TenantID.optional(), Status: in.Status, Template: in.Template, MaxRows: in.rows()})
	return paged(in.PageInput, rows, func(r db.ListEmailsRow) Email { return Email(r) }, func(r db.ListEmailsRow) cursor { return cursor{ID: r.ID} }), err
}

func (i id) optional() *uuid.UUID {
	if i.UUID == uuid.Nil {
		return nil
	}
	return &i.UUID
}

type emailInput struct {
	ID id `path:"id" doc:"The e-mail's id"`
}

type emailOutput struct{ Body RenderedEmail }

const getEmailDoc doc = `Get an e-mail
With its rendered form.`

func (a *API) getEmail(ctx context.Context, in *emailInput) (*emailOutput, error) {
	r, err := a.query(ctx).FindEmail(ctx, in.ID.UUID)
	return &emailOutput{Body: rendered(r)}, err
}

const resendEmailDoc doc = `Send an e-mail again
As a new e-mail, to the same address. One that is on its way already is refused.`

type resentOutput struct {
	Location string `header:"Location"`
	Body     RenderedEmail
}

func (a *API) resendEmail(ctx context.Context, in *emailInput) (*resentOutput, error) {
	made, err := a.query(ctx).ResendEmail(ctx, in.ID.UUID)
	if err != nil {
		return nil, err
	}
	r, err := a.query(ctx).FindEmail(ctx, made)
	return &resentOutput{Location: "/api/admin/emails/" + made.String(), Body: rendered(r)}, err
}
