package isolation_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/server/api/apitest"
	"kestrel.ai/server/edge"
)

const base = ".kestrel.ai"

// caller is one kind of caller; home is its tenant's mark, "" for those who have none.
type caller struct {
	as     apitest.Caller
	name   string
	home   string
	role   edge.Role
	scopes []string
	kind   edge.Kind
	mfa    bool
	// names is what it puts into X-Kestrel-Tenant at api., "" for nothing.
	names string
}

const home, foreign, paused = "zqhome", "zqforeign", "zqpaused"

var digitsOf = map[string]string{home: "+16175553", foreign: "+12128674", paused: "+14153095"}

type matrix struct {
	*document
	w        *apitest.World
	subjects map[string]subject
	marks    map[string]marks
	callers  []caller
	hosts    []string
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{document: documented(t), w: apitest.New(t, inProduction, apitest.ShortStreams), subjects: map[string]subject{}, marks: map[string]marks{},
		hosts: []string{home + base, foreign + base, paused + base, "api" + base, "admin" + base, "kestrel.ai"}}
	for _, op := range m.operations {
		if requests[op.ID] == nil {
			t.Errorf("%s has no request in requests_test.go", op.ID)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	w := m.w
	staff := w.Staff("staff@kestrel.ai")
	weak := w.Staff("weak@kestrel.ai")
	claims := apitest.Claims(weak.UserID, "weak@kestrel.ai")
	claims["aal"] = "aal1"
	weak = weak.With("Authorization", "Bearer "+w.Sign(apitest.TokenHeader, claims))
	for mark, digits := range digitsOf {
		s := planted(w, mark, digits)
		s.staff = apitest.Value[uuid.UUID](w, `insert into platform_admins (email) values ($1) returning id`, unique()+"@kestrel.ai")
		m.subjects[mark] = s
	}
	w.Exec(`update tenants set subscription_status = 'suspended' where id = $1`, m.subjects[paused].tenant)
	w.Exec(`update tenants set status_reason = $2 where id = $1`, m.subjects[paused].tenant, paused)
	for mark, digits := range digitsOf {
		m.marks[mark] = marksOf(t, w, m.subjects[mark].tenant, mark, digits)
	}
	own, other := m.subjects[home].company, m.subjects[foreign].company
	person := func(as apitest.Caller, of string, role edge.Role, names string) caller {
		return caller{as: as, name: of + "'s " + string(role), home: of, role: role, kind: edge.Person, names: names}
	}
	m.callers = []caller{
		{as: w.Anonymous(""), name: "anonymous", names: home},
		person(own.Viewer, home, edge.Viewer, home), person(own.Member, home, edge.Member, home), person(own.Admin, home, edge.Admin, home), person(own.Owner, home, edge.Owner, home),
		person(other.Owner, foreign, edge.Owner, home), // names a tenant that is not its own
		person(m.subjects[paused].company.Owner, paused, edge.Owner, paused),
		{as: own.ReadKey, name: "key read", home: home, scopes: []string{"read"}, kind: edge.Key},
		{as: own.WriteKey, name: "key write", home: home, scopes: []string{"read", "write"}, kind: edge.Key, names: home},
		{as: other.WriteKey, name: "foreign key", home: foreign, scopes: []string{"read", "write"}, kind: edge.Key, names: home},
		{as: view(staff, own, false), name: "view", home: home, scopes: []string{"read"}, kind: edge.View},
		{as: view(staff, own, true), name: "view to write", home: home, scopes: []string{"read", "write"}, kind: edge.View, names: home},
		{as: view(staff, other, true), name: "foreign view", home: foreign, scopes: []string{"read", "write"}, kind: edge.View, names: home},
		{as: staff, name: "platform admin", kind: edge.PlatformAdmin, mfa: true},
		{as: weak, name: "platform admin without second factor", kind: edge.PlatformAdmin},
	}
	return m
}

func view(admin apitest.Caller, of apitest.Company, write bool) apitest.Caller {
	as, _ := of.View(admin, write)
	return as
}

// want is the status of a good request, by x-kestrel-access and edge's table of roles alone.
func (m *matrix) want(op operation, c caller, host string) int {
	tenantHost, addressed := false, ""
	for mark := range digitsOf {
		if host == mark+base {
			tenantHost, addressed = true, mark
		}
	}
	api, admin := host == "api"+base, host == "admin"+base
	var served bool
	action := edge.Action("")
	switch {
	case op.Access == "public_at_tenant":
		served = tenantHost
	case op.Access == "public":
		served = api || host == "kestrel.ai"
	case op.Access == "platform_admin":
		served = api || admin
	default:
		_, rest, onTenant := strings.Cut(op.Access, "tenant:")
		action, served = edge.Action(rest), onTenant && (api || tenantHost || admin && strings.HasPrefix(op.Access, "platform_admin"))
	}
	if !served {
		return 404
	}
	if op.open() {
		return op.Success
	}
	if c.kind == 0 {
		return 401
	}
	either := op.Access != "platform_admin" && strings.HasPrefix(op.Access, "platform_admin")
	switch {
	case admin, op.Access == "platform_admin", either && api && c.kind == edge.PlatformAdmin:
		if c.kind == edge.PlatformAdmin && c.mfa {
			return op.Success
		}
		return 403
	case c.kind == edge.PlatformAdmin && api:
		return 400 // names no tenant
	case api && c.kind == edge.Person:
		if addressed = c.names; addressed != c.home {
			return 404 // strangers do not learn who is a customer
		}
	case api:
		if addressed = c.home; c.names != "" && c.names != c.home {
			return 403
		}
	}
	may := addressed == c.home && (edge.Allowed(c.role, action) || edge.KeyAllowed(c.scopes, action) || c.kind == edge.View && edge.ViewAllowed(c.scopes, action)) && !(addressed == paused && action.Writes())
	if !may {
		return 403
	}
	return op.Success
}

// ask sends the request and holds the answer to everything that is true of all answers.
func (m *matrix) ask(t *testing.T, op operation, c caller, host, what string, r request) apitest.Answer {
	as := c.as.At(host)
	if host == "api"+base && c.names != "" {
		as = as.With("X-Kestrel-Tenant", c.names)
	}
	for name, value := range r.headers {
		as = as.With(name, value)
	}
	var sent any
	if r.body != nil {
		sent = r.body
	}
	a := as.Do(op.Method, r.url(op), sent)
	m.judge(t, op, c, host, what, a)
	return a
}

func (m *matrix) judge(t *testing.T, op operation, c caller, host, what string, a apitest.Answer) {
	t.Helper()
	say := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s as %s at %s, %s: "+format+"\n%d %.600s", append(append([]any{op.ID, c.name, host, what}, args...), a.Status, a.Body)...)
	}
	contentType := a.Header.Get("Content-Type")
	if a.Status >= 400 {
		if fault := problemFault(a.Status, contentType, a.Body); fault != "" {
			say("%s", fault)
		}
	}
	// What the edge says of an address is no operation's answer.
	edges := a.Status == 404 && strings.Contains(a.Body, `"code":"not_found"`) || a.Status == 400 && strings.Contains(a.Body, `"code":"bad_path"`)
	if fault := m.fault(op, a.Status, contentType, a.Body); fault != "" && !edges {
		say("%s", fault)
	}
	if c.kind == edge.PlatformAdmin {
		return
	}
	for mark, other := range m.marks {
		if mark == c.home || op.Access == "public_at_tenant" && host == mark+base {
			continue
		}
		if leak := other.in(a.Body); leak != "" {
			say("it shows %q of %s", leak, mark)
		}
		for name := range a.Header {
			if leak := other.in(a.Header.Get(name)); leak != "" {
				say("header %s shows %q of %s", name, leak, mark)
			}
		}
	}
}

// subjectOf is whose rows a good request of the caller is about.
func (m *matrix) subjectOf(c caller) subject {
	if c.home == "" {
		return m.subjects[home]
	}
	return m.subjects[c.home]
}

// cell is one request of the matrix.
type cell struct {
	op   operation
	c    caller
	host string
	want int
}

// each runs do on all of the cells, a few at a time.
func each(cells []cell, do func(cell)) {
	next := make(chan cell)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for c := range next {
				do(c)
			}
		})
	}
	for _, c := range cells {
		next <- c
	}
	close(next)
	workers.Wait()
}

