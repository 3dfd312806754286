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

// CallMessage is what a caller left with the receptionist.
type CallMessage struct {
	ID             uuid.UUID  `json:"id" format:"uuid"`
	ContactID      *uuid.UUID `json:"contact_id" nullable:"true"`
	ConversationID *uuid.UUID `json:"conversation_id" nullable:"true" doc:"The call it was left in, or the text"`
	CallerName     string     `json:"caller_name" example:"Pat Jones" doc:"As given; may be empty"`
	CallerPhone    *string    `json:"caller_phone" example:"+16175551234" doc:"Where to call back"`
	Body           string     `json:"body" example:"Please call back about the estimate."`
	IsUrgent       bool       `json:"is_urgent" doc:"An emergency"`
	ReadAt         *time.Time `json:"read_at" doc:"When somebody had seen to it"`
	CreatedAt      time.Time  `json:"created_at"`
}

type listCallMessagesInput struct {
	PageInput
	Open bool `query:"open" doc:"Only those that nobody has seen to"`
}

const listCallMessagesDoc doc = `List the messages that callers left
Newest first.`

func (a *API) listCallMessages(ctx context.Context, in *listCallMessagesInput) (*listOutput[CallMessage], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).PageCallMessages(ctx, db.PageCallMessagesParams{TenantID: tenantOf(ctx), Before: c.ID, OpenOnly: in.Open, MaxRows: in.rows()})
	return paged(in.PageInput, rows, func(r db.PageCallMessagesRow) CallMessage { return CallMessage(r) }, func(r db.PageCallMessagesRow) cursor { return cursor{ID: r.ID} }), err
}

type patchCallMessageInput struct {
	ID   id `path:"id" doc:"The message's id"`
	Body struct {
		Done bool `json:"done" doc:"Whether somebody has seen to it"`
	}
}

type callMessageOutput struct{ Body CallMessage }

var errNoCallMessage = edge.NewProblem(http.StatusNotFound, "call_message_not_found", "There is no such message.")

const patchCallMessageDoc doc = `Mark a caller's message
As done, or as open again. Done twice, it keeps its first time.`

func (a *API) patchCallMessage(ctx context.Context, in *patchCallMessageInput) (*callMessageOutput, error) {
	r, err := a.query(ctx).MarkCallMessage(ctx, db.MarkCallMessageParams{TenantID: tenantOf(ctx), ID: in.ID.UUID, Done: in.Body.Done, At: a.Now()})
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoCallMessage
	}
	return &callMessageOutput{Body: CallMessage(r)}, err
}
