package openai

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// writeTimeout is how long a client may take to read an event before it counts as gone.
const writeTimeout = 10 * time.Second

func (s *Session) fault(event string) (Fault, bool) {
	if s.server.Fault == nil {
		return Fault{}, false
	}
	return s.server.Fault(event)
}

// suffer lets a fault act on an event, and says whether the event is still to happen.
func (s *Session) suffer(f Fault) bool {
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-s.server.closing:
		}
	}
	code, message := f.Code, f.Message
	if message == "" {
		message = "Injected by the sandbox"
	}
	switch f.Do {
	case "lose":
		return false
	case "error":
		if code == "" {
			code = "server_error"
		}
		s.write("error", map[string]any{"error": map[string]any{"type": faultType(code), "code": code, "message": message, "param": nil, "event_id": nil}})
		return false
	case "drop":
		s.ended("dropped")
		_ = s.conn.CloseNow()
		return false
	case "silent":
		s.silent = true
	case "expire":
		s.expire()
		return false
	case "fail":
		s.failNext(code)
	}
	return true
}

func faultType(code string) string {
	switch code {
	case "rate_limit_exceeded":
		return "rate_limit_error"
	case "server_error":
		return "server_error"
	}
	return "invalid_request_error"
}

// send sends an event, unless a fault keeps it.
func (s *Session) send(kind string, fields map[string]any) {
	if s.over {
		return
	}
	if fault, hit := s.fault("server " + kind); hit && !s.suffer(fault) && fault.Do != "error" {
		return
	}
	s.write(kind, fields)
}

func (s *Session) write(kind string, fields map[string]any) {
	if s.over || s.silent {
		return
	}
	event := with(fields, "type", kind)
	event["event_id"] = s.nextID("event")
	message, err := json.Marshal(event)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, writeTimeout)
	defer cancel()
	s.mu.Lock()
	s.view.Sent[kind]++
	s.mu.Unlock()
	if err := s.conn.Write(ctx, websocket.MessageText, message); err != nil {
		s.ended("client")
	}
}

// fail sends an error event; id is that of the event it is about.
func (s *Session) fail(p problem, id *string) {
	s.mu.Lock()
	s.view.Errors = append(s.view.Errors, p.code+": "+p.message)
	s.mu.Unlock()
	e := map[string]any{"type": "invalid_request_error", "code": p.code, "message": p.message, "param": nil, "event_id": nil}
	if p.param != "" {
		e["param"] = p.param
	}
	if id != nil && *id != "" {
		e["event_id"] = *id
	}
	s.send("error", map[string]any{"error": e})
}

func (s *Session) expire() {
	life := strconv.Itoa(int(s.server.SessionLife.Minutes()))
	s.write("error", map[string]any{"error": map[string]any{
		"type": "invalid_request_error", "code": "session_expired", "message": "Your session hit the maximum duration of " + life + " minutes.", "param": nil, "event_id": nil,
	}})
	s.close(websocket.StatusGoingAway, "expired")
}

func (s *Session) close(code websocket.StatusCode, why string) {
	s.ended(why)
	_ = s.conn.Close(code, why)
}

func (s *Session) ended(why string) {
	if s.over {
		return
	}
	s.over = true
	s.mu.Lock()
	s.view.Ended = why
	s.mu.Unlock()
}
