package openai

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"kestrel.ai/server/sandbox/speech"
)

const (
	frame = 160 // bytes of audio that are judged at a time: 20 ms
	// onset is how much sound in a row is speech, in frames: a click is none.
	onset = 3
)

// ear is the caller's audio as it comes: what is in the buffer, and who speaks.
type ear struct {
	rest     []byte // less than a frame
	position int    // bytes since the session began
	buffered int    // bytes since the last commit
	decoder  speech.Decoder
	words    []string
	loud     int    // frames of sound in a row, while nobody speaks
	quiet    int    // frames without, while somebody does
	item     string // that the speech will be; empty: nobody speaks
	idleFrom int    // byte after which silence counts towards the idle time-out; -1: it does not
}

func ms(bytes int) string { return strconv.FormatInt(speech.Duration(bytes).Milliseconds(), 10) }

func millis(bytes int) int64 { return speech.Duration(bytes).Milliseconds() }

func (s *Session) appendAudio(encoded string) *problem {
	if s.config.Audio.Input.Format.Type != "audio/pcmu" {
		return &problem{"unsupported_by_sandbox", "The sandbox hears audio/pcmu only; the session's input format is " + s.config.Audio.Input.Format.Type + ".", "session.audio.input.format"}
	}
	if len(encoded) > 15<<20 {
		return &problem{"invalid_value", "Invalid 'audio': more than 15 MiB.", "audio"}
	}
	audio, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return &problem{"invalid_value", "Invalid 'audio': not base64.", "audio"}
	}
	e := &s.ear
	e.rest = append(e.rest, audio...)
	at := 0
	for ; len(e.rest)-at >= frame; at += frame {
		s.hear(e.rest[at : at+frame])
	}
	e.rest = append(e.rest[:0], e.rest[at:]...)
	return nil
}

// hear takes one frame.
func (s *Session) hear(f []byte) {
	e := &s.ear
	e.position += len(f)
	e.buffered += len(f)
	e.words = append(e.words, e.decoder.Write(f)...)
	d := s.config.Audio.Input.TurnDetection
	if d == nil {
		return
	}
	sound := s.soundsLikeSpeech(f, d)
	switch {
	case e.item == "" && sound:
		if e.loud++; e.loud == onset {
			s.speechStarted(d)
		}
	case e.item == "":
		e.loud = 0
		s.idle(d)
	case sound:
		e.quiet = 0
	default:
		if e.quiet++; e.quiet*frame >= speech.Bytes(s.patience(d)) {
			s.speechStopped(d)
		}
	}
}

// soundsLikeSpeech holds the frame's level to the threshold: 1 is certain from a level of 0.1 on. Noise reduction takes a third off.
func (s *Session) soundsLikeSpeech(f []byte, d *turnDetection) bool {
	likely := speech.Level(f) / 0.1
	if s.config.Audio.Input.NoiseReduction != nil {
		likely *= 2.0 / 3
	}
	threshold := d.Threshold
	if d.Type != "server_vad" {
		threshold = 0.5
	}
	return min(likely, 1) >= max(threshold, 0.02)
}

// patience is how much silence ends a turn.
func (s *Session) patience(d *turnDetection) time.Duration {
	if d.Type == "server_vad" {
		return time.Duration(d.SilenceMS) * time.Millisecond
	}
	wait := map[string]time.Duration{"low": 1200, "high": 300}[d.Eagerness] * time.Millisecond
	if wait == 0 {
		wait = 600 * time.Millisecond
	}
	if s.unfinished() {
		wait *= 2
	}
	return wait
}

// unfinished says whether the words so far sound as if more were to come.
func (s *Session) unfinished() bool {
	if len(s.ear.words) == 0 {
		return false
	}
	switch strings.ToLower(strings.Trim(s.ear.words[len(s.ear.words)-1], ",")) {
	case "and", "or", "but", "um", "uh", "is", "at", "on", "the", "my", "to", "for":
		return true
	}
	return strings.HasSuffix(s.ear.words[len(s.ear.words)-1], ",")
}

