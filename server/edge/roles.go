package edge

import "slices"

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
	ReadActivity Action = "activity.read"
	ReadMembers  Action = "members.read"
	WriteMembers Action = "members.write" // all but owners
	WriteOwners  Action = "owners.write"
	ReadKeys     Action = "keys.read"
	WriteKeys    Action = "keys.write"
)

// minRole is the one table of role × action: the weakest role that may. The row-level policies say the same in SQL;
// the isolation tests hold both against each other.
var minRole = map[Action]Role{
	ReadTenant: Viewer, WriteTenant: Admin,
	ReadWork: Viewer, WriteWork: Member,
	ReadAgent: Viewer, WriteAgent: Admin,
	ReadActivity: Viewer,
	ReadMembers:  Viewer, WriteMembers: Admin, WriteOwners: Owner,
	ReadKeys: Admin, WriteKeys: Admin,
}

// keyRole is what an API key's scope stands for.
var keyRole = map[string]Role{"read": Viewer, "write": Member}

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

// KeyAllowed reports whether an API key with the scopes may do the action: "read" as a viewer, "write" as a member.
func KeyAllowed(scopes []string, action Action) bool {
	return slices.ContainsFunc(scopes, func(s string) bool { return Allowed(keyRole[s], action) })
}
