package voice

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// streamUsed is the type of the event that a leg of a call has had its stream.
const streamUsed = "stream.used"

// streamUses asks Postgres whether a leg has had its stream; where it does not answer at once, the use is journalled.
type streamUses struct {
	q       *db.Queries
	journal Recorder
}

// NewUses remembers in Postgres, for all processes.
func NewUses(d *supabase.DB, journal Recorder) Uses {
	return streamUses{q: db.New(d.As(supabase.AsService("webhook:twilio"))), journal: journal}
}

func (u streamUses) Use(ctx context.Context, tenant uuid.UUID, callSID string, leg int, at time.Time) (bool, error) {
	within, cancel := context.WithTimeout(ctx, lookUp)
	defer cancel()
	rows, err := u.q.UseStream(within, callSID, int32(leg), at) //nolint:gosec // at most maxLegs
	if err != nil {
		u.journal.Record(Event{TenantID: tenant, CallSID: callSID, Type: streamUsed, At: at, Data: []byte(`{"leg":` + strconv.Itoa(leg) + `}`)})
	}
	return rows == 1, err
}
