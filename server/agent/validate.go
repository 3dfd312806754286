package agent

import (
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/nyaruka/phonenumbers"
)

// FieldError is one thing wrong with settings.
type FieldError struct {
	Field   string // path within the settings, e.g. hours.weekly[2].closes
	Message string // completes "<field> …"
}

// Validate lists all that is wrong with the settings; none if they can be published. It trims texts, makes numbers that
// are dialled in the United States E.164, and nothing else.
func (s *Settings) Validate() []FieldError {
	c := &check{}
	c.text("business_name", &s.BusinessName, 1, 120, oneLine)
	c.text("description", &s.Description, 0, 2000, anyLines)
	c.text("greeting", &s.Greeting, 1, 500, oneLine)
	c.text("after_hours_greeting", &s.AfterHoursGreeting, 0, 500, oneLine)
	c.that(s.Voice == "" || voiceForm.MatchString(s.Voice), "voice", "is not the name of a voice")
	c.size("languages", len(s.Languages), 1, 8)
	for i, l := range s.Languages {
		at := fmt.Sprintf("languages[%d]", i)
		c.that(languageForm.MatchString(l), at, "is not an ISO 639-1 code such as en")
		c.that(!slices.Contains(s.Languages[:i], l), at, "is there twice")
	}
	c.services(s.Services)
	c.size("knowledge", len(s.Knowledge), 0, 100)
	for i := range s.Knowledge {
		at := fmt.Sprintf("knowledge[%d]", i)
		c.text(at+".title", &s.Knowledge[i].Title, 1, 120, oneLine)
		c.text(at+".text", &s.Knowledge[i].Text, 1, 4000, anyLines)
	}
	c.hours(&s.Hours)
	c.booking(s.Booking)
	c.people(s)
	c.text("recording.consent_text", &s.Recording.ConsentText, 0, 500, oneLine)
	c.that(!s.Recording.Enabled || s.Recording.ConsentText != "", "recording.consent_text", "is required where calls are recorded")
	c.within("recording.keep_days", s.Recording.KeepDays, 1, 3650)
	c.vad(s.VAD)
	c.within("limits.max_call_seconds", s.Limits.MaxCallSeconds, 60, 7200)
	c.within("limits.silence_seconds", s.Limits.SilenceSeconds, 5, 300)
	c.within("limits.concurrent_calls", s.Limits.ConcurrentCalls, 1, 100)
	c.routing(s.Routing)
	c.notify(&s.Notify)
	return c.found
}

var (
	voiceForm    = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,39}$`)
	languageForm = regexp.MustCompile(`^[a-z]{2}$`)
	emailForm    = regexp.MustCompile(`^[^@\s<>",;:]+@[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.[a-z]{2,}$`)
)

type check struct{ found []FieldError }

func (c *check) that(ok bool, field, message string) {
	if !ok {
		c.found = append(c.found, FieldError{field, message})
	}
}

func (c *check) within(field string, n, least, most int) {
	c.that(n >= least && n <= most, field, fmt.Sprintf("must be from %d to %d", least, most))
}

func (c *check) size(field string, n, least, most int) {
	c.that(n >= least && n <= most, field, fmt.Sprintf("must have from %d to %d entries", least, most))
}

func (c *check) oneOf(field, value string, known ...string) {
	c.that(slices.Contains(known, value), field, "must be one of "+strings.Join(known, ", "))
}

type lines bool

const (
	oneLine  lines = false
	anyLines lines = true
)

// text trims *value. A text of many lines may hold line breaks and tabs, and no other control character.
func (c *check) text(field string, value *string, least, most int, many lines) {
	*value = strings.TrimSpace(*value)
	n := len([]rune(*value))
	c.that(n >= least, field, "is required")
	c.that(n <= most, field, fmt.Sprintf("must have at most %d characters", most))
	c.that(!strings.ContainsFunc(*value, func(r rune) bool {
		return unicode.IsControl(r) && (!bool(many) || (r != '\n' && r != '\r' && r != '\t'))
	}), field, "holds a control character")
}

// phone makes *value E.164. Empty stays empty.
func (c *check) phone(field string, value *string, required bool) {
	if *value = strings.TrimSpace(*value); *value == "" {
		c.that(!required, field, "is required")
		return
	}
	n, err := phonenumbers.Parse(*value, "US")
	if err != nil || !phonenumbers.IsPossibleNumber(n) || n.GetExtension() != "" {
		c.that(false, field, "is not a phone number; use a form such as +18573825169")
		return
	}
	*value = phonenumbers.Format(n, phonenumbers.E164)
}

func (c *check) services(services []Service) {
	c.size("services", len(services), 0, 50)
	for i := range services {
		s, at := &services[i], fmt.Sprintf("services[%d]", i)
		c.text(at+".name", &s.Name, 1, 120, oneLine)
		c.text(at+".description", &s.Description, 0, 1000, anyLines)
		c.text(at+".price", &s.Price, 0, 120, oneLine)
		c.within(at+".minutes", s.Minutes, 0, 1440)
		c.that(!slices.ContainsFunc(services[:i], func(o Service) bool { return strings.EqualFold(o.Name, s.Name) }), at+".name", "is there twice")
	}
}

