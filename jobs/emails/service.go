package emails

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Live tells the owner that calls are being answered.
type Live struct {
	Brand
	CompanyName  string `json:"company_name"`
	OwnerName    string `json:"owner_name,omitempty"`
	PhoneNumber  string `json:"phone_number"`         // E.164
	ForwardTo    string `json:"forward_to,omitempty"` // E.164
	DashboardURL string `json:"dashboard_url"`
	HelpURL      string `json:"help_url"`
}

// Template implements Params.
func (Live) Template() string { return TemplateLive }

func (p Live) compose(d *draft) {
	p.paint(d)
	company := d.need("company_name", p.CompanyName)
	dashboard := d.link("dashboard_url", p.DashboardURL)
	help := d.link("help_url", p.HelpURL)
	d.need("phone_number", p.PhoneNumber)
	number, tel := d.phone("phone_number", p.PhoneNumber)
	forward, _ := d.phone("forward_to", p.ForwardTo)

	d.Subject = "You're Live! " + company + " now answers every call"
	d.Preheader = "Your number is " + number + ". Call it and hear for yourself."
	d.Heading = "You're Live!"
	d.greet(p.OwnerName)
	d.text("The AI receptionist of " + company + " is answering calls on this number:")
	d.add(block{Number: &link{number, tel}})
	d.title("What it does for you")
	handOver := "Hands over to a person when a caller needs one"
	if forward != "" {
		handOver = "Hands over to you at " + forward + " when a caller needs a person"
	}
	d.add(block{Points: []string{
		"Answers every call, day and night",
		"Books appointments with your callers",
		"Takes messages and shows them in your dashboard",
		handOver,
	}})
	d.title("Next steps")
	d.add(block{Steps: []step{
		{"Try it", "Call " + number + " and hear it answer."},
		{"Use it", "Forward your business line to it, or publish it as your number."},
		{"Tune it", "Check the greeting, hours and services in your dashboard."},
	}})
	d.button("Open your dashboard", dashboard)
	d.add(block{Links: []link{{"Get help", help}}})
	d.Why = "You get this because " + company + " has an account at Kestrel."
}

// TrialEnding is sent three days before a trial ends.
type TrialEnding struct {
	Brand
	CompanyName    string    `json:"company_name"`
	OwnerName      string    `json:"owner_name,omitempty"`
	TrialEndsAt    time.Time `json:"trial_ends_at"`
	Timezone       string    `json:"timezone"`     // IANA name
	Calls          int       `json:"calls"`        // answered during the trial
	Appointments   int       `json:"appointments"` // booked during the trial
	PlanName       string    `json:"plan_name"`
	PlanPriceCents int       `json:"plan_price_cents"` // US cents a month
	BillingURL     string    `json:"billing_url"`      // the tenant's Usage & plan page
}

// Template implements Params.
func (TrialEnding) Template() string { return TemplateTrialEnding }

func (p TrialEnding) compose(d *draft) {
	p.paint(d)
	company := d.need("company_name", p.CompanyName)
	plan := d.need("plan_name", p.PlanName)
	billing := d.link("billing_url", p.BillingURL)
	ends := d.when("trial_ends_at", p.TrialEndsAt, p.Timezone)
	day := d.day("trial_ends_at", p.TrialEndsAt, p.Timezone)
	if p.PlanPriceCents <= 0 {
		d.problem("plan_price_cents", "is missing")
	}
	if p.Calls < 0 || p.Appointments < 0 {
		d.problem("calls or appointments", "is negative")
	}

	d.Subject = "Your Kestrel trial ends on " + day
	d.Preheader = "So far: " + count(p.Calls, "call") + " answered, " + count(p.Appointments, "appointment") + " booked."
	d.Heading = "Your trial ends on " + day
	d.greet(p.OwnerName)
	d.text("Here is what your AI receptionist has done for " + company + " so far:")
	facts := block{}
	facts.fact("Calls answered", thousands(p.Calls), "")
	facts.fact("Appointments", thousands(p.Appointments), "")
	d.add(facts)
	d.text("To keep it answering after the trial, add your billing details before then.")
	facts = block{}
	facts.fact("Trial ends", ends, "")
	facts.fact("Your plan", plan+", "+price(p.PlanPriceCents), "")
	d.add(facts)
	d.button("Update billing", billing)
	d.note("You find it in your dashboard under Usage & plan.")
	d.Why = "You get this because " + company + " is trying Kestrel."
}

