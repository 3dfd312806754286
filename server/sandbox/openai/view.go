package openai

import (
	"maps"
	"slices"
	"time"

	"kestrel.ai/server/sandbox/script"
)

// View is a realtime session as tests see it.
type View struct {
	ID           string         `json:"id"`
	Model        string         `json:"model"`
	OpenedAt     time.Time      `json:"opened_at"`
	ClosedAt     *time.Time     `json:"closed_at"`
	Ended        string         `json:"ended"` // client, server, expired, dropped or the code of a refusal; empty while open
	Instructions string         `json:"instructions"`
	Turns        []script.Turn  `json:"turns"`    // the conversation: what was heard and said
	Received     map[string]int `json:"received"` // client events, by type
	Sent         map[string]int `json:"sent"`     // server events, by type
	Errors       []string       `json:"errors"`   // what clients were told of their mistakes
}

func (s *Server) remember(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions = append(s.sessions, session)
	if over := len(s.sessions) - maxSessions; over > 0 {
		s.sessions = slices.Delete(s.sessions, 0, over)
	}
}

// Sessions lists realtime sessions, newest first; those of the echo model are not kept.
func (s *Server) Sessions() []View {
	s.mu.Lock()
	sessions := slices.Clone(s.sessions)
	s.mu.Unlock()
	out := make([]View, 0, len(sessions))
	for _, session := range slices.Backward(sessions) {
		out = append(out, session.look())
	}
	return out
}

// Forget forgets the sessions that have ended.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions = slices.DeleteFunc(s.sessions, func(s *Session) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.view.ClosedAt != nil
	})
}

func (s *Session) look() View {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.view
	v.Received, v.Sent, v.Errors = maps.Clone(v.Received), maps.Clone(v.Sent), append([]string{}, v.Errors...)
	v.Turns = make([]script.Turn, 0, len(s.items))
	for _, i := range s.items {
		v.Turns = append(v.Turns, i.turn())
	}
	return v
}
