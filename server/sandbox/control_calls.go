package sandbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// withheld is the From of a caller who does not show their number, as Twilio has it.
const withheld = "anonymous"

// Ring is a customer's call. From may be withheld.
type Ring struct {
	To   string `json:"to"`
	From string `json:"from"`
	// Say is what the caller does. With lines, and without Stay, the caller hangs up after 3 s of silence that follow an
	// answer to the last one, or after 10 s without an answer. Without lines the caller stays for the other side to end.
	Say  []Line `json:"say"`
	Stay bool   `json:"stay"`
	// HangupAfterMS ends the call so many milliseconds after it began to ring, whatever is left to say.
	HangupAfterMS int `json:"hangup_after_ms"`
	// Speed plays the call faster than a phone line, for tests; 0 is the sandbox's.
	Speed float64 `json:"speed"`
}

// Ring rings a number that the account owns. It returns when the call is answered, has ended, or waits unanswered; the call
// goes on by itself. The errors are the control API's.
func (s *Sandbox) Ring(in Ring) (Call, error) {
	l, err := s.ringIn(in)
	if err != nil {
		return Call{}, err
	}
	<-l.settled
	return l.record(), nil
}

func (s *Sandbox) ringIn(in Ring) (*leg, error) {
	switch {
	case !e164(in.To):
		return nil, invalid("to", "must be a number in E.164 form")
	case !e164(in.From) && in.From != withheld:
		return nil, invalid("from", "must be a number in E.164 form, or "+withheld)
	case in.HangupAfterMS < 0:
		return nil, invalid("hangup_after_ms", "cannot be negative")
	case in.Speed < 0 || in.Speed > 100:
		return nil, invalid("speed", "is from 0 to 100")
	}
	n, owned := s.owned(in.To)
	if !owned {
		return nil, &controlError{Status: 404, Code: "not_owned", Message: in.To + " is not owned here", Field: "to"}
	}
	speed := s.speed
	if in.Speed > 0 {
		speed = in.Speed
	}
	caller := &party{script: in.Say, leaves: len(in.Say) > 0 && !in.Stay}
	l, err := s.open(Call{Direction: "inbound", From: in.From, To: in.To, Status: "ringing", NumberSID: n.SID}, n, caller, speed)
	if err != nil {
		return nil, err
	}
	l.report = callReport{url: n.StatusCallback, method: n.StatusCallbackMethod, events: []string{"completed"}}
	s.spawn(func() { l.receive(time.Duration(in.HangupAfterMS) * time.Millisecond) })
	return l, nil
}

// receive lets the number's owner answer; the caller hangs up after limit, if there is one.
func (l *leg) receive(limit time.Duration) {
	defer l.close()
	if limit == 0 {
		limit = maxCall
	}
	impatient := time.AfterFunc(time.Duration(float64(limit)/l.speed), func() { l.end(EndPartyHungUp, "") })
	defer impatient.Stop()
	if l.number.VoiceURL == "" {
		l.log(func(c *Call) bool { c.Webhook = &Webhook{Error: errNoWebhook.Error()}; return true })
	}
	if l.perform(&document{purpose: "voice", url: l.number.VoiceURL, method: l.number.VoiceMethod}) {
		l.end(EndTwiML, "completed")
	}
}

// controlReceiveCall rings a number, as Ring does. A fault in the webhook shows in the answer.
func (s *Sandbox) controlReceiveCall(r *http.Request) (int, any, error) {
	var in Ring
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	l, err := s.ringIn(in)
	if err != nil {
		return 0, nil, err
	}
	select {
	case <-l.settled:
	case <-r.Context().Done():
	}
	return 201, l.record(), nil
}

// controlCall is one call. With ?rev= it waits until the call's rev is greater, for ?wait_ms= at most (20,000).
func (s *Sandbox) controlCall(r *http.Request) (int, any, error) {
	after, limitMS := -1, 20_000
	for key, into := range map[string]*int{"rev": &after, "wait_ms": &limitMS} {
		if given := r.URL.Query().Get(key); given != "" {
			n, err := strconv.Atoi(given)
			if err != nil || n < 0 {
				return 0, nil, &controlError{Status: 422, Code: "invalid", Message: key + " must be a number"}
			}
			*into = n
		}
	}
	limit := time.NewTimer(time.Duration(min(limitMS, 20_000)) * time.Millisecond)
	defer limit.Stop()
	for {
		l, c, known := s.find(r.PathValue("sid"))
		if !known {
			return 0, nil, &controlError{Status: 404, Code: "not_found", Message: "there is no such call"}
		}
		if l == nil {
			return 200, c, nil
		}
		c, changed := l.snapshot()
		if c.Rev > after {
			return 200, c, nil
		}
		select {
		case <-changed:
		case <-l.over:
		case <-limit.C:
			return 200, c, nil
		case <-r.Context().Done():
			return 200, c, nil
		case <-s.closing:
			return 200, c, nil
		}
	}
}

// live is the call that the path names, while it goes on.
func (s *Sandbox) live(r *http.Request) (*leg, error) {
	l, c, known := s.find(r.PathValue("sid"))
	switch {
	case !known:
		return nil, &controlError{Status: 404, Code: "not_found", Message: "there is no such call"}
	case l == nil || l.record().over():
		return nil, &controlError{Status: 409, Code: "ended", Message: "the call has ended: " + c.EndReason}
	}
	return l, nil
}

// said is what POST …/say takes: one Line, or {"lines": […]}.
type said struct {
	line  Line
	Lines []Line
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *said) UnmarshalJSON(b []byte) error {
	var many struct {
		Lines []Line `json:"lines"`
	}
	if err := json.Unmarshal(b, &many); err != nil {
		return err
	}
	if s.Lines = many.Lines; s.Lines != nil {
		return nil
	}
	return s.line.UnmarshalJSON(b)
}

// controlSay takes a Line's fields, or {"lines": […]} for several, and adds them to what the party does.
func (s *Sandbox) controlSay(r *http.Request) (int, any, error) {
	var in said
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	lines := in.Lines
	if len(lines) == 0 {
		lines = []Line{in.line}
	}
	l, err := s.live(r)
	if err != nil {
		return 0, nil, err
	}
	l.party.add(lines...)
	return 200, l.record(), nil
}

// controlDigits presses keys at once: {"digits": "1"}.
func (s *Sandbox) controlDigits(r *http.Request) (int, any, error) {
	var in struct {
		Digits string `json:"digits"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	if in.Digits == "" || strings.Trim(in.Digits, dialPad) != "" {
		return 0, nil, &controlError{Status: 422, Code: "invalid", Message: "digits are 0-9 * # w"}
	}
	l, err := s.live(r)
	if err != nil {
		return 0, nil, err
	}
	l.party.press(in.Digits)
	return 200, l.record(), nil
}

// controlHangUp is the party hanging up. It answers when the call is in the books.
func (s *Sandbox) controlHangUp(r *http.Request) (int, any, error) {
	l, err := s.live(r)
	if err != nil {
		return 0, nil, err
	}
	l.end(EndPartyHungUp, "")
	select {
	case <-l.over:
	case <-r.Context().Done():
	}
	return 200, l.record(), nil
}

// webhookForm has the fields that Twilio sends for messages and calls alike.
func (s *Sandbox) webhookForm(from, to string) url.Values {
	return url.Values{
		"AccountSid": {s.accountSID}, "ApiVersion": {"2010-04-01"}, "From": {from}, "To": {to},
		"FromCountry": {"US"}, "ToCountry": {"US"},
	}
}
