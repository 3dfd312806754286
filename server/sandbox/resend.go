package sandbox

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Email is one mail that Resend was asked to send.
type Email struct {
	ID             string            `json:"id"`
	From           string            `json:"from"`
	To             []string          `json:"to"`
	CC             []string          `json:"cc,omitempty"`
	BCC            []string          `json:"bcc,omitempty"`
	ReplyTo        []string          `json:"reply_to,omitempty"`
	Subject        string            `json:"subject"`
	HTML           string            `json:"html"`
	Text           string            `json:"text"`
	Headers        map[string]string `json:"headers"`
	Tags           []Tag             `json:"tags,omitempty"`
	Attachments    []string          `json:"attachments,omitempty"` // file names only
	ScheduledAt    string            `json:"scheduled_at,omitempty"`
	IdempotencyKey string            `json:"idempotency_key"`
	CreatedAt      time.Time         `json:"created_at"`
}

// Tag is Resend's name and value pair.
type Tag struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Emails lists what was sent, newest first.
func (s *Sandbox) Emails() []Email {
	s.mu.Lock()
	defer s.mu.Unlock()
	return newestFirst(s.state.Emails)
}

// resendError is Resend's error body. The names are from https://resend.com/docs/api-reference/errors.
type resendError struct {
	Status  int
	Name    string
	Message string
}

func (e *resendError) Error() string { return "resend " + e.Name + ": " + e.Message }

type resendHandler func(r *http.Request) (body any, err error)

// resend checks the caller and writes what h returns.
func (s *Sandbox) resend(h resendHandler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !bearer || key == "" {
			writeResendError(w, &resendError{401, "missing_api_key", "Missing API Key"})
			return
		}
		if subtle.ConstantTimeCompare([]byte(key), []byte(s.resendKey)) != 1 {
			writeResendError(w, &resendError{403, "invalid_api_key", "API key is invalid"})
			return
		}
		body, err := h(r)
		var known *resendError
		switch {
		case errors.As(err, &known):
			writeResendError(w, known)
		case err != nil:
			slog.ErrorContext(r.Context(), "sandbox", "error", err)
			writeResendError(w, &resendError{500, "application_error", "Internal server error"})
		default:
			writeJSON(w, 200, body)
		}
	})
}

func writeResendError(w http.ResponseWriter, e *resendError) {
	writeJSON(w, e.Status, map[string]any{"statusCode": e.Status, "name": e.Name, "message": e.Message})
}

func resendNameFor(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "missing_api_key"
	case http.StatusForbidden:
		return "invalid_api_key"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusConflict:
		return "concurrent_idempotent_requests"
	case http.StatusTooManyRequests:
		return "rate_limit_exceeded"
	}
	if status >= 500 {
		return "internal_server_error"
	}
	return "validation_error"
}

func (s *Sandbox) noSuchMethod(r *http.Request) (any, error) {
	if r.URL.Path == "/emails" || r.URL.Path == "/emails/batch" {
		return nil, &resendError{405, "method_not_allowed", "This endpoint does not support the " + r.Method + " method"}
	}
	return nil, &resendError{404, "not_found", "The requested endpoint does not exist"}
}

// stringOrList is an address field, which Resend takes in both forms.
type stringOrList []string

func (l *stringOrList) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = stringOrList{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(l))
}

type emailRequest struct {
	From        string            `json:"from"`
	To          stringOrList      `json:"to"`
	CC          stringOrList      `json:"cc"`
	BCC         stringOrList      `json:"bcc"`
	ReplyTo     stringOrList      `json:"reply_to"`
	Subject     string            `json:"subject"`
	HTML        string            `json:"html"`
	Text        string            `json:"text"`
	Headers     map[string]string `json:"headers"`
	Tags        []Tag             `json:"tags"`
	ScheduledAt string            `json:"scheduled_at"`
	Attachments []struct {
		Filename string `json:"filename"`
	} `json:"attachments"`
}

func (q *emailRequest) validate() error {
	missing := func(field string) error {
		return &resendError{422, "missing_required_field", "Missing `" + field + "` field."}
	}
	switch {
	case q.From == "":
		return missing("from")
	case len(q.To) == 0:
		return missing("to")
	case q.Subject == "":
		return missing("subject")
	case q.HTML == "" && q.Text == "":
		return &resendError{422, "validation_error", "Missing `html` or `text` field."}
	case len(q.To) > 50:
		return &resendError{422, "validation_error", "The `to` field can have at most 50 recipients."}
	case strings.ContainsAny(q.Subject, "\r\n"):
		return &resendError{422, "validation_error", "Invalid `subject` field. It cannot contain line breaks."}
	}
	for field, addresses := range map[string][]string{"from": {q.From}, "to": q.To, "cc": q.CC, "bcc": q.BCC, "reply_to": q.ReplyTo} {
		for _, a := range addresses {
			if _, err := mail.ParseAddress(a); err != nil {
				return &resendError{422, "validation_error", "Invalid `" + field + "` field. The email address needs to follow the `email@example.com` or `Name <email@example.com>` format."}
			}
		}
	}
	return nil
}

