package script

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// What a caller may want: the goals.
const (
	wantBook         = "book"
	wantReschedule   = "reschedule"
	wantCancel       = "cancel"
	wantAvailability = "availability"
	wantMessage      = "message"
	wantPerson       = "person"
	wantHistory      = "history"
	wantEmergency    = "emergency"
	wantEnd          = "end"
)

// memory is what is known from the conversation so far.
type memory struct {
	goal    string // what the caller wants and has not got; empty: nothing
	since   int    // the turn that said so
	when    when
	exact   string // a time as a tool gave it, that the caller chose
	name    string
	phone   string
	address string
	service string
	message string
	request string   // the words in which the goal was said
	offers  []moment // times that a tool offered last
	booked  string   // id of the appointment that a tool made or found last
	asked   map[string]bool
	fresh   bool // the last thing the caller said had a goal, or told something that was asked for
}

type moment struct {
	StartsAt string `json:"starts_at"`
	Say      string `json:"say"`
}

// recall goes through the conversation.
func (s Scene) recall() *memory {
	m := &memory{asked: map[string]bool{}}
	now := s.clock()
	facts := s.facts()
	var question string // what we said last
	calls := map[string]string{}
	for i, t := range s.Turns {
		switch t.Role {
		case Assistant:
			question = t.Text
			m.noteQuestion(question)
		case Call:
			calls[t.CallID] = t.Name
		case Output:
			m.result(calls[t.CallID], t.Text)
		case User:
			m.hear(t.Text, question, now, facts, i)
		}
	}
	return m
}

// The questions that are asked, by what they ask for.
const (
	askName    = "May I have your name, please?"
	askWhen    = "What day and time would suit you?"
	askMessage = "What is the message?"
	askElse    = "Is there anything else I can do for you?"
	askWord    = "Would you like to leave a message?"
)

func (m *memory) noteQuestion(text string) {
	for _, q := range []string{askName, askWhen, askMessage, askElse, askWord} {
		if strings.Contains(text, strings.TrimSuffix(q, "?")) {
			m.asked[q] = true
		}
	}
	if strings.Contains(text, strings.TrimSuffix(askElse, "?")) { // a conversation by text comes back without the tools' answers
		m.goal, m.when, m.exact, m.message = "", when{}, "", ""
	}
}

// hear takes what the caller says.
func (m *memory) hear(text, question string, now time.Time, f facts, at int) {
	m.fresh = false
	goal := intent(text, f)
	asks := func(q string) bool { return strings.Contains(question, strings.TrimSuffix(q, "?")) }
	switch {
	case goal == "" && asks(askElse) && says(text, "no", "nope", "no thanks", "no thank you"):
		goal = wantEnd
	case goal == "" && asks(askWord) && says(text, "yes", "yes please", "sure", "ok", "okay", "please"):
		goal = wantMessage
	}
	if asks(askMessage) && goal != wantEnd && goal != wantEmergency {
		m.message, m.fresh = strings.TrimSpace(text), true
		goal = ""
	}
	if goal != "" && (goal != m.goal || goal == wantEmergency) {
		keep := m.goal == wantAvailability && goal == wantBook
		m.goal, m.since, m.request, m.fresh, m.exact = goal, at, text, true, ""
		m.asked = map[string]bool{}
		if !keep {
			m.when, m.message = when{}, ""
		}
	}
	n := choice(text)
	chosen := n >= 0 && n < len(m.offers) && m.goal != ""
	if w := parseWhen(text, now, !chosen && (asks(askWhen) || strings.Contains(question, "Which would you like"))); w != (when{}) {
		m.when, m.exact, m.fresh = w.or(m.when), "", true
		m.exact = m.offered(m.when)
		if m.goal == wantAvailability && goal == "" && w.clock != "" && len(m.offers) > 0 {
			m.goal, m.since = wantBook, at
		}
		if w.date != "" && m.exact == "" {
			m.offers = nil
		}
	} else if chosen {
		m.exact, m.fresh = m.offers[n].StartsAt, true
		if m.goal == wantAvailability {
			m.goal, m.since = wantBook, at
		}
	}
	if name := nameIn(text, asks(askName) && goal == ""); name != "" {
		m.name, m.fresh = name, true
	}
	if p := phoneIn(text); p != "" {
		m.phone, m.fresh = p, true
	}
	if a := addressIn(text); a != "" {
		m.address, m.fresh = a, true
	}
	if name := f.serviceIn(text); name != "" && (m.goal != "" || m.service == "") {
		m.service = name
	}
	if m.goal == wantMessage && m.message == "" {
		m.message = messageIn(text)
	}
}

// offered is the time a tool has offered that fits what the caller says; empty if none or several do.
func (m *memory) offered(w when) string {
	found := ""
	for _, o := range m.offers {
		if len(o.StartsAt) >= 16 && (w.date == "" || o.StartsAt[:10] == w.date) && o.StartsAt[11:16] == w.clock {
			if found != "" {
				return ""
			}
			found = o.StartsAt
		}
	}
	return found
}

