package script_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"kestrel.ai/server/sandbox/script"
)

const instructions = `# Who you are
You are the receptionist of the business in the facts below. Be warm, brief and exact.

# Now
It is Tuesday, November 24, 2026 at 8:16 PM Eastern Standard Time. The business's timezone is America/New_York; every time you say or hear is in it.
The business is closed. Say so when it matters; you can still help.
- Tuesday 2026-11-24: 08:00–17:00 (today)
- Wednesday 2026-11-25: 08:00–17:00
- Thursday 2026-11-26: closed
- Friday 2026-11-27: 09:00–12:00

# What you never do
- Promise prices that the facts do not hold.

# Facts
Written by the business, as one JSON object. It is information only.
{
  "business": "HAIEC",
  "description": "HAIEC is a heating company in Boston.",
  "services": [{"name": "Heating repair", "price": "$89 call-out"}, {"name": "Maintenance tune-up"}],
  "knowledge": [{"title": "Parking", "text": "Park behind the building, off Elm Street."}],
  "people": [{"name": "Billing", "when": "The caller asks about an invoice"}],
  "emergencies": [["gas leak", "smell gas"]]
}
`

func tool(name string, required ...string) script.Tool {
	properties := map[string]any{}
	for _, r := range required {
		description := "What it is; empty if it is not known."
		if r == "starts_at" || r == "message" || r == "name" {
			description = "What it is."
		}
		properties[r] = map[string]any{"type": "string", "description": description}
	}
	raw, _ := json.Marshal(map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false})
	return script.Tool{Name: name, Parameters: raw}
}

func tools() []script.Tool {
	return []script.Tool{
		tool("check_availability", "date", "time", "service"), tool("book_appointment", "starts_at", "service", "name", "phone", "address", "notes"),
		tool("reschedule_appointment", "appointment_id", "starts_at"), tool("cancel_appointment", "appointment_id"), tool("take_message", "name", "phone", "message"),
		tool("look_up_caller"), tool("report_emergency", "words", "address"), tool("transfer_call", "to", "reason"), tool("end_call", "reason"),
	}
}

// talk plays a conversation. A line is what the caller says, or what a tool answers if it begins with {. It returns the
// receptionist's turns: what is said, and a call as name{arguments}.
func talk(lines ...string) []string {
	s := script.Scene{Instructions: instructions, Tools: tools(), Now: time.Unix(0, 0)}
	var out []string
	for _, line := range lines {
		if strings.HasPrefix(line, "{") {
			s.Turns = append(s.Turns, script.Turn{Role: script.Output, CallID: fmt.Sprint(len(out) - 1), Text: line})
		} else {
			s.Turns = append(s.Turns, script.Turn{Role: script.User, Text: line})
		}
		r := script.Respond(s)
		if r.Say != "" {
			s.Turns = append(s.Turns, script.Turn{Role: script.Assistant, Text: r.Say})
		}
		if r.Name != "" {
			s.Turns = append(s.Turns, script.Turn{Role: script.Call, CallID: fmt.Sprint(len(out)), Name: r.Name, Text: string(r.Arguments)})
		}
		out = append(out, strings.TrimSpace(r.Say+" "+r.Name+string(r.Arguments)))
	}
	return out
}

const bookedAt = `{"status":"booked","appointment_id":"a1","starts_at":"2026-11-25T15:00:00-05:00","say":"Wednesday, November 25, 2026 at 3:00 PM Eastern Standard Time","timezone":"America/New_York","confirmation":"a text goes to the number ending in 0123"}`

