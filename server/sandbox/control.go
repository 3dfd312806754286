package sandbox

// The control API, for tests, demos and the page:
//
//	GET    /_sandbox/emails?to=&subject=  what was sent; /emails/{id} is one, /emails/{id}/html shows it
//	GET    /_sandbox/numbers              owned numbers with their webhooks
//	POST   /_sandbox/numbers              {phone_number, …}: own a number without buying it
//	POST   /_sandbox/numbers/{number}     {a2p, messaging_service_sid}: what only the console shows
//	GET    /_sandbox/messages, calls      both directions, with what the webhook answered
//	POST   /_sandbox/messages             {to, from, body}: a customer's SMS
//	POST   /_sandbox/calls                {to, from, say: […], hangup_after_ms}: a customer rings; see Ring and Line
//	GET    /_sandbox/calls/{sid}?rev=     one call; with rev it waits for a change after that
//	POST   /_sandbox/calls/{sid}/say      a Line, or {lines: […]}: what else this party says or does
//	POST   /_sandbox/calls/{sid}/digits   {digits}: keys, at once
//	POST   /_sandbox/calls/{sid}/hangup   {}: this party hangs up
//	GET    /_sandbox/phones               what happens when other numbers are dialled
//	POST   /_sandbox/phones/{number}      {answers, digits, say: […], …}: see Phone
//	GET    /_sandbox/models?open=         realtime sessions: what they heard, said, sent and refused
//	GET    /_sandbox/faults               armed and spent ones
//	POST   /_sandbox/faults               see Fault
//	DELETE /_sandbox/faults, /faults/{id} clear
//	GET    /_sandbox/requests?service=&match=  the journal of vendor requests
//	DELETE /_sandbox                      forget everything
//
// Lists answer {"items": […]}, newest first, and take ?limit=. Errors answer {"error": {"code", "message", "field"}}.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// controlError is the control API's error: {"error":{"code","message","field"}}, the field where one is at fault.
type controlError struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
}

// invalid is what a field's value gets.
func invalid(field, message string) *controlError {
	return &controlError{Status: http.StatusUnprocessableEntity, Code: "invalid", Message: field + " " + message, Field: field}
}

func (e *controlError) Error() string { return e.Message }

func writeControlError(w http.ResponseWriter, e *controlError) {
	writeJSON(w, e.Status, map[string]any{"error": e})
}

type controlHandler func(r *http.Request) (status int, body any, err error)

// guard lets only our own host names and origins in. A page of another site cannot reach the sandbox by pointing
// its own name at 127.0.0.1 (DNS rebinding), nor post to it from a browser.
func (s *Sandbox) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.ownHost(r.Host) {
			writeControlError(w, &controlError{Status: http.StatusMisdirectedRequest, Code: "wrong_host", Message: "the sandbox does not answer to this Host"})
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
				writeControlError(w, &controlError{Status: http.StatusForbidden, Code: "wrong_origin", Message: "the sandbox takes no requests from other sites"})
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Sandbox) ownHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return s.hosts[strings.ToLower(strings.Trim(host, "[]"))]
}

// control guards h, insists on JSON for what is posted, and writes what h returns.
func (s *Sandbox) control(h controlHandler) http.Handler {
	return s.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodDelete {
			if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
				writeControlError(w, &controlError{Status: 415, Code: "json_only", Message: "send Content-Type: application/json"})
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		status, body, err := h(r)
		var known *controlError
		switch {
		case errors.As(err, &known):
			writeControlError(w, known)
		case err != nil:
			slog.ErrorContext(r.Context(), "sandbox", "error", err)
			writeControlError(w, &controlError{Status: 500, Code: "internal", Message: "the sandbox failed; its log says why"})
		case body == nil:
			w.WriteHeader(status)
		default:
			writeJSON(w, status, body)
		}
	}))
}

// items is what every list answers, newest first. ?limit= shortens it.
func items[T any](r *http.Request, all []T) (int, any, error) {
	if raw := r.URL.Query().Get("limit"); raw != "" {
		n, err := strconv.Atoi(raw)
		if err != nil || n < 0 {
			return 0, nil, &controlError{Status: 422, Code: "invalid", Message: "limit must be a number"}
		}
		all = all[:min(n, len(all))]
	}
	return 200, map[string]any{"items": all}, nil
}

func decode(r *http.Request, into any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		refused := &controlError{Status: 422, Code: "invalid", Message: "the body is not what is wanted: " + strings.TrimPrefix(err.Error(), "json: ")}
		if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
			refused.Field = kind.Field
		} else if _, name, unknown := strings.Cut(err.Error(), "unknown field "); unknown {
			refused.Field = strings.Trim(name, `"`)
		}
		return refused
	}
	if _, err := d.Token(); err != io.EOF {
		return &controlError{Status: 422, Code: "invalid", Message: "the body must be one JSON object"}
	}
	return nil
}

