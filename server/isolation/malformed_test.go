package isolation_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"kestrel.ai/server/api/apitest"
	"kestrel.ai/server/edge"
)

// allowed is a caller who may do the operation, and a host where it is served.
func (m *matrix) allowed(op operation) (caller, string) {
	for _, c := range m.callers {
		if c.kind == edge.PlatformAdmin && c.mfa && strings.HasPrefix(op.Access, "platform") {
			return c, "admin" + base
		}
		most := c.role == edge.Owner
		if op.ID == "endOwnView" {
			most = c.kind == edge.View
		}
		if c.home == home && most && strings.HasPrefix(op.Access, "tenant:") {
			return c, home + base
		}
	}
	if op.Access == "public_at_tenant" {
		return m.callers[0], home + base
	}
	return m.callers[0], "kestrel.ai"
}

// bad is a malformed request.
type bad struct {
	what, url string
	body      any
	headers   map[string]string
	field     string // that the answer must name
	want      []int  // nil: anything below 500, also success
}

var refused = []int{400, 404, 413, 415, 422}

// values are what a text may hold without anything breaking.
var values = []string{"\x00", "\xff\xfe", "%' or 1=1; --", "\u202e\u2028", strings.Repeat("x", 70_000), "-1", "1e99", "2026-13-45T99:99:99Z", "null", "{}"}

func badPaths(op operation, r request) (out []bad) {
	for name := range r.path {
		if !strings.Contains(op.Path, "{"+name+"}") {
			continue
		}
		for _, value := range []string{"not-a-uuid", "'%20or%201=1", "%C3%28", strings.Repeat("9", 300), "{019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51}", "%00"} {
			other := r
			other.path = maps.Clone(r.path)
			other.path[name] = value
			b := bad{what: name + " " + value, url: other.url(op), body: r.body, field: name, want: refused}
			if name == "tier" || value == "%00" {
				b.field = ""
			}
			out = append(out, b)
		}
	}
	return out
}

func badQueries(op operation, r request) (out []bad) {
	url := r.url(op) + "?"
	if strings.Contains(url[:len(url)-1], "?") {
		url = url[:len(url)-1] + "&"
	}
	out = append(out, bad{what: "an unknown parameter", url: url + "surprise=1", body: r.body, field: "surprise", want: []int{422}})
	for _, p := range op.Parameters {
		if p.In != "query" || r.path["?"] != "" {
			continue
		}
		for _, value := range values[:len(values)-5] {
			out = append(out, bad{what: p.Name, url: url + p.Name + "=" + percent(value[:min(len(value), 2000)]), body: r.body})
		}
		for _, value := range values[len(values)-5:] {
			out = append(out, bad{what: p.Name, url: url + p.Name + "=" + percent(value), body: r.body})
		}
		if kind := p.Schema["type"]; kind != "string" && kind != "array" || p.Schema["format"] != nil || p.Schema["enum"] != nil {
			out = append(out, bad{what: p.Name + " of a wrong type", url: url + p.Name + "=zz", body: r.body, field: p.Name, want: []int{422}})
		}
	}
	return out
}

func percent(s string) string {
	var out strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&out, "%%%02X", s[i])
	}
	return out.String()
}

