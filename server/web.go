package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"
	"github.com/prometheus/client_golang/prometheus"

	adminui "kestrel.ai/admin-ui"
	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/api"
	"kestrel.ai/server/edge"
	"kestrel.ai/subdomain"
	"kestrel.ai/supabase"
)

// web is the HTTP side of one process.
type web struct {
	app      *fiber.App
	edge     *edge.Edge
	listener *supabase.Listener
	jobs     *jobsUI
	phone    *phone
	log      *slog.Logger
	drain    time.Duration
	draining atomic.Bool
}

// newWeb wires the edge, the API and the pages. ready may be nil; sandbox is nil outside dev.
func newWeb(cfg Config, db *supabase.DB, ready func(context.Context) error, sandbox http.Handler, metrics prometheus.Registerer, log *slog.Logger) (*web, error) {
	w := &web{listener: supabase.NewListener(cfg.ListenDatabaseURL.Reveal(), log), log: log, drain: cfg.DrainTimeout}
	tokens, err := supabase.NewVerifier(supabase.VerifierConfig{
		Issuer: cfg.SupabaseURL + "/auth/v1", JWKSURL: cfg.SupabaseURL + "/auth/v1/.well-known/jwks.json",
		Algs: cfg.SupabaseJWTAlgs, HS256Secret: cfg.SupabaseJWTSecret.Reveal(),
	})
	if err != nil {
		return nil, err
	}
	hosts := subdomain.Hosts{Base: cfg.BaseDomain}
	identities := edge.NewDatabase(db)
	deps := edge.Deps{
		Tenants: subdomain.NewCache(supabase.NewRouting(db), subdomain.CacheOptions{}), Tokens: tokens,
		Directory: identities, Tickets: identities,
		Ready: func(ctx context.Context) error {
			if w.draining.Load() {
				return errors.New("draining")
			}
			if ready != nil {
				if err := ready(ctx); err != nil {
					return err
				}
			}
			return db.Ping(ctx)
		},
	}
	if sandbox != nil {
		deps.Sandbox = adaptor.HTTPHandler(sandbox)
	}
	w.edge, err = edge.New(edge.Config{
		Hosts: hosts, Scheme: cfg.PublicScheme, Dev: !cfg.Production(), TrustedProxies: cfg.TrustedProxies,
		ClientIPHeader: cfg.ClientIPHeader, RequestIDHeader: cfg.RequestIDHeader, Limits: limits(cfg),
		SessionKey: []byte(cfg.SessionKey.Reveal()), Log: log,
	}, deps)
	if err != nil {
		return nil, err
	}
	vendor, err := newTwilio(cfg)
	if err != nil {
		return nil, err
	}
	if w.phone, err = newPhone(cfg, db, vendor, metrics, log); err != nil {
		return nil, err
	}
	w.listener.Subscribe(func(c supabase.Change) { w.edge.Invalidate(c.Topic, c.ID, c.Tenant) })
	w.listener.Subscribe(w.phone.directory.Heard)
	return w, w.routes(cfg, db, vendor, hosts)
}

func (w *web) routes(cfg Config, db *supabase.DB, vendor *twilio.Client, hosts subdomain.Hosts) error {
	signIn, err := edge.NewSignIn(cfg.SupabaseURL, cfg.SupabaseKey, hosts)
	if err != nil {
		return fmt.Errorf("SUPABASE_URL: %w", err)
	}
	files, err := adminui.Built()
	if err != nil {
		return err
	}
	if w.jobs, err = newJobsUI(cfg, w.log); err != nil {
		return err
	}
	auth, err := supabase.NewAuth(cfg.SupabaseURL, cfg.SupabaseServiceKey.Reveal())
	if err != nil {
		return err
	}
	w.app = fiber.New(w.edge.FiberConfig())
	w.app.Use(w.edge.Handle)
	api.New(api.Deps{DB: db, Edge: w.edge, Listener: w.listener, Twilio: vendor, Auth: auth, Storage: supabase.NewStorage(cfg.SupabaseURL, cfg.SupabaseServiceKey.Reveal()), Config: apiConfig(cfg), Calls: w.phone.bridge, Log: w.log}).Register(w.app)
	w.phone.register(w.app)
	w.app.All("/auth/v1/*", signIn.Handle)
	w.app.All("/jobs", w.jobs.handle)
	w.app.All("/jobs/*", w.jobs.handle)
	w.app.Use(pages(files))
	return nil
}

func newTwilio(cfg Config) (*twilio.Client, error) {
	return twilio.New(twilio.Config{AccountSID: cfg.TwilioAccountSID, AuthToken: cfg.TwilioAuthToken.Reveal(), BaseURL: cfg.TwilioBaseURL,
		LocalMonthlyCents: cents(cfg.CostNumberMonth), TollFreeMonthlyCents: cents(cfg.CostTollFreeMonth)})
}

func cents(dollars float64) int { return int(math.Round(dollars * 100)) }

// handOver is how long before the end of the drain the calls that are left are handed over, unless the drain is short.
const handOver = 3 * time.Second

// run serves on ln until ctx ends, then turns unready, lets what is running finish within the drain time-out, and
// closes what is left.
func (w *web) run(ctx context.Context, ln net.Listener) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go w.listener.Run(background)
	go w.edge.Run(background)
	defer w.phone.start(background)()
	defer w.jobs.pool.Close()
	if err := w.jobs.pages.Start(background); err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- w.app.Listener(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	w.draining.Store(true)
	last, cancel := context.WithTimeout(background, w.drain)
	defer cancel()
	w.log.Info("draining", "streams", w.edge.Streams().Len(), "calls", w.phone.bridge.Len(), "timeout", w.drain)
	var calls sync.WaitGroup
	calls.Go(func() {
		reserve := min(handOver, w.drain/4)
		talking, hangUp := context.WithTimeout(last, w.drain-reserve)
		defer hangUp()
		if err := w.phone.bridge.Drain(talking); err != nil {
			w.log.Warn("calls handed over at the drain time-out", "error", err)
			time.Sleep(reserve / 2) // Twilio asks how they go on: there is still somebody to tell it
		}
	})
	if err := w.edge.Streams().Drain(last); err != nil {
		w.log.Warn("streams cut at the drain time-out", "error", err)
	}
	calls.Wait()
	return w.app.ShutdownWithContext(last)
}