func TestConversations(t *testing.T) {
	t.Parallel()
	book := func(at, name, service string) string {
		return `book_appointment{"address":"","name":"` + name + `","notes":"","phone":"","service":"` + service + `","starts_at":"` + at + `"}`
	}
	cases := map[string]struct {
		lines []string
		want  string // the last turn
	}{
		"a name is asked for":            {[]string{"book me tomorrow at 3 pm"}, "May I have your name, please?"},
		"and then it is booked":          {[]string{"Book me tomorrow at 3 pm.", "my name is Zora Quill"}, book("2026-11-25T15:00", "Zora Quill", "")},
		"the bare name will do":          {[]string{"book tomorrow at 3 pm", "Zora Quill."}, book("2026-11-25T15:00", "Zora Quill", "")},
		"a name told before":             {[]string{"hi, this is Zora Quill", "I need a heating repair, can you come out Friday at ten thirty"}, book("2026-11-27T10:30", "Zora Quill", "Heating repair")},
		"all in one breath":              {[]string{"my name is Zora and I would like to book a tune-up on December 3rd at 9"}, book("2026-12-03T09:00", "Zora", "Maintenance tune-up")},
		"read back from the answer":      {[]string{"book me tomorrow at 3 pm", "my name is Zora", bookedAt}, "You are booked for Wednesday, November 25, 2026 at 3:00 PM Eastern Standard Time. A text goes to the number ending in 0123. Is there anything else I can do for you?"},
		"no time, so it is asked for":    {[]string{"I would like an appointment"}, "What day and time would suit you?"},
		"a day: free times are sought":   {[]string{"my name is Zora", "book me on Friday"}, `check_availability{"date":"2026-11-27","service":"","time":""}`},
		"free times are offered":         {[]string{"what times are free tomorrow", `{"timezone":"America/New_York","free":[{"starts_at":"2026-11-25T09:00:00-05:00","say":"Wednesday at 9"},{"starts_at":"2026-11-25T15:00:00-05:00","say":"Wednesday at 3"}]}`}, "I have Wednesday at 9 or Wednesday at 3. Which would you like?"},
		"one of them is taken":           {[]string{"what times are free tomorrow", `{"free":[{"starts_at":"2026-11-25T09:00:00-05:00","say":"a"},{"starts_at":"2026-11-25T15:00:00-05:00","say":"b"}]}`, "the second one please", "Zora"}, book("2026-11-25T15:00:00-05:00", "Zora", "")},
		"by its hour":                    {[]string{"what times are free tomorrow", `{"free":[{"starts_at":"2026-11-25T09:00:00-05:00","say":"a"}]}`, "9 is fine", "my name is Zora"}, book("2026-11-25T09:00:00-05:00", "Zora", "")},
		"a taken slot":                   {[]string{"my name is Zora", "book tomorrow at 3", `{"error":"That time is taken. Offer another.","next_free":[{"starts_at":"2026-11-25T16:00:00-05:00","say":"Wednesday at 4"}]}`}, "I am sorry. That time is taken. I could offer Wednesday at 4. Which would you like?"},
		"and the one offered instead":    {[]string{"my name is Zora", "book tomorrow at 3", `{"error":"That time is taken.","next_free":[{"starts_at":"2026-11-25T16:00:00-05:00","say":"Wednesday at 4"}]}`, "4 pm"}, book("2026-11-25T16:00:00-05:00", "Zora", "")},
		"moved":                          {[]string{"please reschedule to Friday at 10"}, `reschedule_appointment{"appointment_id":"","starts_at":"2026-11-27T10:00"}`},
		"moved what was booked just now": {[]string{"book me tomorrow at 3 pm", "my name is Zora", bookedAt, "actually, move it to Friday at 11 am"}, `reschedule_appointment{"appointment_id":"a1","starts_at":"2026-11-27T11:00"}`},
		"cancelled":                      {[]string{"cancel my appointment"}, `cancel_appointment{"appointment_id":""}`},
		"a message":                      {[]string{"Take a message: the boiler is leaking again", "I'm Zora Quill"}, `take_message{"message":"the boiler is leaking again","name":"Zora Quill","phone":""}`},
		"a message asked for":            {[]string{"can I leave a message", "please call me back about the invoice at 857 555 0123", "Zora"}, `take_message{"message":"please call me back about the invoice at 857 555 0123","name":"Zora","phone":"8575550123"}`},
		"a person":                       {[]string{"let me talk to a person about my invoice"}, `transfer_call{"reason":"let me talk to a person about my invoice","to":"Billing"}`},
		"nobody is there":                {[]string{"let me speak to somebody", `{"error":"Nobody can be reached by phone. Offer to take a message."}`}, "I am sorry. Nobody can be reached by phone. Would you like to leave a message?"},
		"then a message":                 {[]string{"let me speak to somebody", `{"error":"Nobody can be reached."}`, "yes please"}, "What is the message?"},
		"an emergency":                   {[]string{"book me", "help, I smell gas at 12 Elm Street"}, `report_emergency{"address":"12 Elm Street","words":"help, I smell gas at 12 Elm Street"}`},
		"its advice":                     {[]string{"I smell gas", `{"status":"transferring","say":"Leave the house. I am connecting you now."}`}, "Leave the house. I am connecting you now."},
		"history":                        {[]string{"when did I last call"}, `look_up_caller{}`},
		"history told":                   {[]string{"when did I last call", `{"known":true,"appointments":[],"earlier_calls":[{"when":"March 3, 2026","summary":"A boiler was repaired."}]}`}, "You last called on March 3, 2026. A boiler was repaired. Is there anything else I can do for you?"},
		"hours":                          {[]string{"what are your hours on Friday"}, "On Friday our hours are 09:00 to 12:00."},
		"closed":                         {[]string{"are you open on thursday?"}, "On Thursday we are closed. On Friday our hours are 09:00 to 12:00."},
		"a price":                        {[]string{"how much is a heating repair"}, "Heating repair: $89 call-out"},
		"a price nobody told":            {[]string{"what does a tune-up cost"}, "I am sorry, I do not know that. Would you like to leave a message?"},
		"who it is":                      {[]string{"who are you?"}, "I am the AI receptionist of HAIEC."},
		"knowledge":                      {[]string{"where can I park?"}, "Park behind the building, off Elm Street."},
		"what it cannot know":            {[]string{"who won the world cup"}, "I am sorry, I do not know that. Would you like to leave a message?"},
		"good-bye":                       {[]string{"no that's all, goodbye"}, `Thank you for calling. Goodbye. end_call{"reason":"answered"}`},
		"no is good-bye when asked":      {[]string{"book me tomorrow at 3 pm", "my name is Zora", bookedAt, "no thanks"}, `Thank you for calling. Goodbye. end_call{"reason":"booked"}`},
		"nothing after the end":          {[]string{"goodbye", `{"status":"ending"}`}, ""},
		"noise":                          {[]string{""}, "I am sorry, I did not catch that."},
	}
	for name, c := range cases {
		got := talk(c.lines...)
		if got[len(got)-1] != c.want {
			t.Errorf("%s: got\n  %s\nwant the last to be\n  %s", name, strings.Join(got, "\n  "), c.want)
		}
	}
}

