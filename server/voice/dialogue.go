package voice

import (
	"slices"
	"strconv"
	"time"

	"kestrel.ai/server/agent"
)

// dialogue is where a conversation stands. The call's lock guards it.
type dialogue struct {
	responses    responses
	playback     playback
	transcript   transcript
	sessionSince time.Time
	lastEvent    time.Time // of the model while it was asked
	nudged       bool
	failures     int       // responses in a row
	retryAt      time.Time // for the next, after a failed one
	recoveredAt  time.Time
	rolling      bool

	speaking    bool          // the caller
	speechAt    time.Duration // on the session's clock
	interrupted bool          // by this speech
	doubt       doubt
	stoppedAt   time.Time // the caller's last speech, while nobody has answered
	quietSince  time.Time
	prompted    bool
	warned      bool
	digits      string
	digitsDue   time.Time
	lastFrames  uint64
	framesAt    time.Time

	calls       []pendingTool // of the current response
	outstanding int           // tools that run
	filler      string
	fillerDue   time.Time
	closing     *closing

	unheard     []ModelEvent // before the stream came
	unheardSize int

	usage      Usage
	latencies  []time.Duration
	bargeIns   int
	recoveries int
	rollovers  int
}

// doubt is an interruption that may have been none: the words that come for its item decide.
type doubt struct {
	item string
	due  time.Time
}

// closing is a call whose end is decided: it comes when the last words were heard, or are overdue.
type closing struct {
	reason Reason
	ending Ending
	due    time.Time
}

// maxUnheard is how many bytes of base64 a model may say before the stream is here: a minute. The rest is dropped.
const maxUnheard = 640 << 10

// handle takes one event of the model's. Those of a conversation that was replaced are not heard. Before the stream is
// here nothing is said: from the first audio on, all waits for it.
func (c *call) handle(conv Conversation, e *ModelEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.conv != conv {
		return
	}
	if c.stream == nil && (e.Kind == ModelAudio || len(c.unheard) > 0) {
		early := *e
		early.Audio = slices.Clone(e.Audio)
		if c.unheardSize += len(e.Audio); c.unheardSize <= maxUnheard || e.Kind != ModelAudio {
			c.unheard = append(c.unheard, early)
		}
		return
	}
	c.happen(e)
}

// hear goes through what has waited for the stream.
func (c *call) hear() {
	unheard := c.unheard
	c.unheard = nil
	for i := range unheard {
		if c.over || c.conv == nil {
			return
		}
		c.happen(&unheard[i])
	}
}

func (c *call) happen(e *ModelEvent) {
	conv, now := c.conv, time.Now()
	switch e.Kind {
	case ModelAudio:
		c.play(e, now)
		return
	case ResponseBegan:
		c.responses.began(conv, e.ResponseID, now)
		c.calls = nil
	case AudioEnded:
		c.flush(e.ItemID)
		c.settled(c.playback.end(e.ItemID), now)
	case AgentSaid:
		c.transcript.said(e.ItemID, e.Text)
	case ToolCalled:
		c.calls = append(c.calls, pendingTool{e.Tool, e.ResponseID})
	case ResponseEnded:
		c.responseEnded(e, now)
	case SpeechStarted:
		c.speechStarted(e, now)
	case SpeechStopped:
		c.speechStopped(e, now)
	case CallerSaid:
		c.usage = c.usage.Plus(e.Usage)
		c.transcript.said(e.ItemID, e.Text)
		c.decide(e.ItemID, e.Text, now)
	case Rejected:
		c.b.metrics.rejection(e.Code)
		c.b.log.Warn("model objects", "call_id", c.offer.Call.ID, "code", e.Code, "message", e.Message)
		c.responses.rejected(conv, e.Code, now)
	}
	c.lastEvent = now
	c.progress(now)
}

