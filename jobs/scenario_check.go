package jobs

import (
	"fmt"
	"slices"
	"strings"
)

// Expectation is what must come of a scenario; what is empty asks for nothing.
type Expectation struct {
	Outcome  string   `json:"outcome,omitempty" enum:"booked,message,transferred,answered,cancelled,rescheduled" doc:"What happened; answered: the receptionist spoke, and none of the others"`
	Tool     string   `json:"tool,omitempty" maxLength:"60" pattern:"^[a-z_]*$" example:"book_appointment" doc:"A tool that must be used, whatever came of it"`
	Contains []string `json:"contains,omitempty" maxItems:"20" doc:"Words that the receptionist must say, in upper or lower case"`
	Lacks    []string `json:"lacks,omitempty" maxItems:"20" doc:"Words that it must not say"`
}

// RehearsedTurn is one thing that was said, or a tool that was used.
type RehearsedTurn struct {
	Speaker   string `json:"speaker" enum:"caller,agent,tool"`
	Text      string `json:"text,omitempty" doc:"What was said; what the tool answered"`
	Tool      string `json:"tool,omitempty" example:"book_appointment"`
	Arguments string `json:"arguments,omitempty" doc:"JSON"`
}

// rehearsed is a conversation that was held.
type rehearsed struct {
	turns    []RehearsedTurn
	outcomes []string
	endless  bool // it used tools without ever answering
}

func (r *rehearsed) say(speaker, text string) {
	if text = strings.TrimSpace(text); text != "" {
		r.turns = append(r.turns, RehearsedTurn{Speaker: speaker, Text: text})
	}
}

// misses says what was expected and did not come about.
func (r *rehearsed) misses(e Expectation) []string {
	missed := []string{}
	miss := func(format string, args ...any) { missed = append(missed, fmt.Sprintf(format, args...)) }
	var said []string
	var used []string
	spoke := 0 // of the receptionist's turns, those after the caller's first
	for _, t := range r.turns {
		switch t.Speaker {
		case "agent":
			said = append(said, t.Text)
			spoke = len(said)
		case "tool":
			used = append(used, t.Tool)
		}
	}
	if r.endless {
		miss("The receptionist used %d tools in a row without an answer.", maxToolsPerLine)
	}
	came := strings.Join(r.outcomes, ", ")
	if came == "" {
		came = "answered"
		if spoke < 2 { // the greeting
			came = "nothing"
		}
	}
	if e.Outcome != "" && !slices.Contains(strings.Split(came, ", "), e.Outcome) {
		miss("Expected %s; what happened: %s.", e.Outcome, came)
	}
	if e.Tool != "" && !slices.Contains(used, e.Tool) {
		had := "none"
		if len(used) > 0 {
			had = strings.Join(used, ", ")
		}
		miss("Expected the tool %s; used: %s.", e.Tool, had)
	}
	all := folded(strings.Join(said, "\n"))
	for _, words := range e.Contains {
		if !strings.Contains(all, folded(words)) {
			miss("The receptionist did not say %q.", words)
		}
	}
	for _, words := range e.Lacks {
		if strings.Contains(all, folded(words)) {
			miss("The receptionist said %q.", words)
		}
	}
	return missed
}

// folded is a text whose case and spacing do not count.
func folded(s string) string { return strings.Join(strings.Fields(strings.ToLower(s)), " ") }
