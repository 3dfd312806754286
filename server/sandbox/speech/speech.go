// Package speech puts words into telephone audio, and finds them again, for the sandbox's callers and its model. What a
// listener hears is read from the very bytes that travelled, so a byte that was lost, doubled or cut off on the way shows
// as a word that was not heard. To an energy detector the same bytes are speech and silence.
//
// Audio is G.711 µ-law, 8,000 samples a second, one byte each, as in Twilio's Media Streams and OpenAI's audio/pcmu.
package speech

import (
	"hash/crc32"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// Rate is the number of bytes in a second of audio.
	Rate = 8000
	// PerWord is the time a word takes at an ordinary pace: 200 words a minute.
	PerWord = 300 * time.Millisecond
	// silence is the µ-law byte for zero. It is the one byte that no word contains.
	silence = 0xFF
	// maxWord is the most UTF-8 bytes in one word; Encode breaks longer ones.
	maxWord = 1000
)

// A word is, with no 0xFF in it:
//
//	mark | bytes of text, 2 digits | bytes of tone, 3 digits | text | checksum of those, 4 digits | tone
//
// and is heard when the last byte of its tone has come. Silence anywhere in it is ignored, as a late packet would leave.
const (
	mark          = "\xf9\xfa\xfb\xfc" // bytes that are in no UTF-8 text, no digit and not in the tone
	lengths       = 2 + 3
	checksum      = 4
	base          = 100 // of the digits
	zero     byte = 0x20
)

// tone is one period of 400 Hz, at a quarter of full scale.
const tone = "\xca\xb2\xa9\xa3\xa0\xa0\xa3\xa9\xb2\xca\x4a\x32\x29\x23\x20\x20\x23\x29\x32\x4a"

// Encode speaks text: each word takes perWord, the last eighth of it silence. A word too long for that time takes more.
// Text without words is no audio.
func Encode(text string, perWord time.Duration) []byte {
	words := split(strings.ToValidUTF8(text, "�"))
	size := Bytes(perWord)
	out := make([]byte, 0, len(words)*size)
	for _, w := range words {
		start := len(out)
		spoken := max(size-size/8, len(mark)+lengths+len(w)+checksum+len(tone))
		filling := spoken - len(mark) - lengths - len(w) - checksum
		out = append(out, mark...)
		out = digits(out, len(w), 2)
		out = digits(out, filling, 3)
		out = append(out, w...)
		out = digits(out, sum(out[start+len(mark):]), checksum)
		for i := range filling {
			out = append(out, tone[i%len(tone)])
		}
		for len(out)-start < size {
			out = append(out, silence)
		}
	}
	return out
}

func split(text string) []string {
	words := strings.Fields(text)
	for i := 0; i < len(words); i++ {
		if w := words[i]; len(w) > maxWord {
			cut := maxWord
			for !utf8.RuneStart(w[cut]) {
				cut--
			}
			words = append(words[:i], append([]string{w[:cut], w[cut:]}, words[i+1:]...)...)
		}
	}
	return words
}

func digits(out []byte, n, places int) []byte {
	at := len(out)
	for range places {
		out = append(out, 0)
	}
	for i := places - 1; i >= 0; i-- {
		out[at+i] = zero + byte(n%base)
		n /= base
	}
	return out
}

func number(digits []byte) (n int, ok bool) {
	for _, d := range digits {
		if d < zero || d >= zero+base {
			return 0, false
		}
		n = n*base + int(d-zero)
	}
	return n, true
}

func sum(b []byte) int { return int(crc32.ChecksumIEEE(b) % (base * base * base * base)) }

// Silence is d of silence.
func Silence(d time.Duration) []byte { return fill(d, silence, silence) }

// Noise is d of sound that says nothing: a cough, a lorry. Its Level is about level, from 0 to 1.
func Noise(d time.Duration, level float64) []byte {
	best, off := byte(silence), math.Inf(1)
	for b := byte(0x80); b < 0xFF; b++ {
		if e := math.Abs(float64(sample(b))/fullScale - level); e < off {
			best, off = b, e
		}
	}
	return fill(d, best, best&0x7F)
}

func fill(d time.Duration, up, down byte) []byte {
	out := make([]byte, Bytes(d))
	for i := range out {
		if out[i] = up; i%20 >= 10 {
			out[i] = down
		}
	}
	return out
}

// Bytes is how many bytes d of audio has.
func Bytes(d time.Duration) int { return int(d * Rate / time.Second) }

// Duration is how long n bytes of audio last.
func Duration(n int) time.Duration { return time.Duration(n) * time.Second / Rate }

const fullScale = 32124 // µ-law's largest sample

// sample is the linear value of a µ-law byte (ITU-T G.711).
func sample(u byte) int {
	u = ^u
	t := (int(u&0x0F)<<3 + 0x84) << (u >> 4 & 7)
	if u&0x80 != 0 {
		return 0x84 - t
	}
	return t - 0x84
}

// Level is the root mean square of the audio, from 0 (silence, or nothing at all) to 1. Encode's words are near 0.17.
func Level(ulaw []byte) float64 {
	if len(ulaw) == 0 {
		return 0
	}
	var power float64
	for _, u := range ulaw {
		v := float64(sample(u))
		power += v * v
	}
	return math.Sqrt(power/float64(len(ulaw))) / fullScale
}

// Silent says whether nobody is heard: the Level is under 0.02.
func Silent(ulaw []byte) bool { return Level(ulaw) < 0.02 }
