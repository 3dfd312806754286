package sandbox_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/twilio/twilio-go/client"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"kestrel.ai/server/sandbox"
)

func TestControlLists(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	for i, to := range []string{"a@x.test", "Bea <b@x.test>", "a@x.test"} {
		m := welcome()
		m.To, m.Subject = []string{to}, fmt.Sprintf("You're Live! %d", i)
		if _, err := r.send(m, fmt.Sprintf("live:%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	var mails items[sandbox.Email]
	for query, subjects := range map[string]string{
		"": "2,1,0", "?to=A@x.test": "2,0", "?to=b@x.test": "1", "?to=x.test": "", "?subject=live!%201": "1", "?limit=1": "2",
	} {
		r.call("GET", "/_sandbox/emails"+query, "", 200, &mails)
		var got []string
		for _, m := range mails.Items {
			got = append(got, m.Subject[len(m.Subject)-1:])
		}
		if strings.Join(got, ",") != subjects {
			t.Errorf("%q gives %v, want %s", query, got, subjects)
		}
	}
	r.call("GET", "/_sandbox/emails", "", 200, &mails)
	m := mails.Items[0]
	r.call("GET", "/_sandbox/emails/"+m.ID, "", 200, &m)
	if m.HTML != "<p>Hello</p>" || m.Text != "Hello" || m.Headers["X-Entity-Ref-ID"] != "1" || !strings.HasPrefix(m.IdempotencyKey, "live:") || m.CreatedAt.IsZero() {
		t.Errorf("mail: %+v", m)
	}

	var added sandbox.Number
	r.call("POST", "/_sandbox/numbers", `{"phone_number":"`+haiec+`","voice_url":"https://api.kestrel.test/v"}`, 201, &added)
	r.call("POST", "/_sandbox/numbers", `{"phone_number":"`+haiec+`"}`, 409, nil)
	r.call("POST", "/_sandbox/numbers", `{"phone_number":"857"}`, 422, nil)
	r.buy(*r.searchLocal(search().SetAreaCode(617))[0].PhoneNumber)
	var numbers items[sandbox.Number]
	r.call("GET", "/_sandbox/numbers", "", 200, &numbers)
	if len(numbers.Items) != 2 || numbers.Items[1].PhoneNumber != haiec || numbers.Items[1].VoiceURL != "https://api.kestrel.test/v" || numbers.Items[1].SMSMethod != "POST" {
		t.Errorf("numbers: %+v", numbers)
	}

	r.call("DELETE", "/_sandbox", "", 204, nil)
	for _, list := range []string{"emails", "numbers", "messages", "calls", "faults", "requests"} {
		var left items[any]
		r.call("GET", "/_sandbox/"+list, "", 200, &left)
		if left.Items == nil || len(left.Items) != 0 {
			t.Errorf("%s after a reset: %+v", list, left)
		}
	}
}

func TestControlGuards(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	for name, c := range map[string]struct {
		method, path, host, origin, contentType string
		status                                  int
	}{
		"own host":          {"GET", "/_sandbox/emails", "", "", "", 200},
		"sandbox.localhost": {"GET", "/", "sandbox.localhost:8080", "", "", 200},
		"ipv6":              {"GET", "/_sandbox/emails", "[::1]:8090", "", "", 200},
		"rebound":           {"GET", "/_sandbox/emails", "evil.test", "", "", 421},
		"rebound page":      {"GET", "/", "evil.test:8090", "", "", 421},
		"rebound mail":      {"GET", "/_sandbox/emails/x/html", "evil.test", "", "", 421},
		"suffix":            {"GET", "/_sandbox/emails", "localhost.evil.test", "", "", 421},
		"own origin":        {"POST", "/_sandbox/faults", "localhost:8090", "http://localhost:8090", "application/json", 201},
		"other origin":      {"POST", "/_sandbox/faults", "", "http://haiec.localhost:8080", "application/json", 403},
		"no origin":         {"POST", "/_sandbox/faults", "", "null", "application/json", 403},
		"a form":            {"POST", "/_sandbox/faults", "", "", "application/x-www-form-urlencoded", 415},
		"text":              {"POST", "/_sandbox/messages", "", "", "text/plain", 415},
		"no type":           {"POST", "/_sandbox/numbers", "", "", "", 415},
		"charset":           {"POST", "/_sandbox/faults", "", "", "application/json; charset=utf-8", 201},
		"elsewhere":         {"GET", "/nowhere", "", "", "", 404},
		"other method":      {"PUT", "/_sandbox/emails", "", "", "application/json", 404},
		"no such mail":      {"GET", "/_sandbox/emails/x/html", "", "", "", 404},
	} {
		req, err := http.NewRequest(c.method, r.url+c.path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = c.host
		for header, value := range map[string]string{"Origin": c.origin, "Content-Type": c.contentType} {
			if value != "" {
				req.Header.Set(header, value)
			}
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, c.status)
		}
		if resp.StatusCode >= 400 && (resp.Header.Get("Content-Type") != "application/json" || !strings.Contains(string(body), `"message"`)) {
			t.Errorf("%s: the error is %s", name, body)
		}
	}
}

// receiver is a Kestrel that checks signatures with Twilio's own code.
func receiver(t *testing.T, answer string) (*httptest.Server, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var bodies []string
	validator := client.NewRequestValidator(sandbox.DefaultAuthToken)
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !validator.ValidateBody(server.URL+r.URL.RequestURI(), body, r.Header.Get("X-Twilio-Signature")) {
			http.Error(w, "bad signature", http.StatusForbidden)
			return
		}
		mu.Lock()
		bodies = append(bodies, string(body))
		mu.Unlock()
		w.Header().Set("Content-Type", "text/xml")
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	return server, func() []string { mu.Lock(); defer mu.Unlock(); return bodies }
}

const greeting = `<Response><Say>Hello</Say><Pause length="60"/></Response>`

func TestInboundMessageAndCall(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	kestrel, received := receiver(t, greeting)
	n := r.buy(haiec)
	_, err := r.twilio.UpdateIncomingPhoneNumber(*n.Sid, (&api.UpdateIncomingPhoneNumberParams{}).
		SetSmsUrl(kestrel.URL+"/api/sms/incoming?tenant=haiec").SetVoiceUrl(kestrel.URL+"/api/voice/incoming?tenant=haiec"))
	if err != nil {
		t.Fatal(err)
	}

	var m sandbox.Message
	r.call("POST", "/_sandbox/messages", `{"to":"`+haiec+`","from":"+16175550123","body":"Are you open? ✓"}`, 201, &m)
	if m.Webhook.Status != 200 || m.Webhook.Body != greeting || m.Status != "received" {
		t.Errorf("message: %+v %+v", m, m.Webhook)
	}
	var c sandbox.Call
	r.call("POST", "/_sandbox/calls", `{"to":"`+haiec+`","from":"+16175550123","say":["Hello"],"hangup_after_ms":60000}`, 201, &c)
	if c.TwiML != greeting || c.Status != "in-progress" || c.NumberSID != *n.Sid {
		t.Errorf("call: %+v", c)
	}
	got := received()
	if len(got) != 2 || !strings.Contains(got[0], "MessageSid="+m.SID) || !strings.Contains(got[0], "Body=Are+you+open%3F") || !strings.Contains(got[1], "CallSid="+c.SID) {
		t.Errorf("received %q", got)
	}
	if listed, err := r.twilio.FetchMessage(m.SID, nil); err != nil || *listed.Direction != "inbound" {
		t.Errorf("%v %+v", err, listed)
	}
	ended, err := r.twilio.UpdateCall(c.SID, (&api.UpdateCallParams{}).SetStatus("completed"))
	if err != nil || *ended.Status != "completed" {
		t.Errorf("%v %+v", err, ended)
	}

	_, err = r.twilio.UpdateIncomingPhoneNumber(*n.Sid, (&api.UpdateIncomingPhoneNumberParams{}).SetSmsMethod("GET"))
	if err != nil {
		t.Fatal(err)
	}
	r.call("POST", "/_sandbox/messages", `{"to":"`+haiec+`","from":"+16175550123","body":"Hi"}`, 201, &m)
	if m.Webhook.Status != 200 {
		t.Errorf("by GET: %+v", m.Webhook)
	}

	r.call("POST", "/_sandbox/messages", `{"to":"+16175550100","from":"+16175550123","body":"Hi"}`, 404, nil)
	r.call("POST", "/_sandbox/calls", `{"to":"`+haiec+`","from":"anybody"}`, 422, nil)
}

func TestAbsentReceiver(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	gone, _ := receiver(t, "")
	gone.Close()
	for i, url := range []string{"", gone.URL, "https://kestrel.example/sms", "https://192.0.2.1/sms"} {
		number := fmt.Sprintf("+1617200000%d", i)
		if _, err := r.sandbox.AddNumber(sandbox.Number{PhoneNumber: number, SMSURL: url, VoiceURL: url}); err != nil {
			t.Fatal(err)
		}
		var m sandbox.Message
		r.call("POST", "/_sandbox/messages", `{"to":"`+number+`","from":"+16175550123","body":"Hi"}`, 201, &m)
		if m.Webhook == nil || m.Webhook.Status != 0 || m.Webhook.Error == "" {
			t.Errorf("%q: %+v", url, m.Webhook)
		}
		var c sandbox.Call
		r.call("POST", "/_sandbox/calls", `{"to":"`+number+`","from":"+16175550123"}`, 201, &c)
		if c.Status != "failed" || c.EndedAt == nil || c.Webhook.Error == "" {
			t.Errorf("%q: %+v", url, c)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{StateFile: t.TempDir() + "/state"})
	offers := r.searchLocal(search().SetAreaCode(415))
	var wg sync.WaitGroup
	bought := make([]int, 8)
	for i := range bought {
		wg.Go(func() {
			for _, o := range offers {
				if _, err := r.twilio.CreateIncomingPhoneNumber((&api.CreateIncomingPhoneNumberParams{}).SetPhoneNumber(*o.PhoneNumber)); err == nil {
					bought[i]++
				}
				if _, err := r.send(welcome(), *o.PhoneNumber); err != nil && !strings.Contains(err.Error(), "in progress") {
					t.Error(err)
				}
				r.sandbox.Requests()
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range bought {
		total += n
	}
	if total != len(offers) || len(r.sandbox.Numbers()) != total || len(r.sandbox.Emails()) != total {
		t.Errorf("%d purchases succeeded, %d numbers and %d mails, want %d of each", total, len(r.sandbox.Numbers()), len(r.sandbox.Emails()), len(offers))
	}
}
