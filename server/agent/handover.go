package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase/db"
)

// takenMessage is what private.take_message takes.
type takenMessage struct {
	CallerName     string    `json:"caller_name"`
	CallerPhone    string    `json:"caller_phone,omitempty"`
	ContactPhone   string    `json:"contact_phone,omitempty"`
	Body           string    `json:"body"`
	IsUrgent       bool      `json:"is_urgent"`
	ConversationID uuid.UUID `json:"conversation_id"`
	IdempotencyKey *string   `json:"idempotency_key,omitempty"`
	TextTo         string    `json:"text_to,omitempty"`
	Text           string    `json:"text,omitempty"`
}

func (t *task) keep(m takenMessage) error {
	m.ContactPhone, m.ConversationID = t.c.From, t.c.ID
	if t.key != "" {
		m.IdempotencyKey = &t.key
	}
	raw, err := json.Marshal(m)
	if err == nil {
		_, err = t.q.TakeMessage(t.ctx, t.p.TenantID, raw)
	}
	return err
}

type done struct {
	Status string `json:"status"`
	Say    string `json:"say,omitempty"`
}

func (t *task) takeMessage() any {
	var in struct{ Name, Phone, Message string }
	if f := t.decode(&in); f != nil {
		return *f
	}
	body := clip(in.Message, 4000)
	if body == "" {
		return failure{Error: "Ask for the message first."}
	}
	phone, f := t.phone(in.Phone)
	if f != nil {
		return *f
	}
	if err := t.keep(takenMessage{CallerName: strings.Join(strings.Fields(clip(in.Name, 120)), " "), CallerPhone: phone, Body: body}); err != nil {
		return t.broken(err)
	}
	return done{Status: "kept", Say: "The message will be passed on."}
}

// reachable reports whether a call may be handed to the number. A number of Kestrel's would ring the receptionist again.
// If the database cannot be asked, the number stands as the tenant set it.
func (t *task) reachable(number string) bool {
	if number == "" || number == t.c.To || number == t.c.From {
		return false
	}
	ours, err := t.q.IsOurs(t.ctx, number)
	return err != nil || !ours
}

func (t *task) transfer() any {
	var in struct{ To, Reason string }
	if f := t.decode(&in); f != nil {
		return *f
	}
	to := strings.TrimSpace(in.To)
	name, number := "the business", t.p.ForwardTo
	if to != "" {
		i := slices.IndexFunc(t.p.Settings.Transfers, func(x Transfer) bool { return strings.EqualFold(x.Name, to) })
		if i < 0 {
			return failure{Error: "There is nobody of that name to transfer to. Use a name from the list, leave it empty, or take a message."}
		}
		name, number = t.p.Settings.Transfers[i].Name, t.p.Settings.Transfers[i].Number
	} else if number == "" && len(t.p.Settings.Transfers) > 0 {
		name, number = t.p.Settings.Transfers[0].Name, t.p.Settings.Transfers[0].Number
	}
	if !t.reachable(number) {
		return failure{Error: "Nobody can be reached by phone. Offer to take a message."}
	}
	t.act = Action{Kind: ActionTransfer, Number: number, Reason: "asked_for"}
	return done{Status: "transferring", Say: "I am connecting you with " + name + "."}
}

