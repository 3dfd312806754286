//go:build !production

package main

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// browser is somebody's browser at the admin host, below /jobs.
type browser struct {
	t      *testing.T
	addr   string
	host   string
	cookie string
}

func (b browser) do(method, path, body string, headers ...string) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, "http://"+b.addr+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Host = b.host
	if b.cookie != "" {
		req.Header.Set("Cookie", b.cookie)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(read)
}

// signsIn opens a session with the token; it returns the status.
func (b *browser) signsIn(token string) int {
	b.t.Helper()
	resp, _ := b.do(http.MethodPost, "/jobs/session", "", "Authorization", "Bearer "+token)
	for _, c := range resp.Cookies() {
		b.cookie = c.Name + "=" + c.Value
	}
	return resp.StatusCode
}

var (
	reference    = regexp.MustCompile(`(?:src|href)="([^"]+)"`)
	inlineScript = regexp.MustCompile(`<script(?: type="module")?>`)
)

// showsRiverUI loads River's page as a browser would: all that it names comes from here, and our policy lets it run.
func (b browser) showsRiverUI() {
	b.t.Helper()
	resp, page := b.do(http.MethodGet, "/jobs/", "")
	if resp.StatusCode != http.StatusOK || !strings.Contains(page, `<div id="root"`) {
		b.t.Fatalf("/jobs/: %d %.300s", resp.StatusCode, page)
	}
	if policy := resp.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self';") || inlineScript.MatchString(page) {
		b.t.Errorf("policy %q for %s", policy, page)
	}
	scripts := 0
	for _, m := range reference.FindAllStringSubmatch(page, -1) {
		asset, body := b.do(http.MethodGet, m[1], "")
		kind, _, _ := mime.ParseMediaType(asset.Header.Get("Content-Type"))
		if !strings.HasPrefix(m[1], "/jobs/") || asset.StatusCode != http.StatusOK || len(body) == 0 {
			b.t.Errorf("%s: %d", m[1], asset.StatusCode)
		}
		switch {
		case strings.HasSuffix(m[1], ".js") && kind == "text/javascript":
			scripts++
		case strings.HasSuffix(m[1], ".css") && kind == "text/css", strings.HasPrefix(kind, "image/"):
		default:
			b.t.Errorf("%s is %q, which nosniff keeps from being used", m[1], kind)
		}
	}
	if scripts == 0 {
		b.t.Errorf("no script: %s", page)
	}
}