// play passes audio on to the caller.
func (c *call) play(e *ModelEvent, now time.Time) {
	c.lastEvent = now
	if c.responses.dropped(e.ResponseID) {
		return
	}
	c.responses.heard(c.conv, e.ResponseID, now)
	to, first := c.playback.to(e.ItemID)
	if first {
		c.firstAudio(to, now)
	}
	_ = c.stream.play(&c.playback, to, e.Audio) // a lost socket is noticed by who reads from it
	c.watch.audio(Agent, e.Audio)
}

func (c *call) firstAudio(to *spoken, now time.Time) {
	var waited time.Duration
	if !c.stoppedAt.IsZero() {
		waited = now.Sub(c.stoppedAt)
		c.latencies = append(c.latencies, waited)
		c.b.metrics.turn(waited)
		c.stoppedAt = time.Time{}
	}
	to.line = c.transcript.begin(Agent, to.item, now.Sub(c.started), waited)
	c.nudged = false
	if c.answered.IsZero() {
		c.answered = now
		c.b.metrics.greeting.Observe(now.Sub(c.started).Seconds())
		c.record(CallAnswered, Answered{
			Channel: c.offer.Call.Channel, ModelMS: c.ready.Sub(c.prepared).Milliseconds(), GreetingMS: now.Sub(c.started).Milliseconds(),
		})
	}
}

// flush marks an item's last bytes, or every item's where it is "".
func (c *call) flush(item string) {
	for _, s := range c.playback.unmarked(item) {
		_ = c.stream.mark(c.playback.mark(s))
	}
}

// markReached is Twilio's word on how far the caller has heard.
func (c *call) markReached(name string) {
	n, err := strconv.ParseUint(name, 10, 64)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	now := time.Now()
	c.settled(c.playback.reached(n), now)
	c.progress(now)
}

// settled takes the items that were heard to their end.
func (c *call) settled(heard []*spoken, now time.Time) {
	for _, s := range heard {
		s.line.finish(now.Sub(c.started), 1)
	}
}

// speechStarted: the caller's word goes first. What still plays is stopped, whether or not the model has long finished
// making it, and the model is told how much of it was heard.
func (c *call) speechStarted(e *ModelEvent, now time.Time) {
	c.speaking, c.speechAt, c.interrupted, c.doubt = true, e.At, false, doubt{}
	c.responses.held = true
	if !c.offer.Profile.Settings.VAD.Interruptible && (c.playback.playing() || c.responses.state != idle) {
		c.transcript.begin(Caller, e.ItemID, now.Sub(c.started), 0)
		return
	}
	if c.playback.playing() {
		c.interrupted = true
		c.bargeIns++
		_ = c.stream.clear()
		for _, s := range c.playback.cut() {
			heard := s.heard()
			if heard > 0 && s.playedTo < s.sentTo {
				_ = c.conv.Truncate(s.item, heard)
			}
			s.line.finish(now.Sub(c.started), share(s))
		}
		if c.closing != nil && c.closing.ending.Kind == HangUp && c.closing.reason == AgentHungUp {
			c.closing = nil // "one more thing"
		}
	}
	c.responses.interrupt(c.conv)
	c.transcript.begin(Caller, e.ItemID, now.Sub(c.started), 0)
}

func share(s *spoken) float64 {
	if s.sentTo == 0 {
		return 0
	}
	return float64(s.playedTo) / float64(s.sentTo)
}

// speechStopped asks for an answer, unless what interrupted the agent was so brief that it may have been a cough or an
// "uh-huh".
func (c *call) speechStopped(e *ModelEvent, now time.Time) {
	c.speaking, c.responses.held = false, false
	c.quietSince = now
	c.transcript.stopped(e.ItemID, now.Sub(c.started), now.Add(c.b.opts.Limits.WordsWithin*5))
	if length := c.speechLength(e.At); length > 0 && length < c.b.opts.Limits.BriefSpeech && c.interrupted {
		c.doubt = doubt{item: e.ItemID, due: now.Add(c.b.opts.Limits.WordsWithin)}
		return
	}
	c.answer(now)
}

