package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/jobs/openai"
	"kestrel.ai/server/sandbox"
)

func noModel(t *testing.T) *openai.Client {
	t.Helper()
	c, err := openai.New(openai.Config{})
	must(t, err)
	return c
}

// hears takes a text in as a webhook would, and returns its row.
func (w *world) hears(tenant uuid.UUID, from, body, asks string) uuid.UUID {
	w.t.Helper()
	sid := "SM" + strings.ReplaceAll(uuid.NewString(), "-", "")
	w.exec(`select private.record_call_event(gen_random_uuid(), 'sms.received', $1, '00000000-0000-0000-0000-000000000000', '', now(),
		jsonb_strip_nulls(jsonb_build_object('sid', $2::text, 'from', $3::text, 'to', $4::text, 'body', $5::text, 'opt_out_type', nullif($6::text, ''))))`, tenant, sid, from, haiecNumber, body, asks)
	return scan[uuid.UUID](w, `select id from messages where provider_sid = $1`, sid)
}

// TestTextsAreAnswered: with the receptionist's own tools, once each, and the owner reads along where they wish.
func TestTextsAreAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.haiec()
	w.settings(tenant, `{"sms": {"answer": true, "forward_to_owner": true}}`)
	w.work()
	first := w.hears(tenant, annsNumber, "Can you book me for a maintenance tune-up next Tuesday at 10 am? My name is Ann Marlowe.", "")
	w.ends("done", "sms_answer", first)
	w.until("an answer", func() bool { return len(w.texts(annsNumber)) >= 1 })
	w.until("a booking", func() bool {
		if scan[int](w, `select count(*) from appointments where tenant_id = $1 and conversation_id is not null`, tenant) == 1 {
			return true
		}
		// The receptionist may have asked for something first.
		w.ends("done", "sms_answer", w.hears(tenant, annsNumber, "Yes, Ann Marlowe, next Tuesday at 10 am", ""))
		return false
	})
	if n := scan[int](w, `select count(*) from messages m where direction = 'inbound' and (select count(*) from messages r where r.reply_to = m.id and r.sent_by = 'agent') <> 1`); n != 0 {
		t.Error(n, "texts have not one answer")
	}
	w.until("the owner's copy", func() bool { return len(w.mails("haiec@example.com", "Text from")) >= 1 })
	if n := scan[int](w, `select count(*) from private.text_steps`); n != 0 {
		t.Error(n, "steps left")
	}
	// To Twilio the word is a request; to somebody who was asked a question it is the answer.
	yes := w.hears(tenant, annsNumber, " yes", "start")
	w.ends("done", "sms_answer", yes)
	if n := scan[int](w, `select count(*) from messages where reply_to = $1`, yes); n != 1 {
		t.Error("yes was not answered")
	}
	before := scan[int](w, `select count(*) from messages where reply_to is not null`)
	w.exec(`select private.enqueue('sms_answer', $1, $2)`, tenant, first)
	w.ends("done", "sms_answer", first)
	if n := scan[int](w, `select count(*) from messages where reply_to is not null`); n != before {
		t.Error("answered again")
	}
}

// TestWhoWantsNoTexts: STOP is obeyed by everything that sends, until START; Twilio's own refusal means the same.
func TestWhoWantsNoTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.haiec()
	w.work()
	book := func(at string) {
		w.exec(`insert into appointments (tenant_id, starts_at, ends_at, customer_name, customer_phone) values ($1, $2::timestamptz, $2::timestamptz + interval '1 hour', 'Ann', $3)`, tenant, at, annsNumber)
	}
	w.ends("done", "sms_answer", w.hears(tenant, annsNumber, "STOP", "stop"))
	book("2099-07-03 19:00+00")
	w.until("the owner to be told", func() bool { return len(w.mails("haiec@example.com", "Please confirm an appointment")) == 1 })
	if mail := w.mails("haiec@example.com", "Please confirm")[0]; !strings.Contains(mail.Text, "asked for no more texts") {
		t.Error(mail.Text)
	}
	if texts := w.texts(annsNumber); len(texts) != 0 {
		t.Error(texts)
	}
	w.hears(tenant, annsNumber, "Yes", "start")
	book("2099-07-04 19:00+00")
	w.until("a confirmation", func() bool { return len(w.texts(annsNumber)) == 1 })

	w.fault(sandbox.Fault{Service: "twilio", Match: "POST /2010-04-01/Accounts/*/Messages.json", Status: 400, Code: "21610", Count: 1})
	book("2099-07-05 19:00+00")
	w.until("the refusal to be learnt", func() bool {
		return scan[int](w, `select count(*) from sms_opt_outs where phone_number = $1 and source = 'carrier'`, annsNumber) == 1
	})
	w.until("the owner to be told", func() bool { return len(w.mails("haiec@example.com", "Please confirm an appointment")) == 2 })
}

