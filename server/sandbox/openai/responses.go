package openai

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"kestrel.ai/server/sandbox/script"
)

// request is what POST /v1/responses takes, as far as the sandbox acts on it.
type request struct {
	Model        string          `json:"model"`
	Instructions string          `json:"instructions"`
	Input        json.RawMessage `json:"input"`
	ToolChoice   json.RawMessage `json:"tool_choice"`
	Stream       bool            `json:"stream"`
	Previous     string          `json:"previous_response_id"`
	Tools        []struct {
		Type string `json:"type"`
		script.Tool
		Strict *bool `json:"strict"`
	} `json:"tools"`
	Text struct {
		Format struct {
			Type   string          `json:"type"`
			Name   string          `json:"name"`
			Schema json.RawMessage `json:"schema"`
			Strict *bool           `json:"strict"`
		} `json:"format"`
	} `json:"text"`
}

// inputItem is one entry of a request's input.
type inputItem struct {
	Type      string          `json:"type"`
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments string          `json:"arguments"`
	Output    string          `json:"output"`
}

// Responses answers POST /v1/responses: text, function calls, or a value of a JSON schema, made from what it is given.
// It does not stream and keeps no responses.
func (s *Server) Responses(w http.ResponseWriter, r *http.Request) {
	if !s.authorize(w, r) {
		return
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
	if err != nil {
		WriteError(w, http.StatusRequestEntityTooLarge, "", "The request is too large.")
		return
	}
	value, err := parse(raw)
	if err != nil {
		WriteError(w, http.StatusBadRequest, "invalid_json", "We could not parse the JSON body of your request.")
		return
	}
	var q request
	p := requestShape().check("", value)
	if p == nil {
		p = q.read(raw)
	}
	if p != nil {
		e := refuse(http.StatusBadRequest, p.code, p.message)
		if p.param != "" {
			e.Param = &p.param
		}
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": e})
		return
	}
	scene, problem := q.scene(s)
	if problem != nil {
		WriteError(w, http.StatusBadRequest, problem.code, problem.message)
		return
	}
	answer, problem := q.answer(scene)
	if problem != nil {
		WriteError(w, http.StatusBadRequest, problem.code, problem.message)
		return
	}
	echo, _ := value.(map[string]any)
	writeJSON(w, http.StatusOK, s.responseObject(q, echo, scene, answer))
}

// read takes the request in, and refuses what the vendor would, or what the sandbox cannot.
func (q *request) read(raw []byte) *problem {
	if err := json.Unmarshal(raw, q); err != nil {
		return &problem{"invalid_value", err.Error(), ""}
	}
	switch {
	case !known(q.Model) || q.Model == EchoModel:
		return &problem{"model_not_found", "The requested model '" + q.Model + "' does not exist.", "model"}
	case q.Stream:
		return &problem{"unsupported_by_sandbox", "The sandbox does not stream.", "stream"}
	case q.Previous != "":
		return &problem{"previous_response_not_found", "Previous response with id '" + q.Previous + "' not found.", "previous_response_id"}
	}
	if f := q.Text.Format; f.Type == "json_schema" && (f.Strict == nil || *f.Strict) {
		if fault := notStrict(f.Schema); fault != "" {
			return &problem{"invalid_json_schema", "Invalid schema for response_format '" + f.Name + "': " + fault, "text.format.schema"}
		}
	}
	for i, t := range q.Tools {
		if t.Strict == nil || *t.Strict {
			if fault := notStrict(t.Parameters); fault != "" {
				return &problem{"invalid_function_parameters", "Invalid schema for function '" + t.Name + "': " + fault, fmt.Sprintf("tools[%d].parameters", i)}
			}
		}
	}
	return nil
}

// scene is the conversation that the request holds.
func (q *request) scene(s *Server) (script.Scene, *problem) {
	scene := script.Scene{Instructions: q.Instructions, Choice: choice(q.ToolChoice), Now: s.Now()}
	for _, t := range q.Tools {
		scene.Tools = append(scene.Tools, t.Tool)
	}
	var said string
	if json.Unmarshal(q.Input, &said) == nil {
		scene.Turns = []script.Turn{{Role: script.User, Text: said}}
		return scene, nil
	}
	var input []inputItem
	if err := json.Unmarshal(q.Input, &input); err != nil {
		return scene, &problem{"invalid_type", "Invalid type for 'input': expected one of a string or an array of input items.", "input"}
	}
	calls := map[string]bool{}
	for i, in := range input {
		switch in.Type {
		case "function_call":
			calls[in.CallID] = true
			scene.Turns = append(scene.Turns, script.Turn{Role: script.Call, CallID: in.CallID, Name: in.Name, Text: in.Arguments})
		case "function_call_output":
			if !calls[in.CallID] {
				return scene, &problem{"invalid_tool_call_id", "No tool call found for function call output with call_id " + in.CallID + ".", "input"}
			}
			scene.Turns = append(scene.Turns, script.Turn{Role: script.Output, CallID: in.CallID, Text: in.Output})
		case "message", "":
			text, ok := contentText(in.Content)
			switch {
			case !ok || in.Role == "":
				return scene, &problem{"invalid_value", fmt.Sprintf("Invalid 'input[%d]': not a message.", i), "input"}
			case in.Role == "system" || in.Role == "developer":
				scene.Instructions = strings.TrimSpace(scene.Instructions + "\n" + text)
			default:
				scene.Turns = append(scene.Turns, script.Turn{Role: in.Role, Text: text})
			}
		case "reasoning", "item_reference":
		default:
			return scene, &problem{"invalid_value", "Invalid value: '" + in.Type + "'. Supported values are: 'message', 'function_call', 'function_call_output', 'reasoning'.", fmt.Sprintf("input[%d].type", i)}
		}
	}
	return scene, nil
}

func contentText(raw json.RawMessage) (string, bool) {
	var said string
	if json.Unmarshal(raw, &said) == nil {
		return said, true
	}
	var parts []part
	if json.Unmarshal(raw, &parts) != nil {
		return "", false
	}
	var all []string
	for _, p := range parts {
		all = append(all, p.Text)
	}
	return strings.Join(all, "\n"), true
}

// answer is the receptionist's next turn; where a schema is wanted, a value of it instead of the words.
func (q *request) answer(scene script.Scene) (script.Reply, *problem) {
	f := q.Text.Format
	if f.Type != "json_schema" {
		reply := script.Respond(scene)
		if f.Type == "json_object" && reply.Say != "" {
			raw, _ := json.Marshal(map[string]string{"text": reply.Say})
			reply.Say = string(raw)
		}
		return reply, nil
	}
	reply := script.Respond(scene)
	if reply.Name != "" {
		return script.Reply{Name: reply.Name, Arguments: reply.Arguments}, nil
	}
	value, err := script.Fill(f.Schema, transcript(scene.Turns), reply.Say)
	if err != nil {
		return reply, &problem{"invalid_json_schema", err.Error(), "text.format.schema"}
	}
	return script.Reply{Say: string(value)}, nil
}

// transcript is what was said. A single turn may be one itself.
func transcript(turns []script.Turn) string {
	var lines []string
	for _, t := range turns {
		switch {
		case t.Role == script.User && len(turns) > 1:
			lines = append(lines, "Caller: "+t.Text)
		case t.Role == script.User:
			lines = append(lines, t.Text)
		case t.Role == script.Assistant:
			lines = append(lines, "Agent: "+t.Text)
		}
	}
	return strings.Join(lines, "\n")
}

// responseObject is the answer as the API gives it; asked is the request, parts of which it repeats.
func (s *Server) responseObject(q request, asked map[string]any, scene script.Scene, reply script.Reply) map[string]any {
	id, output, out := tag(), []map[string]any{}, 0
	if reply.Say != "" || reply.Name == "" {
		out += tokens(reply.Say)
		output = append(output, map[string]any{
			"type": "message", "id": "msg_" + id, "status": "completed", "role": "assistant",
			"content": []map[string]any{{"type": "output_text", "text": reply.Say, "annotations": []any{}, "logprobs": []any{}}},
		})
	}
	if reply.Name != "" {
		out += tokens(reply.Name + string(reply.Arguments))
		output = append(output, map[string]any{
			"type": "function_call", "id": "fc_" + id, "status": "completed", "call_id": "call_" + id, "name": reply.Name, "arguments": string(reply.Arguments),
		})
	}
	in := tokens(scene.Instructions)
	for _, t := range scene.Turns {
		in += tokens(t.Text)
	}
	pick := func(name string, otherwise any) any {
		if v := asked[name]; v != nil {
			return v
		}
		return otherwise
	}
	return map[string]any{
		"id": "resp_" + id, "object": "response", "created_at": s.Now().Unix(), "status": "completed", "model": q.Model, "output": output,
		"error": nil, "incomplete_details": nil, "instructions": pick("instructions", nil), "metadata": pick("metadata", map[string]any{}),
		"parallel_tool_calls": pick("parallel_tool_calls", true), "temperature": pick("temperature", 1), "top_p": pick("top_p", 1), "tools": pick("tools", []any{}),
		"tool_choice": pick("tool_choice", "auto"), "text": pick("text", map[string]any{"format": map[string]any{"type": "text"}}), "previous_response_id": nil,
		"max_output_tokens": pick("max_output_tokens", nil), "store": pick("store", true), "truncation": "disabled",
		"usage": map[string]any{
			"input_tokens": in, "input_tokens_details": map[string]any{"cached_tokens": 0}, "output_tokens": out,
			"output_tokens_details": map[string]any{"reasoning_tokens": 0}, "total_tokens": in + out,
		},
	}
}
