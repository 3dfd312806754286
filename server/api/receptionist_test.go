package api_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

// TestReceptionistsVersions: draft, compare, publish, roll back; by the tenant's admins, and by staff.
func TestReceptionistsVersions(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other", "+18573825170")
	staff := w.Staff("staff@kestrel.ai")
	const agent = "/api/tenant/agent"
	run(t, []step{
		{c.Viewer, "GET", agent, nil, 200, `"published":{`},
		{c.Member, "PATCH", agent + "/draft", `{"greeting":"Good day"}`, 403, "forbidden"},
		{c.Admin, "PATCH", agent + "/draft", `{"booking":{"slot_minutes":-1}}`, 422, "booking.slot_minutes"},
		{c.Admin, "PATCH", agent + "/draft", `{"greting":"Good day"}`, 422, "greting"},
		{c.Admin, "PATCH", agent + "/draft", `{"greeting":"Good day"}`, 200, `"state":"draft"`},
		{c.Viewer, "GET", agent + "/diff", nil, 200, `"from":1,"to":2,"changes":[{"field":"greeting"`},
		{c.Admin, "POST", agent + "/publish", nil, 200, `"version":2,"state":"published"`},
		{c.Admin, "POST", agent + "/publish", nil, 200, `"version":2,"state":"published"`},
		{c.Viewer, "GET", agent + "/versions/1", nil, 200, `"state":"archived"`},
		{c.Admin, "POST", agent + "/rollback/1", nil, 200, `"version":1,"state":"published"`},
		{c.Admin, "POST", agent + "/rollback/99", nil, 404, "agent_version_not_found"},
		{c.Viewer, "GET", agent + "/diff?from=1&to=2", nil, 200, `"Good day"`},
		{c.Viewer, "GET", agent + "/diff?from=2&to=2", nil, 200, `"changes":[]`},
		{c.Admin, "PATCH", agent + "/draft", `{"greeting":"Hello there"}`, 200, `"version":3`},
		{c.Admin, "POST", agent + "/rollback/3", nil, 409, "agent_version_draft"},
		{c.Admin, "DELETE", agent + "/draft", nil, 204, ""},
		{c.Viewer, "GET", agent + "/versions/3", nil, 404, "agent_version_not_found"},
		{c.Admin.At("api.kestrel.ai"), "GET", "/api/admin/tenants/" + c.ID.String() + "/agent", nil, 403, ""},
		{staff, "GET", "/api/admin/tenants/" + uuid.NewString() + "/agent", nil, 404, "tenant_not_found"},
	})
	settings := apitest.JSON[api.Agent](t, c.Viewer.Do("GET", agent, nil)).Published.Settings
	settings.Greeting = "Staff wrote this"
	mine := "/api/admin/tenants/" + c.ID.String() + "/agent"
	run(t, []step{
		{staff, "PUT", mine + "/draft", settings, 200, "Staff wrote this"},
		{staff, "GET", mine, nil, 200, `"draft":{`},
		{staff, "POST", mine + "/publish", nil, 200, `"state":"published"`},
		{c.Viewer, "GET", agent, nil, 200, "Staff wrote this"},
		{c.Owner, "GET", "/api/tenant/activity", nil, 200, "staff@kestrel.ai"},
	})
	if n := apitest.Value[int](w, `select count(*) from agent_versions where tenant_id = $1`, other.ID); n != 1 {
		t.Errorf("another tenant has %d versions", n)
	}
}

// TestScenariosOfATenant: suggested, kept, ordered and read, by those who may.
func TestScenariosOfATenant(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other", "+18573825170")
	const all = "/api/tenant/agent/scenarios"
	suggested := apitest.JSON[struct{ Items []api.WriteScenario }](t, c.Viewer.Do("GET", all+"/suggested?industry=hvac", nil)).Items
	if len(suggested) < 5 {
		t.Fatalf("%+v", suggested)
	}
	for _, s := range suggested {
		if a := c.Admin.Do("POST", all, s); a.Status != 201 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	first := apitest.JSON[struct{ Items []api.Scenario }](t, c.ReadKey.Do("GET", all, nil)).Items[0]
	one := all + "/" + first.ID.String()
	only := fmt.Sprintf(`{"ids":[%q]}`, first.ID)
	run(t, []step{
		{c.Member, "POST", all, suggested[0], 403, "forbidden"},
		{c.WriteKey, "POST", all, suggested[0], 403, "insufficient_scope"},
		{c.Admin, "POST", all, `{"name":"x","lines":["  "]}`, 422, "lines"},
		{c.Admin, "POST", all, `{"name":"x","lines":["Hello"],"held_at":"someday 10:00"}`, 422, "held_at"},
		{c.Admin, "POST", all, `{"name":"x","lines":["Hello"],"expect":{"outcome":"sold"}}`, 422, "outcome"},
		{c.Admin, "PATCH", one, `{"held_at":"monday 09:00"}`, 200, `"held_at":"monday 09:00","lines":["Hello, this is Pat Jones.`},
		{other.Admin, "PATCH", one, `{"held_at":""}`, 404, "scenario_not_found"},
		{other.Admin, "POST", all + "/run", only, 404, "scenario_not_found"},
		{other.Admin, "POST", all + "/run", `{}`, 409, "no_scenarios"},
		{c.Member, "POST", all + "/run", `{}`, 403, "forbidden"},
		{c.Admin, "POST", all + "/run", only, 202, `"kind":"scenario_run"`},
		{c.Viewer, "GET", all + "/runs?scenario_id=" + first.ID.String(), nil, 200, `"state":"waiting","passed":null`},
		{other.Viewer, "GET", all + "/runs?scenario_id=" + first.ID.String(), nil, 200, `"items":[]`},
	})
	kept := apitest.Value[uuid.UUID](w, `update agent_scenario_runs set state = 'done', passed = false, failures = '{Missed}', transcript = '[{"speaker":"agent","text":"Hello"}]' returning id`)
	run(t, []step{
		{c.Viewer, "GET", all + "/runs/" + kept.String(), nil, 200, `"transcript":[{"speaker":"agent","text":"Hello"}]`},
		{other.Viewer, "GET", all + "/runs/" + kept.String(), nil, 404, "scenario_run_not_found"},
		{c.Admin, "DELETE", one, nil, 204, ""},
		{c.Admin, "DELETE", one, nil, 404, "scenario_not_found"},
		{c.Viewer, "GET", all + "/runs/" + kept.String(), nil, 200, `"scenario_id":null,"name":"Books tomorrow at 3 pm"`},
	})
}
