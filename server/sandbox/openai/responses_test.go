package openai_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"kestrel.ai/server/sandbox/openai"
)

type responsesError struct {
	Error struct {
		Type, Code, Message, Param string
	}
}

func (h *host) post(t *testing.T, key, body string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, h.url+"/v1/responses", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, raw
}

type response struct {
	ID, Object, Status, Model string
	Output                    []struct {
		Type, Role, Name, Arguments string
		CallID                      string `json:"call_id"`
		Content                     []struct{ Type, Text string }
	}
	Usage struct {
		In    int `json:"input_tokens"`
		Out   int `json:"output_tokens"`
		Total int `json:"total_tokens"`
	}
}

func (h *host) respond(t *testing.T, body string) response {
	t.Helper()
	status, raw := h.post(t, key, body)
	var r response
	if err := json.Unmarshal(raw, &r); err != nil || status != 200 || r.Object != "response" || r.Status != "completed" || len(r.Output) == 0 || r.Usage.Total != r.Usage.In+r.Usage.Out {
		t.Fatalf("%d %s", status, raw)
	}
	return r
}

const bookTool = `{"type":"function","name":"book_appointment","strict":true,"parameters":{"type":"object","additionalProperties":false,"required":["starts_at","name"],
	"properties":{"starts_at":{"type":"string"},"name":{"type":"string"}}}}`

func TestResponsesAnswerInTextAndCallTools(t *testing.T) {
	t.Parallel()
	h := serve(t, openai.Options{})
	if r := h.respond(t, `{"model":"gpt-5-mini","instructions":"Parking is behind the house.","input":"where is the parking?"}`); r.Output[0].Content[0].Text != "Parking is behind the house." {
		t.Errorf("%+v", r)
	}
	const now = `"instructions":"It is Tuesday, November 24, 2026 at 8:16 PM Eastern Standard Time. The timezone is America/New_York."`
	r := h.respond(t, `{"model":"gpt-5-mini",`+now+`,"tools":[`+bookTool+`],"input":[{"role":"user","content":[{"type":"input_text","text":"This is Zora. Book me tomorrow at 3 pm"}]}]}`)
	if c := r.Output[0]; c.Type != "function_call" || c.Arguments != `{"name":"Zora","starts_at":"2026-11-25T15:00"}` || c.CallID == "" {
		t.Fatalf("%+v", r)
	}
	r = h.respond(t, `{"model":"gpt-5-mini",`+now+`,"tools":[`+bookTool+`],"input":[{"role":"user","content":"This is Zora. Book me tomorrow at 3 pm"},
		{"type":"function_call","call_id":"c1","name":"book_appointment","arguments":"{}"},{"type":"function_call_output","call_id":"c1","output":"{\"starts_at\":\"2026-11-25T15:00:00-05:00\",\"timezone\":\"America/New_York\"}"}]}`)
	if text := r.Output[0].Content[0].Text; !strings.HasPrefix(text, "You are booked for Wednesday, November 25, 2026 at 3:00 PM America/New_York.") {
		t.Error(text)
	}
}

func TestResponsesFillASchemaFromTheTranscript(t *testing.T) {
	t.Parallel()
	h := serve(t, openai.Options{})
	r := h.respond(t, `{"model":"gpt-5-mini","instructions":"Analyse the call.","input":"Caller: my name is Zora Quill, book me tomorrow at 3\nAgent: You are booked for Wednesday at 3 PM.",
		"text":{"format":{"type":"json_schema","name":"call","strict":true,"schema":{"type":"object","additionalProperties":false,"required":["summary","name","outcome"],
		"properties":{"summary":{"type":"string"},"name":{"type":["string","null"]},"outcome":{"type":"string","enum":["booked","other"]}}}}}}`)
	var v struct{ Summary, Name, Outcome string }
	if err := json.Unmarshal([]byte(r.Output[0].Content[0].Text), &v); err != nil || v.Name != "Zora Quill" || v.Outcome != "booked" || !strings.Contains(v.Summary, "Zora Quill") {
		t.Errorf("%+v %v", v, err)
	}
}

func TestResponsesRefuse(t *testing.T) {
	t.Parallel()
	h := serve(t, openai.Options{})
	loose := func(schema string) string {
		return `{"model":"gpt-5","input":"x","text":{"format":{"type":"json_schema","name":"s","strict":true,"schema":` + schema + `}}}`
	}
	cases := []struct {
		key, body   string
		status      int
		code, param string
	}{
		{"", `{}`, 401, "", ""},
		{"sk-wrong", `{}`, 401, "invalid_api_key", ""},
		{key, `{`, 400, "invalid_json", ""},
		{key, `[]`, 400, "invalid_type", ""},
		{key, `{"input":"x"}`, 400, "missing_required_parameter", "model"},
		{key, `{"model":"gpt-5","input":"x","colour":"red"}`, 400, "unknown_parameter", "colour"},
		{key, `{"model":"gpt-5","input":"x","temperature":3}`, 400, "decimal_above_max_value", "temperature"},
		{key, `{"model":"claude","input":"x"}`, 400, "model_not_found", "model"},
		{key, `{"model":"gpt-5","input":7}`, 400, "invalid_type", ""},
		{key, `{"model":"gpt-5","input":[{"type":"function_call_output","call_id":"c","output":""}]}`, 400, "invalid_tool_call_id", ""},
		{key, `{"model":"gpt-5","input":"x","tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{}}}]}`, 400, "invalid_function_parameters", "tools[0].parameters"},
		{key, loose(`{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}`), 400, "invalid_json_schema", "text.format.schema"},
		{key, loose(`{"type":"object","properties":{"a":{"type":"array","items":{"type":"object","properties":{}}}},"required":["a"],"additionalProperties":false}`), 400, "invalid_json_schema", "text.format.schema"},
		{key, loose(`{"type":"string"}`), 400, "invalid_json_schema", "text.format.schema"},
	}
	for _, c := range cases {
		status, raw := h.post(t, c.key, c.body)
		var e responsesError
		if err := json.Unmarshal(raw, &e); err != nil || status != c.status || e.Error.Code != c.code || e.Error.Param != c.param || e.Error.Message == "" || e.Error.Type != "invalid_request_error" {
			t.Errorf("%s: %d %s", c.body, status, raw)
		}
	}
}
