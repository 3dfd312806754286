package isolation_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/server/api/apitest"
)

// patience is how long a change may take to be felt before a test fails; the promise is a second, and what it took is logged.
const patience = 5 * time.Second

// loss is a right that ends while its token or key is in everybody's memory.
type loss struct {
	who func(c apitest.Company, staff apitest.Caller) apitest.Caller
	ask string // what tells that the right is gone, "METHOD path"
	// act ends it.
	act  func(t *testing.T, w *apitest.World, c apitest.Company, staff, fired apitest.Caller)
	want string // the answer's code from then on
	// stays is set where reading goes on, and open streams with it.
	stays bool
}

func owner(c apitest.Company, _ apitest.Caller) apitest.Caller    { return c.Owner }
func member(c apitest.Company, _ apitest.Caller) apitest.Caller   { return c.Member }
func writeKey(c apitest.Company, _ apitest.Caller) apitest.Caller { return c.WriteKey }

// hired is a platform admin of its own, who is lost without loss to others.
func hired(_ apitest.Company, staff apitest.Caller) apitest.Caller { return staff }

// viewing is the admin's view as the company, to write.
func viewing(c apitest.Company, admin apitest.Caller) apitest.Caller {
	view, _ := c.View(admin, true)
	view.UserID = admin.UserID
	return view
}

func must(t *testing.T, a apitest.Answer) {
	t.Helper()
	if a.Status >= 300 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
}

