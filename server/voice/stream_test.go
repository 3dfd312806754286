package voice

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"
	"time"
)

func parse(message string) (frame, error) {
	var s stream
	var f frame
	err := s.parse([]byte(message), &f)
	return f, err
}

func TestFrames(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]frame{
		// As Twilio sends it, with the keys in another order, with spaces, with an escape, and with a key of next year's.
		`{"event":"media","sequenceNumber":"3","media":{"track":"inbound","chunk":"1","timestamp":"5","payload":"/////w=="},"streamSid":"MZ1"}`: {event: "media", payload: []byte("/////w==")},
		`{"streamSid":"MZ1","media":{"payload":"/////w==","track":"inbound"},"event":"media"}`:                                                  {event: "media", payload: []byte("/////w==")},
		`{ "event": "media", "media": { "payload": "/////w==" } }`:                                                                              {event: "media", payload: []byte("/////w==")},
		`{"event":"media","media":{"payload":"\/\/\/\/\/w=="}}`:                                                                                 {event: "media", payload: []byte("/////w==")},
		`{"event":"media","media":{"payload":"/////w==","loud":[1]}}`:                                                                           {event: "media", payload: []byte("/////w==")},
		`{"event":"media","media":{"track":"outbound","payload":"/////w=="}}`:                                                                   {payload: []byte("/////w==")},
		`{"event":"mark","sequenceNumber":"4","streamSid":"MZ1","mark":{"name":"17"}}`:                                                          {event: "mark", mark: "17"},
		`{"event":"dtmf","streamSid":"MZ1","sequenceNumber":"5","dtmf":{"track":"inbound_track","digit":"#"}}`:                                  {event: "dtmf", digit: "#"},
		`{"event":"stop","sequenceNumber":"5","streamSid":"MZ1","stop":{"accountSid":"AC1","callSid":"CA1"}}`:                                   {event: "stop"},
		`{"event":"connected","protocol":"Call","version":"1.0.0"}`:                                                                             {event: "connected"},
	} {
		got, err := parse(message)
		if err != nil || got.event != want.event || string(got.payload) != string(want.payload) || got.mark != want.mark || got.digit != want.digit {
			t.Errorf("%s: %+v, %v", message, got, err)
		}
	}
}

// TestFramesRefused: what would be passed on into another JSON text is base64 and nothing else.
func TestFramesRefused(t *testing.T) {
	t.Parallel()
	for _, message := range []string{
		``, `{`, `null garbage`, `[]`, `"media"`, `{"event":7}`,
		`{"event":"media"}`, `{"event":"media","media":{}}`, `{"event":"media","media":{"payload":""}}`,
		`{"event":"media","media":{"payload":"AAA"}}`, `{"event":"media","media":{"payload":"A\"}{"}}`, `{"event":"media","media":{"payload":"AA AA==="}}`,
		`{"event":"media","media":{"payload":"====" }}`, `{"event":"media","media":{"payload":"A===" }}`, `{"event":"media","media":{"payload":{"x":"AAAA"}}}`,
		`{"event":"dtmf","dtmf":{"digit":"12"}}`, `{"event":"dtmf","dtmf":{"digit":"]"}}`, `{"event":"dtmf"}`,
		`{"event":"start","start":{"streamSid":"MZ1","callSid":"CA1","mediaFormat":{"encoding":"audio/l16","sampleRate":16000,"channels":1}}}`,
		`{"event":"start","start":{"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}}}`,
	} {
		if f, err := parse(message); !errors.Is(err, errFrame) {
			t.Errorf("%s: %+v, %v", message, f, err)
		}
	}
}

// FuzzFrame: no message makes the codec panic, and a payload that it lets through is base64 that can stand in JSON.
func FuzzFrame(f *testing.F) {
	f.Add([]byte(`{"event":"media","sequenceNumber":"3","media":{"track":"inbound","chunk":"1","timestamp":"5","payload":"/////w=="},"streamSid":"MZ1"}`))
	f.Add([]byte(`{"event":"start","start":{"streamSid":"MZ1","callSid":"CA1","customParameters":{"token":"x"},"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}}}`))
	f.Add([]byte(`{"event":"dtmf","dtmf":{"digit":"1"}}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		var s stream
		var fast, slow frame
		err := s.parse(message, &fast)
		if err != nil {
			return
		}
		if strict := slow.decode(message); fast.event != "" && (strict != nil || slow.event != fast.event || string(slow.payload) != string(fast.payload)) {
			t.Fatalf("%q: %+v, but %+v %v", message, fast, slow, strict)
		}
		if fast.event != "media" {
			return
		}
		if _, err := base64.StdEncoding.DecodeString(string(fast.payload)); err != nil {
			t.Fatalf("%q is not base64: %v", fast.payload, err)
		}
		if !json.Valid([]byte(`{"x":"` + string(fast.payload) + `"}`)) {
			t.Fatalf("%q cannot stand in JSON", fast.payload)
		}
	})
}

func TestPlayback(t *testing.T) {
	t.Parallel()
	var p playback
	a, first := p.to("a")
	if !first {
		t.Error("not first")
	}
	if due := p.sent(a, 160); due {
		t.Error("a mark after 20 ms")
	}
	if due := p.sent(a, 1200); !due {
		t.Error("no mark after 170 ms")
	}
	one := p.mark(a)
	p.sent(a, 800)
	b, _ := p.to("b")
	p.sent(b, 1200)
	two := p.mark(b)
	if len(p.unmarked("")) != 1 || len(p.unmarked("b")) != 0 {
		t.Error("unmarked")
	}
	p.reached(99)
	if a.heard() != 0 {
		t.Error("a mark that was never sent counts")
	}
	p.reached(one)
	if a.heard() != 170*time.Millisecond || b.heard() != 0 || !p.playing() {
		t.Errorf("%v %v", a.heard(), b.heard())
	}
	p.end("b")
	if heard := p.reached(two); len(heard) != 1 || heard[0] != b {
		t.Errorf("%v", heard)
	}
	cut := p.cut()
	if len(cut) != 1 || cut[0] != a || p.playing() {
		t.Errorf("%v", cut)
	}
	p.reached(two)
}
