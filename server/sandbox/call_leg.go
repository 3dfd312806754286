package sandbox

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// maxCall is Twilio's limit for a call.
const maxCall = 4 * time.Hour

// leg is a live call. Its goroutines are: perform (the TwiML), line (the audio, once answered), a stream's two.
// They end with ctx, and sandbox.legs counts them.
type leg struct {
	s       *Sandbox
	ctx     context.Context // the call's life
	stop    context.CancelFunc
	speed   float64
	party   *party
	number  Number // whose webhooks it uses; empty for outbound calls
	report  callReport
	settled chan struct{} // closed when it is answered, ended or waiting
	settle  sync.Once
	over    chan struct{} // closed when it has ended and is in the books

	mu        sync.Mutex
	call      Call
	program   program
	waiting   bool          // for whom it dials
	clock     time.Duration // audio since the answer
	taps      []*tape
	interrupt context.CancelFunc // of the document that is performed
	redirect  *document          // what to perform instead
	changed   chan struct{}      // closed at the next change
	lastSent  chan struct{}      // closed when the last report so far is delivered
	sequence  int
}

// callReport is where a call's status callbacks go.
type callReport struct {
	url, method string
	events      []string // initiated, ringing, answered, completed
}

// open puts a new call into the books. Whoever opens it must run perform or end it.
func (s *Sandbox) open(c Call, number Number, p *party, speed float64) (*leg, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return nil, errors.New("the sandbox is closed")
	}
	c.SID, c.CreatedAt = "CA"+s.nextHex("call"), s.now().UTC()
	l := &leg{
		s: s, speed: speed, party: p, number: number, call: c,
		settled: make(chan struct{}), over: make(chan struct{}), changed: make(chan struct{}),
	}
	if err := s.commit(entry{Call: &c}); err != nil {
		return nil, err
	}
	l.ctx, l.stop = context.WithCancel(s.life)
	s.legs[c.SID] = l
	return l, nil
}