var losses = map[string]loss{
	"a member removed by the API": {member, "GET /api/tenant", func(t *testing.T, w *apitest.World, c apitest.Company, _, fired apitest.Caller) {
		id := apitest.Value[uuid.UUID](w, `select id from tenant_users where user_id = $1`, fired.UserID)
		must(t, c.Owner.Do("DELETE", "/api/tenant/members/"+id.String(), nil))
	}, "not_a_member", false},
	"a member removed in Studio": {member, "GET /api/tenant", func(_ *testing.T, w *apitest.World, _ apitest.Company, _, fired apitest.Caller) {
		w.Exec(`delete from tenant_users where user_id = $1`, fired.UserID)
	}, "not_a_member", false},
	"a member given to somebody else in Studio": {member, "GET /api/tenant", func(_ *testing.T, w *apitest.World, _ apitest.Company, _, fired apitest.Caller) {
		w.Exec(`update tenant_users set user_id = gen_random_uuid() where user_id = $1`, fired.UserID)
	}, "not_a_member", false},
	"an admin made viewer": {func(c apitest.Company, _ apitest.Caller) apitest.Caller { return c.Admin }, "PATCH /api/tenant", func(t *testing.T, w *apitest.World, c apitest.Company, _, fired apitest.Caller) {
		id := apitest.Value[uuid.UUID](w, `select id from tenant_users where user_id = $1`, fired.UserID)
		must(t, c.Owner.Do("PATCH", "/api/tenant/members/"+id.String(), body("role", "viewer")))
	}, "forbidden", false},
	"a key revoked by the API": {writeKey, "GET /api/tenant", func(t *testing.T, _ *apitest.World, c apitest.Company, _, _ apitest.Caller) {
		must(t, c.Owner.Do("DELETE", "/api/tenant/api-keys/"+c.WriteKeyID.String(), nil))
	}, "invalid_credentials", false},
	"a key revoked in Studio": {writeKey, "GET /api/tenant", func(_ *testing.T, w *apitest.World, c apitest.Company, _, _ apitest.Caller) {
		w.Exec(`update tenant_api_keys set revoked_at = now() where id = $1`, c.WriteKeyID)
	}, "invalid_credentials", false},
	"a key deleted in Studio": {writeKey, "GET /api/tenant", func(_ *testing.T, w *apitest.World, c apitest.Company, _, _ apitest.Caller) {
		w.Exec(`delete from tenant_api_keys where id = $1`, c.WriteKeyID)
	}, "invalid_credentials", false},
	"a key whose scope is cut": {writeKey, "PATCH /api/tenant", func(_ *testing.T, w *apitest.World, c apitest.Company, _, _ apitest.Caller) {
		w.Exec(`update tenant_api_keys set scopes = '{read}' where id = $1`, c.WriteKeyID)
	}, "insufficient_scope", true},
	"a key whose expiry is set to now": {writeKey, "GET /api/tenant", func(_ *testing.T, w *apitest.World, c apitest.Company, _, _ apitest.Caller) {
		w.Exec(`update tenant_api_keys set expires_at = now() where id = $1`, c.WriteKeyID)
	}, "invalid_credentials", false},
	"a platform admin revoked by the API": {hired, "GET /api/admin/plans", func(t *testing.T, w *apitest.World, _ apitest.Company, staff, fired apitest.Caller) {
		id := apitest.Value[uuid.UUID](w, `select id from platform_admins where user_id = $1`, fired.UserID)
		must(t, staff.Do("DELETE", "/api/admin/admins/"+id.String(), nil))
	}, "not_a_platform_admin", false},
	"a platform admin revoked in Studio": {hired, "GET /api/admin/plans", func(_ *testing.T, w *apitest.World, _ apitest.Company, _, fired apitest.Caller) {
		w.Exec(`delete from platform_admins where user_id = $1`, fired.UserID)
	}, "not_a_platform_admin", false},
	"a view whose admin is revoked by the API": {viewing, "GET /api/tenant", func(t *testing.T, w *apitest.World, _ apitest.Company, staff, fired apitest.Caller) {
		id := apitest.Value[uuid.UUID](w, `select id from platform_admins where user_id = $1`, fired.UserID)
		must(t, staff.Do("DELETE", "/api/admin/admins/"+id.String(), nil))
	}, "invalid_credentials", false},
	"a view whose admin is revoked in Studio": {viewing, "GET /api/tenant", func(_ *testing.T, w *apitest.World, _ apitest.Company, _, fired apitest.Caller) {
		w.Exec(`delete from platform_admins where user_id = $1`, fired.UserID)
	}, "invalid_credentials", false},
	"a view ended by the API": {viewing, "GET /api/tenant", func(t *testing.T, w *apitest.World, c apitest.Company, staff, _ apitest.Caller) {
		id := apitest.Value[uuid.UUID](w, `select id from tenant_views where tenant_id = $1`, c.ID)
		must(t, staff.Do("DELETE", "/api/admin/tenants/"+c.ID.String()+"/view-as/"+id.String(), nil))
	}, "invalid_credentials", false},
	"a view ended in Studio": {viewing, "GET /api/tenant", func(_ *testing.T, w *apitest.World, c apitest.Company, _, _ apitest.Caller) {
		w.Exec(`update tenant_views set ended_at = now() where tenant_id = $1`, c.ID)
	}, "invalid_credentials", false},
	"a view made read-only in Studio": {viewing, "PATCH /api/tenant", func(_ *testing.T, w *apitest.World, c apitest.Company, _, _ apitest.Caller) {
		w.Exec(`update tenant_views set can_write = false where tenant_id = $1`, c.ID)
	}, "view_only", true},
	"a view whose tenant is deleted": {viewing, "GET /api/tenant", func(_ *testing.T, w *apitest.World, c apitest.Company, _, _ apitest.Caller) {
		w.Exec(`delete from tenants where id = $1`, c.ID)
	}, "unknown_host", false},
	"an owner whose tenant is deleted by the API": {owner, "GET /api/tenant", func(t *testing.T, _ *apitest.World, c apitest.Company, staff, _ apitest.Caller) {
		must(t, staff.Do("DELETE", "/api/admin/tenants/"+c.ID.String(), nil))
	}, "unknown_host", false},
	"an owner whose tenant is deleted in Studio": {owner, "GET /api/tenant", func(_ *testing.T, w *apitest.World, c apitest.Company, _, _ apitest.Caller) {
		w.Exec(`delete from tenants where id = $1`, c.ID)
	}, "unknown_host", false},
	"a key at api. whose tenant is deleted": {func(c apitest.Company, _ apitest.Caller) apitest.Caller { return c.WriteKey.At("api" + base) }, "GET /api/tenant", func(_ *testing.T, w *apitest.World, c apitest.Company, _, _ apitest.Caller) {
		w.Exec(`delete from tenants where id = $1`, c.ID)
	}, "invalid_credentials", false},
	"an owner whose tenant is suspended by the API": {owner, "PATCH /api/tenant", func(t *testing.T, _ *apitest.World, c apitest.Company, staff, _ apitest.Caller) {
		must(t, staff.Do("POST", "/api/admin/tenants/"+c.ID.String()+"/suspend", nil))
	}, "tenant_suspended", true},
	"a key whose tenant is suspended in Studio": {writeKey, "PATCH /api/tenant", func(_ *testing.T, w *apitest.World, c apitest.Company, _, _ apitest.Caller) {
		w.Exec(`update tenants set subscription_status = 'suspended' where id = $1`, c.ID)
	}, "tenant_suspended", true},
	"an owner whose tenant is renamed": {owner, "GET /api/tenant", func(t *testing.T, _ *apitest.World, c apitest.Company, staff, _ apitest.Caller) {
		must(t, staff.Do("PATCH", "/api/admin/tenants/"+c.ID.String(), body("slug", c.Slug+"-new")))
	}, "slug_retired", true},
}

