package voice

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"kestrel.ai/server/agent"
)

// call is one telephone call. It has one context, which ends with it, and one group of goroutines, which have ended
// before it leaves the bridge: run (the owner, which also reads from the model), serve (which reads from Twilio), and
// short ones for timers, tools and a rollover.
type call struct {
	b       *Bridge
	offer   Offer
	offered []agent.Tool
	tools   map[string]agent.Tool

	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup
	gone   chan struct{} // closed when nothing of the call is left
	in     intake
	watch  watchers
	frames atomic.Uint64 // from Twilio

	mu       sync.Mutex // guards what follows
	stream   *stream
	conv     Conversation // nil while there is none
	timer    *time.Timer
	over     bool
	reason   Reason
	ending   Ending
	prepared time.Time
	ready    time.Time // the model was, first
	started  time.Time // the stream
	answered time.Time // the greeting's first byte
	dialogue
}

func newCall(b *Bridge, o Offer) *call {
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{
		b: b, offer: o, ctx: ctx, cancel: cancel, prepared: time.Now(), tools: map[string]agent.Tool{},
		gone: make(chan struct{}),
	}
	c.in.limit = b.opts.Limits.EarlyAudio
	return c
}

// run owns the call, and takes everything down at its end.
func (c *call) run() {
	defer close(c.gone)
	defer c.b.remove(c)
	c.schedule()
	unhook := context.AfterFunc(c.ctx, c.disconnect)
	c.talk()
	if unhook() {
		c.disconnect()
	}
	c.mu.Lock()
	c.timer.Stop()
	c.mu.Unlock()
	c.group.Wait()
	c.finish()
}

// survive keeps a fault in one call from taking the others along: the call is handed over.
func (c *call) survive() {
	if fault := recover(); fault != nil {
		c.b.log.Error("a call broke", "call_id", c.offer.Call.ID, "fault", fault, "stack", string(debug.Stack()))
		c.end(Broken, Ending{Kind: HandOver})
	}
}

// talk dials and reads from the model, session after session, until the call is over or no model is to be had.
func (c *call) talk() {
	defer c.survive()
	c.offered = c.offer.Profile.Tools(c.offer.Call)
	for _, t := range c.offered {
		c.tools[t.Name] = t
	}
	conv, err := c.dial(nil)
	for err == nil {
		err = c.converse(conv)
		if conv = c.current(); err != nil && conv == nil && c.ctx.Err() == nil {
			conv, err = c.recover(err)
		} else if conv != nil {
			err = nil // a rollover closed the one that was read from
		}
	}
	if c.ctx.Err() == nil {
		c.b.log.Warn("model gone", "call_id", c.offer.Call.ID, "tenant_id", c.offer.Profile.TenantID, "error", err)
	}
	c.giveUp() // unless it has ended already
}

// dial opens the model, with a second try: an attempt may meet a server that is being replaced.
func (c *call) dial(history []Line) (Conversation, error) {
	var err error
	for range 2 {
		ctx, cancel := context.WithTimeout(c.ctx, c.b.opts.Limits.DialWithin)
		var conv Conversation
		conv, err = c.b.opts.Model.Dial(ctx, c.session(history))
		cancel()
		if c.ctx.Err() != nil {
			if err == nil {
				_ = conv.Close()
			}
			return nil, c.ctx.Err()
		}
		c.b.dialled(err)
		if err == nil {
			if !c.take(conv) {
				return nil, context.Canceled
			}
			return conv, nil
		}
	}
	return nil, err
}

func (c *call) session(history []Line) Session {
	p, now := c.offer.Profile, time.Now()
	return Session{
		CallID: c.offer.Call.ID.String(), Instructions: p.Instructions(c.offer.Call, now), Voice: p.Settings.Voice,
		Languages: p.Settings.Languages, Tools: c.offered, VAD: p.Settings.VAD, History: history,
	}
}

// take makes conv the call's conversation and gives it the audio that waited. The first one greets.
func (c *call) take(conv Conversation) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		_ = conv.Close()
		return false
	}
	now := time.Now()
	first := c.ready.IsZero()
	if first {
		c.ready = now
	}
	if old := c.conv; old != nil {
		c.group.Go(func() { _ = old.Close() }) // frees who reads from it
	}
	c.conv, c.sessionSince, c.unheard = conv, now, nil
	c.unheardSize = 0
	c.in.open(conv)
	if first {
		c.responses.want(conv, greeting(c.offer.Profile, now), now)
	} else {
		c.carry(now)
	}
	return true
}