// TestDeadLetters follows a job that failed, in production: from the API's list to River's pages, retried in each, and
// again when River has forgotten it.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	if out, err := d.command("migrate").CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	ctx, staff := context.Background(), uuid.New()
	if _, err := d.db.Admin.Exec(ctx, "insert into platform_admins (email, user_id) values ('staff@kestrel.ai', $1)", staff); err != nil {
		t.Fatal(err)
	}
	if _, err := d.db.Admin.Exec(ctx, "insert into tenants (slug, company_name, owner_email, twilio_phone_number) values ('haiec', 'HAIEC', 'a@haiec.com', '+18573825169')"); err != nil {
		t.Fatal(err)
	}
	d.start("serve")
	d.start("work")
	d.until("serve's readiness", func() bool {
		resp, err := http.Get("http://" + d.addr + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	admin := caller{addr: d.addr, host: "admin.kestrel.ai", token: d.token(staff, "aal2")}
	type record struct {
		ID, State, Reason, Subject string
		TenantSlug                 string `json:"tenant_slug"`
		RiverURL                   string `json:"river_url"`
	}
	dead := func() (found []record) {
		t.Helper()
		var list struct{ Items []record }
		if err := admin.do(ctx, http.MethodGet, "/api/admin/jobs?state=failed&kind=number_verify", nil, &list); err != nil {
			t.Fatal(err)
		}
		return list.Items
	}
	d.until("the dead letter", func() bool { return len(dead()) == 1 })
	letter := dead()[0]
	path, ours := strings.CutPrefix(letter.RiverURL, "https://admin.kestrel.ai")
	if letter.TenantSlug != "haiec" || letter.Subject != "+18573825169" || !strings.Contains(letter.Reason, "TWILIO_ACCOUNT_SID") || !ours {
		t.Errorf("the dead letter: %+v", letter)
	}

	b := browser{t: t, addr: d.addr, host: "admin.kestrel.ai"}
	if resp, _ := b.do(http.MethodGet, "/jobs/", ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("nobody at /jobs/: %d", resp.StatusCode)
	}
	for name, token := range map[string]string{"without a second factor": d.token(staff, "aal1"), "somebody else": d.token(uuid.New(), "aal2")} {
		if status := b.signsIn(token); status != http.StatusForbidden || b.cookie != "" {
			t.Errorf("%s: %d %q", name, status, b.cookie)
		}
	}
	if status := b.signsIn(admin.token); status != http.StatusNoContent {
		t.Fatalf("staff: %d", status)
	}
	b.showsRiverUI()
	if resp, page := b.do(http.MethodGet, path, ""); resp.StatusCode != http.StatusOK || !strings.Contains(page, `<div id="root"`) {
		t.Errorf("%s: %d", path, resp.StatusCode)
	}
	_, number, _ := strings.Cut(path, "/jobs/jobs/")
	d.until("River's own end of the job", func() bool {
		resp, body := b.do(http.MethodGet, "/jobs/api/jobs?state=cancelled&limit=20", "")
		if resp.StatusCode != http.StatusOK || strings.Contains(body, "haiec.com") {
			t.Errorf("River's list: %d %s", resp.StatusCode, body)
		}
		return strings.Contains(body, `"number_verify"`)
	})
	retries := func() (n int) {
		if err := d.db.Admin.QueryRow(ctx, `select count(*) from activity_log where action = 'job.retried' and record_id = $1`, letter.ID).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	// Tenants' hosts are the same site: a post from there carries the cookie.
	retry := fmt.Sprintf(`{"ids":[%q]}`, number)
	if resp, body := b.do(http.MethodPost, "/jobs/api/jobs/retry", retry, "Sec-Fetch-Site", "same-site"); resp.StatusCode != http.StatusForbidden || retries() != 0 {
		t.Errorf("from a tenant's page: %d %s", resp.StatusCode, body)
	}
	if resp, body := b.do(http.MethodPost, "/jobs/api/jobs/retry", retry, "Sec-Fetch-Site", "same-origin"); resp.StatusCode != http.StatusOK {
		t.Errorf("retry in River UI: %d %s", resp.StatusCode, body)
	}
	if retries() != 1 {
		t.Error("a retry in River UI is not in our record")
	}
	var actor, label, request string
	if err := d.db.Admin.QueryRow(ctx, `select actor, actor_label, request_id from activity_log where action = 'job.retried' and record_id = $1`, letter.ID).Scan(&actor, &label, &request); err != nil {
		t.Fatal(err)
	}
	if actor != "admin:"+staff.String() || label == "" || request == "" {
		t.Errorf("retried in River UI by %q, %q, request %q", actor, label, request)
	}
	d.until("the failure after River UI's retry", func() bool { return len(dead()) == 1 })
	var later int64
	if err := d.db.Admin.QueryRow(ctx, `with r as (insert into river.river_job (kind, args, state, max_attempts, scheduled_at)
		values ('number_verify', '{}', 'scheduled', 25, now() + interval '1 day') returning id)
		insert into jobs (tenant_id, kind, river_job_id) select t.id, 'number_verify', r.id from r, tenants t returning river_job_id`).Scan(&later); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"cancel", "delete"} {
		if resp, body := b.do(http.MethodPost, "/jobs/api/jobs/"+verb, fmt.Sprintf(`{"ids":["%d"]}`, later), "Sec-Fetch-Site", "same-origin"); resp.StatusCode != http.StatusOK {
			t.Errorf("%s in River UI: %d %s", verb, resp.StatusCode, body)
		}
	}
	var acts []string
	if err := d.db.Admin.QueryRow(ctx, `select array_agg(a.action order by a.id) from activity_log a join jobs j on j.id = a.record_id and j.tenant_id = a.tenant_id
		where j.river_job_id = $1 and a.actor = $2 and a.request_id <> ''`, later, "admin:"+staff.String()).Scan(&acts); err != nil || strings.Join(acts, " ") != "job.cancelled job.deleted" {
		t.Errorf("in the tenant's log: %v %v", acts, err)
	}

	// Seven days on, River has forgotten it.
	if _, err := d.db.Admin.Exec(ctx, `delete from river.river_job where id = $1`, number); err != nil {
		t.Fatal(err)
	}
	if forgotten := dead(); len(forgotten) != 1 || forgotten[0].ID != letter.ID || forgotten[0].Reason == "" || forgotten[0].TenantSlug != "haiec" {
		t.Errorf("after River forgot it: %+v", forgotten)
	}
	if err := admin.do(ctx, http.MethodPost, "/api/admin/jobs/"+letter.ID+"/retry", map[string]any{}, nil); err != nil || retries() != 2 {
		t.Errorf("retry by the API: %v", err)
	}
	d.until("the failure after the API's retry", func() bool { return len(dead()) == 1 })
	if again := dead()[0]; again.ID != letter.ID || again.RiverURL == letter.RiverURL {
		t.Errorf("retried by the API: %+v", again)
	}

	// The cookie is worth what its admin is.
	if _, err := d.db.Admin.Exec(ctx, `insert into platform_admins (email) values ('second@kestrel.ai')`); err != nil {
		t.Fatal(err)
	}
	if _, err := d.db.Admin.Exec(ctx, `delete from platform_admins where user_id = $1`, staff); err != nil {
		t.Fatal(err)
	}
	d.until("the end of the session", func() bool {
		resp, _ := b.do(http.MethodGet, "/jobs/api/jobs", "")
		return resp.StatusCode == http.StatusForbidden
	})
	for _, host := range []string{"haiec.kestrel.ai", "kestrel.ai", "api.kestrel.ai"} {
		b.host = host
		if _, page := b.do(http.MethodGet, "/jobs/api/jobs", ""); strings.Contains(page, "number_verify") {
			t.Errorf("%s shows River's jobs: %.200s", host, page)
		}
	}
}