// TestRightsEndAtOnce: what takes a right away is felt by the next request on a token that is remembered, and by the
// streams that are open, however it was done.
func TestRightsEndAtOnce(t *testing.T) {
	t.Parallel()
	w := apitest.New(t, inProduction)
	staff := w.Staff("staff@kestrel.ai")
	n := 0
	for name, l := range losses {
		n++
		c := w.Company(fmt.Sprintf("tenant-%02d", n), fmt.Sprintf("+161755511%02d", n))
		fired := l.who(c, w.Staff(fmt.Sprintf("staff%d@kestrel.ai", n)))
		running := apitest.Value[uuid.UUID](w, `select private.enqueue('fallback_publish', $1, $1)`, c.ID)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			method, path, _ := strings.Cut(l.ask, " ")
			var sent any
			if method == "PATCH" {
				sent = body("industry", "plumbing")
			}
			for range 2 { // the second is answered from memory
				if a := fired.Do(method, path, sent); a.Status != 200 {
					t.Fatalf("before: %d %s", a.Status, a.Body)
				}
			}
			stream := open(t, fired, running)
			l.act(t, w, c, staff, fired)
			begun := time.Now()
			var a apitest.Answer
			for a.Problem().Code != l.want {
				if a = fired.Do(method, path, sent); time.Since(begun) > patience {
					t.Fatalf("after %v: %d %s, want %s", patience, a.Status, a.Body, l.want)
				}
			}
			felt := time.Since(begun)
			if l.stays {
				w.Exec(`select private.job_step($1, 'running', 'working', null, 1)`, running)
				if line := stream.next(t, "event: "); !strings.Contains(line, "working") {
					t.Errorf("the stream ended, or says %q", line)
				}
				t.Logf("felt after %v", felt.Round(time.Millisecond))
				return
			}
			stream.ends(t)
			t.Logf("felt after %v, stream cut after %v", felt.Round(time.Millisecond), time.Since(begun).Round(time.Millisecond))
			if res := fired.Open(t.Context(), "GET", "/api/jobs/"+running.String()+"/events", nil); l.ask[:3] == "GET" && res.StatusCode < 400 {
				t.Errorf("a new stream opens: %d", res.StatusCode)
				_ = res.Body.Close()
			}
		})
	}
}

