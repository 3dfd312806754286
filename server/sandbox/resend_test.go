package sandbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/resend/resend-go/v2"

	"kestrel.ai/server/sandbox"
)

func welcome() *resend.SendEmailRequest {
	return &resend.SendEmailRequest{
		From: "Kestrel <hello@kestrel.test>", To: []string{"admin@haiec.test"}, Subject: "Welcome", Html: "<p>Hello</p>", Text: "Hello",
		Headers: map[string]string{"X-Entity-Ref-ID": "1"},
	}
}

func (r *rig) send(m *resend.SendEmailRequest, key string) (string, error) {
	sent, err := r.resend.Emails.SendWithOptions(context.Background(), m, &resend.SendEmailOptions{IdempotencyKey: key})
	if err != nil {
		return "", err
	}
	return sent.Id, nil
}

func wantResendError(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("got %v, want one about %q", err, part)
	}
}

func TestSendEmail(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	id, err := r.send(welcome(), "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.resend.Emails.Get(id)
	if err != nil || got.Subject != "Welcome" || got.To[0] != "admin@haiec.test" || got.Html != "<p>Hello</p>" || got.Text != "Hello" {
		t.Errorf("%v %+v", err, got)
	}
	if _, err = r.send(welcome(), ""); err != nil {
		t.Fatal(err)
	}
	one := 1
	page, err := r.resend.Emails.ListWithOptions(context.Background(), &resend.ListOptions{Limit: &one})
	if err != nil || len(page.Data) != 1 || !page.HasMore {
		t.Fatalf("%v %+v", err, page)
	}
	rest, err := r.resend.Emails.ListWithOptions(context.Background(), &resend.ListOptions{After: &page.Data[0].Id})
	if err != nil || len(rest.Data) != 1 || rest.Data[0].Id != id || rest.HasMore {
		t.Errorf("%v %+v", err, rest)
	}
	_, err = r.resend.Emails.Get("00000000-0000-4000-8000-000000000000")
	wantResendError(t, err, "Email not found")
	_, err = resendAs(r, "re_wrong").Emails.Send(welcome())
	wantResendError(t, err, "API key is invalid")
	_, err = resendAs(r, "").Emails.Send(welcome())
	wantResendError(t, err, "Missing API Key")
}

func TestEmailValidation(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	r.resendWire.broken = true
	for want, spoil := range map[string]func(*resend.SendEmailRequest){
		"`from`":           func(m *resend.SendEmailRequest) { m.From = "" },
		"Invalid `from`":   func(m *resend.SendEmailRequest) { m.From = "Kestrel" },
		"`to`":             func(m *resend.SendEmailRequest) { m.To = nil },
		"Invalid `to`":     func(m *resend.SendEmailRequest) { m.To = []string{"nobody"} },
		"at most 50":       func(m *resend.SendEmailRequest) { m.To = make([]string, 51) },
		"`subject`":        func(m *resend.SendEmailRequest) { m.Subject = "" },
		"`html` or `text`": func(m *resend.SendEmailRequest) { m.Html, m.Text = "", "" },
	} {
		m := welcome()
		spoil(m)
		_, err := r.send(m, "")
		wantResendError(t, err, want)
	}
	if sent := r.sandbox.Emails(); len(sent) != 0 {
		t.Errorf("an invalid mail was sent: %+v", sent)
	}
}

func TestEmailIdempotency(t *testing.T) {
	t.Parallel()
	now, advance := clock()
	r := start(t, sandbox.Options{Now: now})
	first, err := r.send(welcome(), "welcome:1")
	if err != nil {
		t.Fatal(err)
	}
	advance(24*time.Hour - time.Second)
	if again, err := r.send(welcome(), "welcome:1"); err != nil || again != first {
		t.Errorf("the same request gave %s, %v; want %s", again, err, first)
	}
	other := welcome()
	other.Subject = "Changed"
	_, err = r.send(other, "welcome:1")
	wantResendError(t, err, "another request body")
	if id, err := r.send(other, "welcome:2"); err != nil || id == first {
		t.Errorf("another key gave %s, %v", id, err)
	}
	if n := len(r.sandbox.Emails()); n != 2 {
		t.Errorf("%d mails, want 2", n)
	}
	advance(2 * time.Second)
	if late, err := r.send(other, "welcome:1"); err != nil || late == first {
		t.Errorf("after 24 hours the key is still held: %s, %v", late, err)
	}
	_, err = r.send(welcome(), strings.Repeat("k", 257))
	wantResendError(t, err, "1-256")

	bad := welcome()
	bad.To = []string{"nobody"}
	if _, err := r.send(bad, "welcome:3"); err == nil {
		t.Error("an invalid mail was taken")
	}
	if _, err := r.send(welcome(), "welcome:3"); err != nil {
		t.Errorf("a refused request used up its key: %v", err)
	}
}

func TestConcurrentIdempotentRequests(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	if _, err := r.sandbox.AddFault(sandbox.Fault{Service: "resend", DelayMS: 60_000, AfterCommit: true, Status: 500}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	slow := make(chan error)
	go func() {
		_, err := r.resend.Emails.SendWithOptions(ctx, welcome(), &resend.SendEmailOptions{IdempotencyKey: "k"})
		slow <- err
	}()
	for len(r.sandbox.Emails()) == 0 {
		time.Sleep(time.Millisecond)
	}
	_, err := r.send(welcome(), "k")
	wantResendError(t, err, "in progress")
	cancel()
	if err := <-slow; !errors.Is(err, context.Canceled) {
		t.Errorf("the slow request ended with %v", err)
	}
	for { // the sandbox hears of the cancelled request a moment later
		if _, err = r.send(welcome(), "k"); err == nil || !strings.Contains(err.Error(), "in progress") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err != nil || len(r.sandbox.Emails()) != 1 {
		t.Errorf("after it: %v and %d mails, want the first one's answer", err, len(r.sandbox.Emails()))
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	r := start(t, sandbox.Options{})
	bad := welcome()
	bad.To = []string{"nobody"}
	batch := []*resend.SendEmailRequest{welcome(), bad, welcome()}
	_, err := r.resend.Batch.Send(batch)
	wantResendError(t, err, "emails[1]: Invalid `to`")
	if len(r.sandbox.Emails()) != 0 {
		t.Error("a refused batch sent mails")
	}
	options := &resend.BatchSendEmailOptions{BatchValidation: resend.BatchValidationPermissive, IdempotencyKey: "batch:1"}
	sent, err := r.resend.Batch.SendWithOptions(context.Background(), batch, options)
	if err != nil || len(sent.Data) != 2 || len(sent.Errors) != 1 || sent.Errors[0].Index != 1 {
		t.Fatalf("%v %+v", err, sent)
	}
	again, err := r.resend.Batch.SendWithOptions(context.Background(), batch, options)
	if err != nil || again.Data[1] != sent.Data[1] || len(r.sandbox.Emails()) != 2 {
		t.Errorf("repeated: %v %+v", err, again)
	}
	r.resendWire.broken = true
	_, err = r.resend.Batch.Send(nil)
	wantResendError(t, err, "1 to 100")
}
