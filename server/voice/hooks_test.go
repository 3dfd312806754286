package voice_test

import (
	"net/url"
	"strings"
	"testing"

	"kestrel.ai/server/sandbox"
	"kestrel.ai/server/sandbox/caller"
)

func TestIncomingTwiceIsOneCall(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	form := ringing(callSID(), aCaller, haiec)
	first := o.post("/api/voice/incoming?tenant=haiec", form)
	again := o.post("/api/voice/incoming?tenant=haiec", form)
	if first.status != 200 || first != again {
		t.Fatalf("%d %s\n%d %s", first.status, first.body, again.status, again.body)
	}
	for _, part := range []string{`<Say>This call is recorded.</Say><Connect`, `<Stream url="ws://api.localhost:`, `/api/voice/stream"><Parameter name="tenant" value="`, `<Parameter name="token"`, `</Connect><Dial`, haiecOwner} {
		if !strings.Contains(first.body, part) {
			t.Errorf("no %s in %s", part, first.body)
		}
	}
	if strings.Contains(first.body, "stream?") {
		t.Error("a stream's address takes no query")
	}
	if n := o.bridge.Len(); n != 1 {
		t.Errorf("%d calls", n)
	}
	o.post("/api/voice/status?tenant=haiec", statusOf(form.Get("CallSid"), "completed", 0))
	o.row(`select count(*) = 1 and bool_and(status = 'completed' and route = 'agent') from call_logs`)
}

func TestARetiredSlugIsAnswered(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.exec(`update tenants set slug = 'haiec-boston' where slug = 'haiec'`)
	o.until("the new slug is known", func() bool { _, known := o.directory.BySlug("haiec-boston"); return known })
	for _, slug := range []string{"haiec", "haiec-boston"} {
		if got := o.post("/api/voice/incoming?tenant="+slug, ringing(callSID(), aCaller, haiec)); got.status != 200 || !strings.Contains(got.body, "tenant=haiec-boston") {
			t.Errorf("%s: %d %s", slug, got.status, got.body)
		}
	}
}

func TestRoutesOfCalls(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ring := func(from string) string {
		t.Helper()
		sid := callSID()
		got := o.post("/api/voice/incoming?tenant=haiec", ringing(sid, from, haiec))
		if got.status != 200 {
			t.Fatal(got)
		}
		o.post("/api/voice/status?tenant=haiec", statusOf(sid, "completed", 1))
		return got.body
	}
	wants := func(what, body string, parts ...string) {
		t.Helper()
		for _, part := range parts {
			if !strings.Contains(body, part) {
				t.Errorf("%s: no %s in %s", what, part, body)
			}
		}
		if strings.Contains(body, "Stream") {
			t.Errorf("%s: has a stream", what)
		}
	}
	forwarding := func(to string) {
		o.exec(`update tenants set forward_to_number = nullif($1, '') where slug = 'haiec'`, to)
		o.until("forwarding changed", func() bool { l, _ := o.directory.BySlug("haiec"); return l.ForwardTo == to })
	}
	status := func(s string) {
		o.exec(`update tenants set subscription_status = $1 where slug = 'haiec'`, s)
		o.until("it is "+s, func() bool { l, _ := o.directory.BySlug("haiec"); return l.Status == s })
	}
	o.exec(`insert into contacts (tenant_id, phone_number, is_blocked) select id, '+16175550666', true from tenants where slug = 'haiec'`)
	o.until("the caller is blocked", func() bool { l, _ := o.directory.BySlug("haiec"); return l.Blocked("+16175550666") })
	wants("blocked", ring("+16175550666"), `<Reject reason="rejected">`)
	o.exec(`update contacts set is_blocked = false`)
	o.until("the caller is forgiven", func() bool { l, _ := o.directory.BySlug("haiec"); return !l.Blocked("+16175550666") })

	status("suspended")
	wants("suspended", ring(aCaller), "not in service", "<Hangup>")
	status("active")

	forwarding(haiec)
	o.settings("haiec", `{"routing": {"after_hours": "forward", "over_limit": "forward", "suspended": "message", "concurrency": "forward", "unavailable": "forward"}, "hours": {"weekly": [], "holidays": []}}`)
	wants("forwarded to itself", ring(aCaller), "<Record", `transcribe="false"`, "kind=voicemail")
	forwarding("")
	wants("nowhere to go", ring(aCaller), "<Record")
	forwarding(haiecOwner)
	wants("after hours, forward wished", ring(aCaller), "<Dial", haiecOwner, "step=forwarded")
	o.row(`select count(*) = 3 from call_logs where route_reason = 'after_hours'`)
	o.row(`select count(*) = 1 from call_logs where is_blocked and end_reason = 'rejected' and usage_id is null`)
}

