package realtime

import (
	"encoding/json"
	"fmt"
	"time"

	"kestrel.ai/server/voice"
	"kestrel.ai/server/voice/wire"
)

// serverEvent is what the bridge reads of the vendor's events, all in one shape.
type serverEvent struct {
	Type         string   `json:"type"`
	ResponseID   string   `json:"response_id"`
	ItemID       string   `json:"item_id"`
	Delta        string   `json:"delta"`
	Transcript   string   `json:"transcript"`
	CallID       string   `json:"call_id"`
	Name         string   `json:"name"`
	Arguments    string   `json:"arguments"`
	AudioStartMS int64    `json:"audio_start_ms"`
	AudioEndMS   int64    `json:"audio_end_ms"`
	Response     response `json:"response"`
	Error        apiError `json:"error"`
	Usage        struct {
		TotalTokens int `json:"total_tokens"`
	} `json:"usage"`
}

type apiError struct {
	Type    string `json:"type"`
	Code    string `json:"code"` // null in the vendor's JSON leaves it empty
	Message string `json:"message"`
}

type response struct {
	ID            string `json:"id"`
	Status        string `json:"status"`
	StatusDetails struct {
		Reason string   `json:"reason"`
		Error  apiError `json:"error"`
	} `json:"status_details"`
	Usage struct {
		Input struct {
			Text   int `json:"text_tokens"`
			Audio  int `json:"audio_tokens"`
			Cached struct {
				Text  int `json:"text_tokens"`
				Audio int `json:"audio_tokens"`
			} `json:"cached_tokens_details"`
		} `json:"input_token_details"`
		Output struct {
			Text  int `json:"text_tokens"`
			Audio int `json:"audio_tokens"`
		} `json:"output_token_details"`
	} `json:"usage"`
}

func (s *serverEvent) decode(message []byte) error {
	if err := json.Unmarshal(message, s); err != nil {
		return fmt.Errorf("realtime: unreadable event: %w", err)
	}
	return nil
}

// fill makes a bridge's event of the vendor's; false where the bridge does not care.
func (s *serverEvent) fill(e *voice.ModelEvent) bool {
	*e = voice.ModelEvent{ResponseID: s.ResponseID, ItemID: s.ItemID}
	switch s.Type {
	case "response.created":
		e.Kind, e.ResponseID = voice.ResponseBegan, s.Response.ID
	case "response.output_audio.delta":
		if !wire.Base64([]byte(s.Delta)) {
			*e = voice.ModelEvent{Kind: voice.Rejected, Code: "unreadable", Message: "audio is not base64"}
			return true
		}
		e.Kind, e.Audio = voice.ModelAudio, []byte(s.Delta)
	case "response.output_audio.done":
		e.Kind = voice.AudioEnded
	case "response.output_audio_transcript.done":
		e.Kind, e.Text = voice.AgentSaid, s.Transcript
	case "response.function_call_arguments.done":
		e.Kind, e.Tool = voice.ToolCalled, voice.ToolCall{ID: s.CallID, Name: s.Name, Arguments: s.Arguments}
	case "response.done":
		s.ended(e)
	case "input_audio_buffer.speech_started":
		e.Kind, e.At = voice.SpeechStarted, time.Duration(s.AudioStartMS)*time.Millisecond
	case "input_audio_buffer.speech_stopped":
		e.Kind, e.At = voice.SpeechStopped, time.Duration(s.AudioEndMS)*time.Millisecond
	case "conversation.item.input_audio_transcription.completed":
		e.Kind, e.Text, e.Usage.Transcribing = voice.CallerSaid, s.Transcript, s.Usage.TotalTokens
	case "conversation.item.input_audio_transcription.failed":
		e.Kind, e.Code = voice.CallerSaid, s.Error.Code
	case "error":
		e.Kind, e.Code, e.Message = voice.Rejected, s.Error.Code, s.Error.Message
	default:
		return false
	}
	return true
}

func (s *serverEvent) ended(e *voice.ModelEvent) {
	r := s.Response
	e.Kind, e.ResponseID, e.Status = voice.ResponseEnded, r.ID, r.Status
	e.Code, e.Message = r.StatusDetails.Error.Code, r.StatusDetails.Error.Message
	if e.Code == "" {
		e.Code = r.StatusDetails.Reason
	}
	in, out := r.Usage.Input, r.Usage.Output
	e.Usage = voice.Usage{
		InputText: in.Text, InputAudio: in.Audio, CachedText: in.Cached.Text, CachedAudio: in.Cached.Audio,
		OutputText: out.Text, OutputAudio: out.Audio,
	}
}
