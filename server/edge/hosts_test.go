package edge

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/valyala/fasthttp/fasthttputil"

	"kestrel.ai/subdomain"
)

func TestWhatIsServedWhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	admin, own, key := bearer(r.token(t, staff, nil)), bearer(r.token(t, owner, nil)), "X-API-Key: "+r.bothKey
	for _, c := range []struct {
		url, as string
		status  int
		code    string // of a problem
	}{
		{"kestrel.ai/", "", 200, ""},
		{"kestrel.ai/onboarding", "", 200, ""},
		{"kestrel.ai/onboarding/plan", "", 200, ""},
		{"kestrel.ai/docs", "", 200, ""},
		{"kestrel.ai/openapi.json", "", 200, ""},
		{"kestrel.ai/api/onboarding", "", 200, ""},
		{"kestrel.ai/api/onboarding/slug", "", 200, ""},
		{"kestrel.ai/api/admin/tenants", admin, 404, "not_found"},
		{"kestrel.ai/api/tenant", own, 404, "not_found"},
		{"kestrel.ai/api/jobs/1", own, 404, "not_found"},
		{"kestrel.ai/auth/v1/token", "", 404, "not_found"},
		{"kestrel.ai/jobs", admin, 404, "not_found"},
		{"www.kestrel.ai/docs?x=1", "", 308, ""},
		{"kestrel.ai/admin/tenants?q=a", "", 302, ""},
		{"kestrel.ai/administration", "", 200, ""},

		{"admin.kestrel.ai/", "", 200, ""},
		{"admin.kestrel.ai/api/admin/tenants/", admin, 200, ""},
		{"admin.kestrel.ai/api/twilio/search-numbers", admin, 200, ""},
		{"admin.kestrel.ai/api/jobs/1", admin, 200, ""},
		{"admin.kestrel.ai/api/tickets", admin, 200, ""},
		{"admin.kestrel.ai/jobs", admin, 200, ""},
		{"admin.kestrel.ai/jobs", "", 401, "unauthenticated"},
		{"admin.kestrel.ai/jobsearch", "", 200, ""},
		{"admin.kestrel.ai/auth/v1/token", "", 200, ""},
		{"admin.kestrel.ai/openapi.json", "", 200, ""},
		{"admin.kestrel.ai/api/tenant", admin, 404, "not_found"},
		{"admin.kestrel.ai/api/onboarding", "", 404, "not_found"},
		{"admin.kestrel.ai/api/voice/incoming", "", 404, "not_found"},
		{"admin.kestrel.ai/onboarding", "", 404, "not_found"},

		{"haiec.kestrel.ai/", "", 200, ""},
		{"haiec.kestrel.ai/calls", "", 200, ""},
		{"haiec.kestrel.ai/api/tenant/me", own, 200, ""},
		{"haiec.kestrel.ai/api/tenant", key, 200, ""},
		{"haiec.kestrel.ai/api/jobs/1", own, 200, ""},
		{"haiec.kestrel.ai/api/tickets", own, 200, ""},
		{"haiec.kestrel.ai/auth/v1/token", "", 200, ""},
		{"haiec.kestrel.ai/api/admin/tenants", admin, 404, "not_found"},
		{"haiec.kestrel.ai/api/twilio/search-numbers", admin, 404, "not_found"},
		{"haiec.kestrel.ai/api/onboarding", "", 404, "not_found"},
		{"haiec.kestrel.ai/api/voice/incoming", "", 404, "not_found"},
		{"haiec.kestrel.ai/jobs", admin, 404, "not_found"},
		{"haiec.kestrel.ai/docs", "", 404, "not_found"},
		{"haiec.kestrel.ai/API/admin/tenants", admin, 200, ""}, // a page: paths are case-sensitive, and so is fiber
		{"other-co.kestrel.ai/", "", 200, ""},

		{"api.kestrel.ai/", "", 404, "not_found"},
		{"api.kestrel.ai/api/admin/tenants", admin, 200, ""},
		{"api.kestrel.ai/api/tenant", key, 200, ""},
		{"api.kestrel.ai/api/voice/incoming?tenant=haiec", "", 200, ""},
		{"api.kestrel.ai/api/sms/incoming", "", 200, ""},
		{"api.kestrel.ai/api/onboarding", "", 200, ""},
		{"api.kestrel.ai/api/unlisted", "", 401, "unauthenticated"},
		{"api.kestrel.ai/docs", "", 200, ""},
		{"api.kestrel.ai/jobs", admin, 404, "not_found"},
		{"api.kestrel.ai/auth/v1/token", "", 404, "not_found"},

		{"nobody.kestrel.ai/", "", 404, "unknown_host"},
		{"mail.kestrel.ai/", "", 404, "unknown_host"},
		{"a.haiec.kestrel.ai/", "", 404, "unknown_host"},
		{"evil.com/", "", 404, "unknown_host"},
		{"127.0.0.1:8080/", "", 404, "unknown_host"},
		{"sandbox.kestrel.ai/", "", 404, "unknown_host"},
		{"evil.com/healthz", "", 200, ""},
		{"nobody.kestrel.ai/readyz", "", 200, ""},

		{"haiec.kestrel.ai/a/../api/admin", "", 400, "bad_path"},
		{"haiec.kestrel.ai/a//b", "", 400, "bad_path"},
		{"haiec.kestrel.ai/api%2Ftenant", "", 400, "bad_path"},
		{"haiec.kestrel.ai/%2e%2e/x", "", 400, "bad_path"},
		{"haiec.kestrel.ai/a%5cb", "", 400, "bad_path"},
		{"admin.kestrel.ai/api/twilio/number-status/%2B18573825169", admin, 200, ""},
	} {
		var headers []string
		if c.as != "" {
			headers = append(headers, c.as)
		}
		a := r.ask(t, "GET", c.url, headers...)
		if a.status != c.status || a.problem.Code != c.code {
			t.Errorf("%s: %d %q, want %d %q", c.url, a.status, a.problem.Code, c.status, c.code)
		}
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Scheme = "http" })
	for from, to := range map[string]string{
		"kestrel.ai:8080/admin/tenants?q=a%20b":     "http://admin.kestrel.ai:8080/tenants?q=a%20b",
		"kestrel.ai/admin":                          "http://admin.kestrel.ai/",
		"www.kestrel.ai/docs?x=1":                   "http://kestrel.ai/docs?x=1",
		"old-haiec.kestrel.ai:8080/calls?from=2026": "http://haiec.kestrel.ai:8080/calls?from=2026",
	} {
		if a := r.ask(t, "GET", from); a.status/100 != 3 || a.header.Get("Location") != to {
			t.Errorf("%s: %d %s, want %s", from, a.status, a.header.Get("Location"), to)
		}
	}
	if a := r.ask(t, "GET", "old-haiec.kestrel.ai/"); a.status != 301 {
		t.Errorf("retired slug: %d", a.status)
	}
	for _, c := range [][2]string{{"GET", "/api/tenant/me"}, {"POST", "/api/tenant/write"}, {"POST", "/auth/v1/token"}} {
		if a := r.ask(t, c[0], "old-haiec.kestrel.ai"+c[1], bearer(r.token(t, owner, nil))); a.status != 404 || a.problem.Code != "slug_retired" {
			t.Errorf("%v on a retired slug: %d %s", c, a.status, a.problem.Code)
		}
	}
}

