package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"kestrel.ai/supabase/db"
)

const (
	offered      = 6                   // slots told at once: more nobody can keep in mind
	lookAhead    = 14 * 24 * time.Hour // how far an open question looks
	alternatives = 3
)

type free struct {
	Timezone string   `json:"timezone"`
	Slots    []Moment `json:"free"`
	Note     string   `json:"note,omitempty"`
}

func (t *task) availability() any {
	var in struct{ Date, Time, Service string }
	if f := t.decode(&in); f != nil {
		return *f
	}
	from, to := t.now, t.now.Add(lookAhead)
	var note string
	if in.Date != "" {
		begin, end, err := t.p.day(in.Date)
		if err != nil {
			return failure{Error: "The date " + err.Error() + "."}
		}
		from, to = begin, end
		if in.Time != "" {
			at, err := t.p.at(in.Date + "T" + in.Time)
			switch {
			case err != nil:
				note = in.Time + " " + err.Error() + "."
			case at[0].After(begin):
				from = at[0]
			}
		}
	}
	slots, err := t.free(from, to, in.Service, offered)
	if err != nil {
		return t.broken(err)
	}
	if len(slots) == 0 && in.Date != "" {
		if slots, err = t.free(from, from.Add(lookAhead), in.Service, offered); err != nil {
			return t.broken(err)
		}
		note = "Nothing is free then on that day. These are the next free times."
	} else if in.Date != "" && in.Time != "" && note == "" && !strings.HasPrefix(slots[0].StartsAt, in.Date+"T"+in.Time) {
		note = "That very time is not free. These are the next free times."
	}
	if len(slots) == 0 {
		note = "Nothing is free. Offer to take a message."
	}
	return free{Timezone: t.p.Timezone, Slots: slots, Note: note}
}

// free lists slots from one time to before another.
func (t *task) free(from, to time.Time, service string, most int32) ([]Moment, error) {
	rows, err := t.q.FreeSlots(t.ctx, db.FreeSlotsParams{
		TenantID: t.p.TenantID, Rules: t.p.rules(), FromAt: from, ToAt: to, Minutes: int32(t.p.service(service).Minutes), NowAt: t.now, MaxRows: most,
	})
	moments := make([]Moment, 0, len(rows))
	for _, r := range rows {
		moments = append(moments, t.p.moment(r.StartsAt))
	}
	return moments, err
}

// service finds what the caller named; without a match it is that name, of the usual length.
func (p *Profile) service(name string) Service {
	name = clip(name, 120)
	for _, s := range p.Settings.Services {
		if strings.EqualFold(s.Name, name) {
			return s
		}
	}
	return Service{Name: name}
}

// start reads the time that the model wants, and asks back where that is not one time.
func (t *task) start(said string) (time.Time, *failure) {
	at, err := t.p.at(said)
	switch {
	case errors.Is(err, errNoSuch):
		f := failure{Error: "That local time " + err.Error() + ". Offer another."}
		if wall, err := time.ParseInLocation("2006-01-02T15:04", said[:min(16, len(said))], t.p.location()); err == nil {
			f.NextFree, _ = t.free(wall, wall.Add(lookAhead), "", alternatives)
		}
		return time.Time{}, &f
	case err != nil:
		return time.Time{}, &failure{Error: "starts_at " + err.Error() + "."}
	case len(at) == 2:
		return time.Time{}, &failure{
			Error: "The clocks go back on that day, so this local time comes twice. Ask which one is meant, and use its starts_at with the offset.",
			Which: []Moment{t.p.moment(at[0]), t.p.moment(at[1])},
		}
	}
	return at[0], nil
}

type booked struct {
	Status        string    `json:"status"`
	AppointmentID uuid.UUID `json:"appointment_id"`
	Moment
	Timezone     string `json:"timezone"`
	Service      string `json:"service,omitempty"`
	Confirmation string `json:"confirmation"`
	ReadBack     string `json:"read_back"`
}

func (t *task) booked(status string, a db.Appointment) booked {
	m := t.p.moment(a.StartsAt)
	b := booked{Status: status, AppointmentID: a.ID, Moment: m, Timezone: t.p.Timezone, Service: a.Service, Confirmation: "none: no number to text to"}
	if a.CustomerPhone != nil && len(*a.CustomerPhone) > 4 {
		b.Confirmation = "a text goes to the number ending in " + (*a.CustomerPhone)[len(*a.CustomerPhone)-4:]
	}
	b.ReadBack = fmt.Sprintf("Tell the caller: %s, %s.", status, m.Say)
	return b
}

// booking is what private.book takes.
type booking struct {
	ID             *uuid.UUID `json:"id,omitempty"`
	StartsAt       time.Time  `json:"starts_at"`
	Minutes        int        `json:"minutes"`
	Service        string     `json:"service"`
	CustomerName   string     `json:"customer_name"`
	CustomerPhone  string     `json:"customer_phone,omitempty"`
	ContactPhone   string     `json:"contact_phone,omitempty"`
	Address        string     `json:"address"`
	Notes          string     `json:"notes"`
	ConversationID uuid.UUID  `json:"conversation_id"`
	IdempotencyKey *string    `json:"idempotency_key,omitempty"`
}

