package sandbox_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/resend/resend-go/v2"
	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"kestrel.ai/server/sandbox"
)

const purchases = "POST /2010-04-01/Accounts/*/IncomingPhoneNumbers.json"

func (r *rig) fault(f sandbox.Fault) sandbox.Fault {
	r.t.Helper()
	f, err := r.sandbox.AddFault(f)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

func (r *rig) tryBuy() error {
	_, err := r.twilio.CreateIncomingPhoneNumber((&api.CreateIncomingPhoneNumberParams{}).SetPhoneNumber(haiec))
	return err
}

func TestFaultBeforeEffect(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	f := r.fault(sandbox.Fault{Service: "twilio", Match: purchases, Status: 500, Count: 2})
	for range 2 {
		wantTwilioCode(t, r.tryBuy(), 500, 20500)
	}
	if len(r.sandbox.Numbers()) != 0 {
		t.Error("the effect happened")
	}
	if err := r.tryBuy(); err != nil {
		t.Errorf("a third request was hit: %v", err)
	}
	if got := r.sandbox.Faults()[0]; got.Hits != 2 {
		t.Errorf("hits: %d", got.Hits)
	}
	journal := r.sandbox.Requests()
	if len(journal) != 3 || journal[0].Status != 201 || journal[0].Fault != "" || journal[2].Status != 500 || journal[2].Effect != 0 || journal[2].Fault != f.ID {
		t.Errorf("journal: %+v", journal)
	}
}

func TestFaultAfterCommit(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	r.fault(sandbox.Fault{Service: "twilio", Match: purchases, AfterCommit: true})
	err := r.tryBuy()
	var answered *client.TwilioRestError
	if err == nil || errors.As(err, &answered) {
		t.Errorf("a cut connection gave %v", err)
	}
	if len(r.sandbox.Numbers()) != 1 {
		t.Fatal("the effect did not happen")
	}
	if q := r.sandbox.Requests()[0]; q.Status != 0 || q.Effect != 201 {
		t.Errorf("journal: %+v", q)
	}
	wantTwilioCode(t, r.tryBuy(), 400, 21422)

	r.fault(sandbox.Fault{Service: "resend", Match: "POST /emails", AfterCommit: true, Status: 503})
	_, err = r.send(welcome(), "k")
	wantResendError(t, err, "Injected")
	id, err := r.send(welcome(), "k")
	if err != nil || len(r.sandbox.Emails()) != 1 || r.sandbox.Emails()[0].ID != id {
		t.Errorf("repeating with the same key: %s %v", id, err)
	}
}

// A cut connection must reach the caller: Go's transport would silently repeat a request with an idempotency key.
func TestCutIsNotRetriedByTheTransport(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	if _, err := r.send(welcome(), "first, to have a connection to reuse"); err != nil {
		t.Fatal(err)
	}
	r.fault(sandbox.Fault{Service: "resend", AfterCommit: true})
	if _, err := r.send(welcome(), "k"); err == nil {
		t.Error("the cut went unseen")
	}
	if n := len(r.sandbox.Requests()); n != 2 {
		t.Errorf("%d requests arrived, want 2", n)
	}
}

func TestFaultDelay(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	r.fault(sandbox.Fault{Match: "POST /emails", DelayMS: 60_000})
	r.fault(sandbox.Fault{Match: "POST /emails", DelayMS: 60_000, AfterCommit: true})
	for _, mails := range []int{0, 1} {
		ctx, cancel := context.WithCancel(context.Background())
		arrived := make(chan struct{})
		go func() {
			for r.sandbox.Faults()[1-mails].Hits == 0 || len(r.sandbox.Emails()) < mails {
				time.Sleep(time.Millisecond)
			}
			close(arrived)
			cancel()
		}()
		_, err := r.resend.Emails.SendWithContext(ctx, welcome())
		<-arrived
		if !errors.Is(err, context.Canceled) || len(r.sandbox.Emails()) != mails {
			t.Errorf("%v and %d mails, want %d", err, len(r.sandbox.Emails()), mails)
		}
	}
	r.fault(sandbox.Fault{Match: "POST /emails", DelayMS: 1})
	if _, err := r.send(welcome(), ""); err != nil {
		t.Errorf("a late answer failed: %v", err)
	}
}

func TestFaultRateLimits(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	r.fault(sandbox.Fault{Match: purchases, Status: 429, RetryAfter: 7, Count: -1})
	for range 3 {
		wantTwilioCode(t, r.tryBuy(), 429, 20429)
	}
	req, err := http.NewRequest(http.MethodPost, r.url+"/2010-04-01/Accounts/"+sandbox.DefaultAccountSID+"/IncomingPhoneNumbers.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Header.Get("Retry-After") != "7" {
		t.Errorf("headers: %v", resp.Header)
	}
	if !r.sandbox.ClearFaults("") || r.tryBuy() != nil {
		t.Error("cleared faults still act")
	}

	r.fault(sandbox.Fault{Service: "resend", Status: 429, RetryAfter: 3})
	_, err = r.send(welcome(), "")
	var limited *resend.RateLimitError
	if !errors.As(err, &limited) || limited.RetryAfter != "3" || limited.Remaining != "0" {
		t.Errorf("got %+v", err)
	}
}

func TestFaultByControlAPI(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	var f sandbox.Fault
	r.call("POST", "/_sandbox/faults", `{"service":"twilio","match":"`+purchases+`","status":400,"code":21631,"message":"Phone Number Requires an Address"}`, 201, &f)
	err := r.tryBuy()
	wantTwilioCode(t, err, 400, 21631)
	if err == nil || !strings.Contains(err.Error(), "Requires an Address") {
		t.Errorf("message of %v", err)
	}
	var listed items[sandbox.Fault]
	r.call("GET", "/_sandbox/faults", "", 200, &listed)
	if len(listed.Items) != 1 || listed.Items[0].ID != f.ID || listed.Items[0].Hits != 1 || listed.Items[0].Code != "21631" {
		t.Errorf("faults: %+v", listed)
	}
	r.call("DELETE", "/_sandbox/faults/"+f.ID, "", 204, nil)
	r.call("DELETE", "/_sandbox/faults/"+f.ID, "", 404, nil)
	for _, bad := range []string{`{"service":"stripe"}`, `{"status":200}`, `{"delay_ms":-1}`, `{"colour":"red"}`, `[]`, `{`, `{}{}`} {
		r.call("POST", "/_sandbox/faults", bad, 422, nil)
	}
	r.call("POST", "/_sandbox/faults", `{"service":"resend","match":"POST /emails","status":403,"code":"validation_error"}`, 201, nil)
	if _, err := r.send(welcome(), ""); err == nil {
		t.Error("the fault did not act")
	}
	var journal items[sandbox.Request]
	r.call("GET", "/_sandbox/requests?service=resend&match=POST%20*", "", 200, &journal)
	if len(journal.Items) != 1 || journal.Items[0].Status != 403 {
		t.Errorf("journal: %+v", journal)
	}
	r.call("DELETE", "/_sandbox/faults", "", 204, nil)
	if len(r.sandbox.Faults()) != 0 {
		t.Error("faults are left")
	}
}
