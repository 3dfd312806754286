package voice_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/sandbox"
)

const refusedLine = `msg="webhook refused"`

func TestHostileWebhooks(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.company("acme", "+16175550199", "")
	before := o.rows()
	incoming, status := "/api/voice/incoming?tenant=haiec", "/api/voice/status?tenant=haiec"
	text := url.Values{"MessageSid": {"SM" + strings.Repeat("a", 32)}, "From": {aCaller}, "To": {haiec}, "Body": {"hello"}}
	call := ringing(callSID(), aCaller, haiec)
	huge := ringing(callSID(), aCaller, haiec)
	huge.Set("CallerName", strings.Repeat("x", 70<<10))
	for name, c := range map[string]struct {
		target string
		form   url.Values
		spoil  func(*http.Request)
		want   int
	}{
		"no signature":            {incoming, call, func(r *http.Request) { r.Header.Del("X-Twilio-Signature") }, 403},
		"wrong signature":         {incoming, call, func(r *http.Request) { r.Header.Set("X-Twilio-Signature", "c2lnbmVk") }, 403},
		"another query":           {incoming, call, func(r *http.Request) { r.URL.RawQuery = "tenant=haiec&step=x" }, 403},
		"another path":            {incoming, call, func(r *http.Request) { r.URL.Path = "/api/voice/status" }, 403},
		"another tenant's slug":   {"/api/voice/incoming?tenant=acme", call, nil, 403},
		"its status too":          {"/api/voice/status?tenant=acme", statusOf(callSID(), "completed", 9), nil, 403},
		"its text too":            {"/api/sms/incoming?tenant=acme", text, nil, 403},
		"no slug":                 {"/api/voice/incoming", call, nil, 403},
		"unknown slug":            {"/api/voice/incoming?tenant=nobody", call, nil, 403},
		"unknown number":          {incoming, ringing(callSID(), aCaller, "+16175550000"), nil, 404},
		"GET":                     {incoming, call, func(r *http.Request) { r.Method = http.MethodGet }, 405},
		"PUT":                     {status, call, func(r *http.Request) { r.Method = http.MethodPut }, 405},
		"JSON":                    {incoming, call, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 400},
		"no CallSid":              {incoming, url.Values{"To": {haiec}, "From": {aCaller}}, nil, 400},
		"a CallSid that is none":  {incoming, ringing("CA1' or true", aCaller, haiec), nil, 400},
		"a status that is none":   {status, statusOf(callSID(), "exploded", 0), nil, 400},
		"oversized":               {incoming, huge, nil, 413},
		"a recording that is not": {"/api/voice/recording?tenant=haiec", url.Values{"CallSid": {callSID()}, "RecordingSid": {"../../x"}}, nil, 400},
	} {
		alter := []func(*http.Request){}
		if c.spoil != nil {
			alter = append(alter, c.spoil)
		}
		logged := o.log.count(refusedLine)
		if got := o.post(c.target, c.form, alter...); got.status != c.want || strings.Contains(got.body, "Response") {
			t.Errorf("%s: %d %s, want %d", name, got.status, got.body, c.want)
		}
		if n := o.log.count(refusedLine) - logged; n != 1 {
			t.Errorf("%s: logged %d times", name, n)
		}
	}
	if malformed := o.post(incoming, url.Values{}, func(r *http.Request) { r.Body = http.NoBody; r.ContentLength = 0 }); malformed.status != 403 && malformed.status != 400 {
		t.Errorf("an empty form: %d", malformed.status)
	}
	if got := o.announce(incoming, 2<<20); got != 413 {
		t.Errorf("oversized for anything: %d", got)
	}
	if n := o.bridge.Len(); n != 0 {
		t.Errorf("%d calls were prepared", n)
	}
	o.journal.Settle(t.Context(), prettyQuick)
	if after := o.rows(); after != before {
		t.Errorf("%d rows were written", after-before)
	}
}

