package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

// aCall is a finished call with a transcript of one turn.
func aCall(w *apitest.World, c apitest.Company, sid, at, outcome, said string) uuid.UUID {
	return apitest.Value[uuid.UUID](w, `with l as (insert into call_logs (tenant_id, call_sid, from_number, to_number, status, started_at, duration_seconds, agent_seconds, outcome, sentiment, quality_score)
			values ($1, $2, '+16175551234', '+18573825169', 'completed', $3::timestamptz, 60, 50, $4, 'positive', 80) returning id),
		t as (insert into call_turns (tenant_id, call_id, position, speaker, text, started_ms) select $1, id, 1, 'caller', $5, 900 from l)
		select id from l`, c.ID, sid, at, outcome, said)
}

func TestCalls(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other", "+18573825170")
	first := aCall(w, c, "CA1", "2026-03-02T14:30:00Z", "booked", "My furnace makes a noise")
	aCall(w, c, "CA2", "2026-03-03T15:00:00Z", "message", "Is the noise normal? =1+1")
	theirs := aCall(w, other, "CA3", "2026-03-02T14:30:00Z", "booked", "My furnace is loud")
	one := "/api/tenant/calls/" + first.String()
	run(t, []step{
		{c.Viewer, "GET", "/api/tenant/calls", nil, 200, `"outcome":"message"`},
		{c.Viewer, "GET", one, nil, 200, `"started_ms":900`},
		{c.Viewer, "GET", "/api/tenant/calls/" + theirs.String(), nil, 404, "call_not_found"},
		{c.Viewer, "GET", one + "/recording", nil, 404, "recording_not_found"},
		{c.Viewer, "GET", "/api/tenant/calls?sentiment=angry", nil, 422, "sentiment"},
		{c.Viewer, "GET", "/api/tenant/calls?from=yesterday", nil, 422, "from"},
		{w.Staff("staff@kestrel.ai"), "GET", "/api/admin/tenants/" + other.ID.String() + "/calls", nil, 200, theirs.String()},
	})
	for query, want := range map[string]int{
		"": 2, "?outcome=booked": 1, "?outcome=booked,message": 2, "?sentiment=negative": 0, "?number=(617)555": 2, "?number=%2B1999": 0,
		"?q=noise": 2, "?q=furnace": 1, "?q=furnace+noise": 1, "?q=noise+-furnace": 1, "?q=%22noise+normal%22": 1, "?q=%22normal+noise%22": 0, "?q=loud": 0, "?q=%27%22%28%26": 0,
		"?from=2026-03-03T00:00:00Z": 1, "?to=2026-03-03T00:00:00Z": 1, "?from=2026-03-03T00:00:00Z&outcome=booked": 0,
	} {
		if got := len(apitest.JSON[struct{ Items []api.Call }](t, c.Viewer.Do("GET", "/api/tenant/calls"+query, nil)).Items); got != want {
			t.Errorf("%s: %d calls, want %d", query, got, want)
		}
	}
	csv := c.ReadKey.Do("GET", "/api/tenant/calls?format=csv&q=noise", nil)
	if lines := strings.Split(strings.TrimSpace(csv.Body), "\n"); csv.Status != 200 || len(lines) != 3 || !strings.HasPrefix(lines[0], "id,started_at") {
		t.Errorf("%d %s", csv.Status, csv.Body)
	}
}

// TestSearchNeedsTheRight holds the function that reads with more right than its caller to that caller's own.
func TestSearchNeedsTheRight(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other", "+18573825170")
	aCall(w, other, "CA3", "2026-03-02T14:30:00Z", "booked", "My furnace is loud")
	for name, claims := range map[string]string{"member elsewhere": `{"sub":"` + c.Owner.UserID.String() + `"}`, "member": `{"sub":"` + other.Owner.UserID.String() + `"}`} {
		tx, err := w.Admin.Begin(t.Context())
		must(t, err)
		var found int
		_, err = tx.Exec(t.Context(), `select set_config('request.jwt.claims', $1, true)`, claims)
		must(t, err)
		_, err = tx.Exec(t.Context(), `set local role authenticated`)
		must(t, err)
		must(t, tx.QueryRow(t.Context(), `select count(*) from private.calls_saying($1, 'furnace')`, other.ID).Scan(&found))
		must(t, tx.Rollback(t.Context()))
		if want := map[string]int{"member": 1}[name]; found != want {
			t.Errorf("%s: found %d, want %d", name, found, want)
		}
	}
}

