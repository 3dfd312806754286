package openai_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"kestrel.ai/server/sandbox/openai"
	"kestrel.ai/server/sandbox/speech"
)

func TestACallerIsHeardAndAnswered(t *testing.T) {
	t.Parallel()
	c := serve(t, openai.Options{}).open(t, nil)
	heard, done := c.say("hello there")
	if heard != "Hello. How can I help you?" || done.str("response", "status") != "completed" {
		t.Fatalf("heard %q, then %v", heard, done)
	}
	order := []string{
		"input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", "input_audio_buffer.committed", "conversation.item.added",
		"conversation.item.done", "conversation.item.input_audio_transcription.delta", "conversation.item.input_audio_transcription.completed",
		"response.created", "rate_limits.updated", "response.output_item.added", "conversation.item.added", "response.content_part.added",
		"response.output_audio_transcript.delta", "response.output_audio.delta",
	}
	if got := strings.Join(c.kinds()[2:2+len(order)], " "); got != strings.Join(order, " ") {
		t.Errorf("events came as\n%s, want\n%s", got, strings.Join(order, " "))
	}
	var written, told string
	for _, e := range c.seen {
		switch e.str("type") {
		case "conversation.item.input_audio_transcription.completed":
			written = e.str("transcript")
		case "response.output_audio_transcript.delta":
			told += e.str("delta")
		}
	}
	if written != "hello there" || told != heard {
		t.Errorf("transcripts: %q, %q", written, told)
	}
	usage := done["response"].(map[string]any)["usage"].(map[string]any)
	if usage["total_tokens"] != usage["input_tokens"].(float64)+usage["output_tokens"].(float64) || usage["output_tokens"] == 0.0 {
		t.Errorf("usage: %v", usage)
	}
}

var bookTools = []map[string]any{{
	"type": "function", "name": "book_appointment", "description": "Books.", "parameters": map[string]any{
		"type": "object", "required": []string{"starts_at", "name"}, "properties": map[string]any{"starts_at": map[string]any{"type": "string"}, "name": map[string]any{"type": "string"}},
	},
}}

const told = "It is Tuesday, November 24, 2026 at 8:16 PM Eastern Standard Time. The timezone is America/New_York."

func TestABookingByTelephone(t *testing.T) {
	t.Parallel()
	h := serve(t, openai.Options{})
	c := h.open(t, map[string]any{"instructions": told, "tools": bookTools, "tool_choice": "auto"})
	c.send(map[string]any{"type": "response.create", "response": map[string]any{"instructions": "Greet them with exactly these words: Thank you for calling.", "tool_choice": "none"}})
	if heard, _ := c.answer(); heard != "Thank you for calling." {
		t.Errorf("greeted with %q", heard)
	}
	if heard, _ := c.say("book me tomorrow at 3 pm"); heard != "May I have your name, please?" {
		t.Errorf("heard %q", heard)
	}
	c.play(append(speech.Encode("my name is Zora Quill", speech.PerWord), speech.Silence(time.Second)...))
	call := c.until("response.function_call_arguments.done")
	if call.str("name") != "book_appointment" || call.str("arguments") != `{"name":"Zora Quill","starts_at":"2026-11-25T15:00"}` {
		t.Fatalf("%v", call)
	}
	c.until("response.done")
	c.send(map[string]any{"type": "conversation.item.create", "item": map[string]any{"type": "function_call_output", "call_id": call.str("call_id"), "output": `{"say":"Wednesday at 3 PM Eastern Standard Time"}`}})
	c.until("conversation.item.done")
	c.send(map[string]any{"type": "response.create"})
	if heard, _ := c.answer(); !strings.HasPrefix(heard, "You are booked for Wednesday at 3 PM Eastern Standard Time.") {
		t.Errorf("heard %q", heard)
	}
	view := h.Sessions()[0]
	if len(view.Turns) != 7 || view.Turns[2].Text != "May I have your name, please?" || view.Received["session.update"] != 1 || view.ClosedAt != nil || len(view.Errors) != 0 {
		t.Errorf("%+v", view)
	}
}

