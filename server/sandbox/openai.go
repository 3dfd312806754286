package sandbox

import (
	"net/http"
	"slices"
	"time"

	"kestrel.ai/server/sandbox/openai"
)

// realtime lets a websocket through to the model. Faults hit its handshake as they hit any request.
func (s *Sandbox) realtime(w http.ResponseWriter, r *http.Request) {
	log := Request{Service: "openai", Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, At: s.now().UTC(), Status: http.StatusSwitchingProtocols}
	if fault := s.takeFault("openai", r.Method+" "+r.URL.Path); fault != nil {
		log.Fault = fault.ID
		waited := s.wait(r.Context(), time.Duration(fault.DelayMS)*time.Millisecond)
		if fault.fails() || !waited {
			log.Status = fault.Status
			s.journal(log)
			if fault.cuts() || !waited {
				cut(w)
				return
			}
			fault.write(w, "openai")
			return
		}
	}
	s.journal(log)
	s.model.Realtime(w, r)
}

// realtimeFault uses up one hit of the oldest armed fault that matches an event.
func (s *Sandbox) realtimeFault(event string) (openai.Fault, bool) {
	if s.eventFaults.Load() == 0 {
		return openai.Fault{}, false
	}
	f := s.takeEventFault(event)
	if f == nil {
		return openai.Fault{}, false
	}
	return openai.Fault{Do: f.Do, Delay: time.Duration(f.DelayMS) * time.Millisecond, Code: string(f.Code), Message: f.Message}, true
}

func (s *Sandbox) takeEventFault(event string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hit(func(f *Fault) bool { return f.Do != "" && f.matches("openai", event) })
}

// Models lists the realtime sessions, newest first.
func (s *Sandbox) Models() []openai.View { return s.model.Sessions() }

// controlModels filters by ?open=true.
func (s *Sandbox) controlModels(r *http.Request) (int, any, error) {
	open := r.URL.Query().Get("open") == "true"
	return items(r, slices.DeleteFunc(s.Models(), func(v openai.View) bool { return open && v.ClosedAt != nil }))
}
