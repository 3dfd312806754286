package openai_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"kestrel.ai/server/sandbox/openai"
	"kestrel.ai/server/sandbox/speech"
)

func TestSessionsEndWithoutWarning(t *testing.T) {
	t.Parallel()
	h := serve(t, openai.Options{SessionLife: 50 * time.Millisecond})
	c := h.dial(t, "gpt-realtime-2.1")
	c.until("session.created")
	e, err := c.next()
	if err != nil || e.str("error", "code") != "session_expired" {
		t.Fatal(e, err)
	}
	if _, err := c.next(); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Error(err)
	}
	if v := h.Sessions(); len(v) != 1 || v[0].Ended != "expired" {
		t.Errorf("%+v", v)
	}
}

// armed is a fault for the events of one name, from the nth on.
func armed(event string, n int32, f openai.Fault) func(string) (openai.Fault, bool) {
	var seen atomic.Int32
	return func(e string) (openai.Fault, bool) {
		if e != event || seen.Add(1) != n {
			return openai.Fault{}, false
		}
		return f, true
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	open := func(event string, n int32, f openai.Fault) (*client, *host) {
		h := serve(t, openai.Options{Fault: armed(event, n, f)})
		return h.open(t, nil), h
	}
	t.Run("drop", func(t *testing.T) {
		c, h := open("client input_audio_buffer.append", 3, openai.Fault{Do: "drop"})
		c.play(speech.Silence(60 * time.Millisecond))
		if _, err := c.next(); err == nil || websocket.CloseStatus(err) != -1 {
			t.Error(err)
		}
		if v := h.Sessions()[0]; v.Ended != "dropped" {
			t.Errorf("%+v", v)
		}
	})
	t.Run("silent", func(t *testing.T) {
		c, h := open("server response.created", 1, openai.Fault{Do: "silent"})
		c.send(map[string]any{"type": "response.create"})
		c.play(speech.Silence(time.Second))
		c.conn.Close(websocket.StatusNormalClosure, "")
		if v := h.Sessions()[0]; v.Sent["response.created"] != 0 || v.Received["response.create"] != 1 {
			t.Errorf("%+v", v)
		}
	})
	t.Run("error", func(t *testing.T) {
		c, _ := open("client response.create", 1, openai.Fault{Do: "error", Code: "rate_limit_exceeded", Message: "Slow down."})
		c.send(map[string]any{"type": "response.create"})
		if e, err := c.next(); err != nil || e.str("error", "code") != "rate_limit_exceeded" || e.str("error", "type") != "rate_limit_error" || e.str("error", "message") != "Slow down." {
			t.Error(e, err)
		}
		c.send(map[string]any{"type": "response.create"})
		c.until("response.done")
	})
	t.Run("fail", func(t *testing.T) {
		c, _ := open("client response.create", 1, openai.Fault{Do: "fail", Code: "rate_limit_exceeded"})
		c.send(map[string]any{"type": "response.create"})
		if e := c.until("response.done"); e.str("response", "status") != "failed" || e.str("response", "status_details", "error", "code") != "rate_limit_exceeded" {
			t.Errorf("%v", e)
		}
		c.send(map[string]any{"type": "response.create"})
		if e := c.until("response.done"); e.str("response", "status") != "completed" {
			t.Errorf("%v", e)
		}
	})
	t.Run("expire", func(t *testing.T) {
		c, _ := open("client response.create", 1, openai.Fault{Do: "expire"})
		c.send(map[string]any{"type": "response.create"})
		if e, err := c.next(); err != nil || e.str("error", "code") != "session_expired" {
			t.Error(e, err)
		}
	})
	t.Run("lose and delay", func(t *testing.T) {
		c, _ := open("server response.created", 1, openai.Fault{Do: "lose", Delay: time.Millisecond})
		c.send(map[string]any{"type": "response.create"})
		c.until("response.done")
		for _, k := range c.kinds() {
			if k == "response.created" {
				t.Error("it came all the same")
			}
		}
	})
}

func TestTheEchoSaysEverythingBack(t *testing.T) {
	t.Parallel()
	h := serve(t, openai.Options{})
	c := h.dial(t, openai.EchoModel)
	c.until("session.created")
	c.send(map[string]any{"type": "session.update", "session": map[string]any{"type": "realtime", "audio": map[string]any{"input": map[string]any{"format": map[string]any{"type": "audio/pcmu"}}}}})
	c.until("session.updated")
	c.send(map[string]any{"type": "response.create"})
	c.until("response.created")
	for _, size := range []int{1, 20, 90, 160, 12_000, 90_000} {
		audio := bytes.Repeat(speech.Noise(time.Second/8, 0.3), 100)[:size]
		c.send(map[string]any{"type": "input_audio_buffer.append", "audio": base64.StdEncoding.EncodeToString(audio)})
		got, err := base64.StdEncoding.DecodeString(c.until("response.output_audio.delta").str("delta"))
		if err != nil || !bytes.Equal(got, audio) {
			t.Fatalf("%d bytes came back as %d: %v", size, len(got), err)
		}
	}
	c.send(map[string]any{"type": "response.cancel"})
	c.until("response.done")
	go func() { _, _ = c.next() }() // reads the pong
	if err := c.conn.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	c.conn.Close(websocket.StatusNormalClosure, "")
}

// Two hundred sessions speak at once, end in every way, and nothing of them is left (TestMain looks for goroutines).
func TestManySessions(t *testing.T) {
	t.Parallel()
	h := serve(t, openai.Options{})
	audio := base64.StdEncoding.EncodeToString(append(speech.Encode("hello", speech.PerWord), speech.Silence(time.Second)...))
	var all sync.WaitGroup
	for n := range 200 {
		c := h.open(t, nil)
		all.Add(1)
		go func() {
			defer all.Done()
			defer c.conn.CloseNow()
			if err := c.conn.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `{"type":"input_audio_buffer.append","audio":%q}`, audio)); err != nil {
				t.Error(err)
				return
			}
			for n%4 != 0 { // every fourth hangs up at once
				_, raw, err := c.conn.Read(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if bytes.Contains(raw, []byte(`"response.done"`)) {
					break
				}
			}
			if n%2 == 0 {
				c.conn.Close(websocket.StatusNormalClosure, "")
			}
		}()
	}
	all.Wait()
	h.Close()
	if h.Live() != 0 || len(h.Sessions()) != 200 {
		t.Errorf("%d live, %d known", h.Live(), len(h.Sessions()))
	}
	h.Forget()
	if len(h.Sessions()) != 0 {
		t.Error("sessions are not forgotten")
	}
}

// The cost of a 20 ms frame there and back over a websocket, with a client that costs about as much.
func BenchmarkEcho(b *testing.B) {
	h := openai.New(openai.Options{Key: key})
	server := newBenchServer(b, h)
	conn, _, err := websocket.Dial(b.Context(), server+"/v1/realtime?model=echo", dialOptions())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.CloseNow()
	frame := fmt.Appendf(nil, `{"type":"input_audio_buffer.append","audio":%q}`, base64.StdEncoding.EncodeToString(speech.Silence(20*time.Millisecond)))
	if _, _, err := conn.Read(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := conn.Write(b.Context(), websocket.MessageText, frame); err != nil {
			b.Fatal(err)
		}
		if _, _, err := conn.Read(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
