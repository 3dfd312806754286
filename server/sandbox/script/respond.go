package script

import (
	"regexp"
	"strings"
)

var quoted = regexp.MustCompile(`[“"]([^”"]+)[”"]`)

// Respond gives the receptionist's next turn. It is empty where there is nothing left to say.
func Respond(s Scene) Reply {
	if r, done := s.direct(); done {
		return r
	}
	var last Turn
	for _, t := range s.Turns {
		if t.Role != System && (t.Text != "" || t.Role == User) {
			last = t
		}
	}
	switch last.Role {
	case "":
		return Reply{Say: s.greeting()}
	case Output:
		return s.report(last)
	case Call:
		return Reply{Say: "One moment, please."}
	case Assistant:
		return Reply{Say: "Are you still there?"}
	}
	return s.answer(last.Text)
}

// direct follows the instructions for this turn alone, where they give the words.
func (s Scene) direct() (Reply, bool) {
	d := strings.TrimSpace(s.Direction)
	switch {
	case d == "":
		return Reply{}, false
	case says(d, "carry on", "continue"):
		for i := len(s.Turns) - 1; i >= 0; i-- {
			if t := s.Turns[i]; t.Role == Assistant {
				return Reply{Say: t.Unheard}, t.Unheard != ""
			}
		}
		return Reply{}, false
	}
	if says(d, "exactly", "word for word", "these words") {
		if _, words, found := strings.Cut(d, ": "); found && strings.TrimSpace(words) != "" {
			return Reply{Say: strings.Trim(strings.TrimSpace(words), `"“”`)}, true
		}
	}
	if m := quoted.FindStringSubmatch(d); m != nil {
		return Reply{Say: m[1]}, true
	}
	if says(d, "greet", "welcome") {
		return Reply{Say: s.greeting()}, true
	}
	return Reply{}, false
}

func (s Scene) greeting() string {
	for _, sentence := range sentences(s.Instructions) {
		if says(sentence, "greet", "greeting", "greet them", "greet callers") {
			if m := quoted.FindStringSubmatch(sentence); m != nil {
				return m[1]
			}
		}
	}
	if name := s.facts().Business; name != "" {
		return "Thank you for calling " + name + ". How can I help you?"
	}
	return "Hello. How can I help you?"
}

// answer is what follows on what the caller has said.
func (s Scene) answer(said string) Reply {
	m, f := s.recall(), s.facts()
	if strings.TrimSpace(said) == "" {
		return Reply{Say: "I am sorry, I did not catch that."}
	}
	if !m.fresh || m.goal == "" {
		if a := f.answer(said, s.clock()); a != "" {
			return Reply{Say: a}
		}
	}
	switch {
	case m.goal == wantEnd:
		return s.goodbye(said)
	case m.goal == "" && m.fresh && m.name != "":
		return Reply{Say: "Thank you, " + m.name + ". How can I help you?"}
	case m.goal == "" && says(said, "hello", "hi", "hey", "good morning", "good afternoon", "good evening"):
		return Reply{Say: "Hello. How can I help you?"}
	case m.goal == "" && says(said, "thank you", "thanks"):
		return Reply{Say: "You are welcome. " + askElse}
	case m.goal == "":
		return s.lost()
	}
	return s.pursue(m, f)
}

// lost is for what it does not know.
func (s Scene) lost() Reply {
	if _, found := s.tool(wantMessage); found {
		return Reply{Say: "I am sorry, I do not know that. " + askWord}
	}
	return Reply{Say: "I am sorry, I do not know that. How else can I help you?"}
}

func (s Scene) goodbye(said string) Reply {
	bye := Reply{Say: "Thank you for calling. Goodbye."}
	if t, found := s.tool(wantEnd); found {
		m := &memory{goal: wantEnd, request: said, asked: map[string]bool{}}
		bye.Name = t.Name
		bye.Arguments, _ = s.arguments(t, m)
	}
	return bye
}

// pursue takes the next step towards the goal: ask for what is missing, or use the tool.
func (s Scene) pursue(m *memory, f facts) Reply {
	t, found := s.tool(m.goal)
	if !found {
		if m.goal == wantMessage || len(s.Tools) == 0 {
			return s.lost()
		}
		return Reply{Say: "I am sorry, I cannot do that here. " + askWord}
	}
	if m.exact == "" && (m.goal == wantBook || m.goal == wantReschedule) && (m.when.date == "" || m.when.clock == "") {
		return s.findTime(m)
	}
	if m.goal == wantMessage && m.message == "" {
		return Reply{Say: askMessage}
	}
	arguments, question := s.arguments(t, m)
	if question != "" {
		return Reply{Say: question}
	}
	return Reply{Name: t.Name, Arguments: arguments}
}

// findTime looks for free times where the caller has told a day, or asks for one.
func (s Scene) findTime(m *memory) Reply {
	t, found := s.tool(wantAvailability)
	if !found || m.when.date == "" && !says(m.request, "next available", "soonest", "earliest", "as soon as possible") {
		return Reply{Say: askWhen}
	}
	if len(m.offers) > 0 {
		return Reply{Say: "Which would you like?"}
	}
	arguments, _ := s.arguments(t, m)
	return Reply{Name: t.Name, Arguments: arguments}
}
