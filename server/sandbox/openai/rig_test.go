package openai_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"kestrel.ai/server/sandbox/openai"
	"kestrel.ai/server/sandbox/speech"
)

// schemas are the published events, compiled once.
var schemas = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	raw, err := os.ReadFile("testdata/realtime.json")
	if err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("realtime.json", doc); err != nil {
		return nil, err
	}
	out := map[string]*jsonschema.Schema{}
	for side, events := range map[string]string{"client": "Client", "server": "Server"} {
		union := doc.(map[string]any)["$defs"].(map[string]any)[events].(map[string]any)["anyOf"].([]any)
		for _, one := range union {
			ref := one.(map[string]any)["$ref"].(string)
			name := strings.TrimPrefix(ref, "#/$defs/")
			event := doc.(map[string]any)["$defs"].(map[string]any)[name].(map[string]any)["properties"].(map[string]any)["type"].(map[string]any)["const"].(string)
			if out[side+" "+event], err = c.Compile("realtime.json" + ref); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
})

func holdTo(t *testing.T, side string, message []byte) {
	t.Helper()
	all, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(message))
	if err != nil {
		t.Fatalf("%s sent no JSON: %s", side, message)
	}
	kind, _ := value.(map[string]any)["type"].(string)
	schema := all[side+" "+kind]
	if schema == nil {
		t.Errorf("%s event %q is not a published one", side, kind)
		return
	}
	held.Store(side+" "+kind, true)
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s event %s: %v\n%s", side, kind, err, message)
	}
}

const key = "sk-test"

// host is a server on a socket.
type host struct {
	*openai.Server
	url string
}

func serve(t *testing.T, o openai.Options) *host {
	t.Helper()
	o.Key = key
	if o.Pace == 0 {
		o.Pace = time.Nanosecond
	}
	s := openai.New(o)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/realtime" {
			s.Realtime(w, r)
			return
		}
		s.Responses(w, r)
	}))
	t.Cleanup(func() { s.Close(); server.Close() })
	return &host{Server: s, url: server.URL}
}

type event map[string]any

func (e event) str(path ...string) string {
	var v any = map[string]any(e)
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	s, _ := v.(string)
	return s
}

// client is one realtime session. Both sides' events are held to the published schemas.
type client struct {
	t    *testing.T
	conn *websocket.Conn
	// broken lets the client send what is not in the schema.
	broken bool
	seen   []event
}

func (h *host) dial(t *testing.T, model string) *client {
	t.Helper()
	conn, resp, err := websocket.Dial(t.Context(), h.url+"/v1/realtime?model="+model, &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + key}}})
	if err != nil {
		t.Fatal(err, resp)
	}
	conn.SetReadLimit(1 << 22)
	c := &client{t: t, conn: conn}
	t.Cleanup(func() { conn.CloseNow() })
	return c
}

// open dials and configures a session as a phone call needs it; change is laid over the session.
func (h *host) open(t *testing.T, change map[string]any) *client {
	t.Helper()
	c := h.dial(t, "gpt-realtime-2.1")
	c.until("session.created")
	session := map[string]any{"type": "realtime", "output_modalities": []string{"audio"}, "audio": map[string]any{
		"input":  map[string]any{"format": map[string]any{"type": "audio/pcmu"}, "transcription": map[string]any{"model": "gpt-4o-mini-transcribe"}},
		"output": map[string]any{"format": map[string]any{"type": "audio/pcmu"}, "voice": "marin"},
	}}
	maps.Copy(session, change)
	c.send(map[string]any{"type": "session.update", "session": session})
	c.until("session.updated")
	return c
}

func (c *client) send(e map[string]any) {
	c.t.Helper()
	raw, err := json.Marshal(e)
	if err != nil {
		c.t.Fatal(err)
	}
	if !c.broken {
		holdTo(c.t, "client", raw)
	}
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, raw); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) next() (event, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	_, raw, err := c.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	holdTo(c.t, "server", raw)
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, err
	}
	c.seen = append(c.seen, e)
	return e, nil
}

// until reads up to an event of this type.
func (c *client) until(kind string) event {
	c.t.Helper()
	for {
		e, err := c.next()
		if err != nil {
			c.t.Fatalf("waiting for %s: %v; saw %v", kind, err, c.kinds())
		}
		if e.str("type") == kind {
			return e
		}
		if e.str("type") == "error" {
			c.t.Fatalf("waiting for %s: %v", kind, e)
		}
	}
}

func (c *client) kinds() []string {
	var kinds []string
	for _, e := range c.seen {
		kinds = append(kinds, e.str("type"))
	}
	return slices.Compact(kinds)
}

// wantError sends an event and wants it refused with this code, and the session to live on.
func (c *client) wantError(e map[string]any, code, param string) event {
	c.t.Helper()
	c.broken = true
	c.send(with(e, "event_id", "mine"))
	c.broken = false
	for {
		got, err := c.next()
		if err != nil {
			c.t.Fatal(err)
		}
		if got.str("type") != "error" {
			continue
		}
		if got.str("error", "code") != code || got.str("error", "param") != param || got.str("error", "event_id") != "mine" {
			c.t.Errorf("%v was answered with %v; want %s at %q", e, got["error"], code, param)
		}
		return got
	}
}

func with(m map[string]any, k string, v any) map[string]any {
	m = maps.Clone(m)
	m[k] = v
	return m
}

// play appends audio in the 20 ms frames of a telephone.
func (c *client) play(audio []byte) {
	c.t.Helper()
	for len(audio) > 0 {
		n := min(160, len(audio))
		c.send(map[string]any{"type": "input_audio_buffer.append", "audio": base64.StdEncoding.EncodeToString(audio[:n])})
		audio = audio[n:]
	}
}

// say speaks and waits for the answer: what was heard of it, and the response's end.
func (c *client) say(text string) (heard string, done event) {
	c.t.Helper()
	c.play(append(speech.Encode(text, speech.PerWord), speech.Silence(time.Second)...))
	return c.answer()
}

func (c *client) answer() (heard string, done event) {
	c.t.Helper()
	from := len(c.seen)
	done = c.until("response.done")
	var ears speech.Decoder
	var words []string
	for _, e := range c.seen[from:] {
		if e.str("type") == "response.output_audio.delta" {
			audio, err := base64.StdEncoding.DecodeString(e.str("delta"))
			if err != nil {
				c.t.Error(err)
			}
			words = append(words, ears.Write(audio)...)
		}
	}
	return strings.Join(words, " "), done
}

func dialOptions() *websocket.DialOptions {
	return &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + key}}}
}

func newBenchServer(b *testing.B, s *openai.Server) string {
	server := httptest.NewServer(http.HandlerFunc(s.Realtime))
	b.Cleanup(func() { s.Close(); server.Close() })
	return server.URL
}
