package voice_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/sandbox"
	"kestrel.ai/server/sandbox/caller"
	"kestrel.ai/server/voice"
)

const (
	openNever  = `"hours": {"weekly": [], "holidays": []}`
	openAlways = `"hours": {"weekly": [{"day":"monday","opens":"00:00","closes":"24:00"},{"day":"tuesday","opens":"00:00","closes":"24:00"},{"day":"wednesday","opens":"00:00","closes":"24:00"},{"day":"thursday","opens":"00:00","closes":"24:00"},{"day":"friday","opens":"00:00","closes":"24:00"},{"day":"saturday","opens":"00:00","closes":"24:00"},{"day":"sunday","opens":"00:00","closes":"24:00"}], "holidays": []}`
)

// condition is something that is not as usual, and what callers then get: by default, and as a tenant has it otherwise.
type condition struct {
	name    string
	bring   func(o *office, slug string) // makes it so
	closed  bool
	busy    bool   // another call holds the tenant's one line
	forward string // "" is the owner's number
	routing string // JSON; "" is the default
	route   voice.Route
	reason  string
	says    string // in the TwiML
}

const (
	nowhere = "nowhere"
	ours    = "ours"
)

func conditions() []condition {
	over := func(o *office, slug string) {
		o.exec(`update tenants set max_monthly_calls = 1 where slug = $1`, slug)
		o.exec(`insert into call_logs (tenant_id, call_sid, started_at, agent_seconds, status) select id, 'CA' || slug, now(), 5, 'completed' from tenants where slug = $1`, slug)
		o.until("the limit is known to be reached", func() bool {
			l, _ := o.directory.BySlug(slug)
			o.directory.Used(l.Profile.TenantID)
			return l.OverLimit(time.Now())
		})
	}
	status := func(s string) func(*office, string) {
		return func(o *office, slug string) {
			if s == "cancelled" { // a state is not left out
				o.exec(`update tenants set subscription_status = 'suspended' where slug = $1`, slug)
			}
			o.exec(`update tenants set subscription_status = $2 where slug = $1`, slug, s)
			o.until("it is "+s, func() bool { l, _ := o.directory.BySlug(slug); return l.Status == s })
		}
	}
	blocked := func(o *office, slug string) {
		o.exec(`insert into contacts (tenant_id, phone_number, is_blocked) select id, $2, true from tenants where slug = $1`, slug, aCaller)
		o.until("the caller is blocked", func() bool { l, _ := o.directory.BySlug(slug); return l.Blocked(aCaller) })
	}
	const sorry, out = "We cannot take your call right now", "not in service"
	return []condition{
		{name: "as usual", route: voice.RouteAgent, says: "<Stream"},
		{name: "after hours", closed: true, route: voice.RouteAgent, reason: "after_hours", says: "<Stream"},
		{name: "after hours: forward", closed: true, routing: `{"after_hours":"forward"}`, route: voice.RouteForward, reason: "after_hours", says: haiecOwner},
		{name: "after hours: voicemail", closed: true, routing: `{"after_hours":"voicemail"}`, route: voice.RouteVoicemail, reason: "after_hours", says: "<Record"},
		{name: "after hours: message", closed: true, routing: `{"after_hours":"message"}`, route: voice.RouteMessage, reason: "after_hours", says: sorry},
		{name: "over limit", bring: over, route: voice.RouteForward, reason: "over_limit", says: haiecOwner},
		{name: "over limit, nowhere to forward", bring: over, forward: nowhere, route: voice.RouteVoicemail, reason: "over_limit", says: "<Record"},
		{name: "over limit: agent", bring: over, routing: `{"over_limit":"agent"}`, route: voice.RouteAgent, reason: "over_limit", says: "<Stream"},
		{name: "over limit: message", bring: over, routing: `{"over_limit":"message"}`, route: voice.RouteMessage, reason: "over_limit", says: sorry},
		{name: "suspended", bring: status("suspended"), route: voice.RouteMessage, reason: "suspended", says: out},
		{name: "suspended: forward", bring: status("suspended"), routing: `{"suspended":"forward"}`, route: voice.RouteForward, reason: "suspended", says: haiecOwner},
		{name: "cancelled", bring: status("cancelled"), route: voice.RouteMessage, reason: "cancelled", says: out},
		{name: "cancelled: voicemail", bring: status("cancelled"), routing: `{"suspended":"voicemail"}`, route: voice.RouteVoicemail, reason: "cancelled", says: "<Record"},
		{name: "blocked", bring: blocked, route: voice.RouteReject, reason: "blocked", says: `<Reject reason="rejected">`},
		{name: "blocked: message", bring: blocked, routing: `{"blocked":"message"}`, route: voice.RouteMessage, reason: "blocked", says: sorry},
		{name: "blocked: voicemail", bring: blocked, routing: `{"blocked":"voicemail"}`, route: voice.RouteVoicemail, reason: "blocked", says: "<Record"},
		{name: "lines busy", busy: true, route: voice.RouteForward, reason: "concurrency", says: haiecOwner},
		{name: "lines busy, nowhere to forward", busy: true, forward: nowhere, route: voice.RouteVoicemail, reason: "concurrency", says: "<Record"},
		{name: "lines busy: message", busy: true, routing: `{"concurrency":"message"}`, route: voice.RouteMessage, reason: "concurrency", says: sorry},
		{name: "forward number is ours", busy: true, forward: ours, route: voice.RouteVoicemail, reason: "concurrency", says: "<Record"},
		{name: "forward number is ours: message", busy: true, forward: ours, routing: `{"no_forward":"message"}`, route: voice.RouteMessage, reason: "concurrency", says: sorry},
		{name: "nowhere to forward: message", busy: true, forward: nowhere, routing: `{"no_forward":"message"}`, route: voice.RouteMessage, reason: "concurrency", says: sorry},
	}
}

