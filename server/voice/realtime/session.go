package realtime

import (
	"encoding/json"

	"kestrel.ai/server/agent"
	"kestrel.ai/server/voice"
)

// The client events' JSON. Field names and values are the published schema's; tests hold what is sent against it.

type sessionUpdate struct {
	Type    string  `json:"type"`
	Session session `json:"session"`
}

type session struct {
	Type             string   `json:"type"`
	OutputModalities []string `json:"output_modalities"`
	Instructions     string   `json:"instructions,omitempty"`
	Audio            audio    `json:"audio"`
	Tools            []tool   `json:"tools"`
	ToolChoice       string   `json:"tool_choice"`
	Truncation       string   `json:"truncation"`
}

type audio struct {
	Input  audioInput  `json:"input"`
	Output audioOutput `json:"output"`
}

type audioInput struct {
	Format         format          `json:"format"`
	Transcription  transcription   `json:"transcription"`
	NoiseReduction *noiseReduction `json:"noise_reduction"`
	TurnDetection  turnDetection   `json:"turn_detection"`
}

type audioOutput struct {
	Format format `json:"format"`
	Voice  string `json:"voice,omitempty"`
}

type format struct {
	Type string `json:"type"`
}

type noiseReduction struct {
	Type string `json:"type"`
}

type transcription struct {
	Model    string `json:"model"`
	Language string `json:"language,omitempty"`
}

// turnDetection leaves responses to the bridge: with create_response and interrupt_response false the vendor only says
// when the caller speaks, so there is one place that decides when the agent does.
type turnDetection struct {
	Type              string   `json:"type"`
	Threshold         *float64 `json:"threshold,omitempty"`
	PrefixPaddingMS   *int     `json:"prefix_padding_ms,omitempty"`
	SilenceMS         *int     `json:"silence_duration_ms,omitempty"`
	Eagerness         string   `json:"eagerness,omitempty"`
	CreateResponse    bool     `json:"create_response"`
	InterruptResponse bool     `json:"interrupt_response"`
}

type tool struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
}

func (c *Client) update(s voice.Session) sessionUpdate {
	ulaw := format{Type: "audio/pcmu"}
	speaker := s.Voice
	if speaker == "" {
		speaker = c.cfg.Voice
	}
	words := transcription{Model: c.cfg.Transcription}
	if len(s.Languages) == 1 {
		words.Language = s.Languages[0]
	}
	tools := make([]tool, 0, len(s.Tools))
	for _, t := range s.Tools {
		tools = append(tools, tool{Type: "function", Name: t.Name, Description: t.Description, Parameters: t.Parameters})
	}
	return sessionUpdate{Type: "session.update", Session: session{
		Type: "realtime", OutputModalities: []string{"audio"}, Instructions: s.Instructions,
		Audio: audio{
			Input:  audioInput{Format: ulaw, Transcription: words, NoiseReduction: noise(s.VAD), TurnDetection: detection(s.VAD)},
			Output: audioOutput{Format: ulaw, Voice: speaker},
		},
		Tools: tools, ToolChoice: "auto", Truncation: "auto",
	}}
}

// noise is on unless a tenant turns it off: it keeps noise from counting as speech.
func noise(v agent.VAD) *noiseReduction {
	switch v.NoiseReduction {
	case "off":
		return nil
	case "":
		return &noiseReduction{Type: "near_field"}
	}
	return &noiseReduction{Type: v.NoiseReduction}
}

func detection(v agent.VAD) turnDetection {
	if v.Type == "semantic_vad" {
		return turnDetection{Type: v.Type, Eagerness: v.Eagerness}
	}
	d := turnDetection{Type: "server_vad"}
	if v.Threshold > 0 {
		d.Threshold = &v.Threshold
	}
	if v.PrefixPaddingMS > 0 {
		d.PrefixPaddingMS = &v.PrefixPaddingMS
	}
	if v.SilenceMS > 0 {
		d.SilenceMS = &v.SilenceMS
	}
	return d
}

type responseCreate struct {
	Type     string          `json:"type"`
	Response *responseParams `json:"response,omitempty"`
}

type responseParams struct {
	Instructions string `json:"instructions,omitempty"`
	ToolChoice   string `json:"tool_choice,omitempty"`
}

type responseCancel struct {
	Type       string `json:"type"`
	ResponseID string `json:"response_id,omitempty"`
}

type itemTruncate struct {
	Type         string `json:"type"`
	ItemID       string `json:"item_id"`
	ContentIndex int    `json:"content_index"`
	AudioEndMS   int64  `json:"audio_end_ms"`
}

type itemCreate struct {
	Type string `json:"type"`
	Item any    `json:"item"`
}

type messageItem struct {
	Type    string        `json:"type"`
	Role    string        `json:"role"`
	Content []contentPart `json:"content"`
}

type contentPart struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type toolOutputItem struct {
	Type   string `json:"type"`
	CallID string `json:"call_id"`
	Output string `json:"output"`
}
