package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"kestrel.ai/server/sandbox/speech"
)

// How a polite person on the phone behaves.
const (
	digitTime   = 200 * time.Millisecond // a key and the pause after it
	politePause = 600 * time.Millisecond // of silence, after something was heard: it is one's turn
	patience    = 10 * time.Second       // of silence from the start: one speaks though nothing was heard
	deafness    = 30 * time.Second       // without the words that a Line waits for: one goes on
	farewell    = 3 * time.Second        // of silence after the last line was answered: one hangs up
)

// Line is one thing that a person on the phone does. In JSON it may be a plain string, which is its Text.
type Line struct {
	// Text is spoken, Digits are pressed. A line waits its turn: 600 ms of silence after something was heard, or 10 s.
	Text   string `json:"text,omitempty"`
	Digits string `json:"digits,omitempty"`
	// After delays the turn until these words were heard since the line before, in any case.
	After string `json:"after,omitempty"`
	// WaitMS is added to the turn's wait, in milliseconds; a line with nothing else is a pause of that length.
	WaitMS int `json:"wait_ms,omitempty"`
	// Barge speaks while the other side is heard, WaitMS after it began.
	Barge bool `json:"barge,omitempty"`
	// HangUp ends the call, after Text and Digits.
	HangUp bool `json:"hang_up,omitempty"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Line) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte(`"`)) {
		*l = Line{}
		return json.Unmarshal(b, &l.Text)
	}
	type plain Line
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode((*plain)(l)); err != nil {
		return err
	}
	if strings.Trim(l.Digits, dialPad) != "" || l.WaitMS < 0 {
		return errors.New("digits are 0-9 * # w, wait_ms is not negative")
	}
	return nil
}

// dialPad has the keys, and w for a pause.
const dialPad = "0123456789*#wW"

func (l Line) pauseOnly() bool { return l.Text == "" && l.Digits == "" && !l.HangUp }

// party is a person on the phone: a script, a mouth and an ear. Times are the call's, since it was answered.
type party struct {
	mu     sync.Mutex
	script []Line
	leaves bool // hangs up when the script is done and answered; else stays

	mouth    []byte // what is left to say, µ-law
	keys     string // what is left to press
	keyAt    time.Duration
	urgent   string // what to press at once
	speaking *Line

	ear        speech.Decoder
	done       time.Duration // when the line before ended
	soundStart time.Duration // when what is being heard began
	soundEnd   time.Duration // when something was heard last
	hearing    bool
	answered   bool   // something was heard since done
	since      string // words heard since done
}

func (p *party) add(lines ...Line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script = append(p.script, lines...)
}

// press presses keys at once, whatever is being said.
func (p *party) press(keys string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.urgent += keys
}

// act is what a person does in 20 ms.
type act struct {
	audio  []byte // 20 ms of µ-law
	began  string // the text that begins with this audio
	ended  string // the text that ended before it
	digit  byte
	hangUp bool
	missed string // words that were waited for in vain
}

// next is what the person does at now, for 20 ms.
func (p *party) next(now time.Duration) (a act) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a.audio = silence
	if p.urgent != "" && now >= p.keyAt {
		if k := p.urgent[0]; k != 'w' && k != 'W' {
			a.digit = k
		}
		p.urgent, p.keyAt = p.urgent[1:], now+digitTime
		return a
	}
	if p.speaking == nil && !p.begin(now, &a) {
		return a
	}
	switch {
	case len(p.mouth) > 0:
		a.audio = p.mouth[:frameBytes:frameBytes]
		p.mouth = p.mouth[frameBytes:]
	case p.keys != "":
		if now >= p.keyAt {
			if k := p.keys[0]; k != 'w' && k != 'W' {
				a.digit = k
			}
			p.keys, p.keyAt = p.keys[1:], now+digitTime
		}
	default:
		a.ended, a.hangUp = p.speaking.Text, p.speaking.HangUp
		p.speaking = nil
		p.done, p.answered, p.since = now, false, ""
	}
	return a
}

// begin starts the script's next line if its time has come.
func (p *party) begin(now time.Duration, a *act) bool {
	if len(p.script) == 0 {
		waited, limit := now-p.done, patience
		if p.answered {
			waited, limit = now-p.soundEnd, farewell
		}
		a.hangUp = p.leaves && waited >= limit
		return false
	}
	line := p.script[0]
	switch p.turn(line, now) {
	case wait:
		return false
	case giveUp:
		a.missed = line.After
	}
	p.script = p.script[1:]
	if line.pauseOnly() {
		return false
	}
	p.speaking, p.keys, p.keyAt = &line, line.Digits, now
	p.mouth = nil
	if line.Text != "" {
		p.mouth = frames(speech.Encode(line.Text, speech.PerWord))
		a.began = line.Text
	}
	return true
}

type turn int

const (
	wait turn = iota
	take
	giveUp
)

func (p *party) turn(line Line, now time.Duration) turn {
	extra := time.Duration(line.WaitMS) * time.Millisecond
	waited, quiet := now-p.done-extra, now-p.soundEnd-extra
	ready := waited >= patience
	if p.answered {
		ready = quiet >= politePause
	}
	switch {
	case line.pauseOnly():
		ready = waited >= 0
	case line.Barge:
		ready = p.hearing && now-p.soundStart >= extra || waited >= patience
	case line.After != "" && waited >= deafness:
		return giveUp
	case line.After != "":
		ready = quiet >= politePause && strings.Contains(strings.ToLower(p.since), strings.ToLower(line.After))
	}
	if ready {
		return take
	}
	return wait
}

// hear takes 20 ms of sound at now and returns the words that it completes.
func (p *party) hear(audio []byte, now time.Duration) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !isSilence(audio) {
		if !p.hearing {
			p.soundStart = now
		}
		p.hearing, p.answered, p.soundEnd = true, true, now+frameTime
	} else if now-p.soundEnd > 5*frameTime {
		p.hearing = false
	}
	words := p.ear.Write(audio)
	for _, w := range words {
		p.since += " " + w
	}
	return words
}
