package twilio

import (
	"context"
	"errors"

	v2010 "github.com/twilio/twilio-go/rest/api/v2010"
)

// Message is an SMS that Twilio accepted.
type Message struct {
	SID    string
	Status string // Twilio's: queued, sending, sent, delivered, undelivered, failed
}

// SendSMS sends body from an owned number to another, both E.164. It is not repeated
// here; after ErrOutcomeUnknown a repeat may text the recipient twice.
// statusURL, where given, is told of its delivery.
func (c *Client) SendSMS(ctx context.Context, from, to, body, statusURL string) (Message, error) {
	if !e164.MatchString(from) || !e164.MatchString(to) {
		return Message{}, refused("Both phone numbers must be in E.164 format, such as +18573825169")
	}
	if body == "" || len([]rune(body)) > 1600 {
		return Message{}, refused("The message must have 1 to 1600 characters")
	}
	api, err := c.api(ctx)
	if err != nil {
		return Message{}, err
	}
	params := (&v2010.CreateMessageParams{}).SetFrom(from).SetTo(to).SetBody(body)
	if statusURL != "" {
		params.SetStatusCallback(statusURL)
	}
	sent, err := api.CreateMessage(params)
	if err != nil {
		return Message{}, fail(err, true)
	}
	if text(sent.Sid) == "" {
		return Message{}, fail(errors.New("no sid"), true)
	}
	return Message{SID: text(sent.Sid), Status: text(sent.Status)}, nil
}