func (t *task) book() any {
	var in struct {
		StartsAt                             string `json:"starts_at"`
		Service, Name, Phone, Address, Notes string
	}
	if f := t.decode(&in); f != nil {
		return *f
	}
	name := strings.Join(strings.Fields(clip(in.Name, 120)), " ")
	if name == "" {
		return failure{Error: "Ask for the caller's name first."}
	}
	phone, f := t.phone(in.Phone)
	if f != nil {
		return *f
	}
	at, f := t.start(in.StartsAt)
	if f != nil {
		return *f
	}
	service := t.p.service(in.Service)
	b := booking{
		ID: t.id, StartsAt: at, Minutes: service.Minutes, Service: service.Name, CustomerName: name, CustomerPhone: phone, ContactPhone: t.c.From,
		Address: clip(in.Address, 1000), Notes: clip(in.Notes, 4000), ConversationID: t.c.ID,
	}
	if t.key != "" {
		b.IdempotencyKey = &t.key
	}
	raw, err := json.Marshal(b)
	if err != nil {
		return t.broken(err)
	}
	var a db.Appointment
	if err := t.attempt(func(q *db.Queries) (err error) {
		a, err = q.Book(t.ctx, db.BookParams{TenantID: t.p.TenantID, Rules: t.p.rules(), Booking: raw, NowAt: t.now})
		return err
	}); err != nil {
		return t.refused(err, at, in.Service)
	}
	return t.booked("booked", a)
}

// refused adds the next free times to a slot that cannot be had.
func (t *task) refused(err error, wanted time.Time, service string) failure {
	f := t.broken(err)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && slices.Contains([]string{"slot_taken", "not_offered", "too_soon", "too_far"}, pg.ConstraintName) {
		f.NextFree, _ = t.free(wanted, wanted.Add(lookAhead), service, alternatives)
	}
	return f
}

type appointment struct {
	ID uuid.UUID `json:"appointment_id"`
	Moment
	Service string `json:"service,omitempty"`
	Status  string `json:"status"`
	Address string `json:"address,omitempty"`
}

// own lists the appointments this caller may touch: those of their number, and those made in this very conversation.
func (t *task) own() ([]appointment, error) {
	made, err := t.q.ConversationAppointments(t.ctx, t.p.TenantID, t.c.ID)
	if err != nil {
		return nil, err
	}
	var all []appointment
	for _, a := range made {
		all = append(all, appointment{a.ID, t.p.moment(a.StartsAt), a.Service, a.Status, a.Address})
	}
	if t.c.From == "" {
		return all, nil
	}
	rows, err := t.q.CallerAppointments(t.ctx, db.CallerAppointmentsParams{TenantID: t.p.TenantID, Phone: t.c.From, MaxRows: 20})
	for _, a := range rows {
		if !slices.ContainsFunc(all, func(o appointment) bool { return o.ID == a.ID }) {
			all = append(all, appointment{a.ID, t.p.moment(a.StartsAt), a.Service, a.Status, a.Address})
		}
	}
	return all, err
}

// mine finds the appointment the model means among the caller's own.
func (t *task) mine(id string, closed bool) (uuid.UUID, *failure) {
	all, err := t.own()
	if err != nil {
		f := t.broken(err)
		return uuid.Nil, &f
	}
	var ahead []appointment
	for _, a := range all {
		if a.ID.String() == strings.TrimSpace(id) {
			return a.ID, nil
		}
		if at, err := time.Parse(time.RFC3339, a.StartsAt); err == nil && at.After(t.now) && (a.Status == "scheduled" || closed) {
			ahead = append(ahead, a)
		}
	}
	switch {
	case len(ahead) == 1:
		return ahead[0].ID, nil
	case len(ahead) == 0:
		return uuid.Nil, &failure{Error: "The caller has no appointment ahead under this number. Offer to take a message."}
	}
	return uuid.Nil, &failure{Error: "The caller has several appointments. Ask which one, and use its appointment_id.", Known: ahead}
}

func (t *task) reschedule() any {
	var in struct {
		AppointmentID string `json:"appointment_id"`
		StartsAt      string `json:"starts_at"`
	}
	if f := t.decode(&in); f != nil {
		return *f
	}
	at, f := t.start(in.StartsAt)
	if f != nil {
		return *f
	}
	id, f := t.mine(in.AppointmentID, false)
	if f != nil {
		return *f
	}
	var a db.Appointment
	if err := t.attempt(func(q *db.Queries) (err error) {
		a, err = q.MoveAppointment(t.ctx, db.MoveAppointmentParams{TenantID: t.p.TenantID, ID: id, Rules: t.p.rules(), StartsAt: at, NowAt: t.now})
		return err
	}); err != nil {
		return t.refused(err, at, "")
	}
	return t.booked("moved", a)
}

func (t *task) cancel() any {
	var in struct {
		AppointmentID string `json:"appointment_id"`
	}
	if f := t.decode(&in); f != nil {
		return *f
	}
	id, f := t.mine(in.AppointmentID, false)
	if f != nil {
		return *f
	}
	a, err := t.q.CancelAppointment(t.ctx, t.p.TenantID, id)
	if err != nil {
		return t.broken(err)
	}
	return t.booked("cancelled", a)
}