// speechLength is without what the vendor's VAD adds at both ends; 0 where its clock says nothing.
func (c *call) speechLength(stopped time.Duration) time.Duration {
	length := stopped - c.speechAt
	if length <= 0 {
		return 0
	}
	if v := c.offer.Profile.Settings.VAD; v.Type != "semantic_vad" {
		length -= time.Duration(v.PrefixPaddingMS+v.SilenceMS) * time.Millisecond
	}
	return max(length, 1)
}

func (c *call) answer(now time.Time) {
	c.doubt, c.prompted, c.stoppedAt = doubt{}, false, now
	c.responses.want(c.conv, Reply{}, now)
}

// decide settles a doubt by the words that came for it.
func (c *call) decide(item, words string, now time.Time) {
	if c.doubt.item == "" || c.doubt.item != item {
		return
	}
	if backchannel(words) {
		c.resume(now)
		return
	}
	c.answer(now)
}

// resume goes on after a false alarm.
func (c *call) resume(now time.Time) {
	c.doubt = doubt{}
	c.responses.want(c.conv, carryOn, now)
}

// responseEnded runs the tools that a completed response asked for; what a cancelled one asked for is void.
func (c *call) responseEnded(e *ModelEvent, now time.Time) {
	c.usage = c.usage.Plus(e.Usage)
	c.flush("")
	c.settled(c.playback.end(""), now)
	tools := c.calls
	c.calls = nil
	spoke := c.responses.spoke
	switch e.Status {
	case StatusCompleted:
		c.failures = 0
		c.use(tools, e.ResponseID, spoke, now)
	case StatusFailed:
		c.failures++
		c.b.metrics.rejection(e.Code)
		c.b.log.Warn("response failed", "call_id", c.offer.Call.ID, "code", e.Code, "message", e.Message, "in_a_row", c.failures)
		if c.failures > 2 {
			c.endLocked(ModelLost, Ending{Kind: HandOver})
			return
		}
		c.retryAt = now.Add(time.Duration(c.failures) * time.Second)
	}
	c.responses.ended(c.conv, e.ResponseID, now)
}

// pressed collects keys until there is a pause or a #.
func (c *call) pressed(digit string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	now := time.Now()
	c.digits += digit
	c.quietSince, c.prompted = now, false
	c.digitsDue = now.Add(c.b.opts.Limits.Digits)
	if digit == "#" || len(c.digits) >= 32 {
		c.digitsDue = now
	}
	c.reschedule(now)
}

// progress ends a call whose last words have been heard, and moves the timer to what is due next.
func (c *call) progress(now time.Time) {
	if c.closing != nil && (now.After(c.closing.due) || c.atRest()) {
		c.endLocked(c.closing.reason, c.closing.ending)
	}
	c.reschedule(now)
	c.announce()
}

// atRest: nothing is being said, made or waited for, but the caller's next word.
func (c *call) atRest() bool {
	return c.responses.state == idle && c.responses.wanted == nil && c.outstanding == 0 && !c.playback.playing() && !c.speaking && c.doubt.item == ""
}

// finishing starts the end of a call: it comes when the last words have been heard, within bounds.
func (c *call) finishing(why Reason, e Ending, last *Reply, now time.Time) {
	if c.closing != nil && c.closing.ending.Kind == Transfer {
		return
	}
	c.closing = &closing{reason: why, ending: e, due: now.Add(c.b.opts.Limits.Farewell)}
	if last != nil {
		c.responses.want(c.conv, *last, now)
	}
}

func endingOf(a agent.Action) (Reason, Ending) {
	if a.Kind == agent.ActionTransfer {
		return Transferred, Ending{Kind: Transfer, Number: a.Number, Reason: a.Reason}
	}
	return AgentHungUp, Ending{Kind: HangUp, Reason: a.Reason}
}