// TestMatrix sends every operation as every caller to every host. What is refused, and what only reads, changes no row.
func TestMatrix(t *testing.T) {
	t.Parallel()
	m := newMatrix(t)
	var still, changing, foreignChanging []cell
	for _, op := range m.operations {
		for _, c := range m.callers {
			for _, host := range m.hosts {
				one := cell{op, c, host, m.want(op, c, host)}
				switch {
				case one.want >= 300 || !op.changes():
					still = append(still, one)
				case c.home == foreign || host == foreign+base:
					foreignChanging = append(foreignChanging, one)
				default:
					changing = append(changing, one)
				}
			}
		}
	}
	if len(requests) != len(m.operations) {
		t.Errorf("%d requests for %d operations", len(requests), len(m.operations))
	}
	before := checksum(t, m.w, uuid.Nil)
	each(still, func(one cell) {
		s := m.subjectOf(one.c)
		if mark := strings.TrimSuffix(one.host, base); one.op.Access == "public_at_tenant" && one.want < 400 {
			s = m.subjects[mark]
		}
		r := requests[one.op.ID](s)
		if one.want < 400 && r.prepare != nil {
			r.prepare(t, m.w)
		}
		a := m.ask(t, one.op, one.c, one.host, "unchanged rows", r)
		m.expect(t, one, a)
		if a.Status < 400 && r.mine && one.c.kind != 0 {
			if m.marks[s.slug].in(a.Body) == "" {
				t.Errorf("%s as %s at %s shows nothing of its own: %.300s", one.op.ID, one.c.name, one.host, a.Body)
			}
		}
	})
	unchanged(t, "what is refused or reads", before, checksum(t, m.w, uuid.Nil))

	others := checksum(t, m.w, m.subjects[foreign].tenant)
	each(changing, func(one cell) { m.change(t, one) })
	unchanged(t, "another tenant's work", others, checksum(t, m.w, m.subjects[foreign].tenant))
	each(foreignChanging, func(one cell) { m.change(t, one) })
	t.Logf("%d operations, %d requests, of which %d succeed in changing", len(m.operations), len(still)+len(changing)+len(foreignChanging), len(changing)+len(foreignChanging))
}