// UsageWarning is sent when a tenant has used 80 % and 100 % of a period's calls.
type UsageWarning struct {
	Brand
	CompanyName        string    `json:"company_name"`
	OwnerName          string    `json:"owner_name,omitempty"`
	Threshold          int       `json:"threshold"` // 80 or 100
	CallsUsed          int       `json:"calls_used"`
	CallsLimit         int       `json:"calls_limit"`
	PeriodEndsAt       time.Time `json:"period_ends_at"`
	Timezone           string    `json:"timezone"` // IANA name
	PlanName           string    `json:"plan_name"`
	NextPlanName       string    `json:"next_plan_name,omitempty"` // the next larger plan, if any
	NextPlanCalls      int       `json:"next_plan_calls,omitempty"`
	NextPlanPriceCents int       `json:"next_plan_price_cents,omitempty"` // US cents a month
	UpgradeURL         string    `json:"upgrade_url"`                     // the tenant's Usage & plan page
}

// Template implements Params.
func (UsageWarning) Template() string { return TemplateUsageWarning }

func (p UsageWarning) compose(d *draft) {
	p.paint(d)
	company := d.need("company_name", p.CompanyName)
	plan := d.need("plan_name", p.PlanName)
	upgrade := d.link("upgrade_url", p.UpgradeURL)
	renews := d.when("period_ends_at", p.PeriodEndsAt, p.Timezone)
	day := d.day("period_ends_at", p.PeriodEndsAt, p.Timezone)
	if p.CallsLimit <= 0 || p.CallsUsed <= 0 {
		d.problem("calls_used or calls_limit", "is missing")
		return
	}
	percent := p.CallsUsed * 100 / p.CallsLimit
	used := fmt.Sprintf("%s of %s calls", thousands(p.CallsUsed), thousands(p.CallsLimit))

	switch p.Threshold {
	case 80:
		d.Subject = fmt.Sprintf("%s has used %d%% of this month's calls", company, percent)
		d.Heading = fmt.Sprintf("You have used %d%% of your calls", percent)
		d.text("Your AI receptionist has been busy: " + company + " is close to the limit of its plan for this month.")
	case 100:
		d.Subject = company + " has used all of this month's calls"
		d.Heading = "You have used all of your calls"
		d.text("Your AI receptionist has been busy: " + company + " has used all the calls in its plan for this month.")
	default:
		d.problem("threshold", "is not 80 or 100")
	}
	d.Preheader = used + ". A new month of calls starts on " + day + "."
	d.greet(p.OwnerName)
	d.add(block{Meter: &meter{
		Label: fmt.Sprintf("%s (%d%%)", used, percent), Percent: min(percent, 100), Rest: 100 - min(percent, 100), Full: percent >= 100,
	}})
	facts := block{}
	facts.fact("Your plan", plan, "")
	facts.fact("Renews", renews, "")
	next := clean(p.NextPlanName)
	if next != "" && p.NextPlanCalls > 0 && p.NextPlanPriceCents > 0 {
		facts.fact("Next plan", next+", "+count(p.NextPlanCalls, "call")+" for "+price(p.NextPlanPriceCents), "")
	}
	d.add(facts)
	d.button("Upgrade your plan", upgrade)
	d.note("You find it in your dashboard under Usage & plan.")
	d.Why = "You get this because " + company + " has an account at Kestrel."
}

// bare is a URL as people read it.
func bare(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return strings.TrimSuffix(u.Host+u.Path, "/")
}
