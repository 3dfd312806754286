package isolation_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/server/agent"
	"kestrel.ai/server/api/apitest"
	"kestrel.ai/server/sandbox"
)

// subject is the rows that a good request is about.
type subject struct {
	company                         apitest.Company
	tenant, number, second          uuid.UUID
	member, key, job, failed, email uuid.UUID
	staff, bulk, note, view         uuid.UUID
	contact, export, invitation     uuid.UUID
	appointment, message            uuid.UUID
	scenario, rehearsal             uuid.UUID
	call                            uuid.UUID
	slug, phone, feed               string
}

// request is a good request of one operation.
type request struct {
	path    map[string]string
	headers map[string]string
	body    any
	// prepare brings the rows into the state in which the request succeeds [they are].
	prepare func(t *testing.T, w *apitest.World)
	// mine tells that an answer holds rows of the subject's tenant; false where it holds figures only, or nothing of it.
	mine bool
}

func of(name string, value fmt.Stringer) map[string]string {
	return map[string]string{name: value.String()}
}

func body(pairs ...any) map[string]any {
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = pairs[i+1]
	}
	return out
}

// requests has one good request per operation: an operation without one fails the tests.
var requests = map[string]func(s subject) request{
	"extendTrial": func(subject) request {
		tenant, n := uuid.New(), unique()
		return request{path: of("id", tenant), body: body("days", 7), prepare: sql(`insert into tenants (id, slug, company_name, owner_email, subscription_status) values ($1, $2, $2, $2 || '@fresh.test', 'trial')`, tenant, n)}
	},
	"resetUsage":          func(s subject) request { return request{path: of("id", s.tenant)} },
	"listPlanRequests":    func(subject) request { return request{} },
	"confirmPlan":         func(s subject) request { return decision(s) },
	"declinePlan":         func(s subject) request { return decision(s) },
	"requestPlan":         func(subject) request { return request{body: body("plan_tier", "enterprise"), mine: true} },
	"listOwnPlanRequests": func(subject) request { return request{mine: true} },
	"withdrawPlan": func(s subject) request {
		wish := uuid.New() // withdrawn already, which is well: only one may be open, and others are at that
		return request{path: of("id", wish), prepare: sql(`insert into tenant_requests (id, tenant_id, kind, plan_tier, from_tier, state) values ($1, $2, 'plan', 'premium', 'professional', 'withdrawn')`, wish, s.tenant)}
	},
	"requestReactivation": func(subject) request { return request{} },
	"getPlatformStats":    func(subject) request { return request{} },
	"listTenants":         func(subject) request { return request{mine: true} },
	"createTenant": func(subject) request {
		n := unique()
		return request{body: body("company_name", n, "owner_email", n+"@fresh.test")}
	},
	"getTenant": func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"patchTenant": func(s subject) request {
		return request{path: of("id", s.tenant), body: body("industry", "plumbing"), mine: true}
	},
	"deleteTenant": func(s subject) request { return request{path: of("id", s.tenant)} },
	"restoreTenant": func(s subject) request {
		return request{path: of("id", s.tenant), mine: true, prepare: sql(`delete from tenants where id = $1`, s.tenant)}
	},
	"activateTenant": func(s subject) request {
		return request{path: of("id", s.tenant), mine: true, prepare: sql(`update tenants set subscription_status = 'suspended' where id = $1`, s.tenant)}
	},
	"suspendTenant": func(s subject) request {
		return request{path: of("id", s.tenant), body: body("reason", "Not paid"), mine: true}
	},
	"cancelTenant":     func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"checkSlugAsStaff": func(subject) request { return request{path: map[string]string{"?": "name=Fresh"}} },
	"previewProvision": func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"provisionTenant": func(s subject) request {
		return request{path: of("id", s.tenant), body: body("phone_number", freshPhone()), mine: true}
	},
	"getTenantStats":     func(s subject) request { return request{path: of("id", s.tenant)} },
	"listTenantActivity": func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"listTenantCalls":    func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"getTenantCall": func(s subject) request {
		return request{path: map[string]string{"id": s.tenant.String(), "call_id": s.call.String()}, mine: true}
	},
	"getTenantRecording": func(s subject) request {
		return request{path: map[string]string{"id": s.tenant.String(), "call_id": s.call.String()}, prepare: recorded(s)}
	},
	"listNotes": func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"createNote": func(s subject) request {
		return request{path: of("id", s.tenant), body: body("body", "Calls back in May"), mine: true}
	},
	"patchNote": func(s subject) request {
		return request{path: map[string]string{"id": s.tenant.String(), "note_id": s.note.String()}, body: body("body", "Called back"), mine: true}
	},
	"deleteNote": func(s subject) request {
		return request{path: map[string]string{"id": s.tenant.String(), "note_id": s.note.String()}}
	},
	"listViews": func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"startView": func(s subject) request {
		return request{path: of("id", s.tenant), body: body("reason", "They asked for help"), mine: true}
	},
	"endView": func(s subject) request {
		return request{path: map[string]string{"id": s.tenant.String(), "view_id": s.view.String()}}
	},
	"listTenantKeys":  func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"createTenantKey": func(s subject) request { return request{path: of("id", s.tenant), body: body("name", "Fresh")} },
	"revokeTenantKey": func(s subject) request {
		return request{path: map[string]string{"id": s.tenant.String(), "key_id": s.key.String()}}
	},
	"listTenantNumbers": func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"attachNumber": func(s subject) request {
		return request{path: of("id", s.tenant), body: body("phone_number", freshPhone()), mine: true}
	},
	"patchNumber": func(s subject) request {
		return request{path: of("id", s.number), body: body("a2p_status", "registered"), mine: true}
	},
	"makeNumberPrimary": func(s subject) request { return request{path: of("id", s.second), mine: true} },
	"repairWebhooks":    func(s subject) request { return request{path: of("id", s.number), mine: true} },
	"checkWebhooks":     func(s subject) request { return request{path: of("id", s.number)} },
	"checkOwnWebhooks":  func(s subject) request { return request{path: of("id", s.number)} },
	"releaseNumber": func(s subject) request {
		return request{path: of("id", s.number), body: body("confirm", s.phone), mine: true}
	},
	"sendTestSMS": func(s subject) request {
		return request{path: of("id", s.number), body: body("to", "+16175551234"), prepare: owned(s.phone)}
	},
	"listActivity": func(subject) request { return request{} },
	"listEmails":   func(subject) request { return request{} },
	"getEmail":     func(s subject) request { return request{path: of("id", s.email), mine: true} },
	"resendEmail":  func(s subject) request { return request{path: of("id", s.email), mine: true} },
	"listJobs":     func(subject) request { return request{} },
	"retryJob":     func(s subject) request { return request{path: of("id", s.failed), mine: true} },
	"bulkTenants": func(s subject) request {
		return request{body: body("action", "suspend", "ids", []string{s.tenant.String()}, "reason", "Not paid"), mine: true}
	},
	"getBulkOrder":        func(s subject) request { return request{path: of("id", s.bulk), mine: true} },
	"listHealth":          func(subject) request { return request{} },
	"getTenantHealth":     func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"listOrphanedNumbers": func(subject) request { return request{} },
	"sweepNumbers":        func(subject) request { return request{} },
	"adoptNumber": func(s subject) request {
		phone := freshPhone()
		return request{path: map[string]string{"sid": orphanSID(phone)}, body: body("tenant_id", s.tenant.String()), mine: true, prepare: orphaned(phone)}
	},
	"releaseOrphanedNumber": func(subject) request {
		phone := freshPhone()
		return request{path: map[string]string{"sid": orphanSID(phone)}, body: body("confirm", phone), prepare: orphaned(phone)}
	},
	"listPlans": func(subject) request { return request{} },
	"patchPlan": func(subject) request {
		return request{path: map[string]string{"tier": "enterprise"}, body: body("description", "For many.")}
	},
	"listAdmins":    func(subject) request { return request{} },
	"grantAdmin":    func(subject) request { return request{body: body("email", unique()+"@kestrel.ai")} },
	"revokeAdmin":   func(s subject) request { return request{path: of("id", s.staff)} },
	"searchNumbers": func(subject) request { return request{body: body("area_code", "857")} },
	"purchaseNumber": func(s subject) request {
		return request{body: body("phone_number", freshPhone(), "tenant_id", s.tenant.String()), mine: true}
	},
	"getNumberStatus": func(s subject) request { return request{path: map[string]string{"phone": s.phone}, mine: true} },

	"getCompany":   func(subject) request { return request{mine: true} },
	"patchCompany": func(subject) request { return request{body: body("industry", "plumbing"), mine: true} },
	"purgeTenant": func(s subject) request {
		return request{path: of("id", s.tenant), body: body("confirm", s.slug), prepare: sql(`delete from tenants where id = $1`, s.tenant)}
	},
	"listTenantExports": func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"listImports":       func(subject) request { return request{} },
	"offerArchive":      func(subject) request { return request{} },
	"getImport":         func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"importTenant": func(s subject) request {
		n := unique()
		return request{body: body("export_id", s.export.String(), "slug", n, "company_name", n, "owner_email", n+"@fresh.test")}
	},
	"exportTenant": func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"getTenantExport": func(s subject) request {
		return request{path: map[string]string{"id": s.tenant.String(), "export_id": s.export.String()}, mine: true}
	},
	"eraseTenantContact": func(s subject) request {
		return request{path: map[string]string{"id": s.tenant.String(), "contact_id": s.contact.String()}, mine: true}
	},
	"putLogo":       func(subject) request { return request{body: onePixel, mine: true} },
	"deleteLogo":    func(subject) request { return request{mine: true} },
	"listExports":   func(subject) request { return request{mine: true} },
	"requestExport": func(subject) request { return request{mine: true} },
	"getExport":     func(s subject) request { return request{path: of("id", s.export), mine: true} },
	"eraseContact":  func(s subject) request { return request{path: of("id", s.contact), mine: true} },

	"getMe":       func(subject) request { return request{mine: true} },
	"listNumbers": func(subject) request { return request{mine: true} },
	"getUsage":    func(subject) request { return request{} },
	"listMembers": func(subject) request { return request{mine: true} },
	"addMember":   func(subject) request { return request{body: body("email", unique()+"@fresh.test", "role", "viewer")} },
	"patchTenantMember": func(s subject) request {
		return request{path: map[string]string{"id": s.tenant.String(), "member_id": s.member.String()}, body: body("role", "member"), mine: true}
	},
	"removeTenantMember": func(s subject) request {
		return request{path: map[string]string{"id": s.tenant.String(), "member_id": s.member.String()}}
	},
	"handTenantOver": func(s subject) request {
		return request{path: of("id", s.tenant), body: body("member_id", s.member.String()), mine: true, prepare: sql(`update tenant_users set user_id = gen_random_uuid() where id = $1`, s.member)}
	},
	"endOwnView": func(subject) request { return request{} },
	"patchMember": func(s subject) request {
		return request{path: of("id", s.member), body: body("role", "member"), mine: true}
	},
	"removeMember": func(s subject) request { return request{path: of("id", s.member)} },
	"transferOwnership": func(s subject) request {
		return request{body: body("member_id", s.member.String()), mine: true, prepare: sql(`update tenant_users set user_id = gen_random_uuid() where id = $1`, s.member)}
	},
	"leaveTenant":     func(subject) request { return request{body: body("confirm", true)} },
	"listInvitations": func(subject) request { return request{mine: true} },
	"invite":          func(subject) request { return request{body: body("email", unique()+"@fresh.test", "role", "viewer")} },
	"resendInvitation": func(s subject) request {
		return request{path: of("id", s.invitation), mine: true}
	},
	"revokeInvitation":      func(s subject) request { return request{path: of("id", s.invitation)} },
	"openInvitation":        func(s subject) request { return linked(s, "") },
	"acceptInvitation":      func(s subject) request { return linked(s, "a-good-password") },
	"listTenantMembers":     func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"listTenantInvitations": func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"inviteToTenant": func(s subject) request {
		return request{path: of("id", s.tenant), body: body("email", unique()+"@fresh.test", "role", "owner")}
	},
	"resendTenantInvitation": func(s subject) request {
		return request{path: map[string]string{"id": s.tenant.String(), "invitation_id": s.invitation.String()}, mine: true}
	},
	"revokeTenantInvitation": func(s subject) request {
		return request{path: map[string]string{"id": s.tenant.String(), "invitation_id": s.invitation.String()}}
	},
	"listKeys":          func(subject) request { return request{mine: true} },
	"createKey":         func(subject) request { return request{body: body("name", "Fresh", "scopes", []string{"read"})} },
	"revokeKey":         func(s subject) request { return request{path: of("key_id", s.key)} },
	"listOwnActivity":   func(subject) request { return request{mine: true} },
	"listCalls":         func(subject) request { return request{mine: true} },
	"getCall":           func(s subject) request { return request{path: of("id", s.call), mine: true} },
	"getRecording":      func(s subject) request { return request{path: of("id", s.call), prepare: recorded(s)} },
	"getAnalytics":      func(subject) request { return request{mine: true} },
	"listAppointments":  func(subject) request { return request{mine: true} },
	"listMessages":      func(subject) request { return request{mine: true} },
	"listConversations": func(subject) request { return request{mine: true} },
	"sendMessage": func(subject) request {
		return request{body: body("to", "+16175551234", "body", "On our way")}
	},
	"listContacts":     func(subject) request { return request{mine: true} },
	"getAgent":         func(subject) request { return request{mine: true} },
	"putAgentDraft":    func(subject) request { return request{body: defaults()} },
	"patchAgentDraft":  func(subject) request { return request{body: body("greeting", "Good day")} },
	"deleteAgentDraft": func(subject) request { return request{} },
	"publishAgent":     func(subject) request { return request{} },
	"listenIn":         func(s subject) request { return request{path: of("id", s.call)} },
	"talkToAgent":      func(subject) request { return request{} },
	"listenAsStaff": func(s subject) request {
		return request{path: map[string]string{"id": s.tenant.String(), "call_id": s.call.String()}}
	},
	"listLiveCalls":     func(subject) request { return request{mine: true} },
	"followCalls":       func(subject) request { return request{mine: true} },
	"rollbackAgent":     func(subject) request { return request{path: map[string]string{"version": "1"}} },
	"listAgentVersions": func(subject) request { return request{mine: true} },
	"getAgentVersion":   func(subject) request { return request{path: map[string]string{"version": "2"}, mine: true} },
	"diffAgent":         func(subject) request { return request{} },
	"getAgentDefaults":  func(subject) request { return request{mine: true} },
	"listFreeSlots":     func(subject) request { return request{} },
	"createAppointment": func(subject) request {
		return request{body: body("starts_at", freshTime(), "customer_name", "Pat", "force", true)}
	},
	"listScenarios":    func(subject) request { return request{mine: true} },
	"suggestScenarios": func(subject) request { return request{} },
	"createScenario": func(subject) request {
		return request{body: body("name", "Asks the price", "lines", []string{"How much is it?"}, "expect", body("outcome", "answered"))}
	},
	"runScenarios": func(s subject) request {
		return request{body: body("ids", []string{s.scenario.String()}), prepare: sql(`update jobs set state = 'done' where tenant_id = $1 and kind = 'scenario_run'`, s.tenant)}
	},
	"listScenarioRuns": func(subject) request { return request{mine: true} },
	"getScenarioRun":   func(s subject) request { return request{path: of("id", s.rehearsal), mine: true} },
	"getScenario":      func(s subject) request { return request{path: of("id", s.scenario), mine: true} },
	"patchScenario": func(s subject) request {
		return request{path: of("id", s.scenario), body: body("held_at", "monday 09:00"), mine: true}
	},
	"deleteScenario": func(s subject) request {
		scenario := uuid.New()
		return request{path: of("id", scenario), prepare: sql(`insert into agent_scenarios (id, tenant_id, name, lines) values ($1, $2, 'Asks', '["Hello"]')`, scenario, s.tenant)}
	},
	"listCallMessages": func(subject) request { return request{mine: true} },
	"patchCallMessage": func(s subject) request {
		return request{path: of("id", s.message), body: body("done", true), mine: true}
	},
	"getTenantAgent":     func(s subject) request { return request{path: of("id", s.tenant), mine: true} },
	"putTenantDraft":     func(s subject) request { return request{path: of("id", s.tenant), body: defaults()} },
	"publishTenantAgent": func(s subject) request { return request{path: of("id", s.tenant)} },
	"getAppointment":     func(s subject) request { return request{path: of("id", s.appointment), mine: true} },
	"patchAppointment": func(s subject) request {
		return request{path: of("id", s.appointment), body: body("notes", "Rings twice"), mine: true}
	},
	"cancelAppointment":  func(s subject) request { return booked(s) },
	"listCalendarFeeds":  func(subject) request { return request{mine: true} },
	"createCalendarFeed": func(subject) request { return request{body: body("name", "Phone")} },
	"revokeCalendarFeed": func(s subject) request {
		feed := uuid.New()
		return request{path: of("id", feed), prepare: sql(`insert into calendar_feeds (id, tenant_id, prefix) values ($1, $2, 'kst')`, feed, s.tenant)}
	},
	"readCalendarFeed": func(s subject) request {
		return request{path: map[string]string{"secret": s.feed}, mine: true}
	},
	"getContact": func(s subject) request { return request{path: of("id", s.contact), mine: true} },
	"patchContact": func(s subject) request {
		return request{path: of("id", s.contact), body: body("notes", "Rings twice"), mine: true}
	},
	"blockContact":   func(s subject) request { return request{path: of("id", s.contact), mine: true} },
	"unblockContact": func(s subject) request { return request{path: of("id", s.contact), mine: true} },

	"getJob":     func(s subject) request { return request{path: of("id", s.job), mine: true} },
	"followJob":  func(s subject) request { return request{path: of("id", s.job), mine: true} },
	"mintTicket": func(s subject) request { return request{body: body("path", "/api/jobs/"+s.job.String())} },

	"listOfferedPlans": func(subject) request { return request{} },
	"listPlanOffers":   func(subject) request { return request{} },
	"checkSlug":        func(subject) request { return request{path: map[string]string{"?": "name=Fresh"}} },
	"createDraft":      func(subject) request { return request{body: body("company_name", "Fresh")} },
	"keepDraft":        func(subject) request { r := drafted(); r.body = body("step", 1, "company_name", "Fresh"); return r },
	"getDraft":         func(subject) request { return drafted() },
	"onboard": func(subject) request {
		n := unique()
		return request{body: body("company_name", n, "owner_name", "Pat", "owner_email", n+"@fresh.test", "plan_tier", "starter", "accept_terms", true, "terms_version", "2026-01-01")}
	},
}

