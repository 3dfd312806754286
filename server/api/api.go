// Package api is Kestrel's HTTP API: OpenAPI 3.1, by huma on fiber. routes.go has every route on one screen; each
// resource has a file, each endpoint a block in it: request type, response type, function. Handlers decode, validate
// and run SQL under the caller's own scope; the rules are in SQL.
package api

import (
	"context"
	"io"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/edge"
	"kestrel.ai/supabase"
	"kestrel.ai/supabase/db"
)

// Twilio is what the API asks of the vendor while somebody waits; *twilio.Client is one. Everything else is a job.
type Twilio interface {
	Configured() bool
	Search(context.Context, twilio.SearchQuery) ([]twilio.AvailableNumber, error)
	FindByNumber(ctx context.Context, e164 string) (twilio.OwnedNumber, bool, error)
	SendSMS(ctx context.Context, from, to, body, statusURL string) (twilio.Message, error)
	AccountSID() string
	Sign(rawURL string, form url.Values) string
}

// Auth is what accepting an invitation asks of Supabase Auth; *supabase.Auth is one.
type Auth interface {
	EnsureUser(ctx context.Context, email string) (id uuid.UUID, unused bool, err error)
	SetPassword(ctx context.Context, id uuid.UUID, password string) error
}

// Storage is where files lie; *supabase.Storage is one.
type Storage interface {
	EnsureBucket(ctx context.Context, bucket string, public bool) error
	Upload(ctx context.Context, bucket, path, contentType string, body []byte) error
	Remove(ctx context.Context, bucket string, paths ...string) error
	SignedURL(ctx context.Context, bucket, path, name string, life time.Duration) (string, error)
	Download(ctx context.Context, bucket, path string) (io.ReadCloser, bool, error)
	SignedUpload(ctx context.Context, bucket, path string) (string, error)
}

// Config is what differs between deployments. Zero values mean the defaults in brackets.
type Config struct {
	// Origin is the public origin of a label under the base domain, e.g. of "haiec": https://haiec.kestrel.ai.
	Origin      func(label string) string
	WebhookBase string // BASE_WEBHOOK_URL, which webhooks hang under
	// FallbackURL is where a tenant's static TwiML lies, which Twilio fetches when a webhook fails [none].
	FallbackURL func(tenant uuid.UUID) string
	Rates       Rates         // what numbers, calls and texts cost
	SignUps     SignUps       // how many in an hour
	TrialGrace  time.Duration // from a trial's end until the tenant is suspended
	Heartbeat   time.Duration // of event streams [15 s]
	Poll        time.Duration // of event streams, in case a notification is lost [5 s]
	StreamLife  time.Duration // of event streams that have no end of their own [15 min]
	Version     string        // in the OpenAPI document ["dev"]
}

// Deps is what the API needs. Listener may be nil: event streams then poll.
type Deps struct {
	DB       *supabase.DB
	Edge     *edge.Edge
	Listener *supabase.Listener
	Twilio   Twilio
	Auth     Auth
	Storage  Storage // nil: what needs files answers 503
	Calls    Calls   // nil: what needs live calls answers 503
	Config   Config
	Log      *slog.Logger
	Now      func() time.Time
}

// API serves the operations of routes.go.
type API struct {
	Deps
	huma huma.API
}

// huma keeps its error constructor in a package variable; it is set once, before the first API is built.
var installErrors = sync.OnceFunc(edge.InstallHuma)

// New fills in the defaults.
func New(deps Deps) *API {
	installErrors()
	if deps.Config.Origin == nil {
		deps.Config.Origin = func(label string) string { return "https://" + label + ".kestrel.ai" }
	}
	if deps.Config.FallbackURL == nil {
		deps.Config.FallbackURL = func(uuid.UUID) string { return "" }
	}
	deps.Config.SignUps = deps.Config.SignUps.withDefaults()
	if deps.Config.Heartbeat == 0 {
		deps.Config.Heartbeat = 15 * time.Second
	}
	if deps.Config.Poll == 0 {
		deps.Config.Poll = 5 * time.Second
	}
	if deps.Config.StreamLife == 0 {
		deps.Config.StreamLife = 15 * time.Minute
	}
	if deps.Config.Version == "" {
		deps.Config.Version = "dev"
	}
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &API{Deps: deps}
}

// Register adds every route to the app, behind edge.Handle, and /openapi.json.
func (a *API) Register(app *fiber.App) {
	a.huma = humafiber.New(app, a.humaConfig())
	a.routes()
	document := a.document()
	app.Get("/openapi.json", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, "application/json")
		return c.Send(document)
	})
}

// Document is the OpenAPI document, without a server to serve it.
func Document(config Config) []byte {
	a := New(Deps{Config: config})
	a.huma = humafiber.New(fiber.New(fiber.Config{DisableStartupMessage: true}), a.humaConfig())
	a.routes()
	return a.document()
}

// query runs single statements as the caller.
func (a *API) query(ctx context.Context) *db.Queries {
	return db.New(a.DB.As(edge.FromContext(ctx).SQL()))
}

// tenantOf is the tenant that a request to /api/tenant is about.
func tenantOf(ctx context.Context) uuid.UUID { return edge.FromContext(ctx).Tenant.ID }
