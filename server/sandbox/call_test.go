package sandbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twilio/twilio-go/client"

	"kestrel.ai/server/sandbox"
	"kestrel.ai/server/sandbox/caller"
)

// kestrel is a receiver of webhooks and streams whose answers the test gives. It refuses what Twilio's own code would.
type kestrel struct {
	t        *testing.T
	url      string
	mu       sync.Mutex
	answers  map[string]string // path → TwiML
	received []webhook
	stream   func(*server)
	messages *jsonschema.Schema // of a media stream
}

type webhook struct {
	path   string
	fields url.Values
}

const caller1 = "+16175550123"

// line is a sandbox whose number haiec has its webhooks at a kestrel.
func line(t *testing.T, o sandbox.Options, answers map[string]string) (*rig, *kestrel) {
	t.Helper()
	messages, err := jsonschema.NewCompiler().Compile("testdata/media.json")
	if err != nil {
		t.Fatal(err)
	}
	k := &kestrel{t: t, answers: answers, messages: messages}
	validator := client.NewRequestValidator(sandbox.DefaultAuthToken)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		fields := map[string]string{}
		for key := range r.PostForm {
			fields[key] = r.PostForm.Get(key)
		}
		target := k.url + r.URL.RequestURI()
		if r.URL.Path == "/stream" {
			target = "ws" + strings.TrimPrefix(target, "http")
		}
		if !validator.Validate(target, fields, r.Header.Get("X-Twilio-Signature")) {
			t.Errorf("%s is not signed", target)
		}
		if r.URL.Path == "/stream" {
			k.serveStream(w, r)
			return
		}
		k.mu.Lock()
		k.received = append(k.received, webhook{r.URL.RequestURI(), r.Form})
		answer, known := k.answers[r.URL.Path]
		k.mu.Unlock()
		switch {
		case known && strings.HasPrefix(answer, "<"):
			w.Header().Set("Content-Type", "text/xml")
			fmt.Fprint(w, answer)
		case known:
			http.Error(w, answer, http.StatusInternalServerError)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	k.url = receiver.URL
	t.Cleanup(receiver.Close)
	r := start(t, o)
	_, err = r.sandbox.AddNumber(sandbox.Number{
		PhoneNumber: haiec, VoiceURL: k.url + "/voice", VoiceFallbackURL: k.url + "/fallback", VoiceFallbackMethod: "GET", StatusCallback: k.url + "/status",
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, k
}

func (k *kestrel) got(path string) []url.Values {
	k.mu.Lock()
	defer k.mu.Unlock()
	var found []url.Values
	for _, w := range k.received {
		if w.path == path || strings.HasPrefix(w.path, path+"?") {
			found = append(found, w.fields)
		}
	}
	return found
}

// twiml is a document that connects to the kestrel's stream, and then does the rest.
func (k *kestrel) twiml(rest string) string {
	return `<Response><Connect><Stream url="` + "ws" + strings.TrimPrefix(k.url, "http") + `/stream"><Parameter name="tenant" value="haiec"/></Stream></Connect>` + rest + `</Response>`
}

func (k *kestrel) answer(path, twiml string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.answers == nil {
		k.answers = map[string]string{}
	}
	k.answers[path] = twiml
}

// server is the kestrel's end of a media stream.
type server struct {
	t    *testing.T
	ctx  context.Context
	conn *websocket.Conn
	sid  string
	k    *kestrel
}

type message struct {
	Event          string `json:"event"`
	SequenceNumber string `json:"sequenceNumber"`
	StreamSID      string `json:"streamSid"`
	Start          struct {
		CustomParameters map[string]string `json:"customParameters"`
		CallSID          string            `json:"callSid"`
	} `json:"start"`
	Media struct {
		Chunk     string `json:"chunk"`
		Timestamp string `json:"timestamp"`
		Payload   []byte `json:"payload"`
	} `json:"media"`
	DTMF struct {
		Digit string `json:"digit"`
	} `json:"dtmf"`
	Mark struct {
		Name string `json:"name"`
	} `json:"mark"`
}

func (k *kestrel) serveStream(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		k.t.Error(err)
		return
	}
	defer func() { _ = conn.CloseNow() }()
	s := &server{t: k.t, ctx: r.Context(), conn: conn, k: k}
	if m, ok := s.next(); !ok || m.Event != "connected" {
		k.t.Errorf("the first message is %+v", m)
	}
	if m, ok := s.next(); !ok || m.Event != "start" || m.Start.CustomParameters["tenant"] != "haiec" || m.SequenceNumber != "1" {
		k.t.Errorf("the second message is %+v", m)
	} else {
		s.sid = m.StreamSID
	}
	k.mu.Lock()
	run := k.stream
	k.mu.Unlock()
	run(s)
}

// next is the next message; false when the stream is closed.
func (s *server) next() (m message, ok bool) {
	_, raw, err := s.conn.Read(s.ctx)
	if err != nil {
		return m, false
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		s.t.Error(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		s.t.Error(err)
	}
	if err := s.k.messages.Validate(value); err != nil {
		s.t.Errorf("%s: %v", raw, err)
	}
	return m, true
}

func (s *server) send(event string, rest map[string]any) {
	m := map[string]any{"event": event, "streamSid": s.sid}
	for k, v := range rest {
		m[k] = v
	}
	raw, err := json.Marshal(m)
	if err != nil {
		s.t.Error(err)
	}
	_ = s.conn.Write(s.ctx, websocket.MessageText, raw)
}

func (s *server) play(audio []byte) {
	s.send("media", map[string]any{"media": map[string]any{"payload": audio}})
}
func (s *server) mark(name string) {
	s.send("mark", map[string]any{"mark": map[string]any{"name": name}})
}

// until reads until a message of this kind comes.
func (s *server) until(event string) (message, bool) {
	for {
		m, ok := s.next()
		if !ok || m.Event == event {
			return m, ok
		}
	}
}

func TestConversation(t *testing.T) {
	t.Parallel()
	r, k := line(t, sandbox.Options{Speed: 4}, nil)
	k.answer("/voice", k.twiml(`<Say>Goodbye now</Say><Hangup/>`))
	k.stream = func(s *server) {
		s.play(speak("How can I help?"))
		s.mark("greeting")
		s.until("mark")
		var ear ear
		for !strings.Contains(ear.text, "3 pm") {
			m, ok := s.next()
			if !ok {
				t.Error("the stream ended early")
				return
			}
			ear.hear(m.Media.Payload)
		}
		s.play(speak("You are booked."))
		s.mark("booked")
		s.until("mark")
		_ = s.conn.Close(websocket.StatusNormalClosure, "")
	}
	call := caller.Ring(t, r.url, haiec, caller1)
	call.Hears("how can I help")
	call.Says("book me tomorrow at 3 pm")
	call.Hears("you are booked")
	call.Hears("goodbye now")
	ended := call.Ends()
	if ended.Status != "completed" || ended.EndReason != sandbox.EndVerb || len(ended.Errors) != 0 || ended.Streams[0].EndReason != "server_closed" {
		t.Errorf("the call ended as %+v", ended)
	}
	eventually(t, "a status callback", func() bool { return len(k.got("/status")) == 1 })
	if status := k.got("/status"); len(status) != 1 || status[0].Get("CallStatus") != "completed" || status[0].Get("CallDuration") == "" || status[0].Get("CallSid") != ended.SID {
		t.Errorf("status callbacks: %v", status)
	}
}