// TestUnregisteredNumbers: a number that carriers refuse sends no more texts, and the owner is asked to call.
func TestUnregisteredNumbers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.haiec()
	w.work()
	book := func(at string) {
		w.exec(`insert into appointments (tenant_id, starts_at, ends_at, customer_name, customer_phone) values ($1, $2::timestamptz, $2::timestamptz + interval '1 hour', 'Ann', $3)`, tenant, at, annsNumber)
	}
	book("2099-07-03 19:00+00")
	w.until("the text", func() bool { return scan[int](w, `select count(*) from messages where provider_sid is not null`) == 1 })
	w.exec(`select private.record_call_event(gen_random_uuid(), 'sms.status', $1, '00000000-0000-0000-0000-000000000000', '', now(), jsonb_build_object('sid', provider_sid, 'status', 'undelivered', 'error', 'Twilio error 30034'))
		from messages where provider_sid is not null`, tenant)
	if s := scan[string](w, `select a2p_status from phone_numbers where phone_number = $1`, haiecNumber); s != "unregistered" {
		t.Error(s)
	}
	book("2099-07-04 19:00+00")
	w.until("two e-mails", func() bool { return len(w.mails("haiec@example.com", "Please confirm an appointment")) == 2 })
	if n := len(w.texts(annsNumber)); n != 1 {
		t.Error(n, "texts")
	}
	// A question is not left unread either.
	w.ends("done", "sms_answer", w.hears(tenant, annsNumber, "Are you open?", ""))
	w.until("the question", func() bool { return len(w.mails("haiec@example.com", "Text from "+annsNumber)) == 1 })
}

// TestMachinesDoNotTalkForEver: answers to one number are bounded, our own numbers get none, nor do customers of a tenant
// that is suspended.
func TestMachinesDoNotTalkForEver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.haiec()
	w.settings(tenant, `{"sms": {"answer": true, "forward_to_owner": false}}`)
	w.work()
	for range 17 {
		w.ends("done", "sms_answer", w.hears(tenant, annsNumber, "Hello", ""))
	}
	if n := scan[int](w, `select count(*) from messages where reply_to is not null`); n != 15 {
		t.Error(n, "answers")
	}
	w.exec(`insert into phone_numbers (tenant_id, phone_number, status) values ($1, '+18573820001', 'ready')`, tenant)
	w.ends("done", "sms_answer", w.hears(tenant, "+18573820001", "Hello", ""))
	id := w.hears(tenant, "+16175550199", "Hello", "")
	w.ends("done", "sms_answer", id)
	w.exec(`update tenants set subscription_status = 'suspended' where id = $1`, tenant)
	w.exec(`select private.enqueue('sms_answer', $1, $2)`, tenant, w.hears(tenant, "+16175550198", "Hello", ""))
	w.until("all to end", func() bool {
		return scan[int](w, `select count(*) from jobs where state in ('queued', 'running')`) == 0
	})
	if n := scan[int](w, `select count(*) from messages where reply_to is not null`); n != 16 {
		t.Error(n, "answers")
	}
}

// TestAnAnswerSurvivesTheWorker: killed wherever it is, it books once and answers once.
func TestAnAnswerSurvivesTheWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.haiec()
	var texts []uuid.UUID
	for _, from := range []string{"+16175550141", "+16175550142"} {
		texts = append(texts, w.hears(tenant, from, "Book me for a maintenance tune-up next Tuesday at 10 am. My name is Ann Marlowe.", ""))
	}
	for i := range 6 {
		w.fault(sandbox.Fault{Service: "openai", Match: "POST /v1/responses", DelayMS: 60, Count: 1})
		stop := w.work(func(d *jobs.Deps) { d.Config.Tuning.SoftStop = time.Millisecond })
		n := len(w.sandbox.Requests())
		w.until("some progress", func() bool {
			return len(w.sandbox.Requests()) > n+i || scan[int](w, `select count(*) from jobs where kind = 'sms_answer' and state = 'done'`) == len(texts)
		})
		stop()
	}
	w.work()
	for _, id := range texts {
		w.ends("done", "sms_answer", id)
		if n := scan[int](w, `select count(*) from messages where reply_to = $1`, id); n != 1 {
			t.Error(n, "answers")
		}
		if n := scan[int](w, `select count(*) from appointments where conversation_id = $1`, id); n > 1 {
			t.Error(n, "bookings")
		}
	}
}