// controlEmails filters by ?to= (a whole address, any case) and ?subject= (a part of it).
func (s *Sandbox) controlEmails(r *http.Request) (int, any, error) {
	to, subject := r.URL.Query().Get("to"), strings.ToLower(r.URL.Query().Get("subject"))
	return items(r, slices.DeleteFunc(s.Emails(), func(e Email) bool {
		return to != "" && !slices.ContainsFunc(e.To, func(a string) bool {
			return strings.EqualFold(a, to) || strings.HasSuffix(strings.ToLower(a), "<"+strings.ToLower(to)+">")
		}) || !strings.Contains(strings.ToLower(e.Subject), subject)
	}))
}

func (s *Sandbox) controlEmail(r *http.Request) (int, any, error) {
	e, ok := s.emailByID(r.PathValue("id"))
	if !ok {
		return 0, nil, &controlError{Status: 404, Code: "not_found", Message: "there is no such email"}
	}
	return 200, e, nil
}

func (s *Sandbox) controlNumbers(r *http.Request) (int, any, error)  { return items(r, s.Numbers()) }
func (s *Sandbox) controlMessages(r *http.Request) (int, any, error) { return items(r, s.Messages()) }
func (s *Sandbox) controlCalls(r *http.Request) (int, any, error)    { return items(r, s.Calls()) }
func (s *Sandbox) controlFaults(r *http.Request) (int, any, error)   { return items(r, s.Faults()) }

// controlAddNumber takes the fields of Number; only phone_number is needed.
func (s *Sandbox) controlAddNumber(r *http.Request) (int, any, error) {
	var n Number
	if err := decode(r, &n); err != nil {
		return 0, nil, err
	}
	if !e164(n.PhoneNumber) {
		return 0, nil, &controlError{Status: 422, Code: "invalid", Message: "phone_number must be in E.164 form, such as " + haiecNumber}
	}
	if _, owned := s.owned(n.PhoneNumber); owned {
		return 0, nil, &controlError{Status: 409, Code: "owned", Message: n.PhoneNumber + " is owned already"}
	}
	n, err := s.AddNumber(n)
	return 201, n, err
}

// controlAddFault takes the fields of Fault.
func (s *Sandbox) controlAddFault(r *http.Request) (int, any, error) {
	var f Fault
	if err := decode(r, &f); err != nil {
		return 0, nil, err
	}
	f, err := s.AddFault(f)
	if err != nil {
		return 0, nil, &controlError{Status: 422, Code: "invalid", Message: err.Error()}
	}
	return 201, f, nil
}

func (s *Sandbox) controlClearFaults(r *http.Request) (int, any, error) {
	id := r.PathValue("id")
	if !s.ClearFaults(id) && id != "" {
		return 0, nil, &controlError{Status: 404, Code: "not_found", Message: "there is no such fault"}
	}
	return 204, nil, nil
}

// Requests is the journal of vendor requests, newest first.
func (s *Sandbox) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return newestFirst(s.requests)
}

// controlRequests filters by ?service= and ?match= (as a fault's).
func (s *Sandbox) controlRequests(r *http.Request) (int, any, error) {
	f := Fault{Service: r.URL.Query().Get("service"), Match: r.URL.Query().Get("match")}
	return items(r, slices.DeleteFunc(s.Requests(), func(q Request) bool { return !f.matches(q.Service, q.Method+" "+q.Path) }))
}

// Reset forgets everything but the count that keeps SIDs unique: numbers, mails, messages, calls, faults and the journal.
// Calls that go on are ended.
func (s *Sandbox) Reset() error {
	s.model.Forget()
	s.mu.Lock()
	var live []*leg
	for _, l := range s.legs {
		live = append(live, l)
	}
	s.mu.Unlock()
	for _, l := range live {
		l.end(EndSandboxClosed, "")
		<-l.over
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.state.Recordings {
		s.forgetRecording(r.SID)
	}
	s.faults, s.requests = nil, nil
	clear(s.phones)
	return s.commit(entry{Reset: true})
}

func (s *Sandbox) controlReset(*http.Request) (int, any, error) { return 204, nil, s.Reset() }

func (s *Sandbox) controlNotFound(r *http.Request) (int, any, error) {
	return 0, nil, &controlError{Status: 404, Code: "not_found", Message: fmt.Sprintf("there is no %s %s here", r.Method, r.URL.Path)}
}
