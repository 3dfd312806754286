package sandbox_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"kestrel.ai/server/sandbox"
	"kestrel.ai/server/sandbox/openai"
)

func (r *rig) model(t *testing.T) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	conn, resp, err := websocket.Dial(t.Context(), r.url+"/v1/realtime?model=gpt-realtime-2.1", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + sandbox.DefaultOpenAIKey}}})
	if err == nil {
		t.Cleanup(func() { conn.CloseNow() })
	}
	return conn, resp, err
}

func nextEvent(t *testing.T, conn *websocket.Conn) (kind, code string) {
	t.Helper()
	_, raw, err := conn.Read(t.Context())
	if err != nil {
		return "", err.Error()
	}
	var e struct {
		Type  string
		Error struct{ Code string }
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		t.Fatal(err)
	}
	return e.Type, e.Error.Code
}

func TestModelFaults(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{OpenAI: openai.Options{Pace: time.Nanosecond}})

	// The handshake and /v1/responses fail as any request does.
	r.call("POST", "/_sandbox/faults", `{"service":"openai","match":"GET /v1/realtime","status":429,"code":"rate_limit_exceeded","retry_after":3}`, 201, nil)
	if _, resp, err := r.model(t); err == nil || resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "3" {
		t.Error(err)
	}
	r.call("POST", "/_sandbox/faults", `{"service":"openai","match":"/v1/realtime"}`, 201, nil)
	if _, resp, err := r.model(t); err == nil || resp != nil {
		t.Error(resp, err)
	}
	r.call("POST", "/_sandbox/faults", `{"service":"openai","match":"POST /v1/responses","status":500}`, 201, nil)
	resp, err := http.Post(r.url+"/v1/responses", "application/json", strings.NewReader(`{}`))
	if err != nil || resp.StatusCode != 500 {
		t.Error(resp, err)
	}
	resp.Body.Close()

	// Events fail by name, after as many as are wanted.
	r.call("POST", "/_sandbox/faults", `{"service":"openai","match":"client response.create","do":"error","code":"rate_limit_exceeded","skip":1}`, 201, nil)
	r.call("POST", "/_sandbox/faults", `{"service":"openai","match":"client response.cancel","do":"drop"}`, 201, nil)
	conn, _, err := r.model(t)
	if err != nil {
		t.Fatal(err)
	}
	say := func(event string) {
		t.Helper()
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(event)); err != nil {
			t.Fatal(err)
		}
	}
	until := func(kind, code string) {
		t.Helper()
		for {
			gotKind, gotCode := nextEvent(t, conn)
			if gotKind == kind && gotCode == code {
				return
			}
			if gotKind == "" {
				t.Fatalf("waiting for %s %s: %s", kind, code, gotCode)
			}
		}
	}
	say(`{"type":"response.create"}`)
	until("response.done", "")
	say(`{"type":"response.create"}`)
	until("error", "rate_limit_exceeded")
	var open items[openai.View]
	r.call("GET", "/_sandbox/models?open=true", "", 200, &open)
	if len(open.Items) != 1 || open.Items[0].Received["response.create"] != 2 {
		t.Errorf("%+v", open)
	}
	say(`{"type":"response.cancel"}`)
	if kind, _ := nextEvent(t, conn); kind != "" {
		t.Errorf("after the drop came %s", kind)
	}
	for _, bad := range []string{`{"service":"openai","do":"dance"}`, `{"service":"twilio","do":"drop"}`, `{"skip":-1}`} {
		r.call("POST", "/_sandbox/faults", bad, 422, nil)
	}
	var journal items[sandbox.Request]
	r.call("GET", "/_sandbox/requests?service=openai", "", 200, &journal)
	if len(journal.Items) != 4 || journal.Items[0].Status != 101 || journal.Items[3].Status != 429 {
		t.Errorf("%+v", journal.Items)
	}
}
