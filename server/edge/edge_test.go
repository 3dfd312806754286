package edge

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"kestrel.ai/subdomain"
	"kestrel.ai/supabase"
)

func TestMain(m *testing.M) {
	InstallHuma()
	os.Exit(m.Run())
}

const testIssuer = "http://auth.test/auth/v1"

var (
	staff    = uuid.MustParse("0198c0de-0000-7000-8000-00000000000a")
	owner    = uuid.MustParse("0198c0de-0000-7000-8000-000000000001")
	viewer   = uuid.MustParse("0198c0de-0000-7000-8000-000000000002")
	stranger = uuid.MustParse("0198c0de-0000-7000-8000-000000000003")
	haiec    = subdomain.Tenant{ID: uuid.MustParse("0198c0de-0000-7000-8000-0000000000f1"), Slug: "haiec", Status: "active"}
	other    = subdomain.Tenant{ID: uuid.MustParse("0198c0de-0000-7000-8000-0000000000f2"), Slug: "other-co", Status: "suspended"}
)

// world is a directory, a routing source and a ticket store in memory.
type world struct {
	mu      sync.Mutex
	err     error
	members map[membership]string
	waiting map[string]membership // by address
	admins  map[uuid.UUID]bool
	keys    map[[32]byte]APIKey
	views   map[[32]byte]TenantView
	slugs   map[string]subdomain.Tenant
	tickets map[[32]byte]heldTicket
	touched map[uuid.UUID]time.Time
	asked   int
}

type heldTicket struct {
	principal json.RawMessage
	tenant    uuid.UUID
	path      string
	expires   time.Time
}

func (w *world) do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) Membership(_ context.Context, user, tenant uuid.UUID) (role string, err error) {
	w.do(func() { w.asked++; role, err = w.members[membership{user, tenant}], w.err })
	return role, err
}

func (w *world) LinkMemberships(_ context.Context, user uuid.UUID, email string) error {
	w.do(func() {
		if m, ok := w.waiting[email]; ok {
			w.members[membership{user, m.tenant}] = "member"
		}
		if email == "staff@x.test" {
			w.admins[user] = true
		}
	})
	return w.err
}

func (w *world) PlatformAdmin(_ context.Context, user uuid.UUID) (is bool, err error) {
	w.do(func() { is, err = w.admins[user], w.err })
	return is, err
}

func (w *world) Key(_ context.Context, hash [32]byte) (key APIKey, ok bool, err error) {
	w.do(func() { key, ok = w.keys[hash]; err = w.err })
	return key, ok, err
}

func (w *world) View(_ context.Context, hash [32]byte) (view TenantView, ok bool, err error) {
	w.do(func() { view, ok = w.views[hash]; err = w.err })
	return view, ok, err
}

func (w *world) TouchKeys(_ context.Context, used map[uuid.UUID]time.Time) error {
	w.do(func() { w.touched = used })
	return w.err
}

func (w *world) TenantBySlug(_ context.Context, slug string) (t subdomain.Tenant, err error) {
	w.do(func() {
		var ok bool
		if t, ok = w.slugs[slug]; !ok {
			err = subdomain.ErrNotFound
		}
	})
	return t, err
}

func (w *world) TenantByNumber(context.Context, string) (subdomain.Tenant, error) {
	return subdomain.Tenant{}, subdomain.ErrNotFound
}

func (w *world) CreateTicket(_ context.Context, hash [32]byte, p json.RawMessage, tenant uuid.UUID, path string, expires time.Time) error {
	w.do(func() { w.tickets[hash] = heldTicket{p, tenant, path, expires} })
	return nil
}

func (w *world) TakeTicket(_ context.Context, hash [32]byte) (p json.RawMessage, tenant uuid.UUID, path string, expires time.Time, found bool, err error) {
	w.do(func() {
		t, ok := w.tickets[hash]
		delete(w.tickets, hash)
		p, tenant, path, expires, found = t.principal, t.tenant, t.path, t.expires, ok
	})
	return p, tenant, path, expires, found, w.err
}

// rig is an app behind the edge whose handlers echo the scope they were given.
type rig struct {
	*world
	edge             *Edge
	app              *fiber.App
	signer           *ecdsa.PrivateKey
	log              *bytes.Buffer
	readKey, bothKey string
}

type echo struct {
	Kind, Role, Tenant, TenantStatus, Email, KeyName, Host, RequestID, SQLRole, SQLTenant string
}

