package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"kestrel.ai/server/sandbox"
	"kestrel.ai/server/sandbox/caller"
)

// TestNothingOutlivesItsCall opens calls and ends them in every order: by the caller while it rings, while the stream
// connects, while it runs; by the server, closing or vanishing; by a fallen webhook; by the sandbox itself.
func TestNothingOutlivesItsCall(t *testing.T) { // not parallel: it counts goroutines
	before := goleak.IgnoreCurrent()
	hold := make(chan struct{})
	var streams http.HandlerFunc
	voice := http.NewServeMux()
	server := httptest.NewServer(voice)
	defer server.Close()
	connect := `<Response><Connect><Stream url="ws` + strings.TrimPrefix(server.URL, "http") + `/stream"/></Connect></Response>`
	var mu sync.Mutex
	voice.HandleFunc("/voice", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		_, _ = w.Write([]byte(connect))
	})
	voice.HandleFunc("/late", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	})
	voice.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) { mu.Lock(); run := streams; mu.Unlock(); run(w, r) })

	var open []func()
	start := func(path string) (*sandbox.Sandbox, string) {
		s := sandbox.New(sandbox.Options{Speed: 10})
		front := httptest.NewServer(s)
		open = append(open, func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			front.Close()
		})
		if _, err := s.AddNumber(sandbox.Number{PhoneNumber: haiec, VoiceURL: server.URL + path}); err != nil {
			t.Fatal(err)
		}
		return s, front.URL
	}
	serve := func(fn func(*websocket.Conn, *http.Request)) {
		mu.Lock()
		defer mu.Unlock()
		streams = func(w http.ResponseWriter, r *http.Request) {
			if c, err := websocket.Accept(w, r, nil); err == nil {
				defer func() { _ = c.CloseNow() }()
				fn(c, r)
			}
		}
	}
	drain := func(c *websocket.Conn, r *http.Request) {
		for {
			if _, _, err := c.Read(r.Context()); err != nil {
				return
			}
		}
	}
	t.Run("caller hangs up while it rings", func(t *testing.T) {
		s, _ := start("/late")
		done := make(chan struct{})
		go func() { defer close(done); _, _ = s.Ring(sandbox.Ring{To: haiec, From: caller1, HangupAfterMS: 100}) }()
		<-done
		if c := s.Calls()[0]; c.Status != "no-answer" || c.EndReason != sandbox.EndPartyHungUp {
			t.Errorf("%+v", c)
		}
	})
	t.Run("caller hangs up at any time", func(t *testing.T) {
		serve(drain)
		s, _ := start("/voice")
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if _, err := s.Ring(sandbox.Ring{To: haiec, From: caller1, HangupAfterMS: 1 + i*17}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		eventually(t, "all calls to end", func() bool {
			for _, c := range s.Calls() {
				if c.EndedAt == nil {
					return false
				}
			}
			return true
		})
	})
	t.Run("server closes, or vanishes", func(t *testing.T) {
		for _, end := range []func(*websocket.Conn, *http.Request){
			func(c *websocket.Conn, _ *http.Request) { _ = c.Close(websocket.StatusNormalClosure, "") },
			func(*websocket.Conn, *http.Request) {},
			func(c *websocket.Conn, r *http.Request) {
				_, _, _ = c.Read(r.Context())
				_ = c.Close(websocket.StatusInternalError, "")
			},
		} {
			serve(end)
			_, url := start("/voice")
			if ended := caller.Ring(t, url, haiec, caller1).Ends(); ended.Status != "completed" {
				t.Errorf("%+v", ended)
			}
		}
	})
	t.Run("sandbox closes or forgets", func(t *testing.T) {
		serve(drain)
		forgets, _ := start("/voice")
		closes, _ := start("/voice")
		late, _ := start("/late")
		for _, s := range []*sandbox.Sandbox{forgets, closes} {
			for range 10 {
				if _, err := s.Ring(sandbox.Ring{To: haiec, From: caller1}); err != nil {
					t.Fatal(err)
				}
			}
		}
		rung := make(chan struct{})
		go func() { defer close(rung); _, _ = late.Ring(sandbox.Ring{To: haiec, From: caller1}) }()
		eventually(t, "it to ring", func() bool { return len(late.Calls()) == 1 })
		if err := forgets.Reset(); err != nil || len(forgets.Calls()) != 0 {
			t.Error(err)
		}
		for _, s := range []*sandbox.Sandbox{closes, late} {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		<-rung
		if _, err := closes.Ring(sandbox.Ring{To: haiec, From: caller1}); err == nil {
			t.Error("a closed sandbox rings")
		}
	})
	close(hold)
	for _, end := range open {
		end()
	}
	server.Close()
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, before)
}
