package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// WebhookCheck is what one webhook answered to a test event.
type WebhookCheck struct {
	Name        string `json:"name" enum:"voice,status,sms" example:"voice"`
	URL         string `json:"url" doc:"As last seen at Twilio" example:"https://api.kestrel.ai/api/voice/incoming?tenant=haiec"`
	OK          bool   `json:"ok" doc:"It is Kestrel's, and answered as Twilio expects"`
	Status      int    `json:"status" doc:"HTTP status; 0 without an answer" example:"200"`
	ContentType string `json:"content_type,omitempty" example:"text/xml; charset=utf-8"`
	Answer      string `json:"answer,omitempty" doc:"Its first 4,000 characters"`
	TookMS      int64  `json:"took_ms" example:"3"`
	Problem     string `json:"problem,omitempty" doc:"Why there was no answer"`
}

const (
	checkCaller = "+15005550006" // Twilio's own number for tests: nobody has it
	checkWithin = 10 * time.Second
	checkAnswer = 4000 // bytes kept
)

const checkWebhooksDoc doc = `Try a number's webhooks
Sends a signed test event to each URL that Twilio has for the number, and shows what came back. Nothing is recorded, and
nobody is called.`

func (a *API) checkWebhooks(ctx context.Context, in *NumberInput) (*listOutput[WebhookCheck], error) {
	if err := a.twilioReady(); err != nil {
		return nil, err
	}
	r, err := findNumber(ctx, a.query(ctx), in.ID.UUID)
	if err != nil {
		return nil, err
	}
	var hooks twilio.Webhooks
	if len(r.Webhooks) > 0 {
		if hooks, err = storedWebhooks(r.Webhooks); err != nil {
			return nil, err
		}
	}
	found := []WebhookCheck{{Name: "voice", URL: hooks.Voice}, {Name: "status", URL: hooks.Status}, {Name: "sms", URL: hooks.SMS}}
	var running sync.WaitGroup
	for i := range found {
		running.Go(func() { a.tryWebhook(ctx, &found[i], r) })
	}
	running.Wait()
	return whole(found), nil
}

func storedWebhooks(raw json.RawMessage) (twilio.Webhooks, error) {
	var stored struct {
		Voice  string `json:"voice_url"`
		Status string `json:"status_callback"`
		SMS    string `json:"sms_url"`
	}
	err := json.Unmarshal(raw, &stored)
	return twilio.Webhooks{Voice: stored.Voice, Status: stored.Status, SMS: stored.SMS}, err
}

// tryWebhook sends only to ourselves: a signature made for somebody else's address would be theirs to use.
func (a *API) tryWebhook(ctx context.Context, check *WebhookCheck, r db.FindNumberRow) {
	switch {
	case check.URL == "":
		check.Problem = "Twilio has no URL for this. Set the webhooks again."
		return
	case !strings.HasPrefix(check.URL, a.Config.WebhookBase+"/api/"):
		check.Problem = "This URL is not Kestrel's, so nothing was sent. Set the webhooks again."
		return
	}
	form := url.Values{"AccountSid": {a.Twilio.AccountSID()}, "ApiVersion": {"2010-04-01"}, "From": {checkCaller}, "To": {r.PhoneNumber}}
	switch check.Name {
	case "sms":
		form.Set("MessageSid", twilio.CheckMessageSID)
		form.Set("Body", "A test by Kestrel")
	case "status":
		form.Set("CallSid", twilio.CheckCallSID)
		form.Set("CallStatus", "completed")
		form.Set("CallDuration", "1")
	default:
		form.Set("CallSid", twilio.CheckCallSID)
		form.Set("CallStatus", "ringing")
		form.Set("Direction", "inbound")
	}
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, check.URL, strings.NewReader(form.Encode()))
	if err != nil {
		check.Problem = "The URL cannot be used."
		return
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	req.Header.Set("X-Twilio-Signature", a.Twilio.Sign(check.URL, form))
	resp, err := a.webhookClient().Do(req)
	check.TookMS = time.Since(began).Milliseconds()
	if err != nil {
		check.Problem = "There was no answer."
		if errors.Is(err, context.DeadlineExceeded) {
			check.Problem = "There was no answer within 10 seconds."
		}
		a.Log.WarnContext(ctx, "webhook check", "webhook", check.Name, "request_id", edge.FromContext(ctx).RequestID, "error", err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, checkAnswer))
	check.Status, check.ContentType, check.Answer = resp.StatusCode, resp.Header.Get("Content-Type"), string(bytes.ToValidUTF8(answer, nil))
	check.OK = resp.StatusCode >= 200 && resp.StatusCode < 300
}

// webhookClient follows no redirect, as Twilio would not for a POST, and finds *.localhost on this machine.
func (a *API) webhookClient() *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
				address = net.JoinHostPort("127.0.0.1", port)
			}
			return dialer.DialContext(ctx, network, address)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
