package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/server/edge"
)

// Caller is somebody with a credential, at a host.
type Caller struct {
	Name    string
	Host    string
	Headers map[string]string
	UserID  uuid.UUID
	w       *World
}

// Anonymous is a caller at a host, e.g. "haiec.kestrel.ai", without a credential.
func (w *World) Anonymous(host string) Caller { return Caller{Name: "anonymous", Host: host, w: w} }

// At is the same caller at another host.
func (c Caller) At(host string) Caller { c.Host = host; return c }

// With is the same caller, who sends another header.
func (c Caller) With(name, value string) Caller {
	headers := map[string]string{name: value}
	for k, v := range c.Headers {
		if k != name {
			headers[k] = v
		}
	}
	c.Headers = headers
	return c
}

// Person makes a login and a token for it; at is its host.
func (w *World) Person(email, at string) Caller {
	w.t.Helper()
	user := uuid.New()
	w.Exec(`insert into auth.users (id, email, email_confirmed_at) values ($1, $2, now())`, user, email)
	return Caller{Name: email, Host: at, UserID: user, w: w}.With("Authorization", "Bearer "+w.Token(user, email))
}

// Staff makes a platform admin, at admin.
func (w *World) Staff(email string) Caller {
	w.t.Helper()
	c := w.Person(email, "admin.kestrel.ai")
	w.Exec(`insert into platform_admins (email, user_id) values ($1, $2)`, email, c.UserID)
	return c
}

// Answer is a response that was read to its end.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Problem is the answer's, if it is one.
func (a Answer) Problem() (p edge.Problem) {
	_ = json.Unmarshal([]byte(a.Body), &p)
	return p
}

// JSON decodes the answer into T.
func JSON[T any](t testing.TB, a Answer) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil {
		t.Fatalf("%d %s: %v", a.Status, a.Body, err)
	}
	return v
}

// Do sends a request; a body that is no string or nil is sent as JSON, a string as it is, both as application/json
// unless the caller says otherwise.
func (c Caller) Do(method, path string, body any) Answer {
	c.w.t.Helper()
	res := c.Open(c.w.t.Context(), method, path, body)
	defer func() { _ = res.Body.Close() }()
	read, err := io.ReadAll(res.Body)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: string(read)}
}

// Open sends a request and leaves the answer's body to be read.
func (c Caller) Open(ctx context.Context, method, path string, body any) *http.Response {
	c.w.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			c.w.t.Fatal(err)
		}
		reader = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.w.URL+path, reader)
	if err != nil {
		c.w.t.Fatal(err)
	}
	req.Host = c.Host
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range c.Headers {
		req.Header.Set(name, value)
	}
	res, err := c.w.client.Do(req)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return res
}