// linked is a request by the link of a fresh invitation to the subject's tenant.
func linked(s subject, password string) request {
	token, who := unique(), unique()+"@"+s.slug+".test"
	hash := sha256.Sum256([]byte(token))
	r := request{body: body("token", token), mine: true, prepare: sql(`with i as (insert into invitations (tenant_id, email) values ($1, $2) returning id, expires_at)
		insert into private.invitation_tokens (hash, invitation_id, expires_at) select $3, id, expires_at from i`, s.tenant, who, hash[:])}
	if password != "" {
		r.body.(map[string]any)["password"] = password
	}
	return r
}

// booked is a request about a fresh appointment.
func booked(s subject) request {
	appointment := uuid.New()
	return request{path: of("id", appointment), mine: true, prepare: sql(`insert into appointments (id, tenant_id, starts_at, ends_at, customer_name) values ($1, $2, $3, $3::timestamptz + interval '1 minute', $4)`, appointment, s.tenant, freshTime(), s.slug)}
}

// defaults are settings as they are sent.
func defaults() map[string]any {
	raw, _ := json.Marshal(agent.Defaults("hvac", "Fresh"))
	all := map[string]any{}
	_ = json.Unmarshal(raw, &all)
	return all
}

var minutesGiven atomic.Int64

// freshTime is a time that no other appointment has.
func freshTime() time.Time {
	return time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(minutesGiven.Add(1)) * 2 * time.Hour)
}

