package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kestrel.ai/server/sandbox"
	"kestrel.ai/server/sandbox/caller"
)

// fast is a line on which a minute takes three seconds.
func fast(t *testing.T, answers map[string]string) (*rig, *kestrel) {
	t.Helper()
	for path, body := range answers {
		if strings.HasPrefix(body, "<") {
			answers[path] = "<Response>" + body + "</Response>"
		}
	}
	return line(t, sandbox.Options{Speed: 20}, answers)
}

func TestVerbs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers             map[string]string
		does                []sandbox.Line
		hears, ends, status string
	}{
		"say, pause, end":     {map[string]string{"/voice": `<Say loop="2">Hi there</Say><Pause length="2"/><Say>Bye</Say>`}, nil, "Hi there Hi there Bye", sandbox.EndTwiML, "completed"},
		"hangup":              {map[string]string{"/voice": `<Say>One</Say><Hangup/><Say>Two</Say>`}, nil, "One", sandbox.EndVerb, "completed"},
		"nothing":             {map[string]string{"/voice": `<Pause length="1"/>`}, nil, "", sandbox.EndTwiML, "completed"},
		"reject":              {map[string]string{"/voice": `<Reject/><Say>No</Say>`}, nil, "", sandbox.EndRejected, "no-answer"},
		"reject as busy":      {map[string]string{"/voice": `<Reject reason="busy"/>`}, nil, "", sandbox.EndRejected, "busy"},
		"relative redirect":   {map[string]string{"/voice": `<Say>One</Say><Redirect>next?a=1&amp;b=2</Redirect><Say>No</Say>`, "/next": `<Say>Two</Say>`}, nil, "One Two", sandbox.EndTwiML, "completed"},
		"webhook fails":       {map[string]string{"/voice": "broken", "/fallback": `<Say>Fallback</Say>`}, nil, "Fallback", sandbox.EndTwiML, "completed"},
		"unknown verb":        {map[string]string{"/voice": `<Sing>La</Sing>`, "/fallback": `<Say>Fallback</Say>`}, nil, "Fallback", sandbox.EndTwiML, "completed"},
		"both fail":           {map[string]string{"/voice": "broken", "/fallback": "broken"}, nil, "", sandbox.EndApplication, "failed"},
		"fails in mid-call":   {map[string]string{"/voice": `<Say>One</Say><Redirect>/gone</Redirect>`, "/gone": "broken", "/fallback": "broken"}, nil, "One We are sorry, an application error has occurred. Goodbye.", sandbox.EndApplication, "completed"},
		"gather keys":         {map[string]string{"/voice": `<Gather numDigits="1" action="/got"><Say>Press one</Say></Gather><Say>No</Say>`, "/got": `<Say>Thanks</Say>`}, []sandbox.Line{{Digits: "1"}}, "Press one Thanks", sandbox.EndTwiML, "completed"},
		"gather, hash ends":   {map[string]string{"/voice": `<Gather action="/got"><Say>Code</Say></Gather>`, "/got": `<Say>Thanks</Say>`}, []sandbox.Line{{Digits: "123#"}}, "Code Thanks", sandbox.EndTwiML, "completed"},
		"gather speech":       {map[string]string{"/voice": `<Gather input="speech dtmf" speechTimeout="auto" action="/got"><Say>Name</Say></Gather>`, "/got": `<Say>Thanks</Say>`}, []sandbox.Line{{Text: "Ada Lovelace"}}, "Name Thanks", sandbox.EndTwiML, "completed"},
		"gather nothing":      {map[string]string{"/voice": `<Gather timeout="2" action="/got"><Say>Press one</Say></Gather><Say>Nothing</Say>`, "/got": `<Say>No</Say>`}, nil, "Press one Nothing", sandbox.EndTwiML, "completed"},
		"record, then action": {map[string]string{"/voice": `<Say>Speak</Say><Record maxLength="30" timeout="2" action="/got"/>`, "/got": `<Say>Saved</Say>`}, []sandbox.Line{{Text: "Please call me back"}}, "Speak Saved", sandbox.EndTwiML, "completed"},
		"record nothing":      {map[string]string{"/voice": `<Record timeout="2" action="/got"/><Say>Empty</Say>`, "/got": `<Say>No</Say>`}, nil, "Empty", sandbox.EndTwiML, "completed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, k := fast(t, c.answers)
			ended := caller.Ring(t, r.url, haiec, caller1, caller.Saying(c.does...)).Ends()
			if ended.HeardText() != c.hears || ended.EndReason != c.ends || ended.Status != c.status {
				t.Errorf("heard %q, ended as %s (%s), want %q, %s (%s)", ended.HeardText(), ended.EndReason, ended.Status, c.hears, c.ends, c.status)
			}
			eventually(t, "one status callback", func() bool { return len(k.got("/status")) == 1 })
			if got := k.got("/status")[0]; got.Get("CallStatus") != c.status || got.Get("Direction") != "inbound" || got.Get("SequenceNumber") != "0" {
				t.Errorf("status callback %v", got)
			}
		})
	}
}

