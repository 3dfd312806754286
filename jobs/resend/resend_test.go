package resend_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kestrel.ai/jobs/resend"
	"kestrel.ai/server/sandbox"
)

var email = resend.Email{
	To: "admin@haiec.com", Subject: "You're Live!", HTML: "<p>Hi</p>", Text: "Hi", ReplyTo: "help@kestrel.ai",
	Tags: map[string]string{"template": "live", "tenant": "haiec", "a": "1", "b": "2", "c": "3"},
}

func start(t *testing.T) (*resend.Client, *sandbox.Sandbox) {
	t.Helper()
	box := sandbox.New(sandbox.Options{})
	server := httptest.NewServer(box)
	t.Cleanup(server.Close)
	t.Cleanup(func() { _ = box.Close() })
	return client(t, server.URL, time.Minute), box
}

func client(t *testing.T, url string, timeout time.Duration) *resend.Client {
	t.Helper()
	c, err := resend.New(resend.Config{APIKey: sandbox.DefaultResendKey, From: "Kestrel <hello@kestrel.ai>", BaseURL: url, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func answer(t *testing.T, timeout time.Duration, h http.HandlerFunc) (*resend.Client, *atomic.Int32) {
	t.Helper()
	var hits atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice a client that leaves
		h(w, r)
	}))
	t.Cleanup(server.Close)
	return client(t, server.URL, timeout), &hits
}

func TestSendOnce(t *testing.T) {
	t.Parallel()
	c, box := start(t)
	first, err := c.Send(t.Context(), email, "live:1")
	if err != nil || first == "" {
		t.Fatal(first, err)
	}
	for range 10 { // the body must be the same each time, tags included
		if again, err := c.Send(t.Context(), email, "live:1"); err != nil || again != first {
			t.Fatalf("again: %s %v", again, err)
		}
	}
	sent := box.Emails()
	if len(sent) != 1 {
		t.Fatalf("%d emails were sent", len(sent))
	}
	got := sent[0]
	if got.To[0] != email.To || got.Subject != email.Subject || got.HTML != email.HTML || got.Text != email.Text || got.IdempotencyKey != "live:1" || len(got.Tags) != 5 || got.ReplyTo[0] != email.ReplyTo {
		t.Errorf("sent %+v", got)
	}

	other := email
	other.Subject = "Another"
	_, err = c.Send(t.Context(), other, "live:1")
	var e *resend.Error
	if !errors.Is(err, resend.ErrIdempotencyConflict) || !errors.As(err, &e) || !e.Permanent || e.Reason == "" {
		t.Errorf("other content under the same key: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault      sandbox.Fault
		want       error
		permanent  bool
		retryAfter time.Duration
	}{
		"rate limited":   {sandbox.Fault{Status: 429, RetryAfter: 3}, resend.ErrRateLimited, false, 3 * time.Second},
		"quota":          {sandbox.Fault{Status: 429, Code: "daily_quota_exceeded"}, resend.ErrRateLimited, false, 0},
		"validation":     {sandbox.Fault{Status: 422, Code: "validation_error"}, resend.ErrRefused, true, 0},
		"missing key":    {sandbox.Fault{Status: 401, Code: "missing_api_key"}, resend.ErrBadCredentials, true, 0},
		"invalid key":    {sandbox.Fault{Status: 403, Code: "invalid_api_key"}, resend.ErrBadCredentials, true, 0},
		"domain":         {sandbox.Fault{Status: 403, Code: "validation_error"}, resend.ErrRefused, true, 0},
		"in progress":    {sandbox.Fault{Status: 409, Code: "concurrent_idempotent_requests"}, resend.ErrInProgress, false, 0},
		"server error":   {sandbox.Fault{Status: 500}, resend.ErrOutcomeUnknown, false, 0},
		"failed after":   {sandbox.Fault{Status: 503, AfterCommit: true}, resend.ErrOutcomeUnknown, false, 0},
		"cut before":     {sandbox.Fault{}, resend.ErrOutcomeUnknown, false, 0},
		"cut after":      {sandbox.Fault{AfterCommit: true}, resend.ErrOutcomeUnknown, false, 0},
		"limited, after": {sandbox.Fault{Status: 429, AfterCommit: true}, resend.ErrRateLimited, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, box := start(t)
			test.fault.Service = "resend"
			if _, err := box.AddFault(test.fault); err != nil {
				t.Fatal(err)
			}
			_, err := c.Send(t.Context(), email, "k")
			var e *resend.Error
			if !errors.As(err, &e) || !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if e.Permanent != test.permanent || e.RetryAfter != test.retryAfter || e.Reason == "" || e.Message == "" {
				t.Errorf("%+v", e)
			}
			if n := len(box.Requests()); n != 1 {
				t.Errorf("%d requests were sent", n)
			}
			// The repeat under the same key brings it to exactly one email.
			if _, err := c.Send(t.Context(), email, "k"); err != nil || len(box.Emails()) != 1 {
				t.Errorf("repeat: %v, %d emails", err, len(box.Emails()))
			}
		})
	}
}

