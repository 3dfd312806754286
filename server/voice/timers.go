package voice

import "time"

// A call has one timer. It fires when the nearest thing is due, and once a second at least.

func (c *call) schedule() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.framesAt = time.Now()
	c.timer = time.AfterFunc(time.Second, c.tick)
}

func (c *call) reschedule(now time.Time) {
	next := now.Add(time.Second)
	for _, due := range [...]time.Time{c.doubt.due, c.retryAt, c.digitsDue, c.fillerDue} {
		if !due.IsZero() && due.Before(next) {
			next = due
		}
	}
	if c.closing != nil && c.closing.due.Before(next) {
		next = c.closing.due
	}
	c.timer.Reset(max(next.Sub(now), time.Millisecond))
}

func (c *call) tick() {
	defer c.survive()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	now := time.Now()
	c.watchStream(now)
	if c.conv != nil && c.stream != nil && !c.over {
		c.due(now)
		c.watchModel(now)
		c.watchCaller(now)
		c.watchLength(now)
		c.watchSession(now)
	}
	c.tell(now, false)
	if !c.over {
		c.progress(now)
	}
}

// passed reports whether a time that is set has come, and unsets it.
func passed(due *time.Time, now time.Time) bool {
	if due.IsZero() || now.Before(*due) {
		return false
	}
	*due = time.Time{}
	return true
}

// due does what was put off until now.
func (c *call) due(now time.Time) {
	if passed(&c.digitsDue, now) {
		_ = c.conv.Note(Caller, "[The caller pressed on the telephone's keys: "+c.digits+"]")
		l := c.transcript.begin(Caller, "", now.Sub(c.started), 0)
		l.turn.Text, l.worded = "["+c.digits+"]", true
		l.finish(now.Sub(c.started), 1)
		c.digits = ""
		c.answer(now)
	}
	if passed(&c.doubt.due, now) {
		c.resume(now)
	}
	if passed(&c.retryAt, now) && c.responses.wanted == nil {
		c.responses.want(c.conv, c.responses.asked, now)
	}
	if c.outstanding == 0 {
		c.fillerDue = time.Time{}
	}
	if passed(&c.fillerDue, now) {
		if c.playback.playing() || c.responses.state != idle || c.speaking {
			c.fillerDue = now.Add(200 * time.Millisecond) // the caller is not left in silence yet
			return
		}
		c.responses.want(c.conv, whileWaiting(c.filler), now)
	}
}

// watchStream ends a call whose stream does not come, or has stopped without a word.
func (c *call) watchStream(now time.Time) {
	if c.stream == nil {
		if now.Sub(c.prepared) >= c.b.opts.Limits.StreamWithin {
			c.endLocked(NeverConnected, Ending{Kind: HandOver})
		}
		return
	}
	if n := c.frames.Load(); n != c.lastFrames || c.framesAt.Before(c.started) {
		c.lastFrames, c.framesAt = n, now
	}
	if now.Sub(c.framesAt) >= c.b.opts.Limits.StreamSilent {
		c.endLocked(StreamLost, Ending{Kind: HandOver})
	}
}

// watchModel asks a silent model again, once, and then gives it up.
func (c *call) watchModel(now time.Time) {
	since := c.responses.since
	if c.lastEvent.After(since) {
		since = c.lastEvent
	}
	if c.responses.state == idle || now.Sub(since) < c.b.opts.Limits.ModelSilent {
		return
	}
	if c.nudged {
		c.endLocked(ModelSilent, Ending{Kind: HandOver})
		return
	}
	c.nudged = true
	c.b.log.Warn("model is silent; asking again", "call_id", c.offer.Call.ID)
	reply := c.responses.asked
	if c.responses.wanted != nil {
		reply = *c.responses.wanted
	}
	c.responses.interrupt(c.conv)
	c.responses.forget()
	c.responses.want(c.conv, reply, now)
}

// watchCaller asks a caller who says nothing whether they are there, and then hangs up. Each takes half of the tenant's
// silence.
func (c *call) watchCaller(now time.Time) {
	if !c.atRest() || c.answered.IsZero() {
		c.quietSince = now
		return
	}
	silence := time.Duration(c.offer.Profile.Settings.Limits.SilenceSeconds) * time.Second / 2
	if silence <= 0 || c.closing != nil || now.Sub(c.quietSince) < silence {
		return
	}
	c.quietSince = now
	if !c.prompted {
		c.prompted = true
		c.responses.want(c.conv, stillThere(), now)
		return
	}
	last := nobodyThere()
	c.finishing(CallerSilent, Ending{Kind: HangUp}, &last, now)
}

// watchLength says when the time is nearly over, and ends the call when it is.
func (c *call) watchLength(now time.Time) {
	longest := time.Duration(c.offer.Profile.Settings.Limits.MaxCallSeconds) * time.Second
	if longest <= 0 || c.closing != nil {
		return
	}
	warning := min(c.b.opts.Limits.Warning, longest/2)
	switch held := now.Sub(c.started); {
	case held >= longest:
		last := timeIsUp()
		c.finishing(TooLong, Ending{Kind: HangUp}, &last, now)
	case held >= longest-warning && !c.warned && c.atRest():
		c.warned = true
		c.responses.want(c.conv, timeRunsOut(), now)
	}
}

// forced is how long a rollover may wait for a pause in the conversation.
const forced = 3 * time.Minute

// watchSession rolls the model's session over in a pause, or without one when it becomes urgent.
func (c *call) watchSession(now time.Time) {
	age := now.Sub(c.sessionSince) - c.b.opts.Limits.SessionLife
	if c.rolling || c.closing != nil || age < 0 || (age < forced && !c.atRest()) {
		return
	}
	c.rolling = true
	history := c.transcript.history()
	c.group.Go(func() { c.roll(history) })
}
