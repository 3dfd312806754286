//go:build !production

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"kestrel.ai/jobs"
	"kestrel.ai/jobs/resend"
	"kestrel.ai/server/agent"
	"kestrel.ai/server/sandbox"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/local"
	"kestrel.ai/supabase/supabasetest"
)

var (
	manyFor  = flag.Duration("many.for", 20*time.Second, "how long TestManyProcesses kills")
	manySeed = flag.Uint64("many.seed", 1, "seed of TestManyProcesses's moments and choices")
)

// manyEnv makes the test binary one process of a deployment: serve or work.
const manyEnv = "KESTREL_TEST_PROCESS"

// beProcess is what the re-executed test binary does: serve as the real command, work with waits as short as tests want them.
func beProcess(part string) int {
	environ := map[string]string{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		environ[name] = value
	}
	if part == "serve" {
		return run(context.Background(), process{[]string{"serve"}, environ, io.Discard, os.Stderr})
	}
	if err := workQuickly(environ); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func workQuickly(environ map[string]string) error {
	cfg, err := LoadConfig("work", environ)
	if err != nil {
		return err
	}
	db, err := supabase.Open(context.Background(), cfg.AppDatabaseURL.Reveal())
	if err != nil {
		return err
	}
	phone, err := newTwilio(cfg)
	if err != nil {
		return err
	}
	mail, err := resend.New(resend.Config{APIKey: cfg.ResendAPIKey.Reveal(), From: cfg.ResendFromEmail, BaseURL: cfg.ResendBaseURL})
	if err != nil {
		return err
	}
	auth, err := supabase.NewAuth(cfg.SupabaseURL, cfg.SupabaseServiceKey.Reveal())
	if err != nil {
		return err
	}
	model, err := newAnalyst(cfg)
	if err != nil {
		return err
	}
	client, err := jobs.New(jobs.Deps{
		DB: db, Twilio: phone, Resend: mail, Auth: auth, Storage: supabase.NewStorage(cfg.SupabaseURL, cfg.SupabaseServiceKey.Reveal()), Log: slog.New(slog.DiscardHandler),
		OpenAI: model, Reception: agent.NewReception(db, time.Now),
		Config: jobs.Config{WebhookBase: cfg.BaseWebhookURL, Origin: cfg.Origin, AdminEmail: cfg.AdminEmail, Tuning: jobs.Tuning{
			Poll: 50 * time.Millisecond, RetryBase: 50 * time.Millisecond, RetryMax: 500 * time.Millisecond, RescueEvery: 200 * time.Millisecond,
			Settle: time.Second, Housekeep: time.Second, Reset: 500 * time.Millisecond,
		}},
	})
	if err != nil {
		return err
	}
	if err := client.Start(context.Background()); err != nil {
		return err
	}
	fmt.Println("ready")
	select {} // until it is killed
}

// fleet is a deployment of several processes on one database, beside stand-ins for the vendors.
type fleet struct {
	t        *testing.T
	db       *supabasetest.Database
	sandbox  *sandbox.Sandbox
	env      []string
	webs     []string // addresses
	staff    string   // a token
	ledger   ledger
	kills    map[string]int
	requests atomic.Int64
	lost     atomic.Int64 // requests that met no process, or one that died under them
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, db: supabasetest.New(t), sandbox: sandbox.New(sandbox.Options{Seed: 7}), kills: map[string]int{}, ledger: ledger{calls: map[string]*manyCall{}}}
	vendors := httptest.NewServer(late(f.sandbox))
	t.Cleanup(vendors.Close)
	t.Cleanup(func() { _ = f.sandbox.Close() })
	super, err := pgxpool.New(t.Context(), f.db.SuperuserURL)
	f.must(err)
	t.Cleanup(super.Close)
	key, err := local.NewSigningKey()
	f.must(err)
	server := httptest.NewUnstartedServer(nil)
	base := "http://" + server.Listener.Addr().String()
	keys := local.Keys{Publishable: "sb_publishable_test", Secret: "sb_secret_test"} //nolint:gosec // of a stand-in
	log := slog.New(slog.DiscardHandler)
	files, err := local.NewStorage(local.StorageOptions{Pool: super, Dir: t.TempDir(), BaseURL: base, Key: key, Keys: keys, Log: log})
	f.must(err)
	mux := http.NewServeMux()
	mux.Handle("/storage/v1/", files)
	mux.Handle("/auth/v1/", local.NewAuth(local.AuthOptions{Pool: super, BaseURL: base, SiteURL: "https://kestrel.test", Key: key, Keys: keys, HashCost: 4,
		Limits: local.Limits{Off: true}, Log: log, RedirectAllow: func(string) bool { return true }}))
	server.Config.Handler = mux
	server.Start()
	t.Cleanup(server.Close)
	f.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "JOURNAL_DIR=" + t.TempDir(), "KESTREL_ENV=production", "LOG_LEVEL=error", "BASE_DOMAIN=kestrel.test", "SESSION_KEY=" + strings.Repeat("k", 32),
		"APP_DATABASE_URL=" + f.db.AppURL + "&pool_max_conns=6", "SUPABASE_URL=" + base, "SUPABASE_KEY=sb_publishable_test", "SUPABASE_SERVICE_KEY=sb_secret_test",
		"SUPABASE_JWT_SECRET=" + legacySecret, "TWILIO_ACCOUNT_SID=" + sandbox.DefaultAccountSID, "TWILIO_AUTH_TOKEN=" + sandbox.DefaultAuthToken, "TWILIO_BASE_URL=" + vendors.URL,
		"RESEND_API_KEY=" + sandbox.DefaultResendKey, "RESEND_BASE_URL=" + vendors.URL, "RESEND_FROM_EMAIL=hello@kestrel.test", "ADMIN_EMAIL=ops@kestrel.test",
		"RATE_LIMIT_IP=1000000", "RATE_LIMIT_USER=1000000",
	}
	user := uuid.New()
	_, err = f.db.Admin.Exec(t.Context(), `with u as (insert into auth.users (id, email, email_confirmed_at) values ($1, 'staff@kestrel.test', now())) insert into platform_admins (email, user_id) values ('staff@kestrel.test', $1)`, user)
	f.must(err)
	now := time.Now()
	f.staff, err = jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": base + "/auth/v1", "aud": "authenticated", "role": "authenticated", "sub": user.String(),
		"email": "staff@kestrel.test", "aal": "aal2", "session_id": uuid.NewString(), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}).SignedString([]byte(legacySecret))
	f.must(err)
	for range 3 {
		f.webs = append(f.webs, freeAddr(t))
	}
	return f
}