func TestRecording(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c := w.Company("haiec", "+18573825169")
	call := aCall(w, c, "CA1", "2026-03-02T14:30:00Z", "booked", "Hello")
	path := c.ID.String() + "/" + call.String() + ".wav"
	must(t, w.Files.EnsureBucket(t.Context(), jobs.RecordingsBucket, false))
	must(t, w.Files.Upload(t.Context(), jobs.RecordingsBucket, path, "audio/wav", []byte("RIFF")))
	w.Exec(`update call_logs set recording_path = $2 where id = $1`, call, path)
	recording := "/api/tenant/calls/" + call.String() + "/recording"
	ticket := apitest.JSON[struct{ Ticket string }](t, c.Viewer.Do("POST", "/api/tickets", map[string]string{"path": recording})).Ticket
	byTicket := w.Anonymous("haiec.kestrel.ai").Do("GET", recording+"?ticket="+ticket, nil)
	for name, a := range map[string]apitest.Answer{"bearer": c.Viewer.Do("GET", recording, nil), "ticket": byTicket} {
		if a.Status != 302 || a.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %d %v %s", name, a.Status, a.Header, a.Body)
		}
		res, err := http.Get(a.Header.Get("Location"))
		must(t, err)
		file, err := io.ReadAll(res.Body)
		must(t, err)
		must(t, res.Body.Close())
		if string(file) != "RIFF" || res.StatusCode != 200 {
			t.Errorf("%s: %d %q", name, res.StatusCode, file)
		}
	}
	if a := c.Viewer.Do("GET", recording+"?as=stream", nil); a.Status != 200 || string(a.Body) != "RIFF" || a.Header.Get("Content-Type") != "audio/wav" || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("stream: %d %v %q", a.Status, a.Header, a.Body)
	}
	w.Exec(`update call_logs set recording_path = null, voicemail_path = $2 where id = $1`, call, path)
	if a := c.Viewer.Do("GET", recording+"?as=stream", nil); string(a.Body) != "RIFF" {
		t.Errorf("voicemail: %d %q", a.Status, a.Body)
	}
	must(t, w.Files.Remove(t.Context(), jobs.RecordingsBucket, path))
	run(t, []step{{c.Viewer, "GET", recording, nil, 404, "recording_not_found"}, {c.Viewer, "GET", recording + "?as=stream", nil, 404, "recording_not_found"}})
}

func TestWhatWasDoneOnACall(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c := w.Company("haiec", "+18573825169")
	call := aCall(w, c, "CA1", "2026-03-02T14:30:00Z", "booked", "Hello")
	w.Exec(`update call_logs set latency_p50_ms = 640, latency_p95_ms = 1180, end_reason = 'caller_hung_up' where id = $1`, call)
	w.Exec(`update call_turns set latency_ms = 640, interrupted = true where call_id = $1`, call)
	w.Exec(`select private.emit($1, $2, 'call.tool', '{"name": "book_appointment", "duration_ms": 120}')`, c.ID, call)
	w.Exec(`insert into appointments (tenant_id, call_id, starts_at, ends_at, customer_name) values ($1, $2, '2026-03-03T14:00Z', '2026-03-03T15:00Z', 'Pat Jones')`, c.ID, call)
	w.Exec(`insert into call_messages (tenant_id, conversation_id, body) values ($1, $2, 'Bring a ladder')`, c.ID, call)
	got := apitest.JSON[api.CallDetail](t, c.Viewer.Do("GET", "/api/tenant/calls/"+call.String(), nil))
	if *got.LatencyP50Ms != 640 || *got.LatencyP95Ms != 1180 || *got.EndReason != "caller_hung_up" || *got.Turns[0].LatencyMs != 640 || !got.Turns[0].Interrupted {
		t.Errorf("%+v", got)
	}
	if len(got.Actions) != 1 || got.Actions[0].Name != "book_appointment" || got.Actions[0].DurationMs != 120 ||
		len(got.Appointments) != 1 || got.Appointments[0].CustomerName != "Pat Jones" || len(got.Messages) != 1 || got.Messages[0].Body != "Bring a ladder" {
		t.Errorf("%+v %+v %+v", got.Actions, got.Appointments, got.Messages)
	}
}

