package openai

import (
	"strings"

	"kestrel.ai/server/sandbox/speech"
)

// usage is what has been used: of audio in bytes, of text in tokens.
type usage struct {
	userAudio, ourAudio int
	cached              int // tokens of the last response's input
	failCode            string
}

func (s *Session) inputTokens() int {
	return s.textTokens() + s.audioTokens()
}

// textTokens is what the model reads before it answers.
func (s *Session) textTokens() int {
	n := tokens(s.config.Instructions)
	for _, t := range s.config.Tools {
		n += tokens(t.Name + t.Description + string(t.Parameters))
	}
	for _, i := range s.items {
		n += tokens(i.turn().Text)
	}
	return n
}

// audioTokens: a token is 100 ms of the caller's voice, 50 ms of ours.
func (s *Session) audioTokens() int {
	return s.usage.userAudio/(speech.Rate/10) + s.usage.ourAudio/(speech.Rate/20)
}

func (s *Session) responseJSON(r *response, status string, details map[string]any) map[string]any {
	output := []map[string]any{}
	var outText, outAudio int
	if status != "in_progress" {
		for _, i := range r.outputs {
			output = append(output, i.json())
			outText += tokens(strings.TrimSpace(i.turn().Text))
			if i.spoken != nil {
				outAudio += i.spoken.sent / (speech.Rate / 20)
			}
		}
	}
	m := map[string]any{"id": r.id, "object": "realtime.response", "status": status, "output": output, "output_modalities": r.params.Modalities}
	if details != nil {
		m["status_details"] = details
	}
	if r.params.Metadata != nil {
		m["metadata"] = r.params.Metadata
	}
	if !r.apart {
		m["conversation_id"] = "conv_" + s.tag
	}
	if r.spoken {
		m["audio"] = map[string]any{"output": map[string]any{"format": r.params.Audio.Output.Format, "voice": s.config.Audio.Output.Voice}}
	}
	if status != "in_progress" {
		text, audio := s.textTokens(), s.audioTokens()
		cached := min(s.usage.cached, text)
		m["usage"] = map[string]any{
			"total_tokens": text + audio + outText + outAudio, "input_tokens": text + audio, "output_tokens": outText + outAudio,
			"input_token_details": map[string]any{
				"text_tokens": text, "audio_tokens": audio, "image_tokens": 0, "cached_tokens": cached,
				"cached_tokens_details": map[string]any{"text_tokens": cached, "audio_tokens": 0, "image_tokens": 0},
			},
			"output_token_details": map[string]any{"text_tokens": outText, "audio_tokens": outAudio},
		}
	}
	return m
}
