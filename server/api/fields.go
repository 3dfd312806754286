package api

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/nyaruka/phonenumbers"
)

// field is a value of a PATCH: absent, null, or there.
type field[T any] struct {
	Sent  bool
	Null  bool
	Value T
}

// UnmarshalJSON is called only if the field was sent.
func (f *field[T]) UnmarshalJSON(b []byte) error {
	f.Sent = true
	if string(b) == "null" {
		f.Null = true
		return nil
	}
	return json.Unmarshal(b, &f.Value)
}

// Schema is the value's; the field's tags say whether it may be null.
func (f field[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), true, "")
	return &s
}

// id is a UUID in a path or a body, with its format in the document.
type id struct{ uuid.UUID }

// Schema is a string of format uuid.
func (id) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "uuid", Examples: []any{"019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51"}}
}

// faults collects what is wrong with a body, so that all of it is said at once.
type faults struct {
	at   *huma.PathBuffer
	errs []error
}

func (f *faults) add(name, message string) {
	f.errs = append(f.errs, &huma.ErrorDetail{Location: f.at.With(name), Message: message})
}

// phone makes *value E.164: numbers without + are read as American ones. Empty stays empty.
func (f *faults) phone(name string, value *string) { f.phoneIn(name, value, "US") }

// phoneIn is phone for numbers that people of the region (ISO 3166, "US") dial without +.
func (f *faults) phoneIn(name string, value *string, region string) {
	if *value == "" {
		return
	}
	e164, ok := toE164(*value, region)
	if !ok {
		f.add(name, "is not a phone number; use a form such as +18573825169")
		return
	}
	*value = e164
}

func toE164(s, region string) (string, bool) {
	n, err := phonenumbers.Parse(s, region)
	if err != nil || !phonenumbers.IsPossibleNumber(n) || n.GetExtension() != "" {
		return "", false
	}
	e164 := phonenumbers.Format(n, phonenumbers.E164)
	return e164, e164Form.MatchString(e164)
}

// The same as the CHECK constraints, so that every door takes the same.
var (
	e164Form  = regexp.MustCompile(`^\+[1-9][0-9]{7,14}$`)
	emailForm = regexp.MustCompile(`^[^@\s<>",;:]+@[a-z0-9]([a-z0-9.-]*[a-z0-9])?\.[a-z]{2,}$`)
	industry  = regexp.MustCompile(`^[a-z][a-z0-9_ &/-]{0,59}$`)
	colour    = regexp.MustCompile(`^#[0-9a-f]{6}$`)
)

// email trims and lower-cases *value.
func (f *faults) email(name string, value *string) {
	if *value == "" {
		return
	}
	*value = strings.ToLower(strings.TrimSpace(*value))
	if len(*value) > 254 || !emailForm.MatchString(*value) || strings.Contains(*value, "..") {
		f.add(name, "is not an e-mail address")
	}
}

// line trims *value, which must be one line of at most limit characters.
func (f *faults) line(name string, value *string, limit int) {
	*value = strings.TrimSpace(*value)
	if len([]rune(*value)) > limit {
		f.add(name, "is too long")
	}
	if strings.ContainsFunc(*value, unicode.IsControl) {
		f.add(name, "holds a control character")
	}
}

// name is a line that must not be blank. Where it is missing altogether the schema has said so.
func (f *faults) name(name string, value *string, limit int) {
	missing := *value == ""
	f.line(name, value, limit)
	if *value == "" && !missing {
		f.add(name, "is required")
	}
}

// matching trims and lower-cases *value and holds it against the form.
func (f *faults) matching(name string, value *string, form *regexp.Regexp, message string) {
	*value = strings.ToLower(strings.TrimSpace(*value))
	if *value != "" && !form.MatchString(*value) {
		f.add(name, message)
	}
}

// optional is nil for the empty string, which the columns hold as null.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
