package api_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/server/api/apitest"
)

type event struct{ id, name, data string }

// events reads a stream until it ends or has given n events; heartbeats are skipped.
func events(t *testing.T, res *http.Response, n int) (got []event) {
	t.Helper()
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	e := event{}
	lines := bufio.NewScanner(res.Body)
	for len(got) < n && lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
			got = append(got, e)
		}
	}
	return got
}

func names(events []event) string {
	var out []string
	for _, e := range events {
		out = append(out, e.name)
	}
	return strings.Join(out, " ")
}

func job(w *apitest.World, tenant uuid.UUID) uuid.UUID {
	return apitest.Value[uuid.UUID](w, `select private.enqueue('number_purchase', $1, $1)`, tenant)
}

func advance(w *apitest.World, job uuid.UUID, state, step, reason string) {
	w.Exec(`select private.job_step($1, $2, $3, nullif($4, ''), 1)`, job, state, step, reason)
}

func TestFollowJob(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c := w.Company("haiec", "+18573825169")
	j := job(w, c.ID)
	path := "/api/jobs/" + j.String() + "/events"
	live := c.Viewer.Open(t.Context(), "GET", path, nil)
	defer func() { _ = live.Body.Close() }()
	if first := events(t, live, 1); names(first) != "queued" {
		t.Fatalf("%+v", first)
	}
	for _, step := range []string{"searching", "buying"} {
		advance(w, j, "running", step, "")
	}
	seen := events(t, live, 2)
	if names(seen) != "searching buying" {
		t.Fatalf("%+v", seen)
	}
	advance(w, j, "running", "configuring", "")
	advance(w, j, "failed", "failed", "The number is gone")
	rest := events(t, live, 100)
	if names(rest) != "configuring failed" || !strings.Contains(rest[1].data, `"reason":"The number is gone"`) && !strings.Contains(rest[1].data, `"reason": "The number is gone"`) {
		t.Errorf("%+v", rest)
	}

	// Somebody else resumes, from anywhere, and from the first event too.
	for from, want := range map[string]string{
		"": "queued searching buying configuring failed", j.String(): "searching buying configuring failed",
		seen[0].id: "buying configuring failed", rest[0].id: "failed", rest[1].id: "failed",
	} {
		res := c.ReadKey.With("Last-Event-ID", from).Open(t.Context(), "GET", path+"/", nil)
		if got := events(t, res, 100); names(got) != want {
			t.Errorf("after %q: %s, want %s", from, names(got), want)
		}
		_ = res.Body.Close()
	}
	run(t, []step{{c.Viewer.With("Last-Event-ID", "nonsense"), "GET", path, nil, 422, "Last-Event-ID"}})
}

func TestStreamEndsWithMembership(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c := w.Company("haiec", "+18573825169")
	path := "/api/jobs/" + job(w, c.ID).String() + "/events"
	person, key := c.Member.Open(t.Context(), "GET", path, nil), c.WriteKey.Open(t.Context(), "GET", path, nil)
	events(t, person, 1)
	events(t, key, 1)
	w.Exec(`delete from tenant_users where user_id = $1`, c.Member.UserID)
	w.Exec(`update tenant_api_keys set revoked_at = now() where id = $1`, c.WriteKeyID)
	for _, res := range []*http.Response{person, key} {
		if got := events(t, res, 100); len(got) != 0 {
			t.Errorf("%+v", got)
		}
		_ = res.Body.Close()
	}
}

func TestStreamLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c := w.Company("haiec", "+18573825169")
	path := "/api/jobs/" + job(w, c.ID).String() + "/events"
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		res := c.Viewer.Open(ctx, "GET", path, nil)
		events(t, res, 1)
		cancel()
		_ = res.Body.Close()
	}
	eventually(t, func() bool { return w.Edge.Streams().Len() == 0 })
}

func TestTickets(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	staff := w.Staff("admin@kestrel.ai")
	c := w.Company("haiec", "+18573825169")
	path := "/api/jobs/" + job(w, c.ID).String() + "/events"
	mint := func(as apitest.Caller, path string) string {
		a := as.Do("POST", "/api/tickets", map[string]string{"path": path})
		if a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		return path + "?ticket=" + apitest.JSON[struct{ Ticket string }](t, a).Ticket
	}
	at := mint(c.Viewer, path)
	res := w.Anonymous("haiec.kestrel.ai").Open(t.Context(), "GET", at, nil)
	if got := events(t, res, 1); names(got) != "queued" {
		t.Errorf("%+v", got)
	}
	_ = res.Body.Close()
	run(t, []step{
		{w.Anonymous("haiec.kestrel.ai"), "GET", at, nil, 401, "invalid_ticket"},
		{w.Anonymous("admin.kestrel.ai"), "GET", mint(staff, "/api/admin/tenants") + "&format=csv", nil, 200, "haiec"},
		{c.Viewer, "POST", "/api/tickets", `{"path":"/calls"}`, 422, `"field":"path"`},
		{c.Viewer, "POST", "/api/tickets", `{"path":"calls"}`, 422, `"field":"path"`},
		{w.Anonymous("haiec.kestrel.ai"), "POST", "/api/tickets", `{"path":"/api/tenant"}`, 401, ""},
	})
}

func TestStreamIsPromptAndBeats(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c := w.Company("haiec", "+18573825169")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	res := c.Viewer.Open(ctx, "GET", "/api/jobs/"+job(w, c.ID).String()+"/events", nil)
	defer func() { _ = res.Body.Close() }()
	beats := 0
	for lines := bufio.NewScanner(res.Body); beats < 3 && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), ":") {
			beats++
		}
	}
	if beats != 3 {
		t.Errorf("%d heartbeats", beats)
	}
}
