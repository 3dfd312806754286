package speech_test

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kestrel.ai/server/sandbox/speech"
)

func hear(t interface{ Helper() }, d *speech.Decoder, audio []byte, sizes ...int) []string {
	t.Helper()
	var words []string
	for i := 0; len(audio) > 0; i++ {
		n := min(len(audio), sizes[i%len(sizes)])
		words = append(words, d.Write(audio[:n])...)
		audio = audio[n:]
	}
	return words
}

func TestWhatIsSaidIsHeardHoweverItIsCut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringMatching(`[\pL\d\x7f,.$'-]{1,40}`), 0, 12).Draw(t, "words")
		words = strings.Fields(strings.Join(words, " "))
		per := time.Duration(rapid.IntRange(0, 600).Draw(t, "ms")) * time.Millisecond
		audio := speech.Encode(strings.Join(words, " "), per)
		// A late packet: silence in the middle of a word.
		at := rapid.IntRange(0, len(audio)).Draw(t, "at")
		audio = bytes.Join([][]byte{speech.Silence(time.Second), audio[:at], speech.Silence(70 * time.Millisecond), audio[at:]}, nil)
		var d speech.Decoder
		got := hear(t, &d, audio, rapid.SliceOfN(rapid.IntRange(1, 500), 1, 20).Draw(t, "sizes")...)
		if strings.Join(got, " ") != strings.Join(words, " ") {
			t.Fatalf("said %q, heard %q", words, got)
		}
	})
}

func TestACutWordIsNotHeard(t *testing.T) {
	t.Parallel()
	whole := speech.Encode("book tomorrow", speech.PerWord)
	word := len(whole) / 2
	for cut := 0; cut < word-word/8-1; cut += 7 {
		var d speech.Decoder
		if got := d.Write(whole[:cut]); got != nil {
			t.Fatalf("heard %q in the first %d bytes", got, cut)
		}
		if got := strings.Join(d.Write(whole), " "); got != "book tomorrow" {
			t.Fatalf("after a word cut at %d heard %q", cut, got)
		}
		if cut > 0 {
			if got := strings.Join((&speech.Decoder{}).Write(whole[cut:]), " "); got != "tomorrow" {
				t.Fatalf("without its first %d bytes heard %q", cut, got)
			}
		}
	}
}

func TestALostOrChangedByteLosesItsWordOnly(t *testing.T) {
	t.Parallel()
	whole := speech.Encode("one two three", speech.PerWord)
	word := len(whole) / 3
	for at := word; at < 2*word-word/8; at += 11 {
		changed := bytes.Clone(whole)
		changed[at] ^= 0x11
		lost := append(bytes.Clone(whole[:at]), whole[at+1:]...)
		doubled := append(bytes.Clone(whole[:at+1]), whole[at:]...)
		// Its first byte doubled leaves it whole.
		for name, audio := range map[string][]byte{"changed": changed, "lost": lost, "doubled": doubled} {
			got := strings.Join((&speech.Decoder{}).Write(audio), " ")
			if got != "one three" && !(name == "doubled" && at == word) {
				t.Fatalf("byte %d %s: heard %q", at, name, got)
			}
		}
	}
}

func TestNothingIsHeardInNoise(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		noise := rapid.SliceOf(rapid.Byte()).Draw(t, "noise")
		var d speech.Decoder
		if got := d.Write(noise); got != nil {
			t.Fatalf("heard %q", got)
		}
		if got := strings.Join(d.Write(speech.Encode("hello", speech.PerWord)), " "); got != "hello" {
			t.Fatalf("after noise heard %q", got)
		}
	})
}

func TestLongWordsAndBrokenText(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 3000)
	got := (&speech.Decoder{}).Write(speech.Encode(long, speech.PerWord))
	if strings.Join(got, "") != long || len(got) < 6 {
		t.Errorf("a word of %d bytes was heard as %d words", len(long), len(got))
	}
	if got := (&speech.Decoder{}).Write(speech.Encode("a\xffb", speech.PerWord)); len(got) != 1 || got[0] != "a�b" {
		t.Errorf("heard %q", got)
	}
	if got := speech.Encode(" \n ", speech.PerWord); len(got) != 0 {
		t.Errorf("no words took %d bytes", len(got))
	}
}

func TestLevelsAndTimes(t *testing.T) {
	t.Parallel()
	audio := speech.Encode("gas leak", speech.PerWord)
	if got := speech.Duration(len(audio)); got != 2*speech.PerWord {
		t.Errorf("two words took %v", got)
	}
	for at := 0; at+160 <= 2100; at += 160 {
		if speech.Silent(audio[at : at+160]) {
			t.Errorf("a word is silent at byte %d", at)
		}
	}
	if !speech.Silent(speech.Silence(time.Second)) || !speech.Silent(nil) || !speech.Silent(audio[2150:2400]) {
		t.Error("silence is heard")
	}
	if got := len(speech.Silence(20 * time.Millisecond)); got != speech.Bytes(20*time.Millisecond) || got != 160 {
		t.Errorf("20 ms is %d bytes", got)
	}
	if got := speech.Level(audio[:2100]); math.Abs(got-0.17) > 0.03 {
		t.Errorf("speech is at %.3f", got)
	}
	for _, level := range []float64{0.01, 0.05, 0.3, 0.9} {
		if got := speech.Level(speech.Noise(time.Second, level)); math.Abs(got-level) > level/10 {
			t.Errorf("noise of %.2f is at %.3f", level, got)
		}
	}
}

func BenchmarkDecoder(b *testing.B) {
	audio := speech.Encode(strings.Repeat("word ", 100), speech.PerWord)
	b.SetBytes(int64(len(audio)))
	b.ReportAllocs()
	for b.Loop() {
		(&speech.Decoder{}).Write(audio)
	}
}
