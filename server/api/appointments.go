package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/edge"
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

var errNoAppointment = edge.NewProblem(http.StatusNotFound, "appointment_not_found", "There is no such appointment.")

// AppointmentPath names an appointment.
type AppointmentPath struct {
	ID id `path:"id"`
}

type appointmentOutput struct{ Body Appointment }

func shownAppointment(r db.Appointment, err error) (*appointmentOutput, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNoAppointment
	}
	return &appointmentOutput{Body: Appointment{ID: r.ID, StartsAt: r.StartsAt, EndsAt: r.EndsAt, Lane: r.Lane, Status: r.Status, Service: r.Service,
		CustomerName: r.CustomerName, CustomerPhone: r.CustomerPhone, Address: r.Address, Notes: r.Notes, ContactID: r.ContactID, CallID: r.CallID,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}}, err
}

const getAppointmentDoc doc = `Get an appointment
With whom, when and what for.`

func (a *API) getAppointment(ctx context.Context, in *AppointmentPath) (*appointmentOutput, error) {
	return shownAppointment(a.query(ctx).FindAppointment(ctx, tenantOf(ctx), in.ID.UUID))
}

type availabilityInput struct {
	From    time.Time `query:"from" doc:"First start [now]"`
	To      time.Time `query:"to" doc:"Starts before this, at most 31 days later [seven days later]"`
	Minutes int32     `query:"minutes" minimum:"0" maximum:"1440" doc:"Length [the booking slot's]"`
	Limit   int32     `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

// Availability is what is free.
type Availability struct {
	Timezone string `json:"timezone" example:"America/New_York"`
	Items    []Slot `json:"items" nullable:"false"`
}

// Slot is a time that can be booked.
type Slot struct {
	StartsAt time.Time `json:"starts_at" doc:"In the tenant's timezone"`
	EndsAt   time.Time `json:"ends_at"`
	Label    string    `json:"label" example:"Thursday, December 3, 2026 at 3:00 PM Eastern Standard Time"`
}

type availabilityOutput struct{ Body Availability }

const availabilityDoc doc = `List free slots
As the receptionist offers them: in business hours, with lead time, buffer and a free crew.`

func (a *API) availability(ctx context.Context, in *availabilityInput) (*availabilityOutput, error) {
	p, err := a.profile(ctx, agent.Published)
	if err != nil {
		return nil, err
	}
	now := a.Now()
	from, to := in.From, in.To
	if from.Before(now) {
		from = now
	}
	if to.IsZero() {
		to = from.AddDate(0, 0, 7)
	}
	if to.Sub(from) > 31*24*time.Hour {
		return nil, edge.NewProblem(http.StatusUnprocessableEntity, "too_wide", "Ask for at most 31 days at once.").At("to", "is more than 31 days after from")
	}
	rows, err := a.query(ctx).FreeSlots(ctx, db.FreeSlotsParams{TenantID: p.TenantID, Rules: agent.Rules(p.Settings), FromAt: from, ToAt: to, Minutes: in.Minutes, NowAt: now, MaxRows: in.Limit})
	zone, zoneErr := time.LoadLocation(p.Timezone)
	if zoneErr != nil {
		zone = time.UTC
	}
	return &availabilityOutput{Body: Availability{Timezone: p.Timezone, Items: each(rows, func(r db.FreeSlotsRow) Slot {
		return Slot{r.StartsAt.In(zone), r.EndsAt.In(zone), agent.Say(r.StartsAt.In(zone))}
	})}}, err
}

// CreateAppointment is a booking made by a person or a program.
type CreateAppointment struct {
	StartsAt      time.Time `json:"starts_at"`
	Minutes       int       `json:"minutes,omitempty" minimum:"0" maximum:"1440" doc:"Length [the booking slot's]"`
	Service       string    `json:"service,omitempty" maxLength:"500" example:"Furnace repair"`
	CustomerName  string    `json:"customer_name" minLength:"1" maxLength:"120" example:"Pat Jones"`
	CustomerPhone string    `json:"customer_phone,omitempty" maxLength:"40" example:"+16175551234" doc:"Is told by text"`
	Address       string    `json:"address,omitempty" maxLength:"1000"`
	Notes         string    `json:"notes,omitempty" maxLength:"20000"`
	Force         bool      `json:"force,omitempty" doc:"Outside hours, lead time, buffer and slots too; never twice at once in one crew"`
}

// Resolve normalises the fields.
func (b *CreateAppointment) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.name("customer_name", &b.CustomerName, 120)
	f.line("service", &b.Service, 500)
	f.phone("customer_phone", &b.CustomerPhone)
	f.prose("address", &b.Address)
	f.prose("notes", &b.Notes)
	f.when("starts_at", b.StartsAt)
	return f.errs
}

// prose trims *value, which may have many lines.
func (f *faults) prose(name string, value *string) {
	if *value = strings.TrimSpace(*value); strings.ContainsRune(*value, 0) {
		f.add(name, "holds a control character")
	}
}

// when wants a time that the columns can hold.
func (f *faults) when(name string, at time.Time) {
	if at.Year() < 2000 || at.Year() > 2198 {
		f.add(name, "is not a time that can be booked")
	}
}

type createAppointmentInput struct{ Body CreateAppointment }

const createAppointmentDoc doc = `Book an appointment
By the same rules as the receptionist, unless forced. The customer is told by text.`

func (a *API) createAppointment(ctx context.Context, in *createAppointmentInput) (*appointmentOutput, error) {
	p, err := a.profile(ctx, agent.Published)
	if err != nil {
		return nil, err
	}
	b := in.Body
	raw, err := json.Marshal(map[string]any{
		"starts_at": b.StartsAt, "minutes": b.Minutes, "service": b.Service, "customer_name": b.CustomerName, "customer_phone": optional(b.CustomerPhone),
		"address": b.Address, "notes": b.Notes,
	})
	if err != nil {
		return nil, err
	}
	return shownAppointment(a.query(ctx).Book(ctx, db.BookParams{TenantID: p.TenantID, Rules: agent.Rules(p.Settings), Booking: raw, NowAt: a.Now(), Force: b.Force}))
}

// PatchAppointment is what may be changed of a booking.
type PatchAppointment struct {
	StartsAt     field[time.Time] `json:"starts_at,omitempty" doc:"Moves it"`
	Minutes      field[int32]     `json:"minutes,omitempty" minimum:"1" maximum:"1440" doc:"With starts_at: its new length"`
	Status       field[string]    `json:"status,omitempty" enum:"scheduled,completed,no_show"`
	Service      field[string]    `json:"service,omitempty" maxLength:"500"`
	CustomerName field[string]    `json:"customer_name,omitempty" maxLength:"120"`
	Address      field[string]    `json:"address,omitempty" maxLength:"1000"`
	Notes        field[string]    `json:"notes,omitempty" maxLength:"20000"`
	Force        bool             `json:"force,omitempty" doc:"Move outside hours, lead time, buffer and slots too"`
}

// Resolve normalises the fields.
func (b *PatchAppointment) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.line("service", &b.Service.Value, 500)
	f.line("customer_name", &b.CustomerName.Value, 120)
	f.prose("address", &b.Address.Value)
	f.prose("notes", &b.Notes.Value)
	if b.StartsAt.Sent {
		f.when("starts_at", b.StartsAt.Value)
	}
	return f.errs
}

type patchAppointmentInput struct {
	AppointmentPath
	Body PatchAppointment
}

const patchAppointmentDoc doc = `Move or change an appointment
Only what is sent changes. A move obeys the receptionist's rules, unless forced, and the customer is told by text.`

func (a *API) patchAppointment(ctx context.Context, in *patchAppointmentInput) (*appointmentOutput, error) {
	p, err := a.profile(ctx, agent.Published)
	if err != nil {
		return nil, err
	}
	s, b := &assignments{}, in.Body
	assign(s, "status", b.Status, false)
	assign(s, "service", b.Service, false)
	assign(s, "customer_name", b.CustomerName, false)
	assign(s, "address", b.Address, false)
	assign(s, "notes", b.Notes, false)
	var row db.Appointment
	err = a.DB.Tx(ctx, edge.FromContext(ctx).SQL(), func(tx pgx.Tx) error {
		q := db.New(tx)
		if len(s.set) > 0 {
			sql := fmt.Sprintf("update appointments set %s where id = $%d and tenant_id = $%d", strings.Join(s.set, ", "), len(s.args)+1, len(s.args)+2)
			if tag, err := tx.Exec(ctx, sql, append(s.args, in.ID.UUID, p.TenantID)...); err != nil || tag.RowsAffected() == 0 {
				return errors.Join(err, missingUnless(err, errNoAppointment))
			}
		}
		if b.StartsAt.Sent {
			m := db.MoveAppointmentParams{TenantID: p.TenantID, ID: in.ID.UUID, Rules: agent.Rules(p.Settings), StartsAt: b.StartsAt.Value, NowAt: a.Now(), Force: b.Force}
			if b.Minutes.Sent {
				m.Minutes = &b.Minutes.Value
			}
			_, err := q.MoveAppointment(ctx, m)
			if err != nil {
				return err
			}
		}
		row, err = q.FindAppointment(ctx, p.TenantID, in.ID.UUID)
		return err
	})
	return shownAppointment(row, err)
}

// missingUnless is the problem of a row that is not there, unless something else went wrong.
func missingUnless(err error, missing *edge.Problem) error {
	if err != nil {
		return nil
	}
	return missing
}

const cancelAppointmentDoc doc = `Cancel an appointment
The customer is told by text. Again it does nothing.`

func (a *API) cancelAppointment(ctx context.Context, in *AppointmentPath) (*appointmentOutput, error) {
	return shownAppointment(a.query(ctx).CancelAppointment(ctx, tenantOf(ctx), in.ID.UUID))
}