func (m *matrix) expect(t *testing.T, one cell, a apitest.Answer) {
	t.Helper()
	if a.Status != one.want {
		t.Errorf("%s as %s at %s: %d, want %d\n%.400s", one.op.ID, one.c.name, one.host, a.Status, one.want, a.Body)
	}
}

// change does what changes rows, on rows made for it: platform admins get a tenant of its own each time.
func (m *matrix) change(t *testing.T, one cell) {
	s := m.subjectOf(one.c)
	if mark := strings.TrimSuffix(one.host, base); one.op.Access == "public_at_tenant" {
		s = m.subjects[mark]
	}
	if one.op.ID == "endOwnView" {
		one.c.as, _ = s.company.View(m.w.Staff(unique()+"@kestrel.ai"), false)
	}
	if one.op.ID == "leaveTenant" || one.op.ID == "transferOwnership" {
		// Somebody new of the same role goes, so that the others stay.
		email := unique() + "@" + s.slug + ".test"
		one.c.as = m.w.Person(email, one.host)
		m.w.Exec(`insert into tenant_users (tenant_id, user_id, email, role) values ($1, $2, $3, $4::member_role)`, s.tenant, one.c.as.UserID, email, string(one.c.role))
	}
	if one.c.kind == edge.PlatformAdmin && strings.HasPrefix(one.op.Path, "/api/admin") || one.op.ID == "purchaseNumber" {
		mark := "zz" + unique()[6:14]
		s = planted(m.w, mark, freshPhone()[:9])
		s.staff = apitest.Value[uuid.UUID](m.w, `insert into platform_admins (email) values ($1) returning id`, unique()+"@kestrel.ai")
	} else if one.op.ID == "patchMember" || one.op.ID == "removeMember" || one.op.ID == "revokeKey" || one.op.ID == "transferOwnership" || strings.HasSuffix(one.op.ID, "eInvitation") || one.op.ID == "resendInvitation" {
		s.spend(m.w)
	}
	r := requests[one.op.ID](s)
	if r.prepare != nil {
		r.prepare(t, m.w)
	}
	a := m.ask(t, one.op, one.c, one.host, "changing", r)
	m.expect(t, one, a)
	if r.mine && a.Status < 400 && !strings.Contains(strings.ToLower(a.Body), s.slug) && !strings.Contains(a.Body, s.tenant.String()) {
		t.Errorf("%s as %s at %s shows nothing of its own: %.300s", one.op.ID, one.c.name, one.host, a.Body)
	}
}