func TestWrongKeyStaysSecret(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(sandbox.New(sandbox.Options{}))
	t.Cleanup(server.Close)
	c, err := resend.New(resend.Config{APIKey: "re_wrong_key", From: "hello@kestrel.ai", BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(t.Context(), email, "k"); !errors.Is(err, resend.ErrBadCredentials) || strings.Contains(fmt.Sprintf("%+v", err), "re_wrong_key") {
		t.Errorf("got %v", err)
	}
}

func TestOddAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"gateway's HTML": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte("<html>Bad Gateway</html>"))
		}, resend.ErrOutcomeUnknown},
		"success that is no JSON": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, resend.ErrOutcomeUnknown},
		"success without an id":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }, resend.ErrOutcomeUnknown},
		"success cut half way": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			_, _ = w.Write([]byte(`{"id":"`))
		}, resend.ErrOutcomeUnknown},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, resend.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, hits := answer(t, time.Minute, test.answer)
			if _, err := c.Send(t.Context(), email, "k"); !errors.Is(err, test.want) || strings.Contains(err.Error(), "<") {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if hits.Load() != 1 {
				t.Errorf("%d requests were sent", hits.Load())
			}
		})
	}
}

func TestTimeoutAndCancellation(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 20)
	stall := func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}
	slow, _ := answer(t, 200*time.Millisecond, stall)
	if _, err := slow.Send(t.Context(), email, "k"); !errors.Is(err, resend.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("time-out: %v", err)
	}
	<-arrived

	c, _ := answer(t, time.Minute, stall)
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for range 10 {
		wait.Go(func() {
			if _, err := c.Send(ctx, email, "k"); !errors.Is(err, resend.ErrOutcomeUnknown) || !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
	for range 10 {
		<-arrived
	}
	cancel()
	wait.Wait()
	if _, err := c.Send(ctx, email, "k"); !errors.Is(err, resend.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before it began: %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + listener.Addr().String()
	_ = listener.Close()
	if _, err := client(t, url, time.Minute).Send(t.Context(), email, "k"); !errors.Is(err, resend.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestUnusableArguments(t *testing.T) {
	t.Parallel()
	c, hits := answer(t, time.Minute, func(http.ResponseWriter, *http.Request) {})
	for name, change := range map[string]func(e *resend.Email, key *string){
		"no key":             func(_ *resend.Email, key *string) { *key = "" },
		"long key":           func(_ *resend.Email, key *string) { *key = strings.Repeat("k", 257) },
		"key of two lines":   func(_ *resend.Email, key *string) { *key = "a\nb" },
		"no recipient":       func(e *resend.Email, _ *string) { e.To = "" },
		"two recipients":     func(e *resend.Email, _ *string) { e.To = "a@x.com, b@x.com" },
		"header in to":       func(e *resend.Email, _ *string) { e.To = "a@x.com\r\nBcc: b@x.com" },
		"header in subject":  func(e *resend.Email, _ *string) { e.Subject = "a\r\nBcc: b@x.com" },
		"header in reply-to": func(e *resend.Email, _ *string) { e.ReplyTo = "a@x.com\nBcc: b@x.com" },
		"no subject":         func(e *resend.Email, _ *string) { e.Subject = " " },
		"no HTML":            func(e *resend.Email, _ *string) { e.HTML = "" },
		"no text":            func(e *resend.Email, _ *string) { e.Text = "" },
	} {
		e, key := email, "k"
		change(&e, &key)
		if _, err := c.Send(t.Context(), e, key); !errors.Is(err, resend.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests were sent", hits.Load())
	}

	none, err := resend.New(resend.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := none.Send(t.Context(), email, "k"); !errors.Is(err, resend.ErrNotConfigured) || none.Configured() {
		t.Errorf("got %v", err)
	}
	if _, err := resend.New(resend.Config{BaseURL: "resend"}); err == nil {
		t.Error("a relative base URL was accepted")
	}
}
