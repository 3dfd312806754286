package voice

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
)

// again is how long a recovered session must have held for the next loss to be worth another recovery.
const again = time.Minute

// recover dials anew after the model's connection broke, with what was said so far. Meanwhile the caller's audio is
// kept. It fails with lost where the last recovery was not long ago: the caller is better handed over.
func (c *call) recover(lost error) (Conversation, error) {
	c.mu.Lock()
	now := time.Now()
	if !c.recoveredAt.IsZero() && now.Sub(c.recoveredAt) < again {
		c.mu.Unlock()
		return nil, lost
	}
	c.recoveredAt = now
	c.recoveries++
	history := c.transcript.history()
	c.mu.Unlock()
	c.b.log.Warn("model connection lost; dialling anew", "call_id", c.offer.Call.ID, "error", lost)
	conv, err := c.dial(history)
	if err != nil {
		return nil, errors.Join(lost, err)
	}
	return conv, nil
}

// roll replaces a session that nears the vendor's limit, with what was said so far. A failure is tried again by the
// timer while the old session lives.
func (c *call) roll(history []Line) {
	defer c.survive()
	_, err := c.dial(history)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rolling = false
	if err != nil {
		c.sessionSince = c.sessionSince.Add(10 * time.Second)
		return
	}
	c.rollovers++
}

// carry brings the dialogue into a session that knows nothing of the last one's responses.
func (c *call) carry(now time.Time) {
	owed := c.responses.state != idle || c.responses.wanted != nil || !c.stoppedAt.IsZero()
	next := Reply{}
	switch {
	case c.answered.IsZero():
		owed, next = true, greeting(c.offer.Profile, now)
	case c.responses.wanted != nil:
		next = *c.responses.wanted
	}
	c.responses.forget()
	c.speaking, c.responses.held, c.doubt, c.calls = false, false, doubt{}, nil
	c.settled(c.playback.end(""), now)
	if owed {
		c.responses.want(c.conv, next, now)
	}
}

// finish tells what came of the call, when nothing of it runs any more.
func (c *call) finish() {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.playback.cut() {
		s.line.finish(now.Sub(c.started), share(s))
	}
	c.tell(now, true)
	held := time.Duration(0)
	if !c.answered.IsZero() {
		held = now.Sub(c.answered)
	}
	slices.Sort(c.latencies)
	c.record(CallEnded, Ended{
		Reason: c.reason, Ending: c.ending, AgentSeconds: held.Round(time.Millisecond).Seconds(), Usage: c.usage,
		LatencyP50: quantile(c.latencies, 50), LatencyP95: quantile(c.latencies, 95), Turns: c.transcript.count,
		BargeIns: c.bargeIns, Recoveries: c.recoveries, Rollovers: c.rollovers,
	})
	c.b.metrics.ended.WithLabelValues(string(c.reason)).Inc()
	c.watch.end()
}

// quantile is the nearest-rank percentile of sorted durations, in milliseconds.
func quantile(sorted []time.Duration, percent int) int64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*percent+99)/100-1].Milliseconds()
}

// tell passes on the turns that are complete.
func (c *call) tell(now time.Time, over bool) {
	for _, turn := range c.transcript.complete(now, over) {
		c.record(CallTurn, turn)
		c.watch.turn(turn)
	}
}

func (c *call) record(kind string, data any) {
	raw, err := json.Marshal(data)
	if err != nil {
		c.b.log.Error("event not recorded", "type", kind, "error", err)
		return
	}
	id, err := uuid.NewV7()
	if err != nil {
		id = uuid.New()
	}
	c.b.opts.Recorder.Record(Event{
		ID: id, CallID: c.offer.Call.ID, TenantID: c.offer.Profile.TenantID, CallSID: c.offer.Call.SID, Type: kind, At: time.Now(), Data: raw,
	})
}
