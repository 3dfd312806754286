package jobs_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

// The recount: what a year's usage must come to, worked out in Go from the events alone. It shares nothing with the SQL
// that it is held against.

// yearPeriod is one usage period as it must be in the end.
type yearPeriod struct {
	Start, End         time.Time
	Calls, Late        int
	Seconds, SMS, Cost int
	// What was known only after the close.
	LateSeconds, LateSMS, LateCost int
	Closed                         time.Time
}

type yearTenant struct {
	id      uuid.UUID
	zone    *time.Location
	anchor  int
	periods []yearPeriod
	shown   int // index of the period that the reset has got to
	opened  int // index of the last one that something has happened in: no move of the anchor or the clock changes it
	until   time.Time
	limit   int
	own     bool // the limit is its own, not its plan's
	plan    int  // of yearPlans
	live    bool
	trial   time.Time       // its end; zero for who pays
	mails   map[string]bool // expected dedupe keys
}

type yearCall struct {
	tenant        *yearTenant
	sid           string
	started       time.Time
	agent         int
	seconds, cost int
	never         bool // a test or a blocked call
	period        int  // that counted it; -1 before
}

// midnight is the first instant of a local day, found by walking back from noon: some days begin at one.
func midnight(year int, month time.Month, day int, zone *time.Location) time.Time {
	at := time.Date(year, month, day, 12, 0, 0, 0, zone)
	for at.Add(-15*time.Minute).Day() == at.Day() {
		at = at.Add(-15 * time.Minute)
	}
	return at.UTC()
}

// boundaries are the calendar's, from well before from until well after to.
func (y *yearTenant) boundaries(from, to time.Time) (starts []time.Time) {
	first := time.Date(from.Year(), from.Month()-2, 1, 0, 0, 0, 0, time.UTC)
	for month := first; month.Before(to.AddDate(0, 4, 0)); month = month.AddDate(0, 1, 0) {
		last := time.Date(month.Year(), month.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
		starts = append(starts, midnight(month.Year(), month.Month(), min(y.anchor, last), y.zone))
	}
	return starts
}

// layout gives the tenant every period from the one that holds from on.
func (y *yearTenant) layout(from time.Time) {
	starts := y.boundaries(from, y.until)
	for i := range len(starts) - 1 {
		if starts[i+1].After(from) && !starts[i].After(y.until) {
			y.periods = append(y.periods, yearPeriod{Start: starts[i], End: starts[i+1]})
		}
	}
}

// move lays out anew what has not been opened: each period begins where the one before ended, whatever the calendar now
// says, and one of less than two days is joined to the next.
func (y *yearTenant) move(anchor int, zone *time.Location) {
	y.anchor, y.zone = anchor, zone
	y.periods = y.periods[:y.opened+1]
	begin := y.periods[y.opened].End
	for _, end := range y.boundaries(begin, y.until) {
		if end.Sub(begin) >= 48*time.Hour {
			y.periods = append(y.periods, yearPeriod{Start: begin, End: end})
			begin = end
		}
	}
}

// at is the index of the period that holds an instant, which something has happened in now.
func (y *yearTenant) at(t time.Time) int {
	i := slices.IndexFunc(y.periods, func(p yearPeriod) bool { return !t.Before(p.Start) && t.Before(p.End) })
	y.opened = max(y.opened, i)
	return i
}

// reset closes what has ended, and returns how many periods that is.
func (y *yearTenant) reset(at time.Time) (closed int) {
	for i := range y.periods {
		if p := &y.periods[i]; p.Closed.IsZero() && !p.End.After(at) {
			p.Closed, y.shown, y.opened = at, i+1, max(y.opened, i+1)
			closed++
		}
	}
	return closed
}

// told notes the warning that a period's count calls for.
func (y *yearTenant) told(i int) {
	p := y.periods[i]
	if !y.live || i < y.shown {
		return
	}
	key := func(threshold int) string {
		return fmt.Sprintf("usage:%d:%s:%s:%d", threshold, y.id, p.Start.Format("2006-01-02T15:04"), y.limit)
	}
	switch {
	case p.Calls >= y.limit:
		y.mails[key(100)] = true
	case p.Calls*5 >= y.limit*4 && !y.mails[key(100)]:
		y.mails[key(80)] = true
	}
}

// answered notes that the record now says the agent has answered.
func (c *yearCall) answered() {
	if c.never || c.period >= 0 || c.agent < 1 {
		return
	}
	c.period = c.tenant.at(c.started)
	p := &c.tenant.periods[c.period]
	if !p.Closed.IsZero() {
		p.Late, p.LateSeconds, p.LateCost = p.Late+1, p.LateSeconds+c.seconds, p.LateCost+c.cost
		return
	}
	p.Calls, p.Seconds, p.Cost = p.Calls+1, p.Seconds+c.seconds, p.Cost+c.cost
	c.tenant.told(c.period)
}

// corrected notes that Twilio has said more of a call's length and price.
func (c *yearCall) corrected(seconds, cost int) {
	if c.period >= 0 {
		p := &c.tenant.periods[c.period]
		if p.Closed.IsZero() {
			p.Seconds, p.Cost = p.Seconds+seconds-c.seconds, p.Cost+cost-c.cost
		} else {
			p.LateSeconds, p.LateCost = p.LateSeconds+seconds-c.seconds, p.LateCost+cost-c.cost
		}
	}
	c.seconds, c.cost = seconds, cost
}

// yearPlans are the plans with so few calls that a year's are many.
var yearPlans = []struct {
	tier  string
	limit int
}{{"starter", 3}, {"professional", 5}, {"premium", 8}}

var yearZones = []string{"America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "Asia/Beirut", "Pacific/Kiritimati"}

func yearTenants(t *testing.T, rng *rand.Rand, count int, from, to time.Time) []*yearTenant {
	t.Helper()
	var tenants []*yearTenant
	for i := range count {
		zone, err := time.LoadLocation(yearZones[i%len(yearZones)])
		must(t, err)
		y := &yearTenant{zone: zone, anchor: 1 + i%31, limit: 2 + rng.IntN(9), own: i%3 > 0, live: true, until: to, mails: map[string]bool{}}
		if i%10 == 0 {
			y.trial = from.Add(time.Duration(rng.Int64N(int64(to.Sub(from))))).Truncate(time.Second)
		}
		if !y.own {
			y.limit = yearPlans[y.plan].limit
		}
		y.layout(from)
		tenants = append(tenants, y)
	}
	return tenants
}