// email makes the mail. s.mu must be held.
func (s *Sandbox) email(q emailRequest, key string) Email {
	id := s.nextHex("email")
	e := Email{
		ID:   fmt.Sprintf("%s-%s-4%s-8%s-%s", id[:8], id[8:12], id[13:16], id[17:20], id[20:]),
		From: q.From, To: q.To, CC: q.CC, BCC: q.BCC, ReplyTo: q.ReplyTo, Subject: q.Subject, HTML: q.HTML, Text: q.Text,
		Headers: q.Headers, Tags: q.Tags, ScheduledAt: q.ScheduledAt, IdempotencyKey: key, CreatedAt: s.now().UTC(),
	}
	if e.Headers == nil {
		e.Headers = map[string]string{}
	}
	for _, a := range q.Attachments {
		e.Attachments = append(e.Attachments, a.Filename)
	}
	return e
}

// createdEmail is what Resend answers for a mail it took.
type createdEmail struct {
	ID string `json:"id"`
}

func (s *Sandbox) sendEmail(r *http.Request) (any, error) {
	var q emailRequest
	return s.once(r, &q, func(key string) ([]Email, any, error) {
		if err := q.validate(); err != nil {
			return nil, nil, err
		}
		e := s.email(q, key)
		return []Email{e}, createdEmail{e.ID}, nil
	})
}

// sendBatch takes up to 100 mails: all or none, or with x-batch-validation: permissive the valid ones.
func (s *Sandbox) sendBatch(r *http.Request) (any, error) {
	type itemError struct {
		Index   int    `json:"index"`
		Message string `json:"message"`
	}
	type batch struct {
		Data   []createdEmail `json:"data"`
		Errors []itemError    `json:"errors,omitempty"`
	}
	var qs []emailRequest
	return s.once(r, &qs, func(key string) ([]Email, any, error) {
		if len(qs) == 0 || len(qs) > 100 {
			return nil, nil, &resendError{422, "validation_error", "A batch must have 1 to 100 emails."}
		}
		var sent []Email
		answer := batch{Data: []createdEmail{}}
		for i, q := range qs {
			err := q.validate()
			if err == nil && (len(q.Attachments) > 0 || q.ScheduledAt != "") {
				err = &resendError{422, "validation_error", "A batch cannot have `attachments` or `scheduled_at`."}
			}
			var invalid *resendError
			if errors.As(err, &invalid) {
				if r.Header.Get("X-Batch-Validation") != "permissive" {
					return nil, nil, &resendError{invalid.Status, invalid.Name, fmt.Sprintf("emails[%d]: %s", i, invalid.Message)}
				}
				answer.Errors = append(answer.Errors, itemError{i, invalid.Message})
				continue
			}
			e := s.email(q, key)
			sent = append(sent, e)
			answer.Data = append(answer.Data, createdEmail{e.ID})
		}
		return sent, answer, nil
	})
}

func (s *Sandbox) fetchEmail(r *http.Request) (any, error) {
	e, ok := s.emailByID(r.PathValue("id"))
	if !ok {
		return nil, &resendError{404, "not_found", "Email not found"}
	}
	return emailResource(e), nil
}

func (s *Sandbox) emailByID(id string) (Email, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.state.Emails, func(e Email) bool { return e.ID == id })
	if i < 0 {
		return Email{}, false
	}
	return s.state.Emails[i], true
}

// listEmails pages by limit and after; before is not there.
func (s *Sandbox) listEmails(r *http.Request) (any, error) {
	limit, err := strconv.Atoi(or(r.URL.Query().Get("limit"), "20"))
	if err != nil || limit < 1 || limit > 100 {
		return nil, &resendError{422, "validation_error", "The `limit` must be between 1 and 100."}
	}
	emails := s.Emails()
	if after := r.URL.Query().Get("after"); after != "" {
		i := slices.IndexFunc(emails, func(e Email) bool { return e.ID == after })
		emails = emails[i+1:]
	}
	data := []map[string]any{}
	for _, e := range emails[:min(limit, len(emails))] {
		data = append(data, emailResource(e))
	}
	return map[string]any{"object": "list", "has_more": len(emails) > limit, "data": data}, nil
}

func emailResource(e Email) map[string]any {
	list := func(v []string) []string { return append([]string{}, v...) }
	event := "delivered"
	if e.ScheduledAt != "" {
		event = "scheduled"
	}
	return map[string]any{
		"object": "email", "id": e.ID, "message_id": "<" + e.ID + "@sandbox.localhost>", "from": e.From, "to": list(e.To),
		"cc": list(e.CC), "bcc": list(e.BCC), "reply_to": list(e.ReplyTo), "subject": e.Subject, "html": e.HTML, "text": e.Text,
		"created_at": e.CreatedAt.Format("2006-01-02 15:04:05.000000-07"), "last_event": event,
	}
}
