package openai

import (
	"slices"
	"strings"
	"time"

	"kestrel.ai/server/sandbox/script"
	"kestrel.ai/server/sandbox/speech"
)

// item is one entry of the conversation.
type item struct {
	ID        string
	Type      string // message, function_call, function_call_output
	Role      string // of a message
	Status    string
	Parts     []part
	CallID    string
	Name      string
	Arguments string
	Output    string
	spoken    *spoken // audio of ours
}

// part is a piece of a message's content.
type part struct {
	Type       string `json:"type"`
	Text       string `json:"text,omitempty"`
	Transcript string `json:"transcript,omitempty"`
}

// json is the item as the API shows it.
func (i *item) json() map[string]any {
	m := map[string]any{"id": i.ID, "object": "realtime.item", "type": i.Type, "status": i.Status}
	switch i.Type {
	case "message":
		parts := make([]map[string]any, 0, len(i.Parts))
		for _, p := range i.Parts {
			part := map[string]any{"type": p.Type}
			if strings.HasSuffix(p.Type, "_text") {
				part["text"] = p.Text
			} else if p.Transcript != "" || i.Role == "assistant" {
				part["transcript"] = p.Transcript
			}
			parts = append(parts, part)
		}
		m["role"], m["content"] = i.Role, parts
	case "function_call":
		m["call_id"], m["name"], m["arguments"] = i.CallID, i.Name, i.Arguments
	case "function_call_output":
		m["call_id"], m["output"] = i.CallID, i.Output
	}
	return m
}

// turn is the item as the receptionist knows it.
func (i *item) turn() script.Turn {
	switch i.Type {
	case "function_call":
		return script.Turn{Role: script.Call, CallID: i.CallID, Name: i.Name, Text: i.Arguments}
	case "function_call_output":
		return script.Turn{Role: script.Output, CallID: i.CallID, Text: i.Output}
	}
	var said []string
	for _, p := range i.Parts {
		said = append(said, p.Text+p.Transcript)
	}
	t := script.Turn{Role: i.Role, Text: strings.TrimSpace(strings.Join(said, " "))}
	if i.spoken != nil && i.Status != "in_progress" {
		t.Unheard = i.spoken.after(i.spoken.sent)
	}
	return t
}

// spoken is text as audio: words, and where in the audio each ends.
type spoken struct {
	words []string
	ends  []int
	audio []byte
	sent  int // bytes
}

func speak(text string, perWord time.Duration) *spoken {
	s := &spoken{words: strings.Fields(text)}
	for _, w := range s.words {
		s.audio = append(s.audio, speech.Encode(w, perWord)...)
		s.ends = append(s.ends, len(s.audio))
	}
	return s
}

// upTo is what is said from one byte of the audio to another: the words that begin there.
func (s *spoken) upTo(from, to int) string {
	var said []string
	begins := 0
	for i, w := range s.words {
		if begins >= from && begins < to {
			said = append(said, w)
		}
		begins = s.ends[i]
	}
	return strings.Join(said, " ")
}

// heard is what a listener had heard whole after so many bytes.
func (s *spoken) heard(bytes int) string {
	n := 0
	for n < len(s.words) && s.ends[n] <= bytes {
		n++
	}
	return strings.Join(s.words[:n], " ")
}

// after is what a listener had not heard whole by then.
func (s *spoken) after(bytes int) string {
	n := 0
	for n < len(s.words) && s.ends[n] <= bytes {
		n++
	}
	return strings.Join(s.words[n:], " ")
}

func (s *Session) find(id string) (at int) {
	return slices.IndexFunc(s.items, func(i *item) bool { return i.ID == id })
}

// add puts an item behind another (nil: at the end), says so, and returns the id of the one before it, or nil.
func (s *Session) add(i *item, after *string) {
	at := len(s.items)
	if after != nil {
		at = s.find(*after) + 1 // "root" is not found: the beginning
	}
	s.mu.Lock()
	s.items = slices.Insert(s.items, at, i)
	s.mu.Unlock()
	s.send("conversation.item.added", map[string]any{"previous_item_id": s.before(i), "item": i.json()})
}

func (s *Session) before(i *item) any {
	if at := s.find(i.ID); at > 0 {
		return s.items[at-1].ID
	}
	return nil
}

