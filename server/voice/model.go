package voice

import (
	"context"
	"errors"
	"time"

	"kestrel.ai/server/agent"
)

// Model is a vendor of speech-to-speech conversations. All of its audio is µ-law, 8 kHz, as base64: the telephone
// network's own form, which passes through Kestrel untouched.
type Model interface {
	// Dial opens a conversation that is ready for audio. It fails when ctx ends.
	Dial(ctx context.Context, s Session) (Conversation, error)
}

// Session is what a conversation starts with.
type Session struct {
	CallID       string // for the vendor's logs and ours
	Instructions string
	Voice        string   // "" is the model's configured one
	Languages    []string // ISO 639-1, of the transcription; none means any
	Tools        []agent.Tool
	VAD          agent.VAD
	History      []Line // what was said before, when this one carries on for another
}

// Line is one thing said. Speaker is Caller or Agent.
type Line struct{ Speaker, Text string }

// Who speaks.
const (
	Caller = "caller"
	Agent  = "agent"
)

// Reply is a response asked of the model. The zero Reply answers the conversation as it stands.
type Reply struct {
	Instructions string // for this response alone, instead of the session's
	NoTools      bool   // speech only
}

// Conversation is one open session with a model. Listen is for one goroutine; the others may be called by any.
// An error of theirs means that the connection is gone; what the vendor objects to arrives as a Rejected event.
type Conversation interface {
	// Append passes caller's audio on: base64 of µ-law, of any length. It does not keep payload.
	Append(payload []byte) error
	// Respond asks for a response. The model has at most one at a time: the caller of Respond sees to that.
	Respond(r Reply) error
	// Cancel stops a response that is being generated.
	Cancel(responseID string) error
	// Truncate tells the model that only so much of an item's audio was heard.
	Truncate(itemID string, heard time.Duration) error
	// Note adds text to the conversation: what the system has to say, or what the caller typed.
	Note(speaker, text string) error
	// ToolResult answers a tool call with JSON.
	ToolResult(toolCallID, output string) error
	// Listen hands every event to handle, one after the other, and returns the error that ends the conversation. handle
	// may be called on a thread that serves other calls too: it must not wait for anything. The event, and its Audio,
	// are valid until handle returns.
	Listen(handle func(e *ModelEvent)) error
	// Close ends the conversation and frees a waiting Listen. It may be called repeatedly.
	Close() error
}

// System is Note's speaker for what neither side said.
const System = "system"

// ModelEvent is one thing that happened in a conversation. Which fields are set depends on Kind.
type ModelEvent struct {
	Kind       ModelEventKind
	ResponseID string
	ItemID     string
	Audio      []byte        // base64 of µ-law; ModelAudio
	Text       string        // AgentSaid, CallerSaid
	At         time.Duration // since the session's first audio; SpeechStarted, SpeechStopped
	Tool       ToolCall      // ToolCalled
	Status     string        // ResponseEnded: completed, cancelled, failed or incomplete
	Usage      Usage         // ResponseEnded
	Code       string        // Rejected, and ResponseEnded where failed: the vendor's error code
	Message    string        // Rejected: for the log, never for a caller
}

// ModelEventKind tells ModelEvents apart.
type ModelEventKind uint8

// The events of a conversation. A vendor's others are not passed on.
const (
	ResponseBegan ModelEventKind = iota + 1
	ModelAudio
	AudioEnded    // of an item
	AgentSaid     // transcript of an item's audio
	ToolCalled    // also in responses that are cancelled later: act on it when the response has ended as completed
	ResponseEnded // with its status and what it used
	SpeechStarted // the caller speaks
	SpeechStopped
	CallerSaid // transcript of the caller's item; Text is empty where nothing was understood
	Rejected   // the vendor objects to something; never fatal by itself
)

// ToolCall is the model's wish to use a tool.
type ToolCall struct{ ID, Name, Arguments string }

// Usage is what responses used, in tokens, as the vendor bills them.
type Usage struct {
	InputText    int `json:"input_text"`
	InputAudio   int `json:"input_audio"`
	CachedText   int `json:"cached_text"`
	CachedAudio  int `json:"cached_audio"`
	OutputText   int `json:"output_text"`
	OutputAudio  int `json:"output_audio"`
	Transcribing int `json:"transcribing"` // of the caller's speech, by its own model
}

// Plus is the sum of both.
func (u Usage) Plus(v Usage) Usage {
	return Usage{
		InputText: u.InputText + v.InputText, InputAudio: u.InputAudio + v.InputAudio,
		CachedText: u.CachedText + v.CachedText, CachedAudio: u.CachedAudio + v.CachedAudio,
		OutputText: u.OutputText + v.OutputText, OutputAudio: u.OutputAudio + v.OutputAudio,
		Transcribing: u.Transcribing + v.Transcribing,
	}
}

// Response statuses.
const (
	StatusCompleted  = "completed"
	StatusCancelled  = "cancelled"
	StatusFailed     = "failed"
	StatusIncomplete = "incomplete"
)

// What a Rejected event may say that a bridge acts on. Other codes are logged only.
const (
	CodeResponseActive    = "conversation_already_has_active_response"
	CodeCancelNotActive   = "response_cancel_not_active"
	CodeSessionExpired    = "session_expired"
	CodeRateLimitExceeded = "rate_limit_exceeded"
)

// ErrModelAbsent is a model without a key, or one that does not answer: callers are handed over at once.
var ErrModelAbsent = errors.New("voice: no model")
