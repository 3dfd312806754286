package edge

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"kestrel.ai/subdomain"
)

// serve takes a request from its Host header to its handler.
func (e *Edge) serve(c *fiber.Ctx, r *request) error {
	path := c.Path()
	if c.Method() == fiber.MethodGet || c.Method() == fiber.MethodHead {
		switch path {
		case "/healthz":
			return c.JSON(fiber.Map{"status": "ok"})
		case "/readyz":
			return e.ready(c)
		}
	}
	// An absolute-form target names a second host; a proxy would be asked so, Kestrel is not one.
	if target := c.Request().Header.RequestURI(); len(target) == 0 || target[0] != '/' || !plain(path) {
		return errBadPath
	}
	if smuggled(&c.Request().Header) {
		return errFraming
	}
	rawHost := string(c.Request().Header.Host())
	kind, slug, err := e.cfg.Hosts.Parse(rawHost)
	if err != nil {
		return errUnknownHost
	}
	r.scope.Host = kind
	switch kind {
	case subdomain.WWW:
		return e.redirect(c, fiber.StatusPermanentRedirect, "", rawHost, path)
	case subdomain.Sandbox:
		if !e.cfg.Dev || e.deps.Sandbox == nil {
			return errUnknownHost
		}
		return e.deps.Sandbox(c)
	case subdomain.TenantHost:
		if moved, err := e.hostTenant(c, r, slug, rawHost); moved || err != nil {
			return err
		}
	case subdomain.Apex, subdomain.Admin:
		if rest, ok := strings.CutPrefix(path, "/admin"); ok && under(path, "/admin") {
			return e.redirect(c, fiber.StatusFound, "admin", rawHost, "/"+strings.TrimPrefix(rest, "/"))
		}
	}
	rt, ok := match(kind, path)
	if !ok {
		return errNotFound
	}
	securityHeaders(c, rt, e.cfg)
	if err := e.limit(c, rt.class, ipKey(r.scope.IP)); err != nil {
		return err
	}
	if rt.access != open {
		if err := e.identify(c, r, rt); err != nil {
			return err
		}
		if err := e.limitPrincipal(c, r.scope.Principal); err != nil {
			return err
		}
	}
	if kind == subdomain.Admin && path == jobsSession {
		return e.openJobsSession(c, r.scope)
	}
	return c.Next()
}

// hostTenant puts the slug's tenant into the scope. A retired slug moves browsers to the current one; an API call
// is not redirected, because a client would drop its Authorization on the way, or worse, keep it.
func (e *Edge) hostTenant(c *fiber.Ctx, r *request, slug, rawHost string) (moved bool, err error) {
	t, err := e.tenant(c.UserContext(), slug)
	if errors.Is(err, errTenantUnknown) {
		if err := e.limit(c, ClassIP, ipKey(r.scope.IP)); err != nil {
			return false, err // someone is trying names out
		}
		return false, errUnknownHost
	}
	if err != nil {
		return false, err
	}
	r.scope.Tenant = t
	if t.Slug == slug {
		return false, nil
	}
	browsing := c.Method() == fiber.MethodGet || c.Method() == fiber.MethodHead
	if path := c.Path(); !browsing || under(path, "/api") || under(path, "/auth") {
		return false, errSlugRetired
	}
	// A retired slug is free again after the purge: browsers must not keep this for ever.
	c.Set(fiber.HeaderCacheControl, "private, max-age=300")
	return true, e.redirect(c, fiber.StatusMovedPermanently, t.Slug, rawHost, c.Path())
}

// tenant returns errTenantUnknown or errUnavailable in place of the cache's errors.
func (e *Edge) tenant(ctx context.Context, slug string) (subdomain.Tenant, error) {
	t, err := e.deps.Tenants.BySlug(ctx, slug)
	switch {
	case errors.Is(err, subdomain.ErrNotFound):
		return t, errTenantUnknown
	case err != nil:
		return t, errUnavailable.Because(err)
	}
	return t, nil
}

func (e *Edge) redirect(c *fiber.Ctx, status int, label, rawHost, path string) error {
	to := e.cfg.Hosts.URL(e.cfg.Scheme, label, rawHost) + path
	if query := c.Request().URI().QueryString(); len(query) > 0 {
		to += "?" + string(query)
	}
	return c.Redirect(to, status)
}

// smuggled reports a request that says its length in two ways. fasthttp believes the chunks and closes the
// connection, as RFC 9112 6.3 allows; whatever stands before us may have believed the other.
func smuggled(h *fasthttp.RequestHeader) bool {
	if !h.ConnectionClose() {
		return false
	}
	raw := bytes.ToLower(h.RawHeaders())
	return bytes.Contains(raw, []byte("transfer-encoding:")) && bytes.Contains(raw, []byte("content-length:"))
}

func (e *Edge) ready(c *fiber.Ctx) error {
	if e.deps.Ready != nil {
		if err := e.deps.Ready(c.UserContext()); err != nil {
			return NewProblem(http.StatusServiceUnavailable, "not_ready", "This process is not ready yet.").Because(err)
		}
	}
	return c.JSON(fiber.Map{"status": "ready"})
}
