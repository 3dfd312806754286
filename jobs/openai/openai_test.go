package openai_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kestrel.ai/jobs/openai"
)

const key = "sk-test-key"

// vendor answers every request with one status and body, and keeps what it was asked.
type vendor struct {
	*httptest.Server
	asked   map[string]any
	path    string
	auth    string
	request int
}

func newVendor(t *testing.T, status int, header http.Header, body string) *vendor {
	t.Helper()
	v := &vendor{}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(raw, &v.asked)
		v.path, v.auth = r.Method+" "+r.URL.Path, r.Header.Get("Authorization")
		v.request++
		for name := range header {
			w.Header().Set(name, header.Get(name))
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(v.Close)
	return v
}

func (v *vendor) client(t *testing.T) *openai.Client {
	t.Helper()
	c, err := openai.New(openai.Config{APIKey: key, Model: "gpt-test", BaseURL: v.URL + "/v1", Timeout: 5 * time.Second, Prices: openai.Prices{Input: 2, Cached: 0.5, Output: 8}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const usage = `"usage":{"input_tokens":1000,"input_tokens_details":{"cached_tokens":400},"output_tokens":50,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":1050}`

// TestTheConversationTravels: turns, tools and their answers go out in the shape of the Responses API, nothing is kept
// there, and both kinds of answer come back with their price.
func TestTheConversationTravels(t *testing.T) {
	t.Parallel()
	v := newVendor(t, 200, nil, `{"id":"resp_1","object":"response","status":"completed","model":"gpt-test","output":[
		{"type":"reasoning","id":"rs_1","summary":[]},
		{"type":"function_call","id":"fc_1","call_id":"call_2","name":"book","arguments":"{\"at\":\"15:00\"}","status":"completed"},
		{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"One moment.","annotations":[]}]}],`+usage+`}`)
	got, err := v.client(t).Respond(t.Context(), openai.Request{
		Instructions: "Be brief.", MaxTokens: 300,
		Tools: []openai.Tool{{Name: "book", Description: "Books.", Parameters: json.RawMessage(`{"type":"object","properties":{},"required":[],"additionalProperties":false}`)}},
		Turns: []openai.Turn{
			{Text: "Hello"}, {Assistant: true, Text: "Hi"}, {Text: "Book me at 3"},
			{Call: &openai.ToolCall{ID: "call_1", Name: "look", Arguments: json.RawMessage(`{"day":"today"}`)}}, {CallID: "call_1", Text: `{"free":true}`},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := openai.Answer{Text: "One moment.", Calls: []openai.ToolCall{{ID: "call_2", Name: "book", Arguments: json.RawMessage(`{"at":"15:00"}`)}}, Micros: 600*2 + 400/2 + 50*8}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if v.path != "POST /v1/responses" || v.auth != "Bearer "+key || v.request != 1 {
		t.Error(v.path, v.auth, v.request)
	}
	var asked map[string]any
	must(t, json.Unmarshal([]byte(`{"model":"gpt-test","store":false,"instructions":"Be brief.","max_output_tokens":300,
		"tools":[{"type":"function","name":"book","description":"Books.","strict":true,"parameters":{"type":"object","properties":{},"required":[],"additionalProperties":false}}],
		"input":[{"role":"user","content":"Hello"},{"role":"assistant","content":"Hi"},{"role":"user","content":"Book me at 3"},
			{"type":"function_call","call_id":"call_1","name":"look","arguments":"{\"day\":\"today\"}"},
			{"type":"function_call_output","call_id":"call_1","output":"{\"free\":true}"}]}`), &asked))
	delete(v.asked, "text")
	if d := cmp.Diff(asked, v.asked); d != "" {
		t.Error(d)
	}
}

// TestStructured: the schema goes out as strict, and its JSON comes back; a refusal and a cut answer are failures for good.
func TestStructured(t *testing.T) {
	t.Parallel()
	schema := json.RawMessage(`{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"],"additionalProperties":false}`)
	answer := func(status, part string) string {
		return `{"id":"r","object":"response","status":"` + status + `","incomplete_details":{"reason":"max_output_tokens"},"output":[{"type":"message","id":"m","role":"assistant","status":"completed","content":[` + part + `]}],` + usage + `}`
	}
	v := newVendor(t, 200, nil, answer("completed", `{"type":"output_text","text":"{\"ok\":true}","annotations":[]}`))
	raw, micros, err := v.client(t).Structured(t.Context(), openai.Request{Turns: []openai.Turn{{Text: "x"}}}, "verdict", schema)
	if err != nil || string(raw) != `{"ok":true}` || micros != 1800 {
		t.Error(string(raw), micros, err)
	}
	format, _ := v.asked["text"].(map[string]any)["format"].(map[string]any)
	if format["type"] != "json_schema" || format["strict"] != true || format["name"] != "verdict" || format["schema"] == nil {
		t.Errorf("%v", format)
	}
	for body, kind := range map[string]error{
		answer("completed", `{"type":"refusal","refusal":"No."}`):                                  openai.ErrRefused,
		answer("incomplete", `{"type":"output_text","text":"{\"ok\"","annotations":[]}`):           openai.ErrRefused,
		answer("completed", `{"type":"output_text","text":"{\"ok\"","annotations":[]}`):            openai.ErrUnavailable,
		`{"id":"r","status":"failed","error":{"code":"server_error","message":"x"},"output":[]}`:   openai.ErrUnavailable,
		`{"id":"r","status":"failed","error":{"code":"invalid_prompt","message":"x"},"output":[]}`: openai.ErrRefused,
		`not JSON`: openai.ErrUnavailable,
	} {
		if _, _, err := newVendor(t, 200, nil, body).client(t).Structured(t.Context(), openai.Request{}, "verdict", schema); !errors.Is(err, kind) {
			t.Errorf("%s: %v, want %v", body, err, kind)
		}
	}
}

// TestErrors: what can be tried again is told from what cannot, and no error quotes key or content.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status     int
		code       string
		retryAfter string
		kind       error
		permanent  bool
		after      time.Duration
	}{
		{401, "invalid_api_key", "", openai.ErrBadCredentials, true, 0},
		{403, "unsupported_country_region_territory", "", openai.ErrBadCredentials, true, 0},
		{404, "model_not_found", "", openai.ErrRefused, true, 0},
		{400, "context_length_exceeded", "", openai.ErrRefused, true, 0},
		{429, "rate_limit_exceeded", "7", openai.ErrRateLimited, false, 7 * time.Second},
		{429, "insufficient_quota", "", openai.ErrQuota, false, 10 * time.Minute},
		{500, "", "", openai.ErrUnavailable, false, 0},
		{503, "", "2", openai.ErrUnavailable, false, 2 * time.Second},
	} {
		v := newVendor(t, c.status, http.Header{"Retry-After": {c.retryAfter}}, `{"error":{"type":"x","code":"`+c.code+`","message":"`+key+` said hello"}}`)
		_, err := v.client(t).Respond(t.Context(), openai.Request{Turns: []openai.Turn{{Text: "hello"}}})
		var e *openai.Error
		if !errors.As(err, &e) || !errors.Is(err, c.kind) || e.Permanent != c.permanent || e.RetryAfter != c.after || e.Code != c.code || e.Reason == "" {
			t.Errorf("%d %s: %+v", c.status, c.code, err)
			continue
		}
		if text := e.Error() + e.Reason; strings.Contains(text, key) || strings.Contains(text, "hello") {
			t.Error(text)
		}
		if v.request != 1 {
			t.Errorf("%d: sent %d times", c.status, v.request)
		}
	}
	v := newVendor(t, 200, nil, "")
	c := v.client(t)
	v.Close()
	if _, err := c.Respond(t.Context(), openai.Request{}); !errors.Is(err, openai.ErrUnavailable) {
		t.Error(err)
	}
	c, err := openai.New(openai.Config{})
	must(t, err)
	if _, err := c.Respond(t.Context(), openai.Request{}); !errors.Is(err, openai.ErrNotConfigured) {
		t.Error(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
