package api_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
	"kestrel.ai/server/edge"
)

func TestViewAs(t *testing.T) {
	t.Parallel()
	w := apitest.New(t, func(_ *api.Deps, c *edge.Config) { c.Dev = false })
	c, other := w.Company("haiec", "+18573825169"), w.Company("other-co", "+18575550100")
	staff := w.Staff("admin@kestrel.ai")
	claims := apitest.Claims(staff.UserID, "admin@kestrel.ai")
	claims["aal"] = "aal1"
	weak := staff.With("Authorization", "Bearer "+w.Sign(apitest.TokenHeader, claims))
	path := "/api/admin/tenants/" + c.ID.String() + "/view-as"
	const why = `{"reason":"Tuesday's calls are missing"}`
	run(t, []step{
		{staff, "POST", path, `{"reason":"  because "}`, 422, `"field":"reason"`},
		{staff, "POST", path, `{}`, 422, `"field":"reason"`},
		{weak, "POST", path, why, 403, `"mfa_required"`},
		{c.Owner.At("api.kestrel.ai"), "POST", path, why, 403, `"not_a_platform_admin"`},
		{staff, "POST", "/api/admin/tenants/" + uuid.NewString() + "/view-as", why, 404, `"tenant_not_found"`},
	})
	start := func(body string) (api.StartedView, apitest.Caller) {
		t.Helper()
		a := staff.Do("POST", path, body)
		v := apitest.JSON[api.StartedView](t, a)
		if a.Status != 201 || !strings.HasPrefix(v.Token, "kst_view_") || v.URL != "https://haiec.kestrel.ai" || a.Header.Get("Location") != path+"/"+v.ID.String() {
			t.Fatalf("%d %s %v", a.Status, a.Body, a.Header)
		}
		return v, w.Anonymous("haiec.kestrel.ai").With("Authorization", "Bearer "+v.Token)
	}
	v, view := start(why)
	me := apitest.JSON[api.Me](t, view.Do("GET", "/api/tenant/me", nil))
	if me.Kind != "view" || me.ViewAs == nil || me.ViewAs.Admin != "admin@kestrel.ai" || me.ViewAs.Reason != "Tuesday's calls are missing" || !me.ViewAs.ReadOnly ||
		!me.ViewAs.ExpiresAt.Equal(v.ExpiresAt) || strings.Contains(strings.Join(me.Actions, " "), ".write") || me.UserID != nil {
		t.Errorf("%+v %+v", me, me.ViewAs)
	}
	_, writer := start(`{"reason":"They asked us to rename them","write":true}`)
	const rename = `{"company_name":"HAIEC Heating"}`
	run(t, []step{
		{view, "GET", "/api/tenant/calls", nil, 200, `"items"`},
		{view.At("api.kestrel.ai"), "GET", "/api/tenant", nil, 200, `"slug":"haiec"`},
		{view.At("api.kestrel.ai").With("X-Kestrel-Tenant", "other-co"), "GET", "/api/tenant", nil, 403, `"wrong_tenant"`},
		{view.At("other-co.kestrel.ai"), "GET", "/api/tenant", nil, 403, `"wrong_tenant"`},
		{view, "PATCH", "/api/tenant", rename, 403, `"view_only"`},
		{writer, "PATCH", "/api/tenant", rename, 200, `HAIEC Heating`},
		{writer, "POST", "/api/tenant/members", `{"email":"me@kestrel.ai","role":"viewer"}`, 403, `"view_only"`},
		{writer, "POST", "/api/tenant/api-keys", `{"name":"Mine"}`, 403, `"view_only"`},
		// It leads to no other view, and to nothing of the platform's.
		{writer.At("api.kestrel.ai"), "POST", path, why, 403, `"not_a_platform_admin"`},
		{writer.At("admin.kestrel.ai"), "POST", path, why, 403, `"not_a_platform_admin"`},
		{writer.At("api.kestrel.ai"), "GET", "/api/admin/tenants", nil, 403, `"not_a_platform_admin"`},
		{writer.At("admin.kestrel.ai"), "GET", "/jobs/", nil, 403, `"not_a_platform_admin"`},
		{writer.At("admin.kestrel.ai"), "POST", "/jobs/session", nil, 403, `"not_a_platform_admin"`},
		{w.Anonymous("haiec.kestrel.ai").With("Authorization", "Bearer "+v.Token+"0"), "GET", "/api/tenant", nil, 401, `"invalid_credentials"`},
		{w.Anonymous("haiec.kestrel.ai").With("X-Api-Key", v.Token), "GET", "/api/tenant", nil, 401, `"invalid_credentials"`},
	})
	// A ticket that a view minted is the view's.
	a := view.Do("POST", "/api/tickets", `{"path":"/api/tenant/me"}`)
	_, ticket, _ := strings.Cut(a.Body, `"ticket":"`)
	ticket, _, _ = strings.Cut(ticket, `"`)
	if a := w.Anonymous("haiec.kestrel.ai").Do("GET", "/api/tenant/me?ticket="+ticket, nil); a.Status != 200 || !strings.Contains(a.Body, `"view_as"`) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	run(t, []step{
		{staff, "GET", path, nil, 200, `"reason":"They asked us to rename them"`},
		{c.Viewer, "GET", "/api/tenant/activity?action=view.started&actor=admin", nil, 200, `Tuesday's calls are missing`},
		{c.Viewer, "GET", "/api/tenant/activity?q=viewing+as+haiec&action=tenant.updated", nil, 200, `"actor":"admin:` + staff.UserID.String()},
		{staff, "DELETE", "/api/admin/tenants/" + other.ID.String() + "/view-as/" + v.ID.String(), nil, 404, `"view_not_found"`},
		{staff, "DELETE", path + "/" + v.ID.String(), nil, 204, ""},
		{staff, "DELETE", path + "/" + v.ID.String(), nil, 204, ""},
		{c.Viewer, "GET", "/api/tenant/activity?action=view.ended", nil, 200, `"ended_at":[null,`},
	})
	if body := c.Viewer.Do("GET", "/api/tenant/activity?table=tenant_views", nil).Body; strings.Contains(body, "kst_view_") {
		t.Error("the log holds a token")
	}
	eventually(t, func() bool { return view.Do("GET", "/api/tenant", nil).Status == 401 })
	// The banner ends it where it is shown; nobody else's token does.
	brief, banner := start(why)
	run(t, []step{
		{c.Owner, "DELETE", "/api/tenant/view", nil, 403, `"forbidden"`},
		{c.WriteKey, "DELETE", "/api/tenant/view", nil, 403, `"insufficient_scope"`},
		{banner, "DELETE", "/api/tenant/view", nil, 204, ""},
		{staff, "GET", path + "?limit=1", nil, 200, `"ended_how":"ended"`},
		{c.Viewer, "GET", "/api/tenant/activity?action=view.ended&record=" + brief.ID.String(), nil, 200, `"actor":"admin:` + staff.UserID.String()},
	})
	eventually(t, func() bool { return banner.Do("GET", "/api/tenant", nil).Status == 401 })
	if apitest.Value[int](w, `select count(*) from tenant_views where ended_at is null`) != 1 {
		t.Error("it ended another view, or not its own")
	}
	// Suspended, a tenant can only be read; so it is for a view.
	w.Exec(`update tenants set subscription_status = 'suspended' where id = $1`, c.ID)
	eventually(t, func() bool { return writer.Do("PATCH", "/api/tenant", rename).Problem().Code == "tenant_suspended" })
	w.Exec(`insert into platform_admins (email) values ('second@kestrel.ai')`)
	w.Exec(`delete from platform_admins where user_id = $1`, staff.UserID)
	eventually(t, func() bool { return writer.Do("GET", "/api/tenant", nil).Status == 401 })
}

