package agent

import "time"

// Greeting is the agent's first sentence at that time.
func (p *Profile) Greeting(now time.Time) string {
	if !p.Open(now) && p.Settings.AfterHoursGreeting != "" {
		return p.Settings.AfterHoursGreeting
	}
	return p.Settings.Greeting
}

// Open reports whether the business is open at that time.
func (p *Profile) Open(now time.Time) bool {
	local := now.In(p.location())
	minute := local.Hour()*60 + local.Minute()
	for _, o := range p.Settings.Hours.on(local) {
		if minutes(o.Opens) <= minute && minute < minutes(o.Closes) {
			return true
		}
	}
	return false
}

// location is the tenant's; the database holds none that Go does not know, but a zone file may be missing.
func (p *Profile) location() *time.Location {
	zone, err := time.LoadLocation(p.Timezone)
	if err != nil {
		return time.UTC
	}
	return zone
}

// on are the openings of a local date.
func (h Hours) on(date time.Time) []Opening {
	iso := date.Format(time.DateOnly)
	for _, holiday := range h.Holidays {
		if holiday.Date == iso {
			if holiday.Opens == "" {
				return nil
			}
			return []Opening{{Day: Weekdays[weekday(date)], Opens: holiday.Opens, Closes: holiday.Closes}}
		}
	}
	var openings []Opening
	for _, o := range h.Weekly {
		if o.Day == Weekdays[weekday(date)] {
			openings = append(openings, o)
		}
	}
	return openings
}

// Weekdays lists the days as Opening.Day names them, Monday first.
var Weekdays = [7]string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}

func weekday(date time.Time) int { return (int(date.Weekday()) + 6) % 7 }

// minutes of "HH:MM" from midnight; -1 if it is no time of day.
func minutes(clock string) int {
	if clock == "24:00" {
		return 24 * 60
	}
	t, err := time.Parse("15:04", clock)
	if err != nil || len(clock) != 5 {
		return -1
	}
	return t.Hour()*60 + t.Minute()
}
