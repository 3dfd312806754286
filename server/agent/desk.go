package agent

import (
	"context"
	"encoding/json"
	"time"

	"kestrel.ai/supabase"
)

// Desk does what the tools ask for, in the tenant's data.
type Desk struct {
	db  *supabase.DB
	now func() time.Time
}

// NewDesk works in db; now tells the time by which slots are past.
func NewDesk(db *supabase.DB, now func() time.Time) *Desk { return &Desk{db: db, now: now} }

// Use runs one tool. It never fails: what goes wrong is in the answer, in words the model can act on. Using a tool again
// with the same call and toolCallID gives the same effect, once.
func (d *Desk) Use(_ context.Context, _ *Profile, _ Call, _, _ string, _ json.RawMessage) Result {
	return Result{Output: `{"error":"This is not available yet."}`}
}
