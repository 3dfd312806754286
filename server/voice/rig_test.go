package voice_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/voice"
	"kestrel.ai/server/voice/realtime"
	"kestrel.ai/server/voice/wire"
)

func TestMain(m *testing.M) {
	switch os.Getenv(loadRole) {
	case "generator":
		generate()
		return
	case "relay":
		relay()
		return
	case "journal":
		holdJournal()
		return
	}
	goleak.VerifyTestMain(m,
		// fasthttp's own clocks outlive its servers; the tests' Postgres outlives who has started it.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"), goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("os.(*Process).wait"),
	)
}

// loadRole is the variable that makes a process of these tests the load generator, the bare relay, or one that holds a journal.
const loadRole = "KESTREL_VOICE_LOAD"

// rig is a bridge with the real client of the model, a scripted vendor at the other end of its socket, and a telephone
// at the end of Twilio's. Time is synctest's: waiting costs none, and a goroutine that outlives its call fails the test.
type rig struct {
	t      *testing.T
	bridge *voice.Bridge
	vendor *vendor
	desk   *desk
	events *events
	offer  voice.Offer
}

func within(t *testing.T, test func(r *rig), configure ...func(*voice.Options, *agent.Profile)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, vendor: newVendor(t), desk: &desk{}, events: &events{}}
		settings := agent.Defaults("hvac", "HAIEC")
		settings.Greeting, settings.AfterHoursGreeting = "HAIEC, how can I help?", ""
		settings.VAD = agent.VAD{Type: "server_vad", PrefixPaddingMS: 300, SilenceMS: 500, Interruptible: true}
		settings.Limits = agent.Limits{MaxCallSeconds: 7200, SilenceSeconds: 20_000, ConcurrentCalls: 10}
		profile := &agent.Profile{TenantID: uuid.New(), CompanyName: "HAIEC", Timezone: "UTC", Settings: settings}
		model, err := realtime.New(realtime.Config{
			APIKey: "sk-test", BaseURL: "http://vendor/v1", Model: "gpt-realtime-2.1", Transcription: "gpt-4o-mini-transcribe",
			Dial: r.vendor.dial,
		})
		if err != nil {
			t.Fatal(err)
		}
		options := voice.Options{Model: model, Desk: r.desk, Tokens: r, Recorder: r.events, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
		for _, c := range configure {
			c(&options, profile)
		}
		if r.bridge, err = voice.New(options); err != nil {
			t.Fatal(err)
		}
		r.offer = voice.Offer{Profile: profile, Call: agent.Call{ID: uuid.New(), SID: "CA1", From: "+15550100", To: "+15550101", Channel: agent.ChannelCall, StartedAt: time.Now()}}
		test(r)
		synctest.Wait()
		if n := r.bridge.Len(); n != 0 {
			t.Errorf("%d calls are left", n)
		}
	})
}

// Open is voice.Tokens: the token is the CallSID.
func (r *rig) Open(_ context.Context, token string) (voice.Offer, error) {
	if token != r.offer.Call.SID {
		return voice.Offer{}, errors.New("no such token")
	}
	return r.offer, nil
}

func (r *rig) prepare() {
	r.t.Helper()
	if err := r.bridge.Prepare(r.offer); err != nil {
		r.t.Fatal(err)
	}
}

// connected is a call whose greeting has been asked for.
func (r *rig) connected() (*phone, *session) {
	r.t.Helper()
	r.prepare()
	p := r.ring()
	s := r.vendor.session()
	s.expect("response.create")
	return p, s
}

// greeted is a call whose greeting, half a second, was said and heard.
func (r *rig) greeted() (*phone, *session) {
	r.t.Helper()
	p, s := r.connected()
	s.speak("resp_0", "item_0", 500*time.Millisecond, "HAIEC, how can I help?")
	time.Sleep(time.Second)
	return p, s
}

// ended is the record of the call's end.
func (r *rig) ended() voice.Ended {
	r.t.Helper()
	synctest.Wait()
	var e voice.Ended
	for _, event := range r.events.of(voice.CallEnded) {
		if err := json.Unmarshal(event.Data, &e); err != nil {
			r.t.Fatal(err)
		}
	}
	if e.Reason == "" {
		r.t.Fatal("the call has not ended")
	}
	return e
}

// desk records what it was asked, and answers by do.
type desk struct {
	mu   sync.Mutex
	used []string
	do   func(ctx context.Context, name string) agent.Result
}

func (d *desk) Use(ctx context.Context, _ *agent.Profile, _ agent.Call, id, name string, _ json.RawMessage) agent.Result {
	d.mu.Lock()
	d.used = append(d.used, id)
	d.mu.Unlock()
	if d.do != nil {
		return d.do(ctx, name)
	}
	return agent.Result{Output: `{"ok":true}`}
}

func (d *desk) asked() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.used...)
}

type events struct {
	mu  sync.Mutex
	all []voice.Event
}

