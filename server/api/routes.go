package api

import (
	"net/http"

	"kestrel.ai/server/edge"
)

// routes is the whole surface. Each path works with and without a slash at its end.
func (a *API) routes() {
	created, accepted := status(http.StatusCreated), status(http.StatusAccepted)
	activityAnswers := answers[list[Activity]](a, "text/csv", "id,created_at,tenant_id\n")

	// Platform admins, at admin. and api.
	add(a, "GET /api/admin/stats", platform, "getPlatformStats", platformStatsDoc, a.platformStats)
	add(a, "GET /api/admin/tenants", platform, "listTenants", listTenantsDoc, a.listTenants, answers[list[Tenant]](a, "text/csv", "id,slug,company_name\n"))
	add(a, "POST /api/admin/tenants", platform, "createTenant", createTenantDoc, a.createTenant, created)
	add(a, "GET /api/admin/tenants/{id}", platform, "getTenant", getTenantDoc, a.getTenant)
	add(a, "PATCH /api/admin/tenants/{id}", platform, "patchTenant", patchTenantDoc, a.patchTenant)
	add(a, "DELETE /api/admin/tenants/{id}", platform, "deleteTenant", deleteTenantDoc, a.deleteTenant)
	add(a, "POST /api/admin/tenants/{id}/restore", platform, "restoreTenant", restoreTenantDoc, a.restoreTenant)
	add(a, "POST /api/admin/tenants/{id}/activate", platform, "activateTenant", activateTenantDoc, a.activateTenant)
	add(a, "POST /api/admin/tenants/{id}/suspend", platform, "suspendTenant", suspendTenantDoc, a.suspendTenant)
	add(a, "POST /api/admin/tenants/{id}/cancel", platform, "cancelTenant", cancelTenantDoc, a.cancelTenant)
	add(a, "POST /api/admin/tenants/{id}/provision", platform, "provisionTenant", provisionTenantDoc, a.provisionTenant, accepted)
	add(a, "GET /api/admin/tenants/{id}/stats", platform, "getTenantStats", tenantStatsDoc, a.tenantStats)
	add(a, "GET /api/admin/tenants/{id}/activity", platform, "listTenantActivity", tenantActivityDoc, a.listTenantActivity, activityAnswers)
	add(a, "GET /api/admin/tenants/{id}/notes", platform, "listNotes", listNotesDoc, a.listNotes)
	add(a, "POST /api/admin/tenants/{id}/notes", platform, "createNote", createNoteDoc, a.createNote, created)
	add(a, "PATCH /api/admin/tenants/{id}/notes/{note_id}", platform, "patchNote", patchNoteDoc, a.patchNote)
	add(a, "DELETE /api/admin/tenants/{id}/notes/{note_id}", platform, "deleteNote", deleteNoteDoc, a.deleteNote)
	add(a, "GET /api/admin/tenants/{id}/view-as", platform, "listViews", listViewsDoc, a.listViews)
	add(a, "POST /api/admin/tenants/{id}/view-as", platform, "startView", startViewDoc, a.startView, created, secret)
	add(a, "DELETE /api/admin/tenants/{id}/view-as/{view_id}", platform, "endView", endViewDoc, a.endView)
	add(a, "GET /api/admin/tenants/{id}/api-keys", platform, "listTenantKeys", listKeysDoc, a.listKeys)
	add(a, "POST /api/admin/tenants/{id}/api-keys", platform, "createTenantKey", createKeyDoc, a.createKey, created, secret)
	add(a, "DELETE /api/admin/tenants/{id}/api-keys/{key_id}", platform, "revokeTenantKey", revokeKeyDoc, a.revokeKey)
	add(a, "GET /api/admin/tenants/{id}/numbers", platform, "listTenantNumbers", listNumbersDoc, a.listNumbers)
	add(a, "POST /api/admin/tenants/{id}/numbers", platform, "attachNumber", attachNumberDoc, a.attachNumber, created)
	add(a, "POST /api/admin/numbers/{id}/primary", platform, "makeNumberPrimary", primaryNumberDoc, a.primaryNumber)
	add(a, "POST /api/admin/numbers/{id}/webhooks", platform, "repairWebhooks", repairWebhooksDoc, a.repairWebhooks, accepted, vendor)
	add(a, "POST /api/admin/numbers/{id}/release", platform, "releaseNumber", releaseNumberDoc, a.releaseNumber, accepted)
	add(a, "POST /api/admin/numbers/{id}/test-sms", platform, "sendTestSMS", testSMSDoc, a.testSMS, vendor)
	add(a, "GET /api/admin/activity", platform, "listActivity", listActivityDoc, a.listActivity, activityAnswers)
	add(a, "GET /api/admin/emails", platform, "listEmails", listEmailsDoc, a.listEmails)
	add(a, "GET /api/admin/emails/{id}", platform, "getEmail", getEmailDoc, a.getEmail)
	add(a, "POST /api/admin/emails/{id}/resend", platform, "resendEmail", resendEmailDoc, a.resendEmail, accepted)
	add(a, "GET /api/admin/jobs", platform, "listJobs", listJobsDoc, a.listJobs)
	add(a, "POST /api/admin/jobs/{id}/retry", platform, "retryJob", retryJobDoc, a.retryJob, accepted)
	add(a, "GET /api/admin/plans", platform, "listPlans", listPlansDoc, a.listPlans)
	add(a, "PATCH /api/admin/plans/{tier}", platform, "patchPlan", patchPlanDoc, a.patchPlan)
	add(a, "GET /api/admin/admins", platform, "listAdmins", listAdminsDoc, a.listAdmins)
	add(a, "POST /api/admin/admins", platform, "grantAdmin", grantAdminDoc, a.grantAdmin, created)
	add(a, "DELETE /api/admin/admins/{id}", platform, "revokeAdmin", revokeAdminDoc, a.revokeAdmin)
	add(a, "POST /api/twilio/search-numbers", platform, "searchNumbers", searchNumbersDoc, a.searchNumbers, vendor)
	add(a, "POST /api/twilio/purchase-number", platform, "purchaseNumber", purchaseNumberDoc, a.purchaseNumber, accepted)
	add(a, "GET /api/twilio/number-status/{phone}", platform, "getNumberStatus", numberStatusDoc, a.numberStatus, vendor)

	// A tenant's people and API keys, at their own host and api.
	add(a, "GET /api/tenant", tenant(edge.ReadTenant), "getCompany", getCompanyDoc, a.getCompany)
	add(a, "PATCH /api/tenant", tenant(edge.WriteTenant), "patchCompany", patchCompanyDoc, a.patchCompany)
	add(a, "GET /api/tenant/me", tenant(edge.ReadTenant), "getMe", meDoc, a.me)
	add(a, "GET /api/tenant/numbers", tenant(edge.ReadTenant), "listNumbers", ownNumbersDoc, a.listOwnNumbers)
	add(a, "GET /api/tenant/usage", tenant(edge.ReadTenant), "getUsage", usageDoc, a.usage)
	add(a, "GET /api/tenant/members", tenant(edge.ReadMembers), "listMembers", listMembersDoc, a.listMembers)
	add(a, "POST /api/tenant/members", tenant(edge.WriteMembers), "addMember", addMemberDoc, a.addMember, created)
	add(a, "PATCH /api/tenant/members/{id}", tenant(edge.WriteMembers), "patchMember", patchMemberDoc, a.patchMember)
	add(a, "DELETE /api/tenant/members/{id}", tenant(edge.WriteMembers), "removeMember", removeMemberDoc, a.removeMember)
	add(a, "GET /api/tenant/api-keys", tenant(edge.ReadKeys), "listKeys", listOwnKeysDoc, a.listOwnKeys)
	add(a, "POST /api/tenant/api-keys", tenant(edge.WriteKeys), "createKey", createOwnKeyDoc, a.createOwnKey, created, secret)
	add(a, "DELETE /api/tenant/api-keys/{key_id}", tenant(edge.WriteKeys), "revokeKey", revokeOwnKeyDoc, a.revokeOwnKey)
	add(a, "GET /api/tenant/activity", tenant(edge.ReadActivity), "listOwnActivity", ownActivityDoc, a.listOwnActivity, activityAnswers)
	add(a, "GET /api/tenant/calls", tenant(edge.ReadWork), "listCalls", listCallsDoc, a.listCalls)
	add(a, "GET /api/tenant/appointments", tenant(edge.ReadWork), "listAppointments", listAppointmentsDoc, a.listAppointments)
	add(a, "GET /api/tenant/messages", tenant(edge.ReadWork), "listMessages", listMessagesDoc, a.listMessages)
	add(a, "GET /api/tenant/contacts", tenant(edge.ReadWork), "listContacts", listContactsDoc, a.listContacts)
	add(a, "GET /api/tenant/agent", tenant(edge.ReadAgent), "getAgent", agentDoc, a.agent)

	// Both.
	add(a, "GET /api/jobs/{id}", either, "getJob", getJobDoc, a.getJob)
	add(a, "GET /api/jobs/{id}/events", either, "followJob", jobEventsDoc, a.jobEvents, answers[struct{}](a, "text/event-stream", jobEventsExample))
	add(a, "POST /api/tickets", either, "mintTicket", mintTicketDoc, a.mintTicket, secret)

	// Anybody, at the apex and api.
	add(a, "GET /api/onboarding/plans", public, "listOfferedPlans", offeredPlansDoc, a.listOfferedPlans)
	add(a, "GET /api/onboarding/slug", public, "checkSlug", checkSlugDoc, a.checkSlug)
	add(a, "POST /api/onboarding", public, "onboard", onboardDoc, a.onboard, created)
}
