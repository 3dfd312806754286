package emails

import "strings"

// Announcement carries what platform admins have to say to an owner, in their own words.
type Announcement struct {
	Brand
	CompanyName  string `json:"company_name"`
	OwnerName    string `json:"owner_name,omitempty"`
	Subject      string `json:"subject"`
	Text         string `json:"text"` // plain; a blank line between paragraphs
	DashboardURL string `json:"dashboard_url"`
}

// Template implements Params.
func (Announcement) Template() string { return TemplateAnnouncement }

func (p Announcement) compose(d *draft) {
	p.paint(d)
	company := d.need("company_name", p.CompanyName)
	dashboard := d.link("dashboard_url", p.DashboardURL)
	d.Subject = d.need("subject", p.Subject)
	d.Heading = d.Subject
	d.greet(p.OwnerName)
	var paragraphs int
	for part := range strings.SplitSeq(strings.ReplaceAll(p.Text, "\r\n", "\n"), "\n\n") {
		if part = harmless(part); part != "" {
			if paragraphs == 0 {
				d.Preheader = clean(part)
			}
			d.text(part)
			paragraphs++
		}
	}
	if paragraphs == 0 {
		d.problem("text", "is missing")
	}
	d.button("Open your dashboard", dashboard)
	d.Why = "You get this because " + company + " has an account at Kestrel."
}
