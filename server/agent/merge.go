package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Merge lays a patch over settings (RFC 7396, but null leaves a field as it is), strictly: an unknown field, or one of
// another kind, is an error, and so is whatever Validate finds.
func Merge(base Settings, patch map[string]any) (Settings, []FieldError) {
	all, err := fields(base)
	if err != nil {
		return base, []FieldError{{"settings", "cannot be read"}}
	}
	raw, err := json.Marshal(merge(all, patch))
	if err != nil {
		return base, []FieldError{{"settings", "cannot be read"}}
	}
	var s Settings
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return base, []FieldError{{wrong.Field, "is of another kind"}}
		}
		if _, name, unknown := strings.Cut(err.Error(), "unknown field "); unknown {
			return base, []FieldError{{strings.Trim(name, `"`), "is not a setting"}}
		}
		return base, []FieldError{{"settings", "cannot be read"}}
	}
	s.fill()
	return s, s.Validate()
}

// fill makes lists that were sent as null empty ones.
func (s *Settings) fill() {
	for _, list := range []any{&s.Languages, &s.Services, &s.Knowledge, &s.Hours.Weekly, &s.Hours.Holidays, &s.Transfers, &s.Emergencies, &s.BlockList, &s.Notify.When} {
		if v := reflect.ValueOf(list).Elem(); v.IsNil() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
	}
}

func fields(s Settings) (map[string]any, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	all := map[string]any{}
	return all, json.Unmarshal(raw, &all)
}

// Change is one field that differs between two versions.
type Change struct {
	Field string `json:"field" example:"booking.capacity" doc:"Path within the settings"`
	From  any    `json:"from" doc:"null where it was not there"`
	To    any    `json:"to" doc:"null where it is no longer there"`
}

// Diff lists what differs, by path, in order. A list differs entry by entry.
func Diff(from, to Settings) []Change {
	a, errA := fields(from)
	b, errB := fields(to)
	if errA != nil || errB != nil {
		return nil
	}
	var changes []Change
	compare("", a, b, &changes)
	slices.SortStableFunc(changes, func(x, y Change) int { return strings.Compare(x.Field, y.Field) })
	return changes
}

func compare(path string, a, b any, changes *[]Change) {
	x, isObject := a.(map[string]any)
	y, areObjects := b.(map[string]any)
	list, isList := a.([]any)
	other, areLists := b.([]any)
	switch {
	case isObject && areObjects:
		keys := map[string]bool{}
		for k := range x {
			keys[k] = true
		}
		for k := range y {
			keys[k] = true
		}
		for k := range keys {
			compare(strings.TrimPrefix(path+"."+k, "."), x[k], y[k], changes)
		}
	case isList && areLists:
		for i := range max(len(list), len(other)) {
			compare(fmt.Sprintf("%s[%d]", path, i), entry(list, i), entry(other, i), changes)
		}
	case !reflect.DeepEqual(a, b):
		*changes = append(*changes, Change{path, a, b})
	}
}

func entry(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}
