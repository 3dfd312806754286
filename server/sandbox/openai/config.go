package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"kestrel.ai/server/sandbox/script"
)

// config is what the session's JSON says, as far as the sandbox acts on it.
type config struct {
	Modalities   []string        `json:"output_modalities"`
	Instructions string          `json:"instructions"`
	Tools        []script.Tool   `json:"tools"`
	ToolChoice   json.RawMessage `json:"tool_choice"`
	Audio        struct {
		Input struct {
			Format         format           `json:"format"`
			Transcription  *json.RawMessage `json:"transcription"`
			NoiseReduction *json.RawMessage `json:"noise_reduction"`
			TurnDetection  *turnDetection   `json:"turn_detection"`
		} `json:"input"`
		Output struct {
			Format format  `json:"format"`
			Voice  string  `json:"voice"`
			Speed  float64 `json:"speed"`
		} `json:"output"`
	} `json:"audio"`
}

type format struct {
	Type string `json:"type"`
}

type turnDetection struct {
	Type              string  `json:"type"`
	Threshold         float64 `json:"threshold"`
	PrefixPaddingMS   int     `json:"prefix_padding_ms"`
	SilenceMS         int     `json:"silence_duration_ms"`
	Eagerness         string  `json:"eagerness"`
	CreateResponse    bool    `json:"create_response"`
	InterruptResponse bool    `json:"interrupt_response"`
	IdleTimeoutMS     int     `json:"idle_timeout_ms"`
}

// firstSession is the session before any update.
func firstSession(id, model string, expires time.Time) map[string]any {
	return map[string]any{
		"type": "realtime", "object": "realtime.session", "id": id, "model": model, "expires_at": expires.Unix(),
		"output_modalities": []any{"audio"}, "instructions": "You are a helpful assistant.", "tools": []any{}, "tool_choice": "auto",
		"max_output_tokens": "inf", "truncation": "auto", "tracing": nil,
		"audio": map[string]any{
			"input": map[string]any{
				"format": map[string]any{"type": "audio/pcm", "rate": 24000}, "turn_detection": detectionDefaults("server_vad"),
			},
			"output": map[string]any{"format": map[string]any{"type": "audio/pcm", "rate": 24000}, "voice": "alloy", "speed": 1},
		},
	}
}

func detectionDefaults(kind string) map[string]any {
	d := map[string]any{"type": kind, "create_response": true, "interrupt_response": true}
	if kind == "semantic_vad" {
		d["eagerness"] = "auto"
		return d
	}
	d["threshold"], d["prefix_padding_ms"], d["silence_duration_ms"], d["idle_timeout_ms"] = 0.5, 300, 500, nil
	return d
}

// merge lays change over session: objects field by field, the rest as a whole. What is chosen by its type (a format, turn
// detection) is replaced, with the defaults of its kind.
func merge(session, change map[string]any) {
	for name, value := range change {
		inner, isObject := value.(map[string]any)
		switch old, had := session[name].(map[string]any); {
		case value == nil && (name == "transcription" || name == "noise_reduction"):
			delete(session, name) // as null it would not be in the published schema
		case isObject && name == "turn_detection":
			d := detectionDefaults(fmt.Sprint(inner["type"]))
			maps.Copy(d, inner)
			session[name] = d
		case isObject && had && name != "format" && name != "tool_choice" && name != "truncation":
			merge(old, inner)
		case isObject && (name == "audio" || name == "input" || name == "output"):
			fresh := map[string]any{}
			merge(fresh, inner)
			session[name] = fresh
		default:
			session[name] = value
		}
	}
}

// read gives the parts of the session that the sandbox acts on.
func read(session map[string]any) (config, error) {
	var c config
	raw, err := json.Marshal(session)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(raw, &c)
}

// parse reads JSON so that its numbers stay as they were written.
func parse(raw []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return v, nil
}

// convert decodes a parsed value into a type.
func convert(v, into any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}
