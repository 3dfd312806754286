package voice

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// State is what a live call is doing.
type State string

// The states of a live call.
const (
	Connecting State = "connecting" // its stream is not here yet
	Listening  State = "listening"
	Speaking   State = "speaking" // the agent
	Thinking   State = "thinking" // the model was asked, or a tool runs
	Closing    State = "closing"  // last words
)

// LiveCall is a call as a live screen shows it.
type LiveCall struct {
	CallID, TenantID uuid.UUID
	CallSID          string
	From, To         string
	Channel          string
	StartedAt        time.Time
	State            State
}

// Moment is something that happens in a watched call: one of its fields is set, and the channel is closed at the end.
type Moment struct {
	State   State
	Turn    *Turn
	Speaker string // of Audio
	Audio   []byte // base64 of µ-law
}

// momentsKept is how far a watcher may fall behind, half a second of audio of both sides and more; what does not fit
// is dropped, and never slows the call.
const momentsKept = 64

// Live lists this process's calls of a tenant, or all where tenant is nil, the oldest first.
func (b *Bridge) Live(tenant uuid.UUID) []LiveCall {
	b.mu.Lock()
	calls := make([]*call, 0, len(b.calls))
	for _, c := range b.calls {
		if tenant == uuid.Nil || c.offer.Profile.TenantID == tenant {
			calls = append(calls, c)
		}
	}
	b.mu.Unlock()
	live := make([]LiveCall, 0, len(calls))
	for _, c := range calls {
		o := c.offer.Call
		c.mu.Lock()
		state := c.state()
		c.mu.Unlock()
		live = append(live, LiveCall{
			CallID: o.ID, TenantID: c.offer.Profile.TenantID, CallSID: o.SID, From: o.From, To: o.To, Channel: o.Channel, StartedAt: o.StartedAt, State: state,
		})
	}
	slices.SortFunc(live, func(a, b LiveCall) int { return a.StartedAt.Compare(b.StartedAt) })
	return live
}

// Watch follows one call of a tenant until stop is called or the call ends. False means that it is not here.
func (b *Bridge) Watch(tenant, callID uuid.UUID) (moments <-chan Moment, stop func(), ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.calls {
		if c.offer.Call.ID == callID && c.offer.Profile.TenantID == tenant {
			ch, ok := c.watch.add()
			return ch, func() { c.watch.remove(ch) }, ok
		}
	}
	return nil, func() {}, false
}

func (c *call) state() State {
	switch {
	case c.stream == nil:
		return Connecting
	case c.closing != nil:
		return Closing
	case c.playback.playing():
		return Speaking
	case c.responses.state != idle || c.outstanding > 0:
		return Thinking
	}
	return Listening
}

// announce tells watchers of a change of state.
func (c *call) announce() {
	if c.watch.n.Load() > 0 {
		c.watch.state(c.state())
	}
}

// watchers are who follows a call.
type watchers struct {
	n     atomic.Int32
	mu    sync.Mutex
	to    []chan Moment
	last  State
	ended bool
}

func (w *watchers) add() (chan Moment, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return nil, false
	}
	ch := make(chan Moment, momentsKept)
	w.to, w.last = append(w.to, ch), ""
	w.n.Add(1)
	return ch, true
}

func (w *watchers) remove(ch chan Moment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.to, ch); i >= 0 {
		w.to = slices.Delete(w.to, i, i+1)
		w.n.Add(-1)
		close(ch)
	}
}

func (w *watchers) send(m Moment) {
	for _, ch := range w.to {
		select {
		case ch <- m:
		default:
		}
	}
}

func (w *watchers) audio(speaker string, payload []byte) {
	if w.n.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.send(Moment{Speaker: speaker, Audio: slices.Clone(payload)})
}

func (w *watchers) turn(t Turn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.send(Moment{Turn: &t})
}

func (w *watchers) state(s State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s != w.last {
		w.last = s
		w.send(Moment{State: s})
	}
}

func (w *watchers) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	for _, ch := range w.to {
		close(ch)
	}
	w.to = nil
	w.n.Store(0)
}