// drafted is a request that names a draft.
func drafted() request {
	token := unique()
	hash := sha256.Sum256([]byte(token))
	return request{headers: map[string]string{"Onboarding-Draft": token},
		prepare: sql(`insert into private.onboarding_drafts (hash, data, updated_at, expires_at) values ($1, '{}', now(), now() + interval '1 day')`, hash[:])}
}

// onePixel is the smallest PNG.
const onePixel = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89" +
	"\x00\x00\x00\rIDATx\x9cc\xf8\xff\xff?\x00\x05\xfe\x02\xfe\xa75\x81\x84\x00\x00\x00\x00IEND\xaeB`\x82"

// decision is about a wish for another plan that nobody has decided yet.
func decision(s subject) request {
	wish := uuid.New()
	return request{path: of("id", wish), mine: true, prepare: func(_ *testing.T, w *apitest.World) {
		w.Exec(`delete from tenant_requests where tenant_id = $1`, s.tenant)
		w.Exec(`insert into tenant_requests (id, tenant_id, kind, plan_tier, from_tier) values ($1, $2, 'plan', 'premium', 'professional')`, wish, s.tenant)
	}}
}

func sql(statement string, args ...any) func(*testing.T, *apitest.World) {
	return func(_ *testing.T, w *apitest.World) { w.Exec(statement, args...) }
}

