package edge

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
)

// Handle is the middleware: the first that app.Use gets. It answers every error itself, so nothing after it needs
// to write one.
func (e *Edge) Handle(c *fiber.Ctx) error {
	start := e.cfg.Now()
	r := &request{scope: Scope{RequestID: e.requestID(c), IP: strings.Clone(c.IP())}}
	ctx, cancel := context.WithTimeout(context.WithValue(c.UserContext(), requestKey{}, r), e.cfg.Timeout)
	defer cancel()
	c.SetUserContext(ctx)
	basicHeaders(c, r.scope.RequestID)
	if err := e.guarded(c, r); err != nil {
		r.failure = err
		writeProblem(c, err, r.scope.RequestID)
	}
	e.log(c, r, e.cfg.Now().Sub(start))
	return nil
}

// guarded turns a panic into an error; its stack goes to the log only.
func (e *Edge) guarded(c *fiber.Ctx, r *request) (err error) {
	defer func() {
		if value := recover(); value != nil {
			e.cfg.Log.ErrorContext(c.UserContext(), "panic", "request_id", r.scope.RequestID, "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
			err = errInternal.Because(fmt.Errorf("panic: %v", value))
		}
	}()
	return e.serve(c, r)
}

// requestID takes a trusted proxy's id if one is configured, else makes one.
func (e *Edge) requestID(c *fiber.Ctx) string {
	if h := e.cfg.RequestIDHeader; h != "" && len(e.cfg.TrustedProxies) > 0 && c.IsProxyTrusted() {
		if id := c.Get(h); saneID(id) {
			return strings.Clone(id)
		}
	}
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString()
	}
	return id.String()
}

func saneID(id string) bool {
	if len(id) < 8 || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// log writes the request's one line. The query is left out (tickets), and so are numbers in the path (callers).
func (e *Edge) log(c *fiber.Ctx, r *request, took time.Duration) {
	s, status := r.scope, c.Response().StatusCode()
	level := slog.LevelInfo
	switch path := c.Path(); {
	case status >= 500:
		level = slog.LevelError
	case path == "/healthz" || path == "/readyz":
		level = slog.LevelDebug
	}
	ctx := c.UserContext()
	if !e.cfg.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", s.RequestID),
		slog.String("method", strings.Clone(c.Method())),
		slog.String("host", s.Host.String()),
		slog.String("path", maskNumbers(c.Path())),
		slog.Int("status", status),
		slog.Duration("duration", took),
		slog.String("principal", s.Principal.Kind.String()),
		slog.String("ip", s.IP),
	}
	if s.Tenant.Slug != "" {
		attrs = append(attrs, slog.String("tenant", s.Tenant.Slug))
	}
	switch s.Principal.Kind {
	case Person, PlatformAdmin, View:
		attrs = append(attrs, slog.String("user_id", s.Principal.UserID.String()))
	case Key:
		attrs = append(attrs, slog.String("key_id", s.Principal.KeyID.String()))
	}
	if r.failure != nil {
		attrs = append(attrs, slog.String("error", r.failure.Error()))
	}
	e.cfg.Log.LogAttrs(ctx, level, "request", attrs...)
}

// maskNumbers blanks path segments that are phone numbers.
func maskNumbers(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		digits := strings.TrimPrefix(strings.TrimPrefix(strings.ToUpper(s), "%2B"), "+")
		if len(digits) >= 7 && strings.Trim(digits, "0123456789") == "" {
			segments[i] = "***"
		}
	}
	return strings.Join(segments, "/")
}

// unparsed answers for requests that fasthttp could not read (431, 413, 400), and for apps without Handle.
func (e *Edge) unparsed(c *fiber.Ctx, err error) error {
	id := e.requestID(c)
	basicHeaders(c, id)
	writeProblem(c, err, id)
	e.cfg.Log.LogAttrs(context.Background(), slog.LevelInfo, "request not readable", slog.String("request_id", id),
		slog.Int("status", c.Response().StatusCode()), slog.String("ip", c.IP()))
	return nil
}
