package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"kestrel.ai/server/edge"
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
	SentBy     string     `json:"sent_by" example:"agent" doc:"Who wrote it: agent, person:…, key:…; empty for confirmations and what came in"`
	ReplyTo    *uuid.UUID `json:"reply_to" nullable:"true" doc:"The message that it answers"`
}

type listMessagesInput struct {
	PageInput
	ContactID id     `query:"contact_id" doc:"With this contact only"`
	Number    string `query:"number" maxLength:"40" example:"+16175551234" doc:"With this number only"`
}

var errTwoFilters = edge.NewProblem(422, "validation_failed", "Filter by contact or by number, not by both.").At("query.number", "is one filter too many")

const listMessagesDoc doc = `List text messages
Newest first: all, those with one contact, or those with one number.`

func (a *API) listMessages(ctx context.Context, in *listMessagesInput) (*listOutput[Message], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	at := func(m Message) cursor { return cursor{ID: m.ID} }
	same := func(m Message) Message { return m }
	switch q, tenant := a.query(ctx), tenantOf(ctx); {
	case in.Number != "" && in.ContactID.UUID != uuid.Nil:
		return nil, errTwoFilters
	case in.Number != "":
		number, ok := toE164(in.Number, "US")
		if !ok {
			return nil, edge.NewProblem(422, "validation_failed", "That is no phone number.").At("query.number", "is no phone number")
		}
		rows, err := q.ListMessagesWith(ctx, db.ListMessagesWithParams{TenantID: tenant, Party: number, Before: c.ID, MaxRows: in.rows()})
		return paged(in.PageInput, each(rows, func(r db.ListMessagesWithRow) Message { return Message(r) }), same, at), err
	case in.ContactID.UUID != uuid.Nil:
		rows, err := q.ListMessagesOf(ctx, db.ListMessagesOfParams{TenantID: tenant, ContactID: in.ContactID.UUID, Before: c.ID, MaxRows: in.rows()})
		return paged(in.PageInput, each(rows, func(r db.ListMessagesOfRow) Message { return Message(r) }), same, at), err
	default:
		rows, err := q.ListMessages(ctx, tenant, c.ID, in.rows())
		return paged(in.PageInput, each(rows, func(r db.ListMessagesRow) Message { return Message(r) }), same, at), err
	}
}

// Conversation is the latest message with one customer.
type Conversation struct {
	ID        uuid.UUID  `json:"id" format:"uuid" doc:"The latest message's"`
	Number    string     `json:"number" example:"+16175551234" doc:"The customer's"`
	ContactID *uuid.UUID `json:"contact_id" nullable:"true"`
	Name      string     `json:"name" example:"Pat Jones" doc:"The contact's; may be empty"`
	Direction string     `json:"direction" enum:"inbound,outbound"`
	Body      string     `json:"body" example:"On my way"`
	Status    string     `json:"status" example:"delivered"`
	CreatedAt time.Time  `json:"created_at"`
	OptedOut  bool       `json:"opted_out" doc:"They asked for no more texts"`
}

const listConversationsDoc doc = `List conversations by text
The latest message with each customer, newest first.`

func (a *API) listConversations(ctx context.Context, in *PageInput) (*listOutput[Conversation], error) {
	c, err := in.after(newest())
	if err != nil {
		return nil, err
	}
	rows, err := a.query(ctx).ListConversations(ctx, tenantOf(ctx), c.ID, in.rows())
	return paged(*in, rows, func(r db.ListConversationsRow) Conversation { return Conversation(r) },
		func(r db.ListConversationsRow) cursor { return cursor{ID: r.ID} }), err
}

// SendMessage is a text to a customer.
type SendMessage struct {
	To   string `json:"to" maxLength:"40" example:"+16175551234"`
	Body string `json:"body" minLength:"1" maxLength:"1600" example:"On our way, 20 minutes."`
}

// Resolve normalises the receiver.
func (b *SendMessage) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	f := faults{at: at}
	f.phone("to", &b.To)
	return f.errs
}

type sendMessageInput struct{ Body SendMessage }

type messageOutput struct{ Body Message }

const sendMessageDoc doc = `Send a text message
As the business, from its first number that can. Who has asked for no more texts gets none (409 opted_out); 200 an hour at most.`

func (a *API) sendMessage(ctx context.Context, in *sendMessageInput) (*messageOutput, error) {
	m, err := a.query(ctx).SendText(ctx, db.SendTextParams{TenantID: tenantOf(ctx), ToNumber: in.Body.To, Body: in.Body.Body, At: a.Now()})
	if err != nil {
		return nil, err
	}
	return &messageOutput{Body: Message{ID: m.ID, Direction: m.Direction, FromNumber: m.FromNumber, ToNumber: m.ToNumber, Body: m.Body, Status: m.Status,
		Error: m.Error, ContactID: m.ContactID, CreatedAt: m.CreatedAt, SentBy: m.SentBy, ReplyTo: m.ReplyTo}}, nil
}
