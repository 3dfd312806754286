package agent

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Profile is a tenant's receptionist in one version: immutable once loaded, and shared by its calls.
type Profile struct {
	TenantID    uuid.UUID
	Slug        string
	CompanyName string
	Timezone    string // IANA name
	ForwardTo   string // E.164; empty if the tenant forwards nowhere
	Version     int
	Settings    Settings
}

// Channels of a Call.
const (
	ChannelCall     = "call"
	ChannelTest     = "test"     // a browser that talks to its own agent
	ChannelScenario = "scenario" // texts of a script; the desk keeps nothing
	ChannelSMS      = "sms"
)

// Call is a conversation as the agent knows it.
type Call struct {
	ID        uuid.UUID // v7; call_logs.id, given when the webhook arrives
	SID       string    // Twilio's CA…
	From, To  string    // E.164; From is empty for a caller who withholds it
	Channel   string
	StartedAt time.Time
}

// Tool is something the model may ask for.
type Tool struct {
	Name, Description string
	Parameters        json.RawMessage // a JSON schema, strict: every property is required
	Filler            string          // said while it runs; empty for one that answers at once
	Timeout           time.Duration
}

// What an Action asks of whoever holds the call.
const (
	ActionTransfer = "transfer"
	ActionHangUp   = "hang_up"
)

// Action is what is to happen with the call once the model has been answered and has said its last words; the zero value is nothing.
type Action struct {
	Kind   string
	Number string // E.164, of a transfer
	Reason string // for the record: emergency, asked_for, done…
}

// Result is a tool's answer.
type Result struct {
	Output string // JSON for the model
	Action Action
}
