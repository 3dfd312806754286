package sandbox

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// bridge lets two parties talk until one hangs up, ctx ends or the time is up. It returns the recording's SID, if one was
// asked for.
func (l *leg) bridge(ctx context.Context, v element, other *dialled) string {
	var recording string
	if mode := v.attr("record", "do-not-record"); mode != "do-not-record" && mode != "false" {
		channels := 1
		if mode == "record-from-answer-dual" || mode == "record-from-ringing-dual" {
			channels = 2
		}
		t := l.s.newTape(l, "DialVerb", channels, recordingCallback(v))
		recording = t.sid
		l.tap(t)
		defer func() { l.untap(t); l.s.finishRecording(l, t) }()
	}
	near := other.near
	near.star = v.attr("hangupOnStar", "") == "true"
	talking, cancel := context.WithCancel(ctx)
	defer cancel()
	if limit := v.number("timeLimit", 0); limit > 0 {
		t := time.AfterFunc(time.Duration(float64(limit)*float64(time.Second)/l.speed), cancel)
		defer t.Stop()
	}
	defer context.AfterFunc(other.ctx, near.drain)()
	l.run(talking, near, near.done)
	return recording
}

// bridgeEnd is one end of a bridge between two calls, each of which has its own pace.
type bridgeEnd struct {
	star bool        // the star key ends it
	last atomic.Bool // the other end is gone: what it said is still heard
	done chan struct{}
	once *sync.Once
	mine *audioQueue // what this end said
	them *audioQueue
}

func newBridge(speed float64) (near, far *bridgeEnd) {
	a, b, done, once := newAudioQueue(speed), newAudioQueue(speed), make(chan struct{}), &sync.Once{}
	return &bridgeEnd{done: done, once: once, mine: a, them: b}, &bridgeEnd{done: done, once: once, mine: b, them: a}
}

func (e *bridgeEnd) frame(in []byte) []byte {
	e.mine.put(in)
	out := e.them.take()
	if out == nil && e.last.Load() {
		e.finish()
	}
	return out
}

func (e *bridgeEnd) drain() { e.last.Store(true) }

func (e *bridgeEnd) finish() { e.once.Do(func() { close(e.done) }) }

func (e *bridgeEnd) digit(d byte) {
	if e.star && d == '*' {
		e.finish()
	}
}

// audioQueue holds what one party has said and another has not heard yet, three seconds at most.
type audioQueue struct {
	most  int // bytes
	mu    sync.Mutex
	audio []byte
}

// newAudioQueue holds three seconds of the clock on the wall: that is how late a machine may be, however fast its calls.
func newAudioQueue(speed float64) *audioQueue {
	return &audioQueue{most: int(3*speed*sampleRate) / frameBytes * frameBytes}
}

func (q *audioQueue) put(frame []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.audio = append(q.audio, frame...)
	if late := len(q.audio) - q.most; late > 0 {
		q.audio = q.audio[late:]
	}
}

func (q *audioQueue) take() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.audio) < frameBytes {
		return nil
	}
	out := q.audio[:frameBytes:frameBytes]
	q.audio = q.audio[frameBytes:]
	return out
}
