// Package resend is Kestrel's one adapter over the Resend SDK: it sends an email, at
// most once per idempotency key, and fails with *Error.
package resend

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	sdk "github.com/resend/resend-go/v2"

	"kestrel.ai/jobs/vendorhttp"
)

// Config of a Client. Without APIKey or From every call fails with ErrNotConfigured.
type Config struct {
	APIKey string
	From   string // an address, or "Name <address>", of a domain verified at Resend
	// BaseURL replaces https://api.resend.com, e.g. by a sandbox. Empty: the real one.
	BaseURL string
	// Timeout of one request; 0 means 15 s.
	Timeout time.Duration
	// Transport sends the requests; nil means a pool of its own.
	Transport http.RoundTripper
}

// Email is one message to one person.
type Email struct {
	To      string
	Subject string
	HTML    string
	Text    string
	ReplyTo string            // optional
	Tags    map[string]string // ASCII letters, digits, _ and - only, 256 characters at most (Resend's rule)
}

// Client sends from one Resend account. It is safe for concurrent use.
type Client struct {
	cfg Config
	sdk *sdk.Client
}

// New checks cfg; it does not contact Resend. The only error is an unusable BaseURL.
func New(cfg Config) (*Client, error) {
	base, err := vendorhttp.ParseBase(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	if base == nil {
		base = &url.URL{Scheme: "https", Host: "api.resend.com"}
	}
	base = base.JoinPath("/")
	if cfg.Timeout == 0 {
		cfg.Timeout = 15 * time.Second
	}
	if cfg.Transport == nil {
		cfg.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	client := sdk.NewCustomClient(&http.Client{
		Transport:     &transport{cfg: cfg},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, cfg.APIKey)
	// Set always: the SDK's default comes from the environment.
	client.BaseURL = base
	return &Client{cfg: cfg, sdk: client}, nil
}

// Configured tells whether key and sender are present, not whether Resend accepts them.
func (c *Client) Configured() bool { return c.cfg.APIKey != "" && c.cfg.From != "" }

// Send hands e to Resend and returns its id there. The key (1 to 256 characters) makes
// a repeat within 24 h return the first one's id instead of sending again.
func (c *Client) Send(ctx context.Context, e Email, idempotencyKey string) (id string, err error) {
	if !c.Configured() {
		return "", notConfigured()
	}
	if err := check(c.cfg.From, e, idempotencyKey); err != nil {
		return "", err
	}
	request := &sdk.SendEmailRequest{
		From: c.cfg.From, To: []string{e.To}, Subject: e.Subject, Html: e.HTML, Text: e.Text, ReplyTo: e.ReplyTo,
	}
	// Always in the same order: under one key Resend wants the same body.
	for _, name := range slices.Sorted(maps.Keys(e.Tags)) {
		request.Tags = append(request.Tags, sdk.Tag{Name: name, Value: e.Tags[name]})
	}
	sent, err := c.sdk.Emails.SendWithOptions(ctx, request, &sdk.SendEmailOptions{IdempotencyKey: idempotencyKey})
	var known *Error
	switch {
	case errors.As(err, &known):
		return "", known
	case err != nil || sent.Id == "":
		return "", &Error{
			kind: ErrOutcomeUnknown, Message: "Resend's answer could not be read",
			Reason: "Resend accepted the email but its answer could not be read; Kestrel asks again under the same key, which cannot send it twice.",
		}
	}
	return sent.Id, nil
}

// check refuses what Resend would refuse, and what could smuggle in a header.
func check(from string, e Email, key string) error {
	if len(key) < 1 || len(key) > 256 || !printable(key) {
		return refused("The idempotency key must have 1 to 256 printable ASCII characters")
	}
	for _, field := range []struct{ name, value string }{
		{"sender", from}, {"recipient", e.To}, {"subject", e.Subject}, {"reply-to address", e.ReplyTo},
	} {
		if strings.ContainsAny(field.value, "\r\n\x00") {
			return refused("The " + field.name + " must be one line")
		}
	}
	if _, err := mail.ParseAddress(e.To); err != nil {
		return refused("The recipient is not an email address")
	}
	if e.ReplyTo != "" {
		if _, err := mail.ParseAddress(e.ReplyTo); err != nil {
			return refused("The reply-to address is not an email address")
		}
	}
	if strings.TrimSpace(e.Subject) == "" || e.HTML == "" || e.Text == "" {
		return refused("The email must have a subject, HTML and text")
	}
	return nil
}

func printable(s string) bool {
	for _, r := range s {
		if r < 0x21 || r > 0x7e {
			return false
		}
	}
	return true
}

// transport turns every answer that is not a success into *Error, since the SDK
// flattens those to text and drops status and name.
type transport struct{ cfg Config }

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, body, err := vendorhttp.Do(req.Context(), t.cfg.Transport, req, t.cfg.Timeout)
	var failed *vendorhttp.Failure
	if errors.As(err, &failed) {
		return nil, fromFailure(failed)
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, fromAnswer(resp, body, time.Now(), t.cfg.APIKey)
	}
	return resp, nil
}
