package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/supabase/db"
)

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
