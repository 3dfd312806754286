package isolation_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"kestrel.ai/server/api"
	"kestrel.ai/server/edge"
)

// operation is one of the OpenAPI document's.
type operation struct {
	ID, Method, Path, Access string
	Success                  int // its one status below 400
	Parameters               []parameter
	Body                     map[string]any // schema of the body's properties, nil without a body
	Required                 []string       // of the body
	NeedsBody                bool
	raw                      map[string]any
}

type parameter struct {
	Name, In string
	Schema   map[string]any
}

// open reports whether anybody may do it.
func (op operation) open() bool { return strings.HasPrefix(op.Access, "public") }

// changes reports whether a good request may change a row.
func (op operation) changes() bool { return op.Method != "GET" }

// document is the OpenAPI document with what validates answers against it.
type document struct {
	operations []operation
	root       map[string]any
	schemas    map[string]*jsonschema.Schema // by operation, status and media type
}

// at follows a JSON pointer's names.
func at(v any, names ...string) any {
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// theDocument is read once: its schemas take a while to compile.
var theDocument = sync.OnceValues(readDocument)

func documented(t *testing.T) *document {
	t.Helper()
	d, err := theDocument()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func readDocument() (*document, error) {
	const address = "https://kestrel.ai/openapi.json"
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(api.Document(api.Config{})))
	if err != nil {
		return nil, err
	}
	d := &document{root: parsed.(map[string]any), schemas: map[string]*jsonschema.Schema{}}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource(address, parsed); err != nil {
		return nil, err
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	paths := at(parsed, "paths").(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := paths[path].(map[string]any)
		for _, method := range slices.Sorted(maps.Keys(item)) {
			raw := item[method].(map[string]any)
			op := d.operation(method, path, raw)
			d.operations = append(d.operations, op)
			for status, response := range at(raw, "responses").(map[string]any) {
				content, _ := at(response, "content").(map[string]any)
				for mediaType := range content {
					pointer := strings.Join([]string{"#", "paths", escape.Replace(path), method, "responses", status, "content", escape.Replace(mediaType), "schema"}, "/")
					schema, err := compiler.Compile(address + pointer)
					if err != nil {
						return nil, err
					}
					d.schemas[fmt.Sprint(op.ID, status, mediaType)] = schema
				}
			}
		}
	}
	return d, nil
}

func (d *document) operation(method, path string, raw map[string]any) operation {
	op := operation{Method: strings.ToUpper(method), Path: path, raw: raw}
	op.ID, _ = raw["operationId"].(string)
	op.Access, _ = raw["x-kestrel-access"].(string)
	for status := range raw["responses"].(map[string]any) {
		if n, _ := strconv.Atoi(status); n < 400 {
			op.Success = n
		}
		if status == "101" {
			op.Success = http.StatusUpgradeRequired // what a request that asks for no upgrade gets, once it is let in
		}
	}
	parameters, _ := raw["parameters"].([]any)
	for _, p := range parameters {
		schema, _ := at(p, "schema").(map[string]any)
		op.Parameters = append(op.Parameters, parameter{at(p, "name").(string), at(p, "in").(string), schema})
	}
	if body := at(raw, "requestBody"); body != nil {
		op.NeedsBody, _ = at(body, "required").(bool)
		schema := d.resolve(at(body, "content", "application/json", "schema"))
		op.Body, _ = at(schema, "properties").(map[string]any)
		required, _ := at(schema, "required").([]any)
		for _, name := range required {
			op.Required = append(op.Required, name.(string))
		}
	}
	return op
}

func (d *document) resolve(schema any) any {
	if ref, ok := at(schema, "$ref").(string); ok {
		return at(d.root, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	return schema
}

// fault says how an answer differs from what the document declares, "" if it does not.
func (d *document) fault(op operation, status int, contentType, body string) string {
	response, declared := at(op.raw, "responses", strconv.Itoa(status)).(map[string]any)
	if !declared {
		return fmt.Sprintf("status %d is not declared", status)
	}
	mediaType, _, _ := strings.Cut(contentType, ";")
	if at(response, "content") == nil {
		if body != "" {
			return "a body is not declared"
		}
		return ""
	}
	schema := d.schemas[fmt.Sprint(op.ID, status, mediaType)]
	if schema == nil {
		return fmt.Sprintf("%q is not declared for %d", mediaType, status)
	}
	if !strings.HasSuffix(mediaType, "json") {
		return ""
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		return "no JSON: " + err.Error()
	}
	if err := schema.Validate(value); err != nil {
		return err.Error()
	}
	return ""
}

// internals are words of our insides, which no answer may show.
var internals = []string{"SQLSTATE", "pgx", "pgconn", "goroutine", "runtime error", "panic", "violates", "row-level", "permission denied", "pq:", ".go:",
	"tenant_users", "tenant_api_keys", "tenant_slugs", "tenant_plans", "phone_numbers", "number_purchases", "call_logs", "call_turns", "email_log",
	"activity_log", "agent_versions", "usage_adjustments", "river_job", "kestrel_admin", "kestrel_app", "kestrel_key", "service_role"}

// problemFault says what is wrong with an error answer, "" if nothing is.
func problemFault(status int, contentType, body string) string {
	var p edge.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil || contentType != edge.ProblemType {
		return "no problem+json"
	}
	if p.Status != status || p.Code == "" || p.RequestID == "" || p.Title == "" || p.Type != "/docs/errors#"+p.Code || status >= 500 {
		return "an incomplete or internal problem"
	}
	for _, word := range internals {
		if strings.Contains(body, word) {
			return "it shows " + word
		}
	}
	return ""
}

// Every operation says what it does, and shows what it takes and answers; the examples are good by its own schemas.
func TestDocument(t *testing.T) {
	t.Parallel()
	d := documented(t)
	if len(d.operations) < 58 {
		t.Errorf("%d operations", len(d.operations))
	}
	for _, op := range d.operations {
		for _, key := range []string{"summary", "description"} {
			if text, _ := op.raw[key].(string); len(text) < 5 {
				t.Errorf("%s: %s is %q", op.ID, key, text)
			}
		}
		if op.Success == 0 {
			t.Errorf("%s declares no success", op.ID)
		}
		for status, response := range at(op.raw, "responses").(map[string]any) {
			content, _ := at(response, "content").(map[string]any)
			if len(content) == 0 && !slices.Contains([]string{"101", "204", "302"}, status) {
				t.Errorf("%s %s has no content", op.ID, status)
			}
			for mediaType, media := range content {
				example := at(media, "example")
				if example == nil {
					t.Errorf("%s %s %s has no example", op.ID, status, mediaType)
				} else if err := d.schemas[fmt.Sprint(op.ID, status, mediaType)].Validate(example); err != nil {
					t.Errorf("%s %s %s: the example is not valid: %v", op.ID, status, mediaType, err)
				}
			}
		}
	}
}