func TestTheCallerInterrupts(t *testing.T) {
	t.Parallel()
	// One delta of 400 ms, then nothing more unless the test waits for a minute.
	c := serve(t, openai.Options{Pace: time.Minute}).open(t, nil)
	c.send(map[string]any{"type": "response.create", "response": map[string]any{"instructions": "Say exactly: one two three four five six"}})
	delta := c.until("response.output_audio.delta")
	c.play(speech.Encode("stop it now", speech.PerWord))
	done := c.until("response.done")
	if done.str("response", "status") != "cancelled" || done.str("response", "status_details", "reason") != "turn_detected" {
		t.Errorf("%v", done)
	}
	item := delta.str("item_id")
	truncate := func(at int) map[string]any {
		return map[string]any{"type": "conversation.item.truncate", "item_id": item, "content_index": 0, "audio_end_ms": at}
	}
	c.wantError(truncate(0), "integer_below_min_value", "audio_end_ms")
	c.wantError(truncate(401), "invalid_value", "audio_end_ms")
	c.send(truncate(320))
	c.until("conversation.item.truncated")
	c.wantError(truncate(330), "invalid_value", "audio_end_ms")
	c.send(map[string]any{"type": "conversation.item.retrieve", "item_id": item})
	got := c.until("conversation.item.retrieved")["item"].(map[string]any)
	if content := got["content"].([]any)[0].(map[string]any); content["transcript"] != "one" || got["status"] != "incomplete" {
		t.Errorf("of what was said only one word was heard, but it is %v", got)
	}
	c.play(speech.Silence(time.Second))
	c.until("response.created")
}

func TestArgumentsComeOfCancelledCallsToo(t *testing.T) {
	t.Parallel()
	c := serve(t, openai.Options{Pace: time.Minute}).open(t, map[string]any{"instructions": told, "tools": bookTools})
	c.send(map[string]any{"type": "conversation.item.create", "item": map[string]any{"type": "message", "role": "user", "content": []any{map[string]any{"type": "input_text", "text": "This is Zora, book tomorrow at 3 pm"}}}})
	c.send(map[string]any{"type": "response.create"})
	c.until("response.function_call_arguments.delta")
	c.send(map[string]any{"type": "response.cancel"})
	if e := c.until("response.function_call_arguments.done"); !strings.Contains(e.str("arguments"), "Zora") {
		t.Errorf("%v", e)
	}
	if e := c.until("response.done"); e.str("response", "status") != "cancelled" || e.str("response", "status_details", "reason") != "client_cancelled" {
		t.Errorf("%v", e)
	}
}

