package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// CallDetail is one call with all that is known of it.
type CallDetail struct {
	Call
	CallSID        string     `json:"call_sid" example:"CA0123456789abcdef0123456789abcdef"`
	Intent         *string    `json:"intent" example:"furnace repair"`
	CallbackNumber *string    `json:"callback_number" example:"+16175551234"`
	CallerAddress  *string    `json:"caller_address" example:"12 Elm St, Boston"`
	FollowUp       *string    `json:"follow_up" example:"Bring a blower motor" doc:"What to do next"`
	QualityScore   *int16     `json:"quality_score" example:"92" doc:"How well the receptionist did, 0 to 100"`
	AnalysedAt     *time.Time `json:"analysed_at"`
	CostMicros     int64      `json:"cost_micros" example:"52000" doc:"Millionths of a US dollar"`
	Counted        bool       `json:"counted" doc:"Whether the plan's limit counts it"`
	EndReason      *string    `json:"end_reason" example:"caller_hung_up" doc:"Why it ended"`
	LatencyP50Ms   *int32     `json:"latency_p50_ms" example:"640" doc:"Half of the receptionist's answers began within so many milliseconds"`
	LatencyP95Ms   *int32     `json:"latency_p95_ms" example:"1180" doc:"95 % of them did"`
	Turns          []Turn     `json:"turns" nullable:"false"`
	Actions        []Action   `json:"actions" nullable:"false" doc:"What the receptionist did on it, in order"`

	Appointments []Appointment `json:"appointments" nullable:"false" doc:"Made on it, as they are now"`
	Messages     []CallMessage `json:"messages" nullable:"false" doc:"Left on it"`
}

// Turn is what one side said, or what the receptionist did.
type Turn struct {
	Position  int32  `json:"position" example:"1"`
	Speaker   string `json:"speaker" enum:"caller,agent,tool"`
	Text      string `json:"text" example:"My furnace makes a noise."`
	StartedMs int32  `json:"started_ms" example:"2300" doc:"Milliseconds from the call's start"`
	EndedMs   *int32 `json:"ended_ms" example:"4100"`
	LatencyMs *int32 `json:"latency_ms" example:"640" doc:"From the caller's last word to the answer's first sound; null where nobody waited"`

	Interrupted bool `json:"interrupted" doc:"The caller spoke into it: text is about what was heard"`
}

// Action is one use of a tool by the receptionist.
type Action struct {
	At         time.Time `json:"at"`
	Name       string    `json:"name" example:"book_appointment"`
	DurationMs int32     `json:"duration_ms" example:"120"`
	TimedOut   bool      `json:"timed_out"`
}

var errNoCall = edge.NewProblem(http.StatusNotFound, "call_not_found", "There is no such call.")

// CallPath names one of the own calls.
type CallPath struct {
	ID id `path:"id" doc:"The call's id"`
}

// TenantCallPath names a call of a tenant.
type TenantCallPath struct {
	TenantPath
	CallID id `path:"call_id" doc:"The call's id"`
}

type callOutput struct{ Body CallDetail }

const getCallDoc doc = `Get a call
With its transcript and what was made of it.`

func (a *API) getCall(ctx context.Context, in *CallPath) (*callOutput, error) {
	return a.callOf(ctx, tenantOf(ctx), in.ID.UUID)
}

func (a *API) getTenantCall(ctx context.Context, in *TenantCallPath) (*callOutput, error) {
	return a.callOf(ctx, in.ID.UUID, in.CallID.UUID)
}

func (a *API) callOf(ctx context.Context, tenant, id uuid.UUID) (*callOutput, error) {
	l, err := a.findCall(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	q := a.query(ctx)
	turns, err := q.ListTurns(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	actions, err := q.ListCallActions(ctx, &tenant, id)
	if err != nil {
		return nil, err
	}
	appointments, err := q.ListCallAppointments(ctx, tenant, &id)
	if err != nil {
		return nil, err
	}
	messages, err := q.ListMessagesOfCall(ctx, tenant, &id)
	if err != nil {
		return nil, err
	}
	return &callOutput{Body: CallDetail{
		Call: Call{ID: l.ID, Direction: l.Direction, FromNumber: l.FromNumber, ToNumber: l.ToNumber, Status: l.Status, StartedAt: l.StartedAt, EndedAt: l.EndedAt,
			DurationSeconds: l.DurationSeconds, AgentSeconds: l.AgentSeconds, Outcome: l.Outcome, Summary: l.Summary, Sentiment: l.Sentiment, IsTest: l.IsTest,
			IsBlocked: l.IsBlocked, ContactID: l.ContactID, CallerName: l.CallerName, HasRecording: recordingPath(l) != nil},
		CallSID: l.CallSid, Intent: l.Intent, CallbackNumber: l.CallbackNumber, CallerAddress: l.CallerAddress, FollowUp: l.FollowUp,
		QualityScore: l.QualityScore, AnalysedAt: l.AnalysedAt, CostMicros: l.CostMicros, Counted: l.UsageID != nil,
		EndReason: l.EndReason, LatencyP50Ms: l.LatencyP50Ms, LatencyP95Ms: l.LatencyP95Ms,
		Turns:        each(turns, func(r db.ListTurnsRow) Turn { return Turn(r) }),
		Actions:      each(actions, func(r db.ListCallActionsRow) Action { return Action(r) }),
		Appointments: each(appointments, func(r db.ListCallAppointmentsRow) Appointment { return Appointment(r) }),
		Messages:     each(messages, func(r db.ListMessagesOfCallRow) CallMessage { return CallMessage(r) }),
	}}, nil
}

func (a *API) findCall(ctx context.Context, tenant, id uuid.UUID) (db.CallLog, error) {
	r, err := a.query(ctx).FindCall(ctx, tenant, id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoCall
	}
	return r.CallLog, err
}
