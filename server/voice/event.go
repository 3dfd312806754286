package voice

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Event is one thing that happened to a call or a text message, on its way to Postgres.
type Event struct {
	ID       uuid.UUID       `json:"id"` // v7: replaying an event twice does nothing, by it
	CallID   uuid.UUID       `json:"call_id"`
	TenantID uuid.UUID       `json:"tenant_id"`
	CallSID  string          `json:"call_sid"`
	Type     string          `json:"type"`
	At       time.Time       `json:"at"`
	Data     json.RawMessage `json:"data"`
}

// Types of events.
const (
	CallStarted   = "call.started"
	CallStatus    = "call.status"
	CallAnswered  = "call.answered"
	CallTurn      = "call.turn"
	CallTool      = "call.tool"
	CallEnded     = "call.ended"
	CallForwarded = "call.forwarded"
	CallRecording = "call.recording"
	SMSReceived   = "sms.received"
	SMSStatus     = "sms.status"
	MessageTaken  = "message.taken"
)

// Recorder keeps events. Record never blocks and never fails: where Postgres is away, events wait on disk, bounded.
type Recorder interface{ Record(Event) }

// Turn is the data of a call.turn.
type Turn struct {
	Position  int    `json:"position"` // from 1, in the order in which people spoke
	Speaker   string `json:"speaker"`
	Text      string `json:"text"`
	StartedMS int64  `json:"started_ms"` // since the stream began
	EndedMS   int64  `json:"ended_ms"`
	// LatencyMS is from the model's word that the caller stopped to the answer's first byte on its way to the caller:
	// ours and the model's together. 0 where nobody waited.
	LatencyMS   int64 `json:"latency_ms,omitempty"`
	Interrupted bool  `json:"interrupted,omitempty"` // Text is about what was heard of it
}

// Answered is the data of a call.answered.
type Answered struct {
	Channel string `json:"channel"`
	// ModelMS is how long the model took to be ready; GreetingMS from the stream's start to the greeting's first byte.
	ModelMS    int64 `json:"model_ms"`
	GreetingMS int64 `json:"greeting_ms"`
}

// ToolUse is the data of a call.tool.
type ToolUse struct {
	ToolCallID string `json:"tool_call_id"`
	Name       string `json:"name"`
	DurationMS int64  `json:"duration_ms"`
	TimedOut   bool   `json:"timed_out,omitempty"`
	Action     string `json:"action,omitempty"`
}

// Ended is the data of a call.ended.
type Ended struct {
	Reason       Reason  `json:"reason"`
	Ending       Ending  `json:"ending"`
	AgentSeconds float64 `json:"agent_seconds"` // how long the agent held the line
	Usage        Usage   `json:"usage"`
	// Latencies of the turns in milliseconds.
	LatencyP50 int64 `json:"latency_p50_ms"`
	LatencyP95 int64 `json:"latency_p95_ms"`
	Turns      int   `json:"turns"`
	BargeIns   int   `json:"barge_ins"`
	Recoveries int   `json:"recoveries"`
	Rollovers  int   `json:"rollovers"`
}

// Reason is why the agent's part of a call ended.
type Reason string

// The reasons, all of them.
const (
	CallerHungUp     Reason = "caller_hung_up"
	AgentHungUp      Reason = "agent_hung_up"
	Transferred      Reason = "transferred"
	CallerSilent     Reason = "caller_silent"
	TooLong          Reason = "too_long"
	ModelUnreachable Reason = "model_unreachable" // it could not be dialled
	ModelLost        Reason = "model_lost"        // its connection broke and could not be had again
	ModelSilent      Reason = "model_silent"      // it stayed silent although it was asked
	StreamLost       Reason = "stream_lost"       // Twilio's socket broke in mid-call
	NeverConnected   Reason = "never_connected"   // the stream did not come before its token expired
	Drained          Reason = "drained"           // this process had to go
	Broken           Reason = "broken"            // a fault of ours
)

// Reasons lists them.
func Reasons() []Reason {
	return []Reason{CallerHungUp, AgentHungUp, Transferred, CallerSilent, TooLong, ModelUnreachable, ModelLost, ModelSilent, StreamLost, NeverConnected, Drained, Broken}
}

// Ending is what becomes of the caller when the agent is done.
type Ending struct {
	Kind   string `json:"kind"`             // HangUp, Transfer or HandOver
	Number string `json:"number,omitempty"` // of a Transfer, E.164
	Reason string `json:"reason,omitempty"` // of a Transfer, for the whisper
}

// The kinds of Ending.
const (
	HangUp   = "hang_up"
	Transfer = "transfer"
	HandOver = "hand_over" // to the forward number, else voicemail
)
