package openai

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
	// ErrNotConfigured: no API key or model was given.
	ErrNotConfigured = errors.New("openai is not configured")
	// ErrBadCredentials: OpenAI refused the API key.
	ErrBadCredentials = errors.New("openai refused the API key")
	// ErrRateLimited: too fast; try again after Error.RetryAfter.
	ErrRateLimited = errors.New("openai limits the rate of requests")
	// ErrQuota: the account has no credit left.
	ErrQuota = errors.New("the openai account has no credit")
	// ErrRefused: OpenAI understood and will refuse again.
	ErrRefused = errors.New("openai refused the request")
	// ErrUnavailable: a repeat may succeed. It may have cost something; nothing else has changed.
	ErrUnavailable = errors.New("openai is unavailable")
)

// Error is what every method returns on failure. It holds neither the API key nor anything that was said.
type Error struct {
	Code       string        // OpenAI's (platform.openai.com/docs/guides/error-codes); may be empty
	Status     int           // HTTP status; 0 when there was no answer
	Message    string        // public
	RetryAfter time.Duration // OpenAI's wish; 0 when it gave none
	Permanent  bool          // the same request will fail again
	Reason     string        // a sentence that an admin can act on

	kind  error
	cause error
}

func (e *Error) Error() string { return "openai: " + e.Message }

// Unwrap makes errors.Is see the sentinel, and the context's error if that ended the request.
func (e *Error) Unwrap() []error {
	if e.cause != nil {
		return []error{e.kind, e.cause}
	}
	return []error{e.kind}
}

func notConfigured() *Error {
	return &Error{
		kind: ErrNotConfigured, Permanent: true, Message: "OpenAI is not configured",
		Reason: "Set OPENAI_API_KEY, then restart Kestrel.",
	}
}

func refused(message string) *Error {
	return &Error{kind: ErrRefused, Permanent: true, Message: message, Reason: message + "."}
}

func unreadable() *Error {
	return &Error{kind: ErrUnavailable, Message: "OpenAI's answer could not be read", Reason: "OpenAI's answer could not be read; Kestrel tries again by itself."}
}

// unfinished judges a response that is not complete: one that failed may succeed, one that was cut short will be again.
func unfinished(status, code, why string) *Error {
	if status == "failed" && (code == "server_error" || code == "rate_limit_exceeded") {
		return &Error{kind: ErrUnavailable, Code: code, Message: "OpenAI failed while it answered", Reason: "OpenAI failed while it answered; Kestrel tries again by itself."}
	}
	if why == "" {
		why = code
	}
	e := refused("OpenAI ended its answer early (" + vendorhttp.Public(status+" "+why) + ")")
	e.Code = code
	return e
}

func fromFailure(f *vendorhttp.Failure) *Error {
	return &Error{
		kind: ErrUnavailable, Message: f.Error(), cause: f.Unwrap(),
		Reason: "OpenAI could not be reached; Kestrel tries again by itself. If it lasts, see status.openai.com.",
	}
}

// fromAnswer judges an answer whose status is not a success. OpenAI's own words may quote what was sent: they stay behind,
// its code does not.
func fromAnswer(resp *http.Response, body []byte, now time.Time, secret string) *Error {
	var answer struct {
		Error struct {
			Type string  `json:"type"`
			Code *string `json:"code"`
		} `json:"error"`
	}
	e := &Error{Status: resp.StatusCode, RetryAfter: vendorhttp.RetryAfter(resp.Header, now)}
	_ = json.Unmarshal(body, &answer) // a gateway's HTML page has no code
	if answer.Error.Code != nil {
		e.Code = vendorhttp.Public(*answer.Error.Code, secret)
	}
	e.Message = fmt.Sprintf("OpenAI answered %d %s", e.Status, e.Code)
	switch {
	case e.Code == "insufficient_quota":
		// More credit mends it, and calls go on meanwhile: it is worth another try, but not soon.
		e.kind, e.Reason = ErrQuota, "The OpenAI account has no credit left; add some at platform.openai.com. Kestrel tries again by itself."
		e.RetryAfter = max(e.RetryAfter, 10*time.Minute)
	case e.Status == http.StatusTooManyRequests:
		e.kind, e.Reason = ErrRateLimited, "OpenAI asked Kestrel to slow down; it tries again by itself."
	case e.Status >= 500 || e.Status == http.StatusRequestTimeout || e.Status == http.StatusConflict:
		e.kind, e.Reason = ErrUnavailable, "OpenAI has a problem; Kestrel tries again by itself. If it lasts, see status.openai.com."
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		e.kind, e.Permanent, e.Reason = ErrBadCredentials, true, "OpenAI refused the key; check OPENAI_API_KEY."
	case e.Status == http.StatusNotFound:
		e.kind, e.Permanent, e.Reason = ErrRefused, true, "OpenAI does not know this model for the key; check OPENAI_ANALYSIS_MODEL."
	default:
		e.kind, e.Permanent, e.Reason = ErrRefused, true, fmt.Sprintf("OpenAI refused the request (%d %s).", e.Status, e.Code)
	}
	return e
}