// TestConditions is the table of where calls go, through signed webhooks: every condition as it is by default, and as a
// tenant may have it otherwise.
func TestConditions(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for i, c := range conditions() {
		o.condition(i, c)
	}
}

// TestConditionsWithoutAModel: no key is there.
func TestConditionsWithoutAModel(t *testing.T) {
	t.Parallel()
	o := newOffice(t, noModel)
	for i, c := range []condition{
		{name: "no model", route: voice.RouteForward, reason: "unavailable", says: haiecOwner},
		{name: "no model, nowhere to forward", forward: nowhere, route: voice.RouteVoicemail, reason: "unavailable", says: "<Record"},
		{name: "no model, forward number is ours", forward: ours, route: voice.RouteVoicemail, reason: "unavailable", says: "<Record"},
		{name: "no model: voicemail", routing: `{"unavailable":"voicemail"}`, route: voice.RouteVoicemail, reason: "unavailable", says: "<Record"},
		{name: "no model: message", routing: `{"unavailable":"message"}`, route: voice.RouteMessage, reason: "unavailable", says: "We cannot take your call right now"},
	} {
		o.condition(i, c)
	}
}

func (o *office) condition(i int, c condition) {
	o.t.Helper()
	slug, number := fmt.Sprintf("tenant-%d", i), fmt.Sprintf("+1617555%04d", 3000+i)
	forward := map[string]string{"": haiecOwner, nowhere: "", ours: haiec}[c.forward]
	o.company(slug, number, forward)
	settings := map[bool]string{true: openNever, false: openAlways}[c.closed]
	if c.routing != "" {
		settings += `, "routing": ` + c.routing
	}
	o.settings(slug, `{"limits": {"concurrent_calls": 1}, `+settings+`}`)
	if c.bring != nil {
		c.bring(o, slug)
	}
	hook := "/api/voice/incoming?tenant=" + slug
	if c.busy {
		o.post(hook, ringing(callSID(), "+16175550124", number))
	}
	sid := callSID()
	got := o.post(hook, ringing(sid, aCaller, number))
	if got.status != 200 || !strings.Contains(got.body, c.says) || strings.Contains(got.body, "<Stream") != (c.route == voice.RouteAgent) {
		o.t.Errorf("%s: %d %s", c.name, got.status, got.body)
	}
	o.row(`select route = $2 and coalesce(route_reason, '') = $3 and is_blocked = ($3 = 'blocked') from call_logs where call_sid = $1`, sid, c.route, c.reason)
}

// TestOwnerIsToldOnceOverTheLimit: however many callers are turned away.
func TestOwnerIsToldOnceOverTheLimit(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, c := range conditions() {
		if c.name != "over limit" {
			continue
		}
		o.settings("haiec", `{`+openAlways+`}`)
		c.bring(o, "haiec")
		for range 4 {
			sid := callSID()
			o.post("/api/voice/incoming?tenant=haiec", ringing(sid, aCaller, haiec))
			o.post("/api/voice/status?tenant=haiec", statusOf(sid, "completed", 9))
			o.row(`select route = 'forward' and status = 'completed' from call_logs where call_sid = $1`, sid)
		}
		o.row(`select count(*) = 1 from email_log where template = 'usage_warning' and dedupe_key like 'usage:100:%'`)
	}
}

// TestAfterHoursGreeting: the agent that answers knows that the business is closed.
func TestAfterHoursGreeting(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.settings("haiec", `{`+openNever+`}`)
	call := caller.Ring(t, o.vendor, haiec, aCaller)
	call.Hears("we are closed right now")
	call.HangsUp()
}

// TestModelOutOfReach: the first caller hears it within the dialling's time, the next ones are forwarded at once.
func TestModelOutOfReach(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.settings("haiec", `{`+openAlways+`}`)
	_, err := o.sandbox.AddFault(sandbox.Fault{Service: "openai", Match: "GET /v1/realtime", Status: 503, Count: -1})
	o.must(err)
	call := caller.Ring(t, o.vendor, haiec, aCaller)
	call.Until("to be forwarded", func(c sandbox.Call) bool { return len(c.Verbs) > 0 && c.Verbs[len(c.Verbs)-1].Verb == "Dial" })
	call.HangsUp()
	sid := callSID()
	if got := o.post("/api/voice/incoming?tenant=haiec", ringing(sid, aCaller, haiec)); strings.Contains(got.body, "<Stream") || !strings.Contains(got.body, haiecOwner) {
		t.Error(got.body)
	}
	o.row(`select route = $2 and route_reason = 'unavailable' from call_logs where call_sid = $1`, sid, agent.ToForward)
	o.row(`select count(*) = 1 from call_logs where route = 'agent' and end_reason = 'model_unreachable'`)
}