func (c *call) current() Conversation {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return nil
	}
	return c.conv
}

// converse handles the events of one conversation until it breaks or the call is over.
func (c *call) converse(conv Conversation) error {
	err := conv.Listen(func(e *ModelEvent) { c.handle(conv, e) })
	c.mu.Lock()
	if c.conv == conv {
		c.conv = nil
		c.in.close()
	}
	c.mu.Unlock()
	_ = conv.Close()
	return err
}

// serve attaches the stream, reads it to its end, and returns when the whole call is gone.
func (c *call) serve(s *stream) error {
	if c.attach(s) {
		c.listen(s)
	}
	<-c.gone
	return nil
}

// errStopped is the end of a stream by Twilio's own word.
var errStopped = errors.New("voice: stream stopped")

func (c *call) listen(s *stream) {
	defer c.survive()
	var f frame
	err := s.conn.Each(func(message []byte) error {
		if s.parse(message, &f) != nil {
			return nil // one frame lost, not a call
		}
		c.frames.Add(1)
		switch f.event {
		case "media":
			c.in.append(f.payload)
			c.watch.audio(Caller, f.payload)
		case "mark":
			c.markReached(f.mark)
		case "dtmf":
			c.pressed(f.digit)
		case "stop":
			return errStopped
		}
		return nil
	})
	if errors.Is(err, errStopped) {
		c.end(CallerHungUp, Ending{Kind: HangUp})
	} else {
		c.end(StreamLost, Ending{Kind: HandOver})
	}
}

// attach is false where the call has ended before its stream came, or has one.
func (c *call) attach(s *stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.stream != nil {
		return false
	}
	c.stream, c.started, c.quietSince = s, time.Now(), time.Now()
	c.hear()
	c.announce()
	return true
}

// leaving: the call is over, and what belongs to it is being taken down.
func (c *call) leaving() bool { return c.ctx.Err() != nil }

func (c *call) release() {
	c.mu.Lock()
	waiting := c.stream == nil
	c.mu.Unlock()
	if waiting {
		c.end(NeverConnected, Ending{Kind: HandOver})
	}
}

// end ends the call, once: what comes first counts.
func (c *call) end(why Reason, e Ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(why, e)
}

func (c *call) endLocked(why Reason, e Ending) {
	if c.over {
		return
	}
	c.over, c.reason, c.ending = true, why, e
	c.b.remember(c.offer.Call.SID, e)
	c.cancel()
}

func (c *call) giveUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	why := ModelLost
	if c.ready.IsZero() {
		why = ModelUnreachable
	}
	c.endLocked(why, Ending{Kind: HandOver})
}

// disconnect frees whoever waits on a socket. It runs when the call's context ends.
func (c *call) disconnect() {
	c.mu.Lock()
	conv, s := c.conv, c.stream
	c.mu.Unlock()
	if s != nil {
		s.close()
	}
	if conv != nil {
		_ = conv.Close()
	}
}

// intake is the caller's audio on its way to the model: passed on at once, or kept, the newest of it, while there is
// no conversation. append is for one goroutine.
type intake struct {
	to    atomic.Pointer[Conversation]
	limit int // base64 bytes

	mu    sync.Mutex
	early [][]byte
	size  int
}

func (i *intake) append(payload []byte) {
	if to := i.to.Load(); to != nil {
		_ = (*to).Append(payload) // a lost connection is noticed by who reads from it
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if to := i.to.Load(); to != nil {
		_ = (*to).Append(payload)
		return
	}
	i.early = append(i.early, append([]byte(nil), payload...))
	for i.size += len(payload); i.size > i.limit && len(i.early) > 0; i.early = i.early[1:] {
		i.size -= len(i.early[0])
	}
}

func (i *intake) open(to Conversation) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, payload := range i.early {
		_ = to.Append(payload)
	}
	i.early, i.size = nil, 0
	i.to.Store(&to)
}

func (i *intake) close() { i.to.Store(nil) }
