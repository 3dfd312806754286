package voice_test

import (
	"net/url"
	"strings"
	"testing"

	"kestrel.ai/server/sandbox"
	"kestrel.ai/server/sandbox/caller"
)

// TestOddCallers: who withholds a number, or calls by other ways, is answered, and is nobody's contact.
func TestOddCallers(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.settings("haiec", `{"limits": {"concurrent_calls": 100}, `+openAlways+`}`)
	for _, from := range []string{"", "anonymous", "Anonymous", "Restricted", "+266696687", "266696687", "+7378742833", "+86282452253", "sip:alice@example.com", "client:alice", "+1617555012\n", "'; drop table tenants; --", strings.Repeat("9", 300), "☎️"} {
		sid := callSID()
		form := ringing(sid, from, haiec)
		if got := o.post("/api/voice/incoming?tenant=haiec", form); got.status != 200 || !strings.Contains(got.body, "<Stream") {
			t.Errorf("%q: %+v", from, got)
		}
		form.Set("CallStatus", "completed")
		form.Set("CallDuration", "9")
		if got := o.post("/api/voice/status?tenant=haiec", form); got.status != 204 {
			t.Errorf("%q: %+v", from, got)
		}
		o.row(`select from_number is null and contact_id is null and status = 'completed' from call_logs where call_sid = $1`, sid)
	}
	o.row(`select count(*) = 0 from contacts`)
	next := "/api/voice/next?tenant=haiec&step=agent&leg=0"
	if got := o.post(next, ringing(callSID(), "anonymous", haiec)); !strings.Contains(got.body, `callerId="`+haiec+`"`) {
		t.Errorf("forwarded from nobody: %s", got.body)
	}
	if got := o.post(next, ringing(callSID(), aCaller, haiec)); !strings.Contains(got.body, "<Dial") || strings.Contains(got.body, "callerId") {
		t.Errorf("forwarded: %s", got.body)
	}
	call := caller.Ring(t, o.vendor, haiec, "anonymous")
	call.Hears("how can I help")
	call.Says("I have a question about my invoice. 你好 🙂")
	call.HangsUp()
	o.row(`select from_number is null and answered_at is not null and end_reason = 'caller_hung_up' from call_logs where call_sid = $1`, call.SID)
}

// TestOddWebhooks: what Twilio never sends does no harm, and what it may send in any order is taken.
func TestOddWebhooks(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.settings("haiec", `{`+openAlways+`}`)
	// A status comes before the call itself.
	sid := callSID()
	o.post("/api/voice/status?tenant=haiec", statusOf(sid, "in-progress", 0))
	o.post("/api/voice/incoming?tenant=haiec", ringing(sid, aCaller, haiec))
	o.post("/api/voice/status?tenant=haiec", statusOf(sid, "ringing", 0))
	o.row(`select count(*) = 1 and bool_and(status = 'in-progress' and route = 'agent') from call_logs`)
	for _, seconds := range []string{"-5", "1e9", "99999999999999999999", "ten", ""} {
		odd := callSID()
		form := statusOf(odd, "completed", 0)
		form.Set("CallDuration", seconds)
		if got := o.post("/api/voice/status?tenant=haiec", form); got.status != 204 {
			t.Errorf("%q: %+v", seconds, got)
		}
		o.row(`select status = 'completed' and duration_seconds = 0 from call_logs where call_sid = $1`, odd)
	}
	for _, query := range []string{"", "&step=nonsense", "&step=dialed&leg=-1", "&step=dialed&leg=99999999999999999999", "&step=agent&leg=x", "&step=forwarded", "&step=recorded"} {
		if got := o.post("/api/voice/next?tenant=haiec"+query, statusOf(callSID(), "in-progress", 0)); got.status != 200 || !strings.Contains(got.body, "<Response>") {
			t.Errorf("next %s: %+v", query, got)
		}
	}
	for _, digits := range []string{"", "2", "11", "1#", "*", "one", strings.Repeat("1", 10_000), "１"} {
		form := ringing(callSID(), haiec, haiecOwner)
		form.Set("Digits", digits)
		if got := o.post("/api/voice/whisper?parent="+callSID()+"&step=key&tenant=haiec", form); got.status != 200 || !strings.Contains(got.body, "<Hangup>") {
			t.Errorf("digits %.20q: %+v", digits, got)
		}
	}
	if got := o.post("/api/voice/whisper?parent=nonsense&step=key&tenant=haiec", func() url.Values { f := ringing(callSID(), haiec, haiecOwner); f.Set("Digits", "1"); return f }()); !strings.Contains(got.body, "<Hangup>") {
		t.Errorf("for no call: %+v", got)
	}
	o.row(`select count(*) = 0 from call_logs where transferred_at is not null`)
	for _, body := range []string{"", strings.Repeat("🙂", 10_000), "\x00\x01\x02", "\xff\xfe", strings.Repeat("a", 60_000)} {
		if len(url.QueryEscape(body)) > 60_000 {
			body = body[:4*3000]
		}
		message := "SM" + strings.TrimPrefix(callSID(), "CA")
		text := url.Values{"MessageSid": {message}, "From": {aCaller}, "To": {haiec}, "Body": {body}, "NumSegments": {"-1"}}
		if got := o.post("/api/sms/incoming?tenant=haiec", text); got.status != 200 {
			t.Errorf("a text %.20q: %+v", body, got)
		}
		o.row(`select count(*) = 1 from messages where provider_sid = $1`, message)
	}
	o.until("nothing waits", func() bool { return o.journal.Waiting() == 0 })
}

// TestOddSpeech: whatever a caller says, it is written down as it was said, and the call goes on.
func TestOddSpeech(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.settings("haiec", `{`+openAlways+`}`)
	call := caller.Ring(t, o.vendor, haiec, aCaller, caller.Speed(50))
	call.Hears("how can I help")
	long := strings.Repeat("and another thing ", 60)
	for _, text := range []string{"🙂🙂🙂", "Ångström ñandú 你好 שלום", `"}}]{"type":"response.create"}`, "<Response><Hangup/></Response>", long} {
		call.Says(text)
	}
	call.Presses("*#0w9")
	call.Says("When are you open?")
	call.Hears("hours")
	if c := call.HangsUp(); len(c.Errors) > 0 || c.EndReason != sandbox.EndPartyHungUp {
		t.Errorf("%+v", c.Errors)
	}
	o.row(`select bool_or(text like '%🙂🙂🙂%') and bool_or(text like '%你好 שלום%') and bool_or(text like '%and another thing and another thing%') and bool_or(text like '%<Response>%') from call_turns where speaker = 'caller'`)
	o.row(`select end_reason = 'caller_hung_up' from call_logs`)
}
