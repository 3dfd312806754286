// Package openai stands in for OpenAI at the wire: the Realtime API over a websocket, in its GA shape, and the Responses
// API. What it says comes from the scripted receptionist in package script, which knows only what it is told.
package openai

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxSessions bounds how many sessions are remembered; the oldest go first.
const maxSessions = 2000

// Options configures a Server; Key is needed, the rest has defaults.
type Options struct {
	// Key is the API key it accepts.
	Key string
	// Now is the clock for what it tells clients; time.Now by default.
	Now func() time.Time
	// SessionLife is how long a realtime session lasts; 60 minutes by default, as OpenAI's do.
	SessionLife time.Duration
	// Pace is the time between two deltas of audio, each Chunk long. By default 400 ms of speech come every 50 ms, eight
	// times as fast as they are spoken.
	Pace, Chunk time.Duration
	// Fault is asked before every realtime event, named "client session.update" or "server response.done"; nil: none.
	Fault func(event string) (Fault, bool)
}

// Fault is how a realtime event goes wrong. After Delay, Do is one of FaultDos.
type Fault struct {
	Do            string
	Delay         time.Duration
	Code, Message string // of error and fail
}

// FaultDos lists what a Fault can do:
// delay the event only; lose it; answer it with (client) or send before it (server) an error event; drop the connection
// without a word; go silent for the rest of the session, but accept everything; expire the session; fail the response
// (on "client response.create").
func FaultDos() []string {
	return []string{"delay", "lose", "error", "drop", "silent", "expire", "fail"}
}

// Server is an http.Handler for /v1/realtime and /v1/responses. Safe for concurrent use.
type Server struct {
	Options
	events   shape // what clients may send
	closing  chan struct{}
	once     sync.Once
	running  sync.WaitGroup
	live     atomic.Int64
	mu       sync.Mutex
	closed   bool
	sessions []*Session
	echoes   map[net.Conn]bool
}

// New makes a server.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.SessionLife == 0 {
		o.SessionLife = time.Hour
	}
	if o.Pace == 0 {
		o.Pace = 50 * time.Millisecond
	}
	if o.Chunk == 0 {
		o.Chunk = 400 * time.Millisecond
	}
	return &Server{Options: o, events: clientEvents(), closing: make(chan struct{}), echoes: map[net.Conn]bool{}}
}

// Close ends every session and waits until nothing of them is left.
func (s *Server) Close() {
	s.once.Do(func() {
		s.mu.Lock()
		s.closed = true
		for e := range s.echoes {
			e.Close()
		}
		s.mu.Unlock()
		close(s.closing)
	})
	s.running.Wait()
}

// Live is the number of realtime sessions that are open.
func (s *Server) Live() int { return int(s.live.Load()) }

// begin counts a session in, unless the server is closing.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	s.live.Add(1)
	return true
}

func (s *Server) end() {
	s.live.Add(-1)
	s.running.Done()
}

// apiError is OpenAI's error object.
type apiError struct {
	Status  int     `json:"-"`
	Type    string  `json:"type"`
	Code    *string `json:"code"`
	Message string  `json:"message"`
	Param   *string `json:"param"`
}

func refuse(status int, code, message string) *apiError {
	e := &apiError{Status: status, Type: errorType(status), Message: message}
	if code != "" {
		e.Code = &code
	}
	return e
}

func errorType(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status >= 500:
		return "server_error"
	}
	return "invalid_request_error"
}

// WriteError answers a request as OpenAI does when it fails with that status. An empty code is sent as null.
func WriteError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"error": refuse(status, code, message)})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// authorize answers for the request where it has not our key.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) bool {
	key, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case !bearer || key == "":
		WriteError(w, http.StatusUnauthorized, "", "Missing bearer authentication in header")
	case subtle.ConstantTimeCompare([]byte(key), []byte(s.Key)) != 1:
		WriteError(w, http.StatusUnauthorized, "invalid_api_key", "Incorrect API key provided.")
	default:
		return true
	}
	return false
}

// tag is what the ids of one session or response have in common, and no other's have.
func tag() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func known(model string) bool { return model == EchoModel || strings.HasPrefix(model, "gpt-") }
