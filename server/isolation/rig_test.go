// Package isolation_test holds the whole HTTP API to its promise that nobody reaches another tenant's rows: every
// operation of the OpenAPI document, as every kind of caller, at every host.
package isolation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/server/api"
	"kestrel.ai/server/api/apitest"
	"kestrel.ai/server/edge"
)

// inProduction demands a second factor of platform admins.
func inProduction(_ *api.Deps, c *edge.Config) { c.Dev = false }

// unique is a name that nobody else has.
func unique() string { return "fresh-" + uuid.NewString()[24:] }

var phones atomic.Uint32

// freshPhone is a number that nobody has, the first of a thousand that nobody has: [:9] is their beginning.
func freshPhone() string {
	n := phones.Add(1)
	return fmt.Sprintf("+1%d%04d000", []int{303, 720, 970, 719, 402, 515}[n/10_000], n%10_000)
}

// plant puts a row into each of a tenant's tables. $1 is the tenant, $2 its mark, which is in every text, $3 the
// beginning of all its phone numbers, $4 a number's id.
const plant = `
with u as (select id from tenant_usage where tenant_id = $1),
  c as (insert into contacts (tenant_id, phone_number, name, email, address, notes)
        values ($1, $3 || '001', $2 || ' caller', 'caller@' || $2 || '.test', $2 || ' street', $2 || ' note') returning id),
  l as (insert into call_logs (tenant_id, phone_number_id, contact_id, call_sid, from_number, to_number, started_at, ended_at, agent_seconds, duration_seconds, status, outcome, summary, sentiment, recording_path,
          intent, caller_name, callback_number, caller_address, follow_up, quality_score, analysed_at)
        select $1, $4, c.id, 'CA' || $2, $3 || '001', $3 || '000', now() - interval '1 hour', now(), 30, 35, 'completed', $2 || ' outcome', $2 || ' summary', $2 || ' mood', $1::text || '/' || $2,
          $2 || ' wish', $2 || ' caller', $3 || '005', $2 || ' street', $2 || ' next', 90, now() from c returning id),
  t as (insert into call_turns (tenant_id, call_id, position, speaker, text) select $1, l.id, 1, 'caller', $2 || ' said' from l),
  a as (insert into appointments (tenant_id, contact_id, call_id, starts_at, ends_at, service, customer_name, customer_phone, address, notes, idempotency_key)
        select $1, c.id, l.id, now() + interval '1 day', now() + interval '25 hours', $2 || ' repair', $2 || ' customer', $3 || '001', $2 || ' street', $2 || ' note', $2 from c, l returning id),
  n as (insert into appointment_notices (tenant_id, appointment_id, change) select $1, a.id, 'booked' from a),
  k as (insert into call_messages (tenant_id, contact_id, caller_name, caller_phone, body, idempotency_key) select $1, c.id, $2 || ' caller', $3 || '001', $2 || ' message', $2 from c),
  f as (insert into calendar_feeds (tenant_id, name, prefix, created_by) values ($1, $2 || ' calendar', $2, 'owner@' || $2 || '.test')),
  m as (insert into messages (tenant_id, phone_number_id, contact_id, direction, from_number, to_number, body, provider_sid, error, sent_by)
        select $1, $4, c.id, 'inbound', $3 || '001', $3 || '000', $2 || ' text', 'SM' || $2, $2 || ' error', $2 from c),
  v as (insert into agent_versions (tenant_id, version, state, settings) values ($1, 2, 'published', jsonb_build_object('greeting', $2)), ($1, 3, 'draft', jsonb_build_object('greeting', $2))),
  p as (insert into number_purchases (tenant_id, phone_number, friendly_name, state, reason, refused, provider_sid, requested_by, finished_at)
        values ($1, $3 || '009', $2 || ' line', 'failed', $2 || ' reason', array[$3 || '008'], 'PN' || $2, 'owner@' || $2 || '.test', now())),
  e as (insert into email_log (tenant_id, template, to_email, dedupe_key, params, subject, html, text, status, provider_id, error, sent_at)
        values ($1, 'welcome', 'owner@' || $2 || '.test', 'planted:' || $2, jsonb_build_object('name', $2), $2 || ' subject', $2 || ' html', $2 || ' text', 'sent', $2, $2 || ' error', now())),
  r as (insert into tenant_requests (tenant_id, kind, plan_tier, from_tier, reason, requested_by) values ($1, 'plan', 'premium', 'starter', $2 || ' reason', 'owner@' || $2 || '.test')),
  x as (insert into events (tenant_id, subject_id, type, data) values ($1, $1, $2 || '.event', jsonb_build_object('of', $2))),
  g as (insert into activity_log (tenant_id, actor, actor_label, action, table_name, record_id, changes, request_id)
        values ($1, 'person:' || $2, 'owner@' || $2 || '.test', $2 || '.action', $2, $1, jsonb_build_object('name', array[$2, $2]), $2))
insert into usage_adjustments (tenant_id, usage_id, calls, reason, actor) select $1, u.id, 1, $2 || ' reason', $2 from u`

