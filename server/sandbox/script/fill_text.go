package script

import (
	"regexp"
	"strings"
)

var emailForm = regexp.MustCompile(`[\w.+-]+@[\w-]+\.[\w.-]*\w`)

func (f filler) phrase(name string, s shape) string {
	m := f.memory
	switch {
	case about(name, "reply", "response", "say") && f.reply != "":
		return f.reply
	case about(name, "summary", "recap", "overview", "title", "headline"):
		return f.summary()
	case about(name, "follow", "next_step", "action"):
		return f.follow
	case about(name, "email"):
		return emailForm.FindString(f.text)
	case about(name, "business", "company"):
		return f.sentence(name, s.Description)
	case about(name, "phone", "number", "callback"):
		return or(m.phone, phoneIn(strings.Join(f.caller, "\n")))
	case about(name, "address", "location"):
		return m.address
	case name == "name" || about(name, "_name", "name_", "caller", "customer"):
		return m.name
	case about(name, "service"):
		return m.service
	case about(name, "sentiment", "outcome", "intent", "urgen", "priority", "language", "category", "disposition"):
		return f.word(name)
	case about(name, "reason"):
		return or(m.request, f.word("intent"))
	case about(name, "message", "note"):
		return or(m.message, m.request)
	case about(name, "appointment", "time", "date"):
		return f.told()
	}
	return f.sentence(name, s.Description)
}

func (f filler) word(name string) string {
	if about(name, "intent", "category") {
		return or(f.intent, "question")
	}
	if all := f.likely(name); len(all) > 0 {
		return all[0]
	}
	return ""
}

// sentence is the one of the text that has most to do with a field.
func (f filler) sentence(name, description string) string {
	wanted := strings.ReplaceAll(name, "_", " ") + " " + description
	best, found := 0, ""
	for _, s := range sentences(f.text) {
		if n := overlap(wanted, s); n > best {
			best, found = n, s
		}
	}
	if m := spokenLine.FindStringSubmatch(found); m != nil {
		return m[2]
	}
	return found
}

func (f filler) list(name string, s shape, depth int) any {
	out := []any{}
	if s.Items == nil {
		return out
	}
	item := kinds(s.Items.Type)
	switch {
	case item["string"] && s.Items.Enum != nil:
		out = append(out, f.oneOf(name, *s.Items, false))
	case item["string"] && about(name, "question"):
		for _, line := range f.caller {
			for _, q := range sentences(line) {
				if strings.HasSuffix(q, "?") {
					out = append(out, q)
				}
			}
		}
	case item["string"] && about(name, "topic", "tag", "intent", "categor"):
		out = append(out, f.word("intent"))
	case item["string"]:
		if v := f.phrase(name, *s.Items); v != "" {
			out = append(out, v)
		}
	}
	for len(out) < s.MinItems && len(out) < 100 {
		out = append(out, f.value(name, *s.Items, depth+1))
	}
	return out
}
