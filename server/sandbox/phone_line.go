package sandbox

import (
	"bytes"
	"context"
	"time"

	"kestrel.ai/server/sandbox/speech"
)

// A phone line carries µ-law at 8 kHz in frames of 20 ms.
const (
	frameBytes = 160
	frameTime  = 20 * time.Millisecond
	sampleRate = 8000
)

var silence = bytes.Repeat([]byte{0xFF}, frameBytes)

func isSilence(frame []byte) bool {
	return bytes.Equal(frame, silence) || speech.Silent(frame)
}

// frames fills audio up to whole frames.
func frames(audio []byte) []byte {
	if rest := len(audio) % frameBytes; rest != 0 {
		audio = append(audio, silence[rest:]...)
	}
	return audio
}

// audioTime is how long µ-law of this many bytes lasts.
func audioTime(n int) time.Duration { return time.Duration(n) * time.Second / sampleRate }

// program is what a call is connected to: the TwiML verb that runs. Both methods are called by the line's goroutine, and
// must not block.
type program interface {
	// frame exchanges 20 ms: what the party says, for what it hears (nil: silence).
	frame(in []byte) []byte
	// digit is a key that the party pressed.
	digit(d byte)
}

// line runs at the pace of a phone line until ctx ends: one frame each way every 20 ms, late ones made up for.
func (l *leg) line(ctx context.Context) {
	t := time.NewTicker(time.Duration(float64(frameTime) / l.speed))
	defer t.Stop()
	var owed float64 // frames
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := time.Now()
		owed += float64(now.Sub(last)) * l.pace() / float64(frameTime)
		last = now
		owed = min(owed, float64(time.Second/frameTime)) // a stopped machine does not send what it missed
		for ; owed >= 1 && ctx.Err() == nil; owed-- {
			l.frame()
		}
	}
}

// pace is how much faster than a clock the call goes. What the machine takes to fetch a document, or to come to the next
// verb, is no faster for that.
func (l *leg) pace() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.program == nil && !l.waiting {
		return 1
	}
	return l.speed
}

// frame is 20 ms of the call.
func (l *leg) frame() {
	l.mu.Lock()
	running, now := l.program, l.clock
	l.clock += frameTime
	taps := l.taps
	l.mu.Unlock()

	does := l.party.next(now)
	l.log(func(c *Call) bool { return c.logAct(does, now) })
	var hears []byte
	if running != nil {
		if does.digit != 0 {
			running.digit(does.digit)
		}
		hears = running.frame(does.audio)
	}
	if hears == nil {
		hears = silence
	}
	if words := l.party.hear(hears, now); len(words) > 0 {
		l.log(func(c *Call) bool { c.logHeard(words, now); return true })
	}
	for _, tap := range taps {
		tap.add(does.audio, hears)
	}
	if does.hangUp {
		l.end(EndPartyHungUp, "")
	}
}

// run connects the call to p until p is done or ctx ends; it reports whether p was done.
func (l *leg) run(ctx context.Context, p program, done <-chan struct{}) bool {
	l.connect(p)
	defer l.connect(nil)
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *leg) connect(p program) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.program = p
}

// player is a program that plays audio once.
type player struct {
	audio []byte
	done  chan struct{}
}

func newPlayer(audio []byte) *player { return &player{audio: frames(audio), done: make(chan struct{})} }

func (p *player) digit(byte) {}

func (p *player) frame([]byte) []byte {
	if len(p.audio) == 0 {
		select {
		case <-p.done:
		default:
			close(p.done)
		}
		return nil
	}
	out := p.audio[:frameBytes:frameBytes]
	p.audio = p.audio[frameBytes:]
	return out
}

// quiet is silence of this length.
func quiet(d time.Duration) []byte {
	return bytes.Repeat(silence, int(max(0, d)/frameTime))
}

// beep is the tone before a recording.
func beep() []byte {
	return bytes.Repeat([]byte{0x20, 0x20, 0x20, 0x20, 0xA0, 0xA0, 0xA0, 0xA0}, 20*frameBytes/8)
}
