package isolation_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"kestrel.ai/server/edge"
)

// TestForeignIDs asks for another tenant's rows by their ids, and tries to smuggle another tenant in, as everybody who
// may do the operation at home. Nothing of it is found, and nothing of it changes.
func TestForeignIDs(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	before := checksum(t, m.w, m.subjects[foreign].tenant)
	var cells []cell
	for _, op := range m.operations {
		if op.Access == "platform_admin" || op.open() {
			continue
		}
		for _, c := range m.callers {
			for _, host := range []string{home + base, "api" + base} {
				if c.home == home && m.want(op, c, host) < 400 {
					cells = append(cells, cell{op, c, host, 0})
				}
			}
		}
	}
	s, own := m.subjects[foreign], m.subjects[home]
	tried := map[string]int{}
	for _, one := range cells {
		r := requests[one.op.ID](s)
		// A version's number counts within each tenant: it names nothing of another's.
		if strings.Contains(one.op.Path, "{") && !strings.Contains(one.op.Path, "{version}") {
			tried["path"]++
			if a := m.ask(t, one.op, one.c, one.host, "with a foreign id", r); a.Status != 404 && a.Status != 403 {
				t.Errorf("%s as %s at %s, with a foreign id: %d %s", one.op.ID, one.c.name, one.host, a.Status, a.Body)
			}
		}
		if _, isJSON := r.body.(map[string]any); isJSON {
			for name, value := range map[string]any{"tenant_id": s.tenant, "tenant": s.slug, "id": s.tenant} {
				tried["body"]++
				smuggled := requests[one.op.ID](own)
				sent := maps.Clone(smuggled.body.(map[string]any))
				sent[name] = value
				smuggled.body = sent
				if a := m.ask(t, one.op, one.c, one.host, "with a foreign "+name, smuggled); a.Status != 422 {
					t.Errorf("%s as %s at %s, with a foreign %s: %d %s", one.op.ID, one.c.name, one.host, name, a.Status, a.Body)
				}
			}
		}
		// A list goes on from any place, but only in its own tenant's rows; a filter by tenant is unknown there.
		for _, p := range one.op.Parameters {
			if p.Name != "cursor" {
				continue
			}
			tried["query"]++
			cursor := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"t":%q,"i":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339), s.job))
			follow := requests[one.op.ID](own)
			follow.path = map[string]string{"?": "cursor=" + cursor}
			if a := m.ask(t, one.op, one.c, one.host, "after a foreign row", follow); a.Status != 200 {
				t.Errorf("%s after a foreign row: %d %s", one.op.ID, a.Status, a.Body)
			}
			follow.path = map[string]string{"?": "tenant_id=" + s.tenant.String()}
			if a := m.ask(t, one.op, one.c, one.host, "for a foreign tenant", follow); a.Status != 422 {
				t.Errorf("%s for a foreign tenant: %d %s", one.op.ID, a.Status, a.Body)
			}
		}
	}
	unchanged(t, "by foreign ids", before, checksum(t, m.w, s.tenant))
	for _, kind := range []string{"path", "body", "query"} {
		if tried[kind] < 8 {
			t.Errorf("only %d tries by %s", tried[kind], kind)
		}
	}
}

// TestTwoTenantsOneOwner: who owns two tenants sees at each host the one alone.
func TestTwoTenantsOneOwner(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	owner := m.subjects[home].company.Owner
	m.w.Exec(`insert into tenant_users (tenant_id, user_id, email, role) values ($1, $2, 'both@example.com', 'owner')`, m.subjects[foreign].tenant, owner.UserID)
	if a := owner.At(foreign+base).Do("GET", "/api/tenant", nil); a.Status != 200 || m.marks[foreign].in(a.Body) == "" {
		t.Fatalf("the other tenant's owner: %d %s", a.Status, a.Body)
	}
	asked := 0
	for _, op := range m.operations {
		for _, c := range m.callers {
			if op.Method != "GET" || c.home != home || c.as.UserID != owner.UserID || m.want(op, c, home+base) >= 400 {
				continue
			}
			asked++
			m.ask(t, op, c, home+base, "as owner of both", requests[op.ID](m.subjects[home]))
			if strings.Contains(op.Path, "{") {
				m.ask(t, op, c, home+base, "with the other's id", requests[op.ID](m.subjects[foreign]))
			}
		}
	}
	if asked < 10 {
		t.Errorf("only %d asked", asked)
	}
}

// TestForeignHeaders: what names a tenant in a header never widens what a caller may reach.
func TestForeignHeaders(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	company := m.operations[slices.IndexFunc(m.operations, func(op operation) bool { return op.ID == "getCompany" })]
	for _, c := range m.callers {
		if c.home != home {
			continue
		}
		for name, headers := range map[string]map[string]string{
			"X-Kestrel-Tenant at its own host": {"X-Kestrel-Tenant": foreign},
			"X-Forwarded-Host":                 {"X-Forwarded-Host": foreign + base, "Forwarded": "host=" + foreign + base},
			"X-Original-URL":                   {"X-Original-Url": "http://" + foreign + base + "/api/tenant", "X-Rewrite-Url": "/api/admin/tenants"},
			"a method in a header":             {"X-HTTP-Method-Override": "DELETE"},
		} {
			with := c
			for header, value := range headers {
				with.as = with.as.With(header, value)
			}
			if a := m.ask(t, company, with, home+base, name, request{}); a.Status != 200 || m.marks[home].in(a.Body) == "" {
				t.Errorf("%s, %s: %d %s", c.name, name, a.Status, a.Body)
			}
		}
	}
}

// TestForeignTickets: a ticket opens its path, at its host, once.
func TestForeignTickets(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	own, other := m.subjects[home], m.subjects[foreign]
	follow := m.operations[slices.IndexFunc(m.operations, func(op operation) bool { return op.ID == "followJob" })]
	anonymous := caller{name: "a ticket's holder", as: m.w.Anonymous(""), home: home, kind: edge.Person}
	for name, c := range map[string]struct {
		host string
		of   subject
		want int
	}{
		"its own job":             {home + base, own, 200},
		"its own job elsewhere":   {foreign + base, own, 401},
		"another's job":           {home + base, other, 401}, // the ticket is for another path
		"another's job elsewhere": {foreign + base, other, 401},
		"at admin.":               {"admin" + base, own, 401},
	} {
		a := own.company.Viewer.Do("POST", "/api/tickets", map[string]string{"path": "/api/jobs/" + own.job.String() + "/events"})
		_, ticket, _ := strings.Cut(a.Body, `"ticket":"`)
		ticket, _, _ = strings.Cut(ticket, `"`)
		if a.Status != 200 || len(ticket) < 32 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		r := requests["followJob"](c.of)
		r.path["?"] = "ticket=" + ticket
		if a := m.ask(t, follow, anonymous, c.host, name, r); a.Status != c.want {
			t.Errorf("%s: %d, want %d: %s", name, a.Status, c.want, a.Body)
		}
	}
	// Minted for a path of another tenant's, it opens nothing.
	a := own.company.Viewer.Do("POST", "/api/tickets", map[string]string{"path": "/api/jobs/" + other.job.String() + "/events"})
	_, ticket, _ := strings.Cut(a.Body, `"ticket":"`)
	ticket, _, _ = strings.Cut(ticket, `"`)
	r := requests["followJob"](other)
	r.path["?"] = "ticket=" + ticket
	if a := m.ask(t, follow, anonymous, home+base, "another's job", r); a.Status != 404 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}
