package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Message is an SMS: sent through the API, received by POST /_sandbox/messages, or sent as an answer to that.
type Message struct {
	SID       string `json:"sid"`
	Direction string `json:"direction"` // inbound, outbound-api or outbound-reply
	From      string `json:"from"`
	To        string `json:"to"`
	Body      string `json:"body"`
	Status    string `json:"status"`
	// ErrorCode is Twilio's, where the message was not delivered.
	ErrorCode  int        `json:"error_code,omitempty"`
	ServiceSID string     `json:"messaging_service_sid,omitempty"`
	Webhook    *Webhook   `json:"webhook,omitempty"`   // what the number's sms_url answered, inbound only
	Callbacks  []Delivery `json:"callbacks,omitempty"` // status callbacks of an outbound one
	CreatedAt  time.Time  `json:"created_at"`
}

// Messages lists every message, newest first.
func (s *Sandbox) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return newestFirst(s.state.Messages)
}

// createMessage takes a message; its delivery, with status callbacks, follows by itself.
func (s *Sandbox) createMessage(r *http.Request) (int, any, error) {
	f := r.PostForm
	to, from, body, service := f.Get("To"), f.Get("From"), f.Get("Body"), f.Get("MessagingServiceSid")
	if from == "" && service != "" {
		s.mu.Lock()
		n, _ := s.numberWhere(func(n Number) bool { return n.MessagingServiceSID == service })
		s.mu.Unlock()
		if from = n.PhoneNumber; from == "" {
			return 0, nil, &twilioError{400, 21703, "The Messaging Service does not have a phone number available to send a message."}
		}
	}
	_, owned := s.owned(from)
	switch {
	case to == "":
		return 0, nil, &twilioError{400, 21604, "A 'To' phone number is required."}
	case !e164(to):
		return 0, nil, &twilioError{400, 21211, "Invalid 'To' Phone Number: " + to}
	case from == "":
		return 0, nil, &twilioError{400, 21603, "A 'From' phone number is required."}
	case !e164(from):
		return 0, nil, &twilioError{400, 21212, "Invalid 'From' Phone Number: " + from}
	case body == "" && f.Get("MediaUrl") == "":
		return 0, nil, &twilioError{400, 21602, "Message body is required."}
	case utf8.RuneCountInString(body) > 1600:
		return 0, nil, &twilioError{400, 21617, "The concatenated message body exceeds the 1600 character limit."}
	case to == from:
		return 0, nil, &twilioError{400, 21266, "'To' and 'From' number cannot be the same: " + to}
	case !owned:
		return 0, nil, &twilioError{400, 21606, "The From phone number " + from + " is not a valid, SMS-capable inbound phone number for your account."}
	}
	m, err := s.sendMessage(Message{Direction: "outbound-api", From: from, To: to, Body: body, ServiceSID: service}, f.Get("StatusCallback"))
	if err != nil {
		return 0, nil, err
	}
	return 201, s.messageResource(m), nil
}

func (s *Sandbox) listMessages(r *http.Request) (int, any, error) {
	q := r.Form
	matching := slices.DeleteFunc(s.Messages(), func(m Message) bool {
		return q.Get("To") != "" && m.To != q.Get("To") || q.Get("From") != "" && m.From != q.Get("From") ||
			!inTimes(m.CreatedAt, r, "DateSent")
	})
	return twilioPage(r, "messages", matching, s.messageResource)
}

// inTimes applies Twilio's three filters on a time: "Field" is a day, "Field<" and "Field>" are bounds, both included.
func inTimes(t time.Time, r *http.Request, field string) bool {
	for key, values := range r.Form {
		op, ours := strings.CutPrefix(key, field)
		if !ours || values[0] == "" {
			continue
		}
		bound, err := time.Parse(time.RFC3339, values[0])
		if err != nil {
			if bound, err = time.Parse(time.DateOnly, values[0]); err != nil {
				continue
			}
		}
		if op == "" && t.UTC().Format(time.DateOnly) != bound.UTC().Format(time.DateOnly) || op == "<" && t.After(bound) || op == ">" && t.Before(bound) {
			return false
		}
	}
	return true
}

func (s *Sandbox) fetchMessage(r *http.Request) (int, any, error) {
	for _, m := range s.Messages() {
		if m.SID == fileSID(r) {
			return 200, s.messageResource(m), nil
		}
	}
	return 0, nil, notFound(r)
}

func (s *Sandbox) messageResource(m Message) map[string]any {
	uri := s.accountURI(fmt.Sprintf("/Messages/%s", m.SID))
	var code, why any
	if m.ErrorCode != 0 {
		code, why = m.ErrorCode, "Message was not delivered"
	}
	return map[string]any{
		"sid": m.SID, "account_sid": s.accountSID, "direction": m.Direction, "from": m.From, "to": m.To, "body": m.Body, "status": m.Status,
		"num_segments": strconv.Itoa(1 + max(0, utf8.RuneCountInString(m.Body)-1)/160), "num_media": "0",
		"messaging_service_sid": orNull(m.ServiceSID), "error_code": code, "error_message": why, "price": nil, "price_unit": "USD", "api_version": "2010-04-01",
		"date_created": twilioTime(m.CreatedAt), "date_updated": twilioTime(m.CreatedAt), "date_sent": twilioTime(m.CreatedAt),
		"uri": uri + ".json", "subresource_uris": map[string]string{"media": uri + "/Media.json"},
	}
}
