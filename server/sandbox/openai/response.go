package openai

import (
	"encoding/base64"
	"encoding/json"

	"kestrel.ai/server/sandbox/script"
	"kestrel.ai/server/sandbox/speech"
)

// responseParams is what response.create says, as far as the sandbox acts on it.
type responseParams struct {
	Modalities   []string        `json:"output_modalities"`
	Instructions string          `json:"instructions"`
	Tools        *[]script.Tool  `json:"tools"`
	ToolChoice   json.RawMessage `json:"tool_choice"`
	Conversation string          `json:"conversation"`
	Metadata     map[string]any  `json:"metadata"`
	Audio        struct {
		Output struct {
			Format format `json:"format"`
		} `json:"output"`
	} `json:"audio"`
}

// response is one that is being generated.
type response struct {
	id      string
	params  responseParams
	spoken  bool // audio, not text
	outputs []*item
	said    []string // by output: the text, or the call's arguments
	at      int      // output being sent
	open    bool     // its beginning is sent
	apart   bool     // not part of the conversation
}

func (s *Session) createResponse(event map[string]any) *problem {
	var c struct{ Response responseParams }
	if err := convert(event, &c); err != nil {
		return &problem{"invalid_value", err.Error(), "response"}
	}
	if s.active != nil && c.Response.Conversation != "none" {
		return &problem{"conversation_already_has_active_response", "Conversation already has an active response in progress: " + s.active.id + ". Wait until the response is finished before creating a new one.", ""}
	}
	if s.active != nil {
		return &problem{"unsupported_by_sandbox", "The sandbox makes one response at a time, in or out of the conversation.", ""}
	}
	s.respond(c.Response)
	return nil
}

func (s *Session) cancelResponse(id string) *problem {
	if s.active == nil || id != "" && id != s.active.id {
		return &problem{"response_cancel_not_active", "Cancellation failed: no active response found", ""}
	}
	s.stop("client_cancelled")
	return nil
}

// failNext makes the next response fail.
func (s *Session) failNext(code string) {
	if code == "" {
		code = "server_error"
	}
	s.usage.failCode = code
}

// respond lets the receptionist answer the conversation as it stands. Where a response is active, nothing happens.
func (s *Session) respond(p responseParams) {
	if s.active != nil {
		return
	}
	if p.Modalities == nil {
		p.Modalities = s.config.Modalities
	}
	if p.Audio.Output.Format.Type == "" {
		p.Audio.Output.Format = s.config.Audio.Output.Format
	}
	r := &response{id: s.nextID("resp"), params: p, apart: p.Conversation == "none", spoken: len(p.Modalities) == 0 || p.Modalities[0] == "audio"}
	s.active, s.ear.idleFrom = r, -1
	s.send("response.created", map[string]any{"response": s.responseJSON(r, "in_progress", nil)})
	limits := map[string]any{"rate_limits": []map[string]any{
		{"name": "requests", "limit": 1000, "remaining": 999, "reset_seconds": 0.06},
		{"name": "tokens", "limit": 400_000, "remaining": 400_000 - s.inputTokens(), "reset_seconds": 0.5},
	}}
	s.send("rate_limits.updated", limits)
	switch {
	case s.usage.failCode != "":
		s.finish("failed", map[string]any{"type": "failed", "error": map[string]any{"type": faultType(s.usage.failCode), "code": s.usage.failCode}})
		s.usage.failCode = ""
		return
	case r.spoken && p.Audio.Output.Format.Type != "audio/pcmu":
		s.finish("failed", map[string]any{"type": "failed", "error": map[string]any{"type": "invalid_request_error", "code": "unsupported_by_sandbox"}})
		return
	}
	s.think(r)
	s.advance()
}

// think asks the receptionist.
func (s *Session) think(r *response) {
	scene := script.Scene{
		Instructions: s.config.Instructions, Direction: r.params.Instructions, Tools: s.config.Tools,
		Choice: choice(s.config.ToolChoice), Now: s.server.Now(),
	}
	if r.params.Tools != nil {
		scene.Tools = *r.params.Tools
	}
	if r.params.ToolChoice != nil {
		scene.Choice = choice(r.params.ToolChoice)
	}
	for _, i := range s.items {
		scene.Turns = append(scene.Turns, i.turn())
	}
	reply := script.Respond(scene)
	if reply.Say != "" {
		i := &item{ID: s.nextID("item"), Type: "message", Role: "assistant"}
		if r.spoken {
			i.spoken = speak(reply.Say, s.perWord())
		}
		r.outputs, r.said = append(r.outputs, i), append(r.said, reply.Say)
	}
	if reply.Name != "" {
		i := &item{ID: s.nextID("item"), Type: "function_call", CallID: s.nextID("call"), Name: reply.Name}
		r.outputs, r.said = append(r.outputs, i), append(r.said, string(reply.Arguments))
	}
}