func orphanSID(phone string) string { return "PN" + strings.Repeat("0", 33-len(phone)) + phone[1:] }

func orphaned(phone string) func(*testing.T, *apitest.World) {
	return sql(`insert into orphaned_numbers (sid, phone_number, first_seen_at, last_seen_at) values ($1, $2, now(), now())`, orphanSID(phone), phone)
}

func owned(phone string) func(*testing.T, *apitest.World) {
	return func(t *testing.T, w *apitest.World) {
		if _, err := w.Sandbox.AddNumber(sandbox.Number{PhoneNumber: phone}); err != nil {
			t.Error(err)
		}
	}
}

// url fills the path in.
func (r request) url(op operation) string {
	path := op.Path
	for name, value := range r.path {
		path = strings.ReplaceAll(path, "{"+name+"}", value)
	}
	if query := r.path["?"]; query != "" {
		path += "?" + query
	}
	return path
}

// recorded puts the call's recording where its row says.
func recorded(s subject) func(*testing.T, *apitest.World) {
	return func(t *testing.T, w *apitest.World) {
		if err := w.Files.EnsureBucket(t.Context(), jobs.RecordingsBucket, false); err != nil {
			t.Fatal(err)
		}
		if err := w.Files.Upload(t.Context(), jobs.RecordingsBucket, s.tenant.String()+"/"+s.slug, "audio/wav", []byte("RIFF")); err != nil {
			t.Fatal(err)
		}
	}
}