func (c *check) hours(h *Hours) {
	c.size("hours.weekly", len(h.Weekly), 0, 28)
	for i, o := range h.Weekly {
		at := fmt.Sprintf("hours.weekly[%d]", i)
		c.oneOf(at+".day", o.Day, Weekdays[:]...)
		if !c.span(at, o.Opens, o.Closes) {
			continue
		}
		for _, other := range h.Weekly[:i] {
			c.that(other.Day != o.Day || minutes(other.Closes) <= minutes(o.Opens) || minutes(o.Closes) <= minutes(other.Opens),
				at, "overlaps another of the same day")
		}
	}
	c.size("hours.holidays", len(h.Holidays), 0, 100)
	for i := range h.Holidays {
		o, at := &h.Holidays[i], fmt.Sprintf("hours.holidays[%d]", i)
		_, err := time.Parse(time.DateOnly, o.Date)
		c.that(err == nil, at+".date", "is not a date such as 2026-12-25")
		c.text(at+".name", &o.Name, 0, 80, oneLine)
		c.that(!slices.ContainsFunc(h.Holidays[:i], func(other Holiday) bool { return other.Date == o.Date }), at+".date", "is there twice")
		if o.Opens != "" || o.Closes != "" {
			c.span(at, o.Opens, o.Closes)
		}
	}
}

func (c *check) span(at, opens, closes string) bool {
	from, to := minutes(opens), minutes(closes)
	c.that(from >= 0 && from < 24*60, at+".opens", "is not a time of day such as 08:00")
	c.that(to >= 0, at+".closes", "is not a time of day such as 17:00")
	ok := from >= 0 && from < 24*60 && to >= 0
	c.that(!ok || from < to, at+".closes", "must be after it opens; a stretch past midnight is two")
	return ok && from < to
}

func (c *check) booking(b Booking) {
	c.within("booking.slot_minutes", b.SlotMinutes, 5, 1440)
	c.within("booking.lead_minutes", b.LeadMinutes, 0, 43200)
	c.within("booking.buffer_minutes", b.BufferMinutes, 0, 480)
	c.within("booking.capacity", b.Capacity, 1, 50)
	c.within("booking.horizon_days", b.HorizonDays, 1, 365)
	c.that(b.LeadMinutes < b.HorizonDays*24*60, "booking.lead_minutes", "leaves nothing to book within the horizon")
}

func (c *check) people(s *Settings) {
	c.size("transfers", len(s.Transfers), 0, 20)
	for i := range s.Transfers {
		t, at := &s.Transfers[i], fmt.Sprintf("transfers[%d]", i)
		c.text(at+".name", &t.Name, 1, 80, oneLine)
		c.text(at+".when", &t.When, 0, 500, oneLine)
		c.phone(at+".number", &t.Number, true)
		c.that(!slices.ContainsFunc(s.Transfers[:i], func(o Transfer) bool { return strings.EqualFold(o.Name, t.Name) }), at+".name", "is there twice")
	}
	c.size("emergencies", len(s.Emergencies), 0, 20)
	for i := range s.Emergencies {
		e, at := &s.Emergencies[i], fmt.Sprintf("emergencies[%d]", i)
		c.size(at+".words", len(e.Words), 1, 30)
		for j := range e.Words {
			c.text(fmt.Sprintf("%s.words[%d]", at, j), &e.Words[j], 2, 80, oneLine)
		}
		c.oneOf(at+".action", e.Action, "transfer", "text")
		c.phone(at+".number", &e.Number, false)
		c.text(at+".advice", &e.Advice, 0, 500, oneLine)
	}
	c.size("block_list", len(s.BlockList), 0, 1000)
	for i := range s.BlockList {
		c.phone(fmt.Sprintf("block_list[%d]", i), &s.BlockList[i], true)
	}
}

func (c *check) vad(v VAD) {
	c.oneOf("vad.type", v.Type, "server_vad", "semantic_vad")
	c.that(v.Threshold >= 0 && v.Threshold <= 1, "vad.threshold", "must be from 0 to 1")
	c.within("vad.prefix_padding_ms", v.PrefixPaddingMS, 0, 2000)
	c.within("vad.silence_ms", v.SilenceMS, 100, 5000)
	c.oneOf("vad.eagerness", v.Eagerness, "auto", "low", "medium", "high")
	c.oneOf("vad.noise_reduction", v.NoiseReduction, "near_field", "far_field", "off")
}

func (c *check) routing(r Routing) {
	c.oneOf("routing.after_hours", r.AfterHours, ToAgent, ToForward, ToVoicemail, ToMessage)
	c.oneOf("routing.over_limit", r.OverLimit, ToAgent, ToForward, ToVoicemail, ToMessage)
	c.oneOf("routing.suspended", r.Suspended, ToForward, ToVoicemail, ToMessage)
	c.oneOf("routing.concurrency", r.Concurrency, ToForward, ToVoicemail, ToMessage)
	c.oneOf("routing.unavailable", r.Unavailable, ToForward, ToVoicemail, ToMessage)
	c.oneOf("routing.blocked", r.Blocked, ToReject, ToVoicemail, ToMessage)
	c.oneOf("routing.no_forward", r.NoForward, ToVoicemail, ToMessage)
}

func (c *check) notify(n *Notify) {
	if n.Email = strings.ToLower(strings.TrimSpace(n.Email)); n.Email != "" {
		_, err := mail.ParseAddress(n.Email)
		c.that(err == nil && len(n.Email) <= 254 && emailForm.MatchString(n.Email), "notify.email", "is not an e-mail address")
	}
	c.phone("notify.sms", &n.SMS, false)
	c.size("notify.when", len(n.When), 0, 7)
	for i, w := range n.When {
		c.oneOf(fmt.Sprintf("notify.when[%d]", i), w, WhenMessage, WhenBooked, WhenRescheduled, WhenCancelled, WhenEmergency, WhenMissed, WhenEveryCall)
	}
}
