package voice_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kestrel.ai/jobs"
	"kestrel.ai/server/agent"
	"kestrel.ai/server/sandbox"
	"kestrel.ai/server/sandbox/caller"
	"kestrel.ai/server/voice"
)

// The webhooks' share of the fifteen (see TestFifteen), each call through the whole of it: signed webhooks, TwiML as Twilio
// carries it out, a real media socket, the model's wire, Postgres.
func TestFifteenAtTheWebhooks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"10 a call whose completed was missed is completed by REST, and billed once":  completedMissed,
		"10 with Postgres stopped in mid-call events are kept, and replayed":          postgresStopped,
		"12 a transfer that lands in a voicemail comes back and leaves a message":     transferToVoicemail,
		"12 a person who presses 1 is connected":                                      transferTaken,
		"14 the caller is told of the recording where recording is on, and only then": recordingConsent,
		"15 over a cap nobody burns minutes":                                          caps,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t) })
	}
}

// reconcile runs the job as it would run so much later.
func (o *office) reconcile(later time.Duration) {
	o.t.Helper()
	o.must(jobs.ReconcileCalls(context.Background(), jobs.Deps{
		DB: o.db, Twilio: o.twilio, Now: func() time.Time { return time.Now().Add(later) }, Log: slog.New(slog.DiscardHandler), Config: jobs.Config{IncomingMinute: 0.0085},
	}))
}

// silent takes the status callback from HAIEC's number: Twilio's last word is lost.
func (o *office) silent() {
	o.t.Helper()
	n, owned, err := o.twilio.FindByNumber(context.Background(), haiec)
	if err != nil || !owned {
		o.t.Fatal(owned, err)
	}
	n.Webhooks.Status = ""
	_, err = o.twilio.SetWebhooks(context.Background(), n.SID, n.Webhooks)
	o.must(err)
}

func completedMissed(t *testing.T) {
	o := newOffice(t)
	o.silent()
	call := caller.Ring(t, o.vendor, haiec, aCaller)
	call.Hears("thank you for calling")
	time.Sleep(1200 * time.Millisecond) // the agent holds the line for a second, or the call would not count
	call.HangsUp()
	o.row(`select agent_seconds >= 1 and end_reason = 'caller_hung_up' and status = 'in-progress' from call_logs`)
	told := call.Now()
	for range 2 {
		o.reconcile(10 * time.Minute)
	}
	o.row(`select count(*) = 1 and bool_and(status = 'completed' and closed_at is not null and duration_seconds = $1) from call_logs`, told.DurationS)
	// Twilio's word arrives after all, twice.
	for range 2 {
		o.post("/api/voice/status?tenant=haiec", statusOf(call.SID, "completed", told.DurationS))
	}
	o.journal.Settle(t.Context(), prettyQuick)
	o.row(`select u.calls = 1 and t.current_month_calls = 1 from tenants t join tenant_usage u on u.tenant_id = t.id and u.is_current where t.slug = 'haiec'`)
	for _, kind := range []string{"call_analyze", "call_notify"} {
		o.row(`select count(*) = 1 from jobs where kind = $1`, kind)
	}
}

// TestACallThatWeKnowNothingOf: its webhooks reached nobody, as in an outage. Twilio's list has it, and so in the end have we.
func TestACallThatWeKnowNothingOf(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	fallback := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/xml")
		_, _ = rw.Write([]byte(`<Response><Say>Please call again later.</Say><Hangup/></Response>`))
	}))
	t.Cleanup(fallback.Close)
	n, owned, err := o.twilio.FindByNumber(t.Context(), haiec)
	if err != nil || !owned {
		t.Fatal(owned, err)
	}
	n.Webhooks.Voice, n.Webhooks.Status = fallback.URL, ""
	_, err = o.twilio.SetWebhooks(t.Context(), n.SID, n.Webhooks)
	o.must(err)
	call := caller.Ring(t, o.vendor, haiec, aCaller).Ends()
	if rows := value[int](o, `select count(*)::int from call_logs`); rows != 0 {
		t.Fatalf("%d calls are known", rows)
	}
	for range 2 {
		o.reconcile(10 * time.Minute)
	}
	o.row(`select count(*) = 1 and bool_and(c.call_sid = $1 and t.slug = 'haiec' and c.from_number = $2 and c.to_number = $3 and c.status = 'completed' and c.duration_seconds = $4
		and c.direction = 'inbound' and c.carrier_cost_micros > 0 and c.closed_at is not null and c.usage_id is null) from call_logs c join tenants t on t.id = c.tenant_id`, call.SID, aCaller, haiec, call.DurationS)
}

