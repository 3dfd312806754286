package emails

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

// samples are every template in every variant that its text has.
func samples() map[string]Params {
	const dashboard, help = "https://haiec.kestrel.ai", "https://kestrel.ai/docs"
	admin := AdminNewTenant{
		CompanyName: "HAIEC", Slug: "haiec", Status: "pending", Industry: "HVAC", PlanName: "Professional",
		OwnerName: "Dana Reyes", OwnerEmail: "admin@haiec.com", OwnerPhone: "+18573825169", ForwardTo: "+16175550123",
		CreatedAt: at("2026-03-10T14:05:00Z"), Timezone: "America/New_York",
		AdminURL: "https://admin.kestrel.ai/tenants/0195f3a0-0000-7000-8000-000000000001",
	}
	adminNumber := admin
	adminNumber.PhoneNumber = "+18573825169"
	adminTrial := adminNumber
	adminTrial.Status = "trial"
	adminActive := admin
	adminActive.Status = "active"

	welcome := Welcome{
		CompanyName: "HAIEC", OwnerName: "Dana Reyes", Status: "pending", PlanName: "Professional", PlanCalls: 500, TrialDays: 14,
		DashboardURL: dashboard, HelpURL: help,
		SetPasswordURL: "https://haiec.kestrel.ai/auth/v1/verify?token=pkce_1234567890abcdef&type=recovery",
	}
	welcomeTrial := welcome
	welcomeTrial.Status, welcomeTrial.TrialEndsAt, welcomeTrial.Timezone = "trial", at("2026-03-24T21:00:00Z"), "America/New_York"
	welcomeTrialNumber := welcomeTrial
	welcomeTrialNumber.PhoneNumber = "+18573825169"
	welcomeActive := welcome
	welcomeActive.Status, welcomeActive.PhoneNumber, welcomeActive.SetPasswordURL = "active", "+18573825169", ""
	welcomeActive.BrandColor = "#f2b705"

	usage := UsageWarning{
		CompanyName: "HAIEC", OwnerName: "Dana Reyes", Threshold: 80, CallsUsed: 403, CallsLimit: 500,
		PeriodEndsAt: at("2026-04-01T04:00:00Z"), Timezone: "America/New_York", PlanName: "Professional",
		NextPlanName: "Premium", NextPlanCalls: 1500, NextPlanPriceCents: 59900, UpgradeURL: "https://haiec.kestrel.ai/usage",
	}
	usageFull := usage
	usageFull.Threshold, usageFull.CallsUsed = 100, 500
	usageLargest := usageFull
	usageLargest.PlanName, usageLargest.CallsUsed, usageLargest.CallsLimit = "Enterprise", 10012, 10000
	usageLargest.NextPlanName, usageLargest.NextPlanCalls, usageLargest.NextPlanPriceCents = "", 0, 0

	auth := AuthEmail{URL: "https://haiec.kestrel.ai/auth/v1/verify?token=1234567890abcdef&type=magiclink", Code: "042137"}
	return map[string]Params{
		"admin_new_tenant_pending":        admin,
		"admin_new_tenant_pending_number": adminNumber,
		"admin_new_tenant_trial":          adminTrial,
		"admin_new_tenant_active":         adminActive,
		"welcome_pending":                 welcome,
		"welcome_trial":                   welcomeTrial,
		"welcome_trial_number":            welcomeTrialNumber,
		"welcome_active":                  welcomeActive,
		"live": Live{
			CompanyName: "HAIEC", OwnerName: "Dana Reyes", PhoneNumber: "+18573825169", ForwardTo: "+16175550123", DashboardURL: dashboard, HelpURL: help,
		},
		"live_branded": Live{
			Brand:       Brand{BrandColor: "#f59f00", LogoURL: "https://project.supabase.co/storage/v1/object/public/logos/019d2f4e/1.png", LogoAlt: "Müller & \"Söhne\""},
			CompanyName: "Müller & Söhne", PhoneNumber: "+442071838750", DashboardURL: dashboard, HelpURL: help,
		},
		"live_plain": Live{CompanyName: "Müller & Söhne", PhoneNumber: "+442071838750", DashboardURL: dashboard, HelpURL: help},
		"trial_ending": TrialEnding{
			CompanyName: "HAIEC", OwnerName: "Dana Reyes", TrialEndsAt: at("2026-03-24T21:00:00Z"), Timezone: "America/New_York",
			Calls: 1204, Appointments: 1, PlanName: "Professional", PlanPriceCents: 29900, BillingURL: "https://haiec.kestrel.ai/usage",
		},
		"pending_reminder": PendingReminder{
			CompanyName: "HAIEC", Slug: "haiec", PlanName: "Professional", OwnerName: "Dana Reyes", OwnerEmail: "admin@haiec.com", OwnerPhone: "+18573825169",
			CreatedAt: at("2026-03-10T14:05:00Z"), Timezone: "America/New_York", AdminURL: admin.AdminURL,
		},
		"pending_reminder_number": PendingReminder{
			CompanyName: "HAIEC", Slug: "haiec", PlanName: "Professional", OwnerEmail: "admin@haiec.com", PhoneNumber: "+18573825169",
			CreatedAt: at("2026-03-10T14:05:00Z"), Timezone: "America/New_York", AdminURL: admin.AdminURL,
		},
		"tenant_request_plan": TenantRequest{
			Kind: "plan", CompanyName: "HAIEC", Slug: "haiec", PlanName: "Professional", PlanPriceCents: 29900, PlanWanted: "Premium", PlanWantedPriceCents: 59900,
			RequestedBy: "dana@haiec.com", OwnerEmail: "admin@haiec.com", OwnerPhone: "+18573825169", AdminURL: admin.AdminURL,
		},
		"tenant_request_reactivation": TenantRequest{
			Kind: "reactivation", CompanyName: "HAIEC", Slug: "haiec", PlanName: "Professional", PlanPriceCents: 29900,
			RequestedBy: "dana@haiec.com", OwnerEmail: "admin@haiec.com", AdminURL: admin.AdminURL,
		},
		"usage_warning_80":      usage,
		"usage_warning_100":     usageFull,
		"usage_warning_largest": usageLargest,
		"member_invite": MemberInvite{
			CompanyName: "HAIEC", InvitedBy: "Dana Reyes", Role: "member", AcceptURL: "https://haiec.kestrel.ai/invite?token=abc",
			ExpiresAt: at("2026-03-17T14:00:00Z"), Timezone: "America/New_York",
		},
		"announcement": Announcement{
			CompanyName: "HAIEC", OwnerName: "Dana Reyes", Subject: "Maintenance on Sunday", DashboardURL: dashboard,
			Text: "On Sunday at 3 AM calls go to your forward number for ten minutes.\n\nSee https://status.kestrel.ai for more.",
		},
		"call_summary_booked": CallSummary{
			Brand: Brand{BrandColor: "#f59f00"}, CompanyName: "HAIEC", Reason: "booked", CallerName: "Ann Lee", CallerPhone: "+16175550123", CallerAddress: "12 Elm St, Boston",
			At: at("2026-03-10T14:05:00Z"), Seconds: 95, Timezone: "America/New_York", Summary: "Ann's furnace makes noise. She booked a repair for tomorrow.",
			FollowUp: "Bring a spare igniter.", Bookings: []Booking{{at("2026-03-11T19:00:00Z"), "Furnace repair"}}, CallURL: dashboard + "/calls/1",
		},
		"call_summary_emergency": CallSummary{
			CompanyName: "HAIEC", Reason: "emergency", CallerPhone: "+16175550123", At: at("2026-03-10T14:05:00Z"), Timezone: "America/New_York",
			Messages: []string{"I smell gas.\nAddress: 12 Elm St"}, CallURL: dashboard + "/calls/1",
		},
		"call_summary_missed": CallSummary{CompanyName: "HAIEC", Reason: "missed", At: at("2026-03-10T14:05:00Z"), Timezone: "America/New_York", CallURL: dashboard + "/calls/1"},
		"auth_recovery":       AuthRecovery{auth},
		"auth_magic_link":     AuthMagicLink{auth},
		"auth_confirm":        AuthConfirm{auth},
		"auth_invite":         AuthInvite{auth},
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, params := range samples() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Render(params.Template(), params)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".html", got.HTML)
			golden(t, name+".txt", "Subject: "+got.Subject+"\n\n"+got.Text)
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (write it with: go test ./jobs/emails -update)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

// Params are stored as jsonb: what comes back must render the same, also through a map,
// whose keys jsonb reorders.
func TestParamsSurviveJSON(t *testing.T) {
	t.Parallel()
	for name, params := range samples() {
		want, err := Render(params.Template(), params)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(params)
		if err != nil {
			t.Fatal(err)
		}
		var asMap map[string]any
		if err := json.Unmarshal(raw, &asMap); err != nil {
			t.Fatal(err)
		}
		asMap["a_field_of_tomorrow"] = true
		for kind, stored := range map[string]any{"bytes": raw, "raw": json.RawMessage(raw), "map": asMap} {
			got, err := Render(params.Template(), stored)
			if err != nil {
				t.Errorf("%s from %s: %v", name, kind, err)
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s from %s: %s", name, kind, diff)
			}
		}
	}
}

// Each link, number and fact of the HTML must be in the text too.
func TestTextIsComplete(t *testing.T) {
	t.Parallel()
	for name, params := range samples() {
		d := &draft{Theme: kestrelTheme}
		params.compose(d)
		got, err := Render(params.Template(), params)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{d.Heading, d.Why}
		for _, b := range d.Blocks {
			want = append(want, b.Text, b.Title, b.Note, b.Code)
			want = append(want, b.Points...)
			for _, f := range b.Facts {
				want = append(want, f.Label+": "+f.Value)
			}
			for _, s := range b.Steps {
				want = append(want, s.What)
			}
			for _, l := range b.Links {
				want = append(want, l.URL)
			}
			if b.Button != nil {
				want = append(want, b.Button.URL)
			}
			if b.Number != nil {
				want = append(want, b.Number.Label)
			}
			if b.Meter != nil {
				want = append(want, b.Meter.Label)
			}
		}
		for _, s := range want {
			if !strings.Contains(got.Text, s) {
				t.Errorf("%s: text lacks %q", name, s)
			}
		}
		if strings.Contains(got.HTML, "ZgotmplZ") || strings.Contains(got.HTML, "<img") != (d.Logo != nil) || strings.Contains(got.HTML, "@import") {
			t.Errorf("%s: HTML holds a filtered value or remote content", name)
		}
	}
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	live, err := Render(TemplateLive, samples()["live"])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(live.Subject, "You're Live!") || !strings.Contains(live.HTML, `href="tel:+18573825169"`) || !strings.Contains(live.HTML, "(857) 382-5169") {
		t.Errorf("live: %q", live.Subject)
	}
}

func TestHostileTextIsHarmless(t *testing.T) {
	t.Parallel()
	params := samples()["live"].(Live)
	params.CompanyName = "Evil\r\nBcc: victim@example.com\u2028\u202e</title><script>alert(1)</script> https://evil.example" + strings.Repeat("x", 500)
	params.OwnerName = `"><img src=x onerror=alert(1)>`
	got, err := Render(TemplateLive, params)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(got.Subject, "\r\n\u2028\u202e") || len(got.Subject) > 300 {
		t.Errorf("subject = %q", got.Subject)
	}
	if strings.Contains(got.HTML, "<script") || strings.Contains(got.HTML, "<img") {
		t.Error("HTML lets markup through")
	}
	if strings.Contains(got.Text, "\nBcc:") || strings.Contains(got.Text, "https://evil.example") {
		t.Errorf("text = %s", got.Text)
	}
}

func TestUnusableParams(t *testing.T) {
	t.Parallel()
	for _, template := range []string{
		TemplateAdminNewTenant, TemplateWelcome, TemplateLive, TemplateTrialEnding, TemplateUsageWarning,
		TemplatePendingReminder, TemplateTenantRequest, TemplateMemberInvite, TemplateAnnouncement, TemplateAuthRecovery, TemplateAuthMagicLink, TemplateAuthConfirm, TemplateAuthInvite,
	} {
		for _, params := range []any{nil, map[string]any{}, json.RawMessage(`{`), json.RawMessage(`[1]`), (*Live)(nil)} {
			if got, err := Render(template, params); !errors.Is(err, ErrParams) || got != (Rendered{}) {
				t.Errorf("%s with %v: %v", template, params, err)
			}
		}
	}
	if _, err := Render("nonesuch", Live{}); !errors.Is(err, ErrUnknownTemplate) {
		t.Errorf("unknown template: %v", err)
	}
	live := samples()["live"].(Live)
	for field, change := range map[string]func(*Live){
		"template":      nil,
		"company_name":  func(p *Live) { p.CompanyName = " \n" },
		"phone_number":  func(p *Live) { p.PhoneNumber = "857-382" },
		"dashboard_url": func(p *Live) { p.DashboardURL = "javascript:alert(1)" },
		"help_url":      func(p *Live) { p.HelpURL = "//evil.example/\n" },
		"brand_color":   func(p *Live) { p.BrandColor = "red;}" },
		"logo_url":      func(p *Live) { p.LogoURL, p.LogoAlt = "http://logos.example/1.png", "HAIEC" },
		"logo_alt":      func(p *Live) { p.LogoURL = "https://logos.example/1.png" },
	} {
		p, name := live, TemplateLive
		if change == nil {
			name, field = TemplateWelcome, "params are those of live"
		} else {
			change(&p)
		}
		if _, err := Render(name, p); !errors.Is(err, ErrParams) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	trial := samples()["trial_ending"].(TrialEnding)
	trial.Timezone = "Mars/Olympus"
	if _, err := Render(TemplateTrialEnding, trial); !errors.Is(err, ErrParams) {
		t.Errorf("timezone: %v", err)
	}
}

func TestTimesAreTheTenants(t *testing.T) {
	t.Parallel()
	trial := samples()["trial_ending"].(TrialEnding)
	trial.TrialEndsAt, trial.Timezone = at("2026-03-08T06:30:00Z"), "America/Los_Angeles"
	got, err := Render(TemplateTrialEnding, trial)
	if err != nil {
		t.Fatal(err)
	}
	if want := "Saturday, March 7, 2026 at 10:30 PM PST (America/Los_Angeles)"; !strings.Contains(got.Text, want) {
		t.Errorf("text lacks %q:\n%s", want, got.Text)
	}
}

func TestBrandColoursKeepTheirContrast(t *testing.T) {
	t.Parallel()
	for r := 0; r < 256; r += 51 {
		for g := 0; g < 256; g += 51 {
			for b := 0; b < 256; b += 51 {
				brand := colour{float64(r), float64(g), float64(b)}
				d := &draft{}
				Brand{BrandColor: brand.String()}.paint(d)
				for _, pair := range [][2]string{{d.Theme.OnBrand, d.Theme.Brand}, {d.Theme.Link, "#ffffff"}, {d.Theme.DarkLink, "#1b1f24"}} {
					fore, _ := parseColour(pair[0])
					back, _ := parseColour(pair[1])
					if contrast(fore, back) < 4.5 {
						t.Errorf("brand %s: %s on %s has %.2f:1", brand, pair[0], pair[1], contrast(fore, back))
					}
				}
			}
		}
	}
}
