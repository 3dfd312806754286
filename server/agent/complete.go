package agent

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
)

// Complete reads stored settings: what they do not say, the industry's defaults do. A field that cannot be used (somebody
// may have typed it in Studio) is the default's too, and is named in the answer: a call is answered all the same.
func Complete(stored json.RawMessage, industry, businessName string) (Settings, []FieldError) {
	var found []FieldError
	own := map[string]any{}
	if len(stored) > 0 && json.Unmarshal(stored, &own) != nil {
		found = append(found, FieldError{"settings", "are not a JSON object"})
	}
	for {
		s, wrong := overlay(Defaults(industry, businessName), own)
		before := len(own)
		for _, w := range wrong {
			found = append(found, w)
			delete(own, topOf(w.Field))
		}
		if len(own) == before { // nothing is wrong, or nothing more can be left out
			return s, found
		}
	}
}

func overlay(base Settings, own map[string]any) (Settings, []FieldError) {
	raw, err := json.Marshal(base)
	if err != nil {
		return base, nil // plain fields: it cannot fail
	}
	all := map[string]any{}
	_ = json.Unmarshal(raw, &all)
	merged, _ := json.Marshal(merge(all, own))
	var s Settings
	if err := json.Unmarshal(merged, &s); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return base, []FieldError{{wrong.Field, "is of another kind"}}
		}
		return base, []FieldError{{"settings", "cannot be read"}}
	}
	return s, s.Validate()
}

// merge lays own over base: objects field by field, anything else as a whole; null counts as not said.
func merge(base, own map[string]any) map[string]any {
	out := maps.Clone(base)
	for key, value := range own {
		inner, isObject := value.(map[string]any)
		under, hasObject := base[key].(map[string]any)
		switch {
		case value == nil:
		case isObject && hasObject:
			out[key] = merge(under, inner)
		default:
			out[key] = value
		}
	}
	return out
}

func topOf(path string) string {
	if end := strings.IndexAny(path, ".["); end >= 0 {
		return path[:end]
	}
	return path
}
