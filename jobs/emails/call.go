package emails

import (
	"fmt"
	"time"
)

// CallSummary tells the owner of a call, or of what a caller has just said.
type CallSummary struct {
	Brand
	CompanyName   string    `json:"company_name,omitempty"`
	Reason        string    `json:"reason"` // emergency, booked, rescheduled, cancelled, message, missed or every_call
	CallerName    string    `json:"caller_name,omitempty"`
	CallerPhone   string    `json:"caller_phone,omitempty"` // E.164
	CallerAddress string    `json:"caller_address,omitempty"`
	At            time.Time `json:"at"`
	Seconds       int       `json:"seconds,omitempty"`  // how long it took
	Timezone      string    `json:"timezone,omitempty"` // IANA name
	Summary       string    `json:"summary,omitempty"`
	FollowUp      string    `json:"follow_up,omitempty"`
	Messages      []string  `json:"messages,omitempty"`
	Bookings      []Booking `json:"bookings,omitempty"`
	CallURL       string    `json:"call_url"`
}

// Booking is an appointment that a call led to.
type Booking struct {
	At      time.Time `json:"at"`
	Service string    `json:"service,omitempty"`
}

// Template implements Params.
func (CallSummary) Template() string { return TemplateCallSummary }

// CallReason is what a notice is about, in two or three words; empty for a reason that is none.
func CallReason(reason string) string {
	switch reason {
	case "emergency":
		return "EMERGENCY"
	case "booked":
		return "New booking"
	case "rescheduled":
		return "Appointment moved"
	case "cancelled":
		return "Appointment cancelled"
	case "message":
		return "New message"
	case "missed":
		return "Missed call"
	case "every_call":
		return "Call answered"
	}
	return ""
}

func (p CallSummary) compose(d *draft) {
	p.paint(d)
	company := d.need("company_name", p.CompanyName)
	page := d.link("call_url", p.CallURL)
	at := d.when("at", p.At, p.Timezone)
	number, tel := d.phone("caller_phone", p.CallerPhone)
	what := CallReason(p.Reason)
	if what == "" {
		d.problem("reason", "is not one of those known")
	}
	who := clean(p.CallerName)
	switch {
	case who == "" && number == "":
		who = "an unknown caller"
	case who == "":
		who = number
	}

	d.Subject = what + ": " + who
	d.Heading = d.Subject
	d.Preheader = company + ", " + at
	if p.Reason == "emergency" {
		d.text("A caller reports an emergency. Please call back at once.")
	}
	for _, m := range p.Messages {
		if m = harmless(m); m != "" {
			d.Preheader = clean(m)
			d.text("“" + m + "”")
		}
	}
	if s := harmless(p.Summary); s != "" {
		d.Preheader = clean(s)
		d.text(s)
	}
	facts := block{}
	facts.fact("Caller", clean(p.CallerName), "")
	facts.fact("Number", number, tel)
	facts.fact("Address", harmless(p.CallerAddress), "")
	for _, b := range p.Bookings {
		facts.fact("Appointment", d.when("bookings", b.At, p.Timezone), "")
		facts.fact("Service", clean(b.Service), "")
	}
	facts.fact("When", at, "")
	if p.Seconds > 0 {
		facts.fact("Length", fmt.Sprintf("%d:%02d min", p.Seconds/60, p.Seconds%60), "")
	}
	facts.fact("To do", harmless(p.FollowUp), "")
	d.add(facts)
	d.button("Open in your dashboard", page)
	d.Why = "You get this because " + company + " wants to be told of its calls. You choose which in the receptionist's settings."
}
