package edge

import (
	"slices"
	"strings"
)

// Role is a person's standing in one tenant.
type Role string

// The roles, each including those before it.
const (
	Viewer Role = "viewer"
	Member Role = "member"
	Admin  Role = "admin"
	Owner  Role = "owner"
)

// Roles lists the roles, weakest first.
var Roles = []Role{Viewer, Member, Admin, Owner}

// AtLeast reports whether r includes least. An unknown role includes nothing, and is included by nothing.
func (r Role) AtLeast(least Role) bool {
	have, want := slices.Index(Roles, r), slices.Index(Roles, least)
	return want >= 0 && have >= want
}

// Action is something one can do within a tenant.
type Action string

// The actions of /api/tenant.
const (
	ReadTenant   Action = "tenant.read" // profile, plan, numbers, usage
	WriteTenant  Action = "tenant.write"
	ReadWork     Action = "work.read" // calls, appointments, messages, contacts
	WriteWork    Action = "work.write"
	ReadAgent    Action = "agent.read"
	WriteAgent   Action = "agent.write"
	TalkToAgent  Action = "talk.write"
	ListenIn     Action = "calls.listen" // on live calls, where the agent's settings allow it
	ReadActivity Action = "activity.read"
	ReadMembers  Action = "members.read"
	WriteMembers Action = "members.write"    // viewers and members
	WriteAdmins  Action = "admins.write"     // admins and owners, and who is owner
	LeaveTenant  Action = "membership.leave" // one's own, to end it; also where a tenant can only be read
	ReadKeys     Action = "keys.read"
	WriteKeys    Action = "keys.write"
	RequestPlan  Action = "plan.write"
	AskBack      Action = "tenant.reactivate" // what a suspended tenant may do besides reading
	ExportTenant Action = "tenant.export"     // all data as a file; leaves a suspended tenant too
	EraseCaller  Action = "erasure.write"
	EndView      Action = "view.end" // a view's own, by its token; no role's and no key's
)

// minRole is the one table of role × action: the weakest role that may. The row-level policies say the same in SQL;
// the isolation tests hold both against each other.
var minRole = map[Action]Role{
	ReadTenant: Viewer, WriteTenant: Admin,
	ReadWork: Viewer, WriteWork: Member,
	ReadAgent: Viewer, WriteAgent: Admin,
	TalkToAgent: Member, ListenIn: Admin,
	ReadActivity: Viewer,
	ReadMembers:  Viewer, WriteMembers: Admin, WriteAdmins: Owner, LeaveTenant: Viewer,
	ReadKeys: Viewer, WriteKeys: Admin, // of a key nothing secret can be read
	RequestPlan: Owner, AskBack: Admin,
	ExportTenant: Admin, EraseCaller: Admin,
}

// keyWrites is what a key's scope "write" opens besides reading; any scope opens that, but no key touches people or keys.
var keyWrites = []Action{WriteTenant, WriteWork}

// scopeRole is the role of a person who may do what a key's scope is asked for.
var scopeRole = map[string]Role{"read": Viewer, "write": Member}

// Writes reports whether the action changes something; a suspended or cancelled tenant can only be read.
func (a Action) Writes() bool { return strings.HasSuffix(string(a), ".write") }

// Actions lists every action, sorted.
func Actions() []Action {
	actions := make([]Action, 0, len(minRole))
	for a := range minRole {
		actions = append(actions, a)
	}
	slices.Sort(actions)
	return actions
}

// Allowed reports whether a person of the role may do the action. Unknown ones may not.
func Allowed(role Role, action Action) bool {
	least, known := minRole[action]
	return known && role.AtLeast(least)
}

// KeyAllowed reports whether an API key with the scopes may do the action.
func KeyAllowed(scopes []string, action Action) bool {
	write := slices.Contains(scopes, "write")
	if action.Writes() {
		return write && slices.Contains(keyWrites, action)
	}
	return (write || slices.Contains(scopes, "read")) && strings.HasSuffix(string(action), ".read") && minRole[action] == Viewer
}

// ViewAllowed reports whether a platform admin's view with the scopes may do the action: what a key may, and end itself.
func ViewAllowed(scopes []string, action Action) bool {
	return action == EndView || KeyAllowed(scopes, action)
}
