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
	Closed             time.Time
}

type yearTenant struct {
	id      uuid.UUID
	zone    *time.Location
	anchor  int
	periods []yearPeriod
	shown   int // index of the period that the reset has got to
	limit   int
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

// layout gives the tenant every period from the one that holds from to the one that holds to.
func (y *yearTenant) layout(from, to time.Time) {
	var starts []time.Time
	for month := from.AddDate(0, -2, 0); month.Before(to.AddDate(0, 3, 0)); month = month.AddDate(0, 1, 0) {
		last := time.Date(month.Year(), month.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
		starts = append(starts, midnight(month.Year(), month.Month(), min(y.anchor, last), y.zone))
	}
	for i := range len(starts) - 1 {
		if starts[i+1].After(from) && !starts[i].After(to) {
			y.periods = append(y.periods, yearPeriod{Start: starts[i], End: starts[i+1]})
		}
	}
}

func (y *yearTenant) at(t time.Time) int {
	return slices.IndexFunc(y.periods, func(p yearPeriod) bool { return !t.Before(p.Start) && t.Before(p.End) })
}

// reset closes what has ended, and returns how many periods that is.
func (y *yearTenant) reset(at time.Time) (closed int) {
	for i := range y.periods {
		if p := &y.periods[i]; p.Closed.IsZero() && !p.End.After(at) {
			p.Closed, y.shown = at, i+1
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
		p.Late++
		return
	}
	p.Calls, p.Seconds, p.Cost = p.Calls+1, p.Seconds+c.seconds, p.Cost+c.cost
	c.tenant.told(c.period)
}

// corrected notes that Twilio has said more of a call's length and price.
func (c *yearCall) corrected(seconds, cost int) {
	if c.period >= 0 {
		if p := &c.tenant.periods[c.period]; p.Closed.IsZero() {
			p.Seconds, p.Cost = p.Seconds+seconds-c.seconds, p.Cost+cost-c.cost
		}
	}
	c.seconds, c.cost = seconds, cost
}

var yearZones = []string{"America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "Asia/Beirut", "Pacific/Kiritimati"}

func yearTenants(t *testing.T, rng *rand.Rand, count int, from, to time.Time) []*yearTenant {
	t.Helper()
	var tenants []*yearTenant
	for i := range count {
		zone, err := time.LoadLocation(yearZones[i%len(yearZones)])
		must(t, err)
		y := &yearTenant{zone: zone, anchor: 1 + i%31, limit: 2 + rng.IntN(9), live: true, mails: map[string]bool{}}
		if i%10 == 0 {
			y.trial = from.Add(time.Duration(rng.Int64N(int64(to.Sub(from))))).Truncate(time.Second)
		}
		y.layout(from, to)
		tenants = append(tenants, y)
	}
	return tenants
}
