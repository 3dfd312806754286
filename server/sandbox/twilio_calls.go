package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Calls lists every call, newest first, those that go on as they are now.
func (s *Sandbox) Calls() []Call {
	s.mu.Lock()
	all := newestFirst(s.state.Calls)
	live := make(map[string]*leg, len(s.legs))
	for sid, l := range s.legs {
		live[sid] = l
	}
	s.mu.Unlock()
	for i := range all {
		if l := live[all[i].SID]; l != nil {
			all[i] = l.record()
		}
	}
	return all
}

// Call is the call with this SID, as it is now.
func (s *Sandbox) Call(sid string) (Call, bool) {
	l, c, known := s.find(sid)
	if l != nil {
		c = l.record()
	}
	return c, known
}

// find is a call's record, and its leg while it goes on.
func (s *Sandbox) find(sid string) (*leg, Call, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range slices.Backward(s.state.Calls) {
		if c.SID == sid {
			return s.legs[sid], c, true
		}
	}
	return nil, Call{}, false
}

func (s *Sandbox) known(sid string) bool {
	_, _, known := s.find(sid)
	return known
}

// createCall places a call: the number rings as its Phone says, and whoever answers hears the TwiML.
func (s *Sandbox) createCall(r *http.Request) (int, any, error) {
	f := r.PostForm
	to, from := f.Get("To"), f.Get("From")
	number, owned := s.owned(from)
	timeout, err := formInt(r, "Timeout", 60, 0, 600)
	switch {
	case err != nil:
		return 0, nil, err
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
	phone := s.phone(to)
	if _, ours := s.owned(to); ours {
		phone = Phone{Answers: AnswersFailed}
	}
	l, err := s.open(Call{
		Direction: "outbound-api", From: from, To: to, Status: "queued", NumberSID: number.SID, URL: f.Get("Url"), TwiML: f.Get("Twiml"),
	}, Number{VoiceFallbackURL: f.Get("FallbackUrl"), VoiceFallbackMethod: or(f.Get("FallbackMethod"), http.MethodPost)}, phone.person(false), s.speed)
	if err != nil {
		return 0, nil, err
	}
	l.report = callReport{
		url: f.Get("StatusCallback"), method: or(f.Get("StatusCallbackMethod"), http.MethodPost),
		events: words(or(strings.Join(f["StatusCallbackEvent"], " "), "completed")),
	}
	placed := l.record()
	first := &document{purpose: "voice", url: f.Get("Url"), method: f.Get("Method"), twiml: f.Get("Twiml")}
	s.spawn(func() { l.place(first, phone, time.Duration(timeout)*time.Second) })
	return 201, s.callResource(placed), nil
}

// place rings, performs what was asked for and hangs up.
func (l *leg) place(first *document, phone Phone, timeout time.Duration) {
	defer l.close()
	if !l.pickUp(l.ctx, phone, timeout) {
		return
	}
	if l.perform(first) {
		l.end(EndTwiML, "")
	}
}

func (s *Sandbox) listCalls(r *http.Request) (int, any, error) {
	q := r.Form
	matching := slices.DeleteFunc(s.Calls(), func(c Call) bool {
		return q.Get("To") != "" && c.To != q.Get("To") || q.Get("From") != "" && c.From != q.Get("From") ||
			q.Get("Status") != "" && c.Status != q.Get("Status") || q.Get("ParentCallSid") != "" && c.ParentSID != q.Get("ParentCallSid") ||
			!inTimes(c.CreatedAt, r, "StartTime") || c.EndedAt != nil && !inTimes(*c.EndedAt, r, "EndTime")
	})
	return twilioPage(r, "calls", matching, s.callResource)
}

// legAt is the call that the path names: its leg if it goes on, and its record.
func (s *Sandbox) legAt(sid string, r *http.Request) (*leg, Call, error) {
	l, c, known := s.find(sid)
	if !known {
		return nil, c, notFound(r)
	}
	if l != nil {
		c = l.record()
	}
	return l, c, nil
}

func (s *Sandbox) fetchCall(r *http.Request) (int, any, error) {
	_, c, err := s.legAt(fileSID(r), r)
	return 200, s.callResource(c), err
}

// updateCall takes Status (completed, or canceled before it is answered) or new instructions by Url or Twiml.
func (s *Sandbox) updateCall(r *http.Request) (int, any, error) {
	l, c, err := s.legAt(fileSID(r), r)
	if err != nil {
		return 0, nil, err
	}
	if l == nil || c.over() {
		return 0, nil, &twilioError{400, 21220, "Call is not in-progress. Cannot redirect."}
	}
	f := r.PostForm
	switch status := f.Get("Status"); status {
	case "":
		instead := &document{purpose: "action", url: f.Get("Url"), method: f.Get("Method"), twiml: f.Get("Twiml")}
		if instead.url == "" && instead.twiml == "" {
			return 0, nil, &twilioError{400, 21205, "Url parameter is required."}
		}
		l.step("redirect", or(instead.url, "TwiML"))
		l.transfer(instead)
	case "completed", "canceled":
		if status == "canceled" && c.AnswerAt != nil {
			return 0, nil, &twilioError{400, 21220, "A call in progress cannot be canceled."}
		}
		l.end(EndAPI, status)
	default:
		return 0, nil, &twilioError{400, 20001, "Status must be completed or canceled"}
	}
	return 200, s.callResource(l.record()), nil
}

func (s *Sandbox) callResource(c Call) map[string]any {
	uri := s.accountURI(fmt.Sprintf("/Calls/%s", c.SID))
	updated := c.CreatedAt
	var duration, started any
	if c.Status != "queued" && c.Status != "ringing" && c.Status != "canceled" {
		started = twilioTime(c.CreatedAt)
	}
	if c.AnswerAt != nil {
		updated = *c.AnswerAt
	}
	if c.EndedAt != nil {
		updated = *c.EndedAt
		duration = strconv.Itoa(c.DurationS)
	}
	return map[string]any{
		"sid": c.SID, "account_sid": s.accountSID, "parent_call_sid": orNull(c.ParentSID), "phone_number_sid": orNull(c.NumberSID),
		"direction": c.Direction, "status": c.Status, "from": c.From, "from_formatted": formatted(c.From), "to": c.To, "to_formatted": formatted(c.To),
		"date_created": twilioTime(c.CreatedAt), "date_updated": twilioTime(updated),
		"start_time": started, "end_time": optionalTime(c.EndedAt), "duration": duration, "queue_time": "0",
		"price": nil, "price_unit": "USD", "answered_by": nil, "forwarded_from": nil, "group_sid": nil, "caller_name": nil, "trunk_sid": nil,
		"api_version": "2010-04-01", "uri": uri + ".json",
		"subresource_uris": map[string]string{"recordings": uri + "/Recordings.json", "notifications": uri + "/Notifications.json"},
	}
}
