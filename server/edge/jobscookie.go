package edge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
)

const (
	jobsPrefix  = "/jobs"
	jobsSession = "/jobs/session"
	// jobsCookie is host-only by its prefix: a sibling tenant can neither read nor plant it. The prefix demands
	// Secure; Chrome and Firefox take Secure cookies from http://*.localhost too, Safari does not.
	jobsCookie    = "__Host-kestrel_jobs"
	jobsCookieTTL = 15 * time.Minute
)

type jobsPass struct {
	UserID  uuid.UUID `json:"u"`
	Email   string    `json:"e"`
	AAL     string    `json:"a"`
	Expires int64     `json:"x"`
}

// openJobsSession answers POST /jobs/session, sent with a platform admin's Bearer, with the cookie that lets the
// browser navigate below /jobs. It lasts 15 min and never longer than the token.
func (e *Edge) openJobsSession(c *fiber.Ctx, s Scope) error {
	if c.Method() != fiber.MethodPost {
		return NewProblem(fiber.StatusMethodNotAllowed, "method_not_allowed", "")
	}
	if err := RequirePlatformAdmin(s); err != nil {
		return err
	}
	expires := e.cfg.Now().Add(jobsCookieTTL)
	if at := s.Principal.ExpiresAt; !at.IsZero() && at.Before(expires) {
		expires = at
	}
	body, err := json.Marshal(jobsPass{s.Principal.UserID, s.Principal.Email, s.Principal.AAL, expires.Unix()})
	if err != nil {
		return err
	}
	value := base64.RawURLEncoding.EncodeToString(body)
	c.Cookie(&fiber.Cookie{Name: jobsCookie, Value: value + "." + e.jobsMAC(value), Path: "/", Expires: expires,
		Secure: true, HTTPOnly: true, SameSite: fiber.CookieSameSiteStrictMode})
	return c.SendStatus(fiber.StatusNoContent)
}

func (e *Edge) jobsMAC(value string) string {
	mac := hmac.New(sha256.New, e.cfg.SessionKey)
	mac.Write([]byte("jobs." + value))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// jobsPrincipal reads the cookie; the caller's standing is still looked up live. Tenants' hosts are the same site,
// so SameSite alone does not keep their pages from posting here: what changes something must come from this origin.
func (e *Edge) jobsPrincipal(c *fiber.Ctx) (Principal, error) {
	value, mac, _ := strings.Cut(c.Cookies(jobsCookie), ".")
	if value == "" {
		return Principal{}, nil
	}
	if !hmac.Equal([]byte(mac), []byte(e.jobsMAC(value))) {
		return Principal{}, errCredentials
	}
	var pass jobsPass
	body, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || json.Unmarshal(body, &pass) != nil || e.cfg.Now().Unix() >= pass.Expires {
		return Principal{}, errCredentials
	}
	if m := c.Method(); m != fiber.MethodGet && m != fiber.MethodHead && !e.sameOrigin(c) {
		return Principal{}, errCrossSite
	}
	return Principal{Kind: Person, UserID: pass.UserID, Email: pass.Email, AAL: pass.AAL, ExpiresAt: time.Unix(pass.Expires, 0)}, nil
}

func (e *Edge) sameOrigin(c *fiber.Ctx) bool {
	if site := c.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	return c.Get(fiber.HeaderOrigin) == e.cfg.Scheme+"://"+string(c.Request().Header.Host())
}