func badBodies(op operation, r request) (out []bad) {
	url := r.url(op)
	add := func(what, field string, want []int, body any) {
		out = append(out, bad{what: what, url: url, body: body, field: field, want: want})
	}
	if op.Body == nil {
		if op.Method == http.MethodPost { // a DELETE would do its work
			add("a body that nobody asked for", "", nil, `{"surprise":1}`)
		}
		return out
	}
	good, _ := r.body.(map[string]any)
	with := func(name string, value any) string {
		sent := maps.Clone(good)
		if sent == nil {
			sent = map[string]any{}
		}
		sent[name] = value
		encoded, _ := json.Marshal(sent)
		return string(encoded)
	}
	for what, text := range map[string]string{"broken JSON": `{"a":`, "no JSON": `hello`, "a list": `[]`, "a text": `"x"`, "a number": `1`, "two values": `{}{}`, "too deep": strings.Repeat("[", 50_000)} {
		add(what, "", refused, text)
	}
	if op.NeedsBody {
		add("an empty body", "", refused, "")
		add("null", "", refused, "null")
	}
	add("an unknown field", "surprise", []int{422}, with("surprise", 1))
	out = append(out, bad{what: "a form", url: url, body: "a=1&b=2", headers: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, want: []int{415}},
		bad{what: "text/plain", url: url, body: with("surprise", 1), headers: map[string]string{"Content-Type": "text/plain"}, want: []int{415}})
	for _, name := range op.Required {
		short := maps.Clone(good)
		delete(short, name)
		add("without "+name, name, []int{422}, short)
	}
	for name, schema := range op.Body {
		wrong := any(map[string]any{"a": 1})
		if at(schema, "$ref") != nil {
			wrong = []int{1}
		}
		add(name+" of a wrong type", name, []int{422}, with(name, wrong))
		add(name+" as null", "", nil, with(name, nil))
		kind := fmt.Sprint(at(schema, "type"))
		switch {
		case strings.Contains(kind, "string"):
			add(name+" as a number", name, []int{422}, with(name, 12.5))
			add(name+" too long", name, []int{422}, with(name, strings.Repeat("x", 70_000)))
			for _, value := range values {
				add(fmt.Sprintf("%s as %.10q", name, value), "", nil, with(name, value))
			}
			lone := strings.Replace(with(name, "@@"), `"@@"`, `"\ud800"`, 1)
			add(name+" with half a character", "", nil, lone)
			add(name+" in no encoding", "", nil, strings.Replace(lone, `\ud800`, "\xff\xfe", 1))
		case strings.Contains(kind, "integer"):
			for _, value := range []string{"-1", "1e30", "9223372036854775808", "1.5", `"7"`} {
				add(name+" as "+value, name, []int{422}, strings.Replace(with(name, "@@"), `"@@"`, value, 1))
			}
		case strings.Contains(kind, "boolean"):
			add(name+" as text", name, []int{422}, with(name, "yes"))
		}
	}
	return out
}

// TestMalformed sends every operation what it does not take, as somebody who may do it: the answer names the field at
// fault, shows nothing of our insides, and is never a 500.
func TestMalformed(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	sent := 0
	for _, op := range m.operations {
		c, host := m.allowed(op)
		r := requests[op.ID](m.subjects[home])
		if op.Access == "platform_admin" {
			r = requests[op.ID](m.subjects[foreign]) // its status may change on the way
		}
		if r.headers != nil {
			r.prepare(t, m.w)
		}
		for _, b := range slices.Concat(badPaths(op, r), badQueries(op, r), badBodies(op, r)) {
			sent++
			as := c.as.At(host)
			for name, value := range r.headers {
				as = as.With(name, value)
			}
			for name, value := range b.headers {
				as = as.With(name, value)
			}
			a := as.Do(op.Method, b.url, b.body)
			m.judge(t, op, c, host, b.what, a)
			if b.want != nil && !slices.Contains(b.want, a.Status) {
				t.Errorf("%s, %.60s: %d, want one of %v\n%.300s", op.ID, b.what, a.Status, b.want, a.Body)
			}
			if p := a.Problem(); b.field != "" && !slices.ContainsFunc(p.Errors, func(f edge.ProblemField) bool { return f.Field == b.field || strings.HasPrefix(f.Field, b.field+"[") }) {
				t.Errorf("%s, %.60s: %s is not named\n%.400s", op.ID, b.what, b.field, a.Body)
			}
		}
	}
	t.Logf("%d malformed requests", sent)
}

// TestTooLarge announces a body beyond the limit to every operation that takes one.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	for _, op := range m.operations {
		if op.Body == nil {
			continue
		}
		c, host := m.allowed(op)
		conn, err := net.Dial("tcp", strings.TrimPrefix(m.w.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
			op.Method, requests[op.ID](m.subjects[home]).url(op), host, c.as.Headers["Authorization"], 1<<20+1)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(res.Body)
		conn.Close()
		if err != nil || res.StatusCode != 413 {
			t.Errorf("%s: %d %v", op.ID, res.StatusCode, err)
		}
		m.judge(t, op, c, host, "too large", apitest.Answer{Status: res.StatusCode, Header: res.Header, Body: string(answer)})
	}
}
