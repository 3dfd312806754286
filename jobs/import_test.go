package jobs_test

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image"
	"image/png"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
)

// furnish gives the tenant a year's worth of what an import has to keep apart from what happens anew.
func (l *leaver) furnish() {
	l.t.Helper()
	var picture bytes.Buffer
	must(l.t, png.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8))))
	l.put(jobs.LogosBucket, l.id.String()+"/logo-1.png", picture.String())
	l.put(jobs.RecordingsBucket, l.id.String()+"/left.mp3", "a message of Cara")
	for _, sql := range []string{
		`update tenants set logo_path = $1::text || '/logo-1.png', forward_to_number = '+16175550188', brand_color = '#aa0011', industry = 'hvac', plan_tier = 'professional', max_monthly_calls = 77, timezone = 'Europe/Berlin' where id = $1::uuid`,
		`update contacts set notes = $$Robert'); drop table tenants; --$$, is_blocked = true where tenant_id = $1`,
		`update call_logs set voicemail_path = $1::text || '/left.mp3', voicemail_sid = 'REv', recording_sid = 'REr' where tenant_id = $1::uuid and recording_path is not null`,
		// No SIDs of Twilio's, or the worker asks Twilio how these calls ended and closes them while the test compares.
		`insert into call_logs (tenant_id, call_sid, started_at, agent_seconds, duration_seconds, cost_micros, status)
			select $1::uuid, 'CA-' || md5($1::uuid::text || i), now() - make_interval(days => i * 9), 20 + i, 30 + i, 1000 * i, case when i = 1 then 'in-progress' else 'completed' end from generate_series(1, 20) i`,
		`insert into usage_adjustments (tenant_id, usage_id, calls, reason, actor) select $1, id, -1, 'Test calls', 'login:postgres' from tenant_usage where tenant_id = $1 and is_current`,
		`update tenant_usage set closed_at = now() where tenant_id = $1 and period_end < now()`,
		`insert into messages (tenant_id, direction, from_number, to_number, body, created_at) values ($1, 'outbound', '+16175550199', '+16175550142', 'See you', now() - interval '40 days')`,
		`update appointment_notices set state = 'texted', done_at = now(), message_id = (select id from messages where tenant_id = $1 and direction = 'outbound') where tenant_id = $1`,
		`with s as (insert into agent_scenarios (tenant_id, name, lines) values ($1, 'Asks', '["Hello"]') returning *)
			insert into agent_scenario_runs (tenant_id, batch_id, scenario_id, name, held_at, lines, expect, state, passed) select tenant_id, gen_random_uuid(), id, name, '', lines, expect, 'done', true from s`,
		`insert into messages (tenant_id, direction, from_number, to_number, body, opt_out_type) values ($1, 'inbound', '+16175550143', '+16175550199', 'STOP', 'stop')`,
		`insert into call_messages (tenant_id, contact_id, conversation_id, body, is_urgent) select $1, contact_id, id, 'Call me back', true from call_logs where tenant_id = $1 and contact_id is not null`,
		`insert into agent_versions (tenant_id, version, state, settings) values ($1, 2, 'published', '{"greeting": "Hello <there>"}'), ($1, 3, 'draft', '{"greeting": "Hi"}')`,
		`insert into tenant_users (tenant_id, email, role) values ($1, 'second@example.com', 'admin')`,
		`insert into tenant_requests (tenant_id, kind, plan_tier, from_tier) values ($1, 'plan', 'premium', 'professional')`,
		`insert into phone_numbers (tenant_id, phone_number, status, provider_sid) values ($1::uuid, '+16175550199', 'ready', 'PN' || $1::uuid)`,
	} {
		l.exec(sql, l.id)
	}
}

// still ends whatever is ordered but imports, so that nothing else happens meanwhile.
func (l *leaver) still() {
	l.t.Helper()
	l.exec("delete from river.river_job where kind <> 'tenant_import'")
	l.exec("update jobs set state = 'done' where kind <> 'tenant_import' and state in ('queued', 'running')")
}

// exported makes an export and reads it.
func (l *leaver) exported(tenant uuid.UUID) (export uuid.UUID, archive []byte, content map[string][]byte) {
	l.t.Helper()
	scan[uuid.UUID](l.world, "select private.order_export($1)", tenant)
	export = scan[uuid.UUID](l.world, "select id from tenant_exports where tenant_id = $1 and state = 'open'", tenant)
	l.ends("done", "tenant_export", export)
	raw, _ := l.fetch(jobs.ExportsBucket, jobs.ExportObject(tenant, export))
	z, err := zip.NewReader(strings.NewReader(raw), int64(len(raw)))
	must(l.t, err)
	content = map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		must(l.t, err)
		content[f.Name], err = io.ReadAll(r)
		must(l.t, err)
	}
	return export, []byte(raw), content
}