func TestSandboxOnlyInDevelopment(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Dev = true; c.Hosts = subdomain.Hosts{Base: "localhost"} })
	if a := r.ask(t, "GET", "sandbox.localhost:8080/"); a.body != "sandbox" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestSuspendedTenantIsServedWithItsStatus(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if a := r.ask(t, "GET", "other-co.kestrel.ai/api/tenant", bearer(r.token(t, stranger, nil))); a.status != 200 || a.echo.TenantStatus != "suspended" {
		t.Errorf("%d %+v", a.status, a.echo)
	}
	if a := r.ask(t, "POST", "other-co.kestrel.ai/api/tenant/write", bearer(r.token(t, stranger, nil))); a.status != 403 || a.problem.Code != "tenant_suspended" {
		t.Errorf("%d %s", a.status, a.problem.Code)
	}
	s := Scope{Tenant: other, Principal: Principal{Kind: Person, Role: Owner}}
	if !s.Can(ReadWork) || s.Can(WriteWork) || FromError(RequireAction(WriteWork)(s)).Code != "tenant_suspended" || RequireAction(ReadWork)(s) != nil {
		t.Error("actions of a suspended tenant")
	}
}

func TestForwardedHeadersDoNotRoute(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
		c.ClientIPHeader = "Fly-Client-IP"
	})
	a := r.ask(t, "GET", "haiec.kestrel.ai/", "X-Forwarded-Host: other-co.kestrel.ai", "Forwarded: host=other-co.kestrel.ai", "X-Original-Host: other-co.kestrel.ai", "X-Forwarded-For: 6.6.6.6")
	if a.echo.Tenant != "haiec" {
		t.Errorf("routed to %q", a.echo.Tenant)
	}
}

// raw sends bytes over a connection, for what net/http would not send.
func (r *rig) raw(t *testing.T, request string) *http.Response {
	t.Helper()
	ln := fasthttputil.NewInmemoryListener()
	go func() { _ = r.app.Listener(ln) }()
	t.Cleanup(func() { _ = ln.Close() })
	conn, err := ln.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func(conn net.Conn) { _, _ = io.WriteString(conn, request) }(conn)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestRawRequests(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"plain":              {"GET / HTTP/1.1\r\nHost: haiec.kestrel.ai\r\n\r\n", 200},
		"two Hosts":          {"GET / HTTP/1.1\r\nHost: haiec.kestrel.ai\r\nHost: other-co.kestrel.ai\r\n\r\n", 400},
		"no Host":            {"GET / HTTP/1.0\r\n\r\n", 404},
		"absolute form":      {"GET http://other-co.kestrel.ai/ HTTP/1.1\r\nHost: haiec.kestrel.ai\r\n\r\n", 400},
		"CL and TE":          {"POST / HTTP/1.1\r\nHost: haiec.kestrel.ai\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"two Content-Length": {"POST / HTTP/1.1\r\nHost: haiec.kestrel.ai\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 400},
		"token and cookies":  {"GET / HTTP/1.1\r\nHost: haiec.kestrel.ai\r\nAuthorization: Bearer " + long(8<<10) + "\r\nCookie: a=" + long(8<<10) + "\r\n\r\n", 200},
		"80 KB of headers":   {"GET / HTTP/1.1\r\nHost: haiec.kestrel.ai\r\nCookie: a=" + long(80<<10) + "\r\n\r\n", 431},
		"body of 2 MB":       {fmt.Sprintf("POST / HTTP/1.1\r\nHost: haiec.kestrel.ai\r\nContent-Length: %d\r\n\r\n", 2<<20), 413},
		"garbage":            {"\x16\x03\x01\x02\x00\r\n\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := newRig(t).raw(t, c.request)
			if res.StatusCode != c.status {
				t.Errorf("%d, want %d", res.StatusCode, c.status)
			}
			if res.StatusCode >= 400 && !strings.HasPrefix(res.Header.Get("Content-Type"), ProblemType) {
				t.Errorf("Content-Type %q", res.Header.Get("Content-Type"))
			}
			if res.Header.Get("X-Request-Id") == "" {
				t.Error("no request id")
			}
		})
	}
}
