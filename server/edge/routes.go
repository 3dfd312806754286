package edge

import (
	"strings"

	"kestrel.ai/subdomain"
)

// access says who a path is for. Whom exactly, of those, the operation's own check decides.
type access uint8

const (
	open     access = iota // the edge does not look at credentials: pages, sign-in, signed webhooks
	tenant                 // members and API keys of the host's tenant (on api.: the key's, or X-Kestrel-Tenant's)
	platform               // platform admins
	either                 // tenant or platform, whichever the host is about
)

type hosts uint8

const (
	onApex hosts = 1 << iota
	onAdmin
	onTenant
	onAPI
)

type route struct {
	prefix string
	hosts  hosts
	access access
	class  Class
}

// routes is the whole table of what is served where; the first prefix that matches decides. Everything else is 404.
var routes = [...]route{
	{"/api/onboarding", onApex | onAPI, open, ClassOnboarding},
	{"/api/admin", onAdmin | onAPI, platform, ClassIP},
	{"/api/twilio", onAdmin | onAPI, platform, ClassIP},
	{"/api/tenant/invitations/open", onTenant, open, ClassAuth}, // whoever holds a link
	{"/api/tenant/invitations/accept", onTenant, open, ClassAuth},
	{"/api/tenant/calendar", onTenant, open, ClassAuth},
	{"/api/tenant", onTenant | onAPI, tenant, ClassIP},
	{"/api/jobs", onAdmin | onTenant | onAPI, either, ClassIP},
	{"/api/tickets", onAdmin | onTenant | onAPI, either, ClassIP},
	{"/api/voice", onAPI, open, unlimited}, // Twilio, by signature
	{"/api/sms", onAPI, open, unlimited},
	{"/api", onAPI, either, ClassIP},
	{"/auth/v1", onAdmin | onTenant, open, ClassAuth}, // Supabase Auth judges its own callers
	{"/openapi.json", onApex | onAdmin | onAPI, open, ClassIP},
	{"/docs", onApex | onAdmin | onAPI, open, unlimited},
	{"/jobs", onAdmin, platform, ClassIP}, // River UI
	{"/onboarding", onApex, open, unlimited},
	{"/", onApex | onAdmin | onTenant, open, unlimited}, // pages and their assets
}

// match returns the path's route on the kind of host.
func match(kind subdomain.HostKind, path string) (route, bool) {
	var on hosts
	switch kind {
	case subdomain.Apex:
		on = onApex
	case subdomain.Admin:
		on = onAdmin
	case subdomain.TenantHost:
		on = onTenant
	case subdomain.API:
		on = onAPI
	}
	for _, r := range routes {
		if under(path, r.prefix) {
			return r, r.hosts&on != 0
		}
	}
	return route{}, false
}

// under reports whether the path is the prefix or lies below it: /jobs/1 is under /jobs, /jobsearch is not.
func under(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/' || prefix == "/")
}

// plain reports whether the raw path is one that every reader takes for the same: no dot segments, empty segments,
// backslashes or encoded separators.
func plain(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '/':
			rest := path[i+1:]
			segment, _, _ := strings.Cut(rest, "/")
			if segment == "." || segment == ".." || segment == "" && rest != "" {
				return false
			}
		case '\\', 0:
			return false
		case '%':
			if i+2 < len(path) {
				switch strings.ToLower(path[i+1 : i+3]) {
				case "2f", "5c", "2e", "00":
					return false
				}
			}
		}
	}
	return true
}
