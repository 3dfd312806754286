// Package twilio is Kestrel's one adapter over the Twilio SDK: it searches, buys,
// configures, releases phone numbers, and sends SMS. Every call takes a context,
// is sent once, and fails with *Error.
package twilio

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"time"

	sdk "github.com/twilio/twilio-go/client"
	v2010 "github.com/twilio/twilio-go/rest/api/v2010"

	"kestrel.ai/jobs/vendorhttp"
)

// Config of a Client. Without AccountSID or AuthToken every call fails with ErrNotConfigured.
type Config struct {
	AccountSID string
	AuthToken  string
	// BaseURL replaces https://api.twilio.com, e.g. by a sandbox. Empty: the real one.
	BaseURL string
	// Timeout of one request; 0 means 15 s.
	Timeout time.Duration
	// LocalMonthlyCents and TollFreeMonthlyCents are what Twilio charges for a number,
	// in US cents a month; 0 means 115 and 215.
	LocalMonthlyCents    int
	TollFreeMonthlyCents int
	// Transport sends the requests; nil means a pool of its own.
	Transport http.RoundTripper
}

// Client talks to one Twilio account. It is safe for concurrent use.
type Client struct {
	cfg  Config
	base *url.URL
}

// New checks cfg; it does not contact Twilio. The only error is an unusable BaseURL.
func New(cfg Config) (*Client, error) {
	base, err := vendorhttp.ParseBase(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 15 * time.Second
	}
	if cfg.LocalMonthlyCents == 0 {
		cfg.LocalMonthlyCents = 115
	}
	if cfg.TollFreeMonthlyCents == 0 {
		cfg.TollFreeMonthlyCents = 215
	}
	if cfg.Transport == nil {
		cfg.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	return &Client{cfg: cfg, base: base}, nil
}

// Configured tells whether credentials are present, not whether Twilio accepts them.
func (c *Client) Configured() bool { return c.cfg.AccountSID != "" && c.cfg.AuthToken != "" }

// AccountSID is the account that owns what this client buys.
func (c *Client) AccountSID() string { return c.cfg.AccountSID }

// The SDK refuses other characters before sending.
var credential = regexp.MustCompile(`^[a-zA-Z0-9]+$`)

// api returns the SDK for one call. The SDK takes no context, so each call has a
// transport of its own that carries it; only the connection pool is shared. The
// request handler is built here because the SDK's constructor reads the environment.
func (c *Client) api(ctx context.Context) (*v2010.ApiService, error) {
	if !c.Configured() {
		return nil, notConfigured()
	}
	if !credential.MatchString(c.cfg.AccountSID) || !credential.MatchString(c.cfg.AuthToken) {
		e := &Error{Message: "the credentials hold characters that Twilio never uses"}
		e.permanent(ErrBadCredentials, "TWILIO_ACCOUNT_SID or TWILIO_AUTH_TOKEN holds a character that is neither letter nor digit; copy them again.")
		return nil, e
	}
	client := &sdk.Client{
		Credentials: sdk.NewCredentials(c.cfg.AccountSID, c.cfg.AuthToken),
		HTTPClient: &http.Client{
			Transport:     &transport{client: c, ctx: ctx},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	client.SetAccountSid(c.cfg.AccountSID)
	return v2010.NewApiService(&sdk.RequestHandler{Client: client}), nil
}

// transport carries one call's context into the SDK and turns every answer that is
// not a success into *Error, so that the SDK never sees one: on some APIs it sends
// the request again when it cannot decode an error.
type transport struct {
	client *Client
	ctx    context.Context
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	write := req.Method != http.MethodGet
	cfg := t.client.cfg
	resp, body, err := vendorhttp.Do(t.ctx, cfg.Transport, vendorhttp.Redirect(req, t.client.base), cfg.Timeout)
	var failed *vendorhttp.Failure
	if errors.As(err, &failed) {
		return nil, fromFailure(failed, write)
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, fromAnswer(resp, body, write, time.Now(), cfg.AuthToken)
	}
	return resp, nil
}

// fail reduces what the SDK returned to our *Error: its own wrappers quote URLs. What
// is left after that is a success whose body could not be read.
func fail(err error, write bool) error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	e := &Error{kind: ErrUnavailable, Message: "Twilio's answer could not be read", Reason: "Twilio's answer could not be read; Kestrel tries again by itself."}
	if write {
		e.kind = ErrOutcomeUnknown
		e.Reason = "Twilio accepted the request but its answer could not be read; Kestrel looks whether it took effect before trying again."
	}
	return e
}