func TestNotes(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other-co", "+18575550100")
	staff := w.Staff("admin@kestrel.ai")
	path := "/api/admin/tenants/" + c.ID.String() + "/notes"
	n := apitest.JSON[api.Note](t, staff.Do("POST", path, `{"body":" Pays late "}`))
	if n.Body != "Pays late" || n.AuthorLabel != "admin@kestrel.ai" || n.Author != "admin:"+staff.UserID.String() {
		t.Errorf("%+v", n)
	}
	one := path + "/" + n.ID.String()
	run(t, []step{
		{staff, "POST", path, `{"body":"  "}`, 422, `"field":"body"`},
		{staff, "GET", path, nil, 200, `"body":"Pays late"`},
		{staff, "PATCH", one, `{"body":"Pays late, but pays"}`, 200, `"body":"Pays late, but pays"`},
		{staff, "PATCH", "/api/admin/tenants/" + other.ID.String() + "/notes/" + n.ID.String(), `{"body":"x"}`, 404, `"note_not_found"`},
		{staff, "GET", "/api/admin/activity?record=" + n.ID.String() + "&action=note.updated", nil, 200, `{"body":["•••","•••"]}`},
		{c.Owner.At("api.kestrel.ai"), "GET", path, nil, 403, `"not_a_platform_admin"`},
		{staff, "DELETE", one, nil, 204, ""},
		{staff, "DELETE", one, nil, 404, `"note_not_found"`},
		{staff, "GET", path, nil, 200, `{"items":[],"next":null}`},
	})
	if body := c.Owner.Do("GET", "/api/tenant/activity?limit=200", nil).Body; strings.Contains(body, "note") {
		t.Errorf("the tenant sees that there are notes: %s", body)
	}
}