func postgresStopped(t *testing.T) {
	o := newOffice(t)
	before := caller.Ring(t, o.vendor, haiec, aCaller)
	before.Hears("thank you for calling")
	o.row(`select answered_at is not null from call_logs`)
	o.line.cut()
	during := caller.Ring(t, o.vendor, haiec, "+16175550124") // answered from memory
	during.Hears("thank you for calling")
	text := o.post("/api/voice/status?tenant=haiec", statusOf(callSID(), "completed", 7)) // a status that only the journal can take
	if text.status != 204 {
		t.Error(text)
	}
	time.Sleep(1200 * time.Millisecond)
	before.HangsUp()
	during.HangsUp()
	o.until("events wait", func() bool { return o.journal.Waiting() > 3 && o.bridge.Len() == 0 })
	o.line.mend(t)
	o.row(`select count(*) = 2 from call_logs where status = 'completed' and agent_seconds >= 1 and end_reason = 'caller_hung_up' and closed_at is not null`)
	o.row(`select count(*) = 1 from call_logs where duration_seconds = 7`)
	o.row(`select u.calls = 2 from tenant_usage u where u.is_current`)
	o.until("nothing waits", func() bool { return o.journal.Waiting() == 0 })
}

func transferToVoicemail(t *testing.T) {
	o := newOffice(t)
	o.must(o.sandbox.SetPhone(sandbox.Phone{Number: haiecOwner, Answers: sandbox.AnswersVoicemail}))
	sid, answer := o.transferred(t)
	if !strings.Contains(answer, "answerOnBridge=\"true\"") || !strings.Contains(answer, haiecOwner) || !strings.Contains(answer, "/api/voice/whisper?") {
		t.Fatalf("the agent's transfer: %s", answer)
	}
	whisper := between(answer, `<Number url="`, `"`)
	asked := o.post(whisper, ringing(callSID(), haiec, haiecOwner))
	if !strings.Contains(asked.body, "<Gather") || !strings.Contains(asked.body, "Press 1") || !strings.Contains(asked.body, "<Hangup>") {
		t.Errorf("the whisper: %s", asked.body)
	}
	// The machine presses nothing: the whisper ends in Hangup, and Dial in its action.
	form := statusOf(sid, "in-progress", 0)
	form.Set("DialCallStatus", "no-answer")
	form.Set("DialBridged", "false")
	back := o.post(between(answer, `<Dial action="`, `"`), form)
	if !strings.Contains(back.body, "<Stream") || !strings.Contains(back.body, "leg=1") {
		t.Fatalf("not accepted: %s", back.body)
	}
	if strings.Contains(back.body, "This call is recorded") {
		t.Error("told of the recording twice")
	}
	offer, err := o.tokens.Open(t.Context(), between(back.body, `name="token" value="`, `"`))
	if err != nil || !strings.Contains(offer.Profile.Greeting(time.Now()), "take a message") || len(offer.Profile.Settings.Transfers) > 0 {
		t.Errorf("%v: the agent does not take a message: %+v", err, offer)
	}
	o.bridge.Release(sid)
}

func transferTaken(t *testing.T) {
	o := newOffice(t)
	sid, answer := o.transferred(t)
	key := ringing(callSID(), haiec, haiecOwner)
	key.Set("Digits", "1")
	asked := o.post(between(answer, `<Number url="`, `"`), ringing(callSID(), haiec, haiecOwner))
	if pressed := o.post(between(asked.body, `action="`, `"`), key); strings.Contains(pressed.body, "Hangup") {
		t.Errorf("pressed 1: %s", pressed.body)
	}
	form := statusOf(sid, "in-progress", 0)
	form.Set("DialCallStatus", "completed")
	if after := o.post(between(answer, `<Dial action="`, `"`), form); !strings.Contains(after.body, "<Hangup>") || strings.Contains(after.body, "Stream") {
		t.Errorf("after the conversation: %s", after.body)
	}
	o.row(`select transferred_at is not null and outcome = 'transferred' from call_logs where call_sid = $1`, sid)
}

