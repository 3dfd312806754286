package local_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/auth anew")

// recorder compares each exchange with its file in testdata/auth.
type recorder struct {
	*stack
	seen map[string]bool
}

// fixture is one exchange, with everything that differs from run to run replaced by its kind in angle brackets.
type fixture struct {
	Request  exchange `json:"request"`
	Response exchange `json:"response"`
}

type exchange struct {
	Method string            `json:"method,omitempty"`
	Path   string            `json:"path,omitempty"`
	Status int               `json:"status,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   any               `json:"body,omitempty"`
}

// call records an exchange as name.
func (r *recorder) call(name string, q request) answer {
	r.t.Helper()
	if r.seen[name] {
		r.t.Fatalf("two fixtures are named %s", name)
	}
	r.seen[name] = true
	a := r.do(q)
	r.compare(name, q, a)
	return a
}

// fails records a refusal in both shapes of error.
func (r *recorder) fails(name string, q request) {
	r.t.Helper()
	r.call(name, q)
	header := map[string]string{"X-Supabase-Api-Version": "2024-01-01"}
	for k, v := range q.header {
		header[k] = v
	}
	q.header = header
	r.call(name+".2024-01-01", q)
}

var volatile = []struct {
	pattern *regexp.Regexp
	kind    string
}{
	{regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`), "<jwt>"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "<uuid>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)`), "<time>"},
	{regexp.MustCompile(`[0-9a-f]{56}`), "<hash>"},
	{regexp.MustCompile(`refresh_token=[a-z0-9]{12}`), "refresh_token=<refresh token>"},
	{regexp.MustCompile(`expires_at=\d+`), "expires_at=<unix>"},
	{regexp.MustCompile(`http(://|%3A%2F%2F)127\.0\.0\.1(:|%3A)\d+`), "<base>"},
}

var volatileFields = map[string]string{
	"refresh_token": "<refresh token>", "expires_at": "<unix>", "timestamp": "<unix>", "email_otp": "<otp>", "token": "<otp>", "nonce": "<otp>", "code": "<code>",
	"qr_code": "<svg>", "secret": "<base32>", "uri": "<otpauth>", "x": "<x>", "y": "<y>", "auth_code": "<uuid>",
}

func normalise(field string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range v {
			out[k] = normalise(k, e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = normalise("", e)
		}
		return out
	case float64:
		if kind, ok := volatileFields[field]; ok && v > 1e6 {
			return kind
		}
		return v
	case string:
		digits := strings.Trim(v, "0123456789") == ""
		if kind, ok := volatileFields[field]; ok && v != "" && (field != "code" || digits && len(v) == 6) {
			return kind
		}
		for _, p := range volatile {
			v = p.pattern.ReplaceAllString(v, p.kind)
		}
		return v
	}
	return v
}

func plain(t *testing.T, raw []byte) any {
	t.Helper()
	if len(raw) == 0 {
		return nil
	}
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	return normalise("", v)
}

func (r *recorder) compare(name string, q request, a answer) {
	r.t.Helper()
	f := fixture{
		Request:  exchange{Method: q.method, Path: normalise("", strings.TrimPrefix(q.path, r.base)).(string), Header: map[string]string{}},
		Response: exchange{Status: a.status, Header: map[string]string{}, Body: plain(r.t, a.raw)},
	}
	switch body := q.body.(type) {
	case nil:
	case string:
		f.Request.Body = body
	default:
		raw, err := json.Marshal(body)
		must(r.t, err)
		f.Request.Body = plain(r.t, raw)
	}
	named := map[string]string{"": "<publishable key>", r.keys.Secret: "<secret key>", r.keys.ServiceJWT: "<service_role key>", r.keys.AnonJWT: "<anon key>"}
	if q.key != "-" {
		f.Request.Header["apikey"] = q.key
		if kind, ok := named[q.key]; ok {
			f.Request.Header["apikey"] = kind
		}
	}
	if q.token != "" {
		f.Request.Header["authorization"] = "Bearer <jwt>"
		if kind, ok := named[q.token]; ok {
			f.Request.Header["authorization"] = "Bearer " + kind
		}
	}
	for k, v := range q.header {
		f.Request.Header[strings.ToLower(k)] = v
	}
	for _, k := range []string{"Content-Type", "Location", "Link", "X-Total-Count", "X-Sb-Error-Code", "X-Supabase-Api-Version"} {
		if v := a.header.Get(k); v != "" {
			f.Response.Header[strings.ToLower(k)] = normalise("", v).(string)
		}
	}
	var got bytes.Buffer
	enc := json.NewEncoder(&got)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	must(r.t, enc.Encode(f))
	path := filepath.Join("testdata", "auth", name+".json")
	if *update {
		must(r.t, os.WriteFile(path, got.Bytes(), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		r.t.Errorf("%v (go test ./supabase/local -run Fixtures -update writes it)", err)
	} else if diff := cmp.Diff(string(want), got.String()); diff != "" {
		r.t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
