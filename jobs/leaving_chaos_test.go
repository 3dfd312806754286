package jobs_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kestrel.ai/jobs"
	"kestrel.ai/server/sandbox"
	"kestrel.ai/supabase"
)

// Workers are killed at random moments while tenants are exported and purged. An export is ready only with its file
// whole, a tenant has a tombstone only when nothing of it is left, and in the end every one has come to its end.
func TestLeavingSurvivesKills(t *testing.T) {
	t.Parallel()
	l := &leaver{world: newWorld(t)}
	upstream, err := url.Parse(l.supabase)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	proxy.ErrorLog = log.New(io.Discard, "", 0) // those who were killed hang up
	storage := httptest.NewServer(slow(proxy, rand.New(rand.NewPCG(*seed, 4))))
	t.Cleanup(storage.Close)
	l.supabase = storage.URL
	l.files = supabase.NewStorage(upstream.String(), secretKey)

	const tenants = 6
	exports := map[uuid.UUID]uuid.UUID{}
	var leaving []uuid.UUID
	for n := range tenants {
		l.fill(fmt.Sprintf("leaver-%d", n))
		if n%2 == 0 {
			scan[uuid.UUID](l.world, "select private.order_export($1)", l.id)
			exports[scan[uuid.UUID](l.world, "select id from tenant_exports where tenant_id = $1", l.id)] = l.id
			continue
		}
		number := fmt.Sprintf("+1857382517%d", n)
		owned, err := l.sandbox.AddNumber(sandbox.Number{PhoneNumber: number})
		must(t, err)
		l.exec("insert into phone_numbers (tenant_id, phone_number, provider_sid, status) select $1, $2, $3, 'ready'", l.id, number, owned.SID)
		l.exec("delete from tenants where id = $1", l.id)
		leaving = append(leaving, l.id)
	}
	scan[int](l.world, "select private.purge_due(now() + interval '31 days', 10)")

	rng, hit := rand.New(rand.NewPCG(*seed, 5)), map[string]bool{}
	for range 8 {
		p := l.process()
		time.Sleep(time.Duration(rng.IntN(250)) * time.Millisecond)
		p.kill()
		for _, at := range scan[[]string](l.world, `select coalesce(array_agg(kind || ' ' || step), '{}') from jobs where kind in ('tenant_export', 'tenant_purge') and state = 'running'`) {
			hit[at] = true
		}
		l.wholeOrNot(exports, leaving)
	}
	last := l.process()
	l.until("all to end", func() bool {
		return scan[int](l.world, `select count(*)::int from jobs where state in ('queued', 'running')`) == 0
	})
	must(t, last.stdin.Close())
	must(t, last.cmd.Wait())
	l.wholeOrNot(exports, leaving)
	same(t, "exports ready", scan[int](l.world, `select count(*)::int from tenant_exports where state = 'ready'`), len(exports))
	same(t, "tenants purged", scan[int](l.world, `select count(*)::int from tenant_tombstones`), len(leaving))
	same(t, "numbers still paid for", len(l.sandbox.Numbers()), 0)
	t.Logf("seed %d: killed at %v", *seed, hit)
}

// wholeOrNot demands that whatever says it is finished is.
func (l *leaver) wholeOrNot(exports map[uuid.UUID]uuid.UUID, leaving []uuid.UUID) {
	l.t.Helper()
	for export, tenant := range exports {
		want := scan[*string](l.world, "select sha256 from tenant_exports where id = $1 and state = 'ready' union all select null limit 1", export)
		if want == nil {
			continue
		}
		raw, _ := l.fetch(jobs.ExportsBucket, jobs.ExportObject(tenant, export))
		if sum := sha256.Sum256([]byte(raw)); hex.EncodeToString(sum[:]) != *want {
			l.t.Errorf("export %s is ready without its file", export)
		}
	}
	for _, tenant := range leaving {
		there := scan[bool](l.world, "select exists (select from tenants where id = $1)", tenant)
		stone := scan[bool](l.world, "select exists (select from tenant_tombstones where id = $1)", tenant)
		if there == stone {
			l.t.Errorf("tenant %s: there %t, tombstone %t", tenant, there, stone)
		}
		if there {
			continue
		}
		for _, table := range l.tenantTables() {
			if table == "activity_log" {
				continue // its rows stay, blank
			}
			if n := scan[int](l.world, "select count(*)::int from "+table+" where tenant_id = $1", tenant); n != 0 {
				l.t.Errorf("%s has %d rows of a purged tenant", table, n)
			}
		}
		if _, found := l.fetch(jobs.RecordingsBucket, tenant.String()+"/call.mp3"); found {
			l.t.Error("a purged tenant's recording is still there")
		}
	}
}