func TestAnalytics(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other", "+18573825170")
	w.Exec(`update tenants set timezone = 'America/New_York' where id = $1`, c.ID)
	aCall(w, c, "CA0", "2026-02-20T14:30:00Z", "booked", "Before")
	aCall(w, c, "CA1", "2026-03-02T04:30:00Z", "booked", "Sunday night in New York")
	aCall(w, c, "CA2", "2026-03-02T14:30:00Z", "booked", "Monday")
	aCall(w, c, "CA4", "2026-03-02T14:45:00Z", "message", "Monday too")
	aCall(w, other, "CA3", "2026-03-02T14:30:00Z", "booked", "Elsewhere")
	zone := func() string {
		return apitest.JSON[api.Analytics](t, c.Viewer.Do("GET", "/api/tenant/analytics", nil)).Timezone
	}
	eventually(t, func() bool { return zone() == "America/New_York" })
	got := apitest.JSON[api.Analytics](t, c.ReadKey.Do("GET", "/api/tenant/analytics?from=2026-02-25T00:00:00Z&to=2026-03-05T00:00:00Z", nil))
	if got.Totals != (api.CallTotals{Calls: 3, Counted: 3, Answered: 3, Seconds: 180, AverageSeconds: 60, QualityScore: 80, Callers: 1}) || got.Before.Calls != 1 {
		t.Errorf("%+v %+v", got.Totals, got.Before)
	}
	if len(got.Series) != 2 || got.Series[0] != (api.CallPeriod{At: "2026-03-01T00:00:00", Calls: 1, Booked: 1, Seconds: 60}) || got.Series[1].Calls != 2 {
		t.Errorf("%+v", got.Series)
	}
	if len(got.Outcomes) != 2 || got.Outcomes[0] != (api.Share{Value: "booked", Calls: 2}) || len(got.Sentiments) != 1 {
		t.Errorf("%+v %+v", got.Outcomes, got.Sentiments)
	}
	if len(got.Busiest) != 2 || got.Busiest[0] != (api.BusyHour{Weekday: 1, Hour: 9, Calls: 2}) || got.Busiest[1] != (api.BusyHour{Weekday: 7, Hour: 23, Calls: 1}) {
		t.Errorf("%+v", got.Busiest)
	}
	run(t, []step{
		{c.Viewer, "GET", "/api/tenant/analytics?from=2026-03-05T00:00:00Z&to=2026-03-01T00:00:00Z", nil, 422, `"field":"from"`},
		{c.Viewer, "GET", "/api/tenant/analytics?by=hour&from=2026-01-05T00:00:00Z&to=2026-03-01T00:00:00Z", nil, 422, `"field":"from"`},
		{c.Viewer, "GET", "/api/tenant/analytics?by=minute", nil, 422, "by"},
	})
}

func TestFollowCalls(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other", "+18573825170")
	event := func(of apitest.Company, call uuid.UUID, sid, kind, data string) {
		t.Helper()
		if !apitest.Value[bool](w, `select private.record_call_event(private.uuid_v7(), $1, $2, $3, $4, now(), $5::jsonb)`, kind, of.ID, call, sid, data) {
			t.Fatalf("%s was not taken", kind)
		}
	}
	mine, theirs := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	event(c, mine, "CA1", "call.started", `{"from":"+16175551234","to":"+18573825169","route":"agent","channel":"call"}`)
	event(other, theirs, "CA2", "call.started", `{"from":"+16175551234","to":"+18573825170","route":"agent","channel":"call"}`)
	run(t, []step{{c.Viewer, "GET", "/api/tenant/calls/live", nil, 200, mine.String()}})
	res := c.Viewer.Open(t.Context(), "GET", "/api/tenant/calls/events", nil)
	defer func() { _ = res.Body.Close() }()
	first := events(t, res, 1)
	if names(first) != "live" || !strings.Contains(first[0].data, mine.String()) || strings.Contains(first[0].data, theirs.String()) {
		t.Fatalf("%+v", first)
	}
	event(other, theirs, "CA2", "call.answered", `{}`)
	event(c, mine, "CA1", "call.answered", `{}`)
	event(c, mine, "CA1", "call.turn", `{"position":1,"speaker":"caller","text":"My furnace makes a noise","started_ms":5,"ended_ms":900}`)
	event(c, mine, "CA1", "call.ended", `{"reason":"caller_hung_up","agent_seconds":9.5}`)
	got := events(t, res, 3)
	if names(got) != "answered turn ended" || !strings.Contains(got[1].data, `"text":"My furnace makes a noise"`) || !strings.Contains(got[2].data, mine.String()) {
		t.Fatalf("%+v", got)
	}
	again := c.Viewer.With("Last-Event-ID", got[0].id).Open(t.Context(), "GET", "/api/tenant/calls/events", nil)
	defer func() { _ = again.Body.Close() }()
	seen := map[string]bool{}
	for _, e := range events(t, again, 4) { // live, then the overlap
		seen[e.id] = true
	}
	if !seen[got[1].id] || !seen[got[2].id] {
		t.Errorf("resumed without what came after: %v", seen)
	}
	run(t, []step{{c.Viewer.With("Last-Event-ID", "7"), "GET", "/api/tenant/calls/events", nil, 422, `Last-Event-ID`}})
}
