package twilio_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/sandbox"
)

const (
	number   = "+18573825169"
	intentID = "0195f3a0-7c11-7abc-8def-0123456789ab"
)

// start runs the real SDK against the sandbox.
func start(t *testing.T) (*twilio.Client, *sandbox.Sandbox) {
	t.Helper()
	box := sandbox.New(sandbox.Options{})
	server := httptest.NewServer(box)
	t.Cleanup(server.Close)
	t.Cleanup(func() { _ = box.Close() })
	return client(t, server.URL, time.Minute), box
}

func client(t *testing.T, url string, timeout time.Duration) *twilio.Client {
	t.Helper()
	c, err := twilio.New(twilio.Config{
		AccountSID: sandbox.DefaultAccountSID, AuthToken: sandbox.DefaultAuthToken, BaseURL: url, Timeout: timeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answer serves one handler and counts the requests it gets.
func answer(t *testing.T, timeout time.Duration, h http.HandlerFunc) (*twilio.Client, *atomic.Int32) {
	t.Helper()
	var hits atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		_ = r.ParseForm()
		h(w, r)
	}))
	t.Cleanup(server.Close)
	return client(t, server.URL, timeout), &hits
}

func requests(box *sandbox.Sandbox, method string) int {
	n := 0
	for _, r := range box.Requests() {
		if r.Method == method {
			n++
		}
	}
	return n
}

