package agent

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/jobs/openai"
	"kestrel.ai/supabase"
)

// rehearsalCaller is a number that nobody has: the 555-01xx are for fiction.
const rehearsalCaller = "+12025550123"

// rehearsalAhead is how far ahead rehearsals with a time of their own are held: few have booked there yet.
const rehearsalAhead = 14 * 24 * time.Hour

// Rehearsals implements jobs.Reception.
func (r *Reception) Rehearsals(ctx context.Context, tenant uuid.UUID) (jobs.Rehearsals, error) {
	q := r.db.As(supabase.AsService("job:rehearsal").At(tenant))
	p, err := Load(ctx, q, tenant, Draft)
	if errors.Is(err, ErrNoVersion) {
		p, err = Load(ctx, q, tenant, Published)
	}
	if err != nil {
		return jobs.Rehearsals{}, err
	}
	return jobs.Rehearsals{Version: p.Version, Begin: func(id uuid.UUID, heldAt string) jobs.Rehearsal {
		return r.rehearse(p, id, p.nextAt(heldAt, r.now()))
	}}, nil
}

func (r *Reception) rehearse(p *Profile, id uuid.UUID, at time.Time) jobs.Rehearsal {
	c := Call{ID: id, From: rehearsalCaller, Channel: ChannelScenario, StartedAt: at}
	desk := NewDesk(r.db, func() time.Time { return at }).Dry()
	out := jobs.Rehearsal{
		Greeting: p.Greeting(at), Instructions: p.Instructions(c, at),
		Use: func(ctx context.Context, toolCallID, name string, arguments json.RawMessage) jobs.ToolUse {
			got := desk.Use(ctx, p, c, toolCallID, name, arguments)
			return jobs.ToolUse{Answer: got.Output, Outcome: outcome(name, got), Ends: got.Action.Kind != ""}
		},
	}
	for _, tool := range p.Tools(c) {
		out.Tools = append(out.Tools, openai.Tool{Name: tool.Name, Description: tool.Description, Parameters: tool.Parameters})
	}
	return out
}

// outcome names what a tool has brought about; empty if nothing.
func outcome(tool string, got Result) string {
	var said struct {
		Error string `json:"error"`
	}
	if json.Unmarshal([]byte(got.Output), &said) != nil || said.Error != "" {
		return ""
	}
	switch tool {
	case toolBook:
		return "booked"
	case toolReschedule:
		return "rescheduled"
	case toolCancel:
		return "cancelled"
	case toolMessage:
		return "message"
	case toolTransfer:
		return "transferred"
	case toolEmergency:
		if got.Action.Kind == ActionTransfer {
			return "transferred"
		}
		return "message"
	}
	return ""
}

// nextAt is the first such weekday and local time that is two weeks or more ahead; now for an empty one.
func (p *Profile) nextAt(heldAt string, now time.Time) time.Time {
	day, clock, _ := strings.Cut(heldAt, " ")
	wanted, minute := slices.Index(Weekdays[:], day), minutes(clock)
	if wanted < 0 || minute < 0 {
		return now
	}
	from := now.Add(rehearsalAhead).In(p.location())
	for i := range 8 {
		at := time.Date(from.Year(), from.Month(), from.Day()+i, minute/60, minute%60, 0, 0, from.Location())
		if weekday(at) == wanted && !at.Before(from) {
			return at
		}
	}
	return now
}
