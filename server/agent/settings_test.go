package agent_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kestrel.ai/server/agent"
)

func TestDefaultsCanBePublished(t *testing.T) {
	t.Parallel()
	want := []string{"dental", "electrical", "generic", "hvac", "legal", "plumbing", "salon"}
	if diff := cmp.Diff(want, agent.Industries()); diff != "" {
		t.Fatal(diff)
	}
	for _, industry := range append(want, "astrology") {
		s := agent.Defaults(industry, strings.Repeat("é", 120))
		if wrong := s.Validate(); len(wrong) > 0 {
			t.Errorf("%s: %v", industry, wrong)
		}
		if !s.Recording.Enabled || s.Recording.ConsentText == "" || len(s.Services) == 0 || len(s.Hours.Weekly) < 5 {
			t.Errorf("%s lacks something: %+v", industry, s)
		}
	}
	emergencies := func(industry string) (words []string) {
		for _, e := range agent.Defaults(industry, "A").Emergencies {
			words = append(words, e.Words...)
		}
		return words
	}
	if !slices.Contains(emergencies("hvac"), "no heat") || !slices.Contains(emergencies("hvac"), "gas leak") || !slices.Contains(emergencies("plumbing"), "flooding") {
		t.Error("gas, no heat and flooding are emergencies")
	}
	a, b := agent.Defaults("hvac", "A"), agent.Defaults("hvac", "A")
	a.Emergencies[0].Words[0], a.Services[0].Name = "changed", "changed"
	if b.Emergencies[0].Words[0] == "changed" || b.Services[0].Name == "changed" {
		t.Error("defaults share memory")
	}
}

func TestValidateNamesTheField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		field string
		spoil func(*agent.Settings)
	}{
		{"business_name", func(s *agent.Settings) { s.BusinessName = " " }},
		{"greeting", func(s *agent.Settings) { s.Greeting = "Hello\nthere" }},
		{"greeting", func(s *agent.Settings) { s.Greeting = strings.Repeat("a", 501) }},
		{"description", func(s *agent.Settings) { s.Description = "a\x00b" }},
		{"voice", func(s *agent.Settings) { s.Voice = "../etc" }},
		{"languages", func(s *agent.Settings) { s.Languages = nil }},
		{"languages[1]", func(s *agent.Settings) { s.Languages = []string{"en", "en"} }},
		{"services[1].name", func(s *agent.Settings) { s.Services[1].Name = strings.ToUpper(s.Services[0].Name) }},
		{"services[0].minutes", func(s *agent.Settings) { s.Services[0].Minutes = -1 }},
		{"knowledge[0].text", func(s *agent.Settings) { s.Knowledge[0].Text = "" }},
		{"hours.weekly[0].day", func(s *agent.Settings) { s.Hours.Weekly[0].Day = "Monday" }},
		{"hours.weekly[0].opens", func(s *agent.Settings) { s.Hours.Weekly[0].Opens = "8:00" }},
		{"hours.weekly[0].opens", func(s *agent.Settings) { s.Hours.Weekly[0].Opens = "24:00" }},
		{"hours.weekly[0].closes", func(s *agent.Settings) { s.Hours.Weekly[0].Closes = "08:00" }},
		{"hours.weekly[1]", func(s *agent.Settings) { s.Hours.Weekly[1] = s.Hours.Weekly[0] }},
		{"hours.holidays[0].date", func(s *agent.Settings) { s.Hours.Holidays = []agent.Holiday{{Date: "2026-02-30"}} }},
		{"hours.holidays[1].date", func(s *agent.Settings) {
			s.Hours.Holidays = []agent.Holiday{{Date: "2026-12-25"}, {Date: "2026-12-25"}}
		}},
		{"hours.holidays[0].closes", func(s *agent.Settings) { s.Hours.Holidays = []agent.Holiday{{Date: "2026-12-25", Opens: "09:00"}} }},
		{"booking.slot_minutes", func(s *agent.Settings) { s.Booking.SlotMinutes = 0 }},
		{"booking.capacity", func(s *agent.Settings) { s.Booking.Capacity = 51 }},
		{"booking.lead_minutes", func(s *agent.Settings) { s.Booking.LeadMinutes, s.Booking.HorizonDays = 43200, 30 }},
		{"transfers[0].number", func(s *agent.Settings) { s.Transfers = []agent.Transfer{{Name: "Desk", Number: "12"}} }},
		{"transfers[0].number", func(s *agent.Settings) { s.Transfers = []agent.Transfer{{Name: "Desk"}} }},
		{"emergencies[0].action", func(s *agent.Settings) { s.Emergencies[0].Action = "pray" }},
		{"emergencies[0].words[0]", func(s *agent.Settings) { s.Emergencies[0].Words[0] = "" }},
		{"block_list[0]", func(s *agent.Settings) { s.BlockList = []string{"spam"} }},
		{"recording.consent_text", func(s *agent.Settings) { s.Recording.ConsentText = "" }},
		{"vad.threshold", func(s *agent.Settings) { s.VAD.Threshold = 1.5 }},
		{"limits.max_call_seconds", func(s *agent.Settings) { s.Limits.MaxCallSeconds = 0 }},
		{"routing.suspended", func(s *agent.Settings) { s.Routing.Suspended = agent.ToAgent }},
		{"notify.email", func(s *agent.Settings) { s.Notify.Email = "nobody" }},
		{"notify.when[0]", func(s *agent.Settings) { s.Notify.When = []string{"always"} }},
	} {
		s := agent.Defaults("hvac", "HAIEC")
		c.spoil(&s)
		wrong := s.Validate()
		if len(wrong) != 1 || wrong[0].Field != c.field {
			t.Errorf("want %s, got %v", c.field, wrong)
		}
	}
	s := agent.Defaults("hvac", "HAIEC")
	s.Transfers = []agent.Transfer{{Name: "Desk", Number: "(857) 382-5169"}}
	if wrong := s.Validate(); len(wrong) > 0 || s.Transfers[0].Number != "+18573825169" {
		t.Error(wrong, s.Transfers)
	}
}

