package script

import (
	"regexp"
	"strings"
)

// analysis is what can be told of a conversation that is over, from its transcript alone.
type analysis struct {
	text      string
	caller    []string // what the caller said, line by line
	agent     []string
	memory    *memory
	intent    string // the first goal
	outcome   string // booked, rescheduled, cancelled, message, transferred, answered, none
	sentiment string // positive, neutral, negative
	score     int    // 0 to 100
	follow    string // what is still to be done; empty: nothing
}

var spokenLine = regexp.MustCompile(`(?im)^[\s\-*\[]*(?:[\d:.]+[\])]?\s+)?(caller|customer|user|client|agent|receptionist|assistant|ai)\s*[\])]?\s*(?:\([^)]*\))?\s*[:–-]\s*(.+)$`)

// analyse reads a transcript with a speaker before each line. Text without speakers is the caller's.
func analyse(text string) analysis {
	a := analysis{text: text}
	var turns []Turn
	for _, m := range spokenLine.FindAllStringSubmatch(text, -1) {
		role := Assistant
		switch strings.ToLower(m[1]) {
		case "caller", "customer", "user", "client":
			role = User
			a.caller = append(a.caller, m[2])
		default:
			a.agent = append(a.agent, m[2])
		}
		turns = append(turns, Turn{Role: role, Text: strings.TrimSpace(m[2])})
	}
	if turns == nil {
		a.caller = []string{text}
		turns = []Turn{{Role: User, Text: text}}
	}
	scene := Scene{Instructions: text, Turns: turns}
	a.memory = scene.recall()
	for _, said := range a.caller {
		if goal := intent(said, facts{}); goal != "" && goal != wantEnd && a.intent == "" {
			a.intent = goal
			a.memory.request = said
		}
	}
	a.judge()
	return a
}

func (a *analysis) judge() {
	said := strings.Join(a.agent, "\n")
	switch {
	case says(said, "moved to", "rescheduled"):
		a.outcome = "rescheduled"
	case says(said, "have cancelled", "is cancelled", "been cancelled", "have canceled", "is canceled"):
		a.outcome = "cancelled"
	case says(said, "you are booked", "is booked", "booked for", "all set for", "confirmed for"):
		a.outcome = "booked"
	case says(said, "connecting you", "transferring you", "putting you through"):
		a.outcome = "transferred"
	case says(said, "message will be passed", "pass your message", "pass that on", "have your message", "message is marked"):
		a.outcome = "message"
	case len(a.agent) > 1 && a.intent == "" && len(a.caller) > 0 && !says(said, "do not know"):
		a.outcome = "answered"
	default:
		a.outcome = "none"
	}
	feeling := 0
	for _, line := range a.caller {
		for _, w := range words(line) {
			switch {
			case strings.Contains(" thank thanks great perfect wonderful excellent happy love lovely appreciate awesome fantastic helpful ", " "+w+" "):
				feeling++
			case strings.Contains(" angry terrible awful bad upset unacceptable frustrated frustrating annoyed annoying complaint complain worst ridiculous disappointed useless horrible rude furious hate ", " "+w+" "):
				feeling -= 2
			}
		}
	}
	a.sentiment = "neutral"
	switch {
	case feeling > 0:
		a.sentiment = "positive"
	case feeling < 0:
		a.sentiment = "negative"
	}
	a.score = 50 + 10*min(max(feeling, -3), 2)
	if a.outcome != "none" {
		a.score += 25
	}
	for _, line := range a.agent {
		if says(line, "did not catch", "do not know", "did not work") {
			a.score -= 10
		}
	}
	a.score = min(max(a.score, 0), 100)
	switch {
	case a.intent == wantEmergency:
		a.follow = "See to the emergency: " + a.memory.request
	case a.outcome == "message":
		a.follow = "Answer the message of " + a.who() + ": " + or(a.memory.message, a.memory.request)
	case a.outcome == "none" && a.intent != "":
		a.follow = "Call " + a.who() + " back: " + a.memory.request
	}
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}

func (a analysis) who() string { return or(a.memory.name, "the caller") }

// summary tells who wanted what, and what came of it, in the words of the transcript.
func (a analysis) summary() string {
	who := or(a.memory.name, "The caller")
	wanted := map[string]string{
		wantBook: "wanted to book an appointment", wantReschedule: "wanted to move an appointment", wantCancel: "wanted to cancel an appointment",
		wantAvailability: "asked for free times", wantMessage: "left a message", wantPerson: "wanted to speak to a person",
		wantHistory: "asked about earlier calls", wantEmergency: "reported an emergency",
	}[a.intent]
	if wanted == "" {
		if len(a.caller) == 0 {
			return "Nobody spoke."
		}
		return who + " said: " + a.caller[0]
	}
	text := who + " " + wanted + ": " + strings.TrimRight(or(a.memory.message, a.memory.request), ".!? ") + "."
	if told := a.told(); told != "" {
		text += " The receptionist answered: " + told
	}
	return text
}

// told is the receptionist's sentence that says what came of it.
func (a analysis) told() string {
	about := map[string][]string{
		"booked": {"booked", "confirmed", "all set"}, "rescheduled": {"moved", "rescheduled"}, "cancelled": {"cancelled", "canceled"},
		"transferred": {"connecting", "transferring", "putting you"}, "message": {"message"},
	}[a.outcome]
	for i := len(a.agent) - 1; i >= 0; i-- {
		for _, s := range sentences(a.agent[i]) {
			if says(s, about...) && !strings.HasSuffix(s, "?") {
				return s
			}
		}
	}
	return ""
}
