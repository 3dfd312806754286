package openai

import "encoding/json"

// requestShape leaves a message's content and the tools' schemas open.
func requestShape() shape {
	anything := shape{}
	return object([]string{"model", "input"}, map[string]shape{
		"model": text(), "input": anything, "instructions": nullable(text()), "previous_response_id": nullable(text()),
		"tools": list(object([]string{"type", "name", "parameters"}, map[string]shape{
			"type": enum("function"), "name": text(), "description": nullable(text()), "parameters": {kind: "object"}, "strict": nullable(boolean()),
		})),
		"tool_choice": or(object([]string{"type", "name"}, map[string]shape{"type": enum("function"), "name": text()}), "auto", "none", "required"),
		"text": object(nil, map[string]shape{"verbosity": nullable(enum("low", "medium", "high")), "format": variants("type", map[string]shape{
			"text": object(nil, map[string]shape{"type": text()}), "json_object": object(nil, map[string]shape{"type": text()}),
			"json_schema": object([]string{"name", "schema"}, map[string]shape{
				"type": text(), "name": {kind: "string", long: 64}, "schema": {kind: "object"}, "strict": nullable(boolean()), "description": text(),
			}),
		})}),
		"stream": nullable(boolean()), "store": nullable(boolean()), "background": nullable(boolean()), "parallel_tool_calls": nullable(boolean()),
		"max_output_tokens": nullable(atLeast(16)), "max_tool_calls": nullable(integer()), "temperature": nullable(between("number", 0, 2)), "top_p": nullable(between("number", 0, 1)),
		"metadata": nullable(shape{kind: "object"}), "reasoning": nullable(shape{kind: "object"}), "include": nullable(list(text())), "truncation": nullable(enum("auto", "disabled")),
		"service_tier": nullable(text()), "user": text(), "safety_identifier": text(), "prompt_cache_key": text(),
	})
}

// notStrict says why a schema cannot be kept to strictly: objects must be closed, and all of their properties required.
func notStrict(raw json.RawMessage) string {
	v, err := parse(raw)
	if err != nil {
		return "not JSON."
	}
	root, _ := v.(map[string]any)
	if root["type"] != "object" {
		return `schema must be a JSON Schema of 'type: "object"'.`
	}
	return looseness("", v)
}

func looseness(path string, v any) string {
	m, isObject := v.(map[string]any)
	if !isObject {
		return ""
	}
	if properties, has := m["properties"].(map[string]any); has || m["type"] == "object" {
		if m["additionalProperties"] != false {
			return "In context=(" + path + "), 'additionalProperties' is required to be supplied and to be false."
		}
		required, _ := m["required"].([]any)
		for _, name := range names(properties) {
			if !containsText(required, name) {
				return "In context=(" + path + "), 'required' is required to be supplied and to be an array including every key in properties. Missing '" + name + "'."
			}
			if fault := looseness(path+"'properties', '"+name+"'", properties[name]); fault != "" {
				return fault
			}
		}
	}
	if fault := looseness(path+"'items'", m["items"]); fault != "" {
		return fault
	}
	all, _ := m["anyOf"].([]any)
	for _, one := range all {
		if fault := looseness(path+"'anyOf'", one); fault != "" {
			return fault
		}
	}
	defs, _ := m["$defs"].(map[string]any)
	for _, name := range names(defs) {
		if fault := looseness(path+"'$defs', '"+name+"'", defs[name]); fault != "" {
			return fault
		}
	}
	return ""
}

func containsText(list []any, v string) bool {
	for _, l := range list {
		if l == v {
			return true
		}
	}
	return false
}
