package jobs

import (
	"encoding/json"

	"github.com/google/uuid"
)

// exportTable is a table that leaves with its tenant. Every one says what an import makes of its rows: stays, or comes.
type exportTable struct {
	name    string
	without []string // columns that are the platform's own
	stays   string   // why an import leaves its rows in the archive
	list    []string // of rows that stay, the columns that the import's report tells
	comes   *coming
}

// coming is what an import does with the rows of one table, besides giving them the new tenant and new ids.
type coming struct {
	only  []string // the columns taken; all if empty
	clear []string // columns emptied: references to what stays, and identifiers at vendors
	set   func(i *importing, old uuid.UUID, row fields)
}

// fields is a row as the archive has it.
type fields map[string]json.RawMessage

// null reports whether the column is empty.
func (f fields) null(column string) bool { return len(f[column]) == 0 || string(f[column]) == "null" }

// text is a column's value, if that is a text.
func (f fields) text(column string) (s string) {
	_ = json.Unmarshal(f[column], &s)
	return s
}

func (f fields) put(column string, value any) { f[column] = encode(value) }

// exportTables is everything that is the tenant's, each table after those it refers to. What staff wrote about it, key
// hashes and the queue are not.
var exportTables = []exportTable{
	{name: "tenants", comes: &coming{only: []string{"id", "owner_name", "owner_phone", "industry", "plan_tier", "timezone", "billing_anchor", "call_limit_override", "forward_to_number", "brand_color", "logo_path"}, set: newTenant}},
	{name: "tenant_slugs", stays: "A subdomain is one tenant's. The new one has its own."},
	{name: "tenant_plans", stays: "Terms and prices are between the tenant and this platform: a new term begins."},
	{name: "tenant_users", stays: "Nobody is invited without being asked: invite them from the members' page.", list: []string{"email", "role"}},
	{name: "tenant_api_keys", stays: "Keys are not in an archive, only their names: make new ones.", list: []string{"name"}},
	{name: "phone_numbers", without: []string{"account_sid", "webhooks"}, stays: "A number is attached by hand, once Twilio has it in this account.", list: []string{"phone_number", "friendly_name", "status"}},
	{name: "contacts", comes: &coming{}},
	{name: "tenant_usage", comes: &coming{}},
	{name: "usage_adjustments", comes: &coming{}},
	{name: "call_logs", comes: &coming{clear: []string{"phone_number_id", "recording_sid", "voicemail_sid"}, set: pastCall}},
	{name: "call_turns", comes: &coming{}},
	{name: "appointments", comes: &coming{}},
	{name: "messages", comes: &coming{clear: []string{"phone_number_id", "provider_sid", "reply_to"}, set: pastMessage}},
	{name: "sms_opt_outs", comes: &coming{}},
	{name: "appointment_notices", comes: &coming{set: pastNotice}},
	{name: "call_messages", comes: &coming{}},
	{name: "agent_versions", comes: &coming{}},
	{name: "agent_scenarios", comes: &coming{}},
	{name: "agent_scenario_runs", comes: &coming{set: pastRun}},
	{name: "calendar_feeds", stays: "The secret of a calendar's link is not in an archive: make a new one.", list: []string{"name"}},
	{name: "tenant_requests", stays: "What was asked of the platform that was left."},
	{name: "activity_log", stays: "The log tells what was done here. What was done before is in the archive."},
}

// newTenant is the tenant that was ordered, as the old one had set it up.
func newTenant(i *importing, _ uuid.UUID, row fields) {
	row.put("id", i.order.ID)
	row.put("slug", i.order.Slug)
	row.put("company_name", i.order.CompanyName)
	row.put("owner_email", i.order.OwnerEmail)
	row.put("subscription_status", "pending")
	if i.archive.logo == "" {
		row.put("logo_path", nil)
	} else {
		row.put("logo_path", i.order.ID.String()+"/"+i.archive.logo)
	}
	if !i.planKnown {
		delete(row, "plan_tier")
	}
}

// pastCall is a call that nobody waits for: it has no recording but what came along, and Twilio is not asked about it.
func pastCall(i *importing, old uuid.UUID, row fields) {
	id := ImportedID(i.order.ID, old)
	row.put("call_sid", "import:"+id.String())
	for column, name := range map[string]string{"recording_path": old.String(), "voicemail_path": old.String() + voicemailSuffix} {
		if _, ok := row[column]; !ok {
			continue
		}
		row.put(column, nil)
		if ext, found := i.archive.recordings[name]; found {
			row.put(column, i.recordingPath(name, ext))
		}
	}
	if s := row.text("status"); s == "queued" || s == "ringing" || s == "in-progress" {
		row.put("status", "completed")
	}
	if _, ok := row["closed_at"]; ok && row.null("closed_at") {
		row["closed_at"] = row["started_at"]
	}
}

// pastMessage waits for nobody: what was not sent by then is not sent.
func pastMessage(_ *importing, _ uuid.UUID, row fields) {
	if row.text("status") == "queued" && row.text("direction") == "outbound" {
		row.put("status", "canceled")
		row.put("error", "It was still waiting when it was exported.")
	}
}

func pastNotice(_ *importing, _ uuid.UUID, row fields) {
	if row.text("state") == "open" {
		row.put("state", "skipped")
	}
}

// pastRun waits for nobody.
func pastRun(_ *importing, _ uuid.UUID, row fields) {
	if row.text("state") == "waiting" {
		row.put("state", "broken")
		row.put("failures", []string{"It was still waiting when it was exported."})
	}
}
