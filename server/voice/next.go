package voice

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/voice/twiml"
)

// maxLegs is how often a call comes back to the agent after transfers that nobody took.
const maxLegs = 2

// CallTransferred is the type of the event that the person to whom a call was handed has taken it.
const CallTransferred = "call.transferred"

// ForwardEnded is the data of a call.forwarded.
type ForwardEnded struct {
	Taken bool `json:"taken"` // a person had the caller on the line
}

// next is how a call goes on when a verb has ended: the agent's stream, a dialled number, a recording.
func (h *Hooks) next(w *webhook) error {
	sid := strings.Clone(w.form.Get("CallSid"))
	s := h.situation(w.line, h.callOf(w, sid))
	if w.param("step") == "forwarded" && !w.check { // it may have ended with the caller
		h.tell(w.line, agent.Call{SID: sid}, CallForwarded, ForwardEnded{Taken: bridged(w)})
	}
	if w.form.Get("CallStatus") == "completed" || w.check {
		return w.answer(twiml.Document()) // the caller has hung up
	}
	switch w.param("step") {
	case "agent":
		return w.answer(h.afterAgent(w, sid, s))
	case "dialed":
		return w.answer(h.afterTransfer(w, sid, s))
	case "forwarded":
		if bridged(w) {
			return w.answer(twiml.Document(twiml.Hangup{}))
		}
		return w.answer(twiml.Document(h.voicemail(w, "Nobody can take your call right now.")...))
	case "recorded":
		return w.answer(twiml.Document(twiml.Say{Text: "Thank you. Goodbye."}, twiml.Hangup{}))
	}
	return w.answer(twiml.Document(h.without(w, s.Ending())...))
}

// afterAgent does what the agent's end of the call asks for. Where nobody knows (its process is gone, and Postgres does not
// say) the caller is handed over.
func (h *Hooks) afterAgent(w *webhook, sid string, s Situation) []byte {
	ending, known := h.Lines.Ending(sid)
	if !known {
		ending = h.endingElsewhere(w, sid)
	}
	switch ending.Kind {
	case HangUp:
		return twiml.Document(twiml.Hangup{})
	case Transfer:
		number := ending.Number
		if number == "" {
			number = s.ForwardTo
		}
		if number != "" && !h.Directory.Ours(number) {
			return twiml.Document(h.transfer(w, sid, number))
		}
	}
	return twiml.Document(h.without(w, s.Ending())...)
}

// endingElsewhere asks for what another process has said of the call's end. HandOver if that cannot be known soon.
func (h *Hooks) endingElsewhere(w *webhook, sid string) Ending {
	handOver := Ending{Kind: HandOver}
	if h.DB == nil {
		return handOver
	}
	ctx, cancel := context.WithTimeout(w.UserContext(), lookUp)
	defer cancel()
	row, err := h.DB.FindCallEnding(ctx, sid, w.line.Profile.TenantID)
	if err != nil || row.EndReason == nil || row.AgentEndedAt == nil {
		return handOver
	}
	switch Reason(*row.EndReason) {
	case Transferred:
		return Ending{Kind: Transfer, Number: row.TransferNumber}
	case CallerHungUp, AgentHungUp, CallerSilent, TooLong:
		return Ending{Kind: HangUp}
	}
	return handOver
}

// transfer rings a person, who has to press 1: a machine that answers does not, and the caller comes back to the agent.
func (h *Hooks) transfer(w *webhook, sid, number string) any {
	leg, _ := strconv.Atoi(w.param("leg"))
	return twiml.Dial{
		Action: h.address(w, "/api/voice/next", "step", "dialed", "leg", strconv.Itoa(leg)), Method: "POST", Timeout: ringSeconds, AnswerOnBridge: true, CallerID: shown(w.form),
		Number: twiml.Number{Number: number, Method: "POST", URL: h.address(w, "/api/voice/whisper", "parent", sid)},
	}
}

// whisper is what the person who is rung hears first, before the caller does anything.
func (h *Hooks) whisper(w *webhook) error {
	parent := w.param("parent")
	if w.param("step") != "key" {
		return w.answer(twiml.Document(twiml.Gather{
			Input: "dtmf", NumDigits: 1, Timeout: 10, Method: "POST", Action: h.address(w, "/api/voice/whisper", "step", "key", "parent", parent),
			Say: twiml.Say{Text: "A call for " + w.line.Profile.Settings.BusinessName + ". Press 1 to take it."},
		}, twiml.Hangup{}))
	}
	if w.form.Get("Digits") != "1" || !callSIDFormat.MatchString(parent) {
		return w.answer(twiml.Document(twiml.Hangup{}))
	}
	sid := strings.Clone(parent)
	h.taken.put(sid)
	h.tell(w.line, agent.Call{SID: sid}, CallTransferred, struct{}{})
	return w.answer(twiml.Document()) // the end of the whisper joins the two
}

// afterTransfer ends a call that a person took, and takes back one that nobody did.
func (h *Hooks) afterTransfer(w *webhook, sid string, s Situation) []byte {
	if h.taken.has(sid) || bridged(w) && w.form.Get("DialBridged") == "true" || h.takenElsewhere(w, sid) {
		return twiml.Document(twiml.Hangup{})
	}
	leg, _ := strconv.Atoi(w.param("leg"))
	leg++
	call := h.callOf(w, sid)
	if leg <= maxLegs && h.Lines.Prepare(Offer{Call: call, Profile: comingBack(w.line.Profile)}) == nil {
		return h.render(w, call, s, Answer{Route: RouteAgent}, leg)
	}
	return twiml.Document(h.voicemail(w, "I am sorry, nobody can take your call right now.")...)
}

func (h *Hooks) takenElsewhere(w *webhook, sid string) bool {
	if h.DB == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(w.UserContext(), lookUp)
	defer cancel()
	row, err := h.DB.FindCallEnding(ctx, sid, w.line.Profile.TenantID)
	return err == nil && row.TransferredAt != nil
}

// comingBack is the receptionist as it meets a caller again whom nobody else took: it takes a message.
func comingBack(p *agent.Profile) *agent.Profile {
	again := *p
	again.Settings.Greeting = "I am sorry, nobody can take your call right now. May I take a message for them?"
	again.Settings.AfterHoursGreeting = again.Settings.Greeting
	again.Settings.Transfers, again.ForwardTo = nil, ""
	return &again
}

// bridged reports whether the verb Dial brought two people together.
func bridged(w *webhook) bool {
	if said := w.form.Get("DialBridged"); said != "" {
		return said == "true"
	}
	status := w.form.Get("DialCallStatus")
	return status == "completed" || status == "answered"
}

// taken remembers the calls that somebody pressed 1 for.
type taken struct {
	mu  sync.Mutex
	at  map[string]time.Time
	now func() time.Time
}

func newTaken(now func() time.Time) *taken { return &taken{at: map[string]time.Time{}, now: now} }

func (t *taken) put(sid string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for old, at := range t.at {
		if now.Sub(at) > 4*time.Hour { // Twilio's longest call
			delete(t.at, old)
		}
	}
	t.at[sid] = now
}

func (t *taken) has(sid string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.at[sid]
	return ok
}
