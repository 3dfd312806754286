package voice

import "kestrel.ai/server/agent"

// Route is where a call goes.
type Route string

// The routes, all of them. The first is the agent's, then what the caller gets without it.
const (
	RouteAgent     Route = agent.ToAgent
	RouteForward   Route = agent.ToForward
	RouteVoicemail Route = agent.ToVoicemail
	RouteMessage   Route = agent.ToMessage
	RouteReject    Route = agent.ToReject
)

// Why a call takes its route, as call_logs.route_reason has it. The empty one is a call as usual.
const (
	BecauseAfterHours  = "after_hours"
	BecauseOverLimit   = "over_limit"
	BecauseNotLive     = "not_live" // pending: nobody has activated it
	BecauseSuspended   = "suspended"
	BecauseCancelled   = "cancelled"
	BecauseBlocked     = "blocked"
	BecauseConcurrency = "concurrency"
	BecauseUnavailable = "unavailable"
)

// Situation is all that decides where a call goes.
type Situation struct {
	Status      string // the tenant's: pending, trial, active, suspended or cancelled
	Blocked     bool   // the caller is
	Open        bool   // the business is
	OverLimit   bool   // the plan's calls are known to be used up
	Full        bool   // the tenant's lines are busy, or this process's are
	Unavailable bool   // the model cannot be reached, or no key is there
	ForwardTo   string // E.164, empty for none
	ForwardOurs bool   // it is a number of Kestrel's own
	Routing     agent.Routing
}

// Answer is where a call goes, and why where that is not as usual.
type Answer struct {
	Route  Route
	Reason string
	To     string // of RouteForward: E.164
}

// Decide is the whole table of issue "Voice", section 1. The order is that of the questions a person would ask: may this
// caller ring here, does the company still have us, is the call paid for, does anybody answer.
func Decide(s Situation) Answer {
	switch {
	case s.Blocked:
		return s.instead(s.Routing.Blocked, RouteReject, BecauseBlocked)
	case s.Status == "suspended" || s.Status == "cancelled":
		return s.instead(s.Routing.Suspended, RouteMessage, s.Status)
	case s.Status != "trial" && s.Status != "active":
		return s.instead("", RouteMessage, BecauseNotLive)
	}
	answer := Answer{Route: RouteAgent}
	switch {
	case s.OverLimit:
		answer = s.instead(s.Routing.OverLimit, RouteForward, BecauseOverLimit)
	case !s.Open:
		answer = s.instead(s.Routing.AfterHours, RouteAgent, BecauseAfterHours)
	}
	if answer.Route != RouteAgent {
		return answer
	}
	switch {
	case s.Unavailable:
		return s.instead(s.Routing.Unavailable, RouteForward, BecauseUnavailable)
	case s.Full:
		return s.instead(s.Routing.Concurrency, RouteForward, BecauseConcurrency)
	}
	return answer
}

// Ending is where a caller goes whom the agent had and could not keep: forward, else voicemail, unless the tenant wants otherwise.
func (s Situation) Ending() Answer {
	return s.instead(s.Routing.Unavailable, RouteForward, BecauseUnavailable)
}

// instead takes the tenant's wish, or the default where it has none; nobody is forwarded to nowhere, or to ourselves.
func (s Situation) instead(wish string, fallback Route, reason string) Answer {
	route := Route(wish)
	switch route {
	case RouteAgent, RouteForward, RouteVoicemail, RouteMessage:
	default:
		route = fallback
	}
	if route != RouteForward {
		return Answer{Route: route, Reason: reason}
	}
	if s.ForwardTo == "" || s.ForwardOurs {
		if s.Routing.NoForward == agent.ToMessage {
			return Answer{Route: RouteMessage, Reason: reason}
		}
		return Answer{Route: RouteVoicemail, Reason: reason}
	}
	return Answer{Route: RouteForward, Reason: reason, To: s.ForwardTo}
}
