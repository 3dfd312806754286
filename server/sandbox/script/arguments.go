package script

import (
	"encoding/json"
	"strings"
)

// schema is what of a tool's parameters matters here.
type schema struct {
	Properties map[string]struct {
		Type        any      `json:"type"`
		Description string   `json:"description"`
		Enum        []string `json:"enum"`
	} `json:"properties"`
	Required []string `json:"required"`
}

// arguments fills a tool's parameters with what is known, and asks for what is not and must be.
func (s Scene) arguments(t Tool, m *memory) (raw json.RawMessage, question string) {
	var of schema
	_ = json.Unmarshal(t.Parameters, &of)
	required := map[string]bool{}
	for _, name := range of.Required {
		required[name] = true
	}
	out := map[string]any{}
	ask := func(q string) {
		if question == "" {
			question = q
		}
	}
	for name, p := range of.Properties {
		value := s.value(name, t.Name, m)
		types := kinds(p.Type)
		switch {
		case types["boolean"]:
			if urgent := m.goal == wantEmergency || says(m.request+" "+m.message, "urgent", "urgently", "emergency"); urgent || required[name] {
				out[name] = urgent
			}
		case value != "" && (p.Enum == nil || contains(p.Enum, value)):
			out[name] = value
		case !required[name]:
		case types["null"]:
			out[name] = nil
		case p.Enum != nil:
			out[name] = p.Enum[len(p.Enum)-1] // by custom the one for all the rest
		case isName(name) && (t.Name == toolNames(wantBook)[0] || t.Name == toolNames(wantMessage)[0]) && !m.asked[askName]:
			ask(askName)
		case says(p.Description, "empty") || isName(name) || name == "service" || name == "to" || len(types) > 0 && !types["string"]:
			if types["string"] || len(types) == 0 {
				out[name] = ""
			}
		default:
			ask("What is the " + strings.ReplaceAll(name, "_", " ") + "?")
		}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return json.RawMessage("{}"), question
	}
	return raw, question
}

func isName(property string) bool {
	return property == "name" || strings.HasSuffix(property, "_name")
}

func contains(list []string, v string) bool {
	for _, l := range list {
		if l == v {
			return true
		}
	}
	return false
}

func kinds(v any) map[string]bool {
	out := map[string]bool{}
	switch v := v.(type) {
	case string:
		out[v] = true
	case []any:
		for _, k := range v {
			if name, ok := k.(string); ok {
				out[name] = true
			}
		}
	}
	return out
}

// value is what is known for a parameter of that name.
func (s Scene) value(property, tool string, m *memory) string {
	switch property {
	case "starts_at", "start", "start_time", "datetime":
		if m.exact != "" {
			return m.exact
		}
		if m.when.date != "" && m.when.clock != "" {
			return m.when.date + "T" + m.when.clock
		}
	case "date":
		return m.when.date
	case "time":
		return m.when.clock
	case "service":
		return m.service
	case "address":
		return m.address
	case "appointment_id":
		return m.booked
	case "message", "text", "body":
		if m.goal == wantEmergency {
			return m.request
		}
		return m.message
	case "words":
		return m.request
	case "to":
		for _, p := range s.facts().People {
			if overlap(m.request, p.Name+" "+p.When) > 0 {
				return p.Name
			}
		}
	case "reason":
		switch {
		case m.goal == wantEnd && strings.Contains(strings.Join(toolsUsed(s.Turns), " "), "book"):
			return "booked"
		case m.goal == wantEnd && contains(toolsUsed(s.Turns), "take_message"):
			return "message"
		case m.goal == wantEnd:
			return "answered"
		case m.goal == wantEmergency:
			return "emergency: " + m.request
		}
		return m.request
	}
	switch {
	case isName(property):
		return m.name
	case strings.Contains(property, "phone") || strings.Contains(property, "number"):
		return m.phone
	}
	return ""
}

func toolsUsed(turns []Turn) []string {
	var used []string
	for _, t := range turns {
		if t.Role == Call {
			used = append(used, t.Name)
		}
	}
	return used
}
