package jobs_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/server/sandbox"
)

// TestCustomersAreToldOnce: every change of an appointment is texted once; where that fails, the owner is asked to call.
func TestCustomersAreToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const ours, theirs = "+18573825169", "+16175550123"
	_, err := w.sandbox.AddNumber(sandbox.Number{PhoneNumber: ours})
	must(t, err)
	tenant := w.tenant("haiec", "company_name", "HAIEC", "timezone", "America/New_York")
	w.exec(`insert into phone_numbers (tenant_id, phone_number, status, provider_sid) values ($1, $2, 'ready', 'PN1')`, tenant, ours)
	book := func(at, phone string) uuid.UUID {
		return scan[uuid.UUID](w, `insert into appointments (tenant_id, starts_at, ends_at, service, customer_name, customer_phone)
			values ($1, $2::timestamptz, $2::timestamptz + interval '1 hour', 'Tune-up', 'Ann', $3) returning id`, tenant, at, phone)
	}
	a := book("2099-07-03 19:00+00", theirs)
	w.work()
	texts := func() (bodies []string) {
		for _, m := range w.sandbox.Messages() {
			bodies = append([]string{m.Body}, bodies...)
		}
		return bodies
	}
	w.until("the first text", func() bool { return len(texts()) == 1 })
	w.exec(`update appointments set starts_at = starts_at + interval '1 day', ends_at = ends_at + interval '1 day' where id = $1`, a)
	w.until("the second text", func() bool { return len(texts()) == 2 })
	w.exec(`update appointments set notes = 'nothing to tell' where id = $1`, a)
	w.exec(`update appointments set status = 'cancelled' where id = $1`, a)
	w.until("the third text", func() bool { return len(texts()) == 3 })
	same(t, "texts", texts(), []string{
		"HAIEC: your appointment (Tune-up) is booked for Friday, July 3, 2099 at 3:00 PM EDT. To change it, call +18573825169.",
		"HAIEC: your appointment (Tune-up) is now on Saturday, July 4, 2099 at 3:00 PM EDT. To change it, call +18573825169.",
		"HAIEC: your appointment (Tune-up) on Saturday, July 4, 2099 at 3:00 PM EDT is cancelled.",
	})
	w.until("the rows", func() bool {
		return scan[int](w, `select count(*) from messages where direction = 'outbound' and provider_sid is not null and to_number = $1`, theirs) == 3
	})

	// Twilio does not confirm: the text is not repeated, and the owner is asked to call.
	w.fault(sandbox.Fault{Service: "twilio", Match: "POST /2010-04-01/Accounts/*/Messages.json", Status: 500, Count: 1, AfterCommit: true})
	b := book("2099-08-03 19:00+00", theirs)
	w.until("an e-mail to the owner", func() bool { return len(w.mails("haiec@example.com", "Please confirm an appointment: Ann")) == 1 })
	if n := len(texts()); n != 4 {
		t.Errorf("%d texts, want the one that was not confirmed", n)
	}
	if mail := w.mails("haiec@example.com", "Please confirm")[0]; !strings.Contains(mail.Text, "Monday, August 3, 2099 at 3:00 PM, America/New_York, Tune-up") {
		t.Error(mail.Text)
	}
	if state := scan[string](w, `select state from appointment_notices where appointment_id = $1`, b); state != "emailed" {
		t.Error(state)
	}
	// No number that can send: the same.
	w.exec(`update phone_numbers set capabilities = '{"sms": false}'`)
	book("2099-09-03 19:00+00", theirs)
	w.until("another e-mail", func() bool { return len(w.mails("haiec@example.com", "Please confirm an appointment: Ann")) == 2 })
	// What is past is told nobody.
	book("2020-01-02 19:00+00", theirs)
	if n := scan[int](w, `select count(*) from appointment_notices`); n != 5 {
		t.Error(n, "notices, want 5")
	}
}