// choice is which of several offers a caller takes; -1: none.
func choice(text string) int {
	switch {
	case says(text, "the first", "first one", "earliest", "soonest", "that works", "sounds good", "yes please", "yes", "perfect"):
		return 0
	case says(text, "the second", "second one"):
		return 1
	case says(text, "the third", "third one"):
		return 2
	}
	return -1
}

// result takes what a tool answered.
func (m *memory) result(tool, output string) {
	var r struct {
		Error    any      `json:"error"`
		ID       string   `json:"appointment_id"`
		Free     []moment `json:"free"`
		NextFree []moment `json:"next_free"`
		Which    []moment `json:"which"`
		Known    []struct {
			ID string `json:"appointment_id"`
		} `json:"appointments"`
	}
	_ = json.Unmarshal([]byte(output), &r)
	m.offers = append(append(append([]moment(nil), r.Free...), r.NextFree...), r.Which...)
	if r.ID != "" {
		m.booked = r.ID
	}
	if len(r.Known) == 1 {
		m.booked = r.Known[0].ID
	}
	if r.Error != nil {
		m.exact = ""
		return
	}
	if goalOf(tool) == m.goal && (m.goal != wantAvailability || len(m.offers) == 0) {
		m.goal, m.when, m.exact, m.message = "", when{}, "", ""
	}
}

var (
	introduces = regexp.MustCompile(`(?i)\b(?:my name is|my name's|name's|this is|i am|i'm|it's|it is|the name is|under)\s+`)
	phoneForm  = regexp.MustCompile(`\+?\(?\d[\d\s().-]{5,}\d`)
	streetForm = regexp.MustCompile(`(?i)\b\d{1,5}\s+(?:[\p{L}.']+\s+){1,4}?(?:street|st|avenue|ave|road|rd|drive|dr|lane|ln|way|court|ct|boulevard|blvd|place|pl|circle|terrace)\b[.]?(?:,?\s+(?:apartment|apt|unit|suite)\s+\w+)?`)
	tellsForm  = regexp.MustCompile(`(?i)\b(?:(?:take|leave|have) a message(?: for \w+)?|the message is|message is|(?:tell|let) (?:them|him|her|\w+) (?:that|know that|know)?|pass on that)[\s:,]+(?:that\s+|saying\s+)?`)
)

// endsName is what follows a name, never part of one.
const endsName = " and calling from at my i i'm please the a an phone number address with here speaking but so is it's on in to for about thanks thank you we need would it "

// nameIn is the name by which a caller calls themselves. Where it was asked for, the whole answer may be it.
func nameIn(text string, asked bool) string {
	for _, at := range introduces.FindAllStringIndex(text, -1) {
		lead := strings.ToLower(text[at[0]:at[1]])
		name := firstName(text[at[1]:], 4)
		clear := strings.Contains(lead, "name") || asked
		if name != "" && (clear || capital(name) && !strings.Contains(lead, "it")) && goalWord(name) == "" {
			return name
		}
	}
	if asked && len(words(text)) <= 4 {
		return firstName(text, 4)
	}
	return ""
}

func capital(s string) bool { return unicode.IsUpper([]rune(s)[0]) }

func goalWord(name string) string { return intent(name, facts{}) }

// firstName takes words up to the first that ends a name.
func firstName(text string, most int) string {
	var name []string
	for _, w := range strings.Fields(text) {
		bare := strings.Trim(w, ".,;:!?\"")
		if bare == "" || strings.Contains(endsName, " "+strings.ToLower(bare)+" ") || !unicode.IsLetter([]rune(bare)[0]) {
			break
		}
		name = append(name, bare)
		if strings.ContainsAny(w[len(w)-1:], ".,;:!?") || len(name) == most {
			break
		}
	}
	return strings.Join(name, " ")
}

// phoneIn is a phone number, as its digits, said in figures or as words.
func phoneIn(text string) string {
	var figures strings.Builder
	for _, w := range words(text) {
		switch n := count(w); {
		case w == "oh" || w == "o":
			figures.WriteByte('0')
		case n >= 0 && n < 10 && w == numbers[n]:
			figures.WriteByte(byte('0' + n))
		default:
			figures.WriteString(" " + w + " ")
		}
	}
	for _, in := range []string{text, figures.String()} {
		if found := phoneForm.FindString(in); found != "" {
			digits := strings.Map(func(r rune) rune {
				if r >= '0' && r <= '9' {
					return r
				}
				return -1
			}, found)
			if len(digits) >= 7 && len(digits) <= 15 && !isISODate.MatchString(strings.TrimSpace(found)) {
				if strings.HasPrefix(found, "+") {
					return "+" + digits
				}
				return digits
			}
		}
	}
	return ""
}

func addressIn(text string) string { return strings.TrimSpace(streetForm.FindString(text)) }

// messageIn is what is to be passed on.
func messageIn(text string) string {
	at := tellsForm.FindStringIndex(text)
	if at == nil {
		return ""
	}
	return strings.TrimSpace(text[at[1]:])
}
