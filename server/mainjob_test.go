//go:build !production

package main

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

const briefNumber = "+18573825169"

// The brief's three doors, each as written there.
var doors = map[string]func(*devProcess, caller){
	"curl": func(d *devProcess, admin caller) {
		d.want(http.StatusCreated, admin, http.MethodPost, "/api/admin/tenants/", json.RawMessage(`{
    "company_name": "HAIEC",
    "slug": "haiec",
    "owner_name": "HAIEC Owner",
    "owner_email": "admin@haiec.com",
    "owner_phone": "+18573825169",
    "industry": "hvac",
    "plan_tier": "professional",
    "twilio_phone_number": "+18573825169",
    "forward_to_number": "+18573825169"
  }`), nil)
	},
	"sql": func(d *devProcess, _ caller) {
		conn, err := pgx.Connect(context.Background(), d.faces.DatabaseURL)
		if err != nil {
			d.t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		_, err = conn.Exec(context.Background(), `INSERT INTO tenants (
    slug, company_name, owner_name, owner_email, owner_phone,
    industry, plan_tier, subscription_status,
    twilio_phone_number, forward_to_number, is_active
) VALUES (
    'haiec', 'HAIEC', 'HAIEC Owner', 'admin@haiec.com', '+18573825169',
    'hvac', 'professional', 'trial',
    '+18573825169', '+18573825169', TRUE
);`)
		if err != nil {
			d.t.Fatal(err)
		}
	},
	"form": func(d *devProcess, _ caller) {
		visitor := caller{addr: d.addr, host: "localhost"}
		d.want(http.StatusCreated, visitor, http.MethodPost, "/api/onboarding", map[string]any{
			"company_name": "HAIEC", "slug": "haiec", "owner_name": "HAIEC Owner", "owner_email": "admin@haiec.com", "owner_phone": "+18573825169",
			"industry": "HVAC", "plan_tier": "professional", "forward_to_number": "+18573825169",
		}, nil)
	},
}

// TestMainJob goes through each door from nothing to a live phone number, on the built binary.
func TestMainJob(t *testing.T) {
	t.Parallel()
	for _, door := range []string{"curl", "sql", "form"} {
		t.Run(door, func(t *testing.T) {
			t.Parallel()
			d := startDev(t, dataFolder(t), "--no-seed")
			admin := d.as("admin.localhost", devAdmin, devAdminPassword)
			doors[door](d, admin)
			d.tenantIsWhole(admin, door)
			d.goesLive(admin)
			b := browser{t: t, addr: d.addr, host: "admin.localhost"}
			if status := b.signsIn(admin.token); status != http.StatusNoContent {
				t.Fatalf("River UI: %d", status)
			}
			b.showsRiverUI()
		})
	}
}

type tenantRow struct {
	ID                string `json:"id"`
	Slug              string `json:"slug"`
	Status            string `json:"subscription_status"`
	TwilioPhoneNumber string `json:"twilio_phone_number"`
	MaxMonthlyCalls   int    `json:"max_monthly_calls"`
}

func (d *devProcess) tenant(admin caller) tenantRow {
	d.t.Helper()
	var list struct {
		Items []tenantRow `json:"items"`
	}
	d.want(http.StatusOK, admin, http.MethodGet, "/api/admin/tenants/", nil, &list)
	if len(list.Items) != 1 {
		d.t.Fatalf("tenants: %+v", list)
	}
	return list.Items[0]
}

type sentEmail struct {
	To            []string `json:"to"`
	Subject, HTML string
	Text          string
}

func (d *devProcess) emails(subject string) (found []sentEmail) {
	d.t.Helper()
	var all []sentEmail
	d.sandbox("/_sandbox/emails", &all)
	for _, e := range all {
		if strings.Contains(e.Subject, subject) {
			found = append(found, e)
		}
	}
	return found
}

func (d *devProcess) tenantIsWhole(admin caller, door string) {
	d.t.Helper()
	tenant := d.tenant(admin)
	if tenant.Slug != "haiec" || tenant.MaxMonthlyCalls != 500 {
		d.t.Errorf("tenant: %+v", tenant)
	}
	if want := map[string]string{"curl": "pending", "sql": "trial", "form": "pending"}[door]; tenant.Status != want {
		d.t.Errorf("status %s, want %s", tenant.Status, want)
	}
	d.eventually("admin notification and welcome", func() bool { return len(d.emails("")) >= 2 })
	var to []string
	for _, e := range d.emails("") {
		to = append(to, e.To...)
	}
	slices.Sort(to)
	if want := []string{"admin@haiec.com", "admin@kestrel.ai"}; !slices.Equal(to, want) {
		d.t.Errorf("e-mails went to %v, want %v", to, want)
	}
	var activity struct {
		Items []struct{ Action, Actor string }
	}
	d.want(http.StatusOK, admin, http.MethodGet, "/api/admin/tenants/"+tenant.ID+"/activity", nil, &activity)
	if !slices.ContainsFunc(activity.Items, func(a struct{ Action, Actor string }) bool { return a.Action == "tenant.created" }) {
		d.t.Errorf("activity: %+v", activity)
	}
	owner := d.ownerSetsPassword()
	var usage, members json.RawMessage
	d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/usage", nil, &usage)
	d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant/members", nil, &members)
	if !strings.Contains(string(members), `"owner"`) || !strings.Contains(string(usage), "period_start") {
		d.t.Errorf("members %s, usage %s", members, usage)
	}
}

// ownerSetsPassword takes the welcome mail's link as its page does, and signs in with the new password. Looking at the
// link first, as mail scanners do, uses nothing up.
func (d *devProcess) ownerSetsPassword() caller {
	d.t.Helper()
	var welcome sentEmail
	for _, e := range d.emails("") {
		if e.To[0] == devOwner {
			welcome = e
		}
	}
	_, rest, found := strings.Cut(welcome.Text, "://haiec.localhost")
	if !found || !strings.Contains(rest, "/accept-invite?") {
		d.t.Fatalf("the welcome mail has no link to set a password:\n%s", welcome.Text)
	}
	_, token, _ := strings.Cut(strings.TrimRight(strings.Fields(rest)[0], ")>.\""), "token=")
	newcomer := caller{addr: d.addr, host: "haiec.localhost"}
	var opened struct {
		Email         string
		NeedsPassword bool `json:"needs_password"`
	}
	for range 2 {
		d.want(http.StatusOK, newcomer, http.MethodPost, "/api/tenant/invitations/open", map[string]any{"token": token}, &opened)
	}
	if opened.Email != devOwner || !opened.NeedsPassword {
		d.t.Errorf("the link opens %+v", opened)
	}
	accept := map[string]any{"token": token, "password": "a-new-password-1"}
	d.want(http.StatusOK, newcomer, http.MethodPost, "/api/tenant/invitations/accept", accept, nil)
	d.want(http.StatusGone, newcomer, http.MethodPost, "/api/tenant/invitations/accept", accept, nil)
	return d.as("haiec.localhost", devOwner, "a-new-password-1")
}

type ownedNumber struct {
	PhoneNumber    string `json:"phone_number"`
	FriendlyName   string `json:"friendly_name"`
	VoiceURL       string `json:"voice_url"`
	StatusCallback string `json:"status_callback"`
	SMSURL         string `json:"sms_url"`
}

// goesLive searches, buys, activates, suspends, and uses an API key.
func (d *devProcess) goesLive(admin caller) {
	d.t.Helper()
	tenant := d.tenant(admin)
	at := "/api/admin/tenants/" + tenant.ID
	d.want(http.StatusConflict, admin, http.MethodPost, at+"/activate", map[string]any{}, nil) // no number yet

	var search struct {
		Items []struct {
			PhoneNumber string `json:"phone_number"`
		} `json:"items"`
	}
	d.want(http.StatusOK, admin, http.MethodPost, "/api/twilio/search-numbers", map[string]any{"area_code": "857"}, &search)
	if len(search.Items) != 20 || search.Items[0].PhoneNumber != briefNumber {
		d.t.Fatalf("search 857: %+v", search)
	}
	var bought struct {
		Job struct{ ID string } `json:"job"`
	}
	d.want(http.StatusAccepted, admin, http.MethodPost, "/api/twilio/purchase-number", map[string]any{"phone_number": briefNumber, "tenant_slug": "haiec"}, &bought)
	d.eventually("the purchase", func() bool {
		var job struct{ State, Reason string }
		d.want(http.StatusOK, admin, http.MethodGet, "/api/jobs/"+bought.Job.ID, nil, &job)
		if job.State == "failed" {
			d.t.Fatalf("purchase: %s", job.Reason)
		}
		return job.State == "done"
	})
	var owned []ownedNumber
	d.sandbox("/_sandbox/numbers", &owned)
	base := strings.Replace(d.faces.URLs["api"], "https", "http", 1)
	if len(owned) != 1 || owned[0].VoiceURL != base+"/api/voice/incoming?tenant=haiec" || owned[0].StatusCallback != base+"/api/voice/status?tenant=haiec" ||
		owned[0].SMSURL != base+"/api/sms/incoming?tenant=haiec" || !strings.HasPrefix(owned[0].FriendlyName, "HAIEC Voice Agent · ") {
		d.t.Errorf("numbers at the sandbox: %+v", owned)
	}
	d.want(http.StatusOK, admin, http.MethodPost, at+"/activate", map[string]any{}, nil)
	d.eventually("You're Live!", func() bool { return len(d.emails("You're Live!")) == 1 })
	if live := d.emails("You're Live!")[0]; live.To[0] != devOwner || !strings.Contains(live.Text, "(857) 382-5169") {
		d.t.Errorf("live mail: %+v", live)
	}
	d.want(http.StatusOK, admin, http.MethodPost, at+"/suspend", map[string]any{"reason": "test"}, nil)
	if got := d.tenant(admin); got.Status != "suspended" || got.TwilioPhoneNumber != briefNumber {
		d.t.Errorf("after suspend: %+v", got)
	}

	var key struct {
		ID  string `json:"id"`
		Key string `json:"key"`
	}
	d.want(http.StatusCreated, admin, http.MethodPost, at+"/api-keys", map[string]any{"name": "CRM", "scopes": []string{"read"}}, &key)
	if !strings.HasPrefix(key.Key, "kst_live_") {
		d.t.Fatalf("key: %+v", key)
	}
	machine := caller{addr: d.addr, host: "api.localhost", token: key.Key}
	var self struct{ Slug string }
	d.want(http.StatusOK, machine, http.MethodGet, "/api/tenant", nil, &self)
	if self.Slug != "haiec" {
		d.t.Errorf("the key opens %q", self.Slug)
	}
	d.want(http.StatusNoContent, admin, http.MethodDelete, at+"/api-keys/"+key.ID, nil, nil)
	d.eventually("the key's end", func() bool {
		err := machine.do(context.Background(), http.MethodGet, "/api/tenant", nil, nil)
		return err != nil
	})
	if n := len(d.emails("")); n != 3 {
		d.t.Errorf("%d e-mails in all, want 3", n)
	}
}
