package agent_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/server/agent"
)

const caller = "+16175550123"

func TestBookMoveCancel(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c := newCall(caller)
	free := s.use(c, "check_availability", `{"date":"2026-11-27","time":"15:00","service":""}`)
	if len(free.Free) == 0 || free.Free[0].StartsAt != "2026-11-27T15:00:00-05:00" || free.Timezone != "America/New_York" || free.Note != "" {
		t.Fatalf("%+v", free)
	}
	b := s.use(c, "book_appointment", booking("2026-11-27T15:00", "Ann Example"))
	if b.Status != "booked" || b.Say != "Friday, November 27, 2026 at 3:00 PM Eastern Standard Time" || !strings.Contains(b.Confirmation, "0123") {
		t.Fatalf("%+v", b)
	}
	if n := s.count(`appointments where status = 'scheduled' and customer_name = 'Ann Example' and ends_at - starts_at = '60 minutes' and conversation_id = $1 and call_id is null`, c.ID); n != 1 {
		t.Error(n, "appointments")
	}
	if n := s.count(`contacts where phone_number = $1 and name = 'Ann Example' and address = '1 Main St'`, caller); n != 1 {
		t.Error(n, "contacts")
	}
	if n := s.count(`jobs where kind = 'appointment_confirm' and state = 'queued'`); n != 1 {
		t.Error(n, "confirmations")
	}
	m := s.use(c, "reschedule_appointment", `{"appointment_id":"","starts_at":"2026-11-30T09:00"}`)
	if m.Status != "moved" || m.AppointmentID != b.AppointmentID || !strings.HasPrefix(m.Say, "Monday, November 30") {
		t.Fatalf("%+v", m)
	}
	if again := s.use(c, "reschedule_appointment", `{"appointment_id":"","starts_at":"2026-11-30T09:00"}`); again.Status != "moved" {
		t.Errorf("%+v", again)
	}
	// The call's row comes after the booking.
	s.exec(`insert into call_logs (id, tenant_id, call_sid, started_at) values ($1, $2, $3, now())`, c.ID, s.id, c.SID)
	if n := s.count(`appointments where call_id = $1`, c.ID); n != 1 {
		t.Error("the call does not know its booking")
	}
	// Later, in another call, the same caller is known; a stranger knows nothing and may touch nothing.
	later := newCall(caller)
	if h := s.use(later, "look_up_caller", `{}`); !h.Known || h.Name != "Ann Example" || len(h.Appointments) != 1 {
		t.Errorf("%+v", h)
	}
	stranger := newCall("+16175550999")
	if h := s.use(stranger, "look_up_caller", `{}`); h.Known || len(h.Appointments) != 0 {
		t.Errorf("%+v", h)
	}
	for _, nobody := range []agent.Call{stranger, newCall("")} {
		if x := s.use(nobody, "cancel_appointment", fmt.Sprintf(`{"appointment_id":%q}`, b.AppointmentID)); x.Error == "" {
			t.Errorf("a stranger cancelled: %+v", x)
		}
	}
	if x := s.use(later, "cancel_appointment", `{"appointment_id":""}`); x.Status != "cancelled" {
		t.Errorf("%+v", x)
	}
	if n := s.count(`appointment_notices where appointment_id = $1`, uuid.MustParse(b.AppointmentID)); n != 3 {
		t.Error(n, "notices, want booked, moved, cancelled")
	}
	var actor string
	s.scan(&actor, `select actor from activity_log where table_name = 'appointments' order by id limit 1`)
	if actor != "agent:"+c.ID.String() {
		t.Error(actor)
	}
}

