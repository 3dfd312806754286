package openai

// What clients may send: the GA shape's events, without those for WebRTC, MCP and stored prompts.

func object(required []string, fields map[string]shape) shape {
	return shape{kind: "object", fields: fields, required: required}
}

func enum(values ...string) shape { return shape{kind: "string", enum: values} }

func between(kind string, low, high float64) shape { return shape{kind: kind, min: &low, max: &high} }

func list(of shape) shape { return shape{kind: "array", items: &of} }

func variants(by string, of map[string]shape) shape {
	return shape{kind: "object", by: by, variants: of}
}

func or(s shape, words ...string) shape {
	s.words = words
	return s
}

func nullable(s shape) shape {
	s.null = true
	return s
}

// Shapes without a structure of their own.
func text() shape    { return shape{kind: "string"} }
func integer() shape { return shape{kind: "integer"} }
func boolean() shape { return shape{kind: "boolean"} }

// atLeast is an integer from low on.
func atLeast(low float64) shape { return shape{kind: "integer", min: &low} }

// clientEvents is the shape of every event a client may send, by its type.
func clientEvents() shape {
	event := func(name string, required []string, fields map[string]shape) shape {
		all := map[string]shape{"type": enum(name), "event_id": {kind: "string", long: 512}}
		for k, v := range fields {
			all[k] = v
		}
		return object(append([]string{"type"}, required...), all)
	}
	id := []string{"item_id"}
	return variants("type", map[string]shape{
		"session.update":             event("session.update", []string{"session"}, map[string]shape{"session": sessionShape()}),
		"input_audio_buffer.append":  event("input_audio_buffer.append", []string{"audio"}, map[string]shape{"audio": text()}),
		"input_audio_buffer.commit":  event("input_audio_buffer.commit", nil, nil),
		"input_audio_buffer.clear":   event("input_audio_buffer.clear", nil, nil),
		"conversation.item.create":   event("conversation.item.create", []string{"item"}, map[string]shape{"previous_item_id": nullable(text()), "item": itemShape()}),
		"conversation.item.retrieve": event("conversation.item.retrieve", id, map[string]shape{"item_id": text()}),
		"conversation.item.delete":   event("conversation.item.delete", id, map[string]shape{"item_id": text()}),
		"conversation.item.truncate": event("conversation.item.truncate", []string{"item_id", "content_index", "audio_end_ms"},
			map[string]shape{"item_id": text(), "content_index": integer(), "audio_end_ms": integer()}),
		"response.create": event("response.create", nil, map[string]shape{"response": responseShape()}),
		"response.cancel": event("response.cancel", nil, map[string]shape{"response_id": text()}),
	})
}

func formatShape() shape {
	return variants("type", map[string]shape{
		"audio/pcm":  object(nil, map[string]shape{"type": text(), "rate": between("integer", 24000, 24000)}),
		"audio/pcmu": object(nil, map[string]shape{"type": text()}),
		"audio/pcma": object(nil, map[string]shape{"type": text()}),
	})
}

func turnDetectionShape() shape {
	return nullable(variants("type", map[string]shape{
		"server_vad": object(nil, map[string]shape{
			"type": text(), "threshold": between("number", 0, 1), "prefix_padding_ms": atLeast(0), "silence_duration_ms": atLeast(0),
			"create_response": boolean(), "interrupt_response": boolean(), "idle_timeout_ms": nullable(between("integer", 5000, 30000)),
		}),
		"semantic_vad": object(nil, map[string]shape{
			"type": text(), "eagerness": enum("low", "medium", "high", "auto"), "create_response": boolean(), "interrupt_response": boolean(),
		}),
	}))
}

func sessionShape() shape {
	fields := generation()
	fields["type"] = enum("realtime")
	fields["model"] = text()
	fields["include"] = list(enum("item.input_audio_transcription.logprobs"))
	fields["tracing"] = nullable(or(shape{kind: "object"}, "auto"))
	fields["truncation"] = or(object([]string{"type", "retention_ratio"}, map[string]shape{
		"type": enum("retention_ratio"), "retention_ratio": between("number", 0, 1),
		"token_limits": object(nil, map[string]shape{"post_instructions": atLeast(0)}),
	}), "auto", "disabled")
	fields["audio"] = object(nil, map[string]shape{
		"input": object(nil, map[string]shape{
			"format": formatShape(),
			"transcription": nullable(object(nil, map[string]shape{
				"model": text(), "language": text(), "languages": list(text()), "keywords": list(text()), "prompt": text(),
				"delay": enum("minimal", "low", "medium", "high", "xhigh"),
			})),
			"noise_reduction": nullable(object(nil, map[string]shape{"type": enum("near_field", "far_field")})),
			"turn_detection":  turnDetectionShape(),
		}),
		"output": outputShape(),
	})
	return object([]string{"type"}, fields)
}

func outputShape() shape {
	return object(nil, map[string]shape{"format": formatShape(), "voice": text(), "speed": between("number", 0.25, 1.5)})
}

// generation is what sessions and single responses may both say.
func generation() map[string]shape {
	return map[string]shape{
		"output_modalities": list(enum("text", "audio")),
		"instructions":      text(),
		"tools": list(variants("type", map[string]shape{"function": object([]string{"name"}, map[string]shape{
			"type": text(), "name": text(), "description": text(), "parameters": {kind: "object"},
		})})),
		"tool_choice":         or(object([]string{"type", "name"}, map[string]shape{"type": enum("function"), "name": text()}), "auto", "none", "required"),
		"parallel_tool_calls": boolean(),
		"reasoning":           object(nil, map[string]shape{"effort": enum("minimal", "low", "medium", "high", "xhigh")}),
		"max_output_tokens":   or(between("integer", 1, 4096), "inf"),
	}
}

func responseShape() shape {
	fields := generation()
	fields["conversation"] = enum("auto", "none")
	fields["metadata"] = nullable(shape{kind: "object"})
	fields["input"] = list(itemShape())
	fields["audio"] = object(nil, map[string]shape{"output": object(nil, map[string]shape{"format": formatShape(), "voice": text()})})
	return object(nil, fields)
}

func itemShape() shape {
	base := func(required []string, fields map[string]shape) shape {
		all := map[string]shape{"type": text(), "id": {kind: "string", long: 32}, "object": enum("realtime.item"), "status": enum("completed", "incomplete", "in_progress")}
		for k, v := range fields {
			all[k] = v
		}
		return object(required, all)
	}
	message := func(role string, part shape) shape {
		return base([]string{"role", "content"}, map[string]shape{"role": enum(role), "content": list(part)})
	}
	part := func(kinds map[string][]string) shape {
		of := map[string]shape{}
		for kind, fields := range kinds {
			all := map[string]shape{"type": text()}
			for _, f := range fields {
				all[f] = text()
			}
			of[kind] = object(nil, all)
		}
		return variants("type", of)
	}
	return variants("type", map[string]shape{
		"message": variants("role", map[string]shape{
			"system":    message("system", part(map[string][]string{"input_text": {"text"}})),
			"user":      message("user", part(map[string][]string{"input_text": {"text"}, "input_audio": {"audio", "transcript"}})),
			"assistant": message("assistant", part(map[string][]string{"output_text": {"text"}, "output_audio": {"audio", "transcript"}})),
		}),
		"function_call":        base([]string{"name", "arguments"}, map[string]shape{"call_id": text(), "name": text(), "arguments": text()}),
		"function_call_output": base([]string{"call_id", "output"}, map[string]shape{"call_id": text(), "output": text()}),
	})
}
