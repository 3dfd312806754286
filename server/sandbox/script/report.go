package script

import (
	"encoding/json"
	"sort"
	"strings"
	"time"
)

// outcome is a tool's answer, in the shapes that tools give.
type outcome struct {
	Error        any      `json:"error"`
	Status       string   `json:"status"`
	Say          string   `json:"say"`
	StartsAt     string   `json:"starts_at"`
	Timezone     string   `json:"timezone"`
	Service      string   `json:"service"`
	Confirmation string   `json:"confirmation"`
	Note         string   `json:"note"`
	Free         []moment `json:"free"`
	NextFree     []moment `json:"next_free"`
	Which        []moment `json:"which"`
	Known        *bool    `json:"known"`
	Appointments []struct {
		moment
		Service string `json:"service"`
		Status  string `json:"status"`
	} `json:"appointments"`
	Earlier []struct {
		When    string `json:"when"`
		Summary string `json:"summary"`
	} `json:"earlier_calls"`
}

// report tells the caller what a tool has answered, and nothing else.
func (s Scene) report(t Turn) Reply {
	var tool string
	for _, c := range s.Turns {
		if c.Role == Call && c.CallID == t.CallID {
			tool = c.Name
		}
	}
	var o outcome
	if json.Unmarshal([]byte(t.Text), &o) != nil {
		return Reply{Say: plainResult(t.Text)}
	}
	goal := goalOf(tool)
	switch {
	case goal == wantEnd:
		return Reply{}
	case o.Error != nil:
		return Reply{Say: o.failed()}
	case goal == wantAvailability:
		return Reply{Say: o.offer()}
	case goal == wantHistory:
		return Reply{Say: o.history()}
	case goal == wantBook, goal == wantReschedule, goal == wantCancel:
		return Reply{Say: o.done(goal) + " " + askElse}
	case o.Say != "" && (goal == wantPerson || goal == wantEmergency):
		return Reply{Say: o.Say}
	case o.Say != "":
		return Reply{Say: o.Say + " " + askElse}
	case goal == wantPerson:
		return Reply{Say: "I am connecting you now."}
	}
	return Reply{Say: plainResult(t.Text)}
}

// time is when it is, as it is to be said, with its timezone.
func (o outcome) time() string {
	if o.Say != "" {
		return o.Say
	}
	return spell(o.StartsAt, o.Timezone)
}

func spell(at, zone string) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		if t, err = time.Parse("2006-01-02T15:04", at); err != nil {
			return at
		}
	} else if z, err := time.LoadLocation(zone); err == nil && zone != "" {
		t = t.In(z)
	}
	return strings.TrimSpace(t.Format("Monday, January 2, 2006 at 3:04 PM ") + zone)
}

func (o outcome) done(goal string) string {
	verb := map[string]string{wantBook: "You are booked for ", wantReschedule: "Your appointment is moved to ", wantCancel: "I have cancelled your appointment on "}[goal]
	if o.time() == "" {
		return strings.TrimSuffix(verb, " for ") + "."
	}
	text := verb + o.time()
	if o.Service != "" {
		text += ", " + o.Service
	}
	text += "."
	if o.Confirmation != "" && !strings.HasPrefix(o.Confirmation, "none") {
		text += " " + strings.ToUpper(o.Confirmation[:1]) + o.Confirmation[1:] + "."
	}
	return text
}

func moments(list []moment, zone string) []string {
	var out []string
	for _, m := range list[:min(3, len(list))] {
		if m.Say == "" {
			m.Say = spell(m.StartsAt, zone)
		}
		out = append(out, m.Say)
	}
	return out
}

func (o outcome) offer() string {
	if len(o.Free) == 0 {
		return "I am sorry, I have no free time. " + askWord
	}
	return strings.TrimSpace(o.Note + " I have " + listed(moments(o.Free, o.Timezone), "or") + ". Which would you like?")
}

// failed says what went wrong without what is meant for us alone: orders such as "Ask for the name first."
func (o outcome) failed() string {
	text, _ := o.Error.(string)
	var told []string
	asksName := false
	for _, sentence := range sentences(text) {
		begins, _, _ := strings.Cut(sentence, " ")
		switch begins {
		case "Ask", "Offer", "Use", "Try", "Tell", "Do":
			asksName = asksName || says(sentence, "name", "caller's name")
		default:
			told = append(told, sentence)
		}
	}
	sorry := strings.Join(append([]string{"I am sorry."}, told...), " ")
	switch {
	case len(o.NextFree) > 0:
		return sorry + " I could offer " + listed(moments(o.NextFree, o.Timezone), "or") + ". Which would you like?"
	case len(o.Which) > 0:
		return sorry + " Do you mean " + listed(moments(o.Which, o.Timezone), "or") + "? Which would you like?"
	case len(o.Appointments) > 0:
		var list []moment
		for _, a := range o.Appointments {
			list = append(list, a.moment)
		}
		return sorry + " There is " + listed(moments(list, o.Timezone), "and") + "."
	case asksName:
		return askName
	}
	return sorry + " " + askWord
}

func (o outcome) history() string {
	var told []string
	for _, a := range o.Appointments {
		if a.Status == "" || a.Status == "scheduled" {
			told = append(told, strings.TrimSuffix("You have an appointment on "+moments([]moment{a.moment}, o.Timezone)[0]+", "+a.Service, ", ")+".")
		}
	}
	if len(o.Earlier) > 0 {
		told = append(told, strings.TrimSpace("You last called on "+o.Earlier[0].When+". "+o.Earlier[0].Summary))
	}
	if len(told) == 0 {
		return "I find no earlier calls or appointments under your number. " + askElse
	}
	return strings.Join(told, " ") + " " + askElse
}

// plainResult reads out an answer of unknown shape: its texts and numbers.
func plainResult(raw string) string {
	var fields map[string]any
	if json.Unmarshal([]byte(raw), &fields) != nil {
		return raw
	}
	var told []string
	for name, v := range fields {
		switch v := v.(type) {
		case string:
			told = append(told, strings.ReplaceAll(name, "_", " ")+" "+v)
		case json.Number, float64, bool:
			text, _ := json.Marshal(v)
			told = append(told, strings.ReplaceAll(name, "_", " ")+" "+string(text))
		}
	}
	sort.Strings(told)
	return strings.Join(told, ", ") + "."
}
