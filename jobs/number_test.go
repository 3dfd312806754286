package jobs_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/sandbox"
)

const buying = "POST /2010-04-01/Accounts/*/IncomingPhoneNumbers.json"

// buy orders a number, by E.164 or by area code.
func (w *world) buy(tenant uuid.UUID, what string, activate bool) uuid.UUID {
	w.t.Helper()
	column := "area_code"
	if strings.HasPrefix(what, "+") {
		column = "phone_number"
	}
	return scan[uuid.UUID](w, "insert into number_purchases (tenant_id, "+column+", activate) values ($1, $2, $3) returning id", tenant, what, activate)
}

// forSale is the sandbox's nth number in an area code.
func (w *world) forSale(code string, nth int) string {
	w.t.Helper()
	c, err := twilio.New(twilio.Config{AccountSID: sandbox.DefaultAccountSID, AuthToken: sandbox.DefaultAuthToken, BaseURL: w.vendors})
	must(w.t, err)
	found, err := c.Search(w.t.Context(), twilio.SearchQuery{AreaCode: code})
	must(w.t, err)
	return found[nth].PhoneNumber
}

func (w *world) numberStatus(tenant uuid.UUID) string {
	return scan[string](w, `select coalesce(string_agg(status || coalesce(': ' || status_reason, ''), ', '), '') from phone_numbers where tenant_id = $1`, tenant)
}

func TestPurchaseByAreaCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.work()
	tenant := w.tenant("haiec")
	intent := w.buy(tenant, "857", true)
	j := w.ends("done", "number_purchase", intent)

	owned := w.sandbox.Numbers()
	if len(owned) != 1 {
		t.Fatalf("owned: %v", owned)
	}
	n := owned[0]
	same(t, "webhooks", []string{n.VoiceURL, n.StatusCallback, n.SMSURL, n.VoiceFallbackURL}, []string{
		webhookBase + "/api/voice/incoming?tenant=haiec", webhookBase + "/api/voice/status?tenant=haiec", webhookBase + "/api/sms/incoming?tenant=haiec",
		w.supabase + "/storage/v1/object/public/public-twiml/fallback/" + tenant.String() + ".xml",
	})
	same(t, "name", n.FriendlyName, twilio.FriendlyName("Company haiec", intent.String()))
	same(t, "steps", scan[[]string](w, `select array_agg(type order by id) from events where subject_id = $1`, j.ID),
		[]string{"job.queued", "job.searching", "job.buying", "job.configuring", "job.done"})
	same(t, "row", scan[string](w, `select n.phone_number || ' ' || n.provider_sid || ' ' || n.status || ' ' || t.subscription_status || ' ' || t.twilio_phone_number
		from phone_numbers n join tenants t on t.id = n.tenant_id`), n.PhoneNumber+" "+n.SID+" ready trial "+n.PhoneNumber)
	w.until("the mail", func() bool { return len(w.mails("haiec@example.com", "You're Live!")) == 1 })
	w.until("the fallback", func() bool {
		status, body := w.get(n.VoiceFallbackURL)
		return status == 200 && strings.Contains(body, "<Record")
	})
}

// A permanent failure ends at once, with what to do about it.
func TestPurchaseFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, reason string
		fault        sandbox.Fault
		what         string
		with         func(*jobs.Deps)
	}{
		{name: "taken", reason: "Somebody else has taken this number", fault: sandbox.Fault{Match: buying, Status: 400, Code: "21422"}},
		{name: "address", reason: "needs a registered address", fault: sandbox.Fault{Match: buying, Status: 400, Code: "21631"}},
		{name: "credentials", reason: "check TWILIO_ACCOUNT_SID", fault: sandbox.Fault{Match: "IncomingPhoneNumbers", Status: 401, Count: -1}},
		{name: "unconfigured", reason: "Set TWILIO_ACCOUNT_SID", with: func(d *jobs.Deps) { d.Twilio, _ = twilio.New(twilio.Config{}) }},
		{name: "soldout", what: "857", reason: "no more numbers for sale in area code 857", fault: sandbox.Fault{Match: buying, Status: 400, Code: "21422", Count: -1},
			with: func(d *jobs.Deps) { d.Twilio = fewOffers{d.Twilio} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.fault.Match != "" {
				w.fault(c.fault)
			}
			what := c.what
			if what == "" {
				what = w.forSale("857", 0)
			}
			if c.with != nil {
				w.work(c.with)
			} else {
				w.work()
			}
			intent := w.buy(w.tenant("acme"), what, true)
			j := w.ends("failed", "number_purchase", intent)
			if !strings.Contains(j.Reason, c.reason) || j.Attempt != 1 {
				t.Errorf("%+v", j)
			}
			same(t, "intent", scan[string](w, `select state || ' ' || reason from number_purchases where id = $1`, intent), "failed "+j.Reason)
			same(t, "owned", len(w.sandbox.Numbers()), 0)
			w.until("River", func() bool {
				return scan[string](w, `select state::text from river.river_job where kind = 'number_purchase'`) == "cancelled"
			})
		})
	}
}