// emergency hands over, or texts whoever is on call, at once; and keeps what the caller said, whatever else happens.
func (t *task) emergency() any {
	var in struct{ Words, Address string }
	if f := t.decode(&in); f != nil {
		return *f
	}
	said := clip(in.Words, 2000)
	if said == "" {
		said = "The caller reports an emergency."
	}
	e := t.p.emergencyFor(said)
	number := e.Number
	if number == "" {
		number = t.p.ForwardTo
	}
	m := takenMessage{CallerPhone: t.c.From, Body: said, IsUrgent: true}
	if address := clip(in.Address, 1000); address != "" {
		m.Body += "\nAddress: " + address
	}
	can := t.reachable(number)
	if can && e.Action == "text" {
		m.TextTo, m.Text = number, clip(fmt.Sprintf("EMERGENCY at %s: %s. Caller: %s", t.p.Settings.BusinessName, strings.ReplaceAll(m.Body, "\n", ". "), orUnknown(t.c.From)), 600)
	}
	err := t.keep(m)
	say := e.Advice
	switch {
	case can && e.Action == "transfer":
		t.act = Action{Kind: ActionTransfer, Number: number, Reason: "emergency"}
		return done{Status: "transferring", Say: strings.TrimSpace(say + " I am connecting you now.")}
	case err != nil:
		return t.broken(err)
	case m.TextTo != "":
		return done{Status: "on_call_told", Say: strings.TrimSpace(say + " Our on-call person has been texted and will call you back.")}
	}
	return done{Status: "kept_as_urgent", Say: strings.TrimSpace(say + " Your message is marked urgent.")}
}

func orUnknown(number string) string {
	if number == "" {
		return "unknown number"
	}
	return number
}

// emergencyFor is the entry whose words were said; the first one where none was, as the model has judged; a transfer where
// the tenant has set none.
func (p *Profile) emergencyFor(said string) Emergency {
	if e, found := p.EmergencyIn(said); found {
		return e
	}
	if len(p.Settings.Emergencies) > 0 {
		return Emergency{Action: p.Settings.Emergencies[0].Action, Number: p.Settings.Emergencies[0].Number}
	}
	return Emergency{Action: "transfer"}
}

// EmergencyIn finds the first emergency whose words are in what was said, for whoever hears the caller before the model does.
func (p *Profile) EmergencyIn(said string) (Emergency, bool) {
	heard := plain(said)
	for _, e := range p.Settings.Emergencies {
		for _, w := range e.Words {
			if strings.Contains(heard, plain(w)) {
				return e, true
			}
		}
	}
	return Emergency{}, false
}

// plain is the text as words: lower case, single spaces around each, no punctuation.
func plain(s string) string {
	fields := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return r != '\'' && (r < '0' || r > '9' && r < 'a' || r > 'z' && r < 0x80)
	})
	return " " + strings.Join(fields, " ") + " "
}

type caller struct {
	Known        bool          `json:"known"`
	Name         string        `json:"name,omitempty"`
	Address      string        `json:"address,omitempty"`
	Appointments []appointment `json:"appointments"`
	Calls        []earlier     `json:"earlier_calls"`
}

type earlier struct {
	When    string `json:"when"`
	Outcome string `json:"outcome,omitempty"`
	Summary string `json:"summary,omitempty"`
}

func (t *task) history() any {
	out := caller{Appointments: []appointment{}, Calls: []earlier{}}
	own, err := t.own()
	if err != nil {
		return t.broken(err)
	}
	out.Appointments = append(out.Appointments, own...)
	if t.c.From == "" {
		return out
	}
	known, err := t.q.FindCaller(t.ctx, t.p.TenantID, t.c.From)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return out
	case err != nil:
		return t.broken(err)
	}
	out.Known, out.Name, out.Address = true, known.Name, known.Address
	calls, err := t.q.CallerCalls(t.ctx, db.CallerCallsParams{TenantID: t.p.TenantID, ContactID: &known.ID, ExceptID: t.c.ID, MaxRows: 5})
	if err != nil {
		return t.broken(err)
	}
	for _, c := range calls {
		out.Calls = append(out.Calls, earlier{When: c.StartedAt.In(t.p.location()).Format("January 2, 2006"), Outcome: c.Outcome, Summary: clip(c.Summary, 500)})
	}
	return out
}

func (t *task) end() any {
	var in struct{ Reason string }
	if f := t.decode(&in); f != nil {
		return *f
	}
	t.act = Action{Kind: ActionHangUp, Reason: clip(in.Reason, 60)}
	return done{Status: "ending"}
}
