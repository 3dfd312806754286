package api

import (
	"context"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/supabase/db"
)

// Message is a text message.
type Message struct {
	ID         uuid.UUID  `json:"id" format:"uuid"`
	Direction  string     `json:"direction" enum:"inbound,outbound"`
	FromNumber string     `json:"from_number" example:"+16175551234"`
	ToNumber   string     `json:"to_number" example:"+18573825169"`
	Body       string     `json:"body" example:"On my way"`
	Status     string     `json:"status" example:"delivered" doc:"Twilio's"`
	Error      *string    `json:"error"`
	ContactID  *uuid.UUID `json:"contact_id" nullable:"true"`
	CreatedAt  time.Time  `json:"created_at"`
}

const listMessagesDoc doc = `List text messages
Newest first.`

func (a *API) listMessages(ctx context.Context, in *PageInput) (*listOutput[Message], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListMessages(ctx, tenantOf(ctx), c.ID, in.rows())
	return paged(*in, rows, func(r db.ListMessagesRow) Message { return Message(r) }, func(r db.ListMessagesRow) cursor { return cursor{ID: r.ID} }), err
}
