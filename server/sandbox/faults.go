package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"kestrel.ai/server/sandbox/openai"
)

// Fault makes a vendor misbehave.
type Fault struct {
	ID string `json:"id"`
	// Service is twilio, resend or openai; empty matches all.
	Service string `json:"service"`
	// Match is compared with "METHOD /path": with a * the whole of it, * being any run of
	// characters; without one, a part of it.
	Match string `json:"match"`
	// Status is the HTTP status to answer, 400 to 599. 0 cuts the connection, except that with DelayMS and without
	// AfterCommit it only makes the answer late.
	Status int `json:"status"`
	// Code is the vendor's error code (a Twilio number, a Resend name); by default the usual one for Status.
	Code Code `json:"code,omitempty"`
	// Message is the vendor's error text; there is a default.
	Message string `json:"message,omitempty"`
	// Count is how many requests it hits: 0 means 1, a negative number means until cleared.
	Count int `json:"count"`
	// DelayMS is how many milliseconds pass before it acts.
	DelayMS int `json:"delay_ms"`
	// AfterCommit lets the effect happen first.
	AfterCommit bool `json:"after_commit"`
	// Do makes it a fault of the model's realtime events instead: one of openai.FaultDos. Match is then compared with
	// "client response.create", "server response.done" and so on; Status, AfterCommit and RetryAfter have no meaning.
	Do string `json:"do,omitempty"`
	// Skip is how many matches it lets pass first.
	Skip int `json:"skip,omitempty"`
	// RetryAfter, in seconds, is sent as Retry-After where above 0.
	RetryAfter int `json:"retry_after,omitempty"`
	// Hits counts the requests it has hit.
	Hits int `json:"hits"`
}

// Code is a vendor's error code, which JSON may give as a string or a number.
type Code string

// UnmarshalJSON implements json.Unmarshaler.
func (c *Code) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte(`"`)) {
		return json.Unmarshal(b, (*string)(c))
	}
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil {
		return err
	}
	*c = Code(n)
	return nil
}

func (f *Fault) fails() bool { return f.Status != 0 || f.cuts() }
func (f *Fault) cuts() bool  { return f.Status == 0 && (f.AfterCommit || f.DelayMS == 0) }

func (f *Fault) matches(service, request string) bool {
	if f.Service != "" && f.Service != service {
		return false
	}
	if strings.Contains(f.Match, "*") {
		return matchWildcard(f.Match, request)
	}
	return strings.Contains(request, f.Match)
}

// matchWildcard compares all of text with pattern, where * stands for any run of characters.
func matchWildcard(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	if !strings.HasPrefix(text, first) {
		return false
	}
	text = text[len(first):]
	for _, part := range parts[1 : len(parts)-1] {
		_, rest, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = rest
	}
	return strings.HasSuffix(text, last)
}

func (f *Fault) write(w http.ResponseWriter, service string) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	if service == "twilio" {
		code, err := strconv.Atoi(string(f.Code))
		if err != nil {
			code = twilioCodeFor(f.Status)
		}
		writeTwilioError(w, &twilioError{f.Status, code, or(f.Message, "Injected by the sandbox")})
		return
	}
	if service == "openai" {
		openai.WriteError(w, f.Status, string(f.Code), or(f.Message, "Injected by the sandbox"))
		return
	}
	if f.Status == http.StatusTooManyRequests {
		w.Header().Set("Ratelimit-Limit", "2")
		w.Header().Set("Ratelimit-Remaining", "0")
		w.Header().Set("Ratelimit-Reset", strconv.Itoa(max(1, f.RetryAfter)))
	}
	writeResendError(w, &resendError{f.Status, or(string(f.Code), resendNameFor(f.Status)), or(f.Message, "Injected by the sandbox")})
}

// AddFault arms f and returns it with its id. It fails when f could never act.
func (s *Sandbox) AddFault(f Fault) (Fault, error) {
	switch {
	case !slices.Contains([]string{"", "twilio", "resend", "openai"}, f.Service):
		return f, errors.New("service must be twilio, resend or openai")
	case f.Do != "" && (!slices.Contains(openai.FaultDos(), f.Do) || f.Service != "openai"):
		return f, errors.New("do is for the service openai, and one of " + strings.Join(openai.FaultDos(), ", "))
	case f.Status != 0 && (f.Status < 400 || f.Status > 599):
		return f, errors.New("status must be 0 (cut the connection) or 400 to 599")
	case f.DelayMS < 0 || f.RetryAfter < 0 || f.Skip < 0:
		return f, errors.New("delay_ms, retry_after and skip cannot be negative")
	}
	if f.Count == 0 {
		f.Count = 1
	}
	f.Hits = 0
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) >= maxKept {
		return f, errors.New("too many faults: clear them first")
	}
	f.ID = "fault_" + s.nextHex("fault")[:12]
	kept := f
	s.faults = append(s.faults, &kept)
	if f.Do != "" {
		s.eventFaults.Add(1)
	}
	return f, nil
}

// Faults lists the armed and the spent ones, newest first.
func (s *Sandbox) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Fault, 0, len(s.faults))
	for _, f := range slices.Backward(s.faults) {
		out = append(out, *f)
	}
	return out
}

// ClearFaults removes the fault with this id, or all where id is empty; it reports whether there was one.
func (s *Sandbox) ClearFaults(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.faults)
	s.faults = slices.DeleteFunc(s.faults, func(f *Fault) bool { return id == "" || f.ID == id })
	return len(s.faults) < before
}

// takeFault uses up one hit of the oldest armed fault that matches; nil if none does.
func (s *Sandbox) takeFault(service, request string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hit(func(f *Fault) bool { return f.Do == "" && f.matches(service, request) })
}

// hit uses up one hit of the oldest armed fault that is wanted. s.mu must be held.
func (s *Sandbox) hit(wanted func(*Fault) bool) *Fault {
	for _, f := range s.faults {
		switch {
		case f.Count >= 0 && f.Hits >= f.Count || !wanted(f):
		case f.Skip > 0:
			f.Skip--
		default:
			f.Hits++
			hit := *f
			return &hit
		}
	}
	return nil
}
