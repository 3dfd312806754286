package realtime

import (
	"encoding/json"
	"fmt"
	"time"

	"kestrel.ai/server/voice"
	"kestrel.ai/server/voice/wire"
)

// conversation is one session.
type conversation struct {
	conn *wire.Conn
	flat wire.Flat
	// The last ids seen: audio comes in runs of one response and item, which so costs no string each time.
	response, item string
}

var _ voice.Conversation = (*conversation)(nil)

// The two ends of an input_audio_buffer.append around its payload.
var (
	appendHead = []byte(`{"type":"input_audio_buffer.append","audio":"`)
	appendTail = []byte(`"}`)
)

func (c *conversation) Append(payload []byte) error {
	return c.conn.Write(appendHead, payload, appendTail)
}

func (c *conversation) send(event any) error {
	message, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("realtime: %w", err)
	}
	return c.conn.Write(message)
}

func (c *conversation) Respond(r voice.Reply) error {
	event := responseCreate{Type: "response.create"}
	if r != (voice.Reply{}) {
		event.Response = &responseParams{Instructions: r.Instructions}
		if r.NoTools {
			event.Response.ToolChoice = "none"
		}
	}
	return c.send(event)
}

func (c *conversation) Cancel(responseID string) error {
	return c.send(responseCancel{Type: "response.cancel", ResponseID: responseID})
}

func (c *conversation) Truncate(itemID string, heard time.Duration) error {
	return c.send(itemTruncate{Type: "conversation.item.truncate", ItemID: itemID, AudioEndMS: heard.Milliseconds()})
}

func (c *conversation) Note(speaker, text string) error {
	role, kind := "system", "input_text"
	switch speaker {
	case voice.Caller:
		role = "user"
	case voice.Agent:
		role, kind = "assistant", "output_text"
	}
	return c.send(itemCreate{Type: "conversation.item.create", Item: messageItem{
		Type: "message", Role: role, Content: []contentPart{{Type: kind, Text: text}},
	}})
}

func (c *conversation) ToolResult(toolCallID, output string) error {
	return c.send(itemCreate{Type: "conversation.item.create", Item: toolOutputItem{
		Type: "function_call_output", CallID: toolCallID, Output: output,
	}})
}

func (c *conversation) Close() error { return c.conn.Close() }

func (c *conversation) Listen(handle func(e *voice.ModelEvent)) error {
	var e voice.ModelEvent
	return c.conn.Each(func(message []byte) error {
		if c.audio(message, &e) {
			handle(&e)
			return nil
		}
		var s serverEvent
		if err := s.decode(message); err != nil {
			// What cannot be read is one event lost, not a call.
			e = voice.ModelEvent{Kind: voice.Rejected, Code: "unreadable", Message: err.Error()}
			handle(&e)
		} else if s.fill(&e) {
			handle(&e)
		}
		return nil
	})
}

// audio reads the one event that comes all the time, where it has its usual form.
func (c *conversation) audio(message []byte, e *voice.ModelEvent) bool {
	if !c.flat.Scan(message) || string(c.flat.Get("", "type")) != "response.output_audio.delta" {
		return false
	}
	delta := c.flat.Get("", "delta")
	if !wire.Base64(delta) {
		return false
	}
	c.response = same(c.response, c.flat.Get("", "response_id"))
	c.item = same(c.item, c.flat.Get("", "item_id"))
	*e = voice.ModelEvent{Kind: voice.ModelAudio, ResponseID: c.response, ItemID: c.item, Audio: delta}
	return true
}

// same is b as a string, allocated only if it differs from the last one.
func same(last string, b []byte) string {
	if last == string(b) {
		return last
	}
	return string(b)
}
