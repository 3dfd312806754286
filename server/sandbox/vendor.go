package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxBody is Resend's own limit for a mail with attachments, in bytes.
const maxBody = 40 << 20

// Request is one vendor request in the journal. Bodies and credentials are not kept.
type Request struct {
	Service string    `json:"service"` // twilio or resend
	Method  string    `json:"method"`
	Path    string    `json:"path"`
	Query   string    `json:"query,omitempty"`
	Status  int       `json:"status"`          // as the client saw it; 0: the connection was cut
	Effect  int       `json:"effect"`          // what the vendor's own code answered; 0: it never ran
	Fault   string    `json:"fault,omitempty"` // id of the fault that hit it
	At      time.Time `json:"at"`
}

// reply is a buffered answer, so that a fault can still replace it.
type reply struct {
	header http.Header
	body   bytes.Buffer
	status int
}

func (a *reply) Header() http.Header { return a.header }
func (a *reply) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *reply) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

func (a *reply) send(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes())
}

// finishers are run just before a request's answer goes out.
type finishers struct{ fns []func() }

type finishersKey struct{}

func onFinish(r *http.Request, fn func()) {
	f := r.Context().Value(finishersKey{}).(*finishers)
	f.fns = append(f.fns, fn)
}

// vendor is what every request to a vendor passes: faults before and after the effect, and the journal.
func (s *Sandbox) vendor(service string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log := Request{Service: service, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, At: s.now().UTC()}
		// Read before a delay: net/http notices that a client has gone only once the body is read.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "request body too large or cut off", http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		done := &finishers{}
		r = r.WithContext(context.WithValue(r.Context(), finishersKey{}, done))

		fault := s.takeFault(service, r.Method+" "+r.URL.Path)
		answer, effect := s.play(r, service, next, fault)
		log.Effect = effect
		if fault != nil {
			log.Fault = fault.ID
		}
		if answer != nil {
			log.Status = answer.status
		}
		// Before the answer, so that whoever has it finds the books closed.
		s.journal(log)
		for _, fn := range done.fns {
			fn()
		}
		if answer == nil {
			cut(w)
			return
		}
		answer.send(w)
	})
}

// play lets next and the fault, if any, produce the answer (nil: none, cut the connection) and the status that next gave
// (0: it never ran).
func (s *Sandbox) play(r *http.Request, service string, next http.Handler, fault *Fault) (answer *reply, effect int) {
	run := func() {
		answer = &reply{header: http.Header{}}
		next.ServeHTTP(answer, r)
		effect = answer.status
	}
	if fault == nil {
		run()
		return answer, effect
	}
	if fault.AfterCommit {
		run()
	}
	waited := s.wait(r.Context(), time.Duration(fault.DelayMS)*time.Millisecond)
	switch {
	case fault.cuts(), !waited && !fault.AfterCommit:
		return nil, effect
	case fault.fails():
		answer = &reply{header: http.Header{}}
		fault.write(answer, service)
	case !fault.AfterCommit:
		run()
	}
	return answer, effect
}

// wait reports whether d passed before the client left or the sandbox closed.
func (s *Sandbox) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-s.closing:
	}
	return false
}

// cut ends the connection in mid-answer. A few bytes go first: a connection that dies without any makes Go's client
// silently send the request again when it has an idempotency key.
func cut(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 ")
			conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}

func (s *Sandbox) journal(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = capped(append(s.requests, r))
}

// newSID is a SID with this prefix that was not given before.
func (s *Sandbox) newSID(prefix string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return prefix + s.nextHex(prefix)
}

// nextHex gives 32 hexadecimal digits that this sandbox has not given before. s.mu must be held.
func (s *Sandbox) nextHex(kind string) string {
	s.state.Serial++
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %d", s.seed, kind, s.state.Serial))
	return hex.EncodeToString(sum[:16])
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "cannot encode the answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