// transferred is a call that the agent of another process has ended with a transfer, and what Twilio was told then.
func (o *office) transferred(t *testing.T) (sid, answer string) {
	t.Helper()
	sid = callSID()
	line, _ := o.directory.BySlug("haiec")
	o.journal.Record(voice.Event{TenantID: line.Profile.TenantID, CallSID: sid, Type: voice.CallStarted, Data: []byte(`{"route":"agent","channel":"call","to":"` + haiec + `"}`)})
	o.journal.Record(voice.Event{TenantID: line.Profile.TenantID, CallSID: sid, Type: voice.CallEnded, Data: []byte(`{"reason":"transferred","agent_seconds":9,"ending":{"kind":"transfer","number":"` + haiecOwner + `"}}`)})
	o.journal.Settle(t.Context(), prettyQuick)
	got := o.post("/api/voice/next?tenant=haiec&step=agent&leg=0", statusOf(sid, "in-progress", 0))
	if got.status != 200 {
		t.Fatal(got)
	}
	return sid, strings.ReplaceAll(got.body, "&amp;", "&")
}

func between(text, from, to string) string {
	_, rest, _ := strings.Cut(strings.ReplaceAll(text, "&amp;", "&"), from)
	found, _, _ := strings.Cut(rest, to)
	return found
}

func recordingConsent(t *testing.T) {
	o := newOffice(t)
	const consent = "This call is recorded."
	first := caller.Ring(t, o.vendor, haiec, aCaller)
	first.Hears("this call is recorded")
	first.Hears("thank you for calling")
	o.until("the call is recorded", func() bool { return len(o.sandbox.Recordings()) == 1 })
	first.HangsUp()
	o.row(`select recording_sid is not null from call_logs`)
	o.row(`select count(*) = 1 from jobs where kind = 'recording_fetch'`)
	o.settings("haiec", `{"recording": {"enabled": false, "consent_text": "`+consent+`", "keep_days": 90, "delete_at_twilio": false}}`)
	quiet := o.post("/api/voice/incoming?tenant=haiec", ringing(callSID(), aCaller, haiec))
	if strings.Contains(quiet.body, "recorded") && !strings.Contains(quiet.body, "It will be recorded") || !strings.Contains(quiet.body, "<Stream") {
		t.Error(quiet.body)
	}
}

func caps(t *testing.T) {
	o := newOffice(t)
	route := func(why, want string) {
		t.Helper()
		sid := callSID()
		o.post("/api/voice/incoming?tenant=haiec", ringing(sid, aCaller, haiec))
		o.row(`select route = $2 and coalesce(route_reason, '') = $3 from call_logs where call_sid = $1`, sid, want, why)
	}
	o.settings("haiec", `{"limits": {"max_call_seconds": 1200, "silence_seconds": 20, "concurrent_calls": 1}, "block_list": ["+16175550777"], "hours": {"weekly": [{"day":"monday","opens":"00:00","closes":"24:00"},{"day":"tuesday","opens":"00:00","closes":"24:00"},{"day":"wednesday","opens":"00:00","closes":"24:00"},{"day":"thursday","opens":"00:00","closes":"24:00"},{"day":"friday","opens":"00:00","closes":"24:00"},{"day":"saturday","opens":"00:00","closes":"24:00"},{"day":"sunday","opens":"00:00","closes":"24:00"}], "holidays": []}}`)
	route("", agent.ToAgent)
	route(voice.BecauseConcurrency, agent.ToForward)
	if got := o.post("/api/voice/incoming?tenant=haiec", ringing(callSID(), "+16175550777", haiec)); !strings.Contains(got.body, "<Reject") {
		t.Error(got.body)
	}
	o.exec(`update tenants set max_monthly_calls = 1 where slug = 'haiec'`)
	o.exec(`insert into call_logs (tenant_id, call_sid, started_at, agent_seconds, status) select id, 'CAx', now(), 5, 'completed' from tenants where slug = 'haiec'`)
	o.until("the limit is known to be reached", func() bool {
		l, _ := o.directory.BySlug("haiec")
		o.directory.Used(l.Profile.TenantID)
		return l.OverLimit(time.Now())
	})
	for range 3 {
		route(voice.BecauseOverLimit, agent.ToForward)
	}
	o.row(`select count(*) = 1 from email_log where template = 'usage_warning' and dedupe_key like 'usage:100:%'`)
	line, _ := o.directory.BySlug("haiec")
	if line.OverLimit(time.Now().Add(time.Hour)) {
		t.Error("a limit that nobody could check for an hour still limits")
	}
}
