package emails

import "time"

// AdminNewTenant tells the platform's admins about a new tenant.
type AdminNewTenant struct {
	CompanyName string    `json:"company_name"`
	Slug        string    `json:"slug"`
	Status      string    `json:"status"` // pending, trial or active
	Industry    string    `json:"industry,omitempty"`
	PlanName    string    `json:"plan_name"`
	OwnerName   string    `json:"owner_name,omitempty"`
	OwnerEmail  string    `json:"owner_email"`
	OwnerPhone  string    `json:"owner_phone,omitempty"`  // E.164
	PhoneNumber string    `json:"phone_number,omitempty"` // E.164; given at creation, if any
	ForwardTo   string    `json:"forward_to,omitempty"`   // E.164
	CreatedAt   time.Time `json:"created_at"`
	Timezone    string    `json:"timezone"`  // IANA name, of the tenant
	AdminURL    string    `json:"admin_url"` // the tenant in the admin app
}

// Template implements Params.
func (AdminNewTenant) Template() string { return TemplateAdminNewTenant }

func (p AdminNewTenant) compose(d *draft) {
	company := d.need("company_name", p.CompanyName)
	slug := d.need("slug", p.Slug)
	plan := d.need("plan_name", p.PlanName)
	owner := clean(p.OwnerName)
	number, tel := d.phone("phone_number", p.PhoneNumber)
	admin := d.link("admin_url", p.AdminURL)
	email, mailto := d.address("owner_email", p.OwnerEmail)
	ownerPhone, ownerTel := d.phone("owner_phone", p.OwnerPhone)
	forward, forwardTel := d.phone("forward_to", p.ForwardTo)

	var status string
	steps := []step{}
	switch p.Status {
	case "pending":
		status = "Pending: waiting for you"
		if number == "" {
			steps = append(steps, step{"", "Check the details and buy a phone number"})
		} else {
			steps = append(steps, step{"", "Check the details, and that " + number + " is ready"})
		}
		steps = append(steps,
			step{"", "Call the number once to hear the receptionist"},
			step{"", "Activate the tenant: the owner then gets the “You're Live!” email"})
	case "trial", "active":
		status = map[string]string{"trial": "On trial", "active": "Active"}[p.Status]
		if number == "" {
			steps = append(steps, step{"", "Buy a phone number: calls cannot come in before that"})
		} else {
			steps = append(steps, step{"", "Check that " + number + " is ready"})
		}
		steps = append(steps,
			step{"", "Call the number once to hear the receptionist"},
			step{"", "Say hello to the owner"})
	default:
		d.problem("status", "is not pending, trial or active")
	}

	d.Subject = "New tenant: " + company
	d.Preheader = status + ". " + plan + " plan, owner " + email + "."
	d.Heading = company + " has joined Kestrel"
	d.title("Company")
	facts := block{}
	facts.fact("Name", company, "")
	facts.fact("Slug", slug, "")
	facts.fact("Industry", clean(p.Industry), "")
	facts.fact("Plan", plan, "")
	facts.fact("Status", status, "")
	facts.fact("Number", number, tel)
	facts.fact("Forwards to", forward, forwardTel)
	facts.fact("Created", d.when("created_at", p.CreatedAt, p.Timezone), "")
	d.add(facts)
	d.title("Owner")
	facts = block{}
	facts.fact("Name", owner, "")
	facts.fact("Email", email, mailto)
	facts.fact("Phone", ownerPhone, ownerTel)
	d.add(facts)
	d.title("Next steps")
	d.add(block{Steps: steps})
	d.button("Open tenant in admin", admin)
	d.Why = "You get this because you run this Kestrel platform."
}

