package script

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// shape is a JSON schema, as far as it matters here.
type shape struct {
	Ref         string           `json:"$ref"`
	Type        any              `json:"type"`
	Description string           `json:"description"`
	Enum        []any            `json:"enum"`
	Const       any              `json:"const"`
	AnyOf       []shape          `json:"anyOf"`
	Properties  map[string]shape `json:"properties"`
	Items       *shape           `json:"items"`
	Minimum     *float64         `json:"minimum"`
	Maximum     *float64         `json:"maximum"`
	MinItems    int              `json:"minItems"`
	MaxLength   int              `json:"maxLength"`
	Defs        map[string]shape `json:"$defs"`
}

// filler fills a schema from a conversation.
type filler struct {
	analysis
	defs  map[string]shape
	reply string // what the receptionist would say
}

// Fill gives a value of the JSON schema, taken from the text: usually the transcript of a call. What the text does not tell is
// null where the schema allows it, else empty. reply is for fields that want the next turn. A schema that is none gives an error.
func Fill(schema json.RawMessage, text, reply string) (json.RawMessage, error) {
	var root shape
	if err := json.Unmarshal(schema, &root); err != nil {
		return nil, fmt.Errorf("not a JSON schema: %w", err)
	}
	f := filler{analysis: analyse(text), defs: root.Defs, reply: reply}
	return json.Marshal(f.value("", root, 0))
}

const deepest = 20 // schemas may refer to themselves

func (f filler) value(name string, s shape, depth int) any {
	if ref, found := strings.CutPrefix(s.Ref, "#/$defs/"); found {
		s = f.defs[ref]
	}
	types := kinds(s.Type)
	for _, one := range s.AnyOf {
		if kinds(one.Type)["null"] {
			types["null"] = true
		} else if s.Type == nil && s.Properties == nil {
			description := s.Description
			s = one
			s.Description = or(one.Description, description)
			for k := range kinds(one.Type) {
				types[k] = true
			}
		}
	}
	switch {
	case depth > deepest:
		return nil
	case s.Const != nil:
		return s.Const
	case s.Enum != nil:
		return f.oneOf(name, s, types["null"])
	case types["object"] || s.Properties != nil:
		out := map[string]any{}
		for n, p := range s.Properties {
			out[n] = f.value(n, p, depth+1)
		}
		return out
	case types["array"]:
		return f.list(name, s, depth)
	case types["boolean"]:
		return f.yes(name, s)
	case types["integer"], types["number"]:
		return f.number(name, s, types)
	}
	text := f.phrase(name, s)
	if text == "" && types["null"] {
		return nil
	}
	if r := []rune(text); s.MaxLength > 0 && len(r) > s.MaxLength {
		text = string(r[:s.MaxLength])
	}
	return text
}

// about reports whether a field's name has one of the words in it.
func about(name string, parts ...string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(name, p) })
}

// likely are what a value of that field is, by other words for the same, best first.
func (f filler) likely(name string) []string {
	switch {
	case about(name, "sentiment", "mood", "tone"):
		return []string{f.sentiment}
	case about(name, "outcome", "result", "disposition", "resolution"):
		return append(map[string][]string{
			"booked": {"booked", "appointment"}, "rescheduled": {"rescheduled", "moved", "booked"}, "cancelled": {"cancelled", "canceled"},
			"message": {"message"}, "transferred": {"transferred", "transfer", "forwarded"}, "answered": {"answered", "resolved", "information", "info"},
		}[f.outcome], "no_outcome", "none", "unresolved", "other", "unknown")
	case about(name, "intent", "reason", "category", "topic", "purpose"):
		return append(map[string][]string{
			wantBook: {"book", "appointment", "schedul"}, wantReschedule: {"reschedul", "change", "book", "appointment"}, wantCancel: {"cancel"},
			wantAvailability: {"availab", "book", "appointment"}, wantMessage: {"message"}, wantPerson: {"person", "transfer", "human"},
			wantHistory: {"history", "information", "question"}, wantEmergency: {"emergency", "urgent"}, "": {"question", "inquiry", "enquiry", "information", "info"},
		}[f.intent], "other", "unknown", "none")
	case about(name, "urgen", "priority"):
		if f.intent == wantEmergency {
			return []string{"emergency", "urgent", "high"}
		}
		return []string{"normal", "medium", "low", "none"}
	case about(name, "language"):
		return []string{"en", "english"}
	}
	return nil
}

func (f filler) oneOf(name string, s shape, null bool) any {
	values := make([]string, len(s.Enum))
	for i, v := range s.Enum {
		values[i], _ = v.(string)
	}
	for _, want := range append(f.likely(name), "unknown", "other", "none", "n/a") {
		for i, v := range values {
			if v != "" && about(v, want) {
				return s.Enum[i]
			}
		}
	}
	best, at := 0, len(values)-1
	for i, v := range values {
		if n := overlap(strings.ReplaceAll(v, "_", " "), f.text); n > best {
			best, at = n, i
		}
	}
	if best == 0 && null {
		return nil
	}
	return s.Enum[at]
}

func (f filler) yes(name string, s shape) bool {
	switch {
	case about(name, "follow", "callback", "call_back", "action"):
		return f.follow != ""
	case about(name, "urgent", "emergency"):
		return f.intent == wantEmergency
	case about(name, "booked", "appointment"):
		return f.outcome == "booked" || f.outcome == "rescheduled"
	case about(name, "resolved", "success", "passed", "satisf", "complete"):
		return f.outcome != "none" && f.sentiment != "negative"
	case about(name, "spam"):
		return false
	}
	return overlap(strings.ReplaceAll(name, "_", " ")+" "+s.Description, f.text) > 1
}

var (
	rangeForm  = regexp.MustCompile(`(\d+)\s*(?:to|-|–)\s*(\d+)`)
	numberForm = regexp.MustCompile(`\d+(?:\.\d+)?`)
)

func (f filler) number(name string, s shape, types map[string]bool) any {
	low, high := 0.0, 100.0
	if m := rangeForm.FindStringSubmatch(s.Description); m != nil {
		low, _ = strconv.ParseFloat(m[1], 64)
		high, _ = strconv.ParseFloat(m[2], 64)
	}
	if s.Minimum != nil {
		low = *s.Minimum
	}
	if s.Maximum != nil {
		high = *s.Maximum
	}
	var n float64
	switch {
	case about(name, "score", "quality", "rating", "satisfaction"):
		n = low + (high-low)*float64(f.score)/100
	case about(name, "confidence"):
		n = low + (high-low)/2
	default:
		found := f.sentence(name, s.Description)
		digits := numberForm.FindString(found)
		if digits == "" && types["null"] {
			return nil
		}
		n, _ = strconv.ParseFloat(digits, 64)
		if s.Minimum != nil {
			n = max(n, low)
		}
		if s.Maximum != nil {
			n = min(n, high)
		}
	}
	if types["integer"] {
		return int64(math.Round(n))
	}
	return n
}
