package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"kestrel.ai/jobs"
	"kestrel.ai/jobs/openai"
	"kestrel.ai/jobs/resend"
	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/agent"
	"kestrel.ai/server/sandbox"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/local"
	"kestrel.ai/supabase/supabasetest"
)

const (
	webhookBase = "https://api.kestrel.test"
	adminEmail  = "ops@kestrel.test"
	secretKey   = "sb_secret_test"
)

// world is everything that jobs talk to: a database, the vendors' sandbox, Auth and Storage. All but the database over HTTP.
type world struct {
	t        testing.TB
	db       *supabasetest.Database
	sandbox  *sandbox.Sandbox
	vendors  string // base URL
	supabase string // base URL
	ahead    atomic.Int64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, db: supabasetest.New(t), sandbox: sandbox.New(sandbox.Options{Seed: 7})}
	vendors := httptest.NewServer(w.sandbox)
	t.Cleanup(vendors.Close)
	t.Cleanup(func() { _ = w.sandbox.Close() }) // first, so that Close does not wait for a fault's delay
	w.vendors = vendors.URL

	super, err := pgxpool.New(t.Context(), w.db.SuperuserURL)
	must(t, err)
	t.Cleanup(super.Close)
	key, err := local.NewSigningKey()
	must(t, err)
	server := httptest.NewUnstartedServer(nil)
	w.supabase = "http://" + server.Listener.Addr().String()
	keys := local.Keys{Publishable: "sb_publishable_test", Secret: secretKey}
	files, err := local.NewStorage(local.StorageOptions{Pool: super, Dir: t.TempDir(), BaseURL: w.supabase, Key: key, Keys: keys, MaxBytes: 1 << 30, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	mux := http.NewServeMux()
	mux.Handle("/storage/v1/", files)
	mux.Handle("/auth/v1/", local.NewAuth(local.AuthOptions{
		Pool: super, BaseURL: w.supabase, SiteURL: origin(""), Key: key, Keys: keys, HashCost: 4, Limits: local.Limits{Off: true}, Log: slog.New(slog.DiscardHandler),
		RedirectAllow: func(string) bool { return true },
	}))
	server.Config.Handler = mux
	server.Start()
	t.Cleanup(server.Close)
	return w
}

func origin(label string) string {
	if label != "" {
		label += "."
	}
	return "https://" + label + "kestrel.test"
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

// quick makes waits as short as tests want them.
var quick = jobs.Tuning{
	Reconcile: time.Hour,
	Poll:      20 * time.Millisecond, RetryBase: 20 * time.Millisecond, RetryMax: 200 * time.Millisecond, RescueEvery: 100 * time.Millisecond,
	Settle: 300 * time.Millisecond, SoftStop: 2 * time.Second, Housekeep: 200 * time.Millisecond,
}

// deps are what a worker process has, built from URLs alone.
func deps(ctx context.Context, appURL, vendors, supabaseURL string) (jobs.Deps, error) {
	database, err := supabase.Open(ctx, appURL)
	if err != nil {
		return jobs.Deps{}, err
	}
	tw, err := twilio.New(twilio.Config{AccountSID: sandbox.DefaultAccountSID, AuthToken: sandbox.DefaultAuthToken, BaseURL: vendors, Timeout: 5 * time.Second,
		LocalMonthlyCents: 120, TollFreeMonthlyCents: 220})
	if err != nil {
		return jobs.Deps{}, err
	}
	mail, err := resend.New(resend.Config{APIKey: sandbox.DefaultResendKey, From: "Kestrel <hello@kestrel.test>", BaseURL: vendors, Timeout: 5 * time.Second})
	if err != nil {
		return jobs.Deps{}, err
	}
	model, err := openai.New(openai.Config{APIKey: sandbox.DefaultOpenAIKey, Model: "gpt-test", BaseURL: vendors + "/v1", Timeout: 5 * time.Second, Prices: openai.Prices{Input: 1, Cached: 0.1, Output: 4}})
	if err != nil {
		return jobs.Deps{}, err
	}
	auth, err := supabase.NewAuth(supabaseURL, secretKey)
	if err != nil {
		return jobs.Deps{}, err
	}
	return jobs.Deps{
		OpenAI: model, Reception: agent.NewReception(database, time.Now), DB: database, Twilio: tw, Resend: mail, Auth: auth, Storage: supabase.NewStorage(supabaseURL, secretKey),
		Config: jobs.Config{WebhookBase: webhookBase, Origin: origin, AdminEmail: adminEmail, Tuning: quick},
	}, nil
}

// work starts a worker, changed by with; it stops with the test, or by the returned function.
func (w *world) work(with ...func(*jobs.Deps)) (stop func()) {
	w.t.Helper()
	d, err := deps(w.t.Context(), w.db.AppURL+"&pool_max_conns=8", w.vendors, w.supabase)
	must(w.t, err)
	d.Now = w.now
	level := slog.LevelError + 4
	if os.Getenv("KESTREL_TEST_LOG") != "" {
		level = slog.LevelInfo
	}
	d.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	for _, fn := range with {
		fn(&d)
	}
	client, err := jobs.New(d)
	must(w.t, err)
	must(w.t, client.Start(w.t.Context()))
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := client.Stop(ctx); err != nil {
			w.t.Errorf("stop: %v", err)
		}
		d.DB.Close()
	}
	w.t.Cleanup(stop)
	return stop
}

// tenant inserts one as Studio would; columns come as name, value pairs.
func (w *world) tenant(slug string, columns ...any) uuid.UUID {
	w.t.Helper()
	row := map[string]any{"slug": slug, "company_name": "Company " + slug, "owner_email": slug + "@example.com"}
	for i := 0; i < len(columns); i += 2 {
		row[columns[i].(string)] = columns[i+1]
	}
	var names, marks []string
	var values []any
	for name, value := range row {
		values = append(values, value)
		names, marks = append(names, name), append(marks, "$"+strconv.Itoa(len(values)))
	}
	return scan[uuid.UUID](w, "insert into tenants ("+strings.Join(names, ", ")+") values ("+strings.Join(marks, ", ")+") returning id", values...)
}

func scan[T any](w *world, sql string, args ...any) (out T) {
	w.t.Helper()
	if err := w.db.Admin.QueryRow(context.Background(), sql, args...).Scan(&out); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return out
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Admin.Exec(context.Background(), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// job is our record of a job.
type job struct {
	ID      uuid.UUID
	State   string
	Step    string
	Reason  string
	Attempt int
}

func (w *world) job(kind string, subject uuid.UUID) (j job) {
	w.t.Helper()
	err := w.db.Admin.QueryRow(context.Background(), `select id, state, step, coalesce(reason, ''), attempt from jobs
		where kind = $1 and subject_id = $2 order by id desc limit 1`, kind, subject).Scan(&j.ID, &j.State, &j.Step, &j.Reason, &j.Attempt)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		w.t.Fatal(err)
	}
	return j
}

// ends waits for a job's end and demands that it is the wanted one.
func (w *world) ends(want, kind string, subject uuid.UUID) job {
	w.t.Helper()
	var j job
	w.until(kind+" to end", func() bool {
		j = w.job(kind, subject)
		return j.State == "done" || j.State == "failed"
	})
	if j.State != want {
		w.t.Fatalf("%s is %s (%s), want %s", kind, j.State, j.Reason, want)
	}
	return j
}

func (w *world) until(what string, true func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !true(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain for %s; open jobs: %s", what,
				scan[string](w, `select coalesce(json_agg(j), '[]')::text from (select kind, state, step, reason, attempt from jobs where state <> 'done') j`))
		}
	}
}

// mails are those to one address whose subject holds a text.
func (w *world) mails(to, subject string) []sandbox.Email {
	return slices.DeleteFunc(w.sandbox.Emails(), func(e sandbox.Email) bool {
		return !slices.Contains(e.To, to) || !strings.Contains(e.Subject, subject)
	})
}

func (w *world) fault(f sandbox.Fault) {
	w.t.Helper()
	_, err := w.sandbox.AddFault(f)
	must(w.t, err)
}

// requests counts what reached a vendor, by "METHOD /path" ending.
func (w *world) requests(method, suffix string) (n int) {
	for _, r := range w.sandbox.Requests() {
		if r.Method == method && strings.HasSuffix(r.Path, suffix) {
			n++
		}
	}
	return n
}

func (w *world) get(url string) (status int, body string) {
	w.t.Helper()
	resp, err := http.Get(url)
	must(w.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(w.t, err)
	return resp.StatusCode, string(raw)
}

// same compares as JSON, so that the difference can be read.
func same(t testing.TB, what string, got, want any) {
	t.Helper()
	g, _ := json.Marshal(got)
	x, _ := json.Marshal(want)
	if string(g) != string(x) {
		t.Errorf("%s:\n got %s\nwant %s", what, g, x)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
