package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
	"kestrel.ai/server/edge"
)

type operation struct {
	ID, Method, Path, Access string
	Raw                      map[string]any
}

func operations(t *testing.T) []operation {
	t.Helper()
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]map[string]any
	}
	if err := json.Unmarshal(api.Document(api.Config{}), &doc); err != nil || doc.OpenAPI != "3.1.0" {
		t.Fatal(err, doc.OpenAPI)
	}
	var out []operation
	for path, item := range doc.Paths {
		for method, op := range item {
			access, _ := op["x-kestrel-access"].(string)
			id, _ := op["operationId"].(string)
			out = append(out, operation{id, strings.ToUpper(method), path, access, op})
		}
	}
	return out
}

func TestEveryOperationIsDocumented(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	all := operations(t)
	if len(all) < 55 {
		t.Errorf("%d operations", len(all))
	}
	for _, op := range all {
		if op.ID == "" || seen[op.ID] {
			t.Errorf("%s %s: operationId %q", op.Method, op.Path, op.ID)
		}
		seen[op.ID] = true
		for _, key := range []string{"summary", "description", "tags", "security", "x-kestrel-access", "responses"} {
			if op.Raw[key] == nil || op.Raw[key] == "" {
				t.Errorf("%s has no %s", op.ID, key)
			}
		}
		responses := op.Raw["responses"].(map[string]any)
		if responses["429"] == nil || responses["500"] == nil || !strings.HasPrefix(op.Access, "public") && (responses["401"] == nil || responses["403"] == nil) {
			t.Errorf("%s lacks error responses", op.ID)
		}
		for code, r := range responses {
			content, _ := r.(map[string]any)["content"].(map[string]any)
			for mediaType, m := range content {
				if m.(map[string]any)["example"] == nil {
					t.Errorf("%s %s %s has no example", op.ID, code, mediaType)
				}
			}
		}
		if body, ok := op.Raw["requestBody"].(map[string]any); ok {
			for mediaType, m := range body["content"].(map[string]any) {
				if m.(map[string]any)["example"] == nil {
					t.Errorf("%s has no example of a body of %s", op.ID, mediaType)
				}
			}
		}
		idempotent := false
		parameters, _ := op.Raw["parameters"].([]any)
		for _, p := range parameters {
			idempotent = idempotent || p.(map[string]any)["name"] == "Idempotency-Key"
		}
		if idempotent != (op.Method == http.MethodPost) {
			t.Errorf("%s: Idempotency-Key is documented: %v", op.ID, idempotent)
		}
	}
}

// Each operation turns away whom x-kestrel-access does not name, before it looks at the body.
func TestWrongCallers(t *testing.T) {
	t.Parallel()
	w := apitest.New(t, apitest.ShortStreams)
	staff := w.Staff("admin@kestrel.ai")
	haiec, other := w.Company("haiec", "+18573825169"), w.Company("other-co", "+18575550100")
	roles := map[string]edge.Role{"owner": edge.Owner, "admin": edge.Admin, "member": edge.Member, "viewer": edge.Viewer}
	scopes := map[string][]string{"key_read": {"read"}, "key_write": {"read", "write"}}
	ask := func(c apitest.Caller, op operation) int {
		path := strings.NewReplacer("{id}", "019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51", "{key_id}", "019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51", "{tier}", "none", "{phone}", "+18575550199").Replace(op.Path)
		var body any
		if op.Method == "POST" || op.Method == "PATCH" {
			body = `{"surprise":1}`
		}
		return c.Do(op.Method, path, body).Status
	}
	refused := []int{401, 403, 404}
	for _, op := range operations(t) {
		if strings.HasPrefix(op.Access, "public") {
			continue
		}
		for name, c := range haiec.Callers() {
			if status := ask(c.At("admin.kestrel.ai"), op); !slices.Contains(refused, status) {
				t.Errorf("%s as %s at admin.: %d", op.ID, name, status)
			}
			_, action, onTenant := strings.Cut(op.Access, "tenant:")
			allowed := onTenant && (edge.Allowed(roles[name], edge.Action(action)) || edge.KeyAllowed(scopes[name], edge.Action(action)))
			if !onTenant {
				c = c.At("api.kestrel.ai")
			}
			if status := ask(c, op); allowed == (status == 401 || status == 403) {
				t.Errorf("%s as %s: %d, allowed %v", op.ID, name, status, allowed)
			}
		}
		if strings.HasPrefix(op.Access, "tenant:") {
			for name, c := range map[string]apitest.Caller{"another's owner": other.Owner.At("haiec.kestrel.ai"), "another's key": other.WriteKey.At("haiec.kestrel.ai"), "staff": staff.At("haiec.kestrel.ai")} {
				if status := ask(c, op); status != 403 {
					t.Errorf("%s as %s: %d", op.ID, name, status)
				}
			}
		} else if status := ask(staff, op); status == 401 || status == 403 {
			t.Errorf("%s as staff: %d", op.ID, status)
		}
		for _, host := range []string{"admin.kestrel.ai", "haiec.kestrel.ai", "api.kestrel.ai"} {
			if status := ask(w.Anonymous(host), op); status != 401 && status != 404 {
				t.Errorf("%s as nobody at %s: %d", op.ID, host, status)
			}
		}
	}
}

func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	w := apitest.New(t, apitest.ShortStreams)
	for _, host := range []string{"kestrel.ai", "admin.kestrel.ai", "api.kestrel.ai"} {
		a := w.Anonymous(host).Do("GET", "/openapi.json", nil)
		if a.Status != 200 || a.Header.Get("Content-Type") != "application/json" || !strings.Contains(a.Body, `"openapi":"3.1.0"`) {
			t.Errorf("%s: %d %v", host, a.Status, a.Header)
		}
	}
	if a := w.Staff("admin@kestrel.ai").Do("GET", "/api/admin/nonsense", nil); a.Status != 404 || a.Problem().Code != "not_found" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}
