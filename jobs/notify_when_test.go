package jobs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/server/agent"
	"kestrel.ai/server/sandbox"
)

// TestEachThingTheOwnerWants: an owner who wants to be told of one thing is told of that, by e-mail and by text, and of
// nothing else.
func TestEachThingTheOwnerWants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.haiec()
	// One call of each kind, with a caller of its own.
	happens := map[string]func(tenant, call uuid.UUID, from string){
		agent.WhenBooked: func(tenant, call uuid.UUID, from string) { w.books(tenant, &call, from) },
		agent.WhenRescheduled: func(tenant, _ uuid.UUID, from string) {
			w.books(tenant, nil, from)
			w.exec(`update appointments set starts_at = starts_at + interval '1 day', ends_at = ends_at + interval '1 day' where customer_phone = $1`, from)
		},
		agent.WhenCancelled: func(tenant, _ uuid.UUID, from string) {
			w.books(tenant, nil, from)
			w.exec(`update appointments set status = 'cancelled' where customer_phone = $1`, from)
		},
		agent.WhenMessage: func(tenant, call uuid.UUID, from string) {
			w.exec(`insert into call_messages (tenant_id, conversation_id, body, caller_phone) values ($1, $2, 'Call me back', $3)`, tenant, call, from)
		},
		agent.WhenEmergency: func(tenant, call uuid.UUID, from string) {
			w.exec(`select private.take_message($1, jsonb_build_object('body', 'I smell gas', 'caller_phone', $3::text, 'is_urgent', true, 'conversation_id', $2::uuid, 'idempotency_key', $2::text))`, tenant, call, from)
		},
		agent.WhenMissed: func(_, call uuid.UUID, _ string) {
			w.exec(`update call_logs set answered_at = null, agent_seconds = 0, status = 'no-answer' where id = $1`, call)
		},
		agent.WhenEveryCall: func(uuid.UUID, uuid.UUID, string) {},
	}
	// What each thing's e-mail begins with.
	says := map[string]string{
		agent.WhenBooked: "New booking", agent.WhenRescheduled: "moved", agent.WhenCancelled: "ancelled", agent.WhenMessage: "New message", agent.WhenEmergency: "EMERGENCY", agent.WhenMissed: "Missed call", agent.WhenEveryCall: "Call answered",
	}
	w.work(func(d *jobs.Deps) {
		d.Config.Tuning.VoicemailIn, d.Config.Tuning.AnalysisDue = 100*time.Millisecond, 100*time.Millisecond
	})
	n, callers := 0, 0
	for when, subject := range says {
		n++
		tenant, owner, number := first, "haiec@example.com", fmt.Sprintf("+1617555%04d", 9000+n)
		if n > 1 {
			slug := fmt.Sprintf("owner-%d", n)
			tenant, owner = w.tenant(slug, "company_name", slug, "timezone", "America/New_York", "subscription_status", "trial"), slug+"@example.com"
			ours := fmt.Sprintf("+1857382%04d", n)
			_, err := w.sandbox.AddNumber(sandbox.Number{PhoneNumber: ours})
			must(t, err)
			w.exec(`insert into phone_numbers (tenant_id, phone_number, status) values ($1, $2, 'ready')`, tenant, ours)
		}
		w.settings(tenant, `{"notify": {"sms": "`+number+`", "when": ["`+when+`"]}}`)
		wanted := 1
		if when == agent.WhenEveryCall {
			wanted = len(happens) + 1 // the emergency at once, and its call when it is over
		}
		var calls []uuid.UUID
		for _, happen := range happens {
			callers++
			call, from := w.call(tenant), fmt.Sprintf("+1617556%04d", callers)
			w.exec(`update call_logs set from_number = $2 where id = $1`, call, from)
			happen(tenant, call, from)
			calls = append(calls, call)
		}
		for _, call := range calls {
			w.close(call)
			w.ends("done", "call_notify", call)
		}
		told := func() (subjects []string) {
			for _, m := range w.mails(owner, "") {
				if !strings.Contains(m.Subject, "You're Live") && !strings.Contains(m.Subject, "Welcome") {
					subjects = append(subjects, m.Subject)
				}
			}
			return subjects
		}
		w.until("the owner who wants "+when+" to be told", func() bool { return len(told()) >= wanted && len(w.texts(number)) >= wanted })
		if got := told(); len(got) != wanted || !strings.Contains(strings.Join(got, "\n"), subject) {
			t.Errorf("%s: %q", when, got)
		}
		if got := w.texts(number); len(got) != wanted {
			t.Errorf("%s by text: %q", when, got)
		}
	}
}

// books makes an appointment for a customer, on a call or without one, on a day of its own.
func (w *world) books(tenant uuid.UUID, call *uuid.UUID, from string) {
	w.exec(`insert into appointments (tenant_id, conversation_id, starts_at, ends_at, customer_name, customer_phone)
		select $1, $2, at, at + interval '1 hour', 'Ann', $3 from (select '2099-01-01 15:00+00'::timestamptz + 2 * right($3, 4)::int * interval '1 day' as at)`, tenant, call, from)
}
