package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/crypto/bcrypt"
)

// maxAuthBody is the largest request that Auth reads, in bytes.
const maxAuthBody = 1 << 20

// AuthOptions configure NewAuth. Pool, BaseURL, SiteURL, Key and Keys are required.
type AuthOptions struct {
	Pool          *pgxpool.Pool                     // logs in as supabase_auth_admin, or as a superuser; after InstallAuth
	BaseURL       string                            // scheme and host, without a path, under which /auth/v1 is reached; tokens' iss follows from it
	SiteURL       string                            // where links lead when a request names no other allowed place
	Key           *SigningKey                       // signs access tokens
	Keys          Keys                              // who may call
	Mailer        func(context.Context, Mail) error // nil drops mails; an error fails the request that wanted the mail
	RedirectAllow func(url string) bool             // says yes to redirect_to URLs beyond SiteURL's origin; nil allows none
	AutoConfirm   bool                              // addresses count as confirmed at sign-up, without a mail
	DisableSignup bool
	Limits        Limits
	HashCost      int // bcrypt's; 10 if zero, as on the platform. Tests take less
	Now           func() time.Time
	Log           *slog.Logger
}

type auth struct {
	AuthOptions
	issuer      string
	limit       *limiter
	nobodysHash string
}

// NewAuth returns a stand-in for Supabase Auth (GoTrue) for development and tests, to be mounted at /auth/v1/. It
// speaks the protocol of supabase-js 2.109 and gotrue-go 1.2; sign-in by phone, OAuth, SAML, anonymous sign-in,
// WebAuthn, hooks and captchas are not in it.
func NewAuth(o AuthOptions) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.HashCost == 0 {
		o.HashCost = bcrypt.DefaultCost
	}
	a := &auth{AuthOptions: o, issuer: strings.TrimSuffix(o.BaseURL, "/") + "/auth/v1", limit: newLimiter(o.Limits, o.Now)}
	nobodys, _ := bcrypt.GenerateFromPassword([]byte(randomText(32)), o.HashCost) // fails for a cost over 31 alone
	a.nobodysHash = string(nobodys)
	return a.routes()
}

func (a *auth) routes() http.Handler {
	mux := http.NewServeMux()
	on := func(pattern string, h handler) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.Handle(method+" /auth/v1"+path, a.handle(h))
	}

	on("GET /health", a.health)
	on("GET /.well-known/jwks.json", a.jwks)
	on("GET /verify", a.verifyLink)

	on("GET /settings", a.public(a.settings))
	on("POST /signup", a.public(a.signup))
	on("POST /token", a.public(a.token))
	on("POST /verify", a.public(a.verify))
	on("POST /recover", a.public(a.recover))
	on("POST /otp", a.public(a.otp))
	on("POST /magiclink", a.public(a.magicLink))
	on("POST /resend", a.public(a.resend))

	on("GET /user", a.person(a.getUser))
	on("PUT /user", a.person(a.updateUser))
	on("POST /logout", a.person(a.logout))
	on("GET /reauthenticate", a.person(a.reauthenticate))
	on("GET /factors", a.person(a.listFactors))
	on("POST /factors", a.person(a.enrollFactor))
	on("POST /factors/{factor}/challenge", a.person(a.challengeFactor))
	on("POST /factors/{factor}/verify", a.person(a.verifyFactor))
	on("DELETE /factors/{factor}", a.person(a.unenrollFactor))

	on("GET /admin/users", a.admin(a.adminListUsers))
	on("POST /admin/users", a.admin(a.adminCreateUser))
	on("GET /admin/users/{user}", a.admin(a.adminGetUser))
	on("PUT /admin/users/{user}", a.admin(a.adminUpdateUser))
	on("DELETE /admin/users/{user}", a.admin(a.adminDeleteUser))
	on("GET /admin/users/{user}/factors", a.admin(a.adminListFactors))
	on("DELETE /admin/users/{user}/factors/{factor}", a.admin(a.adminDeleteFactor))
	on("POST /admin/generate_link", a.admin(a.adminGenerateLink))
	on("POST /invite", a.admin(a.adminInvite))

	mux.Handle("/", a.handle(func(http.ResponseWriter, *http.Request) error {
		return fail(http.StatusNotFound, "not_found", "404 page not found")
	}))
	return mux
}

// A handler answers, or returns an error for handle to answer.
type handler func(http.ResponseWriter, *http.Request) error

