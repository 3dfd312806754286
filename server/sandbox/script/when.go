package script

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	spelledNow = regexp.MustCompile(`(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, ([A-Z][a-z]+ \d{1,2}, \d{4}) at (\d{1,2}:\d{2} [AP]M)`)
	isoNow     = regexp.MustCompile(`(?i)(?:now|time|today|date)\D{0,40}(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})`)
	zoneName   = regexp.MustCompile(`\b(?:UTC|(?:Africa|America|Antarctica|Asia|Atlantic|Australia|Europe|Indian|Pacific)/[A-Za-z_/-]+[A-Za-z])`)
)

// clock is the time that the instructions tell, in the timezone that they name; else that of the scene, in UTC.
func (s Scene) clock() time.Time {
	zone := time.UTC
	if name := zoneName.FindString(s.Instructions); name != "" {
		if z, err := time.LoadLocation(name); err == nil {
			zone = z
		}
	}
	if m := spelledNow.FindStringSubmatch(s.Instructions); m != nil {
		if t, err := time.ParseInLocation("January 2, 2006 3:04 PM", m[1]+" "+m[2], zone); err == nil {
			return t
		}
	}
	if m := isoNow.FindStringSubmatch(s.Instructions); m != nil {
		if t, err := time.ParseInLocation("2006-01-02 15:04", m[1]+" "+m[2], zone); err == nil {
			return t
		}
	}
	return s.Now.In(zone)
}

// when is what a caller says about a time: a date, a time of day, either or neither.
type when struct {
	date  string // 2006-01-02
	clock string // 15:04
}

// or fills in what w does not say.
func (w when) or(before when) when {
	if w.date == "" {
		w.date = before.date
	}
	if w.clock == "" {
		w.clock = before.clock
	}
	return w
}

const (
	isoDate  = `^\d{4}-\d{2}-\d{2}$`
	monthDay = `^(\d{1,2})/(\d{1,2})$`
)

var (
	isISODate  = regexp.MustCompile(isoDate)
	isMonthDay = regexp.MustCompile(monthDay)
	isClock    = regexp.MustCompile(`^(\d{1,2})(?::(\d{2}))?(am|pm)?$`)
	isOrdinal  = regexp.MustCompile(`^(\d{1,2})(?:st|nd|rd|th)?$`)
	numbers    = strings.Fields("zero one two three four five six seven eight nine ten eleven twelve")
	ordinals   = strings.Fields("zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth")
	minutes    = map[string]string{"fifteen": "15", "thirty": "30", "forty-five": "45", "o'clock": "00", "15": "15", "30": "30", "45": "45"}
)

// parseWhen finds the time in what a caller says. A bare number is a time only after "at" and the like, or if hourAsked.
func parseWhen(text string, now time.Time, hourAsked bool) when {
	var w when
	said := words(text)
	at := func(i int) string {
		if i < 0 || i >= len(said) {
			return ""
		}
		return said[i]
	}
	for i, word := range said {
		if date, found := dateAt(said, i, now); found {
			w.date = date
			continue
		}
		if clock, found := clockAt(word, at(i-1), at(i+1), at(i+2), hourAsked); found && w.clock == "" {
			w.clock = clock
		}
	}
	return w
}

func dateAt(said []string, i int, now time.Time) (string, bool) {
	word := said[i]
	next := func(n int) string {
		if i+n >= len(said) {
			return ""
		}
		return said[i+n]
	}
	in := func(days int) (string, bool) { return now.AddDate(0, 0, days).Format(time.DateOnly), true }
	switch {
	case word == "today" || word == "tonight":
		return in(0)
	case word == "tomorrow" && i >= 2 && said[i-1] == "after" && said[i-2] == "day":
		return in(2)
	case word == "tomorrow":
		return in(1)
	case word == "week" && i > 0 && said[i-1] == "next":
		return in(7)
	case word == "in" && (next(2) == "days" || next(2) == "day"):
		if n := count(next(1)); n > 0 {
			return in(n)
		}
	case isISODate.MatchString(word):
		if _, err := time.Parse(time.DateOnly, word); err == nil {
			return word, true
		}
	}
	if m := isMonthDay.FindStringSubmatch(word); m != nil {
		month, _ := strconv.Atoi(m[1])
		day, _ := strconv.Atoi(m[2])
		return dateOf(time.Month(month), day, now)
	}
	for d := time.Sunday; d <= time.Saturday; d++ {
		if name := strings.ToLower(d.String()); word == name || word == name+"s" {
			days := (int(d-now.Weekday()) + 7) % 7
			if days == 0 {
				days = 7
			}
			return in(days)
		}
	}
	for m := time.January; m <= time.December; m++ {
		if name := strings.ToLower(m.String()); word == name || word == name[:3] && m != time.May {
			for _, n := range []int{1, 2} { // December 3, the third of December
				if day := ordinal(next(n)); day > 0 && (n == 1 || next(1) == "the") {
					return dateOf(m, day, now)
				}
			}
			if i >= 2 && said[i-1] == "of" {
				if day := ordinal(said[i-2]); day > 0 {
					return dateOf(m, day, now)
				}
			}
		}
	}
	return "", false
}

// dateOf is the next such day from now on.
func dateOf(m time.Month, day int, now time.Time) (string, bool) {
	for year := now.Year(); year < now.Year()+8; year++ {
		t := time.Date(year, m, day, 23, 59, 0, 0, now.Location())
		if t.Day() == day && t.Month() == m && t.After(now) {
			return t.Format(time.DateOnly), true
		}
	}
	return "", false
}

func count(word string) int {
	for n, name := range numbers {
		if word == name {
			return n
		}
	}
	n, err := strconv.Atoi(word)
	if err != nil {
		return -1
	}
	return n
}

func ordinal(word string) int {
	for n, name := range ordinals {
		if word == name {
			return n
		}
	}
	if m := isOrdinal.FindStringSubmatch(word); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return count(word)
}

func clockAt(word, before, after, then string, hourAsked bool) (string, bool) {
	switch word {
	case "noon", "midday":
		return "12:00", true
	case "midnight":
		return "00:00", true
	}
	if n := count(word); n > 0 && n <= 12 && word != strconv.Itoa(n) {
		word = strconv.Itoa(n)
	}
	m := isClock.FindStringSubmatch(word)
	if m == nil {
		return "", false
	}
	hour, _ := strconv.Atoi(m[1])
	minute, half := m[2], m[3]
	if minute == "" && minutes[after] != "" {
		minute, after = minutes[after], then
	}
	if half == "" && (after == "am" || after == "pm") {
		half = after
	}
	sure := half != "" || m[2] != "" || after == "o'clock"
	switch before {
	case "at", "around", "about", "by", "to", "make":
		sure = true
	}
	if !sure && !hourAsked || hour > 23 || half != "" && (hour > 12 || hour == 0) || minute > "59" {
		return "", false
	}
	switch {
	case half == "pm" && hour < 12, half == "" && hour >= 1 && hour <= 6: // nobody wants a visit at three in the morning
		hour += 12
	case half == "am" && hour == 12:
		hour = 0
	}
	if minute == "" {
		minute = "00"
	}
	return strconv.Itoa(hour/10) + strconv.Itoa(hour%10) + ":" + minute, true
}
