package agent

import (
	"errors"
	"fmt"
	"time"
)

// Moment is a time as it is to be read back: a caller hears the weekday, the date, the time and whose time it is.
type Moment struct {
	StartsAt string `json:"starts_at"` // RFC 3339, with the offset of that day
	Say      string `json:"say"`       // Thursday, December 3, 2026 at 3:00 PM Eastern Standard Time (America/New_York)
}

// moment puts an instant into the tenant's words.
func (p *Profile) moment(t time.Time) Moment {
	local := t.In(p.location())
	return Moment{StartsAt: local.Format(time.RFC3339), Say: Say(local)}
}

// Say spells a local time out, with its timezone.
func Say(local time.Time) string {
	return local.Format("Monday, January 2, 2006 at 3:04 PM ") + ZoneName(local)
}

// ZoneName is what people call the timezone at that time; its IANA name where they have no common word for it.
func ZoneName(local time.Time) string {
	abbreviation, _ := local.Zone()
	if name, common := zoneNames[abbreviation]; common && american(local.Location().String()) {
		return name
	}
	return fmt.Sprintf("%s time (UTC%s)", local.Location(), local.Format("-07:00"))
}

var zoneNames = map[string]string{
	"EST": "Eastern Standard Time", "EDT": "Eastern Daylight Time", "CST": "Central Standard Time", "CDT": "Central Daylight Time",
	"MST": "Mountain Standard Time", "MDT": "Mountain Daylight Time", "PST": "Pacific Standard Time", "PDT": "Pacific Daylight Time",
	"AKST": "Alaska Standard Time", "AKDT": "Alaska Daylight Time", "HST": "Hawaii Standard Time", "AST": "Atlantic Standard Time", "ADT": "Atlantic Daylight Time",
}

// american: CST is China's time as well.
func american(zone string) bool {
	return len(zone) > 8 && (zone[:8] == "America/" || zone == "Pacific/Honolulu")
}

var (
	errNotATime = errors.New("is not a date and time such as 2026-12-03T15:00")
	errNoSuch   = errors.New("does not exist on that day: the clocks go forward over it")
)

// at reads what the model says for a time: local to the tenant ("2026-12-03T15:00"), or with an offset. Where the clocks
// go back, a local time happens twice: both are returned, the earlier first. One that they skip is errNoSuch.
func (p *Profile) at(s string) ([]time.Time, error) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return []time.Time{t}, nil
		}
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04"} {
		wall, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		return instants(wall, p.location())
	}
	return nil, errNotATime
}

// instants are all the times at which a clock in the zone shows what wall shows, in order.
func instants(wall time.Time, zone *time.Location) ([]time.Time, error) {
	var found []time.Time
	// A zone's offset is one of those in force a day before and a day after.
	for _, near := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, offset := wall.Add(near).In(zone).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second).In(zone)
		if t.Format(time.DateTime) == wall.Format(time.DateTime) && (len(found) == 0 || !found[0].Equal(t)) {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 0:
		return nil, errNoSuch
	case len(found) == 2 && found[1].Before(found[0]):
		found[0], found[1] = found[1], found[0]
	}
	return found, nil
}

// day reads a local date; its midnight, and the next day's.
func (p *Profile) day(s string) (from, to time.Time, err error) {
	date, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return from, to, errNotATime
	}
	zone := p.location()
	return time.Date(date.Year(), date.Month(), date.Day(), 0, 0, 0, 0, zone), time.Date(date.Year(), date.Month(), date.Day()+1, 0, 0, 0, 0, zone), nil
}
