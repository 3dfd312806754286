package sandbox

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"time"

	"kestrel.ai/server/sandbox/speech"
)

// listener is the program of Gather: it plays its prompt and takes keys and speech.
type listener struct {
	done chan struct{}

	mu       sync.Mutex
	prompt   []byte
	bargeIn  bool
	keys     bool
	finishOn string
	most     int
	patience time.Duration // without input
	pause    time.Duration // that ends speech; 0: no speech is taken
	ear      speech.Decoder
	words    []string
	pressed  string
	idle     time.Duration
	over     bool
}

func (g *listener) finish() {
	if !g.over {
		g.over = true
		close(g.done)
	}
}

func (g *listener) digit(d byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over || !g.keys || len(g.prompt) > 0 && !g.bargeIn {
		return
	}
	g.prompt, g.idle = nil, 0
	if strings.IndexByte(g.finishOn, d) >= 0 {
		g.finish()
		return
	}
	if g.pressed += string(d); g.most > 0 && len(g.pressed) >= g.most {
		g.finish()
	}
}

func (g *listener) frame(in []byte) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return nil
	}
	sounds := !isSilence(in)
	if g.pause > 0 {
		g.words = append(g.words, g.ear.Write(in)...)
		if sounds && g.bargeIn {
			g.prompt = nil
		}
	}
	if len(g.prompt) > 0 {
		out := g.prompt[:frameBytes:frameBytes]
		g.prompt = g.prompt[frameBytes:]
		return out
	}
	if g.idle += frameTime; sounds && g.pause > 0 {
		g.idle = 0
	}
	if g.idle >= g.patience || len(g.words) > 0 && g.idle >= g.pause {
		g.finish()
	}
	return nil
}

func (l *leg) gather(ctx context.Context, v element) (*document, *CallError) {
	input, timeout := v.attr("input", "dtmf"), time.Duration(v.number("timeout", 5))*time.Second
	g := &listener{
		done: make(chan struct{}), bargeIn: v.attr("bargeIn", "true") == "true", keys: strings.Contains(input, "dtmf"),
		finishOn: v.attr("finishOnKey", "#"), most: v.number("numDigits", 0), patience: timeout,
	}
	if strings.Contains(input, "speech") {
		g.pause = time.Duration(v.number("speechTimeout", 1)) * time.Second
	}
	for _, c := range v.Children {
		audio, failed := l.sound(ctx, c)
		if failed != nil {
			return nil, failed
		}
		g.prompt = append(g.prompt, audio...)
	}
	if !l.run(ctx, g, g.done) {
		return nil, nil
	}
	fields := url.Values{}
	switch {
	case g.pressed != "":
		fields.Set("Digits", g.pressed)
	case len(g.words) > 0:
		fields.Set("SpeechResult", strings.Join(g.words, " "))
		fields.Set("Confidence", "0.9")
	case v.attr("actionOnEmptyResult", "") != "true":
		return nil, nil
	default:
		fields.Set("Digits", "")
	}
	l.step("Gather", "took "+or(fields.Get("Digits"), fields.Get("SpeechResult")))
	return &document{purpose: "action", url: v.attr("action", ""), method: v.attr("method", ""), fields: fields}, nil
}

// scribe is the program of Record.
type scribe struct {
	done chan struct{}

	mu       sync.Mutex
	beep     []byte
	finishOn string
	key      string
	most     time.Duration
	patience time.Duration
	idle     time.Duration
	lasted   time.Duration
	sounds   bool
	tape     *tape
	over     bool
}

func (r *scribe) finish() {
	if !r.over {
		r.over = true
		close(r.done)
	}
}

func (r *scribe) digit(d byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.IndexByte(r.finishOn, d) >= 0 {
		r.key = string(d)
		r.finish()
	}
}

func (r *scribe) frame(in []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return nil
	}
	if len(r.beep) > 0 {
		out := r.beep[:frameBytes:frameBytes]
		r.beep = r.beep[frameBytes:]
		return out
	}
	r.tape.add(in, nil)
	r.lasted += frameTime
	if r.idle += frameTime; !isSilence(in) {
		r.idle, r.sounds = 0, true
	}
	if r.lasted >= r.most || r.patience > 0 && r.idle >= r.patience {
		r.finish()
	}
	return nil
}

// recordVerb takes a message. As at Twilio, the action is asked even when the caller hung up to end it, and not at all
// when nothing was said.
func (l *leg) recordVerb(ctx context.Context, v element) (*document, *CallError) {
	t := l.s.newTape(l, "RecordVerb", 1, recordingCallback(v))
	r := &scribe{
		done: make(chan struct{}), finishOn: v.attr("finishOnKey", "1234567890*#"), tape: t,
		most: time.Duration(v.number("maxLength", 3600)) * time.Second, patience: time.Duration(v.number("timeout", 5)) * time.Second,
	}
	if v.attr("playBeep", "true") == "true" {
		r.beep = beep()
	}
	finished := l.run(ctx, r, r.done)
	r.mu.Lock()
	key, sounds := r.key, r.sounds
	r.over = true
	r.mu.Unlock()
	if !sounds {
		l.s.dropRecording(l, t)
		return nil, nil
	}
	rec := l.s.finishRecording(l, t)
	fields := url.Values{"RecordingSid": {rec.SID}, "RecordingUrl": {l.s.recordingURL(rec.SID)}, "RecordingDuration": {rec.duration()}}
	if key != "" {
		fields.Set("Digits", key)
	}
	next := &document{purpose: "action", url: v.attr("action", ""), method: v.attr("method", ""), fields: fields}
	if finished {
		return next, nil
	}
	if l.record().over() {
		fields.Set("Digits", "hangup")
		l.askInVain(next)
	}
	return nil, nil
}
