package openai_test

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"kestrel.ai/jobs/openai"
	"kestrel.ai/server/sandbox"
)

// TestTheSandboxAnswersTheSDK: what this adapter sends is what the sandbox takes, and what it answers the SDK can read.
func TestTheSandboxAnswersTheSDK(t *testing.T) {
	t.Parallel()
	box := sandbox.New(sandbox.Options{})
	server := httptest.NewServer(box)
	t.Cleanup(func() { _ = box.Close(); server.Close() })
	c, err := openai.New(openai.Config{APIKey: sandbox.DefaultOpenAIKey, Model: "gpt-test", BaseURL: server.URL + "/v1", Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	request := openai.Request{
		Instructions: "It is Tuesday, November 24, 2026 at 8:16 PM Eastern Standard Time. The timezone is America/New_York.",
		Turns:        []openai.Turn{{Text: "This is Zora. Book me tomorrow at 3 pm"}},
		Tools: []openai.Tool{{Name: "book_appointment", Parameters: json.RawMessage(
			`{"type":"object","additionalProperties":false,"required":["starts_at","name"],"properties":{"starts_at":{"type":"string"},"name":{"type":"string"}}}`)}},
	}
	answer, err := c.Respond(t.Context(), request)
	if err != nil || len(answer.Calls) != 1 || string(answer.Calls[0].Arguments) != `{"name":"Zora","starts_at":"2026-11-25T15:00"}` {
		t.Fatalf("%+v %v", answer, err)
	}
	request.Turns = append(request.Turns, openai.Turn{Call: &answer.Calls[0]}, openai.Turn{CallID: answer.Calls[0].ID, Text: `{"say":"Wednesday at 3 PM"}`})
	if answer, err = c.Respond(t.Context(), request); err != nil || answer.Text == "" || len(answer.Calls) != 0 {
		t.Fatalf("%+v %v", answer, err)
	}
	raw, _, err := c.Structured(t.Context(), openai.Request{Turns: []openai.Turn{{Text: "Caller: my name is Zora Quill"}}}, "call",
		json.RawMessage(`{"type":"object","additionalProperties":false,"required":["name"],"properties":{"name":{"type":["string","null"]}}}`))
	if err != nil || string(raw) != `{"name":"Zora Quill"}` {
		t.Errorf("%s %v", raw, err)
	}
	if _, err := box.AddFault(sandbox.Fault{Service: "openai", Status: 429, Code: "rate_limit_exceeded"}); err != nil {
		t.Fatal(err)
	}
	var failed *openai.Error
	if _, err := c.Respond(t.Context(), request); !errors.As(err, &failed) {
		t.Errorf("%v", err)
	}
}
