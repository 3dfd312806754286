package voice

import (
	"testing"

	"kestrel.ai/server/agent"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	usual := agent.Defaults("hvac", "HAIEC").Routing
	base := Situation{Status: "active", Open: true, ForwardTo: "+16175550100", Routing: usual}
	with := func(change func(*Situation)) Situation {
		s := base
		change(&s)
		return s
	}
	const to = "+16175550100"
	for name, c := range map[string]struct {
		s    Situation
		want Answer
	}{
		"as usual":                          {base, Answer{Route: RouteAgent}},
		"in its trial":                      {with(func(s *Situation) { s.Status = "trial" }), Answer{Route: RouteAgent}},
		"after hours":                       {with(func(s *Situation) { s.Open = false }), Answer{Route: RouteAgent, Reason: BecauseAfterHours}},
		"after hours, voicemail wished":     {with(func(s *Situation) { s.Open = false; s.Routing.AfterHours = agent.ToVoicemail }), Answer{Route: RouteVoicemail, Reason: BecauseAfterHours}},
		"after hours, forward wished":       {with(func(s *Situation) { s.Open = false; s.Routing.AfterHours = agent.ToForward }), Answer{RouteForward, BecauseAfterHours, to}},
		"over the limit":                    {with(func(s *Situation) { s.OverLimit = true }), Answer{RouteForward, BecauseOverLimit, to}},
		"over the limit, nowhere to go":     {with(func(s *Situation) { s.OverLimit = true; s.ForwardTo = "" }), Answer{Route: RouteVoicemail, Reason: BecauseOverLimit}},
		"over the limit, agent wished":      {with(func(s *Situation) { s.OverLimit = true; s.Routing.OverLimit = agent.ToAgent }), Answer{Route: RouteAgent, Reason: BecauseOverLimit}},
		"over the limit, agent is away":     {with(func(s *Situation) { s.OverLimit, s.Unavailable = true, true; s.Routing.OverLimit = agent.ToAgent }), Answer{RouteForward, BecauseUnavailable, to}},
		"suspended":                         {with(func(s *Situation) { s.Status = "suspended" }), Answer{Route: RouteMessage, Reason: BecauseSuspended}},
		"suspended, forward wished":         {with(func(s *Situation) { s.Status = "suspended"; s.Routing.Suspended = agent.ToForward }), Answer{RouteForward, BecauseSuspended, to}},
		"cancelled":                         {with(func(s *Situation) { s.Status = "cancelled" }), Answer{Route: RouteMessage, Reason: BecauseCancelled}},
		"pending":                           {with(func(s *Situation) { s.Status = "pending" }), Answer{Route: RouteMessage, Reason: BecauseNotLive}},
		"blocked":                           {with(func(s *Situation) { s.Blocked = true }), Answer{Route: RouteReject, Reason: BecauseBlocked}},
		"blocked and suspended":             {with(func(s *Situation) { s.Blocked = true; s.Status = "suspended" }), Answer{Route: RouteReject, Reason: BecauseBlocked}},
		"blocked, message wished":           {with(func(s *Situation) { s.Blocked = true; s.Routing.Blocked = agent.ToMessage }), Answer{Route: RouteMessage, Reason: BecauseBlocked}},
		"nowhere to go, message wished":     {with(func(s *Situation) { s.Full, s.ForwardTo, s.Routing.NoForward = true, "", agent.ToMessage }), Answer{Route: RouteMessage, Reason: BecauseConcurrency}},
		"lines busy":                        {with(func(s *Situation) { s.Full = true }), Answer{RouteForward, BecauseConcurrency, to}},
		"lines busy, nowhere to go":         {with(func(s *Situation) { s.Full = true; s.ForwardTo = "" }), Answer{Route: RouteVoicemail, Reason: BecauseConcurrency}},
		"lines busy, message wished":        {with(func(s *Situation) { s.Full = true; s.Routing.Concurrency = agent.ToMessage }), Answer{Route: RouteMessage, Reason: BecauseConcurrency}},
		"forward number is Kestrel's":       {with(func(s *Situation) { s.Full = true; s.ForwardOurs = true }), Answer{Route: RouteVoicemail, Reason: BecauseConcurrency}},
		"model unreachable":                 {with(func(s *Situation) { s.Unavailable = true }), Answer{RouteForward, BecauseUnavailable, to}},
		"model unreachable, nowhere to go":  {with(func(s *Situation) { s.Unavailable = true; s.ForwardTo = "" }), Answer{Route: RouteVoicemail, Reason: BecauseUnavailable}},
		"model unreachable, message wished": {with(func(s *Situation) { s.Unavailable = true; s.Routing.Unavailable = agent.ToMessage }), Answer{Route: RouteMessage, Reason: BecauseUnavailable}},
		"settings say nothing":              {with(func(s *Situation) { s.OverLimit = true; s.Routing = agent.Routing{} }), Answer{RouteForward, BecauseOverLimit, to}},
	} {
		if got := Decide(c.s); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
