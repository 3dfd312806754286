package voice

import (
	"sync"
	"time"
)

const (
	answersKept = 15 * time.Minute // Twilio repeats a webhook within seconds
	maxAnswers  = 20_000
)

// answers remembers what each call was told, so that a webhook that comes twice gets the same answer and the call one
// stream. It is per process; a repeat that reaches another one is answered anew, and its token refused: see Minter.Open.
type answers struct {
	mu    sync.Mutex
	by    map[string]*answered
	order []string // oldest first
	now   func() time.Time
}

type answered struct {
	once sync.Once
	at   time.Time
	body []byte
}

func newAnswers(now func() time.Time) *answers {
	return &answers{by: map[string]*answered{}, now: now}
}

// get returns the call's answer; the first who asks makes it, the others wait for that.
func (a *answers) get(callSID string, make func() []byte) []byte {
	entry := a.entry(callSID)
	entry.once.Do(func() { entry.body = make() })
	return entry.body
}

func (a *answers) entry(callSID string) *answered {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if known, ok := a.by[callSID]; ok && now.Sub(known.at) < answersKept {
		return known
	}
	for len(a.order) > 0 {
		oldest, ok := a.by[a.order[0]]
		if ok && now.Sub(oldest.at) < answersKept && len(a.order) < maxAnswers {
			break
		}
		delete(a.by, a.order[0])
		a.order = a.order[1:]
	}
	entry := &answered{at: now}
	a.by[callSID] = entry
	a.order = append(a.order, callSID)
	return entry
}
