package resend

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"kestrel.ai/jobs/vendorhttp"
)

// What an *Error is, for errors.Is. Every *Error is exactly one of them.
var (
	// ErrNotConfigured: no API key or sender was given.
	ErrNotConfigured = errors.New("resend is not configured")
	// ErrBadCredentials: Resend refused the API key.
	ErrBadCredentials = errors.New("resend refused the API key")
	// ErrRateLimited: too fast, or a quota is used up. Nothing was sent.
	ErrRateLimited = errors.New("resend limits the rate of requests")
	// ErrRefused: Resend understood and will refuse again.
	ErrRefused = errors.New("resend refused the email")
	// ErrUnavailable: nothing was sent; a repeat may succeed.
	ErrUnavailable = errors.New("resend is unavailable")
	// ErrInProgress: another request with the same idempotency key is still being worked on.
	ErrInProgress = errors.New("resend is still sending this email")
	// ErrIdempotencyConflict: the key was used for a different email within 24 h.
	ErrIdempotencyConflict = errors.New("the idempotency key belongs to another email")
	// ErrOutcomeUnknown: the email may have been sent. Repeat within 24 h of the first
	// try, with the same key and content, only.
	ErrOutcomeUnknown = errors.New("the outcome at resend is unknown")
)

// Error is what Send returns on failure. It never holds the API key.
type Error struct {
	Name       string        // Resend's error name (resend.com/docs/api-reference/errors), may be empty
	Status     int           // HTTP status; 0 when there was no answer
	Message    string        // public
	RetryAfter time.Duration // Resend's wish; 0 when it gave none
	Permanent  bool          // the same request will fail again
	Reason     string        // a sentence that an admin can act on

	kind  error
	cause error
}

func (e *Error) Error() string { return "resend: " + e.Message }

// Unwrap makes errors.Is see the sentinel, and the context's error if that ended the request.
func (e *Error) Unwrap() []error {
	if e.cause != nil {
		return []error{e.kind, e.cause}
	}
	return []error{e.kind}
}

func notConfigured() *Error {
	return &Error{
		kind: ErrNotConfigured, Permanent: true, Message: "Resend is not configured",
		Reason: "Set RESEND_API_KEY and RESEND_FROM_EMAIL, then restart Kestrel.",
	}
}

func refused(message string) *Error {
	return &Error{kind: ErrRefused, Permanent: true, Message: message, Reason: message + "."}
}

func fromFailure(f *vendorhttp.Failure) *Error {
	if f.MayHaveArrived {
		return &Error{
			kind: ErrOutcomeUnknown, Message: f.Error(), cause: f.Unwrap(),
			Reason: "Resend did not confirm the email; Kestrel asks again under the same key, which cannot send it twice.",
		}
	}
	return &Error{
		kind: ErrUnavailable, Message: f.Error(), cause: f.Unwrap(),
		Reason: "Resend could not be reached; Kestrel tries again by itself. If it lasts, see resend-status.com.",
	}
}

// fromAnswer judges an answer whose status is not a success.
func fromAnswer(resp *http.Response, body []byte, now time.Time, secret string) *Error {
	var answer struct {
		Name    string `json:"name"`
		Message string `json:"message"`
	}
	e := &Error{Status: resp.StatusCode, RetryAfter: vendorhttp.RetryAfter(resp.Header, now)}
	if json.Unmarshal(body, &answer) == nil {
		e.Name, e.Message = vendorhttp.Public(answer.Name, secret), vendorhttp.Public(answer.Message, secret)
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("Resend answered %d", e.Status)
	}
	switch {
	case e.Name == "daily_quota_exceeded" || e.Name == "monthly_quota_exceeded":
		e.kind, e.Reason = ErrRateLimited, "The email quota at Resend is used up; upgrade the Resend plan or wait for the next period."
	case e.Status == http.StatusTooManyRequests:
		e.kind, e.Reason = ErrRateLimited, "Resend asked Kestrel to slow down; it tries again by itself."
	case e.Name == "concurrent_idempotent_requests":
		e.kind, e.Reason = ErrInProgress, "Resend is still working on this email; Kestrel asks again by itself."
	case e.Name == "invalid_idempotent_request":
		e.permanent(ErrIdempotencyConflict, "An email with other content was already tried under this key; look at Resend whether it arrived, then send it anew.")
	case e.Status == http.StatusConflict:
		e.kind, e.Reason = ErrInProgress, "Resend is still working on this email; Kestrel asks again by itself."
	case e.Status >= 500 || e.Status == http.StatusRequestTimeout:
		e.kind, e.Reason = ErrOutcomeUnknown, "Resend failed while sending; Kestrel asks again under the same key, which cannot send it twice."
	case e.Status == http.StatusUnauthorized || e.Name == "invalid_api_key":
		e.permanent(ErrBadCredentials, "Resend refused the API key; check RESEND_API_KEY.")
	case e.Status == http.StatusForbidden:
		e.permanent(ErrRefused, "Resend refuses this sender; verify the domain of RESEND_FROM_EMAIL at resend.com/domains.")
	default:
		e.permanent(ErrRefused, "Resend refused the email: "+e.Message)
	}
	return e
}

func (e *Error) permanent(kind error, reason string) {
	e.kind, e.Reason, e.Permanent = kind, reason, true
}
