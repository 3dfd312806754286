package sandbox

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// unregistered is the A2P state of a number from which carriers take nothing.
const unregistered = "unregistered"

// optOut is a customer's STOP to a number, or, with Out false, the START that undid it.
type optOut struct {
	Customer string `json:"customer"`
	Number   string `json:"number"`
	Out      bool   `json:"out"`
}

// sendMessage takes an outbound message and lets it travel. It fails with 21610 when the customer has opted out.
func (s *Sandbox) sendMessage(m Message, callback string) (Message, error) {
	s.mu.Lock()
	if s.optedOut(m.To, m.From) {
		s.mu.Unlock()
		return m, &twilioError{400, 21610, "Attempt to send to unsubscribed recipient"}
	}
	sender, _ := s.numberWhere(func(n Number) bool { return n.PhoneNumber == m.From })
	m.SID, m.Status, m.CreatedAt = "SM"+s.nextHex("message"), "queued", s.now().UTC()
	err := s.commit(entry{Message: &m})
	s.mu.Unlock()
	if err != nil {
		return m, err
	}
	ends := "delivered"
	if sender.A2P == unregistered {
		ends = "undelivered"
	}
	s.spawn(func() {
		for _, status := range []string{"queued", "sent", ends} {
			if !s.travel(m.SID, status, callback) {
				return
			}
		}
	})
	return m, nil
}

// optedOut tells whether customer has said STOP to number. s.mu must be held.
func (s *Sandbox) optedOut(customer, number string) bool {
	return slices.ContainsFunc(s.state.OptOuts, func(o optOut) bool { return o.Out && o.Customer == customer && o.Number == number })
}

// travel brings a message to its next status and tells the callback, once: Twilio does not repeat a status callback that is
// refused. It reports whether there is more to do.
func (s *Sandbox) travel(sid, status, callback string) bool {
	m, known := s.changeMessage(sid, func(m *Message) {
		if m.Status = status; status == "undelivered" {
			m.ErrorCode = 30034
		}
	})
	if !known || s.life.Err() != nil {
		return false
	}
	if callback == "" {
		return true
	}
	form := s.webhookForm(m.From, m.To)
	form.Set("MessageSid", m.SID)
	form.Set("SmsSid", m.SID)
	form.Set("MessageStatus", status)
	form.Set("SmsStatus", status)
	if m.ErrorCode != 0 {
		form.Set("ErrorCode", strconv.Itoa(m.ErrorCode))
	}
	if m.ServiceSID != "" {
		form.Set("MessagingServiceSid", m.ServiceSID)
	}
	hook := s.deliver(s.life, http.MethodPost, callback, form)
	_, known = s.changeMessage(sid, func(m *Message) {
		m.Callbacks = append(slices.Clone(m.Callbacks), Delivery{Purpose: "status", Fields: flat(form), Webhook: *hook})
	})
	return known
}

func (s *Sandbox) changeMessage(sid string, change func(*Message)) (Message, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range slices.Backward(s.state.Messages) {
		if m.SID == sid {
			change(&m)
			s.save(entry{Message: &m})
			return m, true
		}
	}
	return Message{}, false
}

func flat(form url.Values) map[string]string {
	fields := make(map[string]string, len(form))
	for k := range form {
		fields[k] = form.Get(k)
	}
	return fields
}

// keyword obeys STOP, START and HELP as Twilio does for a US number, and answers which of them it was, if any
// (https://help.twilio.com/articles/223134027).
func (s *Sandbox) keyword(in inbound) string {
	var kind, says string
	switch strings.ToUpper(strings.TrimSpace(in.Body)) {
	case "STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT":
		kind, says = "STOP", "You are unsubscribed and will get no more messages from this number. Reply START to subscribe again."
	case "START", "YES", "UNSTOP":
		kind, says = "START", "You are subscribed again. Reply STOP to unsubscribe."
	case "HELP", "INFO":
		kind, says = "HELP", "Reply STOP to unsubscribe."
	default:
		return ""
	}
	s.mu.Lock()
	was := s.optedOut(in.From, in.To)
	s.mu.Unlock()
	if kind == "START" && !was {
		return kind
	}
	answer := Message{Direction: "outbound-reply", From: in.To, To: in.From, Body: says}
	if kind != "START" && !was { // before it takes effect
		_, _ = s.sendMessage(answer, "")
	}
	if kind != "HELP" {
		s.mu.Lock()
		s.save(entry{OptOut: &optOut{Customer: in.From, Number: in.To, Out: kind == "STOP"}})
		s.mu.Unlock()
	}
	if kind == "START" {
		_, _ = s.sendMessage(answer, "")
	}
	return kind
}

// reply sends what a number's sms_url answered to m: TwiML, or plain text.
func (s *Sandbox) reply(m Message, hook *Webhook) *CallError {
	if hook.Error != "" || hook.Status < 200 || hook.Status > 299 {
		return &CallError{Code: 11200, Message: "HTTP retrieval failure"}
	}
	if strings.TrimSpace(hook.Body) == "" {
		return nil
	}
	answer := Message{Direction: "outbound-reply", From: m.To, To: m.From, ServiceSID: m.ServiceSID}
	if strings.HasPrefix(hook.ContentType, "text/plain") {
		answer.Body = hook.Body
		_, _ = s.sendMessage(answer, "")
		return nil
	}
	verbs, failed := parseTwiML(hook.Body, messageRules())
	if failed != nil {
		return failed
	}
	for _, v := range verbs {
		answer.Body = v.Text
		if body, given := v.child("Body"); given {
			answer.Body = body.Text
		}
		answer.To, answer.From = v.attr("to", m.From), v.attr("from", m.To)
		callback := v.attr("statusCallback", v.attr("action", ""))
		if callback != "" {
			callback = resolve(hook.URL, callback)
		}
		if _, err := s.sendMessage(answer, callback); err != nil {
			return &CallError{Code: 21610, Message: err.Error()}
		}
	}
	return nil
}

// controlSetNumber changes what the API cannot: {a2p, messaging_service_sid}.
func (s *Sandbox) controlSetNumber(r *http.Request) (int, any, error) {
	var in struct {
		A2P                 *string `json:"a2p"`
		MessagingServiceSID *string `json:"messaging_service_sid"`
	}
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n, owned := s.numberWhere(func(n Number) bool { return n.PhoneNumber == r.PathValue("number") })
	if !owned {
		return 0, nil, &controlError{Status: 404, Code: "not_owned", Message: r.PathValue("number") + " is not owned here"}
	}
	if in.A2P != nil {
		if *in.A2P != "registered" && *in.A2P != unregistered {
			return 0, nil, &controlError{Status: 422, Code: "invalid", Message: "a2p must be registered or unregistered"}
		}
		n.A2P = *in.A2P
	}
	if in.MessagingServiceSID != nil {
		n.MessagingServiceSID = *in.MessagingServiceSID
	}
	return 200, n, s.commit(entry{Number: &n})
}
