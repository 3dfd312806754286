package voice

import (
	"context"
	"encoding/json"
	"time"

	"kestrel.ai/server/agent"
)

type pendingTool struct {
	ToolCall
	response string
}

// use runs the tools of a completed response side by side. The model is asked to go on when all have answered.
func (c *call) use(tools []pendingTool, response string, spoke bool, now time.Time) {
	for _, t := range tools {
		if t.response != response && t.response != "" {
			continue
		}
		if c.outstanding == 0 {
			c.filler, c.fillerDue = "", now.Add(c.b.opts.Limits.FillerAfter)
		}
		c.outstanding++
		if c.filler == "" {
			c.filler = c.tools[t.Name].Filler
		}
		conv := c.conv
		c.group.Go(func() { c.runTool(conv, t.ToolCall, spoke) })
	}
}

// overdue is what the model hears of a tool that did not answer in time.
const overdue = `{"error":"This took too long and may not have happened. Say so, and offer to take a message."}`

func (c *call) runTool(conv Conversation, t ToolCall, spoke bool) {
	defer c.survive()
	within := c.tools[t.Name].Timeout
	if within <= 0 {
		within = c.b.opts.Limits.ToolWithin
	}
	ctx, cancel := context.WithTimeout(c.ctx, within)
	defer cancel()
	began := time.Now()
	arguments := json.RawMessage(t.Arguments)
	if !json.Valid(arguments) {
		arguments = json.RawMessage("{}")
	}
	answer := make(chan agent.Result, 1)
	c.group.Go(func() {
		defer c.survive()
		answer <- c.desk().Use(ctx, c.offer.Profile, c.offer.Call, t.ID, t.Name, arguments)
	})
	var result agent.Result
	late := false
	select {
	case result = <-answer:
	case <-ctx.Done():
		if c.ctx.Err() != nil {
			return
		}
		result, late = agent.Result{Output: overdue}, true
	}
	c.toolAnswered(conv, t, result, spoke, ToolUse{
		ToolCallID: t.ID, Name: t.Name, DurationMS: time.Since(began).Milliseconds(), TimedOut: late, Action: result.Action.Kind,
	})
}

func (c *call) desk() Desk {
	if c.offer.Desk != nil {
		return c.offer.Desk
	}
	return c.b.opts.Desk
}

func (c *call) toolAnswered(asked Conversation, t ToolCall, r agent.Result, spoke bool, use ToolUse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	now := time.Now()
	c.outstanding--
	c.quietSince = now
	c.record(CallTool, use)
	switch {
	case c.conv == nil || c.conv != asked:
		// Another session has taken over, which knows nothing of that tool call.
		c.transcript.note("The tool " + t.Name + " answered: " + r.Output)
		if c.conv != nil {
			_ = c.conv.Note(System, "The tool "+t.Name+" answered: "+r.Output)
		}
	default:
		_ = c.conv.ToolResult(t.ID, r.Output)
	}
	ends := r.Action.Kind != ""
	if ends {
		why, ending := endingOf(r.Action)
		c.finishing(why, ending, nil, now)
	}
	if c.outstanding == 0 && (!ends || !spoke) {
		c.responses.want(c.conv, Reply{NoTools: ends}, now)
	}
	c.progress(now)
}
