package voice

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"kestrel.ai/jobs/twilio"
	"kestrel.ai/server/edge"
	"kestrel.ai/supabase/db"
)

// Lines are whom calls are offered to; *Bridge is one.
type Lines interface {
	Prepare(Offer) error
	Release(callSID string)
	Ending(callSID string) (Ending, bool)
	Stream(*fiber.Ctx) error
}

// HooksOptions is what Hooks work with.
type HooksOptions struct {
	Base      string // public URL of the api. host: what Twilio signs
	AuthToken string // Twilio's; without one every webhook is refused
	Directory *Directory
	Lines     Lines
	Tokens    *Minter
	Journal   *Journal
	DB        *db.Queries // for what another process knows of a call; asked within lookUp
	Now       func() time.Time
	Log       *slog.Logger
}

// Hooks answers Twilio's webhooks. None of them needs Postgres: what they tell goes to the journal.
type Hooks struct {
	HooksOptions
	answers *answers
	taken   *taken
}

const (
	streamPath = "/api/voice/stream"

	maxForm = 64 << 10 // bytes of a webhook's form
	lookUp  = 300 * time.Millisecond
	// keepWithin is how long a status waits for the disk before it is acknowledged all the same.
	keepWithin = time.Second
)

// What a webhook that is not taken gets. The reason is logged; the answer tells a stranger nothing.
var (
	errMethod     = edge.NewProblem(http.StatusMethodNotAllowed, "method_not_allowed", "Webhooks are POSTed.")
	errNoUpgrade  = edge.NewProblem(http.StatusUpgradeRequired, "upgrade_required", "This is a websocket.")
	errForm       = edge.NewProblem(http.StatusBadRequest, "form_invalid", "Send the form that Twilio sends.")
	errTooLong    = edge.NewProblem(http.StatusRequestEntityTooLarge, "body_too_large", "No webhook is as long as this.")
	errSignature  = edge.NewProblem(http.StatusForbidden, "signature_invalid", "The request is not signed by Twilio.")
	errNumber     = edge.NewProblem(http.StatusNotFound, "number_unknown", "No such number is answered here.")
	errSlug       = edge.NewProblem(http.StatusForbidden, "tenant_mismatch", "The number is not this tenant's.")
	errNotLoaded  = edge.NewProblem(http.StatusServiceUnavailable, "not_ready", "This process is not ready yet.")
	callSIDFormat = regexp.MustCompile(`^CA[0-9a-fA-F]{32}$`)
)

