package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/jobs"
	"kestrel.ai/server/edge"
	"kestrel.ai/supabase"
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
	Turns          []Turn     `json:"turns" nullable:"false"`
}

// Turn is what one side said, or what the receptionist did.
type Turn struct {
	Position  int32  `json:"position" example:"1"`
	Speaker   string `json:"speaker" enum:"caller,agent,tool"`
	Text      string `json:"text" example:"My furnace makes a noise."`
	StartedMs int32  `json:"started_ms" example:"2300" doc:"Milliseconds from the call's start"`
	EndedMs   *int32 `json:"ended_ms" example:"4100"`
}

var (
	errNoCall      = edge.NewProblem(http.StatusNotFound, "call_not_found", "There is no such call.")
	errNoRecording = edge.NewProblem(http.StatusNotFound, "recording_not_found", "This call has no recording.")
)

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
	turns, err := a.query(ctx).ListTurns(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	return &callOutput{Body: CallDetail{
		Call: Call{ID: l.ID, Direction: l.Direction, FromNumber: l.FromNumber, ToNumber: l.ToNumber, Status: l.Status, StartedAt: l.StartedAt, EndedAt: l.EndedAt,
			DurationSeconds: l.DurationSeconds, AgentSeconds: l.AgentSeconds, Outcome: l.Outcome, Summary: l.Summary, Sentiment: l.Sentiment, IsTest: l.IsTest,
			IsBlocked: l.IsBlocked, ContactID: l.ContactID, CallerName: l.CallerName, HasRecording: l.RecordingPath != nil},
		CallSID: l.CallSid, Intent: l.Intent, CallbackNumber: l.CallbackNumber, CallerAddress: l.CallerAddress, FollowUp: l.FollowUp,
		QualityScore: l.QualityScore, AnalysedAt: l.AnalysedAt, CostMicros: l.CostMicros, Counted: l.UsageID != nil,
		Turns: each(turns, func(r db.ListTurnsRow) Turn { return Turn(r) }),
	}}, nil
}

func (a *API) findCall(ctx context.Context, tenant, id uuid.UUID) (db.CallLog, error) {
	r, err := a.query(ctx).FindCall(ctx, tenant, id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoCall
	}
	return r.CallLog, err
}

type redirectOutput struct {
	Location     string `header:"Location"`
	CacheControl string `header:"Cache-Control"`
}

const getRecordingDoc doc = `Get a call's recording
Redirects to where the file can be read, for a minute and by whoever has that address. Audio elements come here with a
ticket.`

func (a *API) getRecording(ctx context.Context, in *CallPath) (*redirectOutput, error) {
	return a.recordingOf(ctx, tenantOf(ctx), in.ID.UUID)
}

func (a *API) getTenantRecording(ctx context.Context, in *TenantCallPath) (*redirectOutput, error) {
	return a.recordingOf(ctx, in.ID.UUID, in.CallID.UUID)
}

func (a *API) recordingOf(ctx context.Context, tenant, id uuid.UUID) (*redirectOutput, error) {
	l, err := a.findCall(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	if l.RecordingPath == nil {
		return nil, errNoRecording
	}
	if a.Storage == nil {
		return nil, errNoStorage
	}
	url, err := a.Storage.SignedURL(ctx, jobs.RecordingsBucket, *l.RecordingPath, "", linkLife)
	if errors.Is(err, supabase.ErrNoObject) {
		return nil, errNoRecording
	}
	if err != nil {
		return nil, errNoStorage.Because(err)
	}
	return &redirectOutput{Location: url, CacheControl: "no-store"}, nil
}