func (e *events) Record(event voice.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

func (e *events) of(kind string) (found []voice.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range e.all {
		if event.Type == kind {
			found = append(found, event)
		}
	}
	return found
}

func (e *events) turns(t *testing.T) (turns []voice.Turn) {
	t.Helper()
	for _, event := range e.of(voice.CallTurn) {
		var turn voice.Turn
		if err := json.Unmarshal(event.Data, &turn); err != nil {
			t.Fatal(err)
		}
		turns = append(turns, turn)
	}
	return turns
}

// vendor accepts the sockets that the model's client dials.
type vendor struct {
	t        *testing.T
	sessions chan *session
	refuse   bool // the next dials
}

func newVendor(t *testing.T) *vendor { return &vendor{t: t, sessions: make(chan *session, 10)} }

func (v *vendor) dial(context.Context, string, string) (net.Conn, error) {
	if v.refuse {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	go v.accept(theirs)
	return ours, nil
}

func (v *vendor) accept(conn net.Conn) {
	if _, err := ws.Upgrade(struct {
		io.Reader
		io.Writer
	}{bufio.NewReader(conn), conn}); err != nil {
		_ = conn.Close()
		return
	}
	s := &session{t: v.t, conn: wire.Server(conn), in: make(chan message, 100_000)}
	for {
		raw, err := s.conn.Read()
		if err != nil {
			_ = conn.Close()
			close(s.in)
			return
		}
		var m message
		if err := json.Unmarshal(raw, &m); err != nil {
			v.t.Errorf("the vendor got %q", raw)
		}
		m.raw = append(json.RawMessage(nil), raw...)
		if m.Type == "session.update" {
			s.update = m.raw
			s.send(map[string]any{"type": "session.created"})
			s.send(map[string]any{"type": "session.updated"})
			v.sessions <- s
			continue
		}
		if m.Type == "input_audio_buffer.append" {
			s.mu.Lock()
			s.heard = append(s.heard, m.Audio)
			s.mu.Unlock()
			continue
		}
		s.in <- m
	}
}

func (v *vendor) session() *session {
	v.t.Helper()
	select {
	case s := <-v.sessions:
		return s
	case <-time.After(2 * time.Hour):
		v.t.Fatal("the model was not dialled")
		return nil
	}
}

// session is the vendor's end of one session.
type session struct {
	t      *testing.T
	conn   *wire.Conn
	update json.RawMessage
	in     chan message

	mu    sync.Mutex
	heard []string
}

// message is what tests read of the client's events.
type message struct {
	Type         string `json:"type"`
	Audio        string `json:"audio"`
	ItemID       string `json:"item_id"`
	ResponseID   string `json:"response_id"`
	AudioEndMS   int    `json:"audio_end_ms"`
	ContentIndex *int   `json:"content_index"`
	Item         struct {
		Type    string `json:"type"`
		Role    string `json:"role"`
		CallID  string `json:"call_id"`
		Output  string `json:"output"`
		Content []struct {
			Type string `json:"type"`
			Text string `json:"text"`
		} `json:"content"`
	} `json:"item"`
	Response struct {
		Instructions string `json:"instructions"`
		ToolChoice   string `json:"tool_choice"`
	} `json:"response"`
	raw json.RawMessage
}

func (s *session) send(event map[string]any) {
	raw, err := json.Marshal(event)
	if err != nil {
		s.t.Error(err)
	}
	_ = s.conn.Write(raw) // the bridge may have closed by now
}

// expect is the next event that is not audio, which must be of that type.
func (s *session) expect(kind string) message {
	s.t.Helper()
	select {
	case m, ok := <-s.in:
		if !ok {
			s.t.Fatalf("the session was closed instead of sent %s", kind)
		}
		if m.Type != kind {
			s.t.Fatalf("the model got %s instead of %s", m.raw, kind)
		}
		return m
	case <-time.After(time.Hour):
		s.t.Fatalf("the model got no %s", kind)
		return message{}
	}
}

// quiet checks that nothing but audio has come.
func (s *session) quiet() {
	s.t.Helper()
	synctest.Wait()
	select {
	case m := <-s.in:
		s.t.Fatalf("the model got %s", m.raw)
	default:
	}
}

func (s *session) audioHeard() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.heard...)
}

func tone(d time.Duration) string {
	return base64.StdEncoding.EncodeToString(make([]byte, int(d/time.Millisecond)*8))
}

func (s *session) begin(response string) {
	s.send(map[string]any{"type": "response.created", "response": map[string]any{"id": response, "status": "in_progress"}})
}

func (s *session) audio(response, item string, d time.Duration) {
	s.send(map[string]any{"type": "response.output_audio.delta", "event_id": "e", "response_id": response, "item_id": item, "output_index": 0, "content_index": 0, "delta": tone(d)})
}

func (s *session) done(response, item, status, text string) {
	if item != "" {
		s.send(map[string]any{"type": "response.output_audio.done", "response_id": response, "item_id": item})
		s.send(map[string]any{"type": "response.output_audio_transcript.done", "response_id": response, "item_id": item, "transcript": text})
	}
	s.send(map[string]any{"type": "response.done", "response": map[string]any{"id": response, "status": status, "usage": map[string]any{
		"input_token_details": map[string]any{"audio_tokens": 10, "text_tokens": 5}, "output_token_details": map[string]any{"audio_tokens": 20}}}})
}

// speak is a whole response, made faster than it is heard.
func (s *session) speak(response, item string, d time.Duration, text string) {
	s.begin(response)
	for left := d; left > 0; left -= 400 * time.Millisecond {
		s.audio(response, item, min(left, 400*time.Millisecond))
	}
	s.done(response, item, "completed", text)
}

func (s *session) starts(item string, atMS int) {
	s.send(map[string]any{"type": "input_audio_buffer.speech_started", "audio_start_ms": atMS, "item_id": item})
}

func (s *session) stops(item string, atMS int) {
	s.send(map[string]any{"type": "input_audio_buffer.speech_stopped", "audio_end_ms": atMS, "item_id": item})
}

func (s *session) words(item, text string) {
	s.send(map[string]any{"type": "conversation.item.input_audio_transcription.completed", "item_id": item, "content_index": 0, "transcript": text})
}

func (s *session) calls(response, id, name string) {
	s.send(map[string]any{"type": "response.function_call_arguments.done", "response_id": response, "item_id": "f" + id, "call_id": id, "name": name, "arguments": "{}"})
}

func (s *session) fails(code string) {
	s.send(map[string]any{"type": "error", "error": map[string]any{"type": "invalid_request_error", "code": code, "message": "…"}})
}
