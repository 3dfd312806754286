package agent

import "kestrel.ai/jobs"

// Scenario is what a caller may say, and what must come of it.
type Scenario struct {
	Name   string
	HeldAt string // a weekday and local time as "tuesday 10:00"; empty for the time it is run
	Lines  []string
	Expect jobs.Expectation
}

// Scenarios are what a tenant of the industry may begin with. They hold for its default settings.
func Scenarios(industry string) []Scenario {
	s := Defaults(industry, "")
	service := s.Services[0].Name
	const office = "tuesday 10:00"
	all := []Scenario{
		{
			Name: "Books tomorrow at 3 pm", HeldAt: office,
			Lines:  []string{"Hello, this is Pat Jones. I would like to book " + service + " tomorrow at 3 pm. The address is 12 Main Street.", "Yes, please.", "No, that is all. Goodbye."},
			Expect: jobs.Expectation{Outcome: "booked", Tool: toolBook, Contains: []string{"Wednesday", "3:00 PM"}},
		},
		{
			Name: "Asks for a time when nobody works", HeldAt: office,
			Lines:  []string{"Hi, this is Pat Jones. Can you book me in for " + service + " tomorrow at 3 am?"},
			Expect: jobs.Expectation{Lacks: []string{"is booked for"}},
		},
		{
			Name: "Asks what it costs", HeldAt: office,
			Lines:  []string{"How much does " + service + " cost?"},
			Expect: jobs.Expectation{Outcome: "answered"},
		},
		{
			Name: "Asks for the hours", HeldAt: office,
			Lines:  []string{"What are your hours today?"},
			Expect: jobs.Expectation{Outcome: "answered"},
		},
		{
			Name: "Wants a person", HeldAt: office,
			Lines:  []string{"I want to speak to a person."},
			Expect: jobs.Expectation{Tool: toolTransfer},
		},
		{
			Name: "Leaves a message at night", HeldAt: "tuesday 22:00",
			Lines:  []string{"Please take a message. This is Pat Jones.", "Call me back tomorrow morning about my estimate.", "My number is 202 555 0123.", "That is all. Goodbye."},
			Expect: jobs.Expectation{Outcome: "message", Tool: toolMessage},
		},
	}
	if len(s.Emergencies) > 0 {
		all = append(all, Scenario{
			Name: "Reports an emergency", HeldAt: "sunday 03:00",
			Lines:  []string{"Help, it is an emergency: " + s.Emergencies[0].Words[0] + ". I am at 12 Main Street."},
			Expect: jobs.Expectation{Tool: toolEmergency},
		})
	}
	return all
}
