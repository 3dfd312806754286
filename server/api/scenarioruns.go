package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/jobs"
	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

type runScenariosInput struct {
	Body struct {
		IDs []id `json:"ids,omitempty" minItems:"1" maxItems:"50" doc:"Scenarios; none sent: all"`
	}
}

const runScenariosDoc doc = `Rehearse scenarios
With the draft, or what is published where there is none. Nothing is kept in the diary and nobody is called. The job tells how
far it is; its subject_id is the batch_id of the runs. Five batches at a time (409 scenarios_running).`

func (a *API) runScenarios(ctx context.Context, in *runScenariosInput) (*jobOrderedOutput, error) {
	var ids []uuid.UUID
	for _, i := range in.Body.IDs {
		ids = append(ids, i.UUID)
	}
	return a.ordered(ctx, func(q *db.Queries) (uuid.UUID, error) { return q.RunScenarios(ctx, tenantOf(ctx), ids) })
}

// ScenarioRun is what came of a rehearsal.
type ScenarioRun struct {
	ID         uuid.UUID  `json:"id" format:"uuid"`
	BatchID    uuid.UUID  `json:"batch_id" format:"uuid" doc:"Of the rehearsals that were ordered together"`
	ScenarioID *uuid.UUID `json:"scenario_id" nullable:"true" doc:"null once it is deleted"`
	Name       string     `json:"name" example:"Books tomorrow at 3 pm" doc:"The scenario's, then"`
	Version    *int32     `json:"version" example:"3" doc:"Of the receptionist"`
	State      string     `json:"state" enum:"waiting,done,broken" doc:"broken: the model could not be asked"`
	Passed     *bool      `json:"passed" doc:"null until it is done"`
	Failures   []string   `json:"failures" nullable:"false" doc:"What was expected and did not come about"`
	Model      string     `json:"model" example:"gpt-5.4-mini"`
	CostMicros int64      `json:"cost_micros" doc:"In millionths of a US dollar"`
	CreatedAt  time.Time  `json:"created_at"`
	FinishedAt *time.Time `json:"finished_at"`
}

type listRunsInput struct {
	PageInput
	ScenarioID id `query:"scenario_id" doc:"Of this scenario only"`
	BatchID    id `query:"batch_id" doc:"Of this batch only"`
}

const listScenarioRunsDoc doc = `List rehearsals
Newest first; all are kept.`

func (a *API) listScenarioRuns(ctx context.Context, in *listRunsInput) (*listOutput[ScenarioRun], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).PageScenarioRuns(ctx, db.PageScenarioRunsParams{
		TenantID: tenantOf(ctx), Before: c.ID, ScenarioID: in.ScenarioID.optional(), BatchID: in.BatchID.optional(), MaxRows: in.rows(),
	})
	return paged(in.PageInput, rows, func(r db.PageScenarioRunsRow) ScenarioRun { return ScenarioRun(r) }, func(r db.PageScenarioRunsRow) cursor { return cursor{ID: r.ID} }), err
}

// RehearsedScenario is a rehearsal with all that was said.
type RehearsedScenario struct {
	ScenarioRun
	HeldAt     string               `json:"held_at" example:"tuesday 10:00"`
	Lines      []string             `json:"lines" nullable:"false"`
	Expect     jobs.Expectation     `json:"expect"`
	Transcript []jobs.RehearsedTurn `json:"transcript" nullable:"false"`
}

type scenarioRunInput struct {
	ID id `path:"id" doc:"The run's id"`
}

type scenarioRunOutput struct{ Body RehearsedScenario }

var errNoScenarioRun = edge.NewProblem(http.StatusNotFound, "scenario_run_not_found", "There is no such rehearsal.")

const getScenarioRunDoc doc = `Get a rehearsal
With what was said and which tools were used.`

func (a *API) getScenarioRun(ctx context.Context, in *scenarioRunInput) (*scenarioRunOutput, error) {
	r, err := a.query(ctx).FindScenarioRun(ctx, tenantOf(ctx), in.ID.UUID)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoScenarioRun
	}
	if err != nil {
		return nil, err
	}
	out := &scenarioRunOutput{Body: RehearsedScenario{
		ScenarioRun: ScenarioRun{ID: r.ID, BatchID: r.BatchID, ScenarioID: r.ScenarioID, Name: r.Name, Version: r.Version, State: r.State, Passed: r.Passed,
			Failures: r.Failures, Model: r.Model, CostMicros: r.CostMicros, CreatedAt: r.CreatedAt, FinishedAt: r.FinishedAt},
		HeldAt: r.HeldAt, Lines: linesOf(r.Lines), Expect: expectOf(r.Expect), Transcript: []jobs.RehearsedTurn{},
	}}
	return out, json.Unmarshal(r.Transcript, &out.Body.Transcript)
}
