package sandbox_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/resend/resend-go/v2"
	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"kestrel.ai/server/sandbox"
)

// rig is a sandbox on a socket with the real SDKs pointed at it.
type rig struct {
	t          *testing.T
	sandbox    *sandbox.Sandbox
	url        string
	twilio     *api.ApiService
	twilioWire *wire
	resend     *resend.Client
	resendWire *wire
}

func start(t *testing.T, o sandbox.Options) *rig {
	t.Helper()
	s, err := sandbox.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	r := &rig{t: t, sandbox: s, url: server.URL, twilioWire: newWire(t, "twilio", server.URL), resendWire: newWire(t, "resend", server.URL)}
	r.twilio = twilioAs(r, sandbox.DefaultAccountSID, sandbox.DefaultAuthToken)
	r.resend = resendAs(r, sandbox.DefaultResendKey)
	return r
}

func twilioAs(r *rig, sid, token string) *api.ApiService {
	c := &client.Client{Credentials: client.NewCredentials(sid, token), HTTPClient: &http.Client{Transport: r.twilioWire}}
	c.SetAccountSid(sandbox.DefaultAccountSID)
	return api.NewApiServiceWithClient(c)
}

func resendAs(r *rig, key string) *resend.Client {
	c := resend.NewCustomClient(&http.Client{Transport: r.resendWire}, key)
	c.BaseURL, _ = url.Parse("https://api.resend.test/")
	return c
}

// call uses the control API; it fails the test unless the answer has this status, and decodes it into out.
func (r *rig) call(method, path, body string, status int, out any) {
	r.t.Helper()
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != status {
		r.t.Fatalf("%s %s answered %d, want %d: %s", method, path, resp.StatusCode, status, answer)
	}
	if out != nil {
		if err := json.NewDecoder(bytes.NewReader(answer)).Decode(out); err != nil {
			r.t.Fatalf("%s %s answered %s: %v", method, path, answer, err)
		}
	}
}

// items is the control API's list.
type items[T any] struct {
	Items []T `json:"items"`
}

func wantTwilioCode(t *testing.T, err error, status, code int) {
	t.Helper()
	var e *client.TwilioRestError
	if !errors.As(err, &e) || e.Status != status || e.Code != code {
		t.Errorf("got %v, want status %d and code %d", err, status, code)
	}
}

func (r *rig) buy(number string) *api.ApiV2010IncomingPhoneNumber {
	r.t.Helper()
	n, err := r.twilio.CreateIncomingPhoneNumber((&api.CreateIncomingPhoneNumberParams{}).SetPhoneNumber(number))
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// eventually fails the test unless what it waits for comes true.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

const haiec = "+18573825169"

// clock is a settable time.
func clock() (now func() time.Time, advance func(time.Duration)) {
	t := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return func() time.Time { return t }, func(d time.Duration) { t = t.Add(d) }
}