func (a *auth) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxAuthBody)
		if err := h(w, r); err != nil {
			writeAuthError(w, r, a.Log, err)
		}
	})
}

// apiKeyRole says what the caller's apikey stands for. Without a valid one nothing is answered, as at the
// platform's gateway.
func (a *auth) apiKeyRole(r *http.Request) (string, error) {
	key := r.Header.Get("Apikey")
	if key == "" {
		key = r.URL.Query().Get("apikey")
	}
	if key == "" {
		return "", fail(http.StatusUnauthorized, "no_api_key", "No API key found in request")
	}
	role := a.Keys.role(key)
	if role == "" {
		return "", fail(http.StatusUnauthorized, "invalid_api_key", "Invalid API key")
	}
	return role, nil
}

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// public lets in whoever has any API key.
func (a *auth) public(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if _, err := a.apiKeyRole(r); err != nil {
			return err
		}
		return h(w, r)
	}
}

// person lets in the holder of an access token whose session is alive.
func (a *auth) person(h func(http.ResponseWriter, *http.Request, *caller) error) handler {
	return a.public(func(w http.ResponseWriter, r *http.Request) error {
		c, err := a.authenticate(r.Context(), bearer(r))
		if err != nil {
			return err
		}
		return h(w, r, c)
	})
}

// admin lets in a secret key alone or a service_role token. A person's token takes the secret key's powers away.
func (a *auth) admin(h handler) handler {
	return a.public(func(w http.ResponseWriter, r *http.Request) error {
		role, err := a.apiKeyRole(r)
		if err != nil {
			return err
		}
		if token := bearer(r); token != "" {
			if role = a.Keys.role(token); role == "" {
				if _, err := a.authenticate(r.Context(), token); err != nil {
					return err
				}
			}
		} else if role != "service_role" {
			return fail(http.StatusUnauthorized, "no_authorization", "This endpoint requires a valid Bearer token")
		}
		if role != "service_role" {
			return fail(http.StatusForbidden, "not_admin", "User not allowed")
		}
		return h(w, r)
	})
}

// decode reads a JSON body into v. Postgres cannot store U+0000, so a body that has it is refused here.
func decode(r *http.Request, v any) error {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return fail(http.StatusRequestEntityTooLarge, "request_entity_too_large", "Request body too large")
	}
	if err != nil || json.Unmarshal(body, v) != nil || bytes.Contains(body, []byte(`\u0000`)) {
		return fail(http.StatusBadRequest, "bad_json", "Could not parse request body as JSON")
	}
	return nil
}

// redirectTo returns where to send the browser: what was asked for if it is on the site or allowed, else SiteURL.
func (a *auth) redirectTo(asked string) string {
	u, err := url.Parse(asked)
	site, siteErr := url.Parse(a.SiteURL)
	if asked == "" || err != nil || siteErr != nil || u.User != nil || u.Host == "" || strings.Contains(asked, `\`) {
		return a.SiteURL
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return a.SiteURL
	}
	if u.Scheme == site.Scheme && u.Host == site.Host || a.RedirectAllow != nil && a.RedirectAllow(u.String()) {
		return u.String()
	}
	return a.SiteURL
}

func askedRedirect(r *http.Request) string {
	if to := r.Header.Get("Redirect_to"); to != "" {
		return to
	}
	return r.URL.Query().Get("redirect_to")
}

// clientIP is the peer's address; behind the gateway, the one it names while showing a secret key.
func (a *auth) clientIP(r *http.Request) string {
	if forwarded := r.Header.Get("Sb-Forwarded-For"); forwarded != "" && a.Keys.role(r.Header.Get("Apikey")) == "service_role" {
		if ip := net.ParseIP(strings.TrimSpace(forwarded)); ip != nil {
			return ip.String()
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || net.ParseIP(host) == nil {
		return "127.0.0.1"
	}
	return host
}

func (a *auth) health(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]string{
		"version": "v2.180.0-local", "name": "GoTrue", "description": "GoTrue is a user registration and authentication API",
	})
}

func (a *auth) jwks(w http.ResponseWriter, _ *http.Request) error {
	keys, err := a.Key.jwks()
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, keys)
}

func (a *auth) settings(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]any{
		"external":       map[string]bool{"email": true, "phone": false, "anonymous_users": false},
		"disable_signup": a.DisableSignup, "mailer_autoconfirm": a.AutoConfirm, "phone_autoconfirm": false,
		"sms_provider": "", "saml_enabled": false, "mfa_enabled": true,
	})
}
