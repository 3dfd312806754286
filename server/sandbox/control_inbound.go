package sandbox

import (
	"net/http"
	"net/url"
	"slices"
)

// inbound is a customer's message or call.
type inbound struct {
	To   string `json:"to"`
	From string `json:"from"`
	Body string `json:"body"`
	// Say and HangupAfterMS are for calls: what the caller says, and when it hangs up. Nothing listens until calls have a
	// media stream; they are taken so that scripts need not change then.
	Say           []string `json:"say"`
	HangupAfterMS int      `json:"hangup_after_ms"`
}

func (s *Sandbox) decodeInbound(r *http.Request) (inbound, Number, error) {
	var in inbound
	if err := decode(r, &in); err != nil {
		return in, Number{}, err
	}
	if !e164(in.To) || !e164(in.From) {
		return in, Number{}, &controlError{422, "invalid", "to and from must be numbers in E.164 form"}
	}
	n, owned := s.owned(in.To)
	if !owned {
		return in, n, &controlError{404, "not_owned", in.To + " is not owned here"}
	}
	return in, n, nil
}

// webhookForm has the fields that Twilio sends for messages and calls alike.
func (s *Sandbox) webhookForm(in inbound) url.Values {
	return url.Values{
		"AccountSid": {s.accountSID}, "ApiVersion": {"2010-04-01"}, "From": {in.From}, "To": {in.To},
		"FromCountry": {"US"}, "ToCountry": {"US"},
	}
}

// controlReceiveMessage plays a customer's SMS: it is kept, and sent to the number's sms_url. A receiver that is absent
// shows in the answer's webhook.
func (s *Sandbox) controlReceiveMessage(r *http.Request) (int, any, error) {
	in, n, err := s.decodeInbound(r)
	if err != nil {
		return 0, nil, err
	}
	m := Message{Direction: "inbound", From: in.From, To: in.To, Body: in.Body, Status: "received", CreatedAt: s.now().UTC()}
	s.mu.Lock()
	m.SID = "SM" + s.nextHex("message")
	err = s.commit(entry{Message: &m})
	s.mu.Unlock()
	if err != nil {
		return 0, nil, err
	}
	form := s.webhookForm(in)
	form.Set("MessageSid", m.SID)
	form.Set("SmsMessageSid", m.SID)
	form.Set("SmsSid", m.SID)
	form.Set("SmsStatus", "received")
	form.Set("Body", in.Body)
	form.Set("NumMedia", "0")
	form.Set("NumSegments", "1")
	m.Webhook = s.deliver(r.Context(), n.SMSMethod, n.SMSURL, form)
	s.mu.Lock()
	defer s.mu.Unlock()
	return 201, m, s.commit(entry{Message: &m})
}

// controlReceiveCall rings a number: the call is kept, and the TwiML that the number's voice_url answers with it.
func (s *Sandbox) controlReceiveCall(r *http.Request) (int, any, error) {
	in, n, err := s.decodeInbound(r)
	if err != nil {
		return 0, nil, err
	}
	c := Call{Direction: "inbound", From: in.From, To: in.To, Status: "ringing", NumberSID: n.SID, CreatedAt: s.now().UTC()}
	s.mu.Lock()
	c.SID = "CA" + s.nextHex("call")
	err = s.commit(entry{Call: &c})
	s.mu.Unlock()
	if err != nil {
		return 0, nil, err
	}
	form := s.webhookForm(in)
	form.Set("CallSid", c.SID)
	form.Set("CallStatus", "ringing")
	form.Set("Direction", "inbound")
	form.Set("Caller", in.From)
	form.Set("Called", in.To)
	hook := s.deliver(r.Context(), n.VoiceMethod, n.VoiceURL, form)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, now := range slices.Backward(s.state.Calls) { // the receiver may have changed it meanwhile
		if now.SID == c.SID {
			c = now
			break
		}
	}
	c.Webhook = hook
	if hook.Status == 200 {
		c.TwiML = hook.Body
	}
	if c.Status == "ringing" {
		c.Status = "in-progress"
		if hook.Status != 200 {
			now := s.now().UTC()
			c.Status, c.EndedAt = "failed", &now
		}
	}
	return 201, c, s.commit(entry{Call: &c})
}
