package api_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
)

const goodPassword = "a-good-password"

// link makes a token for an invitation, as the e-mail's job does.
func link(w *apitest.World, invitation uuid.UUID) string {
	token := uuid.NewString()
	hash := sha256.Sum256([]byte(token))
	w.Exec(`insert into private.invitation_tokens (hash, invitation_id, expires_at) select $1, id, expires_at from invitations where id = $2`, hash[:], invitation)
	return token
}

func invite(t *testing.T, by apitest.Caller, email, role string) api.Invitation {
	t.Helper()
	a := by.Do("POST", "/api/tenant/invitations", map[string]string{"email": email, "role": role})
	if a.Status != 201 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	return apitest.JSON[api.Invitation](t, a)
}

func accept(w *apitest.World, host, token, password string) apitest.Answer {
	sent := map[string]string{"token": token}
	if password != "" {
		sent["password"] = password
	}
	return w.Anonymous(host).Do("POST", "/api/tenant/invitations/accept", sent)
}

func wants(t *testing.T, what string, a apitest.Answer, status int, code string) {
	t.Helper()
	if a.Status != status || a.Problem().Code != code {
		t.Errorf("%s: %d %s, want %d %s", what, a.Status, a.Body, status, code)
	}
}

// signsIn asks Auth for a session, and tells whether it gives one.
func signsIn(t *testing.T, w *apitest.World, email, password string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.AuthURL+"/auth/v1/token?grant_type=password",
		strings.NewReader(fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Apikey", "sb_publishable_test")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode == 200
}

func TestInvitationOfANewPerson(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	haiec, other := w.Company("haiec", "+18573825169"), w.Company("other-co", "+18575550100")
	host := "haiec.kestrel.ai"
	made := invite(t, haiec.Admin, " New@Person.test ", "member")
	if made.Email != "new@person.test" || made.State != "open" || made.InvitedBy != "admin@haiec.test" || made.ExpiresAt.Sub(made.SentAt) != 24*time.Hour {
		t.Errorf("%+v", made)
	}
	mail := apitest.Value[string](w, `select template || ' ' || to_email || ' ' || (params ->> 'role') from email_log where dedupe_key = $1`, "invite:"+made.ID.String()+":1")
	if mail != "member_invite new@person.test member" {
		t.Error(mail)
	}
	wants(t, "twice", haiec.Admin.Do("POST", "/api/tenant/invitations", map[string]string{"email": made.Email}), 409, "email_taken")
	token := link(w, made.ID)

	opened := apitest.JSON[api.OpenedInvitation](t, w.Anonymous(host).Do("POST", "/api/tenant/invitations/open", map[string]string{"token": token}))
	if !opened.NeedsPassword || opened.CompanyName != "HAIEC" || opened.Role != "member" {
		t.Errorf("%+v", opened)
	}
	wants(t, "at another tenant's host", accept(w, other.Slug+".kestrel.ai", token, goodPassword), 404, "invitation_not_found")
	wants(t, "a guess", accept(w, host, "guess", goodPassword), 404, "invitation_not_found")
	wants(t, "without a password", accept(w, host, token, ""), 422, "password_required")
	wants(t, "at api.", w.Anonymous("api.kestrel.ai").Do("POST", "/api/tenant/invitations/accept", map[string]string{"token": token}), 404, "not_found")

	// Many at once: one of them sets its password.
	codes := make([]int, 6)
	var all sync.WaitGroup
	for i := range codes {
		all.Go(func() { codes[i] = accept(w, host, token, fmt.Sprintf("%s-%d", goodPassword, i)).Status })
	}
	all.Wait()
	won := -1
	for i, code := range codes {
		if code == 200 && won < 0 {
			won = i
		} else if code != 409 && code != 410 {
			t.Errorf("%v", codes)
		}
	}
	if won < 0 || !signsIn(t, w, made.Email, fmt.Sprintf("%s-%d", goodPassword, won)) {
		t.Errorf("%v: nobody, or not the winner, can sign in", codes)
	}
	wants(t, "again", accept(w, host, token, goodPassword), 410, "invitation_used")
	wants(t, "open again", w.Anonymous(host).Do("POST", "/api/tenant/invitations/open", map[string]string{"token": token}), 410, "invitation_used")
	if got := apitest.Value[string](w, `select m.role::text from tenant_users m join auth.users u on u.id = m.user_id where tenant_id = $1 and u.email = $2`, haiec.ID, made.Email); got != "member" {
		t.Error(got)
	}
	if got := apitest.Value[string](w, `select actor_label from activity_log where tenant_id = $1 and action = 'invitation.updated'`, haiec.ID); got != made.Email {
		t.Errorf("the log says %q", got)
	}
	if secret := apitest.Value[int](w, `select count(*) from activity_log where strpos(changes::text, $1) > 0`, token); secret != 0 {
		t.Error("the token is in the log")
	}
	wants(t, "a member", haiec.Owner.Do("POST", "/api/tenant/invitations", map[string]string{"email": made.Email}), 409, "already_member")
}

// A login that is in use keeps its password, joins a second tenant, and is told apart at each host.
func TestInvitationOfAnExistingLogin(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	haiec, other := w.Company("haiec", "+18573825169"), w.Company("other-co", "+18575550100")
	w.Exec(`update auth.users set last_sign_in_at = now() where id = $1`, other.Viewer.UserID)
	visitor := other.Viewer.At("haiec.kestrel.ai")
	wants(t, "before", visitor.Do("GET", "/api/tenant", nil), 403, "not_a_member")
	made := invite(t, haiec.Owner, "viewer@other-co.test", "admin")
	token := link(w, made.ID)
	a := accept(w, "haiec.kestrel.ai", token, "the-holders-choice")
	if got := apitest.JSON[api.AcceptedInvitation](t, a); got.PasswordSet || got.Email != "viewer@other-co.test" || signsIn(t, w, got.Email, "the-holders-choice") {
		t.Errorf("%s", a.Body)
	}
	eventually(t, func() bool {
		return apitest.JSON[struct{ Slug string }](t, visitor.Do("GET", "/api/tenant", nil)).Slug == "haiec"
	})
	if got := apitest.JSON[struct{ Slug string }](t, other.Viewer.Do("GET", "/api/tenant", nil)).Slug; got != "other-co" {
		t.Error(got)
	}
	wants(t, "its role there is another", other.Viewer.Do("PATCH", "/api/tenant", map[string]string{"industry": "hvac"}), 403, "forbidden")
	if a := visitor.Do("PATCH", "/api/tenant", map[string]string{"industry": "hvac"}); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestInvitationEnds(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	haiec := w.Company("haiec", "+18573825169")
	host := "haiec.kestrel.ai"
	made := invite(t, haiec.Owner, "late@person.test", "viewer")
	path := "/api/tenant/invitations/" + made.ID.String()
	first := link(w, made.ID)
	wants(t, "too soon", haiec.Owner.Do("POST", path+"/resend", nil), 429, "invitation_just_sent")
	w.Exec(`update private.invitation_tokens set expires_at = now()`)
	wants(t, "expired", accept(w, host, first, goodPassword), 410, "invitation_expired")

	// Time goes by.
	w.Exec(`alter table invitations disable trigger user`)
	w.Exec(`update invitations set sent_at = now() - interval '25 hours', expires_at = now() - interval '1 hour'`)
	w.Exec(`alter table invitations enable trigger user`)
	listed := apitest.JSON[struct{ Items []api.Invitation }](t, haiec.Viewer.Do("GET", "/api/tenant/invitations", nil)).Items
	if len(listed) != 1 || listed[0].State != "expired" {
		t.Errorf("%+v", listed)
	}
	if again := apitest.JSON[api.Invitation](t, haiec.Admin.Do("POST", path+"/resend", nil)); again.State != "open" || again.Sends != 2 {
		t.Errorf("%+v", again)
	}
	if n := apitest.Value[int](w, `select count(*) from email_log where dedupe_key like 'invite:%'`); n != 2 {
		t.Errorf("%d e-mails", n)
	}
	second := link(w, made.ID)
	for range 2 {
		if a := haiec.Admin.Do("DELETE", path, nil); a.Status != 204 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	wants(t, "revoked", accept(w, host, second, goodPassword), 410, "invitation_revoked")
	wants(t, "resent", haiec.Admin.Do("POST", path+"/resend", nil), 409, "invitation_closed")
	if n := apitest.Value[int](w, `select count(*) from tenant_users where email = 'late@person.test'`); n != 0 {
		t.Error("a member all the same")
	}
	// Roles: an admin neither makes nor ends what makes admins.
	wants(t, "admin invites admin", haiec.Admin.Do("POST", "/api/tenant/invitations", map[string]string{"email": "x@y.test", "role": "admin"}), 403, "owner_required")
	wants(t, "member invites", haiec.Member.Do("POST", "/api/tenant/invitations", map[string]string{"email": "x@y.test", "role": "viewer"}), 403, "forbidden")
	above := "/api/tenant/invitations/" + invite(t, haiec.Owner, "boss@person.test", "owner").ID.String()
	wants(t, "admin withdraws an owner's", haiec.Admin.Do("DELETE", above, nil), 403, "owner_required")
}

func TestTransferAndLeave(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	haiec := w.Company("haiec", "+18573825169")
	of := func(c apitest.Caller) string {
		return apitest.Value[uuid.UUID](w, `select id from tenant_users where tenant_id = $1 and user_id = $2`, haiec.ID, c.UserID).String()
	}
	transfer := func(by apitest.Caller, to string) apitest.Answer {
		return by.Do("POST", "/api/tenant/members/transfer-ownership", map[string]string{"member_id": to})
	}
	wants(t, "the last owner leaves", haiec.Owner.Do("POST", "/api/tenant/members/leave", map[string]bool{"confirm": true}), 409, "last_owner")
	wants(t, "an admin hands over", transfer(haiec.Admin, of(haiec.Admin)), 403, "forbidden")
	wants(t, "to oneself", transfer(haiec.Owner, of(haiec.Owner)), 409, "already_owner")
	wants(t, "to nobody", transfer(haiec.Owner, uuid.NewString()), 404, "member_not_found")
	waiting := apitest.Value[uuid.UUID](w, `insert into tenant_users (tenant_id, email, role) values ($1, 'waiting@haiec.test', 'member') returning id`, haiec.ID)
	wants(t, "to somebody who never came", transfer(haiec.Owner, waiting.String()), 409, "member_not_joined")

	// Two at once: one owner is left, whichever it is.
	member, admin := of(haiec.Member), of(haiec.Admin)
	var all sync.WaitGroup
	codes := make([]int, 2)
	for i, to := range []string{member, admin} {
		all.Go(func() { codes[i] = transfer(haiec.Owner, to).Status })
	}
	all.Wait()
	if codes[0]+codes[1] != 200+403 {
		t.Errorf("%v", codes)
	}
	if n := apitest.Value[int](w, `select count(*) from tenant_users where tenant_id = $1 and role = 'owner'`, haiec.ID); n != 1 {
		t.Errorf("%d owners", n)
	}
	eventually(t, func() bool {
		return transfer(haiec.Owner, member).Problem().Code == "forbidden"
	})
	if a := haiec.Owner.Do("POST", "/api/tenant/members/leave", map[string]bool{"confirm": true}); a.Status != 204 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	eventually(t, func() bool { return haiec.Owner.Do("GET", "/api/tenant", nil).Status == 403 })
}

func TestLeavingWhatCanOnlyBeRead(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c := w.Company("haiec", "+18573825169")
	leave := func(who apitest.Caller) apitest.Answer {
		return who.Do("POST", "/api/tenant/members/leave", `{"confirm":true}`)
	}
	for status, who := range map[string]apitest.Caller{"suspended": c.Viewer, "cancelled": c.Member} {
		w.Exec(`update tenants set subscription_status = 'active' where id = $1`, c.ID)
		w.Exec(`update tenants set subscription_status = $2 where id = $1`, c.ID, status)
		eventually(t, func() bool { return c.Owner.Do("PATCH", "/api/tenant", `{}`).Problem().Code == "tenant_suspended" })
		wants(t, "the last owner of a "+status+" tenant", leave(c.Owner), 409, "last_owner")
		wants(t, "a key", leave(c.ReadKey), 403, "insufficient_scope")
		if a := leave(who); a.Status != 204 {
			t.Errorf("%s: %d %s", status, a.Status, a.Body)
		}
		eventually(t, func() bool { return who.Do("GET", "/api/tenant", nil).Status == 403 })
	}
}

func TestStaffHandleMembers(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	c, other := w.Company("haiec", "+18573825169"), w.Company("other-co", "+18575550100")
	staff := w.Staff("staff@kestrel.ai")
	id := func(who apitest.Caller) string {
		return apitest.Value[uuid.UUID](w, `select id from tenant_users where tenant_id = $1 and user_id = $2`, c.ID, who.UserID).String()
	}
	at := "/api/admin/tenants/" + c.ID.String()
	owner, admin, viewer := at+"/members/"+id(c.Owner), at+"/members/"+id(c.Admin), at+"/members/"+id(c.Viewer)
	run(t, []step{
		{staff, "PATCH", owner, `{"role":"viewer"}`, 409, `"last_owner"`},
		{staff, "DELETE", owner, nil, 409, `"last_owner"`},
		{staff, "PATCH", "/api/admin/tenants/" + other.ID.String() + "/members/" + id(c.Viewer), `{"role":"owner"}`, 404, `"member_not_found"`},
		{staff, "DELETE", "/api/admin/tenants/" + uuid.NewString() + "/members/" + id(c.Viewer), nil, 404, `"tenant_not_found"`},
		{staff, "PATCH", viewer, `{"role":"member"}`, 200, `"role":"member"`},
		{c.Viewer, "GET", "/api/tenant/activity?action=member.updated&actor=admin", nil, 200, `"actor":"admin:` + staff.UserID.String()},
		{staff, "POST", at + "/transfer-ownership", `{"member_id":"` + id(c.Owner) + `"}`, 409, `"already_owner"`},
		{staff, "POST", at + "/transfer-ownership", `{"member_id":"` + id(c.Admin) + `","from_member_id":"` + id(c.Viewer) + `"}`, 409, `"not_an_owner"`},
		{staff, "POST", at + "/transfer-ownership", `{"member_id":"` + id(c.Admin) + `"}`, 200, `"role":"owner"`},
		{staff, "GET", at + "/members", nil, 200, `"email":"owner@haiec.test","role":"admin"`},
		{staff, "PATCH", owner, `{"role":"owner"}`, 200, `"role":"owner"`},
		{staff, "POST", at + "/transfer-ownership", `{"member_id":"` + id(c.Member) + `"}`, 409, `"several_owners"`},
		{staff, "POST", at + "/transfer-ownership", `{"member_id":"` + id(c.Member) + `","from_member_id":"` + id(c.Admin) + `"}`, 200, `"role":"owner"`},
		{staff, "DELETE", admin, nil, 204, ""},
		{staff, "DELETE", admin, nil, 404, `"member_not_found"`},
	})
	eventually(t, func() bool { return c.Admin.Do("GET", "/api/tenant", nil).Status == 403 })
}

func TestPlatformInvites(t *testing.T) {
	t.Parallel()
	w := apitest.New(t)
	haiec, other := w.Company("haiec", "+18573825169"), w.Company("other-co", "+18575550100")
	staff := w.Staff("staff@kestrel.ai")
	at := "/api/admin/tenants/" + haiec.ID.String()
	made := apitest.JSON[api.Invitation](t, staff.Do("POST", at+"/invitations", map[string]string{"email": "new@person.test", "role": "owner"}))
	if made.InvitedBy != "Kestrel" || made.Role != "owner" {
		t.Errorf("%+v", made)
	}
	wants(t, "another's path", staff.Do("DELETE", "/api/admin/tenants/"+other.ID.String()+"/invitations/"+made.ID.String(), nil), 404, "invitation_not_found")
	wants(t, "no tenant", staff.Do("GET", "/api/admin/tenants/"+uuid.NewString()+"/members", nil), 404, "tenant_not_found")
	if members := apitest.JSON[struct{ Items []api.Member }](t, staff.Do("GET", at+"/members", nil)).Items; len(members) != 4 || members[0].Role != "owner" {
		t.Errorf("%+v", members)
	}
	if a := staff.Do("DELETE", at+"/invitations/"+made.ID.String(), nil); a.Status != 204 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}