func (s *Session) speechStarted(d *turnDetection) {
	e := &s.ear
	e.item, e.quiet = s.nextID("item"), 0
	start := max(0, e.position-onset*frame-speech.Bytes(time.Duration(d.PrefixPaddingMS)*time.Millisecond))
	s.send("input_audio_buffer.speech_started", map[string]any{"audio_start_ms": millis(start), "item_id": e.item})
	if d.InterruptResponse && s.active != nil {
		s.stop("turn_detected")
	}
}

func (s *Session) speechStopped(d *turnDetection) {
	id := s.ear.item
	s.send("input_audio_buffer.speech_stopped", map[string]any{"audio_end_ms": millis(s.ear.position), "item_id": id})
	s.take(id)
	if d.CreateResponse {
		s.respond(responseParams{})
	}
}

// idle makes a turn of the caller's silence once it has lasted idle_timeout_ms after what we said.
func (s *Session) idle(d *turnDetection) {
	e := &s.ear
	if d.IdleTimeoutMS == 0 || e.idleFrom < 0 || s.active != nil {
		return
	}
	if e.position-e.idleFrom < speech.Bytes(time.Duration(d.IdleTimeoutMS)*time.Millisecond) {
		return
	}
	id := s.nextID("item")
	s.send("input_audio_buffer.timeout_triggered", map[string]any{"audio_start_ms": millis(e.idleFrom), "audio_end_ms": millis(e.position), "item_id": id})
	e.idleFrom = -1
	s.take(id)
	s.respond(responseParams{})
}

func (s *Session) commit() *problem {
	if held := s.ear.buffered + len(s.ear.rest); held < speech.Bytes(100*time.Millisecond) {
		return &problem{"input_audio_buffer_commit_empty", "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer only has " + ms(held) + ".00ms of audio.", ""}
	}
	s.take(s.nextID("item"))
	return nil
}

func (s *Session) clear() {
	s.ear.buffered, s.ear.words, s.ear.item, s.ear.loud, s.ear.rest = 0, nil, "", 0, nil
	s.send("input_audio_buffer.cleared", nil)
}

// take makes an item of what is in the buffer.
func (s *Session) take(id string) {
	e := &s.ear
	heard := strings.Join(e.words, " ")
	s.usage.userAudio += e.buffered
	seconds := speech.Duration(e.buffered).Seconds()
	e.buffered, e.words, e.item, e.loud, e.idleFrom = 0, nil, "", 0, -1
	i := &item{ID: id, Type: "message", Role: "user", Status: "completed", Parts: []part{{Type: "input_audio"}}}
	var previous any
	if n := len(s.items); n > 0 {
		previous = s.items[n-1].ID
	}
	s.send("input_audio_buffer.committed", map[string]any{"previous_item_id": previous, "item_id": id})
	s.add(i, nil)
	s.itemDone(i)
	s.mu.Lock()
	i.Parts[0].Transcript = heard
	s.mu.Unlock()
	if s.config.Audio.Input.Transcription == nil {
		return
	}
	at := map[string]any{"item_id": id, "content_index": 0}
	if heard != "" {
		s.send("conversation.item.input_audio_transcription.delta", with(at, "delta", heard))
	}
	in, out := int(seconds*10), tokens(heard)
	s.send("conversation.item.input_audio_transcription.completed", with(with(at, "transcript", heard), "usage", map[string]any{
		"type": "tokens", "input_tokens": in, "input_token_details": map[string]any{"text_tokens": 0, "audio_tokens": in},
		"output_tokens": out, "total_tokens": in + out,
	}))
}

// with is m with one more entry.
func with(m map[string]any, key string, value any) map[string]any {
	out := map[string]any{key: value}
	for k, v := range m {
		out[k] = v
	}
	return out
}

// tokens is about how many tokens a text has.
func tokens(text string) int { return (len(text) + 3) / 4 }
