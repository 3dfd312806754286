package emails

import (
	"fmt"
	htmltemplate "html/template"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // tenants' timezones must be known wherever the binary runs
	"unicode"

	"github.com/nyaruka/phonenumbers"
)

// draft is an email being composed: what the layouts show, and what was wrong with the params.
type draft struct {
	Subject   string
	Preheader string // the preview beside the subject in an inbox
	Heading   string
	Greeting  string
	Blocks    []block
	Why       string // the footer: why this person gets this email
	Theme     theme
	Logo      *logo // instead of Kestrel's mark

	problems []string
}

// block is one piece of content; exactly one field is set.
type block struct {
	Text   string
	Title  string
	Note   string
	Facts  []fact
	Steps  []step
	Points []string
	Number *link
	Meter  *meter
	Button *link
	Links  []link
	Code   string
}

type fact struct{ Label, Value, URL string }

// step is one of a numbered list; When may be empty.
type step struct{ When, What string }

func (step) Number(index int) int { return index + 1 }

type link struct{ Label, URL string }

// Href is trusted in an attribute: every URL of a draft has been checked to be http(s),
// or was made here as tel: or mailto:, and html/template knows no tel:.
func (l link) Href() htmltemplate.URL { return htmltemplate.URL(l.URL) } //nolint:gosec // see above

// Href is link's.
func (f fact) Href() htmltemplate.URL { return link{URL: f.URL}.Href() }

type meter struct {
	Label   string
	Percent int // 0 to 100, the bar's length
	Rest    int
	Full    bool
}

func (d *draft) add(b block)          { d.Blocks = append(d.Blocks, b) }
func (d *draft) text(s string)        { d.add(block{Text: s}) }
func (d *draft) title(s string)       { d.add(block{Title: s}) }
func (d *draft) note(s string)        { d.add(block{Note: s}) }
func (d *draft) button(l, url string) { d.add(block{Button: &link{l, url}}) }

// fact adds a row, or nothing when there is no value.
func (b *block) fact(label, value, url string) {
	if value != "" {
		b.Facts = append(b.Facts, fact{label, value, url})
	}
}

func (d *draft) problem(field, what string) {
	d.problems = append(d.problems, field+" "+what)
}

// need returns a required text, cleaned.
func (d *draft) need(field, value string) string {
	value = clean(value)
	if value == "" {
		d.problem(field, "is missing")
	}
	return value
}

// maxText bounds a text that a person typed, in characters: an inbox shows fewer, and
// a sign-up form is no way to write letters in our name.
const maxText = 120

// clean makes a typed text one harmless line: no scheme that would make a link of a name, no more than maxText characters.
func clean(s string) string {
	s = harmless(s)
	for _, scheme := range []string{"http://", "https://", "HTTP://", "HTTPS://"} {
		s = strings.ReplaceAll(s, scheme, "")
	}
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > maxText {
		s = strings.TrimSpace(string(runes[:maxText-1])) + "…"
	}
	return s
}

// harmless makes one line of a text: no line breaks (which would forge headers or content), no control or
// direction-changing characters.
func harmless(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r) && r != '\u200d', r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.Join(strings.Fields(s), " ")
}

// link returns a required absolute http(s) URL.
func (d *draft) link(field, raw string) string {
	if raw == "" {
		d.problem(field, "is missing")
		return ""
	}
	return d.optionalLink(field, raw)
}

func (d *draft) optionalLink(field, raw string) string {
	if raw == "" {
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || strings.ContainsFunc(raw, unicode.IsSpace) {
		d.problem(field, "is not an absolute http(s) URL")
		return ""
	}
	return u.String()
}

// phone returns a number as people read it and as a tel: link; both empty for "".
func (d *draft) phone(field, e164 string) (display, tel string) {
	if e164 == "" {
		return "", ""
	}
	n, err := phonenumbers.Parse(e164, "ZZ")
	if err != nil || !strings.HasPrefix(e164, "+") {
		d.problem(field, "is not an E.164 phone number")
		return "", ""
	}
	format := phonenumbers.INTERNATIONAL
	if n.GetCountryCode() == 1 {
		format = phonenumbers.NATIONAL
	}
	return phonenumbers.Format(n, format), "tel:" + phonenumbers.Format(n, phonenumbers.E164)
}

// address returns a required email address and its mailto: link.
func (d *draft) address(field, raw string) (display, mailto string) {
	a, err := mail.ParseAddress(raw)
	if err != nil || a.Address != raw {
		d.problem(field, "is not an email address")
		return "", ""
	}
	return raw, "mailto:" + url.PathEscape(raw)
}

// when returns a required time in the named timezone, which is named too.
func (d *draft) when(field string, t time.Time, timezone string) string {
	local, ok := d.local(field, t, timezone)
	if !ok {
		return ""
	}
	return local.Format("Monday, January 2, 2006 at 3:04 PM MST") + " (" + timezone + ")"
}

// day is when without the time of day.
func (d *draft) day(field string, t time.Time, timezone string) string {
	local, ok := d.local(field, t, timezone)
	if !ok {
		return ""
	}
	return local.Format("Monday, January 2")
}

func (d *draft) local(field string, t time.Time, timezone string) (time.Time, bool) {
	if t.IsZero() {
		d.problem(field, "is missing")
		return t, false
	}
	zone, err := time.LoadLocation(timezone)
	if err != nil || timezone == "" || timezone == "Local" {
		d.problem("timezone", "is not a timezone such as America/New_York")
		return t, false
	}
	return t.In(zone), true
}

// price formats cents of US dollars a month: "$299/month".
func price(cents int) string {
	dollars := "$" + thousands(cents/100)
	if rest := cents % 100; rest != 0 {
		dollars += fmt.Sprintf(".%02d", rest)
	}
	return dollars + "/month"
}

// count is "1 call", "1,204 calls".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return thousands(n) + " " + noun + "s"
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// greet opens the email by name when there is one.
func (d *draft) greet(name string) {
	d.Greeting = "Hello,"
	if name = clean(name); name != "" {
		d.Greeting = "Hi " + name + ","
	}
}
