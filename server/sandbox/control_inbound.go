package sandbox

import (
	"net/http"
	"strconv"
)

// inbound is a customer's message.
type inbound struct {
	To   string `json:"to"`
	From string `json:"from"`
	Body string `json:"body"`
}

func (s *Sandbox) decodeInbound(r *http.Request) (inbound, Number, error) {
	var in inbound
	if err := decode(r, &in); err != nil {
		return in, Number{}, err
	}
	if !e164(in.To) || !e164(in.From) {
		return in, Number{}, &controlError{Status: 422, Code: "invalid", Message: "to and from must be numbers in E.164 form"}
	}
	n, owned := s.owned(in.To)
	if !owned {
		return in, n, &controlError{Status: 404, Code: "not_owned", Message: in.To + " is not owned here"}
	}
	return in, n, nil
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
	form := s.webhookForm(in.From, in.To)
	form.Set("MessageSid", m.SID)
	form.Set("SmsMessageSid", m.SID)
	form.Set("SmsSid", m.SID)
	form.Set("SmsStatus", "received")
	form.Set("Body", in.Body)
	form.Set("NumMedia", "0")
	form.Set("NumSegments", "1")
	word := s.keyword(in)
	if m.ServiceSID = n.MessagingServiceSID; m.ServiceSID != "" {
		form.Set("MessagingServiceSid", m.ServiceSID)
		if word != "" {
			form.Set("OptOutType", word)
		}
	}
	m.Webhook = s.deliver(r.Context(), n.SMSMethod, n.SMSURL, form)
	failed := s.reply(m, m.Webhook)
	if failed != nil && n.SMSFallbackURL != "" {
		form.Set("ErrorCode", strconv.Itoa(failed.Code))
		form.Set("ErrorUrl", n.SMSURL)
		m.Webhook = s.deliver(r.Context(), n.SMSFallbackMethod, n.SMSFallbackURL, form)
		failed = s.reply(m, m.Webhook)
	}
	if failed != nil {
		m.ErrorCode = failed.Code
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return 201, m, s.commit(entry{Message: &m})
}
