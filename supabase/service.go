package supabase

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// ServiceTimeout bounds one request to Auth or Storage.
const ServiceTimeout = 10 * time.Second

// ServiceError is what Auth and Storage fail with. It holds no token, no address and nothing of the request.
type ServiceError struct {
	Service   string // Auth or Storage
	Status    int    // HTTP status; 0 when there was no answer
	Code      string // the service's own, e.g. email_exists; may be empty
	Permanent bool   // the same request will fail again
	Reason    string // a sentence that an admin can act on
}

func (e *ServiceError) Error() string {
	if e.Status == 0 {
		return "supabase " + strings.ToLower(e.Service) + ": no answer"
	}
	return strings.TrimSpace(fmt.Sprintf("supabase %s: %d %s", strings.ToLower(e.Service), e.Status, e.Code))
}

func serviceError(service string, status int, code string) *ServiceError {
	e := &ServiceError{Service: service, Status: status, Code: code}
	switch {
	case status == 0:
		e.Reason = "Supabase " + service + " could not be reached; Kestrel tries again by itself."
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		e.Permanent, e.Reason = true, "Supabase "+service+" refused the key; check SUPABASE_SERVICE_KEY."
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500:
		e.Reason = "Supabase " + service + " has a problem; Kestrel tries again by itself."
	default:
		e.Permanent, e.Reason = true, strings.TrimSpace(fmt.Sprintf("Supabase %s refused the request (%d %s).", service, status, code))
	}
	return e
}

// isToken tells a legacy key, which is a JWT, from sb_secret_…, which is none and must never be sent as a Bearer.
func isToken(key string) bool { return strings.Count(key, ".") == 2 && !strings.HasPrefix(key, "sb_") }

// carrier gives a vendor client that takes no context ours, and remembers the status that it hides. One per call.
type carrier struct {
	ctx    context.Context
	base   http.RoundTripper
	status int
}

func (c *carrier) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.base.RoundTrip(req.WithContext(c.ctx))
	if err != nil {
		return nil, errors.New("no answer") // the cause may quote the URL
	}
	c.status = resp.StatusCode
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, 1<<20), resp.Body}
	return resp, nil
}