// choice is auto, none, required, or a function's name.
func choice(raw json.RawMessage) string {
	var word string
	if json.Unmarshal(raw, &word) == nil {
		return word
	}
	var function struct{ Name string }
	_ = json.Unmarshal(raw, &function)
	return function.Name
}

// advance sends what comes next of the active response, up to the next pause.
func (s *Session) advance() {
	for r := s.active; r != nil && s.active == r && !s.over; {
		if r.at == len(r.outputs) {
			s.finish("completed", nil)
			return
		}
		i := r.outputs[r.at]
		if !r.open {
			s.openOutput(r, i)
			if i.Type == "function_call" {
				s.next.Reset(s.server.Pace)
				return
			}
		}
		if i.spoken != nil && i.spoken.sent < len(i.spoken.audio) {
			s.sendAudio(r, i)
			if s.active == r && i.spoken.sent < len(i.spoken.audio) {
				s.next.Reset(s.server.Pace)
				return
			}
		}
		s.closeOutput(r, i, "completed")
	}
}

func (r *response) place(i *item) map[string]any {
	return map[string]any{"response_id": r.id, "item_id": i.ID, "output_index": r.at}
}

func (s *Session) openOutput(r *response, i *item) {
	r.open = true
	i.Status = "in_progress"
	s.send("response.output_item.added", map[string]any{"response_id": r.id, "output_index": r.at, "item": i.json()})
	if !r.apart {
		s.add(i, nil)
	}
	at := r.place(i)
	if i.Type == "function_call" {
		s.send("response.function_call_arguments.delta", with(with(at, "call_id", i.CallID), "delta", r.said[r.at]))
		return
	}
	at["content_index"] = 0
	part := map[string]any{"type": "audio", "transcript": ""}
	if i.spoken == nil {
		part = map[string]any{"type": "text", "text": ""}
	}
	s.send("response.content_part.added", with(at, "part", part))
	if i.spoken == nil {
		s.send("response.output_text.delta", with(at, "delta", r.said[r.at]))
	}
}

func (s *Session) sendAudio(r *response, i *item) {
	at := with(r.place(i), "content_index", 0)
	from := i.spoken.sent
	to := min(len(i.spoken.audio), from+speech.Bytes(s.server.Chunk))
	if words := i.spoken.upTo(from, to); words != "" {
		if from > 0 {
			words = " " + words
		}
		s.send("response.output_audio_transcript.delta", with(at, "delta", words))
	}
	i.spoken.sent = to
	s.usage.ourAudio += to - from
	s.send("response.output_audio.delta", with(at, "delta", base64.StdEncoding.EncodeToString(i.spoken.audio[from:to])))
}

// closeOutput ends the output that is being sent. Of a call, the arguments come whole even where it is not completed, as
// the vendor's do.
func (s *Session) closeOutput(r *response, i *item, status string) {
	at := r.place(i)
	text := r.said[r.at]
	if i.spoken != nil {
		text = i.spoken.upTo(0, i.spoken.sent)
	}
	s.mu.Lock()
	i.Status = status
	switch {
	case i.Type == "function_call":
		i.Arguments = text
	case i.spoken != nil:
		i.Parts = []part{{Type: "output_audio", Transcript: text}}
	default:
		i.Parts = []part{{Type: "output_text", Text: text}}
	}
	s.mu.Unlock()
	switch {
	case i.Type == "function_call":
		s.send("response.function_call_arguments.done", with(with(with(at, "call_id", i.CallID), "name", i.Name), "arguments", text))
	case i.spoken != nil:
		at["content_index"] = 0
		s.send("response.output_audio.done", at)
		s.send("response.output_audio_transcript.done", with(at, "transcript", text))
		s.send("response.content_part.done", with(at, "part", map[string]any{"type": "audio", "transcript": text}))
	default:
		at["content_index"] = 0
		s.send("response.output_text.done", with(at, "text", text))
		s.send("response.content_part.done", with(at, "part", map[string]any{"type": "text", "text": text}))
	}
	s.send("response.output_item.done", map[string]any{"response_id": r.id, "output_index": r.at, "item": i.json()})
	if !r.apart {
		s.itemDone(i)
	}
	r.at++
	r.open = false
}

// stop cancels the active response.
func (s *Session) stop(reason string) {
	r := s.active
	if r.open {
		s.closeOutput(r, r.outputs[r.at], "incomplete")
	}
	r.outputs, r.said = r.outputs[:r.at], r.said[:r.at]
	s.finish("cancelled", map[string]any{"type": "cancelled", "reason": reason})
}

func (s *Session) finish(status string, details map[string]any) {
	r := s.active
	s.active = nil
	s.next.Stop()
	played := 0
	for _, i := range r.outputs {
		if i.spoken != nil {
			played += len(i.spoken.audio)
		}
	}
	s.ear.idleFrom = s.ear.position + played
	s.send("response.done", map[string]any{"response": s.responseJSON(r, status, details)})
	s.usage.cached = s.inputTokens()
}
