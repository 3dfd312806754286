package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kestrel.ai/subdomain"
	"kestrel.ai/supabase"
)

func TestErrorMapping(t *testing.T) {
	t.Parallel()
	secret := "secret internal text"
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
		field  string
	}{
		"unknown":          {errors.New(secret), 500, "internal", ""},
		"wrapped problem":  {fmt.Errorf("%s: %w", secret, errForbidden), 403, "forbidden", ""},
		"no rows":          {fmt.Errorf("%s: %w", secret, pgx.ErrNoRows), 404, "not_found", ""},
		"tenant":           {subdomain.ErrNotFound, 404, "tenant_not_found", ""},
		"token":            {supabase.ErrNotPerson, 401, "invalid_credentials", ""},
		"keys":             {supabase.ErrKeysUnavailable, 503, "unavailable", ""},
		"deadline":         {context.DeadlineExceeded, 503, "unavailable", ""},
		"connect":          {&pgconn.ConnectError{}, 503, "unavailable", ""},
		"fiber 404":        {fiber.NewError(404, secret), 404, "not_found", ""},
		"fiber 413":        {fiber.ErrRequestEntityTooLarge, 413, "request_entity_too_large", ""},
		"fiber 500":        {fiber.NewError(500, secret), 500, "internal", ""},
		"unique":           {&pgconn.PgError{Code: "23505", Message: secret, Detail: secret, TableName: "tenants", ConstraintName: "tenants_owner_email_key"}, 409, "owner_email_taken", "owner_email"},
		"unique, odd name": {&pgconn.PgError{Code: "23505", Message: secret, TableName: "tenants", ConstraintName: "one_primary"}, 409, "taken", ""},
		"check":            {&pgconn.PgError{Code: "23514", Message: secret, TableName: "tenants", ConstraintName: "tenants_owner_phone_e164"}, 422, "owner_phone_invalid", "owner_phone"},
		"not null":         {&pgconn.PgError{Code: "23502", Message: secret, ColumnName: "slug"}, 422, "slug_required", "slug"},
		"foreign key":      {&pgconn.PgError{Code: "23503", Message: secret, TableName: "tenants", ConstraintName: "tenants_plan_tier_fkey"}, 409, "plan_tier_reference", "plan_tier"},
		"exclusion":        {&pgconn.PgError{Code: "23P01", Message: secret}, 409, "conflict", ""},
		"privilege":        {&pgconn.PgError{Code: "42501", Message: secret}, 403, "forbidden", ""},
		"bad uuid":         {&pgconn.PgError{Code: "22P02", Message: secret}, 422, "invalid", ""},
		"statement time":   {&pgconn.PgError{Code: "57014", Message: secret}, 503, "unavailable", ""},
		"deadlock":         {&pgconn.PgError{Code: "40P01", Message: secret}, 503, "unavailable", ""},
		"too many clients": {&pgconn.PgError{Code: "53300", Message: secret}, 503, "unavailable", ""},
		"syntax":           {&pgconn.PgError{Code: "42601", Message: secret}, 500, "internal", ""},
		"raised":           {&pgconn.PgError{Code: "P0001", Message: secret}, 500, "internal", ""},
		"KS409":            {&pgconn.PgError{Code: "KS409", Message: "from pending to cancelled", ConstraintName: "illegal_transition"}, 409, "illegal_transition", ""},
		"KS422":            {&pgconn.PgError{Code: "KS422", Message: "This slug is reserved", ConstraintName: "slug_reserved", ColumnName: "slug"}, 422, "slug_reserved", "slug"},
		"KS404, bare":      {&pgconn.PgError{Code: "KS404", Message: "No such job"}, 404, "not_found", ""},
		"KSxyz":            {&pgconn.PgError{Code: "KSxyz", Message: secret}, 500, "internal", ""},
		"empty SQLSTATE":   {&pgconn.PgError{Message: secret}, 500, "internal", ""},
	} {
		p := FromError(c.err)
		shown, _ := json.Marshal(p)
		field := ""
		if len(p.Errors) > 0 {
			field = p.Errors[0].Field
		}
		if p.Status != c.status || p.Code != c.code || field != c.field || strings.Contains(string(shown), secret) {
			t.Errorf("%s: %s", name, shown)
		}
	}
	if p := FromError(&pgconn.PgError{Code: "KS429", Message: "Slow down"}); p.GetHeaders().Get("Retry-After") == "" || p.Detail != "Slow down" {
		t.Errorf("%+v", p)
	}
}

func TestPanicsAndErrorsShowNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for url, logged := range map[string]string{"api.kestrel.ai/api/panic": "secret state", "haiec.kestrel.ai/api/tenant/boom": "secret detail"} {
		as := bearer(r.token(t, owner, nil))
		if strings.HasPrefix(url, "api.") {
			as = bearer(r.token(t, staff, nil))
		}
		a := r.ask(t, "GET", url, as)
		if a.status != 500 || a.problem.Code != "internal" || a.problem.RequestID == "" || a.problem.RequestID != a.header.Get("X-Request-Id") || strings.Contains(a.body, "secret") {
			t.Errorf("%s: %d %s", url, a.status, a.body)
		}
		if log := r.log.String(); !strings.Contains(log, logged) || !strings.Contains(log, a.problem.RequestID) {
			t.Errorf("%s: the log does not tell why", url)
		}
	}
}

