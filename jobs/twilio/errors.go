package twilio

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
	// ErrNotConfigured: no account SID or auth token was given.
	ErrNotConfigured = errors.New("twilio is not configured")
	// ErrNumberTaken: the number is not for sale (any more).
	ErrNumberTaken = errors.New("the phone number is not available")
	// ErrAddressRequired: the number wants a registered address or a regulatory bundle.
	ErrAddressRequired = errors.New("the phone number requires a registered address")
	// ErrBadCredentials: Twilio refused the account SID and token.
	ErrBadCredentials = errors.New("twilio refused the credentials")
	// ErrNotFound: no such resource in this account.
	ErrNotFound = errors.New("not found at twilio")
	// ErrRateLimited: try again after Error.RetryAfter. Nothing happened.
	ErrRateLimited = errors.New("twilio limits the rate of requests")
	// ErrRefused: Twilio understood and will refuse again.
	ErrRefused = errors.New("twilio refused the request")
	// ErrUnavailable: nothing was changed; a repeat may succeed.
	ErrUnavailable = errors.New("twilio is unavailable")
	// ErrOutcomeUnknown: the request may have taken effect. Look before repeating it.
	ErrOutcomeUnknown = errors.New("the outcome at twilio is unknown")
)

// Error is what every method returns on failure. It never holds the auth token.
type Error struct {
	Code       int           // Twilio's code (twilio.com/docs/api/errors); 0 when it gave none
	Status     int           // HTTP status; 0 when there was no answer
	Message    string        // public
	RetryAfter time.Duration // Twilio's wish; 0 when it gave none
	Permanent  bool          // the same request will fail again
	Reason     string        // a sentence that an admin can act on

	kind  error
	cause error
}

func (e *Error) Error() string {
	if e.Code != 0 {
		return fmt.Sprintf("twilio: %s (code %d)", e.Message, e.Code)
	}
	return "twilio: " + e.Message
}

// Unwrap makes errors.Is see the sentinel, and the context's error if that ended the request.
func (e *Error) Unwrap() []error {
	if e.cause != nil {
		return []error{e.kind, e.cause}
	}
	return []error{e.kind}
}

func notConfigured() *Error {
	return &Error{
		kind: ErrNotConfigured, Permanent: true, Message: "Twilio is not configured",
		Reason: "Set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, then restart Kestrel.",
	}
}

func refused(message string) *Error {
	return &Error{kind: ErrRefused, Permanent: true, Message: message, Reason: message + "."}
}

// fromFailure judges an exchange without a complete answer. A read changes nothing,
// so only a write can have an unknown outcome.
func fromFailure(f *vendorhttp.Failure, write bool) *Error {
	e := &Error{
		kind: ErrUnavailable, Message: f.Error(), cause: f.Unwrap(),
		Reason: "Twilio could not be reached; Kestrel tries again by itself. If it lasts, see status.twilio.com.",
	}
	if write && f.MayHaveArrived {
		e.kind = ErrOutcomeUnknown
		e.Reason = "Twilio did not confirm the request; Kestrel looks whether it took effect before trying again."
	}
	return e
}

// fromAnswer judges an answer whose status is not a success.
func fromAnswer(resp *http.Response, body []byte, write bool, now time.Time, secret string) *Error {
	var answer struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	e := &Error{Status: resp.StatusCode, RetryAfter: vendorhttp.RetryAfter(resp.Header, now)}
	// A gateway's HTML page is no message of Twilio's.
	if json.Unmarshal(body, &answer) == nil {
		e.Code, e.Message = answer.Code, vendorhttp.Public(answer.Message, secret)
	}
	if e.Message == "" {
		e.Message = fmt.Sprintf("Twilio answered %d", e.Status)
	}
	e.classify(write)
	return e
}

func (e *Error) classify(write bool) {
	switch {
	case e.Status == http.StatusTooManyRequests || e.Code == 20429:
		e.kind, e.Reason = ErrRateLimited, "Twilio asked Kestrel to slow down; it tries again by itself."
	case e.Status >= 500 || e.Status == http.StatusRequestTimeout:
		e.kind, e.Reason = ErrUnavailable, "Twilio has a problem; Kestrel tries again by itself. If it lasts, see status.twilio.com."
		if write {
			// Twilio may have failed after the effect: a 5xx says nothing about it.
			e.kind, e.Reason = ErrOutcomeUnknown, "Twilio failed while working on the request; Kestrel looks whether it took effect before trying again."
		}
	case e.Code == 20005 || e.Code == 20006:
		e.permanent(ErrBadCredentials, "The Twilio account is suspended or closed; open it again in the Twilio console.")
	case e.Status == http.StatusUnauthorized || e.Code == 20003:
		e.permanent(ErrBadCredentials, "Twilio refused the credentials; check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN.")
	case e.Status == http.StatusNotFound || e.Code == 20404:
		e.permanent(ErrNotFound, "Twilio does not know this number in the configured account; check which account owns it.")
	case e.Status == http.StatusConflict:
		e.kind, e.Reason = ErrUnavailable, "Twilio is still busy with another change to this number; Kestrel tries again by itself."
	default:
		e.classifyCode()
	}
}

// classifyCode names the refusals an admin can do something about
// (https://www.twilio.com/docs/api/errors).
func (e *Error) classifyCode() {
	switch e.Code {
	case 21422, 21452:
		e.permanent(ErrNumberTaken, "Somebody else has taken this number, or it is not for sale; search again and choose another.")
	case 21613, 21615, 21631, 21649, 21650, 21651:
		e.permanent(ErrAddressRequired, "This number needs a registered address or a regulatory bundle; add one in the Twilio console, or choose another number.")
	case 21404:
		e.permanent(ErrRefused, "A Twilio trial account may own one number only; upgrade the Twilio account.")
	case 21421:
		e.permanent(ErrRefused, "Twilio does not accept this phone number as valid; search again and choose another.")
	case 21606, 21659, 21660:
		e.permanent(ErrRefused, "The sending number cannot send SMS from this Twilio account; check its capabilities and owner.")
	case 21608:
		e.permanent(ErrRefused, "A Twilio trial account may text verified numbers only; verify the recipient or upgrade the account.")
	case 21610:
		e.permanent(ErrRefused, "The recipient has opted out of messages from this number.")
	case 21211, 21614:
		e.permanent(ErrRefused, "The recipient's number cannot receive SMS; check it.")
	default:
		e.permanent(ErrRefused, "Twilio refused the request: "+e.Message)
	}
}

func (e *Error) permanent(kind error, reason string) {
	e.kind, e.Reason, e.Permanent = kind, reason, true
}
