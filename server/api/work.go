package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/supabase/db"
)

// Appointment is a booking.
type Appointment struct {
	ID            uuid.UUID  `json:"id" format:"uuid"`
	StartsAt      time.Time  `json:"starts_at"`
	EndsAt        time.Time  `json:"ends_at"`
	Lane          int16      `json:"lane" example:"0" doc:"Crew"`
	Status        string     `json:"status" enum:"scheduled,completed,cancelled,no_show"`
	Service       string     `json:"service" example:"Furnace repair"`
	CustomerName  string     `json:"customer_name" example:"Pat Jones"`
	CustomerPhone *string    `json:"customer_phone" example:"+16175551234"`
	Address       string     `json:"address" example:"12 Elm St, Boston"`
	Notes         string     `json:"notes"`
	ContactID     *uuid.UUID `json:"contact_id" nullable:"true"`
	CallID        *uuid.UUID `json:"call_id" nullable:"true" doc:"The call it was made on"`
	CreatedAt     time.Time  `json:"created_at"`
	UpdatedAt     time.Time  `json:"updated_at"`
}

type listAppointmentsInput struct {
	PageInput
	Status string    `query:"status" enum:"scheduled,completed,cancelled,no_show"`
	From   time.Time `query:"from" doc:"Starting at or after this"`
	To     time.Time `query:"to" doc:"Starting before this"`
}

const listAppointmentsDoc doc = `List appointments
Latest start first.`

func (a *API) listAppointments(ctx context.Context, in *listAppointmentsInput) (*listOutput[Appointment], error) {
	begin := newest()
	if !in.To.IsZero() {
		begin = cursor{At: in.To} // with the nil id: strictly before
	}
	c, err := in.after(begin)
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListAppointments(ctx, db.ListAppointmentsParams{TenantID: tenantOf(ctx), BeforeAt: c.At, Before: c.ID, Since: in.From, Status: in.Status, MaxRows: in.rows()})
	return paged(in.PageInput, rows, func(r db.ListAppointmentsRow) Appointment { return Appointment(r) },
		func(r db.ListAppointmentsRow) cursor { return cursor{At: r.StartsAt, ID: r.ID} }), err
}

// Message is a text message.
type Message struct {
	ID         uuid.UUID  `json:"id" format:"uuid"`
	Direction  string     `json:"direction" enum:"inbound,outbound"`
	FromNumber string     `json:"from_number" example:"+16175551234"`
	ToNumber   string     `json:"to_number" example:"+18573825169"`
	Body       string     `json:"body" example:"On my way"`
	Status     string     `json:"status" example:"delivered" doc:"Twilio's"`
	Error      *string    `json:"error"`
	ContactID  *uuid.UUID `json:"contact_id" nullable:"true"`
	CreatedAt  time.Time  `json:"created_at"`
}

const listMessagesDoc doc = `List text messages
Newest first.`

func (a *API) listMessages(ctx context.Context, in *PageInput) (*listOutput[Message], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListMessages(ctx, tenantOf(ctx), c.ID, in.rows())
	return paged(*in, rows, func(r db.ListMessagesRow) Message { return Message(r) }, func(r db.ListMessagesRow) cursor { return cursor{ID: r.ID} }), err
}

// Contact is somebody who called or wrote.
type Contact struct {
	ID          uuid.UUID `json:"id" format:"uuid"`
	PhoneNumber *string   `json:"phone_number" example:"+16175551234"`
	Name        string    `json:"name" example:"Pat Jones"`
	Email       *string   `json:"email" example:"pat@example.com"`
	Address     string    `json:"address" example:"12 Elm St, Boston"`
	Notes       string    `json:"notes"`
	IsBlocked   bool      `json:"is_blocked" example:"false" doc:"Calls from here are rejected"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

type listContactsInput struct {
	PageInput
	Search string `query:"search" maxLength:"120" doc:"In name, phone number and e-mail"`
}

const listContactsDoc doc = `List contacts
Newest first.`

func (a *API) listContacts(ctx context.Context, in *listContactsInput) (*listOutput[Contact], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListContacts(ctx, db.ListContactsParams{TenantID: tenantOf(ctx), Before: c.ID, Search: in.Search, MaxRows: in.rows()})
	return paged(in.PageInput, rows, func(r db.ListContactsRow) Contact { return Contact(r) }, func(r db.ListContactsRow) cursor { return cursor{ID: r.ID} }), err
}
