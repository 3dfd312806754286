package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/jobs"
	"kestrel.ai/server/agent"
	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// WriteScenario is what a caller may say, and what must come of it.
type WriteScenario struct {
	Name   string           `json:"name" minLength:"1" maxLength:"120" example:"Books tomorrow at 3 pm"`
	HeldAt string           `json:"held_at,omitempty" maxLength:"20" example:"tuesday 10:00" doc:"A weekday and local time: the first such, two weeks or more ahead. Empty: the time it is run"`
	Lines  []string         `json:"lines" minItems:"1" maxItems:"30" nullable:"false" example:"[\"Book me for tomorrow at 3 pm\"]" doc:"What the caller says, one after the other"`
	Expect jobs.Expectation `json:"expect,omitempty"`
}

// heldAtForm is the CHECK constraint's.
var heldAtForm = regexp.MustCompile(`^(mon|tues|wednes|thurs|fri|satur|sun)day ([01][0-9]|2[0-3]):[0-5][0-9]$`)

// Resolve normalises the fields.
func (b *WriteScenario) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.name("name", &b.Name, 120)
	f.scenario(&b.HeldAt, b.Lines, &b.Expect)
	return f.errs
}

func (f *faults) scenario(heldAt *string, lines []string, expect *jobs.Expectation) {
	if *heldAt = strings.ToLower(strings.TrimSpace(*heldAt)); *heldAt != "" && !heldAtForm.MatchString(*heldAt) {
		f.add("held_at", "is not a weekday and a time such as tuesday 10:00")
	}
	for i := range lines {
		if f.line("lines", &lines[i], 500); lines[i] == "" {
			f.add("lines", "holds an empty line")
		}
	}
	for name, words := range map[string][]string{"expect.contains": expect.Contains, "expect.lacks": expect.Lacks} {
		for i := range words {
			if f.line(name, &words[i], 200); words[i] == "" {
				f.add(name, "holds an empty text")
			}
		}
	}
}

// Scenario is one that is kept.
type Scenario struct {
	ID uuid.UUID `json:"id" format:"uuid"`
	WriteScenario
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

func scenario(r db.AgentScenario) Scenario {
	s := Scenario{ID: r.ID, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}
	s.Name, s.HeldAt, s.Lines, s.Expect = r.Name, r.HeldAt, linesOf(r.Lines), expectOf(r.Expect)
	return s
}

func linesOf(raw json.RawMessage) []string {
	lines := []string{}
	_ = json.Unmarshal(raw, &lines) // the CHECK constraint lets nothing else in
	return lines
}

// expectOf reads what can be read; the run says so if that is not all.
func expectOf(raw json.RawMessage) (e jobs.Expectation) {
	_ = json.Unmarshal(raw, &e)
	return e
}

type scenarioOutput struct{ Body Scenario }

var errNoScenario = edge.NewProblem(http.StatusNotFound, "scenario_not_found", "There is no such scenario.")

func shownScenario(r db.AgentScenario, err error) (*scenarioOutput, error) {
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoScenario
	}
	return &scenarioOutput{Body: scenario(r)}, err
}

const listScenariosDoc doc = `List the receptionist's scenarios
What a caller may say, and what must come of it. At most 50.`

func (a *API) listScenarios(ctx context.Context, _ *struct{}) (*listOutput[Scenario], error) {
	rows, err := a.query(ctx).ListScenarios(ctx, tenantOf(ctx))
	return whole(each(rows, scenario)), err
}

const suggestScenariosDoc doc = `Suggest scenarios
What receptionists of the tenant's industry are tried with at first; none of them is kept until it is created.`

func (a *API) suggestScenarios(ctx context.Context, in *defaultsInput) (*listOutput[WriteScenario], error) {
	profile, err := a.query(ctx).FindProfile(ctx, tenantOf(ctx))
	if in.Industry == "" {
		in.Industry = profile.Industry
	}
	return whole(each(agent.Scenarios(in.Industry), func(s agent.Scenario) WriteScenario {
		return WriteScenario{Name: s.Name, HeldAt: s.HeldAt, Lines: s.Lines, Expect: s.Expect}
	})), err
}

type createScenarioInput struct{ Body WriteScenario }

const createScenarioDoc doc = `Create a scenario
For the tenant's admins and owners.`

func (a *API) createScenario(ctx context.Context, in *createScenarioInput) (*scenarioOutput, error) {
	lines, err := json.Marshal(in.Body.Lines)
	if err != nil {
		return nil, err
	}
	expect, err := json.Marshal(in.Body.Expect)
	if err != nil {
		return nil, err
	}
	return shownScenario(a.query(ctx).CreateScenario(ctx, db.CreateScenarioParams{TenantID: tenantOf(ctx), Name: in.Body.Name, HeldAt: in.Body.HeldAt, Lines: lines, Expect: expect}))
}

// ScenarioPath names one of the tenant's scenarios.
type ScenarioPath struct {
	ID id `path:"id" doc:"The scenario's id"`
}

const getScenarioDoc doc = `Get a scenario
By its id.`

func (a *API) getScenario(ctx context.Context, in *ScenarioPath) (*scenarioOutput, error) {
	return shownScenario(a.query(ctx).FindScenario(ctx, tenantOf(ctx), in.ID.UUID))
}

// PatchScenario is what may be changed of one.
type PatchScenario struct {
	Name   *string           `json:"name,omitempty" minLength:"1" maxLength:"120" example:"Books tomorrow at 3 pm"`
	HeldAt *string           `json:"held_at,omitempty" maxLength:"20" example:"tuesday 10:00"`
	Lines  []string          `json:"lines,omitempty" minItems:"1" maxItems:"30" nullable:"false" doc:"All of them"`
	Expect *jobs.Expectation `json:"expect,omitempty" doc:"As a whole"`
}

// Resolve normalises the fields.
func (b *PatchScenario) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	if b.Name != nil {
		f.name("name", b.Name, 120)
	}
	heldAt, expect := new(string), &jobs.Expectation{}
	if b.HeldAt != nil {
		heldAt = b.HeldAt
	}
	if b.Expect != nil {
		expect = b.Expect
	}
	f.scenario(heldAt, b.Lines, expect)
	return f.errs
}

type patchScenarioInput struct {
	ScenarioPath
	Body PatchScenario
}

const patchScenarioDoc doc = `Change a scenario
Only what is sent changes. Earlier runs keep what they were.`

func (a *API) patchScenario(ctx context.Context, in *patchScenarioInput) (out *scenarioOutput, err error) {
	p := db.PatchScenarioParams{TenantID: tenantOf(ctx), ID: in.ID.UUID, Name: in.Body.Name, HeldAt: in.Body.HeldAt}
	if in.Body.Lines != nil {
		if p.Lines, err = json.Marshal(in.Body.Lines); err != nil {
			return nil, err
		}
	}
	if in.Body.Expect != nil {
		if p.Expect, err = json.Marshal(in.Body.Expect); err != nil {
			return nil, err
		}
	}
	return shownScenario(a.query(ctx).PatchScenario(ctx, p))
}

const deleteScenarioDoc doc = `Delete a scenario
Its runs are kept.`

func (a *API) deleteScenario(ctx context.Context, in *ScenarioPath) (*struct{}, error) {
	n, err := a.query(ctx).DeleteScenario(ctx, tenantOf(ctx), in.ID.UUID)
	if err == nil && n == 0 {
		err = errNoScenario
	}
	return nil, err
}