// fewOffers finds three numbers at most.
type fewOffers struct{ jobs.Twilio }

func (f fewOffers) Search(ctx context.Context, q twilio.SearchQuery) ([]twilio.AvailableNumber, error) {
	found, err := f.Twilio.Search(ctx, q)
	return found[:min(len(found), 3)], err
}

func TestPurchaseSurvives(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		faults   []sandbox.Fault
		area     bool
		attempts int
		created  int // requests to buy
	}{
		{name: "cut after the effect", faults: []sandbox.Fault{{Match: buying, AfterCommit: true}}, attempts: 1, created: 1},
		{name: "500 after the effect", faults: []sandbox.Fault{{Match: buying, Status: 500, AfterCommit: true}}, attempts: 1, created: 1},
		{name: "500 before it", faults: []sandbox.Fault{{Match: buying, Status: 500}}, attempts: 2, created: 2},
		{name: "limited", faults: []sandbox.Fault{{Match: buying, Status: 429}}, attempts: 2, created: 2},
		{name: "taken, so the next", faults: []sandbox.Fault{{Match: buying, Status: 400, Code: "21422"}}, area: true, attempts: 1, created: 2},
		{name: "failing look after an unknown outcome", faults: []sandbox.Fault{
			{Match: "GET *IncomingPhoneNumbers.json", Status: 503, Count: 1}, {Match: buying, AfterCommit: true}}, attempts: 2, created: 1},
		{name: "failing webhooks", faults: []sandbox.Fault{{Match: buying, AfterCommit: true}, {Match: "POST *IncomingPhoneNumbers/*", Status: 500, Count: 2}}, attempts: 1, created: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			what := w.forSale("857", 1)
			if c.area {
				what = "857"
			}
			w.work()
			// The sweep looks once at the start: the faults are the purchase's.
			w.until("the sweep's look", func() bool { return w.requests("GET", "IncomingPhoneNumbers.json") > 0 })
			for _, f := range c.faults {
				w.fault(f)
			}
			j := w.ends("done", "number_purchase", w.buy(w.tenant("acme"), what, false))
			same(t, "attempts", j.Attempt, c.attempts)
			same(t, "owned", len(w.sandbox.Numbers()), 1)
			same(t, "requests to buy", w.requests("POST", "IncomingPhoneNumbers.json"), c.created)
			if c.area {
				same(t, "refused", scan[int](w, `select cardinality(refused) from number_purchases`), 1)
			}
		})
	}
}

// The same request is not repeated sooner than the vendor wished.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fault(sandbox.Fault{Match: buying, Status: 429, RetryAfter: 1})
	w.work()
	w.ends("done", "number_purchase", w.buy(w.tenant("acme"), w.forSale("857", 0), false))
	var at []time.Time
	for _, r := range w.sandbox.Requests() {
		if r.Method == "POST" && strings.HasSuffix(r.Path, "IncomingPhoneNumbers.json") {
			at = append(at, r.At)
		}
	}
	if len(at) != 2 || at[0].Sub(at[1]) < time.Second {
		t.Errorf("tries at %v", at)
	}
}

func TestPurchaseForClosedTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	none, bought := w.tenant("none"), w.tenant("bought")
	number := w.forSale("857", 2)
	first, second := w.buy(none, "857", true), w.buy(bought, number, true)
	// As if the worker had died right after the purchase.
	_, err := w.sandbox.AddNumber(sandbox.Number{PhoneNumber: number, FriendlyName: twilio.FriendlyName("Company bought", second.String())})
	must(t, err)
	w.exec(`delete from tenants`)
	w.work()
	j := w.ends("failed", "number_purchase", first)
	if !strings.Contains(j.Reason, "Nothing was bought") {
		t.Error(j.Reason)
	}
	w.ends("done", "number_purchase", second)
	same(t, "number", w.numberStatus(bought), "ready")
	same(t, "status", scan[string](w, `select subscription_status from tenants where id = $1`, bought), "pending")
	same(t, "owned", len(w.sandbox.Numbers()), 1)
	same(t, "requests to buy", w.requests("POST", "IncomingPhoneNumbers.json"), 0)
}

func TestPurchaseOfOwnedNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	number := w.forSale("857", 3)
	_, err := w.sandbox.AddNumber(sandbox.Number{PhoneNumber: number, FriendlyName: "somebody's"})
	must(t, err)
	w.work()
	j := w.ends("failed", "number_purchase", w.buy(w.tenant("acme"), number, false))
	if !strings.Contains(j.Reason, "is in the Twilio account already") {
		t.Error(j.Reason)
	}
}

func TestNumberOfANewTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owned := w.forSale("857", 4)
	_, err := w.sandbox.AddNumber(sandbox.Number{PhoneNumber: owned})
	must(t, err)
	w.work()
	ours, theirs := w.tenant("ours", "twilio_phone_number", owned), w.tenant("theirs", "twilio_phone_number", "+14155550123")
	number := scan[uuid.UUID](w, `select id from phone_numbers where tenant_id = $1`, ours)
	w.ends("done", "number_verify", number)
	w.ends("done", "number_verify", scan[uuid.UUID](w, `select id from phone_numbers where tenant_id = $1`, theirs))
	same(t, "ours", w.numberStatus(ours), "ready")
	if s := w.numberStatus(theirs); !strings.HasPrefix(s, "not_owned: Our Twilio account does not have this number") {
		t.Error(s)
	}
	same(t, "webhook", w.sandbox.Numbers()[0].VoiceURL, webhookBase+"/api/voice/incoming?tenant=ours")
	same(t, "bought", w.requests("POST", "IncomingPhoneNumbers.json"), 0)

	w.exec(`update tenants set slug = 'renamed' where id = $1`, ours)
	w.ends("done", "webhook_configure", number)
	same(t, "renamed", w.sandbox.Numbers()[0].SMSURL, webhookBase+"/api/sms/incoming?tenant=renamed")

	w.exec(`update phone_numbers set status = 'releasing' where id = $1`, number)
	w.ends("done", "number_release", number)
	same(t, "released", w.numberStatus(ours), "released")
	same(t, "owned", len(w.sandbox.Numbers()), 0)
}

func TestSweepReportsWhatNobodyHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	known, unknown, wanted := w.forSale("857", 5), w.forSale("857", 6), w.forSale("857", 7)
	for _, number := range []string{known, unknown, wanted} {
		_, err := w.sandbox.AddNumber(sandbox.Number{PhoneNumber: number})
		must(t, err)
	}
	tenant := w.tenant("acme", "twilio_phone_number", known)
	w.exec(`alter table number_purchases disable trigger user`)
	w.buy(tenant, wanted, false)
	var log safeBuffer
	w.work(func(d *jobs.Deps) {
		d.Config.Tuning.Sweep = 50 * time.Millisecond
		d.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	w.until("the report", func() bool { return strings.Contains(log.String(), unknown) })
	if s := log.String(); strings.Contains(s, "that no tenant has: give it to one, or release it\" phone_number="+known) || strings.Contains(s, "phone_number="+wanted) {
		t.Error(s)
	}
	same(t, "nothing changed", len(w.sandbox.Numbers()), 3)
}

type safeBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