// Welcome greets a new tenant's owner, in words that fit the status.
type Welcome struct {
	Brand
	CompanyName    string    `json:"company_name"`
	OwnerName      string    `json:"owner_name,omitempty"`
	Status         string    `json:"status"` // pending, trial or active
	PlanName       string    `json:"plan_name"`
	PlanCalls      int       `json:"plan_calls"`             // calls a month
	TrialDays      int       `json:"trial_days,omitempty"`   // needed while pending
	TrialEndsAt    time.Time `json:"trial_ends_at,omitzero"` // needed on trial
	Timezone       string    `json:"timezone,omitempty"`     // IANA name; needed on trial
	PhoneNumber    string    `json:"phone_number,omitempty"` // E.164, once it is live
	DashboardURL   string    `json:"dashboard_url"`
	SetPasswordURL string    `json:"set_password_url,omitempty"` // empty for an owner who can sign in already
	HelpURL        string    `json:"help_url"`
}

// Template implements Params.
func (Welcome) Template() string { return TemplateWelcome }

func (p Welcome) compose(d *draft) {
	p.paint(d)
	company := d.need("company_name", p.CompanyName)
	plan := d.need("plan_name", p.PlanName)
	dashboard := d.link("dashboard_url", p.DashboardURL)
	password := d.optionalLink("set_password_url", p.SetPasswordURL)
	help := d.link("help_url", p.HelpURL)
	number, tel := d.phone("phone_number", p.PhoneNumber)
	if p.PlanCalls <= 0 {
		d.problem("plan_calls", "is missing")
	}

	first := "Look around your dashboard."
	if password != "" {
		first = "Set your password and look around your dashboard."
	}
	var steps []step
	trial := ""
	switch p.Status {
	case "pending":
		if p.TrialDays <= 0 {
			d.problem("trial_days", "is missing")
		}
		trial = count(p.TrialDays, "day") + " free, no credit card needed"
		d.Preheader = "We are setting up your AI receptionist. Here is what happens next."
		d.text("Thank you for choosing Kestrel. We are getting an AI receptionist ready for " + company + ". Here is what happens next.")
		steps = []step{
			{"Now", first},
			{"Within 48 hours", "We set up your phone number and check that calls come through."},
			{"Then", "You get an email headed “You're Live!” with your number, and your first calls can come in."},
		}
	case "trial":
		trial = "Free until " + d.when("trial_ends_at", p.TrialEndsAt, p.Timezone)
		d.Preheader = "Your free trial has started. Here is how to make the most of it."
		d.text("Thank you for choosing Kestrel. The free trial for " + company + " has started, and no credit card is needed.")
		steps = firstSteps(first, number)
	case "active":
		d.Preheader = "Your account is active. Here is how to get started."
		d.text("Thank you for choosing Kestrel. The account for " + company + " is active.")
		steps = firstSteps(first, number)
	default:
		d.problem("status", "is not pending, trial or active")
	}

	d.Subject = "Welcome to Kestrel, " + company
	d.Heading = "Welcome to Kestrel"
	d.greet(p.OwnerName)
	if number != "" {
		d.add(block{Number: &link{number, tel}})
	}
	d.add(block{Steps: steps})
	if password != "" {
		d.button("Set your password", password)
		d.note("The link works once. If it has expired, choose “Forgot password” where you sign in.")
	} else {
		d.button("Open your dashboard", dashboard)
	}
	d.title("Your account")
	facts := block{}
	facts.fact("Dashboard", bare(dashboard), dashboard)
	facts.fact("Plan", plan+", "+count(p.PlanCalls, "call")+" a month", "")
	facts.fact("Trial", trial, "")
	d.add(facts)
	d.add(block{Links: []link{{"Get help", help}}})
	d.Why = "You get this because " + company + " has an account at Kestrel."
}

func firstSteps(first, number string) []step {
	if number == "" {
		return []step{
			{"Now", first},
			{"Within 48 hours", "We set up your phone number and tell you by email."},
			{"Then", "Call it yourself, and send your customers' calls to it."},
		}
	}
	return []step{
		{"First", first},
		{"Next", "Call " + number + " and hear your receptionist answer."},
		{"Then", "Forward your business line to it, or publish it as your number."},
	}
}
