package sandbox

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// room is a conference: everybody in it hears the others.
type room struct {
	sid, name string
	opened    time.Time

	mu       sync.Mutex
	seats    []*seat
	started  bool
	sequence int
}

// seat is the program of a call that is in a conference.
type seat struct {
	room  *room
	muted bool
	done  chan struct{}
	once  sync.Once
	from  map[*seat]*audioQueue // what the others said; the room's lock guards the map
}

func (c *seat) leave() { c.once.Do(func() { close(c.done) }) }

func (c *seat) digit(byte) {}

// frame passes on what the party says and gives the first of the others who is not silent: two who speak at once are
// not mixed, so that the words in the audio stay whole.
func (c *seat) frame(in []byte) []byte {
	c.room.mu.Lock()
	defer c.room.mu.Unlock()
	if !c.room.started {
		return nil
	}
	for _, other := range c.room.seats {
		if q := other.from[c]; q != nil && !c.muted {
			q.put(in)
		}
	}
	var out []byte
	for _, q := range c.from {
		if frame := q.take(); frame != nil && (out == nil || isSilence(out)) {
			out = frame
		}
	}
	return out
}

// enter takes a seat in the room of that name, opening it if need be. It returns false when the room is full.
func (s *Sandbox) enter(name string, noun element, speed float64) (*seat, bool) {
	s.mu.Lock()
	r := s.rooms[name]
	if r == nil {
		r = &room{sid: "CF" + s.nextHex("conference"), name: name, opened: s.now().UTC()}
		s.rooms[name] = r
	}
	s.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.seats) >= noun.number("maxParticipants", 250) {
		return nil, false
	}
	c := &seat{room: r, muted: noun.attr("muted", "") == "true", done: make(chan struct{}), from: map[*seat]*audioQueue{}}
	for _, other := range r.seats {
		c.from[other], other.from[c] = newAudioQueue(speed), newAudioQueue(speed)
	}
	r.seats = append(r.seats, c)
	if noun.attr("startConferenceOnEnter", "true") == "true" {
		r.started = true
	}
	return c, true
}

// vacate gives a seat up. The room closes with its last seat, or with one that ends it; it reports whether it did.
func (s *Sandbox) vacate(c *seat, ends bool) (closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := c.room
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, other := range r.seats {
		if other == c {
			r.seats = append(r.seats[:i:i], r.seats[i+1:]...)
			break
		}
	}
	for _, other := range r.seats {
		delete(other.from, c)
		if ends {
			other.leave()
		}
	}
	if (len(r.seats) == 0 || ends) && s.rooms[r.name] == r {
		delete(s.rooms, r.name)
		return true
	}
	return false
}

func (l *leg) conference(ctx context.Context, v, noun element) (*document, *CallError) {
	if noun.Text == "" {
		return nil, &CallError{Code: 13250, Message: "Dial->Conference: a room needs a name"}
	}
	began := l.atMS()
	c, ok := l.s.enter(noun.Text, noun, l.speed)
	if !ok {
		return nil, &CallError{Code: 13253, Message: "Dial->Conference: the room is full"}
	}
	l.tell(noun, c.room, "participant-join", "join")
	limit := maxCall
	if n := v.number("timeLimit", 0); n > 0 {
		limit = time.Duration(n) * time.Second
	}
	talking, cancel := context.WithTimeout(ctx, time.Duration(float64(limit)/l.speed))
	defer cancel()
	l.run(talking, c, c.done)
	closed := l.s.vacate(c, noun.attr("endConferenceOnExit", "") == "true")
	l.tell(noun, c.room, "participant-leave", "leave")
	if closed {
		l.tell(noun, c.room, "conference-end", "end")
	}
	return l.afterDial(ctx, v, url.Values{
		"DialCallStatus": {"answered"}, "DialCallDuration": {strconv.FormatInt((l.atMS()-began)/1000, 10)}, "ConferenceSid": {c.room.sid},
	})
}

// tell sends a conference's status callback, if event is wanted.
func (l *leg) tell(noun element, r *room, event, word string) {
	target := noun.attr("statusCallback", "")
	wanted := false
	for _, w := range words(noun.attr("statusCallbackEvent", "")) {
		wanted = wanted || w == word
	}
	if target == "" || !wanted {
		return
	}
	r.mu.Lock()
	r.sequence++
	sequence := r.sequence
	r.mu.Unlock()
	form := url.Values{
		"AccountSid": {l.s.accountSID}, "CallSid": {l.call.SID}, "ConferenceSid": {r.sid}, "FriendlyName": {r.name}, "StatusCallbackEvent": {event},
		"SequenceNumber": {strconv.Itoa(sequence)}, "Timestamp": {twilioTime(l.s.now())}, "Muted": {noun.attr("muted", "false")}, "Hold": {"false"},
		"StartConferenceOnEnter": {noun.attr("startConferenceOnEnter", "true")}, "EndConferenceOnExit": {noun.attr("endConferenceOnExit", "false")},
	}
	if label := noun.attr("participantLabel", ""); label != "" {
		form.Set("ParticipantLabel", label)
	}
	l.later("conference", noun.attr("statusCallbackMethod", http.MethodPost), l.absolute(target), form)
}
