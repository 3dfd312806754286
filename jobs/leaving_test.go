package jobs_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/server/sandbox"
	"kestrel.ai/supabase"
)

const caller = "+16175550142"

// leaver is a tenant with something of everything, and its files.
type leaver struct {
	*world
	id, contact, call uuid.UUID
	files             *supabase.Storage
}

func newLeaver(t testing.TB, slug string) *leaver {
	t.Helper()
	w := newWorld(t)
	l := &leaver{world: w, files: supabase.NewStorage(w.supabase, secretKey)}
	l.fill(slug)
	return l
}

func (l *leaver) fill(slug string) {
	l.t.Helper()
	l.id = l.tenant(slug, "owner_name", "=HYPERLINK(1)")
	l.contact = scan[uuid.UUID](l.world, `insert into contacts (tenant_id, phone_number, name, notes) values ($1, $2, 'Cara Caller', '=1+1') returning id`, l.id, caller)
	l.call = scan[uuid.UUID](l.world, `insert into call_logs (tenant_id, contact_id, call_sid, from_number, to_number, started_at, agent_seconds, duration_seconds, summary, recording_path)
		values ($1, $2, 'CA-' || $1::uuid, $3, '+16175550199', now(), 30, 60, 'Cara wants a boiler', $1::uuid || '/call.mp3') returning id`, l.id, l.contact, caller)
	l.exec(`insert into call_turns (tenant_id, call_id, position, speaker, text) values ($1, $2, 1, 'caller', 'I am Cara')`, l.id, l.call)
	l.exec(`insert into appointments (tenant_id, contact_id, call_id, starts_at, ends_at, customer_name, customer_phone, address)
		values ($1, $2, $3, now() + interval '1 day', now() + interval '2 days', 'Cara Caller', $4, '1 Elm St')`, l.id, l.contact, l.call, caller)
	l.exec(`insert into messages (tenant_id, contact_id, direction, from_number, to_number, body) values ($1, $2, 'inbound', $3, '+16175550199', 'Cara here')`, l.id, l.contact, caller)
	l.exec(`insert into tenant_api_keys (tenant_id, name, prefix) values ($1, 'machine', 'kst_live_')`, l.id)
	must(l.t, l.files.EnsureBucket(l.t.Context(), jobs.RecordingsBucket, false))
	l.put(jobs.RecordingsBucket, l.id.String()+"/call.mp3", "sound of Cara")
}

func (l *leaver) put(bucket, path, body string) {
	l.t.Helper()
	must(l.t, l.files.EnsureBucket(l.t.Context(), bucket, false))
	must(l.t, l.files.UploadFrom(l.t.Context(), bucket, path, "application/octet-stream", strings.NewReader(body), int64(len(body))))
}

