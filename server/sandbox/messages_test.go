package sandbox_test

import (
	"testing"

	api "github.com/twilio/twilio-go/rest/api/v2010"

	"kestrel.ai/server/sandbox"
)

// texting is a line whose number also has an SMS webhook.
func texting(t *testing.T, n sandbox.Number, answers map[string]string) (*rig, *kestrel) {
	t.Helper()
	r, k := line(t, sandbox.Options{}, answers)
	n.PhoneNumber, n.SMSURL, n.SMSFallbackURL = owner, k.url+"/sms", k.url+"/sms-fallback"
	if _, err := r.sandbox.AddNumber(n); err != nil {
		t.Fatal(err)
	}
	return r, k
}

func text(to string) *api.CreateMessageParams {
	return (&api.CreateMessageParams{}).SetTo(to).SetFrom(owner).SetBody("Your appointment is at 3")
}

func (r *rig) receives(body string) sandbox.Message {
	r.t.Helper()
	var m sandbox.Message
	r.call("POST", "/_sandbox/messages", `{"to":"`+owner+`","from":"`+caller1+`","body":"`+body+`"}`, 201, &m)
	return m
}

func TestMessageStatusCallbacks(t *testing.T) {
	t.Parallel()
	r, k := texting(t, sandbox.Number{}, nil)
	sent, err := r.twilio.CreateMessage(text(caller1).SetStatusCallback(k.url + "/delivery"))
	if err != nil || *sent.Status != "queued" {
		t.Fatalf("%v %+v", err, sent)
	}
	eventually(t, "three callbacks", func() bool { return len(k.got("/delivery")) == 3 })
	for i, want := range []string{"queued", "sent", "delivered"} {
		if got := k.got("/delivery")[i]; got.Get("MessageStatus") != want || got.Get("MessageSid") != *sent.Sid || got.Get("To") != caller1 {
			t.Errorf("callback %d: %v", i, got)
		}
	}
}

func TestUnregisteredNumberDeliversNothing(t *testing.T) {
	t.Parallel()
	r, k := texting(t, sandbox.Number{}, nil)
	r.call("POST", "/_sandbox/numbers/"+owner, `{"a2p":"unregistered"}`, 200, nil)
	r.call("POST", "/_sandbox/numbers/"+owner, `{"a2p":"maybe"}`, 422, nil)
	r.call("POST", "/_sandbox/numbers/"+caller1, `{}`, 404, nil)
	sent, err := r.twilio.CreateMessage(text(caller1).SetStatusCallback(k.url + "/delivery"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "three callbacks", func() bool { return len(k.got("/delivery")) == 3 })
	if got := k.got("/delivery")[2]; got.Get("MessageStatus") != "undelivered" || got.Get("ErrorCode") != "30034" {
		t.Errorf("%v", got)
	}
	if m, err := r.twilio.FetchMessage(*sent.Sid, nil); err != nil || *m.Status != "undelivered" || *m.ErrorCode != 30034 {
		t.Errorf("%v %+v", err, m)
	}
	r.call("POST", "/_sandbox/numbers/"+owner, `{"a2p":"registered"}`, 200, nil)
	if _, err := r.twilio.CreateMessage(text(caller1)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "delivery", func() bool { return r.sandbox.Messages()[0].Status == "delivered" })
}

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	for service, types := range map[string][]string{"": {"", "", ""}, "MG0123456789abcdef0123456789abcdef": {"STOP", "HELP", "START"}} {
		r, k := texting(t, sandbox.Number{MessagingServiceSID: service}, nil)
		r.receives(" stop ")
		if _, err := r.twilio.CreateMessage(text(caller1)); err == nil {
			t.Error("a message went to one who said STOP")
		} else {
			wantTwilioCode(t, err, 400, 21610)
		}
		if _, err := r.twilio.CreateMessage(text(oncall)); err != nil {
			t.Errorf("others are opted out too: %v", err)
		}
		r.receives("HELP")
		r.receives("Start")
		if _, err := r.twilio.CreateMessage(text(caller1)); err != nil {
			t.Errorf("after START: %v", err)
		}
		for i, want := range types {
			if got := k.got("/sms")[i]; got.Get("OptOutType") != want || got.Get("MessagingServiceSid") != service {
				t.Errorf("webhook %d: %v", i, got)
			}
		}
		replies := 0
		for _, m := range r.sandbox.Messages() {
			if m.Direction == "outbound-reply" {
				replies++
			}
		}
		if replies != 2 { // to STOP and START; nothing goes to one who has opted out
			t.Errorf("%d replies", replies)
		}
	}
}

func TestMessageTwiML(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers map[string]string
		replies []string // newest first
		code    int
	}{
		"two":      {map[string]string{"/sms": "<Response><Message>One</Message><Message><Body>Two</Body></Message></Response>"}, []string{"Two", "One"}, 0},
		"none":     {map[string]string{"/sms": "<Response/>"}, nil, 0},
		"fallback": {map[string]string{"/sms": "broken", "/sms-fallback": "<Response><Message>Later</Message></Response>"}, []string{"Later"}, 0},
		"voice":    {map[string]string{"/sms": "<Response><Say>Hi</Say></Response>", "/sms-fallback": "broken"}, nil, 11200},
	} {
		r, _ := texting(t, sandbox.Number{}, c.answers)
		m := r.receives("Hi")
		var got []string
		for _, reply := range r.sandbox.Messages() {
			if reply.Direction == "outbound-reply" {
				got = append(got, reply.Body)
			}
		}
		if len(got) != len(c.replies) || m.ErrorCode != c.code {
			t.Errorf("%s: %q, code %d", name, got, m.ErrorCode)
			continue
		}
		for i := range got {
			if got[i] != c.replies[i] {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
}