// plantLater are rows of tables that came after those, by table: $1 is the tenant, $2 its mark.
var plantLater = map[string]string{
	"tenant_requests": `insert into tenant_requests (tenant_id, kind, from_tier, state, reason, requested_by, decided_by, decided_at) values ($1, 'reactivation', 'starter', 'declined', $2, $2, $2, now())`,
	"bulk_items":      `with o as (insert into bulk_orders (id, action, params, actor, actor_label) values (gen_random_uuid(), 'suspend', jsonb_build_object('reason', $2::text), $2, $2) returning id) insert into bulk_items (order_id, tenant_id, position, outcome, code, message) select id, $1, 1, 'refused', $2, $2 from o`,
	"tenant_exports":  `insert into tenant_exports (tenant_id, state, sha256, counts, requested_by, job_id) values ($1, 'ready', $2, jsonb_build_object('of', $2::text), $2, gen_random_uuid())`,
	"tenant_imports": `insert into tenant_imports (id, tenant_id, state, bucket, object, sha256, slug, company_name, owner_email, counts, report, requested_by, job_id)
		values ($1, $1, 'done', 'imports', $2, $2, $2, $2, $2 || '@' || $2 || '.test', jsonb_build_object('of', $2::text), jsonb_build_object('of', $2::text), $2, gen_random_uuid())`,
	"tenant_notes":    `insert into tenant_notes (tenant_id, body, author, author_label) values ($1, $2 || ' pays late', $2, $2)`,
	"sms_opt_outs":    `insert into sms_opt_outs (tenant_id, phone_number, source) select $1, phone_number, 'stop' from contacts where tenant_id = $1 and $2::text <> ''`,
	"agent_scenarios": `insert into agent_scenarios (tenant_id, name, lines, expect) values ($1, $2 || ' asks', jsonb_build_array($2 || ' says'), jsonb_build_object('contains', jsonb_build_array($2::text)))`,
	"agent_scenario_runs": `insert into agent_scenario_runs (tenant_id, batch_id, name, held_at, lines, expect, version, state, passed, failures, transcript, model, finished_at)
		values ($1, gen_random_uuid(), $2 || ' asks', '', jsonb_build_array($2 || ' says'), jsonb_build_object('contains', jsonb_build_array($2::text)), 2, 'done', false, array[$2 || ' missed'],
			jsonb_build_array(jsonb_build_object('speaker', 'agent', 'text', $2 || ' said')), $2, now())`,
	"tenant_views": `insert into tenant_views (tenant_id, admin_user_id, admin_email, reason, expires_at, ended_at)
		values ($1, gen_random_uuid(), 'staff@' || $2 || '.test', $2 || ' asked for help', now() + interval '1 minute', now())`,
}

