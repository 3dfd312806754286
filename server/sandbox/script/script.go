// Package script is the sandbox's receptionist: what a language model would say in a conversation, from plain phrases and
// by rule. The same conversation gets the same answer. It knows nothing but what it is told: names, dates, prices and
// results come from the instructions, the caller and the tools.
package script

import (
	"encoding/json"
	"time"
)

// Roles of a Turn.
const (
	User      = "user"
	Assistant = "assistant"
	System    = "system"
	Call      = "call"   // a tool was called: Name, and Text is its arguments
	Output    = "output" // what the tool with that CallID answered
)

// Turn is one thing that was said or done.
type Turn struct {
	Role   string `json:"role"`
	Text   string `json:"text"`
	CallID string `json:"call_id,omitempty"`
	Name   string `json:"name,omitempty"`
	// Unheard is what an assistant's turn would have gone on to say, had it not been interrupted.
	Unheard string `json:"unheard,omitempty"`
}

// Tool is a function that may be called. Parameters is a JSON schema.
type Tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
}

// Scene is a conversation that waits for its next turn.
type Scene struct {
	Instructions string // of the whole conversation
	Direction    string // for this turn only
	Tools        []Tool
	Choice       string // auto, none, required, or the one tool to call; empty is auto
	Turns        []Turn
	Now          time.Time // where the instructions do not tell
}

// Reply is the next turn: something to say, a tool to call, or both.
type Reply struct {
	Say       string
	Name      string          // of the tool
	Arguments json.RawMessage // a JSON object
}