func TestNumberFromSearchToRelease(t *testing.T) {
	t.Parallel()
	c, box := start(t)
	ctx := t.Context()

	found, err := c.Search(ctx, twilio.SearchQuery{AreaCode: "857"})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 20 {
		t.Fatalf("found %d numbers, want 20", len(found))
	}
	for _, n := range found {
		if !strings.HasPrefix(n.PhoneNumber, "+1857") || n.Region == "" || !n.Voice || n.MonthlyCostCents != 115 {
			t.Errorf("found %+v", n)
		}
	}

	hooks := twilio.WebhooksFor("https://api.kestrel.ai/", "haiec", "https://files.example/fallback.xml")
	name := twilio.FriendlyName("HAIEC", intentID)
	bought, err := c.Buy(ctx, twilio.BuyParams{PhoneNumber: number, FriendlyName: name, Webhooks: hooks})
	if err != nil {
		t.Fatal(err)
	}
	if bought.PhoneNumber != number || bought.FriendlyName != name || bought.AccountSID != c.AccountSID() || !bought.Capabilities.Voice || !bought.BoughtFor(intentID) {
		t.Errorf("bought %+v", bought)
	}
	if diff := cmp.Diff(hooks, bought.Webhooks); diff != "" {
		t.Error(diff)
	}
	for _, n := range box.Numbers() {
		if n.VoiceMethod != "POST" || n.VoiceFallbackMethod != "GET" || n.StatusCallbackMethod != "POST" || n.SMSMethod != "POST" {
			t.Errorf("methods: %+v", n)
		}
	}

	byNumber, ok, err := c.FindByNumber(ctx, number)
	if err != nil || !ok || byNumber != bought {
		t.Errorf("by number: %+v %v %v", byNumber, ok, err)
	}
	byName, ok, err := c.FindByFriendlyName(ctx, name)
	if err != nil || !ok || byName != bought {
		t.Errorf("by name: %+v %v %v", byName, ok, err)
	}
	if _, ok, err := c.FindByNumber(ctx, "+18573825160"); ok || err != nil {
		t.Errorf("a number not owned: %v %v", ok, err)
	}
	if fetched, err := c.Fetch(ctx, bought.SID); err != nil || fetched != bought {
		t.Errorf("fetched %+v %v", fetched, err)
	}

	renamed := twilio.WebhooksFor("https://api.kestrel.ai", "haiec-hvac", "")
	changed, err := c.SetWebhooks(ctx, bought.SID, renamed)
	if err != nil || changed.Webhooks != renamed {
		t.Errorf("webhooks %+v %v", changed.Webhooks, err)
	}

	sent, err := c.SendSMS(ctx, number, "+16175550123", "Kestrel test", "")
	if err != nil || sent.SID == "" || sent.Status == "" {
		t.Errorf("sms %+v %v", sent, err)
	}

	for range 2 { // the second finds it gone
		if err := c.Release(ctx, bought.SID); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Fetch(ctx, bought.SID); !errors.Is(err, twilio.ErrNotFound) {
		t.Errorf("after release: %v", err)
	}
}

func TestSearchTollFreeAndLimits(t *testing.T) {
	t.Parallel()
	c, _ := start(t)
	found, err := c.Search(t.Context(), twilio.SearchQuery{TollFree: true, Limit: 3})
	if err != nil || len(found) != 3 || found[0].MonthlyCostCents != 215 {
		t.Errorf("toll-free: %+v %v", found, err)
	}
	for _, q := range []twilio.SearchQuery{{AreaCode: "85"}, {AreaCode: "abc"}, {Country: "../x"}} {
		if _, err := c.Search(t.Context(), q); !errors.Is(err, twilio.ErrRefused) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}

func TestListReadsEveryPage(t *testing.T) {
	t.Parallel()
	const total = 5
	c, _ := answer(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		page, _ := strconv.Atoi(r.Form.Get("Page"))
		if page > 0 && r.Form.Get("PageToken") != fmt.Sprintf("PAPN%d", page) {
			w.WriteHeader(http.StatusBadRequest)
		}
		next := "null"
		if page < total-1 {
			next = fmt.Sprintf(`"/2010-04-01/Accounts/AC/IncomingPhoneNumbers.json?PageSize=1000&Page=%d&PageToken=PAPN%d"`, page+1, page+1)
		}
		_, _ = fmt.Fprintf(w, `{"incoming_phone_numbers":[{"sid":"PN%d"}],"next_page_uri":%s}`, page, next)
	})
	seen, pages := map[string]bool{}, 0
	err := c.List(t.Context(), func(page []twilio.OwnedNumber) error {
		pages++
		for _, n := range page {
			seen[n.SID] = true
		}
		return nil
	})
	if err != nil || len(seen) != total || pages != total {
		t.Errorf("%d numbers in %d pages, %v", len(seen), pages, err)
	}
	stop := errors.New("enough")
	if err := c.List(t.Context(), func([]twilio.OwnedNumber) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped with %v", err)
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
		"number taken":      {sandbox.Fault{Status: 400, Code: "21422"}, twilio.ErrNumberTaken, true, 0},
		"address required":  {sandbox.Fault{Status: 400, Code: "21631"}, twilio.ErrAddressRequired, true, 0},
		"bundle required":   {sandbox.Fault{Status: 400, Code: "21649"}, twilio.ErrAddressRequired, true, 0},
		"bad credentials":   {sandbox.Fault{Status: 401, Code: "20003"}, twilio.ErrBadCredentials, true, 0},
		"account suspended": {sandbox.Fault{Status: 403, Code: "20005"}, twilio.ErrBadCredentials, true, 0},
		"rate limited":      {sandbox.Fault{Status: 429, RetryAfter: 7}, twilio.ErrRateLimited, false, 7 * time.Second},
		"any other":         {sandbox.Fault{Status: 400, Code: "29999"}, twilio.ErrRefused, true, 0},
		"server error":      {sandbox.Fault{Status: 503, RetryAfter: 2}, twilio.ErrOutcomeUnknown, false, 2 * time.Second},
		"failed after":      {sandbox.Fault{Status: 500, AfterCommit: true}, twilio.ErrOutcomeUnknown, false, 0},
		"cut before":        {sandbox.Fault{}, twilio.ErrOutcomeUnknown, false, 0},
		"cut after":         {sandbox.Fault{AfterCommit: true}, twilio.ErrOutcomeUnknown, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, box := start(t)
			test.fault.Service = "twilio"
			if _, err := box.AddFault(test.fault); err != nil {
				t.Fatal(err)
			}
			_, err := c.Buy(t.Context(), twilio.BuyParams{PhoneNumber: number})
			var e *twilio.Error
			if !errors.As(err, &e) || !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if e.Permanent != test.permanent || e.RetryAfter != test.retryAfter || e.Reason == "" || e.Message == "" {
				t.Errorf("%+v", e)
			}
			if n := requests(box, "POST"); n != 1 {
				t.Errorf("%d purchases were sent", n)
			}
			_, owned, err := c.FindByNumber(t.Context(), number)
			if err != nil || owned != test.fault.AfterCommit {
				t.Errorf("owned %v, %v", owned, err)
			}
		})
	}
}

// A read changes nothing: its failure is never an unknown outcome.
func TestFailedReadIsUnavailable(t *testing.T) {
	t.Parallel()
	for _, fault := range []sandbox.Fault{{Status: 500}, {}} {
		c, box := start(t)
		if _, err := box.AddFault(fault); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.FindByNumber(t.Context(), number); !errors.Is(err, twilio.ErrUnavailable) {
			t.Errorf("%+v: %v", fault, err)
		}
		if n := len(box.Requests()); n != 1 {
			t.Errorf("%d requests were sent", n)
		}
	}
}