func (l *leaver) fetch(bucket, path string) (string, bool) {
	l.t.Helper()
	body, found, err := l.files.Download(l.t.Context(), bucket, path)
	must(l.t, err)
	if !found {
		return "", false
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	must(l.t, err)
	return string(raw), true
}

func TestExport(t *testing.T) {
	t.Parallel()
	l := newLeaver(t, "leaver")
	other := l.tenant("other")
	l.exec(`insert into call_logs (tenant_id, call_sid, started_at, recording_path) values ($1, 'CA-lost', now(), $2)`, l.id, other.String()+"/theirs.mp3")
	order := func() uuid.UUID { return scan[uuid.UUID](l.world, "select private.order_export($1)", l.id) }
	if a, b := order(), order(); a != b {
		t.Errorf("two exports at once: %s, %s", a, b)
	}
	export := scan[uuid.UUID](l.world, "select id from tenant_exports where tenant_id = $1", l.id)
	l.work(func(d *jobs.Deps) { d.Config.Tuning.Departures = 50 * time.Millisecond })
	l.ends("done", "tenant_export", export)
	if kept := scan[string](l.world, "select state || ' ' || (expires_at - ready_at)::text from tenant_exports where id = $1", export); kept != "ready 7 days" {
		t.Error(kept)
	}

	path := l.id.String() + "/" + export.String() + ".zip"
	raw, _ := l.fetch(jobs.ExportsBucket, path)
	sum := sha256.Sum256([]byte(raw))
	if want := scan[string](l.world, "select sha256 from tenant_exports where id = $1", export); hex.EncodeToString(sum[:]) != want {
		t.Error("the record has another sum than the file")
	}
	archive, err := zip.NewReader(bytes.NewReader([]byte(raw)), int64(len(raw)))
	must(t, err)
	content := map[string]string{}
	for _, f := range archive.File {
		r, err := f.Open()
		must(t, err)
		body, err := io.ReadAll(r)
		must(t, err)
		content[f.Name] = string(body)
	}
	var manifest struct {
		Format  int              `json:"format_version"`
		Counts  map[string]int64 `json:"counts"`
		Missing []uuid.UUID      `json:"missing_recordings"`
		Files   []struct{ Name, SHA256 string }
	}
	must(t, json.Unmarshal([]byte(content["manifest.json"]), &manifest))
	if manifest.Format != 1 || len(manifest.Missing) != 1 || len(manifest.Files) != len(content)-1 || manifest.Counts["recordings"] != 1 {
		t.Errorf("%+v", manifest)
	}
	for _, f := range manifest.Files {
		if sum := sha256.Sum256([]byte(content[f.Name])); hex.EncodeToString(sum[:]) != f.SHA256 {
			t.Errorf("%s has another sum", f.Name)
		}
	}
	for table, count := range manifest.Counts {
		if table == "recordings" {
			continue
		}
		var rows []map[string]any
		must(t, json.Unmarshal([]byte(content["data/"+table+".json"]), &rows))
		lines, err := csv.NewReader(strings.NewReader(content["data/"+table+".csv"])).ReadAll()
		must(t, err)
		if int64(len(rows)) != count || int64(len(lines)) != count+1 {
			t.Errorf("%s: %d in JSON, %d lines of CSV, %d told", table, len(rows), len(lines), count)
		}
		owner := "tenant_id"
		if table == "tenants" {
			owner = "id"
		}
		for _, row := range rows {
			if row[owner] != l.id.String() {
				t.Errorf("%s has a row of %v", table, row[owner])
			}
		}
	}
	if content["recordings/"+l.call.String()+".mp3"] != "sound of Cara" {
		t.Error("the recording is not in it")
	}
	if c := content["data/contacts.csv"]; !strings.Contains(c, "'=1+1") || !strings.Contains(c, ","+caller+",") {
		t.Errorf("cells: %s", c)
	}

	l.ahead.Store(int64(8 * 24 * time.Hour))
	l.until("the export to expire", func() bool {
		return scan[string](l.world, "select state from tenant_exports where id = $1", export) == "expired"
	})
	if _, found := l.fetch(jobs.ExportsBucket, path); found {
		t.Error("the file outlived its seven days")
	}
}

func TestEraseOneCaller(t *testing.T) {
	t.Parallel()
	l := newLeaver(t, "eraser")
	l.exec(`insert into contacts (tenant_id, phone_number, name) values ($1, '+16175550143', 'Somebody Else')`, l.id)
	l.exec(`update contacts set name = 'Cara C. Caller' where id = $1`, l.contact)
	used := func() string {
		return scan[string](l.world, "select calls || ' ' || seconds || ' ' || sms from tenant_usage where tenant_id = $1", l.id)
	}
	planted := l.plant()
	before := used()
	scan[uuid.UUID](l.world, "select private.order_erasure($1, $2)", l.id, l.contact)
	l.work()
	l.ends("done", "caller_erase", l.contact)
	if after := used(); after != before {
		t.Errorf("usage was %s and is %s", before, after)
	}
	if _, found := l.fetch(jobs.RecordingsBucket, l.id.String()+"/call.mp3"); found {
		t.Error("the recording is still there")
	}
	l.knowsNothing()
	// Twilio's late words about those calls bring nothing back; what it records is deleted.
	sid := scan[string](l.world, `select call_sid from call_logs where id = $1`, l.call)
	l.happens(l.id, sid, "call.started", `{"from": "`+caller+`", "to": "+16175550199", "route": "agent", "channel": "call"}`)
	l.happens(l.id, sid, "call.turn", `{"position": 7, "speaker": "caller", "text": "Cara again"}`)
	l.happens(l.id, sid, "call.recording", `{"kind": "voicemail", "recording_sid": "RElate", "duration": 9}`)
	l.happens(l.id, sid, "message.taken", `{"recording_sid": "RElate", "body": "Voicemail of Cara."}`)
	l.happens(l.id, sid, "call.status", `{"status": "completed", "duration": 60, "from": "`+caller+`", "to": "+16175550199"}`)
	l.knowsNothing()
	if sids := scan[[]string](l.world, `select array_agg(recording_sid order by recording_sid) from private.recording_deletions`); !slices.Equal(sids, []string{"RElate", "REr", "REv"}) {
		t.Errorf("to be deleted at Twilio: %v", sids)
	}
	for _, personal := range []string{"from_number", "summary", "intent", "caller_name", "callback_number", "caller_address", "follow_up", "transfer_number"} {
		if !slices.Contains(planted, personal) {
			t.Errorf("the test planted nothing in %s", personal)
		}
	}
	if n := scan[int](l.world, "select count(*)::int from contacts where tenant_id = $1", l.id); n != 1 {
		t.Errorf("%d contacts are left", n)
	}
	if n := scan[int](l.world, "select count(*)::int from activity_log where tenant_id = $1 and action = 'contact.erased'", l.id); n != 1 {
		t.Errorf("%d log rows of the erasure", n)
	}
}

// plant writes the caller's name, or number, into every column of the call that takes it, and returns which.
func (l *leaver) plant() (columns []string) {
	l.t.Helper()
	l.exec(`update call_logs set recording_sid = 'REr', voicemail_sid = 'REv', voicemail_path = $2::text || '/call.mp3' where id = $1`, l.call, l.id)
	for _, column := range scan[[]string](l.world, `select array_agg(column_name::text) from information_schema.columns where table_schema = 'public' and table_name = 'call_logs'
		and data_type in ('text', 'jsonb') and is_generated = 'NEVER' and column_name not in ('call_sid', 'recording_sid', 'voicemail_sid', 'recording_path', 'voicemail_path', 'to_number', 'route_reason', 'model_usage')`) {
		for _, value := range []string{"Cara", caller} {
			if _, err := l.db.Admin.Exec(context.Background(), `update call_logs set `+column+` = $2 where id = $1`, l.call, value); err == nil {
				columns = append(columns, column)
				break
			}
		}
	}
	return columns
}

// knowsNothing searches every table of ours, in every schema, for the caller.
func (l *leaver) knowsNothing() {
	l.t.Helper()
	for _, table := range scan[[]string](l.world, `select array_agg(format('%I.%I', schemaname, tablename)) from pg_tables where schemaname in ('public', 'private', 'river', 'storage')`) {
		if rows := scan[[]string](l.world, `select coalesce(array_agg(t::text), '{}') from `+table+` t where t::text ilike '%cara%' or t::text like '%5550142%'`); len(rows) != 0 {
			l.t.Errorf("%s still knows the caller: %s", table, rows)
		}
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	l := newLeaver(t, "purged")
	const number = "+18573825161"
	_, err := l.sandbox.AddNumber(sandbox.Number{PhoneNumber: number})
	must(t, err)
	l.exec("update tenants set twilio_phone_number = $2 where id = $1", l.id, number)
	shared := l.tenant("stays", "owner_email", "both@example.com")
	l.exec("insert into tenant_users (tenant_id, email) values ($1, 'both@example.com')", l.id)
	stop := l.work()
	l.ends("done", "tenant_created", l.id)
	l.ends("done", "tenant_created", shared)
	l.until("the number", func() bool {
		return scan[bool](l.world, "select exists (select from phone_numbers where tenant_id = $1 and status = 'ready')", l.id)
	})
	stop()
	l.put(jobs.LogosBucket, l.id.String()+"/logo.png", "x")
	l.put(jobs.ExportsBucket, l.id.String()+"/a/deep.zip", "x")
	l.put(jobs.RecordingsBucket, shared.String()+"/theirs.mp3", "x")
	l.exec("delete from tenants where id = $1", l.id)

	// Not before its time, nor after a restore.
	due := func(days int) int {
		return scan[int](l.world, "select private.purge_due(now() + make_interval(days => $1), 10)", days)
	}
	if n := due(29); n != 0 {
		t.Errorf("%d purges after 29 days", n)
	}
	if n := due(31); n != 1 {
		t.Errorf("%d purges after 31 days", n)
	}
	l.exec("update tenants set deleted_at = null where id = $1", l.id)
	stop = l.work()
	l.ends("done", "tenant_purge", l.id)
	if got := scan[string](l.world, "select slug from tenants where id = $1", l.id); got != "purged" || len(l.sandbox.Numbers()) != 1 {
		t.Errorf("a restored tenant: %q, %d numbers", got, len(l.sandbox.Numbers()))
	}
	stop()

	// Storage fails half-way, with the number gone already; then it goes on.
	l.exec("delete from tenants where id = $1", l.id)
	if n := due(31); n != 1 || due(31) != 0 {
		t.Error("a second deletion is purged once")
	}
	stop = l.work(func(d *jobs.Deps) { d.Storage = brokenStorage{d.Storage} })
	l.until("the purge to fail", func() bool { return l.job("tenant_purge", l.id).Attempt >= 2 })
	stop()
	l.work()
	l.ends("done", "tenant_purge", l.id)
	l.until("the logins", func() bool {
		return scan[int](l.world, "select count(*)::int from jobs where kind = 'login_delete' and state <> 'done'") == 0
	})

	if n := len(l.sandbox.Numbers()); n != 0 {
		t.Errorf("%d numbers are still paid for", n)
	}
	for bucket, path := range map[string]string{jobs.LogosBucket: "/logo.png", jobs.ExportsBucket: "/a/deep.zip", jobs.RecordingsBucket: "/call.mp3"} {
		if _, found := l.fetch(bucket, l.id.String()+path); found {
			t.Errorf("%s%s is still there", bucket, path)
		}
	}
	if _, found := l.fetch(jobs.RecordingsBucket, shared.String()+"/theirs.mp3"); !found {
		t.Error("another tenant's file went too")
	}
	logins := scan[[]string](l.world, "select array_agg(email::text order by email) from auth.users")
	if !slices.Equal(logins, []string{"both@example.com"}) {
		t.Errorf("logins left: %v", logins)
	}
	for _, table := range l.tenantTables() {
		where := "tenant_id = $1"
		if table == "activity_log" {
			where += " and (changes <> '{}' or actor_label <> '' or actor ~ '^(person|key):.*-')"
		}
		if n := scan[int](l.world, "select count(*)::int from "+table+" where "+where, l.id); n != 0 {
			t.Errorf("%s has %d rows left", table, n)
		}
	}
	if got := scan[string](l.world, "select ordered_by || ' ' || counts::text from tenant_tombstones where id = $1", l.id); !strings.Contains(got, `"members": 2`) || strings.Contains(got, "purged@") {
		t.Errorf("tombstone %s", got)
	}
	l.tenant("purged", "twilio_phone_number", number) // all free again
}

type brokenStorage struct{ jobs.Storage }

func (l *leaver) tenantTables() []string {
	return scan[[]string](l.world, `select array_agg(c.relname::text) from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
		where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'`)
}

func (brokenStorage) RemoveFolder(context.Context, string, string) error {
	return errors.New("no storage")
}