func TestMistakesAreToldAndSurvived(t *testing.T) {
	t.Parallel()
	c := serve(t, openai.Options{Pace: time.Minute}).open(t, nil)
	update := func(session map[string]any) map[string]any {
		return map[string]any{"type": "session.update", "session": with(session, "type", "realtime")}
	}
	for _, m := range []struct {
		event       map[string]any
		code, param string
	}{
		{map[string]any{"type": "session.upgrade"}, "invalid_value", "type"},
		{map[string]any{"colour": "red"}, "missing_required_parameter", "type"},
		{map[string]any{"type": "session.update"}, "missing_required_parameter", "session"},
		{update(map[string]any{"voice": "marin"}), "unknown_parameter", "session.voice"}, // the beta's shape
		{update(map[string]any{"audio": map[string]any{"input": map[string]any{"turn_detection": map[string]any{"type": "server_vad", "eagerness": "low"}}}}), "unknown_parameter", "session.audio.input.turn_detection.eagerness"},
		{update(map[string]any{"audio": map[string]any{"input": map[string]any{"turn_detection": map[string]any{"type": "server_vad", "threshold": 1.5}}}}), "decimal_above_max_value", "session.audio.input.turn_detection.threshold"},
		{update(map[string]any{"audio": map[string]any{"input": map[string]any{"turn_detection": map[string]any{"type": "server_vad", "idle_timeout_ms": 100}}}}), "integer_below_min_value", "session.audio.input.turn_detection.idle_timeout_ms"},
		{update(map[string]any{"audio": map[string]any{"input": map[string]any{"format": map[string]any{"type": "g711_ulaw"}}}}), "invalid_value", "session.audio.input.format.type"},
		{update(map[string]any{"tool_choice": "perhaps"}), "invalid_value", "session.tool_choice"},
		{update(map[string]any{"tools": []any{map[string]any{"type": "function"}}}), "missing_required_parameter", "session.tools[0].name"},
		{update(map[string]any{"instructions": 7}), "invalid_type", "session.instructions"},
		{update(map[string]any{"model": "gpt-realtime-mini"}), "invalid_value", "session.model"},
		{map[string]any{"type": "input_audio_buffer.append", "audio": "?"}, "invalid_value", "audio"},
		{map[string]any{"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", ""},
		{map[string]any{"type": "conversation.item.delete", "item_id": "item_x"}, "item_delete_invalid_item_id", "item_id"},
		{map[string]any{"type": "conversation.item.retrieve", "item_id": "item_x"}, "item_retrieve_invalid_item_id", "item_id"},
		{map[string]any{"type": "conversation.item.truncate", "item_id": "item_x", "content_index": 0, "audio_end_ms": 20}, "item_truncate_invalid_item_id", "item_id"},
		{map[string]any{"type": "conversation.item.create", "item": map[string]any{"type": "function_call_output", "call_id": "call_x", "output": "{}"}}, "invalid_tool_call_id", "item.call_id"},
		{map[string]any{"type": "conversation.item.create", "previous_item_id": "item_x", "item": map[string]any{"type": "message", "role": "system", "content": []any{}}}, "item_create_invalid_previous_item_id", "previous_item_id"},
		{map[string]any{"type": "conversation.item.create", "item": map[string]any{"type": "message", "role": "assistant", "content": []any{map[string]any{"type": "input_text", "text": "x"}}}}, "invalid_value", "item.content[0].type"},
		{map[string]any{"type": "response.cancel"}, "response_cancel_not_active", ""},
	} {
		c.wantError(m.event, m.code, m.param)
	}
	if err := c.conn.Write(t.Context(), websocket.MessageText, []byte("{")); err != nil {
		t.Fatal(err)
	}
	if e, err := c.next(); err != nil || e.str("error", "code") != "invalid_json" {
		t.Error(e, err)
	}
	c.send(map[string]any{"type": "response.create", "response": map[string]any{"instructions": "Say exactly: one two three four"}})
	c.until("response.output_audio.delta")
	c.wantError(map[string]any{"type": "response.create"}, "conversation_already_has_active_response", "")
	c.wantError(map[string]any{"type": "response.cancel", "response_id": "resp_x"}, "response_cancel_not_active", "")
	c.wantError(update(map[string]any{"audio": map[string]any{"output": map[string]any{"voice": "cedar"}}}), "cannot_update_voice", "session.audio.output.voice")
	c.send(map[string]any{"type": "response.cancel"})
	c.until("response.done")
}

func TestTheConversationCanBeEdited(t *testing.T) {
	t.Parallel()
	c := serve(t, openai.Options{}).open(t, nil)
	message := func(id, role, kind, text string) map[string]any {
		return map[string]any{"id": id, "type": "message", "role": role, "content": []any{map[string]any{"type": kind, "text": text}}}
	}
	c.send(map[string]any{"type": "conversation.item.create", "item": message("a", "user", "input_text", "hello")})
	c.until("conversation.item.done")
	c.send(map[string]any{"type": "conversation.item.create", "previous_item_id": "root", "item": message("b", "assistant", "output_text", "Hello.")})
	if e := c.until("conversation.item.done"); e["previous_item_id"] != nil {
		t.Errorf("%v", e)
	}
	c.wantError(map[string]any{"type": "conversation.item.create", "item": message("a", "user", "input_text", "again")}, "item_create_duplicate_item_id", "item.id")
	c.send(map[string]any{"type": "conversation.item.delete", "item_id": "b"})
	c.until("conversation.item.deleted")
	c.send(map[string]any{"type": "response.create", "response": map[string]any{"output_modalities": []string{"text"}}})
	if e := c.until("response.output_text.done"); e.str("text") != "Hello. How can I help you?" {
		t.Errorf("%v", e)
	}
	c.until("response.done")
}

func TestListeningIsTunable(t *testing.T) {
	t.Parallel()
	h := serve(t, openai.Options{})
	vad := func(d map[string]any, noise any) map[string]any {
		input := map[string]any{"turn_detection": d}
		if noise != nil {
			input["noise_reduction"] = map[string]any{"type": noise}
		}
		return map[string]any{"audio": map[string]any{"input": with(with(input, "format", map[string]any{"type": "audio/pcmu"}), "transcription", map[string]any{"model": "whisper-1"}),
			"output": map[string]any{"format": map[string]any{"type": "audio/pcmu"}}}}
	}
	started := func(change map[string]any, audio []byte) bool {
		t.Helper()
		c := h.open(t, change)
		c.play(audio)
		c.send(map[string]any{"type": "input_audio_buffer.clear"})
		c.until("input_audio_buffer.cleared")
		return strings.Contains(strings.Join(c.kinds(), " "), "speech_started")
	}
	noise := speech.Noise(time.Second, 0.06)
	for name, c := range map[string]struct {
		change map[string]any
		audio  []byte
		want   bool
	}{
		"words":                           {vad(map[string]any{"type": "server_vad"}, nil), speech.Encode("hi", speech.PerWord), true},
		"silence":                         {vad(map[string]any{"type": "server_vad"}, nil), speech.Silence(time.Second), false},
		"a click":                         {vad(map[string]any{"type": "server_vad"}, nil), speech.Noise(40*time.Millisecond, 0.5), false},
		"noise counts as speech":          {vad(map[string]any{"type": "server_vad"}, nil), noise, true},
		"but not over a higher threshold": {vad(map[string]any{"type": "server_vad", "threshold": 0.8}, nil), noise, false},
		"nor with noise reduction":        {vad(map[string]any{"type": "server_vad"}, "near_field"), noise, false},
		"which lets words through":        {vad(map[string]any{"type": "server_vad", "threshold": 0.8}, "near_field"), speech.Encode("hi", speech.PerWord), true},
		"semantic":                        {vad(map[string]any{"type": "semantic_vad", "eagerness": "high"}, nil), speech.Encode("hi", speech.PerWord), true},
		"none":                            {vad(nil, nil), speech.Encode("hi", speech.PerWord), false},
	} {
		if started(c.change, c.audio) != c.want {
			t.Errorf("%s: speech is noticed, or not, against what is wanted", name)
		}
	}
	// Without create_response the client asks; without interrupt_response it stops what is said.
	c := h.open(t, vad(map[string]any{"type": "server_vad", "create_response": false, "interrupt_response": false, "silence_duration_ms": 200, "prefix_padding_ms": 100}, nil))
	c.play(append(speech.Silence(time.Second), append(speech.Encode("hello", speech.PerWord), speech.Silence(300*time.Millisecond)...)...))
	if e := c.until("input_audio_buffer.speech_started"); e["audio_start_ms"] != 900.0 {
		t.Errorf("%v", e)
	}
	if e := c.until("input_audio_buffer.speech_stopped"); e["audio_end_ms"] != 1480.0 { // 1 s, 280 ms of frames that sound, 200 ms
		t.Errorf("%v", e)
	}
	c.until("conversation.item.input_audio_transcription.completed")
	c.send(map[string]any{"type": "response.create"})
	if heard, _ := c.answer(); heard != "Hello. How can I help you?" {
		t.Errorf("heard %q", heard)
	}
}

// TestTheClientCommits: without turn detection it is the client who says when the caller has finished.
func TestTheClientCommits(t *testing.T) {
	t.Parallel()
	c := serve(t, openai.Options{}).open(t, map[string]any{"audio": map[string]any{
		"input":  map[string]any{"format": map[string]any{"type": "audio/pcmu"}, "turn_detection": nil, "transcription": map[string]any{"model": "whisper-1"}},
		"output": map[string]any{"format": map[string]any{"type": "audio/pcmu"}},
	}})
	c.play(speech.Encode("hello", speech.PerWord))
	c.send(map[string]any{"type": "input_audio_buffer.commit"})
	c.until("input_audio_buffer.committed")
	c.until("conversation.item.input_audio_transcription.completed")
	c.send(map[string]any{"type": "response.create"})
	if heard, _ := c.answer(); heard != "Hello. How can I help you?" {
		t.Errorf("heard %q", heard)
	}
}

func TestSilenceOfTheCallerIsNoticed(t *testing.T) {
	t.Parallel()
	c := serve(t, openai.Options{}).open(t, map[string]any{"audio": map[string]any{
		"input":  map[string]any{"format": map[string]any{"type": "audio/pcmu"}, "turn_detection": map[string]any{"type": "server_vad", "idle_timeout_ms": 5000}},
		"output": map[string]any{"format": map[string]any{"type": "audio/pcmu"}},
	}})
	c.say("hello")
	c.play(speech.Silence(8 * time.Second))
	c.until("input_audio_buffer.timeout_triggered")
	c.until("response.done")
}

func TestSpeechWithoutAModelsEars(t *testing.T) {
	t.Parallel()
	h := serve(t, openai.Options{})
	c := h.dial(t, "gpt-realtime-2.1")
	c.until("session.created")
	c.wantError(map[string]any{"type": "input_audio_buffer.append", "audio": base64.StdEncoding.EncodeToString(speech.Silence(time.Second))}, "unsupported_by_sandbox", "session.audio.input.format")
	c.send(map[string]any{"type": "response.create"})
	if e := c.until("response.done"); e.str("response", "status") != "failed" {
		t.Errorf("%v", e)
	}
}

func TestWhoMayConnect(t *testing.T) {
	t.Parallel()
	h := serve(t, openai.Options{})
	for name, c := range map[string]struct {
		query  string
		header http.Header
		status int
	}{
		"no key":    {"?model=gpt-realtime-2.1", nil, 401},
		"wrong key": {"?model=gpt-realtime-2.1", http.Header{"Authorization": {"Bearer sk-wrong"}}, 401},
		"no model":  {"", http.Header{"Authorization": {"Bearer " + key}}, 400},
	} {
		conn, resp, err := websocket.Dial(t.Context(), h.url+"/v1/realtime"+c.query, &websocket.DialOptions{HTTPHeader: c.header})
		if err == nil {
			conn.CloseNow()
		}
		if err == nil || resp.StatusCode != c.status {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct{ model, beta, code string }{
		"unknown model": {"whisper-9", "", "model_not_found"},
		"beta shape":    {"gpt-realtime-2.1", "realtime=v1", "beta_api_shape_disabled"},
	} {
		header := http.Header{"Authorization": {"Bearer " + key}}
		if c.beta != "" {
			header.Set("OpenAI-Beta", c.beta)
		}
		conn, _, err := websocket.Dial(t.Context(), h.url+"/v1/realtime?model="+c.model, &websocket.DialOptions{HTTPHeader: header})
		if err != nil {
			t.Fatal(err)
		}
		cl := &client{t: t, conn: conn}
		if e, err := cl.next(); err != nil || e.str("error", "code") != c.code {
			t.Errorf("%s: %v %v", name, e, err)
		}
		if _, err := cl.next(); websocket.CloseStatus(err) != 4000 {
			t.Errorf("%s: %v", name, err)
		}
		conn.CloseNow()
	}
}
