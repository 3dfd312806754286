package api

import (
	"context"
	"strings"
	"time"

	"kestrel.ai/server/edge"
)

type ticketInput struct{ Body OrderTicket }

// OrderTicket names what the ticket is for.
type OrderTicket struct {
	Path string `json:"path" maxLength:"500" pattern:"^/" patternDescription:"path from /" example:"/api/admin/tenants" doc:"Of this host, without query"`
}

// Ticket stands in for a Bearer once.
type Ticket struct {
	Ticket    string    `json:"ticket" example:"Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MDEyMzQ1Njc4OTA" doc:"Send it as ?ticket="`
	ExpiresAt time.Time `json:"expires_at" doc:"30 seconds from now"`
}

type ticketOutput struct{ Body Ticket }

const mintTicketDoc doc = `Get a ticket
For one GET of one path by this caller, within 30 seconds: websockets and downloads, which cannot carry a Bearer.`

func (a *API) mintTicket(ctx context.Context, in *ticketInput) (*ticketOutput, error) {
	ticket, expires, err := a.Edge.Tickets().Mint(ctx, edge.FromContext(ctx), strings.Clone(in.Body.Path))
	return &ticketOutput{Body: Ticket{Ticket: ticket, ExpiresAt: expires}}, err
}
