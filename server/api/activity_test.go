package api_test

import (
	"encoding/csv"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

type activityList struct {
	Items []api.Activity
	Next  *string
}

func TestActivityFilters(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other-co", "+18575550100")
	staff := w.Staff("admin@kestrel.ai")
	w.Exec(`delete from activity_log`)
	w.Exec(`insert into activity_log (id, tenant_id, actor, actor_label, action, table_name, record_id, changes, request_id, created_at)
		select private.uuid_v7(), $1, case i % 3 when 0 then 'person:p1' when 1 then 'key:k1' else 'job:email_send' end, case i % 3 when 0 then 'Pat@haiec.test' else 'machine' end,
			case i % 2 when 0 then 'contact.updated' else 'contact.created' end, 'contacts', $2, jsonb_build_object('name', jsonb_build_array('a', 'Caller ' || i)), 'req-' || i, now()
		from generate_series(1, 12) i`, c.ID, c.NumberID)
	w.Exec(`insert into activity_log (tenant_id, actor, action, table_name) values ($1, 'person:p2', 'tenant.updated', 'tenants')`, other.ID)
	w.Exec(`insert into activity_log (actor, action, table_name) values ('login:postgres', 'plan.updated', 'plans')`)
	stamp := func(d time.Duration) string { return url.QueryEscape(time.Now().Add(d).Format(time.RFC3339)) }
	for _, l := range []struct {
		as    apitest.Caller
		query string
		want  int
	}{
		{c.Viewer, "", 12}, {other.Viewer, "", 1}, {staff, "", 14},
		{c.Viewer, "actor=person", 4}, {c.Viewer, "actor=person:p1", 4}, {c.Viewer, "actor=pers", 0}, {c.Viewer, "actor=job:email_send", 4},
		{c.Viewer, "action=contact", 12}, {c.Viewer, "action=contact.updated", 6}, {c.Viewer, "table=contacts&action=contact.created&actor=key", 2},
		{c.Viewer, "table=tenants", 0}, {c.Viewer, "record=" + c.NumberID.String(), 12}, {c.Viewer, "record=" + c.ID.String(), 0},
		{c.Viewer, "q=caller+12", 1}, {c.Viewer, "q=PAT@", 4}, {c.Viewer, "q=req-7", 1}, {c.Viewer, "q=%25", 0},
		{c.Viewer, "from=" + stamp(-time.Hour), 12}, {c.Viewer, "from=" + stamp(time.Hour), 0}, {c.Viewer, "to=" + stamp(time.Hour), 12}, {c.Viewer, "to=" + stamp(-time.Hour), 0},
		{staff, "actor=login", 1}, {staff, "table=tenants", 1},
	} {
		path := "/api/tenant/activity"
		if l.as.UserID == staff.UserID {
			path = "/api/admin/activity"
		}
		if got := apitest.JSON[activityList](t, l.as.Do("GET", path+"?"+l.query, nil)); len(got.Items) != l.want {
			t.Errorf("%s %s: %d, want %d", l.as.Name, l.query, len(got.Items), l.want)
		}
	}
	// Pages of five, while one more is added: each row once.
	seen, cursor := map[string]int{}, ""
	for range 4 {
		page := apitest.JSON[activityList](t, staff.Do("GET", "/api/admin/tenants/"+c.ID.String()+"/activity?limit=5&q=caller"+cursor, nil))
		for _, r := range page.Items {
			seen[r.ID.String()]++
		}
		w.Exec(`insert into activity_log (tenant_id, actor, action, table_name, changes) values ($1, 'x', 'x', 'x', '{"name": "caller"}')`, c.ID)
		if page.Next == nil {
			break
		}
		cursor = "&cursor=" + *page.Next
	}
	if len(seen) != 12 {
		t.Errorf("%d rows on pages: %v", len(seen), seen)
	}
	run(t, []step{
		{c.Viewer, "GET", "/api/tenant/activity?actr=x", nil, 422, `"unknown_parameter"`},
		{c.Viewer, "GET", "/api/tenant/activity?record=x", nil, 422, ""},
		{c.Viewer, "GET", "/api/tenant/activity?from=yesterday", nil, 422, ""},
		{staff, "GET", "/api/admin/tenants/019d2f4e-6c1a-7c3e-9b0a-2f6d1c4e8a51/activity", nil, 404, `"tenant_not_found"`},
	})
}

func TestActivityCSV(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other-co", "+18575550100")
	w.Exec(`delete from activity_log`)
	w.Exec(`insert into activity_log (tenant_id, actor, actor_label, action, table_name, changes)
		select $1, 'person:p', '=cmd|'' /C calc''!A0', 'contact.updated', 'contacts', jsonb_build_object('name', jsonb_build_array('a,"b', i)) from generate_series(1, 1201) i`, c.ID)
	w.Exec(`insert into activity_log (tenant_id, actor, action, table_name) values ($1, 'person:x', 'foreign.secret', 'x')`, other.ID)
	a := c.Viewer.With("Accept", "text/csv").Do("GET", "/api/tenant/activity?table=contacts", nil)
	rows, err := csv.NewReader(strings.NewReader(a.Body)).ReadAll()
	if err != nil || a.Status != 200 || len(rows) != 1202 || !strings.Contains(a.Header.Get("Content-Disposition"), `filename="activity-`) {
		t.Fatalf("%d rows, %v, %d %v", len(rows), err, a.Status, a.Header)
	}
	for i, row := range rows[1:] {
		if want := fmt.Sprintf(`{"name": ["a,\"b", %d]}`, 1201-i); row[8] != want || row[4] != `'=cmd|' /C calc'!A0` {
			t.Fatalf("row %d: %q, want %s", i, row, want)
		}
	}
	if a := c.Viewer.Do("GET", "/api/tenant/activity?format=csv&q=1200", nil); strings.Count(a.Body, "\n") != 2 {
		t.Errorf("filtered: %s", a.Body)
	}
}