// TestEveryWebhookRefuses: what is posted wrongly, unsigned, or about another tenant's number changes nothing, at any of them.
func TestEveryWebhookRefuses(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.company("acme", "+16175550199", "")
	sid := callSID()
	o.post("/api/voice/status?tenant=haiec", statusOf(sid, "ringing", 0))
	o.journal.Settle(t.Context(), prettyQuick)
	call := statusOf(sid, "completed", 60)
	text := url.Values{"MessageSid": {"SM" + strings.Repeat("a", 32)}, "From": {haiec}, "To": {haiec}, "Body": {"hello"}, "MessageStatus": {"delivered"}}
	made := statusOf(sid, "completed", 0)
	made.Set("RecordingSid", "RE"+strings.Repeat("a", 32))
	made.Set("RecordingStatus", "completed")
	made.Set("RecordingDuration", "9")
	const bySlugAlone = 0 // these name no number of ours: which tenant it is stands in the URL that we made
	for _, hook := range []struct {
		path      string
		form      url.Values
		otherSlug int
	}{
		{"/api/voice/incoming", ringing(callSID(), aCaller, haiec), 403},
		{"/api/voice/status", call, 403},
		{"/api/voice/next", call, 403},
		{"/api/voice/whisper", ringing(callSID(), haiec, haiecOwner), bySlugAlone},
		{"/api/voice/recording", made, bySlugAlone},
		{"/api/sms/incoming", text, 403},
		{"/api/sms/status", text, 403},
	} {
		method := func(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }
		cases := []struct {
			name, slug string
			spoil      func(*http.Request)
			want       int
		}{
			{"GET", "haiec", method(http.MethodGet), 405},
			{"PUT", "haiec", method(http.MethodPut), 405},
			{"DELETE", "haiec", method(http.MethodDelete), 405},
			{"unsigned", "haiec", func(r *http.Request) { r.Header.Del("X-Twilio-Signature") }, 403},
			{"another's signature", "haiec", func(r *http.Request) {
				r.Header.Set("X-Twilio-Signature", twilio.Sign("another account's token", o.base+hook.path+"?tenant=haiec", hook.form))
			}, 403},
			{"a slug that nobody has", "nobody", nil, 404},
			{"another tenant's slug", "acme", nil, hook.otherSlug},
		}
		if hook.otherSlug != bySlugAlone {
			cases[5].want = 403 // the number's tenant is known, and has no such slug
		}
		for _, c := range cases {
			if c.want == 0 {
				continue
			}
			alter := []func(*http.Request){}
			if c.spoil != nil {
				alter = append(alter, c.spoil)
			}
			logged := o.log.count(refusedLine + " path=" + hook.path)
			if got := o.post(hook.path+"?tenant="+c.slug, hook.form, alter...); got.status != c.want || strings.Contains(got.body, "Response") {
				t.Errorf("%s, %s: %d %s, want %d", hook.path, c.name, got.status, got.body, c.want)
			}
			if n := o.log.count(refusedLine+" path="+hook.path) - logged; n != 1 {
				t.Errorf("%s, %s: logged %d times", hook.path, c.name, n)
			}
		}
	}
	// A signed URL of another tenant's about this call: it is taken down nowhere.
	o.post("/api/voice/recording?tenant=acme&kind=call", made)
	o.post("/api/voice/recording?tenant=acme&kind=voicemail", made)
	o.journal.Settle(t.Context(), prettyQuick)
	o.row(`select count(*) = 1 and bool_and(status = 'ringing' and recording_sid is null and voicemail_sid is null and usage_id is null) from call_logs`)
	o.row(`select count(*) = 0 from call_messages`)
	o.row(`select bool_and(calls = 0) from tenant_usage`)
}

// TestHostileHandshakes: a media stream is let in by Twilio's signature before it is a websocket, and by its token after.
func TestHostileHandshakes(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	stream := "ws" + strings.TrimPrefix(o.base, "http") + "/api/voice/stream"
	signed := twilio.Sign(sandbox.DefaultAuthToken, stream, nil)
	for name, c := range map[string]struct {
		method, target, signature string
		want                      int
	}{
		"no signature":             {"GET", "/api/voice/stream", "", 403},
		"wrong signature":          {"GET", "/api/voice/stream", "c2lnbmVk", 403},
		"another account's":        {"GET", "/api/voice/stream", twilio.Sign("another token", stream, nil), 403},
		"of the page, not the wss": {"GET", "/api/voice/stream", twilio.Sign(sandbox.DefaultAuthToken, o.base+"/api/voice/stream", nil), 403},
		"a webhook's":              {"GET", "/api/voice/stream", twilio.Sign(sandbox.DefaultAuthToken, o.base+"/api/voice/incoming?tenant=haiec", nil), 403},
		"with a query":             {"GET", "/api/voice/stream?x=1", signed, 403},
		"POST":                     {"POST", "/api/voice/stream", "", 403},
		"POST, signed":             {"POST", "/api/voice/stream", signed, 426},
	} {
		logged := o.log.count(refusedLine + " path=/api/voice/stream")
		if got := o.shake(c.method, c.target, c.signature); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
		if n := o.log.count(refusedLine+" path=/api/voice/stream") - logged; n != 1 {
			t.Errorf("%s: logged %d times", name, n)
		}
	}
	if got := o.shake("GET", "/api/voice/stream", signed); got != 101 {
		t.Errorf("Twilio's: %d", got)
	}
	// Twilio may name the default port or leave it out, but it is wss it signs.
	if !twilio.Verify("t", "wss://api.kestrel.ai/api/voice/stream", nil, twilio.Sign("t", "wss://api.kestrel.ai:443/api/voice/stream", nil)) {
		t.Error("wss with its port")
	}
}

// shake opens the media websocket by hand and returns the status of the answer.
func (o *office) shake(method, target, signature string) int {
	o.t.Helper()
	base, err := url.Parse(o.base)
	o.must(err)
	conn, err := net.Dial("tcp", "127.0.0.1:"+base.Port())
	o.must(err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Twilio-Signature: %s\r\nContent-Length: 0\r\n\r\n", method, target, base.Host, signature)
	o.must(err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	o.must(err)
	_ = resp.Body.Close()
	return resp.StatusCode
}