// order orders an import of an export, or of an object if export is nil, and returns its id.
func (l *leaver) order(export *uuid.UUID, object, slug string) uuid.UUID {
	l.t.Helper()
	job := scan[uuid.UUID](l.world, "select private.order_import($1, nullif($2, ''), null, $3, 'Moved', $3 || '@new.example')", export, object, slug)
	return scan[uuid.UUID](l.world, "select subject_id from jobs where id = $1", job)
}

// everything is all rows of a tenant, or of all of them, as a text to compare.
func (l *leaver) everything(tenant *uuid.UUID) string {
	l.t.Helper()
	var out strings.Builder
	for _, table := range append(l.tenantTables(), "tenants") {
		if table == "jobs" || table == "events" {
			continue // what the other half of the test is about
		}
		owner := "tenant_id"
		if table == "tenants" {
			owner = "id"
		}
		out.WriteString(table + scan[string](l.world, "select coalesce(string_agg(t::text, E'\n' order by t::text), '') from "+table+" t where "+owner+" = coalesce($1, "+owner+")", tenant))
	}
	return out.String()
}

func unchanged(t testing.TB, what, before, after string) {
	t.Helper()
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	for _, row := range is {
		if !slices.Contains(was, row) {
			t.Errorf("%s: changed or new: %s", what, row)
		}
	}
	if len(is) < len(was) {
		t.Errorf("%s: %d rows are gone", what, len(was)-len(is))
	}
}

func decoded(t testing.TB, raw []byte) (rows []map[string]any) {
	t.Helper()
	in := json.NewDecoder(bytes.NewReader(raw))
	in.UseNumber()
	must(t, in.Decode(&rows))
	return rows
}

