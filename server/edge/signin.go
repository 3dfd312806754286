package edge

import (
	"net/url"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"kestrel.ai/subdomain"
)

// signInPaths are the parts of Supabase Auth that people use. Everything else, /auth/v1/admin above all, is not
// reachable through a dashboard host.
var signInPaths = []string{
	"/token", "/signup", "/user", "/logout", "/recover", "/otp", "/magiclink", "/resend", "/verify", "/factors",
	"/reauthenticate", "/settings", "/health", "/.well-known/jwks.json",
}

// hopByHop belongs to one connection, and identity is ours to set: neither passes through.
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Proxy-Authenticate", "Proxy-Authorization",
	"Apikey", "Cookie", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Sb-Forwarded-For", "Fly-Client-Ip",
}

// SignIn passes /auth/v1 on a dashboard host to Supabase Auth, so that people sign in on the origin they use.
type SignIn struct {
	upstream *fasthttp.HostClient
	base     *url.URL
	key      string
	hosts    subdomain.Hosts
}

// NewSignIn needs the project's URL and public key. Its error names what is wrong with the URL.
func NewSignIn(supabaseURL, publicKey string, hosts subdomain.Hosts) (*SignIn, error) {
	base, err := url.Parse(supabaseURL)
	if err != nil {
		return nil, err
	}
	addr := base.Host
	if base.Port() == "" {
		addr = fasthttp.AddMissingPort(base.Host, base.Scheme == "https")
	}
	return &SignIn{
		upstream: &fasthttp.HostClient{
			Addr: addr, IsTLS: base.Scheme == "https", MaxConns: 256, MaxIdemponentCallAttempts: 1,
			ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second, MaxConnWaitTimeout: time.Second,
			NoDefaultUserAgentHeader: true, DisablePathNormalizing: true, MaxResponseBodySize: 4 << 20,
		},
		base: base, key: publicKey, hosts: hosts,
	}, nil
}

// Handle answers one request to /auth/v1.
func (s *SignIn) Handle(c *fiber.Ctx) error {
	path := strings.TrimPrefix(c.Path(), "/auth/v1")
	if !signsIn(path) {
		return errNotFound
	}
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	c.Request().CopyTo(req)
	for _, name := range strings.Split(string(req.Header.Peek("Connection")), ",") {
		req.Header.Del(strings.TrimSpace(name))
	}
	for _, name := range hopByHop {
		req.Header.Del(name)
	}
	req.Header.Set("apikey", s.key)
	req.URI().SetScheme(s.base.Scheme)
	req.SetHost(s.base.Host)
	req.URI().SetPath(strings.TrimRight(s.base.Path, "/") + c.Path())
	s.holdRedirect(req.URI().QueryArgs())
	if err := s.upstream.DoTimeout(req, resp, 15*time.Second); err != nil {
		return errUnavailable.Because(err)
	}
	for _, name := range hopByHop {
		resp.Header.Del(name)
	}
	resp.Header.Del("Server")
	for name, value := range resp.Header.All() {
		if !strings.EqualFold(string(name), "Content-Length") {
			c.Response().Header.SetBytesKV(name, value)
		}
	}
	c.Response().SetStatusCode(resp.StatusCode())
	c.Response().SetBody(resp.Body())
	return nil
}

func signsIn(path string) bool {
	for _, p := range signInPaths {
		if under(path, p) {
			return true
		}
	}
	return false
}

// holdRedirect drops a redirect_to that leads away from our hosts; Auth then uses its own site URL.
func (s *SignIn) holdRedirect(args *fasthttp.Args) {
	raw := string(args.Peek("redirect_to"))
	if raw == "" {
		return
	}
	to, err := url.Parse(raw)
	if err == nil && (to.Scheme == "http" || to.Scheme == "https") && to.User == nil {
		if _, _, err = s.hosts.Parse(to.Host); err == nil {
			return
		}
	}
	args.Del("redirect_to")
}
