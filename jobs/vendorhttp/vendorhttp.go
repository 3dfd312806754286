// Package vendorhttp performs one HTTP exchange with a vendor whose SDK hides
// what happened on the wire. It reads the whole answer before returning, so that
// a connection cut half way is an error of the exchange and not of a decoder, and
// it knows whether a failed request may have reached the vendor.
package vendorhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// maxAnswer bounds an answer in bytes: a page of 1,000 numbers is about 2 MB.
const maxAnswer = 16 << 20

// Failure is an exchange that brought no complete answer.
type Failure struct {
	// MayHaveArrived is false only when the request surely never left: no
	// connection, or a context that ended before one existed.
	MayHaveArrived bool
	// Timeout is true when the exchange's own time ran out.
	Timeout bool
	cause   error
}

// Error names the kind of failure without the URL, which may hold identifiers.
func (f *Failure) Error() string {
	switch {
	case f.Timeout:
		return "the vendor did not answer in time"
	case errors.Is(f.cause, context.Canceled):
		return "the request was cancelled"
	case f.MayHaveArrived:
		return "the connection broke before the answer was complete"
	}
	return "the vendor could not be reached"
}

// Unwrap exposes context.Canceled and context.DeadlineExceeded only: other causes
// may quote addresses.
func (f *Failure) Unwrap() error {
	for _, known := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(f.cause, known) {
			return known
		}
	}
	return nil
}

// Do sends req once under ctx, no longer than timeout (0 = only ctx limits it),
// and returns the answer with its body fully read and replayable. A failed
// exchange returns *Failure. Answers of any status are answers, redirects too.
func Do(ctx context.Context, rt http.RoundTripper, req *http.Request, timeout time.Duration) (*http.Response, []byte, error) {
	parent := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, &Failure{cause: err, Timeout: errors.Is(err, context.DeadlineExceeded)}
	}
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	})
	resp, err := rt.RoundTrip(req.Clone(ctx))
	if err != nil {
		return nil, nil, failure(parent, ctx, sent.Load(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = errors.New("answer too large")
	}
	if err != nil {
		return nil, nil, failure(parent, ctx, true, err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, body, nil
}

func failure(parent, ctx context.Context, sent bool, err error) *Failure {
	f := &Failure{MayHaveArrived: sent, cause: err}
	var timeout net.Error
	switch {
	case parent.Err() != nil:
		f.cause = parent.Err()
		f.Timeout = errors.Is(f.cause, context.DeadlineExceeded)
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		f.cause, f.Timeout = context.DeadlineExceeded, true
	}
	return f
}

// RetryAfter reads the Retry-After header (RFC 9110: seconds or an HTTP date) as a
// wait from now; 0 when absent, past or unreadable.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds > 0 && seconds < 1e8 {
		return time.Duration(seconds * float64(time.Second))
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// Redirect returns req aimed at base instead of its own scheme and host, base's
// path prefixed; req itself when base is nil.
func Redirect(req *http.Request, base *url.URL) *http.Request {
	if base == nil {
		return req
	}
	out := req.Clone(req.Context())
	out.URL.Scheme, out.URL.Host, out.Host = base.Scheme, base.Host, base.Host
	out.URL.Path = strings.TrimSuffix(base.Path, "/") + out.URL.Path
	out.URL.RawPath = ""
	return out
}

// ParseBase reads an override such as http://127.0.0.1:8090; nil for "".
func ParseBase(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, nil
	}
	base, err := url.Parse(raw)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fmt.Errorf("base URL %q is not an absolute http(s) URL", raw)
	}
	return base, nil
}

// Public makes a vendor's message fit to be shown: one line, at most 300
// characters, without any of the secrets.
func Public(message string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			message = strings.ReplaceAll(message, secret, "[hidden]")
		}
	}
	message = strings.Join(strings.Fields(message), " ")
	if runes := []rune(message); len(runes) > 300 {
		message = string(runes[:299]) + "…"
	}
	return message
}