func TestWithoutAModelCallsAreForwardedAtOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t, noModel)
	got := o.post("/api/voice/incoming?tenant=haiec", ringing(callSID(), aCaller, haiec))
	if !strings.Contains(got.body, "<Dial") || strings.Contains(got.body, "Stream") {
		t.Error(got.body)
	}
	o.row(`select route = 'forward' and route_reason = 'unavailable' from call_logs`)
}

func TestACheckLeavesNoTrace(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	before := o.rows()
	sid := "CA" + strings.Repeat("c", 32)
	if got := o.post("/api/voice/incoming?tenant=haiec", ringing(sid, aCaller, haiec)); got.status != 200 || !strings.Contains(got.body, "<Stream") {
		t.Error(got)
	}
	if got := o.post("/api/voice/status?tenant=haiec", statusOf(sid, "completed", 3)); got.status != 204 {
		t.Error(got)
	}
	if got := o.post("/api/sms/incoming?tenant=haiec", url.Values{"MessageSid": {"SM" + strings.Repeat("c", 32)}, "From": {aCaller}, "To": {haiec}, "Body": {"check"}}); got.status != 200 || !strings.Contains(got.body, "<Response>") {
		t.Error(got)
	}
	o.journal.Settle(t.Context(), prettyQuick)
	if o.rows() != before || o.bridge.Len() != 0 {
		t.Error("a check left something behind")
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	sid := "SM" + strings.Repeat("b", 32)
	text := url.Values{"MessageSid": {sid}, "From": {aCaller}, "To": {haiec}, "Body": {"Can you come \x00 tomorrow?"}, "NumSegments": {"1"}}
	for range 2 {
		if got := o.post("/api/sms/incoming?tenant=haiec", text); got.status != 200 {
			t.Fatal(got)
		}
	}
	o.row(`select count(*) = 1 and bool_and(status = 'received' and contact_id is not null) from messages`)
	o.row(`select count(*) = 1 from jobs where kind = 'sms_answer'`)
	stop := url.Values{"MessageSid": {"SM" + strings.Repeat("d", 32)}, "From": {aCaller}, "To": {haiec}, "Body": {" stop "}}
	o.post("/api/sms/incoming?tenant=haiec", stop)
	o.row(`select count(*) = 1 from messages where opt_out_type = 'stop'`)
}

// TestAForwardThatNobodyTakes: the caller rings, without a model, through to the owner's phone, which nobody answers, and
// hangs up at the tone; another is answered.
func TestAForwardThatNobodyTakes(t *testing.T) {
	t.Parallel()
	o := newOffice(t, noModel)
	for answers, want := range map[sandbox.Answers]string{
		sandbox.AnswersNever: "missed|missed", sandbox.AnswersBusy: "missed|missed", sandbox.AnswersFailed: "missed|missed", sandbox.AnswersPerson: "forwarded|transferred",
	} {
		o.must(o.sandbox.SetPhone(sandbox.Phone{Number: haiecOwner, Answers: answers}))
		call := caller.Ring(t, o.vendor, haiec, aCaller)
		if answers == sandbox.AnswersPerson {
			call.Until("the owner is on the line", func(c sandbox.Call) bool { return c.AnswerAt != nil })
		} else {
			call.Hears("please leave a message")
		}
		call.HangsUp()
		o.row(`select concat_ws('|', end_reason, outcome) = $2 from call_logs where call_sid = $1`, call.SID, want)
	}
}