// A file that was uploaded before its job failed for good is removed; the export can still be made again.
func TestFailedExportLeavesNoFile(t *testing.T) {
	t.Parallel()
	l := newLeaver(t, "failer")
	scan[uuid.UUID](l.world, "select private.order_export($1)", l.id)
	export := scan[uuid.UUID](l.world, "select id from tenant_exports where tenant_id = $1", l.id)
	path := jobs.ExportObject(l.id, export)
	l.put(jobs.ExportsBucket, path, "uploaded")
	l.exec("update jobs set state = 'failed', reason = 'x' where kind = 'tenant_export' and subject_id = $1", export)
	l.work(func(d *jobs.Deps) { d.Config.Tuning.Departures = 50 * time.Millisecond })
	l.until("the file to go", func() bool {
		return scan[bool](l.world, "select state = 'failed' and expires_at is null from tenant_exports where id = $1", export)
	})
	if _, found := l.fetch(jobs.ExportsBucket, path); found {
		t.Error("the file of a failed export is still there")
	}
}

// Workers are killed at random moments while tenants are imported. In the end every import has made one tenant with all
// its rows and files, or, where the subdomain was taken meanwhile, none and no file.
func TestImportSurvivesKills(t *testing.T) {
	t.Parallel()
	l := newLeaver(t, "mover")
	l.furnish()
	l.still()
	stop := l.work()
	export, _, _ := l.exported(l.id)
	stop()
	upstream, err := url.Parse(l.supabase)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	proxy.ErrorLog = log.New(io.Discard, "", 0) // those who were killed hang up
	storage := httptest.NewServer(slow(proxy, rand.New(rand.NewPCG(*seed, 6))))
	t.Cleanup(storage.Close)
	l.supabase = storage.URL

	var imports []uuid.UUID
	for n := range 4 {
		imports = append(imports, l.order(&export, "", fmt.Sprintf("moved-%d", n)))
	}
	lost := l.order(&export, "", "moved-taken")
	l.tenant("moved-taken")
	tables := []string{"contacts", "call_logs", "appointments", "messages", "tenant_usage", "agent_versions"}
	rows := func(tenant uuid.UUID) (n []int) {
		for _, table := range tables {
			n = append(n, scan[int](l.world, "select count(*)::int from "+table+" where tenant_id = $1", tenant))
		}
		return n
	}
	want := rows(l.id)
	whole := func() (done int) {
		for _, id := range imports {
			there := scan[bool](l.world, "select exists (select from tenants where id = $1)", id)
			if state := scan[string](l.world, "select state from tenant_imports where id = $1", id); there != (state == "done") {
				t.Errorf("import %s is %s; its tenant is there: %t", id, state, there)
			}
			if !there {
				continue
			}
			done++
			same(t, "rows", rows(id), want)
			files := 0
			for _, path := range scan[[]string](l.world, `select array_agg('recordings ' || recording_path) || array_agg('recordings ' || voicemail_path) ||
				array(select 'logos ' || logo_path from tenants where id = $1) from call_logs where tenant_id = $1 and recording_path is not null`, id) {
				bucket, path, _ := strings.Cut(path, " ")
				if _, found := l.fetch(bucket, path); !found {
					t.Errorf("%s: %s is not there", bucket, path)
				}
				files++
			}
			same(t, "files", files, 3)
		}
		return done
	}
	rng, hit := rand.New(rand.NewPCG(*seed, 7)), map[string]bool{}
	for range 8 {
		p := l.process()
		time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
		p.kill()
		for _, at := range scan[[]string](l.world, `select coalesce(array_agg(step), '{}') from jobs where kind = 'tenant_import' and state = 'running'`) {
			hit[at] = true
		}
		whole()
	}
	last := l.process()
	l.until("all to end", func() bool {
		return scan[int](l.world, `select count(*)::int from jobs where kind = 'tenant_import' and state in ('queued', 'running')`) == 0
	})
	must(t, last.stdin.Close())
	must(t, last.cmd.Wait())
	same(t, "imports done", whole(), len(imports))
	same(t, "tenants", scan[int](l.world, "select count(*)::int from tenants"), len(imports)+2)
	same(t, "the import that came too late", scan[string](l.world, "select state from tenant_imports where id = $1", lost), "failed")
	same(t, "its files", scan[int](l.world, "select count(*)::int from storage.objects where name like $1 || '/%'", lost.String()), 0)
	t.Logf("seed %d: killed at %v", *seed, hit)
}
