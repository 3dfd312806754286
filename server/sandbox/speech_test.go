package sandbox_test

import (
	"strings"

	"kestrel.ai/server/sandbox/speech"
)

func speak(text string) []byte { return speech.Encode(text, speech.PerWord) }

// ear collects the words of audio.
type ear struct {
	decoder speech.Decoder
	text    string
}

func (e *ear) hear(audio []byte) {
	e.text = strings.TrimSpace(e.text + " " + strings.Join(e.decoder.Write(audio), " "))
}