func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{log: &bytes.Buffer{}}
	r.world = &world{
		members: map[membership]string{{owner, haiec.ID}: "owner", {viewer, haiec.ID}: "viewer", {stranger, other.ID}: "owner"},
		waiting: map[string]membership{}, admins: map[uuid.UUID]bool{staff: true}, keys: map[[32]byte]APIKey{}, tickets: map[[32]byte]heldTicket{},
		slugs: map[string]subdomain.Tenant{"haiec": haiec, "other-co": other, "old-haiec": haiec},
	}
	r.readKey, r.bothKey = r.key(haiec, "read"), r.key(haiec, "read", "write")
	var err error
	if r.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	jwks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		point, _ := r.signer.PublicKey.Bytes()
		enc := base64.RawURLEncoding.EncodeToString
		_ = json.NewEncoder(w).Encode(fiber.Map{"keys": []fiber.Map{{"kty": "EC", "crv": "P-256", "kid": "k1", "x": enc(point[1:33]), "y": enc(point[33:])}}})
	}))
	t.Cleanup(jwks.Close)
	verifier, err := supabase.NewVerifier(supabase.VerifierConfig{Issuer: testIssuer, Algs: []string{"ES256"}, JWKSURL: jwks.URL})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Hosts: subdomain.Hosts{Base: "kestrel.ai"}, Log: slog.New(slog.NewJSONHandler(&locked{w: r.log}, nil))}
	for _, f := range change {
		f(&cfg)
	}
	r.edge, err = New(cfg, Deps{Tenants: subdomain.NewCache(r.world, subdomain.CacheOptions{}), Tokens: verifier, Directory: r.world, Tickets: r.world,
		Sandbox: func(c *fiber.Ctx) error { return c.SendString("sandbox") }})
	if err != nil {
		t.Fatal(err)
	}
	r.app = fiber.New(r.edge.FiberConfig())
	r.app.Use(r.edge.Handle)
	r.app.All("/api/panic", func(*fiber.Ctx) error { panic("secret state") })
	r.app.All("/api/tenant/boom", func(*fiber.Ctx) error { return errors.New("secret detail") })
	r.app.Post("/api/tenant/write", Guard(RequireScope("write")), func(c *fiber.Ctx) error { return c.SendStatus(204) })
	r.app.Use(func(c *fiber.Ctx) error {
		s := FromContext(c.UserContext())
		sql := s.SQL()
		return c.JSON(echo{s.Principal.Kind.String(), string(s.Principal.Role), s.Tenant.Slug, s.Tenant.Status, s.Principal.Email, s.Principal.KeyName, s.Host.String(), s.RequestID, sql.Role, sql.TenantID.String()})
	})
	return r
}

type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func (r *rig) key(t subdomain.Tenant, scopes ...string) string {
	plain, _, hash := NewKey()
	r.do(func() {
		r.keys[hash] = APIKey{ID: uuid.New(), TenantID: t.ID, TenantSlug: t.Slug, Name: strings.Join(scopes, "+"), Scopes: scopes}
	})
	return plain
}

func (r *rig) claims(sub uuid.UUID, change fiber.Map) jwt.MapClaims {
	now := time.Now().Unix()
	c := jwt.MapClaims{"iss": testIssuer, "aud": "authenticated", "role": "authenticated", "sub": sub.String(), "email": sub.String() + "@x.test", "aal": "aal2", "iat": now, "exp": now + 3600}
	for k, v := range change {
		c[k] = v
	}
	return c
}

func (r *rig) token(t testing.TB, sub uuid.UUID, change fiber.Map) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, r.claims(sub, change))
	token.Header["kid"] = "k1"
	signed, err := token.SignedString(r.signer)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// answer is a response that was read to its end.
type answer struct {
	status  int
	header  http.Header
	body    string
	problem Problem
	echo    echo
}

// ask sends METHOD host/path with headers given as "Name: value".
func (r *rig) ask(t testing.TB, method, url string, headers ...string) answer {
	t.Helper()
	req := httptest.NewRequest(method, "http://"+url, nil)
	req.RequestURI = ""
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	res, err := r.app.Test(req, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(res.Body)
	a := answer{status: res.StatusCode, header: res.Header, body: string(body)}
	if strings.HasPrefix(res.Header.Get("Content-Type"), ProblemType) {
		if err := json.Unmarshal(body, &a.problem); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	} else {
		_ = json.Unmarshal(body, &a.echo)
	}
	return a
}

func bearer(token string) string { return "Authorization: Bearer " + token }
