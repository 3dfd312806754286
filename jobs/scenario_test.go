package jobs_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/server/agent"
	"kestrel.ai/server/sandbox"
)

// scenario writes one down.
func (w *world) scenario(tenant uuid.UUID, s agent.Scenario) uuid.UUID {
	w.t.Helper()
	lines, _ := json.Marshal(s.Lines)
	expect, _ := json.Marshal(s.Expect)
	return scan[uuid.UUID](w, `insert into agent_scenarios (tenant_id, name, held_at, lines, expect) values ($1, $2, $3, $4, $5) returning id`, tenant, s.Name, s.HeldAt, lines, expect)
}

// rehearsal is a result as it is kept.
type rehearsal struct {
	State      string               `json:"state"`
	Passed     *bool                `json:"passed"`
	Version    int                  `json:"version"`
	Failures   []string             `json:"failures"`
	Transcript []jobs.RehearsedTurn `json:"transcript"`
	Model      string               `json:"model"`
	Micros     int64                `json:"cost_micros"`
}

func (w *world) rehearsal(scenario uuid.UUID) (r rehearsal) {
	w.t.Helper()
	must(w.t, json.Unmarshal(scan[[]byte](w, `select to_jsonb(r) from agent_scenario_runs r where scenario_id = $1 order by id desc limit 1`, scenario), &r))
	return r
}

// rehearse orders all of a tenant's scenarios; the answer is the batch.
func (w *world) rehearse(tenant uuid.UUID) uuid.UUID {
	w.t.Helper()
	return w.subject(scan[uuid.UUID](w, `select private.run_scenarios($1)`, tenant))
}

// kept counts what a rehearsal must leave alone.
func (w *world) kept() int {
	w.t.Helper()
	return scan[int](w, `select (select count(*) from appointments) + (select count(*) from call_messages) + (select count(*) from contacts) + (select count(*) from messages)
		+ (select count(*) from appointment_notices) + (select count(*) from jobs where kind in ('appointment_confirm', 'message_send'))`)
}

// TestTheDefaultScenariosPass in every trade, with the defaults' settings, and leave nothing behind.
func TestTheDefaultScenariosPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.work()
	orders, scenarios := map[string]uuid.UUID{}, map[string]map[uuid.UUID]string{}
	for _, industry := range agent.Industries() {
		tenant := w.tenant("shop-"+industry, "industry", industry, "subscription_status", "active")
		scenarios[industry] = map[uuid.UUID]string{}
		for _, s := range agent.Scenarios(industry) {
			scenarios[industry][w.scenario(tenant, s)] = s.Name
		}
		orders[industry] = w.rehearse(tenant)
	}
	for industry, job := range orders {
		w.ends("done", "scenario_run", job)
		for id, name := range scenarios[industry] {
			if r := w.rehearsal(id); r.Passed == nil || !*r.Passed || r.Version != 1 || r.Model != "gpt-test" || r.Micros <= 0 {
				t.Errorf("%s: %s: %+v", industry, name, r)
			}
		}
	}
	if n := w.kept(); n != 0 {
		t.Errorf("rehearsals left %d rows", n)
	}
}

// TestAScenarioFailsForItsReason: the draft answers, each miss is named, and another tenant has no part in it.
func TestAScenarioFailsForItsReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant, other := w.tenant("one", "industry", "hvac", "subscription_status", "active"), w.tenant("two", "industry", "hvac", "subscription_status", "active")
	w.exec(`insert into agent_versions (tenant_id, version, settings) values ($1, null, '{"booking": {"enabled": false}, "knowledge": [{"title": "Parking", "text": "Park behind the house."}]}')`, tenant)
	books := w.scenario(tenant, agent.Scenarios("hvac")[0])
	parks := w.scenario(tenant, agent.Scenario{Name: "Parking", Lines: []string{"Where can I park?"}, Expect: jobs.Expectation{Outcome: "answered", Contains: []string{"BEHIND  the house"}, Lacks: []string{"behind"}}})
	theirs := w.scenario(other, agent.Scenarios("hvac")[0])
	if _, err := w.db.Admin.Exec(t.Context(), `select private.run_scenarios($1, array[$2::uuid])`, tenant, theirs); err == nil {
		t.Error("a tenant's order takes another's scenario")
	}
	w.work()
	w.ends("done", "scenario_run", w.rehearse(tenant))
	if r := w.rehearsal(books); r.Passed == nil || *r.Passed || r.Version != 2 || !slices.ContainsFunc(r.Failures, func(s string) bool { return strings.HasPrefix(s, "Expected booked; what happened: ") }) ||
		!slices.ContainsFunc(r.Failures, func(s string) bool { return strings.HasPrefix(s, "Expected the tool book_appointment; used: ") }) {
		t.Errorf("%+v", r)
	}
	if r := w.rehearsal(parks); r.Passed == nil || *r.Passed || !slices.Equal(r.Failures, []string{`The receptionist said "behind".`}) || len(r.Transcript) != 3 {
		t.Errorf("%+v", r)
	}
	if n := w.kept() + scan[int](w, `select count(*) from agent_scenario_runs where tenant_id <> $1 or state = 'waiting'`, tenant); n != 0 {
		t.Errorf("%d rows too many", n)
	}
}

// TestARehearsalOutlivesTheModelsTroubles: what is over stays, the rest waits; what the model will never do is said.
func TestARehearsalOutlivesTheModelsTroubles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.tenant("one", "industry", "hvac", "subscription_status", "active")
	hours := w.scenario(tenant, agent.Scenarios("hvac")[3])
	for _, f := range []sandbox.Fault{{Service: "openai", Status: 500}, {Service: "openai", Status: 429, Code: "rate_limit_exceeded"}} {
		w.fault(f)
	}
	w.work()
	w.ends("done", "scenario_run", w.rehearse(tenant))
	if r := w.rehearsal(hours); r.Passed == nil || !*r.Passed {
		t.Errorf("%+v", r)
	}
	w.fault(sandbox.Fault{Service: "openai", Status: 401, Code: "invalid_api_key"})
	w.ends("done", "scenario_run", w.rehearse(tenant))
	if r := w.rehearsal(hours); r.State != "broken" || r.Passed != nil || len(r.Failures) != 1 {
		t.Errorf("%+v", r)
	}
}
