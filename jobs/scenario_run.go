package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"kestrel.ai/jobs/openai"
	"kestrel.ai/supabase/db"
)

// ScenarioRun rehearses a batch of a tenant's scenarios: the caller's lines are put to the receptionist in writing, with
// its instructions and tools, on a desk that keeps nothing. Run again, it goes on with those that have no result.
type ScenarioRun struct{ Args }

// Kind implements river.JobArgs.
func (ScenarioRun) Kind() string { return "scenario_run" }

// Rehearsals are of one version of a receptionist.
type Rehearsals struct {
	Version int
	// Begin opens a conversation of that id; heldAt is a weekday and local time as "tuesday 10:00", or empty for now.
	Begin func(id uuid.UUID, heldAt string) Rehearsal
}

// Rehearsal is the receptionist in one conversation that keeps nothing.
type Rehearsal struct {
	Greeting, Instructions string
	Tools                  []openai.Tool
	// Use runs a tool. It never fails: what goes wrong is in its answer, for the model.
	Use func(ctx context.Context, toolCallID, name string, arguments json.RawMessage) ToolUse
}

// ToolUse is what came of a tool.
type ToolUse struct {
	Answer  string // for the model
	Outcome string // as an Expectation names it; empty for none
	Ends    bool   // the conversation is over after the next words
}

const maxToolsPerLine = 8

type scenarioRunWorker struct {
	river.WorkerDefaults[ScenarioRun]
	Deps
}

// Timeout is for fifty conversations with a model.
func (w *scenarioRunWorker) Timeout(*river.Job[ScenarioRun]) time.Duration { return 30 * time.Minute }

func (w *scenarioRunWorker) Work(ctx context.Context, job *river.Job[ScenarioRun]) error {
	q := w.queries(job.Kind)
	waiting, err := q.WaitingScenarioRuns(ctx, job.Args.SubjectID)
	if err != nil {
		return err
	}
	if len(waiting) == 0 {
		return finish(ctx, &w.Deps, job, nil)
	}
	rehearsals, err := w.Reception.Rehearsals(ctx, waiting[0].TenantID)
	if err != nil {
		return err
	}
	for _, run := range waiting {
		held, err := w.hold(ctx, w.spend(q, run.ID), rehearsals, run)
		failed := judge(err)
		if err != nil && !failed.Permanent {
			return err // the rest waits for the model
		}
		if err := w.keep(ctx, q, rehearsals.Version, run, held, err, failed); err != nil {
			return err
		}
		p, err := q.ScenarioProgress(ctx, job.Args.SubjectID)
		if err != nil {
			return err
		}
		said := fmt.Sprintf("%d of %d scenarios are done, %d of them passed.", p.Done, p.Total, p.Passed)
		if err := q.TellProgress(ctx, job.Args.JobID, said, int32(job.Attempt)); err != nil {
			return err
		}
	}
	return finish(ctx, &w.Deps, job, nil)
}

// keep writes a result down: what was expected and did not come about, or why the model could not be asked.
func (w *scenarioRunWorker) keep(ctx context.Context, q *db.Queries, version int, run db.AgentScenarioRun, held rehearsed, err error, failed *Failure) error {
	var expect Expectation
	missed := []string{}
	if err == nil {
		if err := json.Unmarshal(run.Expect, &expect); err != nil {
			missed = append(missed, "What is expected cannot be read. Write it anew.") // typed in Studio
		}
		missed = append(missed, held.misses(expect)...)
	}
	transcript, broken := json.Marshal(append([]RehearsedTurn{}, held.turns...))
	if broken != nil {
		return broken
	}
	number, passed := int32(version), len(missed) == 0
	result := db.EndScenarioRunParams{
		ID: run.ID, State: "done", Passed: &passed, Version: &number, Failures: missed, Transcript: transcript,
		Model: w.OpenAI.Model(), At: w.Now(),
	}
	if err != nil {
		result.State, result.Passed, result.Failures = "broken", nil, []string{failed.Reason}
	}
	return q.EndScenarioRun(ctx, result)
}

// hold has the conversation. Lines that come after a hand-over or a good-bye are not said.
func (w *scenarioRunWorker) hold(ctx context.Context, model spending, of Rehearsals, run db.AgentScenarioRun) (held rehearsed, err error) {
	var lines []string
	if err := json.Unmarshal(run.Lines, &lines); err != nil {
		return held, permanently("The lines cannot be read. Write them anew.")
	}
	r := of.Begin(run.ID, run.HeldAt)
	held.say("agent", r.Greeting)
	request := openai.Request{Instructions: r.Instructions, Tools: r.Tools, MaxTokens: 2000, Turns: []openai.Turn{{Assistant: true, Text: r.Greeting}}}
	for _, line := range lines {
		held.say("caller", line)
		request.Turns = append(request.Turns, openai.Turn{Text: line})
		over, err := w.reply(ctx, model, r, &request, &held)
		if over || err != nil {
			return held, err
		}
	}
	return held, nil
}

// reply is the receptionist's turn, tools included.
func (w *scenarioRunWorker) reply(ctx context.Context, model spending, r Rehearsal, request *openai.Request, held *rehearsed) (over bool, err error) {
	for used := 0; ; {
		answer, err := model.Respond(ctx, *request)
		if err != nil {
			return false, err
		}
		if answer.Text != "" {
			held.say("agent", answer.Text)
			request.Turns = append(request.Turns, openai.Turn{Assistant: true, Text: answer.Text})
		}
		if len(answer.Calls) == 0 {
			return over, nil
		}
		for _, call := range answer.Calls {
			if used++; used > maxToolsPerLine {
				held.endless = true
				return true, nil
			}
			got := r.Use(ctx, strconv.Itoa(len(held.turns)), call.Name, call.Arguments)
			if got.Outcome != "" {
				held.outcomes = append(held.outcomes, got.Outcome)
			}
			over = over || got.Ends
			held.turns = append(held.turns, RehearsedTurn{Speaker: "tool", Tool: call.Name, Arguments: string(call.Arguments), Text: got.Answer})
			request.Turns = append(request.Turns, openai.Turn{Call: &call}, openai.Turn{CallID: call.ID, Text: got.Answer})
		}
	}
}
