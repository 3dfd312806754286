package voice

import "time"

// responses is the one place that decides when the model may speak. The vendor allows one response at a time and
// objects to a second one, and to cancelling none: neither is ever fatal, and both bring this account up to date.
type responses struct {
	state  responseState
	id     string // of the one that is active or being cancelled, where known
	asked  Reply  // what the current one was asked for
	wanted *Reply // asked for as soon as that is possible
	since  time.Time
	held   bool   // the caller speaks
	last   string // the one before
	spoke  bool   // the current one had audio
}

type responseState uint8

const (
	idle       responseState = iota
	asking                   // response.create is on its way
	active                   // response.created came
	cancelling               // response.cancel is on its way, or follows response.created
)

// want asks for a reply now, or when the current response has ended and the caller is silent. A later wish replaces
// an earlier one that was not yet sent.
func (r *responses) want(to Conversation, reply Reply, now time.Time) {
	r.wanted = &reply
	r.pump(to, now)
}

func (r *responses) pump(to Conversation, now time.Time) {
	if r.state != idle || r.wanted == nil || r.held || to == nil {
		return
	}
	r.asked, r.wanted = *r.wanted, nil
	r.state, r.id, r.since, r.spoke = asking, "", now, false
	_ = to.Respond(r.asked) // a lost connection is noticed by who reads from it
}

func (r *responses) began(to Conversation, id string, now time.Time) {
	if r.state == cancelling && r.id == "" {
		_ = to.Cancel(id)
		r.id = id
		return
	}
	r.state, r.id, r.since, r.spoke = active, id, now, false
}

func (r *responses) ended(to Conversation, id string, now time.Time) {
	if r.id != "" && id != "" && r.id != id {
		return // an older one; the current one goes on
	}
	if r.state == asking && r.id == "" {
		return // an older one ended, and ours has not begun
	}
	r.state, r.id, r.last = idle, "", id
	r.pump(to, now)
}

// heard notes audio of a response. Audio of one that was asked for may come before the word that it began.
func (r *responses) heard(to Conversation, id string, now time.Time) {
	if r.state == asking && id != r.last {
		r.began(to, id, now)
	}
	r.spoke = true
}

// interrupt stops what the model is saying or about to say. It is idempotent.
func (r *responses) interrupt(to Conversation) {
	r.wanted = nil
	switch r.state {
	case asking:
		r.state = cancelling
	case active:
		r.state = cancelling
		_ = to.Cancel(r.id)
	}
}

// rejected takes the two objections that tell what the vendor's state really is.
func (r *responses) rejected(to Conversation, code string, now time.Time) {
	switch {
	case code == CodeResponseActive && (r.state == asking || r.state == cancelling && r.id == ""):
		if r.state == asking && r.wanted == nil {
			again := r.asked
			r.wanted = &again
		}
		r.state, r.id = active, ""
	case code == CodeCancelNotActive && r.state == cancelling:
		r.state, r.id = idle, ""
		r.pump(to, now)
	}
}

// forget is for a new conversation, or for a response that will never come.
func (r *responses) forget() { r.state, r.id = idle, "" }

// dropped reports whether audio of a response must not be heard any more.
func (r *responses) dropped(id string) bool {
	return r.state == cancelling && (r.id == "" || r.id == id)
}
