package voice_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/server/voice"
)

// Whatever order the events of a call come in, and however often, the call ends up the same.
func TestEventsInEveryOrder(t *testing.T) {
	t.Parallel()
	o := newOffice(t, noModel)
	tenant := value[uuid.UUID](o, `select id from tenants where slug = 'haiec'`)
	at := time.Now().Add(-time.Minute)
	kinds := []struct {
		kind, data string
		after      time.Duration
	}{
		{voice.CallStarted, `{"from":"` + aCaller + `","to":"` + haiec + `","channel":"call","route":"agent","agent_version":1}`, 0},
		{voice.CallAnswered, `{"channel":"call"}`, time.Second},
		{voice.CallStatus, `{"status":"in-progress"}`, time.Second},
		{voice.CallEnded, `{"reason":"agent_hung_up","agent_seconds":14.6,"usage":{"output_audio":1000},"latency_p50_ms":700,"latency_p95_ms":900}`, 15 * time.Second},
		{voice.CallStatus, `{"status":"completed","duration":15}`, 16 * time.Second},
	}
	var orders [][]int
	var permute func(done, left []int)
	permute = func(done, left []int) {
		if len(left) == 0 {
			orders = append(orders, append([]int(nil), done...))
		}
		for i := range left {
			rest := append(append([]int(nil), left[:i]...), left[i+1:]...)
			permute(append(append([]int(nil), done...), left[i]), rest)
		}
	}
	permute(nil, []int{0, 1, 2, 3, 4})
	for _, order := range orders {
		sid, ids := callSID(), [5]uuid.UUID{}
		for i := range ids {
			ids[i] = uuid.Must(uuid.NewV7())
		}
		call := uuid.Must(uuid.NewV7())
		for range 2 { // the whole journal is replayed once
			for _, i := range order {
				k := kinds[i]
				o.journal.Record(voice.Event{ID: ids[i], CallID: call, TenantID: tenant, CallSID: sid, Type: k.kind, At: at.Add(k.after), Data: []byte(k.data)})
			}
		}
	}
	o.journal.Settle(t.Context(), prettyQuick)
	o.row(`select count(*) = $1 from call_logs where status = 'completed' and duration_seconds = 15 and agent_seconds = 14 and end_reason = 'agent_hung_up' and latency_p95_ms = 900
		and carrier_cost_micros = 8500 and model_cost_micros = 64000 and cost_micros = 72500 and closed_at is not null and usage_id is not null and route = 'agent'`, len(orders))
	o.row(`select u.calls = $1 and u.seconds = $1 * 15 and u.cost_micros = $1 * 72500 from tenant_usage u where u.is_current`, len(orders))
	o.row(`select count(*) = $1 and count(distinct subject_id) = $1 from jobs where kind = 'call_analyze'`, len(orders))
	// A SID is its tenant's: another's events change nothing.
	other := o.company("acme", "+16175550199", "")
	sid := value[string](o, `select call_sid from call_logs limit 1`)
	o.journal.Record(voice.Event{TenantID: other, CallSID: sid, Type: voice.CallTurn, Data: []byte(`{"position":1,"speaker":"caller","text":"intruder"}`)})
	o.journal.Settle(t.Context(), prettyQuick)
	if n := value[int](o, `select count(*)::int from call_turns`); n != 0 {
		t.Errorf("%d turns of another tenant's", n)
	}
}

// BenchmarkIncoming is the whole of a webhook that rings: socket, edge, signature, decision, TwiML, journal. Calls are
// refused by a bridge without a model, so that nothing else is measured.
func BenchmarkIncoming(b *testing.B) {
	o := newOffice(b, noModel)
	worst := time.Duration(0)
	for b.Loop() {
		began := time.Now()
		if got := o.post("/api/voice/incoming?tenant=haiec", ringing(callSID(), aCaller, haiec)); got.status != 200 || !strings.Contains(got.body, "<Dial") {
			b.Fatal(fmt.Sprint(got))
		}
		worst = max(worst, time.Since(began))
	}
	b.ReportMetric(float64(worst.Microseconds())/1000, "max-ms")
}
