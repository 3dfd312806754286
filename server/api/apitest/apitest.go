// Package apitest starts the whole API for a test: a real Postgres database, the edge, the operations on a fiber app,
// Twilio's stand-in, and people, keys and staff of every kind to call it as.
package apitest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/api"
	"kestrel.ai/server/edge"
	"kestrel.ai/server/sandbox"
	"kestrel.ai/subdomain"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/local"
	"kestrel.ai/supabase/supabasetest"
)

// World is one test's Kestrel. No workers run: what jobs would do, a test does by SQL through Admin.
type World struct {
	DB       *supabase.DB
	Admin    *pgxpool.Pool // role postgres
	App      *fiber.App
	Edge     *edge.Edge
	API      *api.API
	Listener *supabase.Listener
	Sandbox  *sandbox.Sandbox
	Twilio   *twilio.Client // of the sandbox
	AuthURL  string         // of Auth, over the same database
	Files    *supabase.Storage
	URL      string       // of a listening socket: the app under its own Host headers
	client   *http.Client // that shows redirects as they are
	signer   *ecdsa.PrivateKey
	t        testing.TB
}

// Option changes what New starts.
type Option func(*api.Deps, *edge.Config)

// WithoutTwilio leaves Twilio unconfigured.
func WithoutTwilio(d *api.Deps, _ *edge.Config) {
	client, _ := twilio.New(twilio.Config{})
	d.Twilio = client
}

// ShortStreams ends streams that have no end of their own soon, so that their answers can be read.
func ShortStreams(d *api.Deps, _ *edge.Config) { d.Config.StreamLife = 100 * time.Millisecond }

// New starts everything; it ends with the test. Platform admins need no second factor, limits are off.
func New(t testing.TB, options ...Option) *World {
	t.Helper()
	w := &World{t: t, client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	database := supabasetest.New(t)
	w.Admin = database.Admin
	var err error
	if w.DB, err = supabase.Open(t.Context(), database.AppURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.DB.Close)
	log := slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelError}))
	w.Listener = supabase.NewListener(database.AppURL, log)

	w.Sandbox = sandbox.New(sandbox.Options{})
	vendor := httptest.NewServer(w.Sandbox)
	t.Cleanup(vendor.Close)
	client, err := twilio.New(twilio.Config{AccountSID: sandbox.DefaultAccountSID, AuthToken: sandbox.DefaultAuthToken, BaseURL: vendor.URL})
	if err != nil {
		t.Fatal(err)
	}

	w.Twilio = client
	unlimited := edge.PerMinute(1 << 30)
	ec := edge.Config{Hosts: subdomain.Hosts{Base: "kestrel.ai"}, Dev: true, Log: log, Limits: edge.Limits{
		edge.ClassIP: unlimited, edge.ClassAuth: unlimited, edge.ClassOnboarding: unlimited, edge.ClassPerson: unlimited, edge.ClassKey: unlimited}}
	w.Files = w.storage(database.SuperuserURL)
	deps := api.Deps{DB: w.DB, Listener: w.Listener, Twilio: client, Storage: w.Files, Log: log, Config: api.Config{
		Origin:      func(label string) string { return "https://" + label + ".kestrel.ai" },
		WebhookBase: "https://api.kestrel.ai",
		SignUps:     api.SignUps{PerAddress: 1 << 30, PerEmail: 1 << 30, Drafts: 1 << 30},
		FallbackURL: func(id uuid.UUID) string { return "https://files.test/fallback/" + id.String() + ".xml" },
		Heartbeat:   50 * time.Millisecond,
	}}
	deps.Auth = w.auth(database.SuperuserURL)
	for _, o := range options {
		o(&deps, &ec)
	}
	directory := edge.NewDatabase(w.DB)
	w.Edge, err = edge.New(ec, edge.Deps{Tenants: subdomain.NewCache(supabase.NewRouting(w.DB), subdomain.CacheOptions{}),
		Tokens: w.verifier(), Directory: directory, Tickets: directory})
	if err != nil {
		t.Fatal(err)
	}
	deps.Edge = w.Edge
	w.Listener.Subscribe(func(c supabase.Change) {
		if c.Topic == supabase.Reset {
			w.Edge.InvalidateAll()
		} else {
			w.Edge.Invalidate(c.Topic, c.ID, c.Tenant)
		}
	})
	w.API = api.New(deps)
	w.App = fiber.New(w.Edge.FiberConfig())
	w.App.Use(w.Edge.Handle)
	w.API.Register(w.App)
	w.listen()
	return w
}

