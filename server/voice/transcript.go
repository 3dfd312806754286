package voice

import (
	"strings"
	"time"
)

// transcript is what was said, in the order in which people began to speak. Words arrive later than the audio and out of
// order; a line is told on when it and all before it are complete.
type transcript struct {
	lines []*line
	told  int // of lines
	count int // of turns told
}

type line struct {
	item     string
	turn     Turn
	worded   bool // text is here
	finished bool // its end is known
	share    float64
	due      time.Time // when to go on without the text
}

func (t *transcript) begin(speaker, item string, at, waited time.Duration) *line {
	l := &line{item: item, share: 1, turn: Turn{Speaker: speaker, StartedMS: at.Milliseconds(), LatencyMS: waited.Milliseconds()}}
	t.lines = append(t.lines, l)
	return l
}

// note is a line of the system's: told to a model that takes over, and to nobody else.
func (t *transcript) note(text string) {
	l := t.begin(System, "", 0, 0)
	l.turn.Text, l.worded, l.finished = text, true, true
}

func (t *transcript) find(item string) *line {
	for i := len(t.lines) - 1; i >= 0 && item != ""; i-- {
		if t.lines[i].item == item {
			return t.lines[i]
		}
	}
	return nil
}

func (t *transcript) said(item, text string) {
	if l := t.find(item); l != nil {
		l.turn.Text, l.worded = strings.TrimSpace(text), true
	}
}

func (t *transcript) stopped(item string, at time.Duration, due time.Time) {
	if l := t.find(item); l != nil {
		l.finish(at, 1)
		l.due = due
	}
}

// finish notes a line's end; share is how much of it was heard.
func (l *line) finish(at time.Duration, share float64) {
	if l == nil || l.finished {
		return
	}
	l.finished, l.share = true, share
	l.turn.EndedMS = max(at.Milliseconds(), l.turn.StartedMS)
	l.turn.Interrupted = share < 1
}

// text is what was said, or about what was heard of it.
func (l *line) text() string {
	if l.share >= 1 {
		return l.turn.Text
	}
	words := strings.Fields(l.turn.Text)
	return strings.Join(words[:min(len(words), int(l.share*float64(len(words))+0.5))], " ")
}

// complete are the turns that can be told now: all of them, where the call is over.
func (t *transcript) complete(now time.Time, over bool) (turns []Turn) {
	for ; t.told < len(t.lines); t.told++ {
		l := t.lines[t.told]
		late := over || (!l.due.IsZero() && now.After(l.due))
		if !late && (!l.worded || !l.finished) {
			break
		}
		if turn := l.turn; turn.Speaker != System {
			if turn.Text = l.text(); turn.Text != "" {
				t.count++
				turn.Position = t.count
				turns = append(turns, turn)
			}
		}
	}
	return turns
}

// history is what a model must know that takes over.
func (t *transcript) history() []Line {
	lines := make([]Line, 0, len(t.lines))
	for _, l := range t.lines {
		if text := l.text(); text != "" {
			lines = append(lines, Line{Speaker: l.turn.Speaker, Text: text})
		}
	}
	return lines
}