// NewHooks returns an error where something that is needed is missing.
func NewHooks(o HooksOptions) (*Hooks, error) {
	if o.Base == "" || o.Directory == nil || o.Lines == nil || o.Tokens == nil || o.Journal == nil {
		return nil, errors.New("voice: base, directory, lines, tokens and journal are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Hooks{HooksOptions: o, answers: newAnswers(o.Now), taken: newTaken(o.Now)}, nil
}

// Register puts the webhooks on the app, at the brief's paths.
func (h *Hooks) Register(app fiber.Router) {
	for path, handle := range map[string]fiber.Handler{
		"/api/voice/incoming": h.hook(byTo, h.incoming), "/api/voice/status": h.hook(byTo, h.status),
		"/api/voice/next": h.hook(byTo, h.next), "/api/voice/whisper": h.hook(bySlug, h.whisper),
		"/api/voice/recording": h.hook(bySlug, h.recording),
		"/api/sms/incoming":    h.hook(byTo, h.smsIncoming), "/api/sms/status": h.hook(byFrom, h.smsStatus),
	} {
		app.All(path, handle)
	}
	app.All(streamPath, h.stream)
}

// A webhook is a verified request: who is called, and what Twilio says.
type webhook struct {
	*fiber.Ctx
	form  url.Values
	line  *Listing
	slug  string
	check bool // only tries whether we answer: nothing is to be kept
}

// param is a query parameter that we put into the URL ourselves: it is signed with the rest of it.
func (w *webhook) param(name string) string { return w.Query(name) }

// How a webhook names the tenant: by the number called, by the number that sent, or, where the number is a stranger's, by
// the slug of our own signed URL alone.
type naming func(url.Values) (number string)

func byTo(form url.Values) string   { return form.Get("To") }
func byFrom(form url.Values) string { return form.Get("From") }
func bySlug(url.Values) string      { return "" }

// hook lets through what Twilio signed about a number of the tenant that the URL names.
func (h *Hooks) hook(by naming, handle func(*webhook) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		w, refused := h.verify(c, by)
		if refused != nil {
			return h.refuse(c, refused)
		}
		err := handle(w)
		if errors.As(err, &refused) {
			return h.refuse(c, refused)
		}
		return err
	}
}

// refuse logs why, and answers so.
func (h *Hooks) refuse(c *fiber.Ctx, refused *edge.Problem) error {
	h.Log.Warn("webhook refused", "path", c.Path(), "code", refused.Code, "request_id", edge.FromContext(c.UserContext()).RequestID)
	if refused == errMethod {
		c.Set(fiber.HeaderAllow, http.MethodPost)
	}
	return refused
}

// stream lets Twilio's handshake through to the bridge. Twilio signs it like a webhook without a form, over the wss URL that
// the TwiML gave, and wants the signature checked
// (https://www.twilio.com/docs/global-infrastructure/firewall-configurations/media-streams-configuration): so one without
// is nobody's. Which call it is, and that it is the first, its token tells.
func (h *Hooks) stream(c *fiber.Ctx) error {
	if !twilio.Verify(h.AuthToken, streamOf(h.Base)+string(c.Request().Header.RequestURI()), nil, c.Get("X-Twilio-Signature")) {
		return h.refuse(c, errSignature)
	}
	if err := h.Lines.Stream(c); !errors.Is(err, fiber.ErrUpgradeRequired) {
		return err
	}
	return h.refuse(c, errNoUpgrade)
}

// streamOf is where media streams go: base with the websockets' scheme.
func streamOf(base string) string { return "ws" + strings.TrimPrefix(base, "http") }

func (h *Hooks) verify(c *fiber.Ctx, by naming) (*webhook, *edge.Problem) {
	switch body := c.Body(); {
	case c.Method() != http.MethodPost:
		return nil, errMethod
	case len(body) > maxForm:
		return nil, errTooLong
	case !strings.HasPrefix(strings.ToLower(c.Get(fiber.HeaderContentType)), "application/x-www-form-urlencoded"):
		return nil, errForm
	}
	form, err := url.ParseQuery(string(c.Body()))
	if err != nil {
		return nil, errForm
	}
	// The path and query as they came: what Twilio signed is not what a parser would write.
	if !twilio.Verify(h.AuthToken, h.Base+string(c.Request().Header.RequestURI()), form, c.Get("X-Twilio-Signature")) {
		return nil, errSignature
	}
	sid := form.Get("CallSid")
	if form.Get("MessageSid") == "" && !callSIDFormat.MatchString(sid) {
		return nil, errForm
	}
	if !h.Directory.Loaded() {
		return nil, errNotLoaded
	}
	w := &webhook{Ctx: c, form: form, slug: strings.Clone(c.Query("tenant")), check: sid == twilio.CheckCallSID || form.Get("MessageSid") == twilio.CheckMessageSID}
	known := false
	if number := by(form); number != "" {
		if w.line, known = h.Directory.ByNumber(number); known && !w.line.HasSlug(w.slug) {
			return nil, errSlug
		}
	} else {
		w.line, known = h.Directory.BySlug(w.slug)
	}
	if !known {
		return nil, errNumber
	}
	return w, nil
}

// answer sends TwiML.
func (w *webhook) answer(body []byte) error {
	w.Set(fiber.HeaderContentType, "text/xml; charset=utf-8")
	w.Set(fiber.HeaderCacheControl, "no-store")
	return w.Send(body)
}

// keep records what Twilio tells once, and acknowledges it when it is on the disk. A disk that hangs must not make Twilio
// say it again and again: then it is acknowledged from memory.
func (h *Hooks) keep(w *webhook, e Event) error {
	if !w.check {
		e.ID, e.TenantID, e.At = uuid.Must(uuid.NewV7()), w.line.Profile.TenantID, h.Now()
		if e.CallSID == "" {
			e.CallSID = strings.Clone(w.form.Get("CallSid"))
		}
		h.Journal.Record(e)
		ctx, cancel := context.WithTimeout(w.UserContext(), keepWithin)
		defer cancel()
		if err := h.Journal.Sync(ctx); err != nil {
			h.Log.Warn("voice: an event is acknowledged before it is on the disk", "type", e.Type, "error", err)
		}
	}
	return w.SendStatus(http.StatusNoContent)
}