// What is exported, imported and exported again is the same, but for what is said here.
func TestImportRoundTrip(t *testing.T) {
	t.Parallel()
	l := newLeaver(t, "mover")
	l.furnish()
	l.still()
	l.work()
	export, _, first := l.exported(l.id)
	before := l.everything(&l.id)
	id := l.order(&export, "", "moved")
	l.ends("done", "tenant_import", id)
	l.ends("done", "tenant_created", id)
	unchanged(t, "the tenant that was exported", before, l.everything(&l.id))
	_, _, second := l.exported(id)

	// Ids are those of the old rows, derived; what is no id of any row is no id.
	ids := map[string]string{l.id.String(): id.String()}
	for name, raw := range first {
		if strings.HasSuffix(name, ".json") && name != "manifest.json" && name != "data/tenants.json" {
			for _, row := range decoded(t, raw) {
				if s, ok := row["id"].(string); ok {
					ids[s] = jobs.ImportedID(id, uuid.MustParse(s)).String()
				}
			}
		}
	}
	stays := []string{"tenant_slugs", "tenant_plans", "tenant_users", "tenant_api_keys", "phone_numbers", "calendar_feeds", "tenant_requests", "activity_log"}
	for name, raw := range first {
		table, ok := strings.CutPrefix(strings.TrimSuffix(name, ".json"), "data/")
		if !ok || strings.HasSuffix(name, ".csv") || table == "tenants" || slices.Contains(stays, table) {
			continue
		}
		want, got := decoded(t, raw), decoded(t, second[name])
		if len(want) == 0 {
			t.Errorf("%s: nothing to compare", table)
		}
		for _, row := range want {
			for column, value := range row {
				if s, ok := value.(string); ok && ids[s] != "" {
					row[column] = ids[s]
				}
			}
			id := row["id"].(string)
			switch table {
			case "call_logs":
				row["call_sid"], row["phone_number_id"], row["recording_sid"], row["voicemail_sid"] = "import:"+id, nil, nil, nil
				if row["recording_path"] != nil {
					row["recording_path"], row["voicemail_path"] = row["tenant_id"].(string)+"/"+id+".mp3", row["tenant_id"].(string)+"/"+id+"-voicemail.mp3"
				}
				if row["status"] == "in-progress" {
					row["status"] = "completed"
				}
				if row["closed_at"] == nil {
					row["closed_at"] = row["started_at"]
				}
			case "agent_scenario_runs":
				row["batch_id"] = jobs.ImportedID(uuid.MustParse(ids[l.id.String()]), uuid.MustParse(row["batch_id"].(string))).String() // a batch has no row
			case "messages":
				row["provider_sid"], row["phone_number_id"] = nil, nil
				if row["status"] == "queued" && row["direction"] == "outbound" {
					row["status"], row["error"] = "canceled", "It was still waiting when it was exported."
				}
			}
		}
		byID := func(a, b map[string]any) int { return cmp.Compare(a["id"].(string), b["id"].(string)) }
		slices.SortFunc(want, byID)
		slices.SortFunc(got, byID)
		same(t, table, got, want)
	}
	old, now := decoded(t, first["data/tenants.json"])[0], decoded(t, second["data/tenants.json"])[0]
	for _, column := range []string{"owner_name", "industry", "plan_tier", "timezone", "billing_anchor", "call_limit_override", "max_monthly_calls", "current_month_calls", "forward_to_number", "brand_color"} {
		same(t, "tenant's "+column, now[column], old[column])
	}
	same(t, "the new tenant", []any{now["slug"], now["company_name"], now["owner_email"], now["subscription_status"], now["twilio_phone_number"], now["logo_path"]},
		[]any{"moved", "Moved", "moved@new.example", "pending", nil, id.String() + "/logo.png"})
	files := func(content map[string][]byte, rename map[string]string) map[string]string {
		out := map[string]string{}
		for name, raw := range content {
			if strings.HasPrefix(name, "recordings/") || strings.HasPrefix(name, "logo") {
				for from, to := range rename {
					name = strings.ReplaceAll(name, from, to)
				}
				out[name] = string(raw)
			}
		}
		return out
	}
	same(t, "files", files(second, nil), files(first, ids))
	if len(files(first, nil)) != 3 {
		t.Errorf("files: %v", slices.Collect(maps.Keys(files(first, nil))))
	}

	// What followed is what follows any new tenant.
	same(t, "jobs", scan[string](l.world, `select string_agg(distinct kind, ' ' order by kind) from jobs where tenant_id = $1 and kind <> 'tenant_export'`, id), "email_send fallback_publish tenant_created")
	same(t, "e-mails", scan[string](l.world, `select string_agg(distinct template || ' ' || to_email, ', ' order by template || ' ' || to_email) from email_log where tenant_id = $1`, id),
		"admin_new_tenant "+adminEmail+", welcome moved@new.example")
	same(t, "log", scan[string](l.world, `select string_agg(action, ' ' order by id) from activity_log where tenant_id = $1 and action not like 'export.%' and table_name = 'tenants'`, id), "tenant.created tenant.imported")
	report := scan[string](l.world, "select report::text from tenant_imports where id = $1 and state = 'done' and tenant_id = $1", id)
	for _, told := range []string{"second@example.com", "+16175550199", l.id.String(), `"table": "activity_log"`} {
		if !strings.Contains(report, told) {
			t.Errorf("the report does not tell of %s: %s", told, report)
		}
	}
	// A second tenant of the same archive is another; the next call counts as ever.
	again := l.order(&export, "", "moved-again")
	l.ends("done", "tenant_import", again)
	used := "select current_month_calls from tenants where id = $1"
	calls := scan[int](l.world, used, id)
	l.exec("insert into call_logs (tenant_id, call_sid, started_at, agent_seconds) values ($1, 'CA-next', now(), 5)", id)
	same(t, "calls", scan[int](l.world, used, id), calls+1)
	same(t, "calls of the other", scan[int](l.world, used, again), calls)
	// Purged, nothing of it is left: its members and numbers were in the report.
	l.exec("delete from tenants where id = $1", id)
	scan[int](l.world, "select private.purge_due(now() + interval '31 days', 10)")
	l.ends("done", "tenant_purge", id)
	same(t, "imports", scan[int](l.world, "select count(*)::int from tenant_imports where id = $1", id), 0)
}

// archived is an archive being doctored.
type archived struct {
	content  map[string][]byte
	manifest map[string]any
	seal     bool // give the manifest the sums and sizes of what is there
}

func (a *archived) row(table string, n int, column string, value any) {
	var rows []map[string]any
	_ = json.Unmarshal(a.content["data/"+table+".json"], &rows)
	rows[n][column] = value
	a.content["data/"+table+".json"], _ = json.Marshal(rows)
}

