package emails

import "time"

// PendingReminder tells the platform's admin that a tenant has waited for activation for a day.
type PendingReminder struct {
	CompanyName string    `json:"company_name"`
	Slug        string    `json:"slug"`
	PlanName    string    `json:"plan_name"`
	OwnerName   string    `json:"owner_name,omitempty"`
	OwnerEmail  string    `json:"owner_email"`
	OwnerPhone  string    `json:"owner_phone,omitempty"`  // E.164
	PhoneNumber string    `json:"phone_number,omitempty"` // E.164, if it has one
	CreatedAt   time.Time `json:"created_at"`
	Timezone    string    `json:"timezone"`  // IANA name, of the tenant
	AdminURL    string    `json:"admin_url"` // the tenant in the admin app
}

// Template implements Params.
func (PendingReminder) Template() string { return TemplatePendingReminder }

func (p PendingReminder) compose(d *draft) {
	company := d.need("company_name", p.CompanyName)
	slug := d.need("slug", p.Slug)
	plan := d.need("plan_name", p.PlanName)
	admin := d.link("admin_url", p.AdminURL)
	email, mailto := d.address("owner_email", p.OwnerEmail)
	phone, tel := d.phone("owner_phone", p.OwnerPhone)
	number, numberTel := d.phone("phone_number", p.PhoneNumber)

	d.Subject = "Still waiting: " + company
	d.Preheader = "Signed up more than a day ago, and nobody has activated it yet."
	d.Heading = company + " is waiting for you"
	d.text("This tenant has waited for activation for more than 24 hours. After 48 hours it counts as overdue.")
	facts := block{}
	facts.fact("Slug", slug, "")
	facts.fact("Plan", plan, "")
	facts.fact("Number", number, numberTel)
	facts.fact("Waiting since", d.when("created_at", p.CreatedAt, p.Timezone), "")
	facts.fact("Owner", clean(p.OwnerName), "")
	facts.fact("Email", email, mailto)
	facts.fact("Phone", phone, tel)
	d.add(facts)
	next := "Buy it a phone number"
	if number != "" {
		next = "Check that " + number + " is ready"
	}
	d.title("Next steps")
	d.add(block{Steps: []step{{"", next}, {"", "Activate the tenant, or tell the owner what is missing"}}})
	d.button("Open tenant in admin", admin)
	d.Why = "You get this because you run this Kestrel platform."
}

// TenantRequest tells the platform's admin what a customer asks for.
type TenantRequest struct {
	Kind                 string `json:"kind"` // plan or reactivation
	CompanyName          string `json:"company_name"`
	Slug                 string `json:"slug"`
	PlanName             string `json:"plan_name"` // the one it has
	PlanPriceCents       int    `json:"plan_price_cents"`
	PlanWanted           string `json:"plan_wanted,omitempty"`
	PlanWantedPriceCents int    `json:"plan_wanted_price_cents,omitempty"` // US cents a month
	RequestedBy          string `json:"requested_by,omitempty"`            // e-mail address
	OwnerEmail           string `json:"owner_email"`
	OwnerPhone           string `json:"owner_phone,omitempty"` // E.164
	AdminURL             string `json:"admin_url"`             // the tenant in the admin app
}

// Template implements Params.
func (TenantRequest) Template() string { return TemplateTenantRequest }

func (p TenantRequest) compose(d *draft) {
	company := d.need("company_name", p.CompanyName)
	slug := d.need("slug", p.Slug)
	plan := d.need("plan_name", p.PlanName)
	admin := d.link("admin_url", p.AdminURL)
	email, mailto := d.address("owner_email", p.OwnerEmail)
	phone, tel := d.phone("owner_phone", p.OwnerPhone)
	if p.PlanPriceCents <= 0 {
		d.problem("plan_price_cents", "is missing")
	}
	facts := block{}
	facts.fact("Slug", slug, "")
	facts.fact("Plan", plan+", "+price(p.PlanPriceCents), "")
	switch p.Kind {
	case "plan":
		wanted := d.need("plan_wanted", p.PlanWanted)
		if p.PlanWantedPriceCents <= 0 {
			d.problem("plan_wanted_price_cents", "is missing")
		}
		facts.fact("Wants", wanted+", "+price(p.PlanWantedPriceCents), "")
		d.Subject = company + " asks for the " + wanted + " plan"
		d.Heading = company + " asks for another plan"
		d.Preheader = "From " + plan + " to " + wanted + "."
		d.text("Confirm it and the new plan's limits hold at once; decline it and say why.")
	case "reactivation":
		d.Subject = company + " asks to be reactivated"
		d.Heading = company + " wants to come back"
		d.Preheader = "Its calls are not answered at present."
		d.text("Settle what led to the suspension, then activate the tenant.")
	default:
		d.problem("kind", "is not plan or reactivation")
	}
	facts.fact("Asked by", clean(p.RequestedBy), "")
	facts.fact("Owner", email, mailto)
	facts.fact("Phone", phone, tel)
	d.add(facts)
	d.button("Open tenant in admin", admin)
	d.Why = "You get this because you run this Kestrel platform."
}