func TestOddAnswersToAPurchase(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   error
	}{
		"gateway's HTML": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte("<html>Bad <b>Gateway</b></html>"))
		}, twilio.ErrOutcomeUnknown},
		"HTML refusal": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("<html>"))
		}, twilio.ErrRefused},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, twilio.ErrRefused},
		"success that is no JSON": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, twilio.ErrOutcomeUnknown},
		"success without a SID":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }, twilio.ErrOutcomeUnknown},
		"success cut half way": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			_, _ = w.Write([]byte(`{"sid":"PN`))
		}, twilio.ErrOutcomeUnknown},
		"its secret repeated": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"code":1,"message":"bad token %s"}`, sandbox.DefaultAuthToken)
		}, twilio.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, hits := answer(t, time.Minute, test.answer)
			_, err := c.Buy(t.Context(), twilio.BuyParams{PhoneNumber: number})
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, sandbox.DefaultAuthToken) || strings.Contains(text, "<") {
				t.Errorf("error says %s", text)
			}
			if hits.Load() != 1 {
				t.Errorf("%d requests were sent", hits.Load())
			}
		})
	}
}

func TestTimeoutAfterTheEffect(t *testing.T) {
	t.Parallel()
	c, hits := answer(t, 200*time.Millisecond, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	_, err := c.Buy(t.Context(), twilio.BuyParams{PhoneNumber: number})
	if !errors.Is(err, twilio.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if hits.Load() > 1 {
		t.Errorf("%d requests were sent", hits.Load())
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
	_, err = client(t, url, time.Minute).Buy(t.Context(), twilio.BuyParams{PhoneNumber: number})
	if !errors.Is(err, twilio.ErrUnavailable) || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("got %v", err)
	}
}

// The SDK has no context; ours must still end its request, each only its own.
func TestCancellation(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 40)
	c, _ := answer(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		if r.Form.Get("PhoneNumber") == number {
			arrived <- struct{}{}
			<-r.Context().Done()
			return
		}
		_, _ = fmt.Fprintf(w, `{"sid":"PN1","phone_number":%q}`, r.Form.Get("PhoneNumber"))
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			_, err := c.Buy(ctx, twilio.BuyParams{PhoneNumber: number})
			if !errors.Is(err, context.Canceled) || !errors.Is(err, twilio.ErrOutcomeUnknown) {
				t.Errorf("cancelled purchase: %v", err)
			}
		})
		wait.Go(func() {
			other := fmt.Sprintf("+1857382%04d", i)
			if n, err := c.Buy(t.Context(), twilio.BuyParams{PhoneNumber: other}); err != nil || n.PhoneNumber != other {
				t.Errorf("other purchase: %+v %v", n, err)
			}
		})
	}
	for range 20 {
		<-arrived
	}
	cancel()
	wait.Wait()

	_, err := c.Buy(ctx, twilio.BuyParams{PhoneNumber: number})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, twilio.ErrUnavailable) {
		t.Errorf("cancelled before it began: %v", err)
	}
}

func TestNotConfigured(t *testing.T) {
	t.Parallel()
	c, err := twilio.New(twilio.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Search(t.Context(), twilio.SearchQuery{}); !errors.Is(err, twilio.ErrNotConfigured) || c.Configured() {
		t.Errorf("got %v", err)
	}
	if _, err := twilio.New(twilio.Config{BaseURL: "api.twilio.com"}); err == nil {
		t.Error("a relative base URL was accepted")
	}
	c, err = twilio.New(twilio.Config{AccountSID: "AC1", AuthToken: "se cret"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Fetch(t.Context(), "PN1"); !errors.Is(err, twilio.ErrBadCredentials) || strings.Contains(err.Error(), "se cret") {
		t.Errorf("got %v", err)
	}
}

func TestUnusableArguments(t *testing.T) {
	t.Parallel()
	c, hits := answer(t, time.Minute, func(http.ResponseWriter, *http.Request) {})
	ctx := t.Context()
	_, buy := c.Buy(ctx, twilio.BuyParams{PhoneNumber: "857"})
	_, _, find := c.FindByNumber(ctx, "+1857*")
	_, fetch := c.Fetch(ctx, "../Messages/SM1")
	_, sms := c.SendSMS(ctx, number, number, "", "")
	for name, err := range map[string]error{"buy": buy, "find": find, "fetch": fetch, "release": c.Release(ctx, ""), "sms": sms} {
		if !errors.Is(err, twilio.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if hits.Load() != 0 {
		t.Errorf("%d requests were sent", hits.Load())
	}
}
