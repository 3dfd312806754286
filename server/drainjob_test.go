//go:build !production

package main

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/sandbox"
	telephone "kestrel.ai/server/sandbox/caller"
	"kestrel.ai/supabase/supabasetest"
)

// branch is one web process, the built binary, that answers HAIEC's number; Twilio and the model are stand-ins that outlive it.
type branch struct {
	t       *testing.T
	db      *supabasetest.Database
	sandbox *sandbox.Sandbox
	vendor  string
	addr    string
	output  *syncBuffer
	cmd     *exec.Cmd
	exited  chan error
}

const branchOwner = "+16175550100"

func newBranch(t *testing.T, env ...string) *branch {
	t.Helper()
	b := &branch{t: t, db: supabasetest.New(t), sandbox: sandbox.New(sandbox.Options{Speed: 4}), addr: freeAddr(t), output: &syncBuffer{}, exited: make(chan error, 1)}
	vendors := httptest.NewServer(b.sandbox)
	t.Cleanup(vendors.Close)
	t.Cleanup(func() { _ = b.sandbox.Close() })
	b.vendor = vendors.URL
	base := "http://api.localhost" + b.addr[strings.LastIndex(b.addr, ":"):]
	b.cmd = command(t, "serve")
	b.cmd.Env = append(append(b.cmd.Env, "KESTREL_ENV=dev", "BASE_DOMAIN=localhost", "PUBLIC_SCHEME=http", "ADDR="+b.addr, "METRICS_ADDR=127.0.0.1:0", "SESSION_KEY="+strings.Repeat("k", 32),
		"APP_DATABASE_URL="+b.db.AppURL, "JOURNAL_DIR="+t.TempDir(), "SUPABASE_URL=http://127.0.0.1:1", "SUPABASE_KEY=sb_publishable_x", "SUPABASE_SERVICE_KEY=sb_secret_x",
		"BASE_WEBHOOK_URL="+base, "TWILIO_ACCOUNT_SID="+sandbox.DefaultAccountSID, "TWILIO_AUTH_TOKEN="+sandbox.DefaultAuthToken, "TWILIO_BASE_URL="+b.vendor,
		"OPENAI_API_KEY="+sandbox.DefaultOpenAIKey, "OPENAI_BASE_URL="+b.vendor+"/v1"), env...)
	b.exec(`with t as (insert into tenants (slug, company_name, owner_email, subscription_status, forward_to_number, plan_tier) values ('haiec', 'HAIEC', 'owner@haiec.test', 'active', $1, 'starter') returning id)
		insert into phone_numbers (tenant_id, phone_number, status, is_primary) select id, $2, 'ready', true from t`, branchOwner, briefNumber)
	hooks := twilio.WebhooksFor(base, "haiec", "")
	if _, err := b.sandbox.AddNumber(sandbox.Number{PhoneNumber: briefNumber, VoiceURL: hooks.Voice, VoiceMethod: "POST", StatusCallback: hooks.Status, StatusCallbackMethod: "POST"}); err != nil {
		t.Fatal(err)
	}
	b.cmd.Stdout, b.cmd.Stderr = b.output, b.output
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { b.exited <- b.cmd.Wait() }()
	t.Cleanup(func() { _ = b.cmd.Process.Kill() })
	b.until("it is ready", func() bool { return b.readiness() == http.StatusOK })
	return b
}

func (b *branch) exec(sql string, args ...any) {
	b.t.Helper()
	if _, err := b.db.Admin.Exec(b.t.Context(), sql, args...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *branch) readiness() int {
	resp, err := http.Get("http://" + b.addr + "/readyz")
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func (b *branch) until(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: not within 20 s\n%s", what, tail(b.output.String()))
		}
	}
}

// TestDeployInMidCall ends a web process while people are talking to the agent. Who rings now is forwarded, who is talking
// goes on, and who is still talking at the deadline is forwarded too.
func TestDeployInMidCall(t *testing.T) {
	t.Parallel()
	b := newBranch(t, "DRAIN_TIMEOUT=12s")
	brief := telephone.Ring(t, b.vendor, briefNumber, "+16175550121")
	long := telephone.Ring(t, b.vendor, briefNumber, "+16175550122")
	brief.Hears("HAIEC")
	long.Hears("HAIEC")
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	b.until("it is not ready", func() bool { return b.readiness() == http.StatusServiceUnavailable })
	late := telephone.Ring(t, b.vendor, briefNumber, "+16175550123")
	if c := late.Now(); c.Webhook == nil || c.Webhook.Status != 200 || strings.Contains(c.TwiML, "Stream") || !strings.Contains(c.TwiML, branchOwner) {
		t.Errorf("a call that came during the drain was told %+v", c.Webhook)
	}
	brief.Says("When are you open?")
	brief.Hears("hours")
	brief.HangsUp()
	handed := long.Until("to be forwarded", func(c sandbox.Call) bool { return len(c.Verbs) > 0 && c.Verbs[len(c.Verbs)-1].Verb == "Dial" })
	if len(handed.Errors) > 0 {
		t.Errorf("%v", handed.Errors[0])
	}
	select {
	case err := <-b.exited:
		if err != nil {
			t.Errorf("it ended with %v\n%s", err, tail(b.output.String()))
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
	for from, want := range map[string]string{
		"+16175550121": "agent caller_hung_up", "+16175550122": "agent drained", "+16175550123": "forward unavailable",
	} {
		var got string
		err := b.db.Admin.QueryRow(t.Context(), `select route || ' ' || case route when 'agent' then end_reason else route_reason end from call_logs where from_number = $1`, from).Scan(&got)
		if err != nil || got != want {
			t.Errorf("%s: %q, want %q (%v)", from, got, want, err)
		}
	}
}
