package twilio

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"time"

	v2010 "github.com/twilio/twilio-go/rest/api/v2010"
)

// Call is a call as Twilio has it.
type Call struct {
	SID       string
	ParentSID string // of a leg that TwiML dialled
	Direction string // inbound, outbound-api or outbound-dial
	From, To  string
	Status    string // queued, ringing, in-progress, completed, busy, failed, no-answer or canceled
	Duration  int    // seconds, once it has ended
	StartedAt time.Time
	EndedAt   time.Time // zero while it goes on
}

// Over reports whether the status is the call's last.
func (c Call) Over() bool {
	switch c.Status {
	case "completed", "busy", "failed", "no-answer", "canceled":
		return true
	}
	return false
}

// FetchCall returns one call; ErrNotFound when this account has none such.
func (c *Client) FetchCall(ctx context.Context, callSID string) (Call, error) {
	api, err := c.apiFor(ctx, callSID)
	if err != nil {
		return Call{}, err
	}
	found, err := api.FetchCall(callSID, nil)
	if err != nil {
		return Call{}, fail(err, false)
	}
	return callOf(found), nil
}

// ListCalls calls each with every page of the calls that started at or after since, and stops at its first error.
func (c *Client) ListCalls(ctx context.Context, since time.Time, each func(page []Call) error) error {
	api, err := c.api(ctx)
	if err != nil {
		return err
	}
	params := (&v2010.ListCallParams{}).SetStartTimeAfter(since.UTC()).SetPageSize(1000)
	token, number := "", ""
	for range maxPages {
		page, err := api.PageCall(params, token, number)
		if err != nil {
			return fail(err, false)
		}
		calls := make([]Call, 0, len(page.Calls))
		for i := range page.Calls {
			calls = append(calls, callOf(&page.Calls[i]))
		}
		if err := each(calls); err != nil {
			return err
		}
		next := text(page.NextPageUri)
		if next == "" {
			return nil
		}
		at, err := url.Parse(next)
		if err != nil {
			return fail(err, false)
		}
		token, number = at.Query().Get("PageToken"), at.Query().Get("Page")
		if token == "" && number == "" {
			return fail(errors.New("no next page in "+next), false)
		}
	}
	return fail(errors.New("endless listing"), false)
}

// StartRecording records both sides of a live call on a channel each; callback is told when the recording is ready. Doing
// it twice would make two recordings.
func (c *Client) StartRecording(ctx context.Context, callSID, callback string) error {
	api, err := c.apiFor(ctx, callSID)
	if err != nil {
		return err
	}
	params := (&v2010.CreateCallRecordingParams{}).SetRecordingChannels("dual").SetRecordingStatusCallback(callback).
		SetRecordingStatusCallbackMethod("POST").SetRecordingStatusCallbackEvent([]string{"completed"})
	if _, err := api.CreateCallRecording(callSID, params); err != nil {
		return fail(err, true)
	}
	return nil
}

// Sign signs a webhook as Twilio would with this account's token, so that our own can be tried.
func (c *Client) Sign(rawURL string, form url.Values) string {
	return Sign(c.cfg.AuthToken, rawURL, form)
}

func callOf(c *v2010.ApiV2010Call) Call {
	out := Call{SID: text(c.Sid), ParentSID: text(c.ParentCallSid), Direction: text(c.Direction), From: text(c.From), To: text(c.To), Status: text(c.Status)}
	out.Duration, _ = strconv.Atoi(text(c.Duration))
	// A call that has not started has no time: it is zero then.
	out.StartedAt, _ = time.Parse(time.RFC1123Z, text(c.StartTime))
	if out.StartedAt.IsZero() {
		out.StartedAt, _ = time.Parse(time.RFC1123Z, text(c.DateCreated))
	}
	out.EndedAt, _ = time.Parse(time.RFC1123Z, text(c.EndTime))
	return out
}
