package edge

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/subdomain"
)

func TestTickets(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := context.Background()
	person := Scope{Tenant: haiec, Host: subdomain.TenantHost, Principal: Principal{Kind: Person, UserID: viewer, Email: "v@x.test", ExpiresAt: time.Now().Add(time.Hour)}}
	const path = "/api/tenant/calls.csv"
	mint := func(s Scope) string {
		t.Helper()
		ticket, expires, err := r.edge.Tickets().Mint(ctx, s, path)
		if err != nil || time.Until(expires) > TicketTTL {
			t.Fatal(err, expires)
		}
		return ticket
	}
	ask := func(name string, want int, method, url string, headers ...string) {
		t.Helper()
		if a := r.ask(t, method, url, headers...); a.status != want {
			t.Errorf("%s: %d %s, want %d", name, a.status, a.problem.Code, want)
		}
	}
	here := "haiec.kestrel.ai" + path + "?from=1&ticket="
	ticket := mint(person)
	ask("once", 200, "GET", here+ticket)
	ask("twice", 401, "GET", here+ticket)
	ask("other path", 401, "GET", "haiec.kestrel.ai/api/tenant?ticket="+mint(person))
	ask("other tenant", 401, "GET", "other-co.kestrel.ai"+path+"?ticket="+mint(person))
	ask("admin host", 404, "GET", "admin.kestrel.ai"+path+"?ticket="+mint(person))
	ask("POST", 401, "POST", here+mint(person))
	ask("two tickets", 401, "GET", here+mint(person)+"&ticket="+mint(person))
	ask("unknown", 401, "GET", here+strings.Repeat("a", 43))
	ask("empty", 401, "GET", here)
	ask("on api. its own tenant", 200, "GET", "api.kestrel.ai"+path+"?ticket="+mint(person))
	ask("on api. another tenant", 200, "GET", "api.kestrel.ai"+path+"?ticket="+mint(person), "X-Kestrel-Tenant: other-co")

	late := mint(person)
	r.do(func() {
		for hash, held := range r.tickets {
			held.expires = time.Now().Add(-time.Second)
			r.tickets[hash] = held
		}
	})
	ask("late", 401, "GET", here+late)

	hash, _ := HashKey(r.readKey)
	keyed := person
	keyed.Principal = Principal{Kind: Key, KeyID: r.keys[hash].ID, keyHash: hash}
	ask("of a key", 200, "GET", here+mint(keyed))

	removed := mint(person)
	r.do(func() { delete(r.members, membership{viewer, haiec.ID}) })
	r.edge.Invalidate("member", viewer, haiec.ID)
	ask("of a removed member", 403, "GET", here+removed)

	for name, p := range map[string]string{"page": "/calls", "relative": "api/tenant", "dots": "/api/tenant/../admin", "host": "//evil.com/", "jobs": "/jobs", "admin API": "/api/admin/x"} {
		if _, _, err := r.edge.Tickets().Mint(ctx, person, p); FromError(err).Status != 422 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := r.edge.Tickets().Mint(ctx, Scope{Tenant: haiec, Host: subdomain.TenantHost}, path); FromError(err).Status != 401 {
		t.Errorf("anonymous: %v", err)
	}
	if strings.Contains(r.log.String(), ticket) {
		t.Error("a ticket is in the log")
	}
}

func TestJobsCookie(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.ask(t, "POST", "admin.kestrel.ai/jobs/session", bearer(r.token(t, staff, nil)))
	set := a.header.Get("Set-Cookie")
	for _, part := range []string{"__Host-kestrel_jobs=", "path=/", "HttpOnly", "secure", "SameSite=Strict"} {
		if !strings.Contains(set, part) {
			t.Errorf("%d: no %q in %q", a.status, part, set)
		}
	}
	if strings.Contains(strings.ToLower(set), "domain") {
		t.Error("not host-only")
	}
	parsed, err := http.ParseSetCookie(set)
	if err != nil {
		t.Fatal(err)
	}
	cookie := "Cookie: " + parsed.Name + "=" + parsed.Value
	forged := "Cookie: " + parsed.Name + "=" + strings.Replace(parsed.Value, ".", "x.", 1)
	for name, c := range map[string]struct {
		method, url string
		headers     []string
		status      int
	}{
		"page":                       {"GET", "admin.kestrel.ai/jobs/1", []string{cookie}, 200},
		"not on the API":             {"GET", "admin.kestrel.ai/api/admin/tenants", []string{cookie}, 401},
		"not on api.":                {"GET", "api.kestrel.ai/api/jobs/1", []string{cookie}, 401},
		"not to renew itself":        {"POST", "admin.kestrel.ai/jobs/session", []string{cookie, "Sec-Fetch-Site: same-origin"}, 401},
		"forged":                     {"GET", "admin.kestrel.ai/jobs", []string{forged}, 401},
		"write, own page":            {"POST", "admin.kestrel.ai/jobs/api/cancel", []string{cookie, "Sec-Fetch-Site: same-origin"}, 200},
		"write, own page by Origin":  {"POST", "admin.kestrel.ai/jobs/api/cancel", []string{cookie, "Origin: https://admin.kestrel.ai"}, 200},
		"write, sibling tenant":      {"POST", "admin.kestrel.ai/jobs/api/cancel", []string{cookie, "Sec-Fetch-Site: same-site"}, 403},
		"write, sibling by Origin":   {"POST", "admin.kestrel.ai/jobs/api/cancel", []string{cookie, "Origin: https://haiec.kestrel.ai"}, 403},
		"write, from nowhere":        {"POST", "admin.kestrel.ai/jobs/api/cancel", []string{cookie}, 403},
		"a tenant's owner gets none": {"POST", "admin.kestrel.ai/jobs/session", []string{bearer(r.token(t, owner, nil))}, 403},
		"GET of the session":         {"GET", "admin.kestrel.ai/jobs/session", []string{bearer(r.token(t, staff, nil))}, 405},
	} {
		if a := r.ask(t, c.method, c.url, c.headers...); a.status != c.status {
			t.Errorf("%s: %d %s, want %d", name, a.status, a.problem.Code, c.status)
		}
	}
	r.do(func() { delete(r.admins, staff) })
	r.edge.Invalidate("admin", staff, uuid.Nil)
	if a := r.ask(t, "GET", "admin.kestrel.ai/jobs", cookie); a.status != 403 {
		t.Errorf("after removal: %d", a.status)
	}
}
