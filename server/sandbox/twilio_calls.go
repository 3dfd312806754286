package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Call is a phone call: placed through the API, or rung by POST /_sandbox/calls. Nothing is spoken: it is a record only.
type Call struct {
	SID       string     `json:"sid"`
	Direction string     `json:"direction"` // inbound or outbound-api
	From      string     `json:"from"`
	To        string     `json:"to"`
	Status    string     `json:"status"`
	NumberSID string     `json:"phone_number_sid,omitempty"`
	URL       string     `json:"url,omitempty"`     // where an outbound call gets its TwiML
	TwiML     string     `json:"twiml,omitempty"`   // what the call is to do, as far as known
	Webhook   *Webhook   `json:"webhook,omitempty"` // what the number's voice_url answered, inbound only
	CreatedAt time.Time  `json:"created_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
}

// Calls lists every call, newest first.
func (s *Sandbox) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return newestFirst(s.state.Calls)
}

func (s *Sandbox) createCall(r *http.Request) (int, any, error) {
	f := r.PostForm
	to, from := f.Get("To"), f.Get("From")
	number, owned := s.owned(from)
	switch {
	case to == "":
		return 0, nil, &twilioError{400, 21201, "No 'To' number is specified"}
	case from == "":
		return 0, nil, &twilioError{400, 21213, "No 'From' number is specified"}
	case !e164(to):
		return 0, nil, &twilioError{400, 21211, "The phone number you are attempting to call, " + to + ", is not valid."}
	case !e164(from):
		return 0, nil, &twilioError{400, 21212, "The caller ID " + from + " is not valid."}
	case f.Get("Url") == "" && f.Get("Twiml") == "" && f.Get("ApplicationSid") == "":
		return 0, nil, &twilioError{400, 21205, "Url parameter is required."}
	case !owned:
		return 0, nil, &twilioError{400, 21210, "The source phone number provided, " + from + ", is not yet verified for your account."}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Call{
		SID: "CA" + s.nextHex("call"), Direction: "outbound-api", From: from, To: to, Status: "queued", NumberSID: number.SID,
		URL: f.Get("Url"), TwiML: f.Get("Twiml"), CreatedAt: s.now().UTC(),
	}
	return 201, s.callResource(c), s.commit(entry{Call: &c})
}

func (s *Sandbox) listCalls(r *http.Request) (int, any, error) {
	q := r.Form
	matching := slices.DeleteFunc(s.Calls(), func(c Call) bool {
		return q.Get("To") != "" && c.To != q.Get("To") || q.Get("From") != "" && c.From != q.Get("From") ||
			q.Get("Status") != "" && c.Status != q.Get("Status") || q.Get("ParentCallSid") != "" ||
			!inTimes(c.CreatedAt, r, "StartTime")
	})
	return twilioPage(r, "calls", matching, s.callResource)
}

// callAt finds the call that the path names. s.mu must be held.
func (s *Sandbox) callAt(r *http.Request) (Call, error) {
	for _, c := range slices.Backward(s.state.Calls) {
		if c.SID == fileSID(r) {
			return c, nil
		}
	}
	return Call{}, notFound(r)
}

func (s *Sandbox) fetchCall(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.callAt(r)
	return 200, s.callResource(c), err
}

// updateCall takes Status (completed, or canceled before it is answered) or new instructions by Url or Twiml.
func (s *Sandbox) updateCall(r *http.Request) (int, any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.callAt(r)
	if err != nil {
		return 0, nil, err
	}
	if c.EndedAt != nil {
		return 0, nil, &twilioError{400, 21220, "Call is not in-progress. Cannot redirect."}
	}
	f := r.PostForm
	switch status := f.Get("Status"); status {
	case "":
		c.URL, c.TwiML = or(f.Get("Url"), c.URL), or(f.Get("Twiml"), c.TwiML)
	case "completed", "canceled":
		if status == "canceled" && c.Status == "in-progress" {
			return 0, nil, &twilioError{400, 21220, "A call in progress cannot be canceled."}
		}
		now := s.now().UTC()
		c.Status, c.EndedAt = status, &now
	default:
		return 0, nil, &twilioError{400, 20001, "Status must be completed or canceled"}
	}
	return 200, s.callResource(c), s.commit(entry{Call: &c})
}

func (s *Sandbox) callResource(c Call) map[string]any {
	uri := s.accountURI(fmt.Sprintf("/Calls/%s", c.SID))
	updated := c.CreatedAt
	var duration, started any
	if c.Status != "queued" && c.Status != "ringing" && c.Status != "canceled" {
		started = twilioTime(c.CreatedAt)
	}
	if c.EndedAt != nil {
		updated = *c.EndedAt
		duration = strconv.Itoa(int(updated.Sub(c.CreatedAt).Seconds()))
	}
	return map[string]any{
		"sid": c.SID, "account_sid": s.accountSID, "parent_call_sid": nil, "phone_number_sid": orNull(c.NumberSID),
		"direction": c.Direction, "status": c.Status, "from": c.From, "from_formatted": formatted(c.From), "to": c.To, "to_formatted": formatted(c.To),
		"date_created": twilioTime(c.CreatedAt), "date_updated": twilioTime(updated),
		"start_time": started, "end_time": optionalTime(c.EndedAt), "duration": duration, "queue_time": "0",
		"price": nil, "price_unit": "USD", "answered_by": nil, "forwarded_from": nil, "group_sid": nil, "caller_name": nil, "trunk_sid": nil,
		"api_version": "2010-04-01", "uri": uri + ".json",
		"subresource_uris": map[string]string{"recordings": uri + "/Recordings.json", "notifications": uri + "/Notifications.json"},
	}
}
