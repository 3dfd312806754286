package supabase_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/supabase"
)

// legacy has the shape of a legacy service_role key.
const legacy = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln"

// project answers every request alike and keeps what it was sent.
type project struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
	body []string
}

func newProject(t *testing.T, status int, answer string) *project {
	t.Helper()
	p := &project{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		p.seen, p.body = append(p.seen, r), append(p.body, string(raw))
		p.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(p.Close)
	return p
}

// A legacy key is sent as a token, a secret key never.
func TestServiceKeys(t *testing.T) {
	t.Parallel()
	for key, bearer := range map[string]string{legacy: "Bearer " + legacy, "sb_secret_abc": ""} {
		p := newProject(t, 200, `{"id":"`+uuid.NewString()+`","action_link":"https://x.test/verify?token=abc"}`)
		auth, err := supabase.NewAuth(p.URL+"/", key)
		if err != nil {
			t.Fatal(err)
		}
		if link, err := auth.Link(t.Context(), supabase.LinkRecovery, "a@example.com", "https://x.test/set-password"); err != nil || link != "https://x.test/verify?token=abc" {
			t.Fatal(link, err)
		}
		if err := supabase.NewStorage(p.URL, key).Upload(t.Context(), "b", "a b/c.xml", "text/xml", []byte("<a/>")); err != nil {
			t.Fatal(err)
		}
		for _, r := range p.seen {
			if r.Header.Get("Apikey") != key || r.Header.Get("Authorization") != bearer {
				t.Errorf("%s: apikey %q, authorization %q", r.URL.Path, r.Header.Get("Apikey"), r.Header.Get("Authorization"))
			}
		}
		up := p.seen[1]
		if up.URL.EscapedPath() != "/storage/v1/object/b/a%20b/c.xml" || up.Header.Get("X-Upsert") != "true" || up.Header.Get("Content-Type") != "text/xml" || p.body[1] != "<a/>" {
			t.Errorf("upload: %s %v %s", up.URL, up.Header, p.body[1])
		}
		var sent map[string]any
		if err := json.Unmarshal([]byte(p.body[0]), &sent); err != nil || sent["redirect_to"] != "https://x.test/set-password" {
			t.Errorf("link: %s", p.body[0])
		}
	}
}

// Errors say what to do, and nothing secret.
func TestServiceErrors(t *testing.T) {
	t.Parallel()
	const secret = "sb_secret_abc"
	for _, c := range []struct {
		status    int
		answer    string
		permanent bool
		says      string
	}{
		{401, `{"code":"no_authorization","message":"` + secret + `"}`, true, "check SUPABASE_SERVICE_KEY"},
		{500, `<html>` + secret, false, "has a problem"},
		{429, `{"code":429,"error_code":"over_request_rate_limit","msg":"x"}`, false, "has a problem"},
		{400, `{"code":400,"error_code":"validation_failed","msg":"` + secret + `"}`, true, "validation_failed"},
		{200, `not JSON ` + secret, false, "has a problem"},
	} {
		p := newProject(t, c.status, c.answer)
		auth, err := supabase.NewAuth(p.URL, secret)
		if err != nil {
			t.Fatal(err)
		}
		_, err = auth.Link(t.Context(), supabase.LinkRecovery, "a@example.com", "")
		var known *supabase.ServiceError
		if !errors.As(err, &known) || known.Permanent != c.permanent || !strings.Contains(known.Reason, c.says) {
			t.Errorf("%d: %+v", c.status, err)
			continue
		}
		if all := known.Error() + known.Reason; strings.Contains(all, secret) || strings.Contains(all, "example.com") {
			t.Errorf("%d tells too much: %s", c.status, all)
		}
	}
}

func TestBucketExists(t *testing.T) {
	t.Parallel()
	p := newProject(t, 400, `{"statusCode":"409","error":"Duplicate","message":"The resource already exists"}`)
	if err := supabase.NewStorage(p.URL, legacy).EnsureBucket(t.Context(), "b", true); err != nil {
		t.Error(err)
	}
}

func TestServiceWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hung := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(hung.Close)
	t.Cleanup(func() { close(release) })
	auth, err := supabase.NewAuth(hung.URL, legacy)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = auth.DeleteUser(ctx, uuid.New())
	var known *supabase.ServiceError
	if !errors.As(err, &known) || known.Permanent || known.Status != 0 {
		t.Errorf("%v", err)
	}
}