// planted makes a tenant whose every text holds its mark and whose every phone number begins with digits, eight of them.
func planted(w *apitest.World, mark, digits string) subject {
	c := w.Company(mark, digits+"000")
	s := subject{company: c, tenant: c.ID, number: c.NumberID, slug: c.Slug, phone: c.Number}
	w.Exec(plant, c.ID, mark, digits, c.NumberID)
	for table, statement := range plantLater {
		if apitest.Value[bool](w, `select to_regclass('public.' || $1) is not null`, table) {
			w.Exec(statement, c.ID, mark)
		}
	}
	w.Exec(`update tenants set owner_name = $2 || ' owner', company_name = $2 || ' company', owner_phone = $3 || '002', forward_to_number = $3 || '003', industry = $2, status_reason = $2, terms_version = $2,
		logo_path = $1::text || '/' || $2 where id = $1`, c.ID, mark, digits)
	w.Exec(`update call_logs set transfer_number = $2 || '005', model_usage = jsonb_build_object('of', $3::text), route_reason = $3, recording_sid = 'RE' || $3, voicemail_sid = 'RE' || $3, voicemail_path = $1::text || '/' || $3
		where tenant_id = $1`, c.ID, digits, mark)
	w.Exec(`update tenant_api_keys set name = $2 || ' ' || name, created_by = 'owner@' || $2 || '.test' where tenant_id = $1`, c.ID, mark)
	w.Exec(`update phone_numbers set provider_sid = 'PN' || $2, status_reason = $2, friendly_name = $2, locality = $2, region = $2, account_sid = 'AC' || $2, capabilities = jsonb_build_object('of', $2), webhooks = jsonb_build_object('of', $2)
		where tenant_id = $1`, c.ID, mark)
	s.second = apitest.Value[uuid.UUID](w, `insert into phone_numbers (tenant_id, phone_number, status, friendly_name) values ($1, $2 || '004', 'ready', $3) returning id`, c.ID, digits, mark)
	s.spend(w)
	s.job, s.failed = job(w, c.ID, "done", mark), job(w, c.ID, "failed", mark)
	s.bulk = uuid.New()
	w.Exec(`select private.bulk_order($1, 'suspend', '{}', array[$2::uuid], false)`, s.bulk, c.ID)
	s.note = apitest.Value[uuid.UUID](w, `select id from tenant_notes where tenant_id = $1 limit 1`, c.ID)
	s.view = apitest.Value[uuid.UUID](w, `select id from tenant_views where tenant_id = $1 limit 1`, c.ID)
	s.call = apitest.Value[uuid.UUID](w, `select id from call_logs where tenant_id = $1`, c.ID)
	w.Exec(`insert into call_logs (tenant_id, phone_number_id, call_sid, from_number, status, route, started_at) values ($1, $4, 'CALIVE' || $2, $3 || '001', 'in-progress', 'agent', now())`, c.ID, mark, digits, c.NumberID)
	s.contact = apitest.Value[uuid.UUID](w, `select id from contacts where tenant_id = $1 limit 1`, c.ID)
	plain, prefix, hash := edge.NewKey()
	s.feed = plain
	w.Exec(`with f as (insert into calendar_feeds (tenant_id, name, prefix, last_read_at) values ($1, $2 || ' link', $3, now()) returning id) insert into private.calendar_feed_hashes (hash, feed_id) select $4, id from f`, c.ID, mark, prefix, hash[:])
	s.scenario = apitest.Value[uuid.UUID](w, `select id from agent_scenarios where tenant_id = $1`, c.ID)
	s.rehearsal = apitest.Value[uuid.UUID](w, `select id from agent_scenario_runs where tenant_id = $1`, c.ID)
	s.message = apitest.Value[uuid.UUID](w, `select id from call_messages where tenant_id = $1 limit 1`, c.ID)
	s.appointment = apitest.Value[uuid.UUID](w, `select id from appointments where tenant_id = $1 order by id limit 1`, c.ID)
	s.export = apitest.Value[uuid.UUID](w, `select id from tenant_exports where tenant_id = $1 and state = 'ready'`, c.ID)
	s.email = apitest.Value[uuid.UUID](w, `select id from email_log where dedupe_key = 'planted:' || $1`, mark)
	return s
}

func job(w *apitest.World, tenant uuid.UUID, state, mark string) uuid.UUID {
	id := apitest.Value[uuid.UUID](w, `select private.enqueue('fallback_publish', $1, $1)`, tenant)
	w.Exec(`select private.job_step($1, $2, $2, $3, 1)`, id, state, mark+" reason")
	return id
}

// spend gives the tenant a member, an invitation and a key to be used up.
func (s *subject) spend(w *apitest.World) {
	s.member = apitest.Value[uuid.UUID](w, `insert into tenant_users (tenant_id, email, role) values ($1, $2, 'viewer') returning id`, s.tenant, unique()+"@"+s.slug+".test")
	s.invitation = apitest.Value[uuid.UUID](w, `insert into invitations (tenant_id, email, role, invited_by, sent_at) values ($1, $2, 'viewer', $3, now() - interval '1 hour') returning id`, s.tenant, unique()+"@"+s.slug+".test", "owner@"+s.slug+".test")
	_, s.key = w.Key(s.tenant, s.slug+".kestrel.ai", "read")
}

