package sandbox_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// wire is a RoundTripper that sends an SDK's requests to the sandbox and holds both sides to a description in testdata.
type wire struct {
	t          *testing.T
	base       *url.URL
	vendor     string
	mu         sync.Mutex // the compiler is for one goroutine
	compiler   *jsonschema.Compiler
	operations []operation
	// broken lets requests differ from the description, to see how the sandbox answers them.
	broken bool
}

type operation struct {
	method            string
	path              *regexp.Regexp
	Request, Response string
	Status            int
}

func newWire(t *testing.T, vendor, base string) *wire {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + vendor + ".json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, vendor: vendor, compiler: jsonschema.NewCompiler()}
	if err := w.compiler.AddResource(vendor+".json", doc); err != nil {
		t.Fatal(err)
	}
	var described struct{ Operations map[string]operation }
	if err := json.Unmarshal(raw, &described); err != nil {
		t.Fatal(err)
	}
	for name, op := range described.Operations {
		method, path, _ := strings.Cut(name, " ")
		op.method = method
		op.path = regexp.MustCompile("^" + regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), "[^/]+?") + "$")
		w.operations = append(w.operations, op)
	}
	if w.base, err = url.Parse(base); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *wire) check(what, schema string, value any) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	compiled, err := w.compiler.Compile(w.vendor + ".json" + schema)
	if err != nil {
		w.t.Errorf("schema %s: %v", schema, err)
		return
	}
	if err := compiled.Validate(value); err != nil {
		w.t.Errorf("%s is not %s: %v", what, schema, err)
	}
}

// find prefers the path that names most, as .../Local.json over .../{sid}.json.
func (w *wire) find(r *http.Request) (best operation, found bool) {
	for _, op := range w.operations {
		if op.method == r.Method && op.path.MatchString(r.URL.Path) && (!found || len(op.path.String()) > len(best.path.String())) {
			best, found = op, true
		}
	}
	return best, found
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.t.Helper()
	what := r.Method + " " + r.URL.Path
	op, found := w.find(r)
	if !found {
		w.t.Errorf("%s is not described", what)
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	if found && !w.broken {
		w.check(what+" request", op.Request, requestValue(w.t, r, body))
	}
	to := r.Clone(r.Context())
	to.URL.Scheme, to.URL.Host, to.Host = w.base.Scheme, w.base.Host, ""
	to.Body = io.NopCloser(bytes.NewReader(body))
	to.ContentLength = int64(len(body))
	resp, err := http.DefaultTransport.RoundTrip(to)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	schema := op.Response
	switch {
	case resp.StatusCode >= 400:
		schema = "#/$defs/error"
	case found && resp.StatusCode != op.Status:
		w.t.Errorf("%s answered %d, want %d", what, resp.StatusCode, op.Status)
	}
	if schema == "" {
		if len(answer) > 0 {
			w.t.Errorf("%s answered a body: %s", what, answer)
		}
		return resp, nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(answer))
	if err != nil {
		w.t.Errorf("%s answered no JSON: %s", what, answer)
		return resp, nil
	}
	w.check(what+" answer", schema, value)
	return resp, nil
}

// requestValue is the body's JSON, or the form or query as an object of strings.
func requestValue(t *testing.T, r *http.Request, body []byte) any {
	t.Helper()
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") && len(body) > 0 {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			t.Error(err)
		}
		return value
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		t.Error(err)
	}
	object := map[string]any{}
	for _, values := range []url.Values{form, r.URL.Query()} {
		for k, v := range values {
			object[k] = v[0]
		}
	}
	return object
}
