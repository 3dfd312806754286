package sandbox

import (
	"kestrel.ai/server/sandbox/speech"
	"slices"
	"strings"
	"time"
)

// Call is a phone call: one party's, as Twilio's Call resource. Rung by POST /_sandbox/calls, placed through the API, or
// dialled by another call. Times in milliseconds (at_ms …) count from the answer.
type Call struct {
	SID       string     `json:"sid"`
	ParentSID string     `json:"parent_call_sid,omitempty"`
	Direction string     `json:"direction"` // inbound, outbound-api or outbound-dial
	From      string     `json:"from"`
	To        string     `json:"to"`
	Status    string     `json:"status"` // Twilio's CallStatus
	NumberSID string     `json:"phone_number_sid,omitempty"`
	URL       string     `json:"url,omitempty"`     // where an outbound call gets its TwiML
	TwiML     string     `json:"twiml,omitempty"`   // what the call was to do first, as far as known
	Webhook   *Webhook   `json:"webhook,omitempty"` // what the number's voice_url answered, inbound only
	CreatedAt time.Time  `json:"created_at"`
	AnswerAt  *time.Time `json:"answered_at,omitempty"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	// EndReason is one of the End constants.
	EndReason string `json:"end_reason,omitempty"`
	// DurationS is CallDuration: whole seconds from answer to end.
	DurationS int `json:"duration_s"`

	// Heard is each word that the party heard, decoded from the audio that was played to it.
	Heard []Word `json:"heard,omitempty"`
	// Transcript is what the party said and heard, in order.
	Transcript []Utterance  `json:"transcript,omitempty"`
	Verbs      []Step       `json:"verbs,omitempty"`
	Webhooks   []Delivery   `json:"webhooks,omitempty"`
	Streams    []StreamLog  `json:"streams,omitempty"`
	Errors     []*CallError `json:"errors,omitempty"`
	Recordings []string     `json:"recordings,omitempty"` // SIDs
	// Filed is set once the call and all in it is over; only webhooks may still follow.
	Filed bool `json:"filed"`
	// Rev grows with every change; see GET /_sandbox/calls/{sid}.
	Rev int `json:"rev"`
}

// Why a call ended.
const (
	EndPartyHungUp   = "party_hung_up"   // the person on this phone
	EndOtherHungUp   = "other_hung_up"   // the call that dialled it
	EndVerb          = "hangup_verb"     // <Hangup>
	EndTwiML         = "twiml_ended"     // nothing left to do
	EndRejected      = "rejected"        // <Reject>
	EndAPI           = "api"             // POST Calls/{sid} with a Status
	EndApplication   = "application"     // no TwiML could be had or played
	EndNotAnswered   = "not_answered"    // busy, no answer, failed: see the status
	EndTimeLimit     = "time_limit"      // <Dial timeLimit>, or four hours
	EndSandboxClosed = "sandbox_stopped" // closed or reset
)

// Word is a word of a call.
type Word struct {
	Text string `json:"text"`
	AtMS int64  `json:"at_ms"` // when it had been said
}

// Utterance is what was said or heard in one go.
type Utterance struct {
	Way    string `json:"way"` // said or heard, by the party whose call it is
	Text   string `json:"text"`
	FromMS int64  `json:"from_ms"`
	ToMS   int64  `json:"to_ms"` // 0: still going on
}

// Step is a verb that was executed, or what happened in it.
type Step struct {
	Verb   string `json:"verb"`
	Detail string `json:"detail,omitempty"`
	AtMS   int64  `json:"at_ms"`
}

// Delivery is a webhook of a call.
type Delivery struct {
	Purpose string            `json:"purpose"` // voice, fallback, action, whisper, status, recording, stream, conference
	Fields  map[string]string `json:"fields"`
	Webhook
	AtMS int64 `json:"at_ms"`
}

// utteranceGap ends an utterance, in milliseconds without a word.
const utteranceGap = 900

// logAct notes what the party does; it reports whether it noted anything.
func (c *Call) logAct(a act, now time.Duration) bool {
	at := now.Milliseconds()
	if a.ended != "" {
		for i := range slices.Backward(c.Transcript) {
			if u := &c.Transcript[i]; u.Way == "said" && u.ToMS == 0 {
				u.ToMS = at
				break
			}
		}
	}
	if a.began != "" {
		c.Transcript = append(c.Transcript, Utterance{Way: "said", Text: a.began, FromMS: at})
	}
	if a.digit != 0 {
		c.Verbs = append(c.Verbs, Step{Verb: "digit", Detail: string(a.digit), AtMS: at})
	}
	if a.missed != "" {
		c.Errors = append(c.Errors, &CallError{Message: "the party waited in vain to hear: " + a.missed, AtMS: at})
	}
	return a.ended != "" || a.began != "" || a.digit != 0 || a.missed != ""
}

// logHeard notes words that the party heard.
func (c *Call) logHeard(words []string, now time.Duration) {
	at := (now + frameTime).Milliseconds()
	for _, w := range words {
		c.Heard = append(c.Heard, Word{w, at})
	}
	text := strings.Join(words, " ")
	for i := range slices.Backward(c.Transcript) {
		u := &c.Transcript[i]
		if u.Way == "heard" && at-u.ToMS <= utteranceGap && (i == len(c.Transcript)-1 || u.ToMS >= c.Transcript[i+1].FromMS) {
			u.Text, u.ToMS = u.Text+" "+text, at
			return
		}
		if u.Way == "heard" {
			break
		}
	}
	c.Transcript = append(c.Transcript, Utterance{Way: "heard", Text: text, FromMS: max(0, at-speech.PerWord.Milliseconds()), ToMS: at})
}

// HeardText is everything the party heard.
func (c Call) HeardText() string {
	words := make([]string, len(c.Heard))
	for i, w := range c.Heard {
		words[i] = w.Text
	}
	return strings.Join(words, " ")
}

func (c Call) over() bool { return c.EndedAt != nil }

// copied is a copy that shares nothing which a running call changes.
func (c Call) copied() Call {
	c.Heard, c.Transcript, c.Verbs = slices.Clone(c.Heard), slices.Clone(c.Transcript), slices.Clone(c.Verbs)
	c.Webhooks, c.Streams, c.Errors, c.Recordings = slices.Clone(c.Webhooks), slices.Clone(c.Streams), slices.Clone(c.Errors), slices.Clone(c.Recordings)
	return c
}