func TestWhatWebhooksSay(t *testing.T) {
	t.Parallel()
	r, k := fast(t, map[string]string{"/voice": `<Gather numDigits="2" action="/got?step=2"><Say>Keys</Say></Gather>`, "/got": "broken", "/fallback": `<Gather input="speech" action="/spoken"><Say>Name</Say></Gather>`, "/spoken": `<Say>Done</Say>`})
	caller.Ring(t, r.url, haiec, caller1, caller.Saying(sandbox.Line{Digits: "12"}, sandbox.Line{Text: "Ada Lovelace"})).Ends()
	first, got, fallback, spoken := k.got("/voice")[0], k.got("/got")[0], k.got("/fallback")[0], k.got("/spoken")[0]
	if first.Get("CallStatus") != "ringing" || first.Get("To") != haiec || first.Get("From") != caller1 || first.Get("AccountSid") != sandbox.DefaultAccountSID {
		t.Errorf("voice: %v", first)
	}
	if got.Get("Digits") != "12" || got.Get("CallStatus") != "in-progress" || got.Get("step") != "2" {
		t.Errorf("action: %v", got)
	}
	if fallback.Get("ErrorCode") != "11200" || fallback.Get("ErrorUrl") != k.url+"/got?step=2" {
		t.Errorf("fallback: %v", fallback)
	}
	if spoken.Get("SpeechResult") != "Ada Lovelace" || spoken.Get("Confidence") == "" {
		t.Errorf("speech: %v", spoken)
	}
}

// TestWebhookTimeout: who takes too long is given up, and the fallback is asked, once.
func TestWebhookTimeout(t *testing.T) {
	t.Parallel()
	r, k := line(t, sandbox.Options{Speed: 50, WebhookTimeout: 200 * time.Millisecond}, map[string]string{"/fallback": "<Response><Say>Sorry</Say></Response>"})
	hangs := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hangs }))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(hangs) })
	const number = "+18573825170"
	if _, err := r.sandbox.AddNumber(sandbox.Number{PhoneNumber: number, VoiceURL: slow.URL, VoiceFallbackURL: k.url + "/fallback"}); err != nil {
		t.Fatal(err)
	}
	ended := caller.Ring(t, r.url, number, caller1).Ends()
	if len(ended.Errors) != 1 || ended.Errors[0].Code != 11200 || ended.HeardText() != "Sorry" {
		t.Errorf("%v, heard %q", ended.Errors, ended.HeardText())
	}
	if asked := k.got("/fallback"); len(asked) != 1 || asked[0].Get("ErrorCode") != "11200" || asked[0].Get("ErrorUrl") != slow.URL {
		t.Errorf("%v", asked)
	}
}

func TestTwiMLErrors(t *testing.T) {
	t.Parallel()
	for document, code := range map[string]int{
		"hello":                                                       12100,
		"<Response>":                                                  12100,
		"<!DOCTYPE x><Response/>":                                     12100,
		"<response/>":                                                 12102,
		"<Response>text</Response>":                                   12200,
		"<Response><Sing/></Response>":                                12200,
		`<Response><Say loud="1"/></Response>`:                        12200,
		`<Response><Say>a<Pause/></Say></Response>`:                   12200,
		`<Response><Hangup>now</Hangup></Response>`:                   12200,
		`<Response><Gather method="PUT"/></Response>`:                 12200,
		`<Response><Pause length="-1"/></Response>`:                   12200,
		`<Response><Dial record="yes">+16175550100</Dial></Response>`: 12200,
		`<Response><Connect><Stream url="wss://x/y" statusCallback="ftp://x"/></Connect></Response>`: 12200,
		`<Response><Say voice="Polly.Joanna">Hi</Say></Response>`:                                    12200,
		`<Response><Gather hints="yes, no"/></Response>`:                                             12200,
		`<Response><Record transcribe="true"/></Response>`:                                           12200,
		`<Response><Record trim="trim-silence"/></Response>`:                                         12200,
		`<Response><Enqueue>support</Enqueue></Response>`:                                            12200,
		`<Response><Connect/></Response>`:                                                            12200,
		`<Response><Dial/></Response>`:                                                               13214,
		`<Response><Dial>911</Dial></Response>`:                                                      13223,
		`<Response><Dial><Conference/></Dial></Response>`:                                            13250,
	} {
		r, _ := line(t, sandbox.Options{Speed: 50}, map[string]string{"/voice": document, "/fallback": "<Response><Reject/></Response>"})
		if document == "hello" {
			continue // the receiver of these tests cannot send it as XML
		}
		ended := caller.Ring(t, r.url, haiec, caller1).Ends()
		if len(ended.Errors) != 1 || ended.Errors[0].Code != code {
			t.Errorf("%s: %v, want %d", document, ended.Errors, code)
		}
	}
}