// log changes the call's record; change reports whether it did.
func (l *leg) log(change func(*Call) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if change(&l.call) {
		l.call.Rev++
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// snapshot is the record now, and a channel that is closed when it changes.
func (l *leg) snapshot() (Call, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.call.copied()
	if c.AnswerAt != nil && c.EndedAt == nil {
		c.DurationS = int(l.clock.Seconds())
	}
	return c, l.changed
}

func (l *leg) record() Call {
	c, _ := l.snapshot()
	return c
}

// save writes the record into the sandbox's state.
func (l *leg) save() {
	c := l.record()
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.s.save(entry{Call: &c})
}

func (l *leg) atMS() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock.Milliseconds()
}

func (l *leg) step(verb, detail string) {
	at := l.atMS()
	l.log(func(c *Call) bool { c.Verbs = append(c.Verbs, Step{verb, detail, at}); return true })
}

func (l *leg) fail(e *CallError) {
	e.AtMS = l.atMS()
	l.log(func(c *Call) bool { c.Errors = append(c.Errors, e); return true })
}

// ring sets the status of a call that is not answered yet.
func (l *leg) ring(status, event string) {
	l.log(func(c *Call) bool {
		if c.over() {
			return false
		}
		c.Status = status
		return true
	})
	l.save()
	l.progress(event)
}

// answer picks up, once: the audio begins.
func (l *leg) answer() {
	answered := false
	l.log(func(c *Call) bool {
		if c.AnswerAt != nil || c.over() {
			return false
		}
		now := l.s.now().UTC()
		c.Status, c.AnswerAt, answered = "in-progress", &now, true
		return true
	})
	if !answered {
		return
	}
	l.save()
	l.progress("answered")
	l.s.spawn(func() { l.line(l.ctx) })
	l.settle.Do(func() { close(l.settled) })
}

// end hangs up, for the first reason given. status is the final one; by default it is completed, or no-answer where the
// call was not answered.
func (l *leg) end(reason, status string) {
	l.log(func(c *Call) bool {
		if c.over() {
			return false
		}
		c.Status = or(status, "completed")
		if c.AnswerAt == nil && status == "" {
			c.Status = "no-answer"
		}
		now := l.s.now().UTC()
		if c.AnswerAt != nil {
			// Of the audio that passed: the same whatever the speed.
			if passed := c.AnswerAt.Add(l.clock); passed.After(now) {
				now = passed
			}
			c.DurationS = int(l.clock.Seconds())
		}
		c.EndedAt, c.EndReason = &now, reason
		return true
	})
	l.stop()
}

// close puts an ended call into the books and tells who wanted to know. perform calls it last.
func (l *leg) close() {
	l.end(EndSandboxClosed, "")
	l.stop()
	l.mu.Lock()
	taps := l.taps
	l.mu.Unlock()
	for _, t := range taps {
		l.s.finishRecording(l, t)
	}
	l.log(func(c *Call) bool { c.Filed = true; return true })
	l.save()
	l.progress("completed")
	l.s.mu.Lock()
	delete(l.s.legs, l.call.SID)
	l.s.mu.Unlock()
	l.settle.Do(func() { close(l.settled) })
	close(l.over)
}

// progress sends the status callback for event, if it is wanted. They arrive in order; as at Twilio, one that is refused
// is not sent again.
func (l *leg) progress(event string) {
	if l.report.url == "" || !slices.Contains(l.report.events, event) {
		return
	}
	c := l.record()
	l.mu.Lock()
	sequence := l.sequence
	l.sequence++
	l.mu.Unlock()
	form := l.form(c)
	form.Set("CallbackSource", "call-progress-events")
	form.Set("SequenceNumber", strconv.Itoa(sequence))
	form.Set("Timestamp", twilioTime(l.s.now()))
	if c.Status == "queued" {
		form.Set("CallStatus", event)
	}
	if c.over() {
		form.Set("CallDuration", strconv.Itoa(c.DurationS))
		form.Set("Duration", strconv.Itoa((c.DurationS+59)/60))
		if len(c.Recordings) > 0 {
			form.Set("RecordingSid", c.Recordings[len(c.Recordings)-1])
		}
	}
	l.later("status", l.report.method, l.report.url, form)
}

// later delivers a webhook behind those that wait already.
func (l *leg) later(purpose, method, target string, form url.Values) {
	done := make(chan struct{})
	l.mu.Lock()
	before := l.lastSent
	l.lastSent = done
	l.mu.Unlock()
	send := func() {
		defer close(done)
		if before != nil {
			<-before
		}
		if l.s.life.Err() == nil {
			l.deliver(l.s.life, purpose, method, target, form)
		}
	}
	if !l.s.spawn(send) {
		close(done)
	}
}

// deliver sends a webhook and notes it. A call that is over is saved again, so that what came last is seen.
func (l *leg) deliver(ctx context.Context, purpose, method, target string, form url.Values) *Webhook {
	at := l.atMS()
	hook := l.s.deliver(ctx, method, target, form)
	kept := *hook
	kept.Body = kept.Body[:min(len(kept.Body), 4<<10)]
	l.log(func(c *Call) bool {
		c.Webhooks = append(c.Webhooks, Delivery{Purpose: purpose, Fields: flat(form), Webhook: kept, AtMS: at})
		return true
	})
	if l.record().over() && l.s.known(l.call.SID) {
		l.save()
	}
	return hook
}

// form has the fields that every voice webhook has
// (https://www.twilio.com/docs/voice/twiml#request-parameters).
func (l *leg) form(c Call) url.Values {
	form := l.s.webhookForm(c.From, c.To)
	form.Set("CallSid", c.SID)
	form.Set("CallStatus", c.Status)
	form.Set("Direction", c.Direction)
	form.Set("Caller", c.From)
	form.Set("Called", c.To)
	form.Set("CallerCountry", "US")
	form.Set("CalledCountry", "US")
	if c.ParentSID != "" {
		form.Set("ParentCallSid", c.ParentSID)
	}
	return form
}
