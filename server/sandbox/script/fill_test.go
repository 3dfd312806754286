package script_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"kestrel.ai/server/sandbox/script"
)

const analysisSchema = `{"type":"object","additionalProperties":false,
 "required":["summary","intent","sentiment","outcome","caller_name","caller_number","address","follow_up_needed","follow_up","quality_score"],
 "properties":{
  "summary":{"type":"string","maxLength":400},
  "intent":{"type":"string","enum":["booking","reschedule","cancel","message","question","emergency","other"]},
  "sentiment":{"type":"string","enum":["positive","neutral","negative"]},
  "outcome":{"type":"string","enum":["booked","rescheduled","cancelled","message_taken","transferred","answered","no_outcome"]},
  "caller_name":{"type":["string","null"]}, "caller_number":{"type":["string","null"]}, "address":{"anyOf":[{"type":"string"},{"type":"null"}]},
  "follow_up_needed":{"type":"boolean"}, "follow_up":{"type":["string","null"]},
  "quality_score":{"type":"integer","minimum":1,"maximum":5}}}`

type call struct {
	Summary, Intent, Sentiment, Outcome string
	Name                                *string `json:"caller_name"`
	Number                              *string `json:"caller_number"`
	Address                             *string `json:"address"`
	Needed                              bool    `json:"follow_up_needed"`
	FollowUp                            *string `json:"follow_up"`
	Score                               int     `json:"quality_score"`
}

func fill(t *testing.T, transcript string) call {
	t.Helper()
	raw, err := script.Fill(json.RawMessage(analysisSchema), transcript, "")
	if err != nil {
		t.Fatal(err)
	}
	holds(t, analysisSchema, raw)
	var c call
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func holds(t interface {
	Helper()
	Fatal(...any)
}, schema string, value []byte) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("s.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("s.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(v); err != nil {
		t.Fatal(err, string(value))
	}
}

func TestAnalysisIsMadeFromTheTranscript(t *testing.T) {
	t.Parallel()
	booked := fill(t, "Agent: How can I help?\nCaller: Book me tomorrow at 3 pm, thanks.\nAgent: May I have your name, please?\nCaller: my name is Zora Quill, I live at 12 Elm Street\nAgent: You are booked for Wednesday at 3 PM.\nCaller: Perfect, thank you")
	if booked.Name == nil || *booked.Name != "Zora Quill" || !strings.Contains(booked.Summary, "Zora Quill") || booked.Outcome != "booked" || booked.Intent != "booking" ||
		booked.Sentiment != "positive" || booked.Needed || booked.FollowUp != nil || *booked.Address != "12 Elm Street" || booked.Number != nil || booked.Score < 4 {
		t.Errorf("%+v", booked)
	}
	angry := fill(t, "[00:01] agent: How can I help?\n[00:03] caller: This is terrible, I am furious. Let me talk to a person, my number is 857 555 0123.\n[00:09] agent: I am sorry, that did not work.")
	if angry.Sentiment != "negative" || angry.Outcome != "no_outcome" || !angry.Needed || angry.FollowUp == nil || *angry.Number != "8575550123" || angry.Name != nil || angry.Score > 2 {
		t.Errorf("%+v", angry)
	}
	message := fill(t, "caller: take a message: the boiler leaks\nagent: May I have your name, please?\ncaller: Ann\nagent: The message will be passed on.")
	if message.Outcome != "message_taken" || message.Intent != "message" || !message.Needed || !strings.Contains(*message.FollowUp, "the boiler leaks") || !strings.Contains(message.Summary, "Ann") {
		t.Errorf("%+v", message)
	}
}

// A schema nobody has foreseen is filled all the same, whatever the text.
func TestAnySchemaIsFilled(t *testing.T) {
	t.Parallel()
	const schema = `{"$defs":{"node":{"type":"object","properties":{"label":{"type":"string","maxLength":10},"level":{"type":"integer","minimum":2,"maximum":9}},"required":["label","level"],"additionalProperties":false}},
	 "type":"object","additionalProperties":false,"required":["a","b","c","d","e","f","g","h","i"],"properties":{
	 "a":{"$ref":"#/$defs/node"},"b":{"type":"array","items":{"$ref":"#/$defs/node"},"minItems":2},"c":{"type":"array","items":{"type":"string","enum":["x","y"]}},
	 "d":{"enum":[1,2,3]},"e":{"const":"fixed"},"f":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]},"g":{"type":"boolean"},"h":{"type":["number","null"]},
	 "i":{"type":"object","properties":{"questions_asked":{"type":"array","items":{"type":"string"}}},"required":["questions_asked"],"additionalProperties":false}}}`
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`((Caller|Agent): [a-z ?.]{0,40}\n){0,6}`)).Draw(t, "text")
		raw, err := script.Fill(json.RawMessage(schema), text, "")
		if err != nil {
			t.Fatal(err)
		}
		holds(t, schema, raw)
	})
	if _, err := script.Fill(json.RawMessage(`[1]`), "", ""); err == nil {
		t.Error("a schema that is none is filled")
	}
}

func TestAnyConversationIsAnswered(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := script.Scene{Instructions: instructions, Tools: tools()}
		for range rapid.IntRange(0, 6).Draw(t, "turns") {
			s.Turns = append(s.Turns, script.Turn{
				Role: rapid.SampledFrom([]string{script.User, script.Assistant, script.System, script.Call, script.Output}).Draw(t, "role"),
				Text: rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"book", "my name is", "at 25 pm", "{}", "null", "13/45", "in 99999999999999999999 days", "this is É"})).Draw(t, "text"),
				Name: "book_appointment", CallID: "1",
			})
		}
		if r := script.Respond(s); r.Name != "" && !json.Valid(r.Arguments) {
			t.Fatalf("%+v", r)
		}
	})
}
