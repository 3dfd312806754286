package openai

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
)

// shape is what a value must be. It finds the same faults as the vendor, and names them in the vendor's words.
type shape struct {
	kind     string           // string, integer, number, boolean, object, array; "" is anything
	null     bool             // null is as good
	enum     []string         // of a string
	words    []string         // strings that are as good as an object or an integer
	min, max *float64         // of a number
	long     int              // bytes a string may have; 0: any
	fields   map[string]shape // of an object; nil: any
	required []string
	by       string           // the field that tells which of variants an object is
	variants map[string]shape // by that field's value
	items    *shape           // of an array
}

// problem is why a value is refused.
type problem struct{ code, message, param string }

// check reports the first thing that is wrong with v; nil if nothing is.
func (s shape) check(path string, v any) *problem {
	if v == nil && s.null {
		return nil
	}
	if text, ok := v.(string); ok && s.words != nil {
		return oneOf(path, text, s.words)
	}
	if got := kindOf(v); s.kind != "" && got != s.kind && !(s.kind == "number" && got == "integer") {
		return &problem{"invalid_type", fmt.Sprintf("Invalid type for '%s': expected %s, but got %s instead.", path, article(s.kind), article(got)), path}
	}
	switch v := v.(type) {
	case string:
		return s.checkText(path, v)
	case json.Number:
		return s.checkNumber(path, v)
	case []any:
		if s.items == nil {
			return nil
		}
		for i, item := range v {
			if p := s.items.check(fmt.Sprintf("%s[%d]", path, i), item); p != nil {
				return p
			}
		}
	case map[string]any:
		return s.checkObject(path, v)
	}
	return nil
}

func (s shape) checkText(path, v string) *problem {
	if s.long > 0 && len(v) > s.long {
		return &problem{"string_above_max_length", fmt.Sprintf("Invalid '%s': string too long. Expected a string with maximum length %d, but got a string with length %d instead.", path, s.long, len(v)), path}
	}
	if s.enum == nil {
		return nil
	}
	return oneOf(path, v, s.enum)
}

func oneOf(path, v string, allowed []string) *problem {
	if slices.Contains(allowed, v) {
		return nil
	}
	return &problem{"invalid_value", fmt.Sprintf("Invalid value: '%s'. Supported values are: '%s'.", v, strings.Join(allowed, "', '")), path}
}

func (s shape) checkNumber(path string, v json.Number) *problem {
	f, err := v.Float64()
	word := "decimal"
	if s.kind == "integer" {
		word = "integer"
	}
	switch {
	case err != nil:
		return &problem{"invalid_value", fmt.Sprintf("Invalid '%s': not a number.", path), path}
	case s.min != nil && f < *s.min:
		return &problem{word + "_below_min_value", fmt.Sprintf("Invalid '%s': %s below minimum value. Expected a value >= %v, but got %s instead.", path, word, *s.min, v), path}
	case s.max != nil && f > *s.max:
		return &problem{word + "_above_max_value", fmt.Sprintf("Invalid '%s': %s above maximum value. Expected a value <= %v, but got %s instead.", path, word, *s.max, v), path}
	}
	return nil
}

func (s shape) checkObject(path string, v map[string]any) *problem {
	if s.variants != nil {
		name, _ := v[s.by].(string)
		variant, found := s.variants[name]
		switch _, given := v[s.by]; {
		case !given:
			return missing(join(path, s.by))
		case !found:
			return oneOf(join(path, s.by), name, names(s.variants))
		}
		return variant.check(path, v)
	}
	for _, name := range s.required {
		if _, given := v[name]; !given {
			return missing(join(path, name))
		}
	}
	if s.fields == nil {
		return nil
	}
	for _, name := range names(v) {
		field, found := s.fields[name]
		at := join(path, name)
		if !found {
			return &problem{"unknown_parameter", fmt.Sprintf("Unknown parameter: '%s'.", at), at}
		}
		if p := field.check(at, v[name]); p != nil {
			return p
		}
	}
	return nil
}

func missing(at string) *problem {
	return &problem{"missing_required_parameter", fmt.Sprintf("Missing required parameter: '%s'.", at), at}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func names[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case bool:
		return "boolean"
	case json.Number:
		if f, err := v.Float64(); err == nil && f == math.Trunc(f) && !strings.ContainsAny(string(v), ".eE") {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

func article(kind string) string {
	switch kind {
	case "null":
		return "null"
	case "integer", "object", "array":
		return "an " + kind
	case "number":
		return "a decimal"
	}
	return "a " + kind
}
