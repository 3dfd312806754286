package voice

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"kestrel.ai/server/voice/twiml"
)

// StatusChange is the data of a call.status.
type StatusChange struct {
	Status   string `json:"status"`             // Twilio's
	Duration int    `json:"duration,omitempty"` // billable seconds, once it has ended
	From     string `json:"from,omitempty"`
	To       string `json:"to,omitempty"`
}

// Statuses of a call at Twilio, and whether the call is over by then.
var callStatuses = map[string]bool{
	"queued": false, "ringing": false, "in-progress": false, "completed": true, "busy": true, "failed": true, "no-answer": true, "canceled": true,
}

// status keeps what Twilio says of a call's course. It comes in any order, and twice.
func (h *Hooks) status(w *webhook) error {
	change := StatusChange{Status: w.form.Get("CallStatus"), From: callerNumber(w.form), To: w.form.Get("To")}
	over, known := callStatuses[change.Status]
	if !known {
		return errForm
	}
	if over {
		change.Duration = count(w.form.Get("CallDuration"))
		if !w.check {
			h.Lines.Release(w.form.Get("CallSid"))
		}
	}
	return h.keepData(w, CallStatus, change)
}

// RecordingMade is the data of a call.recording.
type RecordingMade struct {
	RecordingSID string `json:"recording_sid"`
	Kind         string `json:"kind"`     // call or voicemail
	Duration     int    `json:"duration"` // seconds
}

// Taken is the data of a message.taken: what a caller left without the agent.
type Taken struct {
	RecordingSID string `json:"recording_sid"`
	Body         string `json:"body"`
}

// recording keeps that a recording is ready. A voicemail is a message as well.
func (h *Hooks) recording(w *webhook) error {
	made := RecordingMade{RecordingSID: w.form.Get("RecordingSid"), Kind: "call"}
	made.Duration = count(w.form.Get("RecordingDuration"))
	if !strings.HasPrefix(made.RecordingSID, "RE") || len(made.RecordingSID) != 34 {
		return errForm
	}
	if status := w.form.Get("RecordingStatus"); status != "completed" {
		return w.SendStatus(http.StatusNoContent)
	}
	if w.param("kind") == "voicemail" {
		made.Kind = "voicemail"
		if made.Duration < 1 {
			return w.SendStatus(http.StatusNoContent) // the caller said nothing
		}
		raw, err := json.Marshal(Taken{RecordingSID: made.RecordingSID, Body: "Voicemail of " + strconv.Itoa(made.Duration) + " seconds."})
		if err != nil {
			return err
		}
		defer h.Journal.Record(Event{ID: uuid.Must(uuid.NewV7()), TenantID: w.line.Profile.TenantID, CallSID: w.form.Get("CallSid"), Type: MessageTaken, At: h.Now(), Data: raw})
	}
	return h.keepData(w, CallRecording, made)
}

// Text is the data of an sms.received.
type Text struct {
	SID        string `json:"sid"`
	From       string `json:"from"`
	To         string `json:"to"`
	Body       string `json:"body"`
	Segments   int    `json:"segments,omitempty"`
	OptOutType string `json:"opt_out_type,omitempty"` // stop, start or help: Twilio has answered it
}

// TextStatus is the data of an sms.status.
type TextStatus struct {
	SID     string `json:"sid"`
	Message string `json:"message,omitempty"` // ours, by its id
	Status  string `json:"status"`            // Twilio's
	Error   string `json:"error,omitempty"`   // Twilio's code
}

// smsIncoming keeps a text. Nothing is said here: a job answers it, as the tenant wishes.
func (h *Hooks) smsIncoming(w *webhook) error {
	text := Text{SID: w.form.Get("MessageSid"), From: w.form.Get("From"), To: w.form.Get("To"), Body: w.form.Get("Body"), OptOutType: optOut(w.form.Get("OptOutType"), w.form.Get("Body"))}
	text.Segments = count(w.form.Get("NumSegments"))
	if text.From == "" || len(text.SID) != 34 {
		return errForm
	}
	if err := h.keepData(w, SMSReceived, text); err != nil {
		return err
	}
	w.Status(http.StatusOK)
	return w.answer(twiml.Document())
}

// optOut names the requests that Twilio handles by itself (https://help.twilio.com/articles/223134027); it says so only
// where a Messaging Service stands between.
func optOut(said, body string) string {
	switch said := strings.ToLower(said); said {
	case "stop", "start", "help":
		return said
	}
	switch strings.ToUpper(strings.TrimSpace(body)) {
	case "STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT":
		return "stop"
	case "START", "YES", "UNSTOP":
		return "start"
	case "HELP", "INFO":
		return "help"
	}
	return ""
}

func (h *Hooks) smsStatus(w *webhook) error {
	status := TextStatus{SID: w.form.Get("MessageSid"), Status: w.form.Get("MessageStatus")}
	if code := w.form.Get("ErrorCode"); code != "" {
		status.Error = "Twilio error " + code
	}
	if status.Status == "" || len(status.SID) != 34 {
		return errForm
	}
	if id, err := uuid.Parse(w.param("message")); err == nil {
		status.Message = id.String()
	}
	return h.keepData(w, SMSStatus, status)
}

func (h *Hooks) keepData(w *webhook, kind string, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return h.keep(w, Event{Type: kind, Data: raw})
}