// storage starts Storage's stand-in.
func (w *World) storage(superuserURL string) *supabase.Storage {
	const secret = "sb_secret_test"
	pool, err := pgxpool.New(w.t.Context(), superuserURL)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(pool.Close)
	key, err := local.NewSigningKey()
	if err != nil {
		w.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	url := "http://" + server.Listener.Addr().String()
	server.Config.Handler, err = local.NewStorage(local.StorageOptions{Pool: pool, Dir: w.t.TempDir(), BaseURL: url, Key: key,
		Keys: local.Keys{Publishable: "sb_publishable_test", Secret: secret}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	server.Start()
	w.t.Cleanup(server.Close)
	return supabase.NewStorage(url, secret)
}

// listen serves on a socket, since streams need one, and hears the database.
func (w *World) listen() {
	ctx, cancel := context.WithCancel(context.Background())
	listening := make(chan struct{})
	stopped := make(chan struct{})
	first := w.Listener.Subscribe(func(c supabase.Change) {
		select {
		case <-listening:
		default:
			close(listening)
		}
	})
	go func() { w.Listener.Run(ctx); close(stopped) }()
	<-listening
	first()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.URL = "http://" + socket.Addr().String()
	go func() { _ = w.App.Listener(socket) }()
	w.t.Cleanup(func() {
		drain, end := context.WithTimeout(context.Background(), 5*time.Second)
		defer end()
		if err := w.Edge.Streams().Drain(drain); err != nil {
			w.t.Errorf("streams are left open: %v", err)
		}
		_ = w.App.ShutdownWithContext(drain)
		cancel()
		<-stopped
	})
}

// auth starts Auth over the test's database; as a superuser, as Auth's own login is for its schema.
func (w *World) auth(superuserURL string) *supabase.Auth {
	pool, err := pgxpool.New(w.t.Context(), superuserURL+"&pool_max_conns=2")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(pool.Close)
	key, err := local.NewSigningKey()
	if err != nil {
		w.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	w.AuthURL = "http://" + server.Listener.Addr().String()
	server.Config.Handler = local.NewAuth(local.AuthOptions{
		Pool: pool, BaseURL: w.AuthURL, SiteURL: "https://kestrel.ai", Key: key, Keys: local.Keys{Publishable: "sb_publishable_test", Secret: "sb_secret_test"},
		HashCost: 4, Limits: local.Limits{Off: true}, Log: slog.New(slog.DiscardHandler), RedirectAllow: func(string) bool { return true },
	})
	server.Start()
	w.t.Cleanup(server.Close)
	auth, err := supabase.NewAuth(w.AuthURL, "sb_secret_test")
	if err != nil {
		w.t.Fatal(err)
	}
	return auth
}

func (w *World) verifier() *supabase.Verifier {
	var err error
	if w.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		w.t.Fatal(err)
	}
	point, err := w.signer.PublicKey.Bytes()
	if err != nil {
		w.t.Fatal(err)
	}
	enc := base64.RawURLEncoding.EncodeToString
	jwks := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(rw).Encode(map[string]any{"keys": []map[string]any{{"kty": "EC", "crv": "P-256", "kid": "k1", "x": enc(point[1:33]), "y": enc(point[33:])}}})
	}))
	w.t.Cleanup(jwks.Close)
	v, err := supabase.NewVerifier(supabase.VerifierConfig{Issuer: Issuer, Algs: []string{"ES256"}, JWKSURL: jwks.URL})
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// Exec runs SQL as the role postgres.
func (w *World) Exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.Admin.Exec(context.Background(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

// Value reads one value as the role postgres.
func Value[T any](w *World, sql string, args ...any) (v T) {
	w.t.Helper()
	if err := w.Admin.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		w.t.Fatal(err)
	}
	return v
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	line := strings.TrimSpace(string(p))
	l.t.Log(line[:min(len(line), 1500)])
	return len(p), nil
}

// OwnNumber puts a number with these webhooks into the sandbox's Twilio account.
func (w *World) OwnNumber(e164 string, hooks api.Webhooks) {
	w.t.Helper()
	if _, err := w.Twilio.Buy(w.t.Context(), twilio.BuyParams{PhoneNumber: e164, Webhooks: twilio.Webhooks(hooks)}); err != nil {
		w.t.Fatal(err)
	}
}
