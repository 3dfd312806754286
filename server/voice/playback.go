package voice

import "time"

// bytesPerMS is µ-law's: 8,000 samples of a byte each a second.
const bytesPerMS = 8

// playback is the account of what was sent to the caller and what was heard of it. Twilio plays much later than the
// model speaks; only its marks, which come back when they are reached, tell how far it is.
type playback struct {
	items []*spoken // with audio that was not heard to its end, oldest first
	marks []mark    // on their way, oldest first
	next  uint64    // of marks
}

// spoken is the audio of one of the model's items.
type spoken struct {
	item     string
	sentTo   int // bytes sent to Twilio
	markedTo int // bytes before the last mark sent
	playedTo int // bytes before the last mark that came back
	ended    bool
	line     *line
}

type mark struct {
	n    uint64
	of   *spoken
	upTo int // bytes of the item before it
}

// heard is how much of the item reached the caller's ear, at least: never more than was sent.
func (s *spoken) heard() time.Duration {
	return time.Duration(min(s.playedTo, s.sentTo)/bytesPerMS) * time.Millisecond
}

// to is the item's account, opened with its first audio.
func (p *playback) to(item string) (s *spoken, first bool) {
	for i := len(p.items) - 1; i >= 0; i-- {
		if p.items[i].item == item {
			return p.items[i], false
		}
	}
	s = &spoken{item: item}
	p.items = append(p.items, s)
	return s, true
}

// sent notes n more bytes of an item, and reports whether a mark is due.
func (p *playback) sent(s *spoken, n int) bool {
	s.sentTo += n
	return s.sentTo-s.markedTo >= markEvery/4*3
}

// mark is the number of a new mark after all that was sent of the item.
func (p *playback) mark(s *spoken) uint64 {
	p.next++
	s.markedTo = s.sentTo
	p.marks = append(p.marks, mark{n: p.next, of: s, upTo: s.sentTo})
	return p.next
}

// unmarked are the items whose last bytes have no mark yet.
func (p *playback) unmarked(item string) []*spoken {
	var found []*spoken
	for _, s := range p.items {
		if (item == "" || s.item == item) && s.sentTo > s.markedTo {
			found = append(found, s)
		}
	}
	return found
}

// reached takes a mark that came back, and the ones before it. The items it returns have been heard to their end.
// Marks from before a cut come back too, cleared and not played: they are unknown by then.
func (p *playback) reached(n uint64) (heard []*spoken) {
	known := false
	for _, m := range p.marks {
		known = known || m.n == n
	}
	if !known {
		return nil
	}
	for len(p.marks) > 0 && p.marks[0].n <= n {
		p.marks[0].of.playedTo = p.marks[0].upTo
		p.marks = p.marks[1:]
	}
	return p.settle()
}

// end notes that an item, or every one where it is "", gets no more audio.
func (p *playback) end(item string) (heard []*spoken) {
	for _, s := range p.items {
		if item == "" || s.item == item {
			s.ended = true
		}
	}
	return p.settle()
}

func (p *playback) settle() (heard []*spoken) {
	left := p.items[:0]
	for _, s := range p.items {
		if s.ended && s.playedTo >= s.sentTo {
			heard = append(heard, s)
		} else {
			left = append(left, s)
		}
	}
	clear(p.items[len(left):])
	p.items = left
	return heard
}

// playing reports whether the caller still hears, or is about to hear, something.
func (p *playback) playing() bool {
	for _, s := range p.items {
		if s.playedTo < s.sentTo {
			return true
		}
	}
	return false
}

// cut forgets all that was not heard, as Twilio does on a clear, and returns the items it was of.
func (p *playback) cut() []*spoken {
	items := p.items
	p.items, p.marks = nil, nil
	return items
}
