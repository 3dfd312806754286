package jobs_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kestrel.ai/jobs"
)

// zeros is a file of so many bytes that nobody holds.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// large gives the tenant so many calls with a turn each, some of them with recordings of a size.
func (l *leaver) large(calls, recordings int, size int64) {
	l.t.Helper()
	path := l.id.String() + "/large.wav"
	must(l.t, l.files.UploadFrom(l.t.Context(), jobs.RecordingsBucket, path, "audio/wav", io.LimitReader(zeros{}, size), size))
	super, err := pgx.Connect(l.t.Context(), l.db.SuperuserURL)
	must(l.t, err)
	defer super.Close(context.Background())
	tx, err := super.Begin(l.t.Context())
	must(l.t, err)
	for _, sql := range []string{
		`set local session_replication_role = replica`, // what follows a call is not what is measured
		fmt.Sprintf(`insert into call_logs (tenant_id, call_sid, started_at, agent_seconds, duration_seconds, summary, recording_path)
			select '%s', 'CA' || md5(i::text), now(), 30, 60, repeat('a boiler ', 20), case when i <= %d then '%s' end from generate_series(1, %d) i`, l.id, recordings, path, calls),
		`insert into call_turns (tenant_id, call_id, position, speaker, text) select tenant_id, id, 1, 'caller', repeat('my boiler ', 20) from call_logs where call_sid like 'CA________________________________'`,
		`analyze call_logs, call_turns`,
	} {
		_, err := tx.Exec(l.t.Context(), sql)
		must(l.t, err)
	}
	must(l.t, tx.Commit(l.t.Context()))
}

// export makes one in a process of its own; how much memory that process had at most (proc(5), VmHWM), in MiB.
func (l *leaver) export() (peak int64, bytes int64, took time.Duration) {
	l.t.Helper()
	scan[uuid.UUID](l.world, "select private.order_export($1)", l.id)
	export := scan[uuid.UUID](l.world, "select id from tenant_exports where tenant_id = $1 and state = 'open'", l.id)
	began, p := time.Now(), l.process()
	for l.job("tenant_export", export).State != "done" { // a large one may take minutes
		if s := l.job("tenant_export", export).State; s == "failed" || l.t.Context().Err() != nil {
			l.t.Fatalf("the export is %s", s)
		}
		time.Sleep(10 * time.Millisecond)
	}
	took = time.Since(began)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	must(l.t, err)
	must(l.t, p.stdin.Close())
	must(l.t, p.cmd.Wait())
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	_, err = fmt.Sscan(after, &kib)
	must(l.t, err)
	return kib >> 10, scan[int64](l.world, "select bytes from tenant_exports where id = $1", export), took
}

// The memory of a worker does not grow with what it exports.
func TestExportMemory(t *testing.T) {
	t.Parallel()
	l := newLeaver(t, "large")
	small, _, _ := l.export()
	l.large(5_000, 4, 16<<20)
	large, bytes, _ := l.export()
	if bytes < 64<<20 {
		t.Fatalf("the export has %d bytes", bytes)
	}
	if large-small > 48 {
		t.Errorf("an export of %d MiB took the worker from %d to %d MiB", bytes>>20, small, large)
	}
	t.Logf("%d MiB for nothing, %d MiB for an export of %d MiB", small, large, bytes>>20)
}

// BenchmarkExport makes the export of a tenant with 200,000 calls and 200 MB of recordings.
func BenchmarkExport(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		l := newLeaver(b, "large")
		small, _, _ := l.export()
		l.large(200_000, 20, 10<<20)
		b.StartTimer()
		large, bytes, took := l.export()
		b.ReportMetric(float64(small), "MiB/worker-small")
		b.ReportMetric(float64(large), "MiB/worker-large")
		b.ReportMetric(float64(bytes>>20), "MiB/export")
		b.ReportMetric(took.Seconds(), "s/export")
	}
}