// late is a vendor that takes its time, and finishes what it was asked even when the asker is dead.
func late(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r = r.WithContext(context.WithoutCancel(r.Context()))
		r.Body = io.NopCloser(bytes.NewReader(body))
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		next.ServeHTTP(rw, r)
	})
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// start runs one process until it is ready; kill it and wait.
func (f *fleet) start(part, addr string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append([]string{manyEnv + "=" + part, "ADDR=" + addr, "METRICS_ADDR=127.0.0.1:0"}, f.env...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		f.t.Error(err)
	}
	if err := cmd.Start(); err != nil {
		f.t.Error(err)
	}
	if part == "work" {
		if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
			f.t.Errorf("a worker said %q, %v", line, err)
		}
		return cmd
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get("http://" + addr + "/readyz"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return cmd
			}
		}
	}
	f.t.Errorf("no web process at %s", addr)
	return cmd
}

// keep has a process running, killing it now and then until the time is over, then runs it to the end of the test.
func (f *fleet) keep(part, addr string, rng *rand.Rand, until time.Time, killed func()) *exec.Cmd {
	cmd := f.start(part, addr)
	for {
		wait := time.Duration(rng.IntN(4000)) * time.Millisecond
		if time.Now().Add(wait).After(until) {
			return cmd
		}
		time.Sleep(wait)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		killed()
		time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		cmd = f.start(part, addr)
	}
}

// ask sends a POST until some process has answered it, under one Idempotency-Key as far as that goes: a process that
// dies is no answer.
func (f *fleet) ask(rng *rand.Rand, path string, body any) (status int, answer []byte) {
	key, payload := uuid.NewString(), []byte("{}")
	if body != nil {
		payload, _ = json.Marshal(body)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		req, err := http.NewRequest(http.MethodPost, "http://"+f.webs[rng.IntN(len(f.webs))]+path, bytes.NewReader(payload))
		f.must(err)
		req.Host = "admin.kestrel.test"
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+f.staff)
		req.Header.Set("Idempotency-Key", key)
		f.requests.Add(1)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			f.lost.Add(1)
			continue
		}
		answer, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			f.lost.Add(1)
			continue
		}
		switch {
		case bytes.Contains(answer, []byte(`"in_progress"`)):
			key = uuid.NewString() // held by a dead process for a minute yet: a person would not wait, and ask anew
		case resp.StatusCode < 500:
			return resp.StatusCode, answer
		}
	}
	f.t.Errorf("%s: never answered; last: %s", path, answer)
	return 0, nil
}

// TestManyProcesses runs two workers and three web processes on one database, kills them at random under load, and holds
// the end against what was asked for.
func TestManyProcesses(t *testing.T) {
	f := newFleet(t)
	until, began := time.Now().Add(*manyFor), time.Now()
	var running sync.WaitGroup
	var mu sync.Mutex
	var last []*exec.Cmd
	t.Cleanup(func() {
		for _, cmd := range last {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	for n, part := range []string{"serve", "serve", "serve", "work", "work"} {
		addr := "127.0.0.1:0"
		if part == "serve" {
			addr = f.webs[n]
		}
		rng := rand.New(rand.NewPCG(*manySeed, uint64(n)))
		running.Go(func() {
			cmd := f.keep(part, addr, rng, until, func() { mu.Lock(); f.kills[part]++; mu.Unlock() })
			mu.Lock()
			last = append(last, cmd)
			mu.Unlock()
		})
	}
	for n, load := range []func(*rand.Rand){f.create, f.create, f.call, f.call, f.call, f.call, f.edit, f.edit, f.members, f.bulk, f.expire} {
		rng := rand.New(rand.NewPCG(*manySeed, 100+uint64(n)))
		running.Go(func() {
			for time.Now().Before(until) {
				load(rng)
			}
		})
	}
	running.Wait()
	f.quiet()
	f.check()
	t.Logf("seed %d, %v: %d web and %d worker processes killed; %d requests, %d of them to dead or dying processes; %s", *manySeed, time.Since(began).Round(time.Second),
		f.kills["serve"], f.kills["work"], f.requests.Load(), f.lost.Load(), f.figures())
}
