package script

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"
)

// facts is what the instructions tell of the business: a JSON object in them, and the rest of their text.
type facts struct {
	Business    string     `json:"business"`
	Description string     `json:"description"`
	Services    []service  `json:"services"`
	Knowledge   []entry    `json:"knowledge"`
	People      []person   `json:"people"`
	Emergencies [][]string `json:"emergencies"`
	text        string     // what is not JSON
}

type service struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Price       string `json:"price"`
}

type entry struct {
	Title string `json:"title"`
	Text  string `json:"text"`
}

type person struct {
	Name string `json:"name"`
	When string `json:"when"`
}

func (s Scene) facts() facts {
	f := facts{text: s.Instructions}
	for from := 0; ; {
		at := strings.Index(s.Instructions[from:], "{")
		if at < 0 {
			return f
		}
		at += from
		d := json.NewDecoder(strings.NewReader(s.Instructions[at:]))
		if d.Decode(&f) == nil && (f.Business != "" || f.Services != nil || f.Knowledge != nil) {
			f.text = s.Instructions[:at] + s.Instructions[at+int(d.InputOffset()):]
			return f
		}
		from = at + 1
	}
}

// emergencies are the words of each; common ones where the instructions name none.
func (f facts) emergencies() [][]string {
	if f.Emergencies != nil {
		return f.Emergencies
	}
	return [][]string{{"gas leak", "smell gas", "smell of gas", "carbon monoxide"}, {"flooding", "flooded", "burst pipe"}, {"no heat"}, {"on fire", "sparks"}}
}

// serviceIn is the name of the service that a text is about; empty if none.
func (f facts) serviceIn(text string) string {
	best, name := 0, ""
	for _, s := range f.Services {
		if n := overlap(text, s.Name); n > best {
			best, name = n, s.Name
		}
	}
	return name
}

var hoursLine = regexp.MustCompile(`(?m)^[-* ]*([A-Z][a-z]+day) (\d{4}-\d{2}-\d{2}): (.+)$`)

// answer is what the instructions say about a question; empty if nothing.
func (f facts) answer(question string, now time.Time) string {
	if says(question, "hours", "open", "close", "closed", "opening times") {
		if a := f.hours(parseWhen(question, now, false).date, now); a != "" {
			return a
		}
	}
	if says(question, "how much", "price", "prices", "cost", "costs", "charge", "fee", "rate", "rates") {
		return f.price(question)
	}
	if says(question, "who are you", "are you a robot", "are you an ai", "am i talking to") && f.Business != "" {
		return "I am the AI receptionist of " + f.Business + "."
	}
	if says(question, "what do you do", "what services", "which services", "services do you", "do you offer") && len(f.Services) > 0 {
		var names []string
		for _, s := range f.Services {
			names = append(names, s.Name)
		}
		return "We offer " + listed(names, "and") + "."
	}
	best, found := 0, ""
	consider := func(about, text string) {
		if n := overlap(question, about); n > best {
			best, found = n, text
		}
	}
	for _, k := range f.Knowledge {
		consider(k.Title+" "+k.Text, k.Text)
	}
	for _, s := range f.Services {
		if s.Description != "" {
			consider(s.Name+" "+s.Description, s.Name+": "+s.Description)
		}
	}
	consider(f.Description, f.Description)
	for _, s := range sentences(f.text) {
		if !strings.HasPrefix(s, "#") && !order(s) {
			consider(s, strings.TrimLeft(s, "-* "))
		}
	}
	return found
}

// order tells what is said to the receptionist from what is said of the business.
func order(sentence string) bool {
	s := strings.TrimLeft(sentence, "-*0123456789. ")
	for _, begins := range []string{
		"You ", "If ", "When ", "Use ", "Never", "Do not", "Answer ", "Agree", "Promise", "Follow", "Reveal", "While ", "Begin ", "Say ", "Be ", "Ask ",
		"It is ", "Written by", "It is information", "Slots start", "At least", "The caller",
	} {
		if strings.HasPrefix(s, begins) {
			return true
		}
	}
	return strings.ContainsAny(s, "_") // names tools
}

func (f facts) hours(date string, now time.Time) string {
	lines := hoursLine.FindAllStringSubmatch(f.text, -1)
	for _, l := range lines {
		if l[2] == date || date == "" && l[2] == now.Format(time.DateOnly) {
			hours := strings.TrimSuffix(l[3], " (today)")
			if hours == "closed" {
				return "On " + l[1] + " we are closed." + f.nextOpen(lines, l[2])
			}
			return "On " + l[1] + " our hours are " + strings.ReplaceAll(hours, "–", " to ") + "."
		}
	}
	return ""
}

func (f facts) nextOpen(lines [][]string, after string) string {
	for _, l := range lines {
		if l[2] > after && !strings.HasPrefix(l[3], "closed") {
			return " On " + l[1] + " our hours are " + strings.ReplaceAll(l[3], "–", " to ") + "."
		}
	}
	return ""
}

func (f facts) price(question string) string {
	name := f.serviceIn(question)
	var prices []string
	for _, s := range f.Services {
		if s.Price != "" && (name == "" || s.Name == name) {
			prices = append(prices, s.Name+": "+s.Price)
		}
	}
	if prices != nil {
		return strings.Join(prices, ". ")
	}
	best, found := 0, ""
	told := sentences(f.text)
	for _, k := range f.Knowledge {
		told = append(told, k.Text)
	}
	for _, t := range told {
		if n := overlap(question, t); strings.ContainsAny(t, "$€£") && !order(t) && n >= best {
			best, found = n, t
		}
	}
	return found
}
