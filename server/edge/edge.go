// Package edge is what every request passes before a handler sees it: request id and log, host routing, the caller
// and its live standing, rate limits, security headers, and the one form of error. Handlers read the outcome with
// FromContext.
package edge

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kestrel.ai/subdomain"
	"kestrel.ai/supabase"
)

// Config is what differs between deployments. Zero values mean the defaults in brackets.
type Config struct {
	Hosts          subdomain.Hosts
	Scheme         string         // of redirects: "http" in development ["https"]
	Dev            bool           // platform admins need no second factor; sandbox. is served
	TrustedProxies []netip.Prefix // peers whose ClientIPHeader and RequestIDHeader are believed [none]
	ClientIPHeader string         // "Fly-Client-IP"
	// RequestIDHeader is taken from a trusted proxy as the request's id, if it is sane, e.g. "Fly-Request-Id" [none].
	RequestIDHeader string
	BodyLimit       int           // bytes [1 MB]
	Timeout         time.Duration // of a handler's context [30 s]
	Limits          Limits        // [DefaultLimits()]
	// SessionKey signs the /jobs cookie, 32 bytes or more; processes that share a domain share it. Without one
	// each process makes its own.
	SessionKey []byte
	Log        *slog.Logger
	Now        func() time.Time
}

// Deps is what the edge asks. Sandbox may be nil.
type Deps struct {
	Tenants   *subdomain.Cache
	Tokens    TokenVerifier
	Directory Directory
	Tickets   TicketStore
	Ready     func(context.Context) error // nil error: this process can serve
	Sandbox   fiber.Handler               // serves sandbox.{base} in development
}

// TokenVerifier checks access tokens; *supabase.Verifier is one.
type TokenVerifier interface {
	Verify(ctx context.Context, token string) (*supabase.Claims, error)
}

// Edge is the state that requests of one process share.
type Edge struct {
	cfg     Config
	deps    Deps
	live    *standing
	limiter *limiter
	tickets *Tickets
	streams *Streams
}

// New returns an error if something that is needed is missing.
func New(cfg Config, deps Deps) (*Edge, error) {
	if cfg.Hosts.Base == "" || deps.Tenants == nil || deps.Tokens == nil || deps.Directory == nil || deps.Tickets == nil {
		return nil, errors.New("edge: base domain, tenants, tokens, directory and tickets are needed")
	}
	if cfg.Scheme == "" {
		cfg.Scheme = "https"
	}
	if cfg.BodyLimit == 0 {
		cfg.BodyLimit = 1 << 20
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Limits == (Limits{}) {
		cfg.Limits = DefaultLimits()
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if len(cfg.SessionKey) == 0 {
		cfg.SessionKey = make([]byte, 32)
		_, _ = rand.Read(cfg.SessionKey)
	}
	if len(cfg.SessionKey) < 32 {
		return nil, errors.New("edge: the session key needs 32 bytes or more")
	}
	e := &Edge{cfg: cfg, deps: deps, limiter: newLimiter(cfg.Limits, cfg.Now)}
	e.live = newStanding(deps.Directory, cfg.Now)
	e.tickets = &Tickets{store: deps.Tickets, now: cfg.Now}
	e.streams = newStreams(e.recheck, cfg.Now)
	return e, nil
}

// FiberConfig is the fiber.Config the edge's promises rest on. WriteTimeout stays 0: fasthttp counts a whole
// stream against it.
func (e *Edge) FiberConfig() fiber.Config {
	proxies := make([]string, 0, len(e.cfg.TrustedProxies))
	for _, p := range e.cfg.TrustedProxies {
		proxies = append(proxies, p.String())
	}
	header := e.cfg.ClientIPHeader
	if len(proxies) == 0 {
		header = ""
	}
	return fiber.Config{
		AppName:                 "Kestrel",
		CaseSensitive:           true, // the route table compares bytes
		BodyLimit:               e.cfg.BodyLimit,
		ReadBufferSize:          72 << 10, // all headers of a request: a 64 KB token gets its 401, more than that a 431
		ReadTimeout:             30 * time.Second,
		IdleTimeout:             75 * time.Second,
		EnableTrustedProxyCheck: true,
		TrustedProxies:          proxies,
		ProxyHeader:             header,
		EnableIPValidation:      true,
		DisableStartupMessage:   true,
		ErrorHandler:            e.unparsed,
	}
}

// Tickets mints the tickets that stand in for a Bearer on websockets and downloads.
func (e *Edge) Tickets() *Tickets { return e.tickets }

// Streams is where handlers of SSE and websockets register what they hold open.
func (e *Edge) Streams() *Streams { return e.streams }

// Invalidate forgets what a change made doubtful; supabase.Listener calls it with each Change's topic, id and tenant.
// It does not block.
// Open streams of those concerned are checked again, and cut if their right is gone.
func (e *Edge) Invalidate(topic string, id, tenant uuid.UUID) {
	switch topic {
	case supabase.Reset:
		e.InvalidateAll()
	case "tenant":
		e.deps.Tenants.InvalidateTenant(id)
		e.live.forgetTenantKeys(id)
		e.live.forgetViews(func(v TenantView) bool { return v.TenantID == id })
		e.streams.check(func(s Scope) bool { return s.Tenant.ID == id })
	case "member":
		e.live.forgetMembers(id, tenant)
		e.streams.check(func(s Scope) bool { return s.Tenant.ID == tenant || s.Principal.UserID == id })
	case "key":
		e.live.forgetKey(id)
		e.streams.check(func(s Scope) bool { return s.Principal.KeyID == id })
	case "admin":
		e.live.forgetAdmin(id)
		e.live.forgetViews(func(v TenantView) bool { return id == uuid.Nil || v.AdminID == id })
		e.streams.check(func(s Scope) bool { return s.Principal.Kind == PlatformAdmin || s.Principal.Kind == View })
	case "view":
		e.live.forgetViews(func(v TenantView) bool { return v.ID == id })
		e.streams.check(func(s Scope) bool { return s.Principal.View.ID == id && id != uuid.Nil })
	}
}

// InvalidateAll forgets everything, as after a gap in what was heard from the database.
func (e *Edge) InvalidateAll() {
	e.deps.Tenants.InvalidateAll()
	e.live.forgetAll()
	e.streams.check(func(Scope) bool { return true })
}

// Run flushes the keys' last use and re-checks open streams every 30 s, in case a notification was lost, until the
// context ends; then it flushes once more.
func (e *Edge) Run(ctx context.Context) {
	tick := time.NewTicker(recheckEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			e.streams.check(func(Scope) bool { return true })
			e.flushKeys(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			e.flushKeys(last)
			cancel()
			return
		}
	}
}

func (e *Edge) flushKeys(ctx context.Context) {
	if err := e.live.flushUsed(ctx); err != nil {
		e.cfg.Log.WarnContext(ctx, "last use of API keys not stored; will try again", "error", err)
	}
}