// marks are what no stranger to the tenant may see.
type marks struct {
	words []string // its mark and its digits, in lower case
	ids   []string // of all its rows and whatever they name, apart from what every tenant shares
}

func (m marks) in(answer string) string {
	answer = strings.ToLower(answer)
	for _, word := range slices.Concat(m.words, m.ids) {
		if strings.Contains(answer, word) {
			return word
		}
	}
	return ""
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// tables are all of public that hold rows by tenant, with the column that says whose.
func tables(t *testing.T, w *apitest.World) map[string]string {
	t.Helper()
	rows, err := w.Admin.Query(context.Background(), `select table_name, column_name from information_schema.columns join information_schema.tables using (table_schema, table_name)
		where table_schema = 'public' and table_type = 'BASE TABLE' and (column_name = 'tenant_id' or table_name = 'tenants' and column_name = 'id')`)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	var table, column string
	if _, err := pgx.ForEachRow(rows, []any{&table, &column}, func() error { found[table] = column; return nil }); err != nil {
		t.Fatal(err)
	}
	if len(found) < 17 {
		t.Fatalf("tables by tenant: %v", found)
	}
	return found
}

// ordinary are text columns that say nothing of a tenant: states, kinds, and the like.
var ordinary = map[string]bool{
	"appointment_notices.change": true, "a2p_status": true, "held_at": true, "sms_opt_outs.source": true, "tenant_imports.bucket": true,
	"status": true, "ended_how": true, "call_logs.route": true, "call_logs.end_reason": true, "messages.opt_out_type": true, "subscription_status": true, "state": true, "direction": true, "kind": true, "step": true, "role": true,
	"plan_tier": true, "from_tier": true, "timezone": true, "brand_color": true, "template": true, "prefix": true, "scopes": true, "speaker": true, "area_code": true, "suspension": true, "bulk_items.outcome": true}

// marksOf reads the tenant's marks, and fails if a text column of any table lacks one: then a leak of it would be missed.
func marksOf(t *testing.T, w *apitest.World, tenant uuid.UUID, mark, digits string) marks {
	t.Helper()
	m := marks{words: []string{strings.ToLower(mark), strings.TrimPrefix(digits, "+1")}}
	seen := map[string]bool{}
	for table, column := range tables(t, w) {
		rows, _ := w.Admin.Query(context.Background(), fmt.Sprintf(`select to_jsonb(t) from %s t where %s = $1`, table, column), tenant)
		all, err := pgx.CollectRows(rows, pgx.RowTo[map[string]any])
		if err != nil || len(all) == 0 {
			t.Fatalf("%s has no row of %s: %v", table, mark, err)
		}
		marked := map[string]bool{}
		for _, row := range all {
			for name, v := range row {
				text := fmt.Sprint(v)
				if s, ok := v.(string); ok && uuidForm.MatchString(s) && !seen[s] {
					seen[s], m.ids = true, append(m.ids, s)
				}
				encoded, _ := json.Marshal(v)
				marked[name] = marked[name] || v != nil && (marks{words: m.words}).in(string(encoded)) != "" || uuidForm.MatchString(text)
			}
		}
		rows, _ = w.Admin.Query(context.Background(), `select column_name::text from information_schema.columns where table_schema = 'public' and table_name = $1 and data_type in ('text', 'jsonb', 'ARRAY')`, table)
		columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range columns {
			if !marked[name] && !ordinary[name] && !ordinary[table+"."+name] {
				t.Errorf("%s.%s of %s holds no mark: plant one", table, name, mark)
			}
		}
	}
	return m
}

// checksum is of all rows of the tenant, or of all tenants' for uuid.Nil.
func checksum(t *testing.T, w *apitest.World, tenant uuid.UUID) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for table, column := range tables(t, w) {
		sums[table] = apitest.Value[string](w, fmt.Sprintf(`select count(*) || ' rows, ' || coalesce(md5(string_agg(row, '' order by row)), '')
			from (select to_jsonb(t)::text as row from %s t where $1::uuid = '00000000-0000-0000-0000-000000000000' or %s = $1::uuid) rows`, table, column), tenant)
	}
	return sums
}

func unchanged(t *testing.T, when string, before, after map[string]string) {
	t.Helper()
	for table, sum := range before {
		if after[table] != sum {
			t.Errorf("%s changed %s: %s, before %s", when, table, after[table], sum)
		}
	}
}