func (s *Session) itemDone(i *item) {
	s.send("conversation.item.done", map[string]any{"previous_item_id": s.before(i), "item": i.json()})
}

func (s *Session) createItem(event map[string]any) *problem {
	var c struct {
		Previous *string `json:"previous_item_id"`
		Item     struct {
			ID, Type, Role, Name, Arguments, Output string
			CallID                                  string `json:"call_id"`
			Content                                 []part
		}
	}
	if err := convert(event, &c); err != nil {
		return &problem{"invalid_value", err.Error(), "item"}
	}
	i := &item{
		ID: c.Item.ID, Type: c.Item.Type, Role: c.Item.Role, Status: "completed", Parts: c.Item.Content,
		CallID: c.Item.CallID, Name: c.Item.Name, Arguments: c.Item.Arguments, Output: c.Item.Output,
	}
	if i.ID == "" {
		i.ID = s.nextID("item")
	}
	if p := s.refuses(i, c.Previous); p != nil {
		return p
	}
	if i.Type == "function_call" && i.CallID == "" {
		i.CallID = s.nextID("call")
	}
	s.add(i, c.Previous)
	s.itemDone(i)
	return nil
}

func (s *Session) refuses(i *item, previous *string) *problem {
	if previous != nil && *previous != "root" && s.find(*previous) < 0 {
		return &problem{"item_create_invalid_previous_item_id", "Error adding item: the previous item with id '" + *previous + "' does not exist.", "previous_item_id"}
	}
	if s.find(i.ID) >= 0 {
		return &problem{"item_create_duplicate_item_id", "Error adding item: an item with id '" + i.ID + "' exists already.", "item.id"}
	}
	if i.Type != "function_call_output" {
		return nil
	}
	if !slices.ContainsFunc(s.items, func(c *item) bool { return c.Type == "function_call" && c.CallID == i.CallID }) {
		return &problem{"invalid_tool_call_id", "Tool call ID '" + i.CallID + "' not found in conversation.", "item.call_id"}
	}
	return nil
}

func (s *Session) retrieveItem(id string) *problem {
	at := s.find(id)
	if at < 0 {
		return &problem{"item_retrieve_invalid_item_id", "Error retrieving item: the item with id '" + id + "' does not exist.", "item_id"}
	}
	s.send("conversation.item.retrieved", map[string]any{"item": s.items[at].json()})
	return nil
}

func (s *Session) deleteItem(id string) *problem {
	at := s.find(id)
	if at < 0 {
		return &problem{"item_delete_invalid_item_id", "Error deleting item: the item with id '" + id + "' does not exist.", "item_id"}
	}
	s.mu.Lock()
	s.items = slices.Delete(s.items, at, at+1)
	s.mu.Unlock()
	s.send("conversation.item.deleted", map[string]any{"item_id": id})
	return nil
}

// truncate forgets what was not heard of an item's audio: it objects past the audio's end, and at 0.
func (s *Session) truncate(id string, content, endMS int) *problem {
	at := s.find(id)
	if at < 0 {
		return &problem{"item_truncate_invalid_item_id", "Error truncating item: the item with id '" + id + "' does not exist.", "item_id"}
	}
	i := s.items[at]
	switch {
	case i.Type != "message" || i.Role != "assistant" || i.spoken == nil:
		return &problem{"invalid_value", "Only model output audio messages can be truncated.", "item_id"}
	case content != 0:
		return &problem{"invalid_value", "Content index out of range.", "content_index"}
	case endMS <= 0:
		return &problem{"integer_below_min_value", "Invalid 'audio_end_ms': integer below minimum value. Expected a value >= 1.", "audio_end_ms"}
	}
	end := speech.Bytes(time.Duration(endMS) * time.Millisecond)
	if end > i.spoken.sent {
		return &problem{"invalid_value", "Audio content of " + ms(i.spoken.sent) + "ms is already shorter than " + ms(end) + "ms", "audio_end_ms"}
	}
	s.mu.Lock()
	i.spoken.sent = end
	if len(i.Parts) > 0 { // it has none while it is being spoken
		i.Parts[0].Transcript = i.spoken.heard(end)
	}
	s.mu.Unlock()
	s.send("conversation.item.truncated", map[string]any{"item_id": id, "content_index": 0, "audio_end_ms": endMS})
	return nil
}
