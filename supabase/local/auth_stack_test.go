package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kestrel.ai/supabase/local"
	"kestrel.ai/supabase/supabasetest"
)

// stack is Auth and Storage on a database of the test's own, reachable over HTTP.
type stack struct {
	t       *testing.T
	base    string
	keys    local.Keys
	signing *local.SigningKey
	pool    *pgxpool.Pool // superuser
	dir     string        // Storage's files
	ahead   atomic.Int64  // how far the stack's clock is ahead, in nanoseconds

	mu    sync.Mutex
	mails []local.Mail
}

func (s *stack) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

func (s *stack) pass(d time.Duration) { s.ahead.Add(int64(d)) }

func newStack(t *testing.T, with ...func(*local.AuthOptions)) *stack {
	t.Helper()
	ctx := context.Background()
	db := supabasetest.Bare(t)
	pool, err := pgxpool.New(ctx, db.SuperuserURL)
	must(t, err)
	t.Cleanup(pool.Close)
	conf, err := pgxpool.ParseConfig(db.SuperuserURL)
	must(t, err)
	conf.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "set role supabase_auth_admin") // all that Auth needs
		return err
	}
	authPool, err := pgxpool.NewWithConfig(ctx, conf)
	must(t, err)
	t.Cleanup(authPool.Close)
	server := httptest.NewUnstartedServer(nil)
	s := &stack{t: t, base: "http://" + server.Listener.Addr().String(), pool: pool, dir: t.TempDir()}
	s.signing, err = local.NewSigningKey()
	must(t, err)
	s.keys = local.Keys{Publishable: "sb_publishable_test", Secret: "sb_secret_test"}
	s.keys.AnonJWT, err = s.signing.RoleJWT("anon", time.Now())
	must(t, err)
	s.keys.ServiceJWT, err = s.signing.RoleJWT("service_role", time.Now())
	must(t, err)
	log := slog.New(slog.NewTextHandler(testLog{t}, nil))
	o := local.AuthOptions{
		Pool: authPool, BaseURL: s.base, SiteURL: "http://app.localhost:8080", Key: s.signing, Keys: s.keys, Now: s.now, Log: log,
		HashCost: 4, Limits: local.Limits{Off: true},
		RedirectAllow: func(url string) bool { return strings.HasPrefix(url, "http://acme.localhost:8080/") },
		Mailer: func(_ context.Context, m local.Mail) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.mails = append(s.mails, m)
			return nil
		},
	}
	for _, fn := range with {
		fn(&o)
	}
	files, err := local.NewStorage(local.StorageOptions{
		Pool: pool, Dir: s.dir, BaseURL: s.base, Key: s.signing, Keys: s.keys, Now: s.now, Log: log, MaxBytes: 1 << 20,
	})
	must(t, err)
	mux := http.NewServeMux()
	mux.Handle("/auth/v1/", local.NewAuth(o))
	mux.Handle("/storage/v1/", files)
	server.Config.Handler = mux
	server.Start()
	t.Cleanup(server.Close)
	return s
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Helper()
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lastMail is the newest mail to an address.
func (s *stack) lastMail(to string) local.Mail {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.mails) - 1; i >= 0; i-- {
		if s.mails[i].To == to {
			return s.mails[i]
		}
	}
	s.t.Fatalf("no mail to %s", to)
	return local.Mail{}
}

func (s *stack) mailCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mails)
}

// request is a call of the stack. Key is the apikey, the publishable one if empty; "-" sends none.
type request struct {
	method, path string // below base
	key, token   string
	header       map[string]string
	body         any // a string goes as it is
}

type answer struct {
	status int
	header http.Header
	raw    []byte
	json   map[string]any
}

func (a answer) str(path ...string) string {
	var v any = a.json
	for _, p := range path {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	s, _ := v.(string)
	return s
}

// code is the error code in either shape, or the storage error's.
func (a answer) code() string {
	for _, name := range []string{"error_code", "code", "error"} {
		if s, ok := a.json[name].(string); ok {
			return s
		}
	}
	return ""
}

var noRedirects = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (s *stack) do(r request) answer {
	s.t.Helper()
	var body io.Reader
	switch b := r.body.(type) {
	case nil:
	case string:
		body = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		must(s.t, err)
		body = bytes.NewReader(raw)
	}
	path := r.path
	if !strings.HasPrefix(path, "http") {
		path = s.base + path
	}
	req, err := http.NewRequestWithContext(context.Background(), r.method, path, body)
	must(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	switch r.key {
	case "":
		req.Header.Set("Apikey", s.keys.Publishable)
	case "-":
	default:
		req.Header.Set("Apikey", r.key)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	res, err := noRedirects.Do(req)
	must(s.t, err)
	defer res.Body.Close()
	out := answer{status: res.StatusCode, header: res.Header}
	out.raw, err = io.ReadAll(res.Body)
	must(s.t, err)
	_ = json.Unmarshal(out.raw, &out.json)
	return out
}

func (s *stack) want(a answer, status int, code string) answer {
	s.t.Helper()
	if a.status != status || code != "" && a.code() != code {
		s.t.Fatalf("got %d %q, want %d %q: %s", a.status, a.code(), status, code, a.raw)
	}
	return a
}

const password = "correct horse"

// user makes a confirmed user with password and returns its id.
func (s *stack) user(email string) string {
	s.t.Helper()
	return s.want(s.do(request{method: "POST", path: "/auth/v1/admin/users", key: s.keys.Secret,
		body: map[string]any{"email": email, "password": password, "email_confirm": true}}), 200, "").str("id")
}

func (s *stack) signIn(email string) answer {
	s.t.Helper()
	return s.want(s.do(request{method: "POST", path: "/auth/v1/token?grant_type=password", body: map[string]any{"email": email, "password": password}}), 200, "")
}

func (s *stack) refresh(token string) answer {
	s.t.Helper()
	return s.do(request{method: "POST", path: "/auth/v1/token?grant_type=refresh_token", body: map[string]any{"refresh_token": token}})
}
