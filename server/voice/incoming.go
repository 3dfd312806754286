package voice

import (
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/agent"
	"kestrel.ai/server/voice/twiml"
)

const (
	ringSeconds      = 25  // before nobody is there
	voicemailSeconds = 180 // of one message
	voicemailSilence = 6   // seconds that end it
)

// Started is the data of a call.started.
type Started struct {
	From         string `json:"from,omitempty"`
	To           string `json:"to"`
	Channel      string `json:"channel"`
	Route        Route  `json:"route"`
	RouteReason  string `json:"route_reason,omitempty"`
	AgentVersion int    `json:"agent_version"`
}

var callerFormat = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// incoming answers a call that rings, from memory alone. Twilio may ask twice: the answer is the same.
func (h *Hooks) incoming(w *webhook) error {
	sid := strings.Clone(w.form.Get("CallSid"))
	if w.check {
		return w.answer(h.tryOut(w))
	}
	return w.answer(h.answers.get(sid, func() []byte { return h.ring(w, sid) }))
}

func (h *Hooks) ring(w *webhook, sid string) []byte {
	call := h.callOf(w, sid)
	situation := h.situation(w.line, call)
	answer := Decide(situation)
	if answer.Route == RouteAgent {
		if err := h.Lines.Prepare(Offer{Call: call, Profile: w.line.Profile}); err != nil {
			situation.Full = errors.Is(err, ErrFull) || errors.Is(err, ErrTenantFull)
			situation.Unavailable = !situation.Full
			h.Log.Warn("voice: the agent cannot take a call", "call_id", call.ID, "tenant_id", w.line.Profile.TenantID, "error", err)
			answer = Decide(situation)
		}
	}
	h.tell(w.line, call, CallStarted, Started{
		From: call.From, To: call.To, Channel: call.Channel, Route: answer.Route, RouteReason: answer.Reason, AgentVersion: w.line.Profile.Version,
	})
	return h.render(w, call, situation, answer, 0)
}

// tryOut is what a call from nobody would be told now, without a call.
func (h *Hooks) tryOut(w *webhook) []byte {
	call := h.callOf(w, twilio.CheckCallSID)
	situation := h.situation(w.line, call)
	return h.render(w, call, situation, Decide(situation), 0)
}

func (h *Hooks) callOf(w *webhook, sid string) agent.Call {
	return agent.Call{ID: uuid.Must(uuid.NewV7()), SID: sid, From: callerNumber(w.form), To: strings.Clone(w.form.Get("To")), Channel: agent.ChannelCall, StartedAt: h.Now()}
}

// callerNumber is whom a call comes from, E.164; empty where that is withheld, or no telephone number.
func callerNumber(form url.Values) string {
	switch from := form.Get("From"); {
	case !callerFormat.MatchString(from), from == "+266696687", from == "+7378742833", from == "+2562533", from == "+8656696", from == "+86282452253":
		// Spelled on a keypad: ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN, UNAVAILABLE.
		return ""
	default:
		return strings.Clone(from)
	}
}

// shown is the number that whoever is rung sees: the caller's by Twilio's default, the one that was called where there is
// none, since a call from nobody may not be connected.
func shown(form url.Values) string {
	if callerNumber(form) != "" {
		return ""
	}
	return form.Get("To")
}

// count reads a number that cannot be negative; what is none is 0.
func count(said string) int {
	n, err := strconv.ParseUint(said, 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

func (h *Hooks) situation(l *Listing, call agent.Call) Situation {
	now := h.Now()
	return Situation{
		Status: l.Status, Blocked: l.Blocked(call.From), Open: l.Profile.Open(now), OverLimit: l.OverLimit(now),
		ForwardTo: l.ForwardTo, ForwardOurs: h.Directory.Ours(l.ForwardTo), Routing: l.Profile.Settings.Routing,
	}
}

// render is the TwiML of an answer; leg counts the call's conversations with the agent.
func (h *Hooks) render(w *webhook, call agent.Call, s Situation, a Answer, leg int) []byte {
	if a.Route != RouteAgent {
		return twiml.Document(h.without(w, a)...)
	}
	var verbs []any
	if recording := w.line.Profile.Settings.Recording; recording.Enabled && leg == 0 {
		verbs = append(verbs, twiml.Say{Text: recording.ConsentText})
	}
	verbs = append(verbs, twiml.Connect{
		Action: h.address(w, "/api/voice/next", "step", "agent", "leg", strconv.Itoa(leg)), Method: "POST",
		Stream: twiml.Stream{URL: streamOf(h.Base) + streamPath, Parameters: []twiml.Parameter{
			{Name: "tenant", Value: w.line.Profile.TenantID.String()},
			{Name: "token", Value: h.Tokens.Mint(call, w.line.Profile.TenantID, leg)},
		}},
	})
	// What follows is for a Connect that ends without its action: the caller is not lost.
	return twiml.Document(append(verbs, h.without(w, s.Ending())...)...)
}

// without is what a caller gets without the agent.
func (h *Hooks) without(w *webhook, a Answer) []any {
	name := w.line.Profile.Settings.BusinessName
	switch a.Route {
	case RouteForward:
		return []any{twiml.Dial{
			Action: h.address(w, "/api/voice/next", "step", "forwarded"), Method: "POST", Timeout: ringSeconds, AnswerOnBridge: true, CallerID: shown(w.form), Number: twiml.Number{Number: a.To},
		}}
	case RouteReject:
		return []any{twiml.Reject{Reason: "rejected"}}
	case RouteMessage:
		text := "Thank you for calling " + name + ". We cannot take your call right now. Please try again later. Goodbye."
		if a.Reason == BecauseSuspended || a.Reason == BecauseCancelled || a.Reason == BecauseNotLive {
			text = "Thank you for calling. This number is not in service at the moment. Goodbye."
		}
		return []any{twiml.Say{Text: text}, twiml.Hangup{}}
	default:
		return h.voicemail(w, "Thank you for calling "+name+". Nobody can take your call right now.")
	}
}

func (h *Hooks) voicemail(w *webhook, opening string) []any {
	return []any{
		twiml.Say{Text: opening + " Please leave a message after the tone. It will be recorded."},
		twiml.Record{
			Action: h.address(w, "/api/voice/next", "step", "recorded"), Method: "POST", MaxLength: voicemailSeconds, Timeout: voicemailSilence, FinishOn: "#", PlayBeep: true,
			Callback: h.address(w, "/api/voice/recording", "kind", "voicemail"), CallMethod: "POST",
		},
		twiml.Say{Text: "Goodbye."}, twiml.Hangup{},
	}
}

// address is the public URL of one of our webhooks for this tenant; more are pairs of a query parameter and its value.
func (h *Hooks) address(w *webhook, path string, more ...string) string {
	return HookURL(h.Base, path, w.line.Profile.Slug, more...)
}

// HookURL is the URL of a webhook that carries the tenant's slug; more are pairs of a query parameter and its value.
func HookURL(base, path, slug string, more ...string) string {
	query := url.Values{"tenant": {slug}}
	for i := 0; i+1 < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	return base + path + "?" + query.Encode()
}

// tell records something of a call without waiting.
func (h *Hooks) tell(l *Listing, call agent.Call, kind string, data any) {
	raw, err := json.Marshal(data)
	if err != nil {
		h.Log.Error("voice: event not recorded", "type", kind, "error", err)
		return
	}
	h.Journal.Record(Event{ID: uuid.Must(uuid.NewV7()), CallID: call.ID, TenantID: l.Profile.TenantID, CallSID: call.SID, Type: kind, At: h.Now(), Data: raw})
}
