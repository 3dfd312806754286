package vendorhttp

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"7":                             7 * time.Second,
		" 0.5 ":                         500 * time.Millisecond,
		"-1":                            0,
		"NaN":                           0,
		"1e300":                         0,
		"soon":                          0,
		"Tue, 10 Mar 2026 12:01:30 GMT": 90 * time.Second,
		"Tue, 10 Mar 2026 11:59:00 GMT": 0,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

func TestRedirectKeepsPathAndQuery(t *testing.T) {
	t.Parallel()
	req, err := http.NewRequest(http.MethodGet, "https://api.twilio.com/2010-04-01/Accounts.json?Page=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse("http://127.0.0.1:8090/twilio/")
	if err != nil {
		t.Fatal(err)
	}
	got := Redirect(req, base)
	if got.URL.String() != "http://127.0.0.1:8090/twilio/2010-04-01/Accounts.json?Page=1" || got.Host != "127.0.0.1:8090" {
		t.Errorf("got %s", got.URL)
	}
	if req.URL.Host != "api.twilio.com" || Redirect(req, nil) != req {
		t.Error("the original changed")
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	if got := Public("a\r\nb  s3cret ", "s3cret", ""); got != "a b [hidden]" {
		t.Errorf("got %q", got)
	}
	if got := Public(strings.Repeat("ü", 1000)); len([]rune(got)) != 300 {
		t.Errorf("got %d characters", len([]rune(got)))
	}
}
