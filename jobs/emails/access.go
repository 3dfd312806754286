package emails

import (
	"regexp"
	"time"
)

// MemberInvite asks a person to join a tenant's dashboard.
type MemberInvite struct {
	Brand
	CompanyName string    `json:"company_name"`
	InvitedBy   string    `json:"invited_by,omitempty"` // a name
	Role        string    `json:"role"`                 // viewer, member, admin or owner
	AcceptURL   string    `json:"accept_url"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	Timezone    string    `json:"timezone,omitempty"` // IANA name; needed with ExpiresAt
}

// Template implements Params.
func (MemberInvite) Template() string { return TemplateMemberInvite }

func (p MemberInvite) compose(d *draft) {
	p.paint(d)
	company := d.need("company_name", p.CompanyName)
	accept := d.link("accept_url", p.AcceptURL)
	by := clean(p.InvitedBy)
	if by == "" {
		by = company
	}
	can := map[string]string{
		"viewer": "You will be able to see its calls, messages and appointments.",
		"member": "You will be able to work with its calls, messages and appointments.",
		"admin":  "You will be able to change its settings and invite others.",
		"owner":  "You will be able to manage everything, billing included.",
	}[p.Role]
	if can == "" {
		d.problem("role", "is not viewer, member, admin or owner")
	}
	d.Subject = "Join " + company + " on Kestrel"
	d.Preheader = by + " invites you to the dashboard of " + company + "."
	d.Heading = "Join " + company + " on Kestrel"
	d.Greeting = "Hello,"
	d.text(by + " invites you to the dashboard of " + company + ". " + can)
	d.button("Accept invitation", accept)
	if !p.ExpiresAt.IsZero() {
		d.note("The invitation is open until " + d.when("expires_at", p.ExpiresAt, p.Timezone) + ".")
	}
	d.Why = "You get this because somebody invited this address. If you do not know " + company + ", ignore it."
}

// AuthEmail holds what all sign-in emails have: one link, and the same as a code.
type AuthEmail struct {
	URL  string `json:"url"`
	Code string `json:"code"` // six digits
	// ValidMinutes is how long both work; 0 means 60.
	ValidMinutes int `json:"valid_minutes,omitempty"`
}

// AuthRecovery lets a person set a new password.
type AuthRecovery struct{ AuthEmail }

// AuthMagicLink signs a person in without a password.
type AuthMagicLink struct{ AuthEmail }

// AuthConfirm confirms a new address.
type AuthConfirm struct{ AuthEmail }

// AuthInvite asks a person to set up a sign-in.
type AuthInvite struct{ AuthEmail }

// Template implements Params.
func (AuthRecovery) Template() string { return TemplateAuthRecovery }

// Template implements Params.
func (AuthMagicLink) Template() string { return TemplateAuthMagicLink }

// Template implements Params.
func (AuthConfirm) Template() string { return TemplateAuthConfirm }

// Template implements Params.
func (AuthInvite) Template() string { return TemplateAuthInvite }

func (p AuthRecovery) compose(d *draft) {
	p.write(d, "Set a new password", "Somebody, most likely you, asked to set a new password for your Kestrel sign-in.", "Set password")
}

func (p AuthMagicLink) compose(d *draft) {
	p.write(d, "Sign in to Kestrel", "Use this button to sign in. No password is needed.", "Sign in")
}

func (p AuthConfirm) compose(d *draft) {
	p.write(d, "Confirm your email address", "Please confirm that this address is yours.", "Confirm address")
}

func (p AuthInvite) compose(d *draft) {
	p.write(d, "You are invited to Kestrel", "A sign-in has been made for you. Accept it and choose a password.", "Accept invitation")
}

var sixDigits = regexp.MustCompile(`^[0-9]{6}$`)

func (p AuthEmail) write(d *draft, subject, text, button string) {
	link := d.link("url", p.URL)
	if !sixDigits.MatchString(p.Code) {
		d.problem("code", "is not six digits")
	}
	minutes := p.ValidMinutes
	if minutes <= 0 {
		minutes = 60
	}
	valid := "Valid for " + count(minutes, "minute")
	if minutes%60 == 0 {
		valid = "Valid for " + count(minutes/60, "hour")
	}
	d.Subject, d.Heading = subject, subject
	d.Preheader = "Your code is " + p.Code + ". " + valid + "."
	d.Greeting = "Hello,"
	d.text(text)
	d.button(button, link)
	d.text("Or enter this code:")
	d.add(block{Code: p.Code})
	d.note(valid + ", once. Never pass it on: nobody at Kestrel will ask for it.")
	d.Why = "If you did not ask for this, ignore it; nothing changes."
}