type stream struct {
	res   *http.Response
	lines *bufio.Reader
}

// open follows the job as the caller, and reads the stream's first event.
func open(t *testing.T, as apitest.Caller, job uuid.UUID) stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	res := as.Open(ctx, "GET", "/api/jobs/"+job.String()+"/events", nil)
	t.Cleanup(func() { _ = res.Body.Close() })
	s := stream{res, bufio.NewReader(res.Body)}
	if line := s.next(t, "event: "); res.StatusCode != 200 || line != "event: queued" {
		t.Fatalf("%d %q", res.StatusCode, line)
	}
	return s
}

// next is the next line that begins so, "" at the stream's end.
func (s stream) next(t *testing.T, prefix string) string {
	t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line)
		}
		if err == io.EOF {
			return ""
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (s stream) ends(t *testing.T) {
	t.Helper()
	begun := time.Now()
	if line := s.next(t, "event: "); line != "" || time.Since(begun) > 2*patience {
		t.Errorf("the stream goes on after %v: %q", time.Since(begun), line)
	}
}

// TestExpiry: a token or key that runs out closes the streams it opened, and a key opens nothing from then on.
func TestExpiry(t *testing.T) {
	t.Parallel()
	w := apitest.New(t, inProduction)
	c := w.Company("haiec", "+18573825169")
	running := apitest.Value[uuid.UUID](w, `select private.enqueue('fallback_publish', $1, $1)`, c.ID)
	claims := apitest.Claims(c.Viewer.UserID, "viewer@haiec.test")
	claims["exp"] = time.Now().Add(5 * time.Second).Unix()
	token := c.Viewer.With("Authorization", "Bearer "+w.Sign(apitest.TokenHeader, claims))
	key, id := w.Key(c.ID, "haiec"+base, "read")
	w.Exec(`update tenant_api_keys set expires_at = now() + interval '4 seconds' where id = $1`, id)
	byToken, byKey := open(t, token, running), open(t, key, running)
	byToken.ends(t)
	byKey.ends(t)
	if a := key.Do("GET", "/api/tenant", nil); a.Status != 401 || a.Problem().Code != "invalid_credentials" {
		t.Errorf("an expired key: %d %s", a.Status, a.Body)
	}
	if a := c.Viewer.Do("GET", "/api/tenant", nil); a.Status != 200 {
		t.Errorf("the person's next token: %d %s", a.Status, a.Body)
	}
}

// TestSlugsMoveAtOnce: a rename is felt in routing, a slug that was unknown included.
func TestSlugsMoveAtOnce(t *testing.T) {
	t.Parallel()
	w := apitest.New(t, inProduction)
	c := w.Company("before", "+18573825169")
	renamed := c.Owner.At("after" + base)
	for _, known := range []struct {
		as   apitest.Caller
		want int
	}{{c.Owner, 200}, {renamed, 404}} {
		if a := known.as.Do("GET", "/api/tenant", nil); a.Status != known.want {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	w.Exec(`update tenants set slug = 'after' where id = $1`, c.ID)
	begun := time.Now()
	for a := (apitest.Answer{}); a.Status != 200; {
		if a = renamed.Do("GET", "/api/tenant", nil); time.Since(begun) > patience {
			t.Fatalf("the new slug: %d %s", a.Status, a.Body)
		}
	}
	t.Logf("the new slug works after %v", time.Since(begun).Round(time.Millisecond))
	if a := c.Owner.Do("GET", "/api/tenant", nil); a.Problem().Code != "slug_retired" {
		t.Errorf("the old slug: %d %s", a.Status, a.Body)
	}
	// A key follows its tenant to api., though it was remembered with the old slug.
	if a := c.ReadKey.At("api"+base).Do("GET", "/api/tenant", nil); a.Status != 200 {
		t.Errorf("a key after the rename: %d %s", a.Status, a.Body)
	}
}
