// Package voice joins telephone calls to an AI agent: Twilio's webhooks and media stream on one side, a
// speech-to-speech model on the other.
package voice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/server/voice/wire"
)

// Why a call is not taken. The caller of Prepare routes it elsewhere at once.
var (
	ErrFull        = errors.New("voice: this process holds as many calls as it may")
	ErrTenantFull  = errors.New("voice: the tenant's lines are busy")
	ErrUnavailable = errors.New("voice: no model answers")
	ErrDraining    = errors.New("voice: this process is about to end")
)

const (
	endingKept   = 5 * time.Minute  // how long Ending knows a call that is over
	refusalLasts = 10 * time.Second // before the next call tries it again
)

// Bridge holds this process's calls. A call is here from Prepare, or from its stream's start where another process
// prepared it, until all that belongs to it is gone.
type Bridge struct {
	opts    Options
	log     *slog.Logger
	metrics *metrics

	mu       sync.Mutex
	calls    map[string]*call // by CallSID
	live     int              // calls, those that are leaving among them
	tenants  map[uuid.UUID]int
	endings  map[string]ended
	draining bool
	empty    chan struct{} // closed when draining and no call is left
	failures int           // dials of the model in a row
	retryAt  time.Time
}

type ended struct {
	Ending
	at time.Time
}

// New returns an error where something that is needed is missing.
func New(o Options) (*Bridge, error) {
	if o.Desk == nil || o.Tokens == nil || o.Recorder == nil {
		return nil, errors.New("voice: desk, tokens and recorder are needed")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	o.Limits = o.Limits.withDefaults()
	b := &Bridge{
		opts: o, log: o.Log, calls: map[string]*call{}, tenants: map[uuid.UUID]int{},
		endings: map[string]ended{}, empty: make(chan struct{}),
	}
	var err error
	b.metrics, err = newMetrics(o.Metrics, func() float64 { return float64(b.Len()) })
	return b, err
}

// Prepare admits a call and starts dialling the model while Twilio is still connecting. It does not wait for either.
// Preparing a call twice is preparing it once. The errors are ErrFull, ErrTenantFull, ErrUnavailable, ErrDraining.
func (b *Bridge) Prepare(o Offer) error {
	_, err := b.admit(o)
	return err
}

func (b *Bridge) admit(o Offer) (*call, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c, ok := b.calls[o.Call.SID]; ok && !c.leaving() {
		return c, nil // what is leaving makes room for the same call's next conversation, after a transfer
	}
	switch tenant := o.Profile.TenantID; {
	case b.draining:
		return nil, ErrDraining
	case b.opts.Model == nil, b.failures >= b.opts.Limits.Refusals && time.Now().Before(b.retryAt):
		return nil, ErrUnavailable
	case b.live >= b.opts.Limits.Calls:
		return nil, ErrFull
	case o.Profile.Settings.Limits.ConcurrentCalls > 0 && b.tenants[tenant] >= o.Profile.Settings.Limits.ConcurrentCalls:
		return nil, ErrTenantFull
	}
	c := newCall(b, o)
	b.calls[o.Call.SID] = c
	b.live++
	b.tenants[o.Profile.TenantID]++
	go c.run()
	return c, nil
}

// Release lets go of a prepared call whose stream will not come here. A call that has its stream is not touched.
func (b *Bridge) Release(callSID string) {
	if c := b.find(callSID); c != nil {
		c.release()
	}
}

// Serve is one stream, from its first frame until the call is over; the caller closes conn after it. A stream without
// a valid token gets nothing.
func (b *Bridge) Serve(ctx context.Context, conn *wire.Conn) error {
	s := newStream(conn)
	start, err := b.awaitStart(s)
	if err != nil {
		return err
	}
	offer, err := b.opts.Tokens.Open(ctx, start.CustomParameters["token"])
	if err != nil {
		return fmt.Errorf("voice: stream refused: %w", err)
	}
	if offer.Call.SID != start.CallSID || offer.Profile.TenantID.String() != start.CustomParameters["tenant"] {
		return errors.New("voice: stream refused: its token is another call's")
	}
	return b.serve(s, offer)
}

// ServeOffer is Serve for a stream whose caller is known already, such as a signed-in person who talks to the agent
// from a browser in Twilio's protocol: its start frame needs no token.
func (b *Bridge) ServeOffer(conn *wire.Conn, o Offer) error {
	s := newStream(conn)
	if _, err := b.awaitStart(s); err != nil {
		return err
	}
	return b.serve(s, o)
}

func (b *Bridge) awaitStart(s *stream) (streamStart, error) {
	_ = s.conn.SetReadDeadline(time.Now().Add(b.opts.Limits.StartWithin))
	var f frame
	for range 5 {
		if err := s.read(&f); err != nil {
			return streamStart{}, err
		}
		if f.event == "start" {
			_ = s.conn.SetReadDeadline(time.Time{})
			return f.start, s.open(f.start)
		}
	}
	return streamStart{}, fmt.Errorf("%w: no start", errFrame)
}

func (b *Bridge) serve(s *stream, o Offer) error {
	c, err := b.admit(o)
	if err != nil {
		b.remember(o.Call.SID, Ending{Kind: HandOver})
		return err
	}
	return c.serve(s)
}

// Ending is what became of a call whose stream has ended in this process within the last minutes: what the TwiML after
// <Connect> asks for.
func (b *Bridge) Ending(callSID string) (Ending, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.endings[callSID]
	return e.Ending, ok
}

func (b *Bridge) remember(callSID string, e Ending) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for sid, old := range b.endings {
		if now.Sub(old.at) < endingKept {
			continue
		}
		delete(b.endings, sid)
	}
	b.endings[callSID] = ended{e, now}
}

// Len is the number of calls, prepared ones among them.
func (b *Bridge) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.live
}

func (b *Bridge) find(callSID string) *call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls[callSID]
}

func (b *Bridge) remove(c *call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.calls[c.offer.Call.SID] == c {
		delete(b.calls, c.offer.Call.SID)
	}
	tenant := c.offer.Profile.TenantID
	if b.tenants[tenant]--; b.tenants[tenant] == 0 {
		delete(b.tenants, tenant)
	}
	if b.live--; b.draining && b.live == 0 {
		close(b.empty)
	}
}

// dialled keeps count of the model's refusals, so that callers need not wait for one that is down.
func (b *Bridge) dialled(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.failures = 0
		return
	}
	b.failures++
	b.retryAt = time.Now().Add(refusalLasts)
}

// Drain refuses new calls and waits for the live ones. Those that are left when ctx ends are handed over to what their
// TwiML says; Drain returns when nothing of them is left.
func (b *Bridge) Drain(ctx context.Context) error {
	b.mu.Lock()
	if !b.draining {
		b.draining = true
		if b.live == 0 {
			close(b.empty)
		}
	}
	b.mu.Unlock()
	select {
	case <-b.empty:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	left := make([]*call, 0, len(b.calls))
	for _, c := range b.calls {
		left = append(left, c)
	}
	b.mu.Unlock()
	for _, c := range left {
		c.end(Drained, Ending{Kind: HandOver})
	}
	<-b.empty
	return fmt.Errorf("voice: %d calls were handed over: %w", len(left), ctx.Err())
}
