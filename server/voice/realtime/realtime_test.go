package realtime_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/voice"
	"kestrel.ai/server/voice/realtime"
	"kestrel.ai/server/voice/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// published are the vendor's schemas: a message is held to the one of its side and type.
type published struct {
	t       *testing.T
	schemas map[string]*jsonschema.Schema
}

func readPublished(t *testing.T) published {
	t.Helper()
	raw, err := os.ReadFile("../../sandbox/openai/testdata/realtime.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("realtime.json", doc); err != nil {
		t.Fatal(err)
	}
	p := published{t: t, schemas: map[string]*jsonschema.Schema{}}
	definitions := doc.(map[string]any)["$defs"].(map[string]any)
	for _, side := range []string{"Client", "Server"} {
		for _, one := range definitions[side].(map[string]any)["anyOf"].([]any) {
			ref := one.(map[string]any)["$ref"].(string)
			event := definitions[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)["properties"].(map[string]any)["type"].(map[string]any)["const"].(string)
			if p.schemas[side+" "+event], err = compiler.Compile("realtime.json" + ref); err != nil {
				t.Fatal(err)
			}
		}
	}
	return p
}

func (p published) hold(side string, message []byte) {
	p.t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(message))
	if err != nil {
		p.t.Fatalf("%s: no JSON: %s", side, message)
	}
	kind, _ := value.(map[string]any)["type"].(string)
	schema := p.schemas[side+" "+kind]
	if schema == nil {
		p.t.Errorf("%s event %q is not published", side, kind)
		return
	}
	if err := schema.Validate(value); err != nil {
		p.t.Errorf("%s: %v\n%s", side, err, message)
	}
}

// vendor is the other end of the client's socket.
type vendor struct {
	conn   *wire.Conn
	header map[string]string
	path   string
}

