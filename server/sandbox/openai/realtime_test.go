package openai_test

import (
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
	if heard == "" || done.str("response", "status") != "completed" {
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
	for _, e := range c.seen {
		if e.str("type") == "conversation.item.input_audio_transcription.completed" && e.str("transcript") != "hello there" {
			t.Errorf("transcript: %v", e)
		}
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	h := serve(t, openai.Options{SessionLife: 50 * time.Millisecond})
	c := h.dial(t, "gpt-realtime-2.1")
	c.until("session.created")
	e, err := c.next()
	if err != nil || e.str("error", "code") != "session_expired" {
		t.Fatal(e, err)
	}
	if _, err := c.next(); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Error(err)
	}
	_ = speech.Rate
}