func TestDirections(t *testing.T) {
	t.Parallel()
	for direction, want := range map[string]string{
		"Greet them with exactly these words, and nothing else: Thank you for calling. How can I help?": "Thank you for calling. How can I help?",
		`Say “One moment, please.”`: "One moment, please.",
		"Greet the caller.":         "Thank you for calling HAIEC. How can I help you?",
	} {
		if got := script.Respond(script.Scene{Instructions: instructions, Direction: direction}); got.Say != want {
			t.Errorf("%s: %q", direction, got.Say)
		}
	}
	s := script.Scene{Direction: "You were interrupted by a noise. Carry on from where you were interrupted.", Turns: []script.Turn{{Role: script.Assistant, Text: "We are open", Unheard: "until five."}, {Role: script.User, Text: ""}}}
	if got := script.Respond(s); got.Say != "until five." {
		t.Errorf("carried on with %q", got.Say)
	}
}

func TestNoToolIsCalledThatMayNotBe(t *testing.T) {
	t.Parallel()
	turns := []script.Turn{{Role: script.User, Text: "my name is Zora, book me tomorrow at 3 pm"}}
	for _, s := range []script.Scene{{Instructions: instructions, Turns: turns}, {Instructions: instructions, Turns: turns, Tools: tools(), Choice: "none"}} {
		if got := script.Respond(s); got.Name != "" || got.Say == "" {
			t.Errorf("got %+v", got)
		}
	}
}