func connect(t *testing.T, s voice.Session, answers ...string) (voice.Conversation, *vendor, []byte, error) {
	t.Helper()
	v := &vendor{header: map[string]string{}}
	update := make(chan []byte, 1)
	client, err := realtime.New(realtime.Config{
		APIKey: "sk-test", BaseURL: "http://vendor/v1", Model: "gpt-realtime-2.1", Voice: "marin", Transcription: "gpt-4o-mini-transcribe",
		Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				upgrade := ws.Upgrader{
					OnRequest: func(uri []byte) error { v.path = string(uri); return nil },
					OnHeader:  func(key, value []byte) error { v.header[string(key)] = string(value); return nil },
				}
				if _, err := upgrade.Upgrade(struct {
					io.Reader
					io.Writer
				}{bufio.NewReader(theirs), theirs}); err != nil {
					t.Error(err)
				}
				v.conn = wire.Server(theirs)
				raw, err := v.conn.Read()
				if err != nil {
					t.Error(err)
				}
				update <- bytes.Clone(raw)
				for _, a := range answers {
					_ = v.conn.Write([]byte(a))
				}
			}()
			return ours, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	conv, err := client.Dial(t.Context(), s)
	return conv, v, <-update, err
}

const ready = `{"type":"session.updated","event_id":"e","session":{"type":"realtime"}}`

// TestClientEvents: all that is sent is what the vendor publishes.
func TestClientEvents(t *testing.T) {
	t.Parallel()
	p := readPublished(t)
	settings := agent.Defaults("hvac", "HAIEC")
	profile := &agent.Profile{CompanyName: "HAIEC", Timezone: "America/New_York", Settings: settings}
	semantic := settings.VAD
	semantic.Type, semantic.Eagerness, semantic.NoiseReduction = "semantic_vad", "low", "off"
	for _, vad := range []agent.VAD{settings.VAD, semantic, {}} {
		conv, v, update, err := connect(t, voice.Session{
			Instructions: "You are a receptionist.", Languages: []string{"en"}, Tools: profile.Tools(agent.Call{Channel: agent.ChannelCall}), VAD: vad,
		}, `{"type":"session.created","event_id":"e","session":{"type":"realtime"}}`, ready)
		if err != nil {
			t.Fatal(err)
		}
		p.hold("Client", update)
		for _, part := range []string{`"type":"audio/pcmu"`, `"voice":"marin"`, `"create_response":false`, `"interrupt_response":false`} {
			if !bytes.Contains(update, []byte(part)) {
				t.Errorf("no %s in %s", part, update)
			}
		}
		if v.path != "/v1/realtime?model=gpt-realtime-2.1" || v.header["Authorization"] != "Bearer sk-test" || v.header["Openai-Beta"] != "" {
			t.Errorf("%s %v", v.path, v.header)
		}
		for _, send := range []func() error{
			func() error { return conv.Append([]byte("AAECAwQF")) },
			func() error { return conv.Respond(voice.Reply{}) },
			func() error { return conv.Respond(voice.Reply{Instructions: "Say \"hello\".", NoTools: true}) },
			func() error { return conv.Cancel("resp_1") },
			func() error { return conv.Cancel("") },
			func() error { return conv.Truncate("item_1", 1234*time.Millisecond) },
			func() error { return conv.Note(voice.Caller, "Hello") },
			func() error { return conv.Note(voice.Agent, "Hello") },
			func() error { return conv.Note(voice.System, "Hello") },
			func() error { return conv.ToolResult("call_1", `{"ok":true}`) },
		} {
			sent := make(chan error, 1)
			go func() { sent <- send() }()
			message, err := v.conn.Read()
			if err := errors.Join(err, <-sent); err != nil {
				t.Fatal(err)
			}
			p.hold("Client", message)
		}
		go func() { _, _ = v.conn.Read(); _ = v.conn.Close() }()
		_ = conv.Close()
	}
}

// TestServerEvents: the vendor's published events, read.
func TestServerEvents(t *testing.T) {
	t.Parallel()
	p := readPublished(t)
	cases := []struct {
		message string
		want    voice.ModelEvent
	}{
		{`{"type":"response.created","event_id":"e","response":{"id":"resp_1","object":"realtime.response","status":"in_progress"}}`,
			voice.ModelEvent{Kind: voice.ResponseBegan, ResponseID: "resp_1"}},
		{`{"type":"response.output_audio.delta","event_id":"e","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"delta":"AAECAwQF"}`,
			voice.ModelEvent{Kind: voice.ModelAudio, ResponseID: "resp_1", ItemID: "item_1", Audio: []byte("AAECAwQF")}},
		{`{"type": "response.output_audio.delta", "event_id": "e", "response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0, "delta": "AAECAwQF"}`,
			voice.ModelEvent{Kind: voice.ModelAudio, ResponseID: "resp_1", ItemID: "item_1", Audio: []byte("AAECAwQF")}},
		{`{"type":"response.output_audio.done","event_id":"e","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0}`,
			voice.ModelEvent{Kind: voice.AudioEnded, ResponseID: "resp_1", ItemID: "item_1"}},
		{`{"type":"response.output_audio_transcript.done","event_id":"e","response_id":"resp_1","item_id":"item_1","output_index":0,"content_index":0,"transcript":"Olá."}`,
			voice.ModelEvent{Kind: voice.AgentSaid, ResponseID: "resp_1", ItemID: "item_1", Text: "Olá."}},
		{`{"type":"response.function_call_arguments.done","event_id":"e","response_id":"resp_1","item_id":"item_1","output_index":0,"call_id":"call_1","name":"book","arguments":"{\"a\":1}"}`,
			voice.ModelEvent{Kind: voice.ToolCalled, ResponseID: "resp_1", ItemID: "item_1", Tool: voice.ToolCall{ID: "call_1", Name: "book", Arguments: `{"a":1}`}}},
		{`{"type":"response.done","event_id":"e","response":{"id":"resp_1","object":"realtime.response","status":"completed","usage":{"total_tokens":60,"input_tokens":40,"output_tokens":20,"input_token_details":{"cached_tokens":9,"text_tokens":15,"audio_tokens":25,"cached_tokens_details":{"text_tokens":4,"audio_tokens":5}},"output_token_details":{"text_tokens":8,"audio_tokens":12}}}}`,
			voice.ModelEvent{Kind: voice.ResponseEnded, ResponseID: "resp_1", Status: "completed", Usage: voice.Usage{InputText: 15, InputAudio: 25, CachedText: 4, CachedAudio: 5, OutputText: 8, OutputAudio: 12}}},
		{`{"type":"response.done","event_id":"e","response":{"id":"resp_1","status":"failed","status_details":{"type":"failed","error":{"type":"server_error","code":"rate_limit_exceeded"}}}}`,
			voice.ModelEvent{Kind: voice.ResponseEnded, ResponseID: "resp_1", Status: "failed", Code: "rate_limit_exceeded"}},
		{`{"type":"response.done","event_id":"e","response":{"id":"resp_1","status":"cancelled","status_details":{"type":"cancelled","reason":"client_cancelled"}}}`,
			voice.ModelEvent{Kind: voice.ResponseEnded, ResponseID: "resp_1", Status: "cancelled", Code: "client_cancelled"}},
		{`{"type":"input_audio_buffer.speech_started","event_id":"e","audio_start_ms":1200,"item_id":"item_2"}`,
			voice.ModelEvent{Kind: voice.SpeechStarted, ItemID: "item_2", At: 1200 * time.Millisecond}},
		{`{"type":"input_audio_buffer.speech_stopped","event_id":"e","audio_end_ms":2200,"item_id":"item_2"}`,
			voice.ModelEvent{Kind: voice.SpeechStopped, ItemID: "item_2", At: 2200 * time.Millisecond}},
		{`{"type":"conversation.item.input_audio_transcription.completed","event_id":"e","item_id":"item_2","content_index":0,"transcript":"Hi","usage":{"type":"tokens","total_tokens":7,"input_tokens":5,"output_tokens":2}}`,
			voice.ModelEvent{Kind: voice.CallerSaid, ItemID: "item_2", Text: "Hi", Usage: voice.Usage{Transcribing: 7}}},
		{`{"type":"conversation.item.input_audio_transcription.failed","event_id":"e","item_id":"item_2","content_index":0,"error":{"type":"transcription_error","code":"audio_unintelligible","message":"…"}}`,
			voice.ModelEvent{Kind: voice.CallerSaid, ItemID: "item_2", Code: "audio_unintelligible"}},
		{`{"type":"error","event_id":"e","error":{"type":"invalid_request_error","code":null,"message":"No."}}`,
			voice.ModelEvent{Kind: voice.Rejected, Message: "No."}},
		{`{"type":"error","event_id":"e","error":{"type":"invalid_request_error","code":"response_cancel_not_active","message":"No."}}`,
			voice.ModelEvent{Kind: voice.Rejected, Code: voice.CodeCancelNotActive, Message: "No."}},
	}
	conv, v, _, err := connect(t, voice.Session{}, ready)
	if err != nil {
		t.Fatal(err)
	}
	heard, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- conv.Listen(func(e *voice.ModelEvent) { heard <- dump(t, *e) }) }()
	for _, c := range cases {
		p.hold("Server", []byte(c.message))
		go func() {
			_ = v.conn.Write([]byte(`{"type":"rate_limits.updated","event_id":"e","rate_limits":[]}`)) // not passed on
			_ = v.conn.Write([]byte(c.message))
		}()
		if a, b := <-heard, dump(t, c.want); a != b {
			t.Errorf("%s\n got %s\nwant %s", c.message, a, b)
		}
	}
	go func() { _, _ = v.conn.Read() }()
	_ = v.conn.Close()
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	_ = conv.Close()
}

func dump(t *testing.T, e voice.ModelEvent) string {
	t.Helper()
	raw, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestDialFails(t *testing.T) {
	t.Parallel()
	_, _, _, err := connect(t, voice.Session{}, `{"type":"error","error":{"type":"invalid_request_error","code":"model_not_found","message":"No such model."}}`)
	if err == nil || !strings.Contains(err.Error(), "model_not_found") {
		t.Error(err)
	}
	keyless, err := realtime.New(realtime.Config{Model: "m", Transcription: "t"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyless.Dial(t.Context(), voice.Session{}); !errors.Is(err, voice.ErrModelAbsent) {
		t.Error(err)
	}
	if _, err := realtime.New(realtime.Config{}); err == nil {
		t.Error("a model that is not named")
	}
}