// TestFiftyCallersOneSlot: two crews, fifty callers at once, two bookings.
func TestFiftyCallersOneSlot(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var wg sync.WaitGroup
	answers := make([]reply, 50)
	for i := range answers {
		wg.Go(func() {
			answers[i] = s.use(newCall(fmt.Sprintf("+161755501%02d", i)), "book_appointment", booking("2026-11-27T15:00", fmt.Sprint("Caller ", i)))
		})
	}
	wg.Wait()
	won := 0
	for _, a := range answers {
		if a.Status == "booked" {
			won++
		} else if a.Error != "That time is taken." || len(a.NextFree) == 0 || a.NextFree[0].StartsAt == "2026-11-27T15:00:00-05:00" {
			t.Errorf("%+v", a)
		}
	}
	if n := s.count(`appointments where starts_at = '2026-11-27 20:00+00'`); won != 2 || n != 2 {
		t.Errorf("%d won, %d rows; capacity is 2", won, n)
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, c := range []struct{ tool, args, want string }{
		{"book_appointment", booking("2026-11-26T10:30", "Ann"), "notice"},
		{"book_appointment", booking("2027-11-26T10:00", "Ann"), "days ahead"},
		{"book_appointment", booking("2026-11-29T10:00", "Ann"), "outside business hours"},
		{"book_appointment", booking("2026-11-27T10:07", "Ann"), "between two slots"},
		{"book_appointment", booking("2026-11-27T16:30", "Ann"), "outside business hours"},
		{"book_appointment", booking("tomorrow", "Ann"), "not a date and time"},
		{"book_appointment", booking("2026-11-27T10:00", " \n"), "name first"},
		{"book_appointment", `{"starts_at":7}`, "arguments"},
		{"book_appointment", `not json`, "arguments"},
		{"book_appointment", `{"starts_at":"2026-11-27T10:00","name":"Ann","phone":"12"}`, "digit by digit"},
		{"reschedule_appointment", `{"appointment_id":"","starts_at":"2026-11-27T10:00"}`, "no appointment ahead"},
		{"cancel_appointment", `{"appointment_id":"' or true"}`, "no appointment ahead"},
		{"check_availability", `{"date":"2026-02-31"}`, "date"},
		{"take_message", `{"name":"Ann","message":" "}`, "message first"},
		{"transfer_call", `{"to":"","reason":""}`, "Nobody can be reached"},
		{"transfer_call", `{"to":"+19005550123","reason":""}`, "nobody of that name"},
		{"drop_tables", `{}`, "no such tool"},
	} {
		if r := s.use(newCall(caller), c.tool, c.args); !strings.Contains(r.Error, c.want) {
			t.Errorf("%s %s: %q, want %q", c.tool, c.args, r.Error, c.want)
		}
	}
	if n := s.count(`appointments`); n != 0 {
		t.Error(n, "appointments")
	}
	s.Settings.Booking.Enabled = false
	if r := s.use(newCall(caller), "book_appointment", booking("2026-11-27T10:00", "Ann")); r.Error == "" {
		t.Error("booked where booking is off")
	}
}

func TestMessagesTransfersEmergencies(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c := newCall(caller)
	for range 2 { // the same tool call twice
		if r := use(t, s.Desk, s.Profile, c, "same", "take_message", `{"name":"Ann","phone":"","message":"Call me"}`); r.Status != "kept" {
			t.Errorf("%+v", r)
		}
	}
	if n := s.count(`call_messages where body = 'Call me' and caller_phone = $1 and contact_id is not null`, caller); n != 1 {
		t.Error(n, "messages")
	}
	s.Settings.Transfers = []agent.Transfer{{Name: "Desk", Number: "+16175550777"}, {Name: "Ours", Number: "+16175550888"}}
	s.exec(`insert into phone_numbers (tenant_id, phone_number, status) values ($1, '+16175550888', 'ready')`, s.id)
	if r := s.use(c, "transfer_call", `{"to":"desk","reason":"invoice"}`); r.Action != (agent.Action{Kind: agent.ActionTransfer, Number: "+16175550777", Reason: "asked_for"}) {
		t.Errorf("%+v", r)
	}
	if r := s.use(c, "transfer_call", `{"to":"Ours","reason":""}`); r.Error == "" || r.Action.Kind != "" {
		t.Errorf("transferred to a number of Kestrel's: %+v", r)
	}
	s.Profile.ForwardTo = "+16175550555"
	r := s.use(c, "report_emergency", `{"words":"I smell gas!","address":"1 Main St"}`)
	if r.Action != (agent.Action{Kind: agent.ActionTransfer, Number: "+16175550555", Reason: "emergency"}) || !strings.Contains(r.Say, "Leave the building") {
		t.Errorf("%+v", r)
	}
	s.Settings.Emergencies[1].Action, s.Settings.Emergencies[1].Number = "text", "+16175550444"
	if r = s.use(c, "report_emergency", `{"words":"We have no heat","address":""}`); r.Status != "on_call_told" || r.Action.Kind != "" {
		t.Errorf("%+v", r)
	}
	if n := s.count(`messages where to_number = '+16175550444' and direction = 'outbound' and body like 'EMERGENCY at HAIEC: We have no heat%'`); n != 1 {
		t.Error(n, "texts to whoever is on call")
	}
	if n := s.count(`call_messages where is_urgent`); n != 2 {
		t.Error(n, "urgent messages")
	}
	if r = s.use(c, "end_call", `{"reason":"booked"}`); r.Action.Kind != agent.ActionHangUp {
		t.Errorf("%+v", r)
	}
	c.Channel = agent.ChannelSMS
	if r = s.use(c, "end_call", `{"reason":"booked"}`); r.Error == "" {
		t.Error("hung up on a text")
	}
}

// TestDryDeskKeepsNothing: a rehearsal sees what it did itself, and nobody else ever does.
func TestDryDeskKeepsNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c := newCall(caller)
	c.Channel = agent.ChannelScenario
	dry := s.Desk.Dry()
	do := func(tool, args string) reply { t.Helper(); return use(t, dry, s.Profile, c, toolCalls(), tool, args) }
	b := do("book_appointment", booking("2026-11-27T15:00", "Ann"))
	if b.Status != "booked" {
		t.Fatalf("%+v", b)
	}
	if h := do("look_up_caller", `{}`); len(h.Appointments) != 1 || h.Appointments[0].ID != b.AppointmentID {
		t.Errorf("%+v", h)
	}
	if r := do("book_appointment", booking("2026-11-27T10:07", "Ann")); r.Error == "" || len(r.NextFree) == 0 {
		t.Errorf("%+v", r)
	}
	if m := do("reschedule_appointment", fmt.Sprintf(`{"appointment_id":%q,"starts_at":"2026-11-27T16:00"}`, b.AppointmentID)); m.Status != "moved" {
		t.Errorf("%+v", m)
	}
	if n := s.count(`appointments`) + s.count(`contacts`) + s.count(`jobs where kind = 'appointment_confirm'`); n != 0 {
		t.Error(n, "rows are left")
	}
}