func TestHumaSpeaksProblems(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	app := fiber.New(r.edge.FiberConfig())
	app.Use(r.edge.Handle)
	cfg := huma.DefaultConfig("t", "1")
	cfg.Transformers = append(cfg.Transformers, HumaTransformer)
	api := humafiber.New(app, cfg)
	type input struct {
		Body struct {
			Slug string `json:"slug" minLength:"3"`
			Fail string `json:"fail,omitempty"`
		}
	}
	huma.Register(api, huma.Operation{Method: "POST", Path: "/api/tenant/x", OperationID: "x"}, func(ctx context.Context, in *input) (*struct{ Body echo }, error) {
		switch in.Body.Fail {
		case "pg":
			return nil, &pgconn.PgError{Code: "KS409", Message: "This slug is taken", ConstraintName: "slug_taken", ColumnName: "slug"}
		case "plain":
			return nil, errors.New("secret detail")
		case "unavailable":
			return nil, huma.Error503ServiceUnavailable("Twilio is not configured.")
		case "problem":
			return nil, NewProblem(429, "slow", "Slow down.").RetryAfter(3 * time.Second)
		}
		s := FromContext(ctx)
		return &struct{ Body echo }{echo{Role: string(s.Principal.Role), Tenant: s.Tenant.Slug}}, nil
	})
	post := func(body string) (int, Problem, string, string) {
		req := httptest.NewRequest("POST", "http://haiec.kestrel.ai/api/tenant/x", strings.NewReader(body))
		req.RequestURI = ""
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+r.token(t, owner, nil))
		res, err := app.Test(req, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		text, _ := io.ReadAll(res.Body)
		var p Problem
		_ = json.Unmarshal(text, &p)
		if res.StatusCode >= 400 && (res.Header.Get("Content-Type") != ProblemType || p.RequestID == "" || p.RequestID != res.Header.Get("X-Request-Id")) {
			t.Errorf("%s: %s %s", body, res.Header.Get("Content-Type"), text)
		}
		return res.StatusCode, p, string(text), res.Header.Get("Retry-After")
	}
	if status, _, text, _ := post(`{"slug":"abc"}`); status != 200 || !strings.Contains(text, `"Tenant":"haiec"`) || !strings.Contains(text, `"Role":"owner"`) {
		t.Errorf("scope: %d %s", status, text)
	}
	if status, p, text, _ := post(`{"slug":"ab"}`); status != 422 || p.Code != "invalid" || len(p.Errors) != 1 || p.Errors[0].Field != "slug" || p.Errors[0].Location != "body.slug" || strings.Contains(text, `"ab"`) {
		t.Errorf("validation: %d %s", status, text)
	}
	if status, p, text, _ := post(`{"slug":`); status != 400 || p.Code != "bad_request" {
		t.Errorf("malformed: %d %s", status, text)
	}
	if status, p, text, _ := post(`{"slug":"abc","fail":"pg"}`); status != 409 || p.Code != "slug_taken" || p.Detail != "This slug is taken" || p.Errors[0].Field != "slug" {
		t.Errorf("pg: %d %s", status, text)
	}
	if status, p, text, _ := post(`{"slug":"abc","fail":"plain"}`); status != 500 || p.Code != "internal" || strings.Contains(text, "secret") || !strings.Contains(r.log.String(), "secret detail") {
		t.Errorf("plain: %d %s", status, text)
	}
	if status, p, text, _ := post(`{"slug":"abc","fail":"unavailable"}`); status != 503 || p.Code != "service_unavailable" || p.Detail != "Twilio is not configured." {
		t.Errorf("503: %d %s", status, text)
	}
	if status, p, _, retry := post(`{"slug":"abc","fail":"problem"}`); status != 429 || p.Code != "slow" || retry != "3" {
		t.Errorf("problem: %d %+v %q", status, p, retry)
	}
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) {
		c.Limits = DefaultLimits()
		c.Limits[ClassKey], c.Limits[ClassOnboarding] = PerMinute(3), PerMinute(2)
	})
	last := answer{}
	for range 4 {
		last = r.ask(t, "GET", "haiec.kestrel.ai/api/tenant", bearer(r.readKey))
	}
	if last.status != 429 || last.problem.Code != "rate_limited" || last.header.Get("Retry-After") == "" || !strings.Contains(last.header.Get("RateLimit-Policy"), `"key";q=3;w=60`) || !strings.Contains(last.header.Get("RateLimit"), `"key";r=0;t=`) {
		t.Errorf("%d %v", last.status, last.header)
	}
	if a := r.ask(t, "GET", "haiec.kestrel.ai/api/tenant", bearer(r.bothKey)); a.status != 200 {
		t.Errorf("another key pays for it: %d", a.status)
	}
	for i := range 3 {
		if a := r.ask(t, "GET", "kestrel.ai/api/onboarding"); (a.status == 429) != (i == 2) {
			t.Errorf("onboarding %d: %d", i, a.status)
		}
	}
	if a := r.ask(t, "GET", "haiec.kestrel.ai/"); a.status != 200 || a.header.Get("RateLimit") != "" {
		t.Errorf("a page: %d %q", a.status, a.header.Get("RateLimit"))
	}
}

func TestLimiterRefillsAndIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var limits Limits
		limits[ClassIP] = PerMinute(60)
		l := newLimiter(limits, time.Now)
		busy := bucketKey{ClassIP, ipKey("10.0.0.1")}
		for range 60 {
			if ok, _, _, _ := l.take(busy); !ok {
				t.Fatal("refused within the budget")
			}
		}
		if ok, left, wait, full := l.take(busy); ok || left != 0 || wait != time.Second || full != time.Minute {
			t.Errorf("%v %d %v %v", ok, left, wait, full)
		}
		time.Sleep(time.Second)
		if ok, _, _, _ := l.take(busy); !ok {
			t.Error("nothing flowed back")
		}
		for range 80_000 {
			l.take(bucketKey{ClassIP, uuid.New()})
		}
		n := 0
		for i := range l.shards {
			n += len(l.shards[i].buckets)
		}
		if n > limiterShards*limiterShardLimit {
			t.Errorf("%d buckets", n)
		}
	})
	if ipKey("2001:db8::1") != ipKey("2001:db8::ffff:1") || ipKey("2001:db8::1") == ipKey("2001:db8:0:1::1") || ipKey("::ffff:1.2.3.4") != ipKey("1.2.3.4") || ipKey("1.2.3.4") == ipKey("1.2.3.5") {
		t.Error("addresses are not told apart by subscriber")
	}
}

func TestRequestIDAndHeaders(t *testing.T) {
	t.Parallel()
	plain := newRig(t)
	a := plain.ask(t, "GET", "haiec.kestrel.ai/api/tenant", bearer(plain.token(t, owner, nil)), "X-Request-Id: mine-12345678")
	if _, err := uuid.Parse(a.echo.RequestID); err != nil || a.header.Get("X-Request-Id") != a.echo.RequestID {
		t.Errorf("an outsider chose the id: %q", a.echo.RequestID)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": apiPolicy, "Cache-Control": "no-store", "Strict-Transport-Security": "max-age=63072000; includeSubDomains", "Access-Control-Allow-Origin": ""} {
		if a.header.Get(name) != want {
			t.Errorf("%s: %q", name, a.header.Get(name))
		}
	}
	if a := plain.ask(t, "GET", "haiec.kestrel.ai/"); a.header.Get("Content-Security-Policy") != pagePolicy {
		t.Error("page policy")
	}
	behind := newRig(t, func(c *Config) {
		c.TrustedProxies, c.ClientIPHeader, c.RequestIDHeader = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, "Fly-Client-IP", "Fly-Request-Id"
	})
	for sent, taken := range map[string]bool{"01J-abcdef_.9": true, "short": false, "bad id with spaces": false, "<script>alert(1)</script>": false} {
		if a := behind.ask(t, "GET", "haiec.kestrel.ai/", "Fly-Request-Id: "+sent); (a.header.Get("X-Request-Id") == sent) != taken {
			t.Errorf("%q: %q", sent, a.header.Get("X-Request-Id"))
		}
	}
	behind.ask(t, "GET", "admin.kestrel.ai/api/twilio/number-status/%2B18573825169", "Fly-Client-IP: 203.0.113.9", bearer(behind.token(t, staff, nil)))
	if log := behind.log.String(); !strings.Contains(log, `"ip":"203.0.113.9"`) || strings.Contains(log, "8573825169") || !strings.Contains(log, `"principal":"platform_admin"`) {
		t.Errorf("log: %s", log)
	}
}

func TestRoleTable(t *testing.T) {
	t.Parallel()
	for _, a := range Actions() {
		for i, role := range Roles[1:] {
			if Allowed(Roles[i], a) && !Allowed(role, a) {
				t.Errorf("%s may %s, %s may not", Roles[i], a, role)
			}
		}
		if !Allowed(Owner, a) || Allowed("", a) || Allowed("superuser", a) || KeyAllowed(nil, a) || KeyAllowed([]string{"admin"}, a) {
			t.Errorf("%s", a)
		}
	}
	if Allowed(Owner, "unheard.of") || Allowed(Viewer, WriteWork) || !Allowed(Member, WriteWork) || Allowed(Admin, WriteAdmins) || Role("owner").AtLeast("nonsense") {
		t.Error("role table")
	}
	if !KeyAllowed([]string{"read"}, ReadWork) || KeyAllowed([]string{"read"}, WriteWork) || !KeyAllowed([]string{"write"}, WriteWork) || KeyAllowed([]string{"write"}, WriteAgent) || KeyAllowed([]string{"read", "write"}, WriteKeys) {
		t.Error("key scopes")
	}
}