func (a *archived) zip(t testing.TB) []byte {
	t.Helper()
	if a.seal {
		files := []map[string]any{}
		for name, raw := range a.content {
			sum := sha256.Sum256(raw)
			files = append(files, map[string]any{"name": name, "bytes": len(raw), "sha256": hex.EncodeToString(sum[:])})
		}
		a.manifest["files"] = files
	}
	manifest, err := json.Marshal(a.manifest)
	must(t, err)
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for name, raw := range a.content {
		w, err := z.Create(name)
		must(t, err)
		_, err = w.Write(raw)
		must(t, err)
	}
	w, err := z.Create("manifest.json")
	must(t, err)
	_, err = w.Write(manifest)
	must(t, err)
	must(t, z.Close())
	return out.Bytes()
}

// Whatever an archive holds, an import that fails says what is wrong, leaves nothing, and touches nobody.
func TestHostileArchives(t *testing.T) {
	t.Parallel()
	l := newLeaver(t, "victim")
	l.furnish()
	victim, contact := l.id, l.contact
	l.fill("mover")
	stop := l.work()
	_, raw, content := l.exported(l.id)
	stop()
	var manifest map[string]any
	must(t, json.Unmarshal(content["manifest.json"], &manifest))
	delete(content, "manifest.json")

	junk := `'; drop table tenants; --`
	cases := map[string]struct {
		doctor func(*archived)
		want   string
	}{
		"a sum": {func(a *archived) { a.seal = false; a.content["data/contacts.json"][5] ^= 1 }, "data/contacts.json has another SHA-256"},
		"a size": {func(a *archived) {
			a.seal = false
			a.content["data/contacts.json"] = append(a.content["data/contacts.json"], ' ')
		}, "another size"},
		"a file too many":   {func(a *archived) { a.manifest["files"] = []any{}; a.seal = false }, "lists 0 files"},
		"a way out":         {func(a *archived) { a.content["../../../etc/cron.d/x"] = []byte("x") }, "which no export has"},
		"a way in":          {func(a *archived) { a.content["recordings/"+victim.String()+"/call.mp3"] = []byte("x") }, "which no export has"},
		"format":            {func(a *archived) { a.manifest["format_version"] = 9 }, "format 9"},
		"another's row":     {func(a *archived) { a.row("contacts", 0, "tenant_id", victim) }, "data/contacts.json, row 1 belongs to another tenant"},
		"another's key":     {func(a *archived) { a.row("activity_log", 0, "tenant_id", victim) }, "data/activity_log.json, row 1 belongs to another tenant"},
		"another's tenant":  {func(a *archived) { a.row("tenants", 0, "id", victim) }, "belongs to another tenant"},
		"another's contact": {func(a *archived) { a.row("appointments", 0, "contact_id", contact) }, "refers to what is not in the archive (appointments_contact_id_fkey)"},
		"SQL for a time":    {func(a *archived) { a.row("call_logs", 0, "started_at", junk) }, "data/call_logs.json, row 1: a value is not of its column's type"},
		"SQL for an id":     {func(a *archived) { a.row("call_logs", 0, "usage_id", junk) }, "usage_id is no id"},
		"SQL for a key":     {func(a *archived) { a.row("contacts", 0, "id", junk) }, "row 1 has no id"},
		"SQL for a column": {func(a *archived) {
			a.row("contacts", 0, `x"; drop table tenants; --`, 1)
			a.row("contacts", 0, "is_blocked", "perhaps")
		}, "not of its column's type"},
		"a list for a text": {func(a *archived) { a.row("contacts", 0, "email", []int{1}) }, "contacts_email_format"},
		"a NUL":             {func(a *archived) { a.row("contacts", 0, "notes", "a\x00b") }, "not of its column's type"},
		"too long":          {func(a *archived) { a.row("contacts", 0, "notes", strings.Repeat("x", 20_001)) }, "contacts_notes_length"},
		"nothing":           {func(a *archived) { a.row("call_logs", 0, "started_at", nil) }, "started_at is missing"},
		"no list":           {func(a *archived) { a.content["data/contacts.json"] = []byte(`{"id": 1}`) }, "no list of rows"},
		"no rows":           {func(a *archived) { a.content["data/contacts.json"] = []byte(`[1]`) }, "no row of a table"},
		"a row too many":    {func(a *archived) { a.manifest["counts"].(map[string]any)["contacts"] = 7 }, "manifest.json tells of 7"},
		"a row twice": {func(a *archived) {
			rows := decoded(t, a.content["data/contacts.json"])
			a.content["data/contacts.json"], _ = json.Marshal(append(rows, rows[0]))
			a.manifest["counts"].(map[string]any)["contacts"] = 2
		}, "data/contacts.json, row 2: it is there already (contacts_pkey)"},
		"a row of 9 MB": {func(a *archived) { a.row("contacts", 0, "notes", strings.Repeat("xy ", 3<<20)) }, "larger than 8 MiB"},
		"a bomb":        {func(a *archived) { a.content["data/contacts.json"] = bytes.Repeat([]byte(" "), 80<<20) }, "unpack to more than"},
		"a page":        {func(a *archived) { a.content["logo.png"] = []byte("<!DOCTYPE html><script>") }, "no PNG, JPEG or WebP"},
		"no tenant": {func(a *archived) {
			a.content["data/tenants.json"] = []byte("[]")
			a.manifest["counts"].(map[string]any)["tenants"] = 0
		}, "has no tenant"},
	}
	orders := map[string]uuid.UUID{}
	put := func(name string, archive []byte) {
		object := uuid.NewString() + ".zip"
		l.put(jobs.ImportsBucket, object, string(archive))
		orders[name] = l.order(nil, object, "bad-"+uuid.NewString()[:8])
	}
	for name, c := range cases {
		a := &archived{content: map[string][]byte{}, manifest: map[string]any{}, seal: true}
		for file, body := range content {
			a.content[file] = bytes.Clone(body)
		}
		copied, err := json.Marshal(manifest)
		must(t, err)
		must(t, json.Unmarshal(copied, &a.manifest))
		c.doctor(a)
		put(name, a.zip(t))
	}
	want := map[string]string{"no zip": "no zip file", "half": "no zip file", "never uploaded": "not in Storage", "taken": "another tenant has this subdomain by now", "sum": "not the one that it should"}
	put("no zip", []byte("PK\x03\x04 but no more"))
	put("half", raw[:len(raw)/2])
	orders["never uploaded"] = l.order(nil, "never.zip", "never-up")
	l.put(jobs.ImportsBucket, "good.zip", string(raw))
	orders["taken"] = l.order(nil, "good.zip", "taken-slug")
	l.tenant("taken-slug")
	orders["sum"] = l.order(nil, "good.zip", "sum-slug")
	l.exec("update tenant_imports set sha256 = repeat('0', 64) where id = $1", orders["sum"])
	for name, c := range cases {
		want[name] = c.want
	}
	l.still()
	before := l.everything(nil)
	stop = l.work()
	for name, id := range orders {
		if j := l.ends("failed", "tenant_import", id); !strings.Contains(j.Reason, want[name]) || j.Attempt != 1 {
			t.Errorf("%s: after %d tries: %s", name, j.Attempt, j.Reason)
		}
		for _, bucket := range []string{jobs.RecordingsBucket, jobs.LogosBucket} {
			if n := scan[int](l.world, "select count(*)::int from storage.objects where bucket_id = $1 and name like $2 || '/%'", bucket, id.String()); n != 0 {
				t.Errorf("%s left %d files in %s", name, n, bucket)
			}
		}
	}
	stop()
	unchanged(t, "tenants, by imports that failed", before, l.everything(nil))
	if strings.Contains(scan[string](l.world, "select coalesce(string_agg(reason, ' '), '') from jobs"), "Cara") {
		t.Error("a reason holds personal data")
	}
}

