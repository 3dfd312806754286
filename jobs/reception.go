package jobs

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs/openai"
)

// Reception is what jobs need of the tenants' receptionists: package agent has it.
type Reception interface {
	// Policy is what the tenant's published receptionist says of what follows a call or a text.
	Policy(ctx context.Context, tenant uuid.UUID) (Policy, error)
	// Texting opens a conversation by text.
	Texting(ctx context.Context, tenant uuid.UUID, t Texting) (Texter, error)
	// Rehearsals are of the tenant's draft; without one, of what is published.
	Rehearsals(ctx context.Context, tenant uuid.UUID) (Rehearsals, error)
}

// Policy is a receptionist's settings as far as jobs follow them.
type Policy struct {
	BusinessName   string
	KeepDays       int  // of recordings
	DeleteAtTwilio bool // recordings, once they are in Storage
	NotifyEmail    string
	NotifySMS      string
	NotifyWhen     []string
	AnswerTexts    bool
	ForwardTexts   bool
}

// Reasons to tell the owner, in the order in which one names a call.
const (
	whenEmergency   = "emergency"
	whenBooked      = "booked"
	whenRescheduled = "rescheduled"
	whenCancelled   = "cancelled"
	whenMessage     = "message"
	whenMissed      = "missed"
	whenEveryCall   = "every_call"
)

func (p Policy) wants(reason string) bool {
	return slices.Contains(p.NotifyWhen, reason) || slices.Contains(p.NotifyWhen, whenEveryCall)
}

// email is where the owner wants to hear of calls.
func (p Policy) email(owner string) string {
	if p.NotifyEmail != "" {
		return p.NotifyEmail
	}
	return owner
}

// Texting is a conversation by text: ID names it, and with a tool call's id makes the tool's effect happen once.
type Texting struct {
	ID       uuid.UUID
	From, To string // E.164
	At       time.Time
}

// Texter is the receptionist in one conversation by text.
type Texter struct {
	Instructions string
	Tools        []openai.Tool
	// Use runs a tool. It never fails: what goes wrong is in its answer, for the model.
	Use func(ctx context.Context, toolCallID, name string, arguments json.RawMessage) (answer string)
}