// TestCompleteAnswersAllTheSame: whatever is stored, the agent has settings it can answer with.
func TestCompleteAnswersAllTheSame(t *testing.T) {
	t.Parallel()
	base := agent.Defaults("hvac", "HAIEC")
	for _, c := range []struct {
		stored string
		want   func(*agent.Settings)
		wrong  []string
	}{
		{`{}`, func(*agent.Settings) {}, nil},
		{``, func(*agent.Settings) {}, nil},
		{`{"greeting":null}`, func(*agent.Settings) {}, nil},
		{`{"greeting":"Hi","services":[{"name":"One"}]}`, func(s *agent.Settings) { s.Greeting, s.Services = "Hi", []agent.Service{{Name: "One"}} }, nil},
		{`{"booking":{"capacity":4}}`, func(s *agent.Settings) { s.Booking.Capacity = 4 }, nil},
		{`{"greeting":7,"voice":"marin"}`, func(s *agent.Settings) { s.Voice = "marin" }, []string{"greeting"}},
		{`{"hours":{"weekly":[{"day":"monday","opens":"9"}]},"voice":"marin"}`, func(s *agent.Settings) { s.Voice = "marin" }, []string{"hours.weekly[0].opens", "hours.weekly[0].closes"}},
		{`[1]`, func(*agent.Settings) {}, []string{"settings"}},
	} {
		want := base
		c.want(&want)
		got, wrong := agent.Complete(json.RawMessage(c.stored), "hvac", "HAIEC")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(c.stored, diff)
		}
		var fields []string
		for _, w := range wrong {
			fields = append(fields, w.Field)
		}
		if diff := cmp.Diff(c.wrong, fields); diff != "" {
			t.Error(c.stored, diff)
		}
	}
}
