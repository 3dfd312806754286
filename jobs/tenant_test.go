package jobs_test

import (
	"crypto/sha256"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/server/sandbox"
	"kestrel.ai/supabase"
)

var linkIn = regexp.MustCompile(`https?://[^\s"]*/accept-invite\?[^\s"]+`)

// signsIn tries an address and a password at Auth.
func (w *world) signsIn(email, password string) bool {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodPost, w.supabase+"/auth/v1/token?grant_type=password",
		strings.NewReader(`{"email":"`+email+`","password":"`+password+`"}`))
	must(w.t, err)
	req.Header = http.Header{"Apikey": {"sb_publishable_test"}, "Content-Type": {"application/json"}}
	resp, err := http.DefaultClient.Do(req)
	must(w.t, err)
	defer resp.Body.Close()
	return resp.StatusCode == 200
}

func TestNewTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.work()
	tenant := w.tenant("haiec", "owner_name", "Ann")
	w.ends("done", "tenant_created", tenant)
	w.until("two mails", func() bool { return len(w.sandbox.Emails()) == 2 })
	w.until("an empty outbox", func() bool { return scan[int](w, `select count(*) from email_log where status <> 'sent'`) == 0 })
	if len(w.mails(adminEmail, "New tenant: Company haiec")) != 1 {
		t.Error("no admin mail")
	}
	welcome := w.mails("haiec@example.com", "Welcome to Kestrel")[0]
	link := linkIn.FindString(welcome.Text)
	if link == "" || !strings.Contains(welcome.HTML, strings.ReplaceAll(link, "&", "&amp;")) {
		t.Fatalf("no link in\n%s", welcome.Text)
	}
	at, err := url.Parse(link)
	must(t, err)
	same(t, "leads to", at.Scheme+"://"+at.Host+at.Path, origin("haiec")+"/accept-invite")
	same(t, "ends in", scan[string](w, `select role || ' ' || justify_hours(expires_at - sent_at) from invitations where tenant_id = $1`, tenant), "owner 7 days")

	// The secret is in the e-mail and nowhere else.
	secret := at.Query().Get("token")
	for _, table := range []string{"public.email_log", "public.jobs", "public.events", "public.activity_log", "river.river_job", "private.email_links"} {
		same(t, table+" holds the secret", scan[int](w, `select count(*) from `+table+` x where strpos(x::text, $1) > 0`, secret), 0)
	}
	if !strings.Contains(scan[string](w, `select html from email_log where template = 'welcome'`), "/accept-invite/link-left-out") {
		t.Error("the log shows no stand-in for the link")
	}

	hash := sha256.Sum256([]byte(secret))
	same(t, "opens the invitation", scan[string](w, `select email from private.open_invitation($1, $2, now())`, tenant, hash[:]), "haiec@example.com")
	auth, err := supabase.NewAuth(w.supabase, secretKey)
	must(t, err)
	user := scan[uuid.UUID](w, `select user_id from tenant_users where tenant_id = $1 and role = 'owner'`, tenant)
	must(t, auth.SetPassword(t.Context(), user, "a-good-password"))
	if !w.signsIn("haiec@example.com", "a-good-password") {
		t.Error("a pending owner cannot sign in")
	}

	// Somebody who can sign in already needs no link.
	w.exec(`update auth.users set last_sign_in_at = now()`)
	id, unused, err := auth.EnsureUser(t.Context(), "haiec@example.com")
	must(t, err)
	same(t, "the same login, in use", []any{id, unused}, []any{user, false})
	if !w.signsIn("haiec@example.com", "a-good-password") {
		t.Error("the password of a login in use has changed")
	}
}

// Whoever registers somebody else's address first, without confirming it, gains nothing by it.
func TestOwnerRegisteredByAStranger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req, err := http.NewRequest(http.MethodPost, w.supabase+"/auth/v1/signup", strings.NewReader(`{"email":"victim@example.com","password":"the-strangers"}`))
	must(t, err)
	req.Header = http.Header{"Apikey": {"sb_publishable_test"}, "Content-Type": {"application/json"}}
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	resp.Body.Close()
	same(t, "registered", scan[int](w, `select count(*) from auth.users where email_confirmed_at is null`), 1)
	w.work()
	tenant := w.tenant("victim")
	w.ends("done", "tenant_created", tenant)
	same(t, "confirmed and linked", scan[int](w, `select count(*) from tenant_users m join auth.users u on u.id = m.user_id where email_confirmed_at is not null`), 1)
	if w.signsIn("victim@example.com", "the-strangers") {
		t.Error("the stranger's password works")
	}
}

func TestAuthDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stop := w.work(func(d *jobs.Deps) { d.Auth, _ = supabase.NewAuth("http://127.0.0.1:1", secretKey) })
	tenant := w.tenant("acme")
	w.until("the admin's mail", func() bool { return len(w.mails(adminEmail, "New tenant")) == 1 })
	w.until("a second try", func() bool {
		j := w.job("tenant_created", tenant)
		return j.Attempt > 1 && j.State == "queued" && strings.Contains(j.Reason, "Supabase Auth could not be reached")
	})
	stop()
	w.work()
	w.ends("done", "tenant_created", tenant)
	w.until("the welcome", func() bool { return len(w.mails("acme@example.com", "Welcome")) == 1 })
	same(t, "admin mails", len(w.mails(adminEmail, "")), 1)
}

func TestFallback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.work()
	number := w.forSale("857", 0)
	_, err := w.sandbox.AddNumber(sandbox.Number{PhoneNumber: number})
	must(t, err)
	tenant := w.tenant("acme", "company_name", `Ann & Bob's <Pipes>`, "forward_to_number", "+14155550199", "twilio_phone_number", number)
	file := w.supabase + "/storage/v1/object/public/public-twiml/fallback/" + tenant.String() + ".xml"
	w.until("the file", func() bool {
		_, body := w.get(file)
		return strings.Contains(body, `<Dial timeout="25">+14155550199</Dial>`) && strings.Contains(body, "Ann &amp; Bob&#39;s &lt;Pipes&gt;")
	})
	w.ends("done", "number_verify", scan[uuid.UUID](w, `select id from phone_numbers`))
	// The brief's own example: forwarding to oneself takes a message instead.
	w.exec(`update tenants set forward_to_number = $1`, number)
	w.until("no loop", func() bool {
		_, body := w.get(file)
		return !strings.Contains(body, "<Dial") && strings.Contains(body, "<Record")
	})
	resp, err := http.Get(file)
	must(t, err)
	resp.Body.Close()
	same(t, "type", resp.Header.Get("Content-Type"), "text/xml")
}