// The files of an import that was given up are removed, and so are archives that are a week old; one of an import that
// is open waits for it.
func TestFailedImportLeavesNoFile(t *testing.T) {
	t.Parallel()
	l := newLeaver(t, "failer")
	l.put(jobs.ImportsBucket, "a.zip", "x")
	l.put(jobs.ImportsBucket, "b.zip", "x")
	failed, open := l.order(nil, "a.zip", "failed"), l.order(nil, "b.zip", "opened")
	l.exec("update river.river_job set state = 'scheduled', scheduled_at = now() + interval '1 year' where kind = 'tenant_import'")
	l.put(jobs.RecordingsBucket, failed.String()+"/call.mp3", "uploaded")
	l.exec("update jobs set state = 'failed', reason = 'x' where kind = 'tenant_import' and subject_id = $1", failed)
	l.ahead.Store(int64(8 * 24 * time.Hour))
	l.work(func(d *jobs.Deps) {
		d.Config.Tuning.Departures = 50 * time.Millisecond
		d.Config.Tuning.Housekeep = time.Hour
	})
	l.until("the files to go", func() bool {
		_, file := l.fetch(jobs.RecordingsBucket, failed.String()+"/call.mp3")
		_, archive := l.fetch(jobs.ImportsBucket, "a.zip")
		return !file && !archive && scan[bool](l.world, "select state = 'failed' and clean_at is null from tenant_imports where id = $1", failed)
	})
	if _, found := l.fetch(jobs.ImportsBucket, "b.zip"); !found {
		t.Errorf("the archive of import %s, which is open, is gone", open)
	}
}
