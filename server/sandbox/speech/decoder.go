package speech

// Decoder hears the words in a stream of audio, however it is cut into writes. The zero Decoder is ready.
type Decoder struct {
	marked int    // bytes of the mark seen
	head   []byte // lengths, text and checksum, as far as they have come
	text   int    // bytes of text; known once head has the lengths
	tone   int    // bytes of tone still to come
	heard  int    // bytes of tone that have come
}

// Write returns the words that this audio completes. A word that was cut, or changed by a byte, is never returned.
func (d *Decoder) Write(ulaw []byte) (words []string) {
	for _, b := range ulaw {
		switch {
		case b == silence:
		case b == mark[0]:
			*d = Decoder{marked: 1, head: d.head[:0]}
		case d.marked == 0:
		case d.marked < len(mark):
			if b == mark[d.marked] {
				d.marked++
			} else {
				d.marked = 0
			}
		case len(d.head) < lengths || len(d.head) < lengths+d.text+checksum:
			d.head = append(d.head, b)
			d.readHead()
		case b != tone[d.heard%len(tone)]:
			d.marked = 0
		default:
			if d.heard++; d.heard == d.tone {
				words = append(words, string(d.head[lengths:lengths+d.text]))
				d.marked = 0
			}
		}
	}
	return words
}

// readHead takes what head says once it is there, and gives the word up when that cannot be.
func (d *Decoder) readHead() {
	ok := true
	switch n := len(d.head); {
	case n == lengths:
		var text, filling bool
		d.text, text = number(d.head[:2])
		d.tone, filling = number(d.head[2:])
		ok = text && filling && d.text > 0 && d.text <= maxWord && d.tone > 0
	case n > lengths && n == lengths+d.text+checksum:
		said, digits := number(d.head[n-checksum:])
		ok = digits && said == sum(d.head[:n-checksum])
	}
	if !ok {
		d.marked = 0
	}
}
