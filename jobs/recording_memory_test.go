package jobs_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"kestrel.ai/jobs"
)

// TestRecordingMemory: a long recording streams from Twilio into Storage: the worker's memory does not grow with it.
func TestRecordingMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.haiec()
	// An hour of two channels, which the sandbox need not hold: it answers everything else.
	const size = 128 << 20
	vendor := w.sandbox
	twilio := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/Recordings/RElong.wav") {
			vendor.ServeHTTP(rw, r)
			return
		}
		rw.Header().Set("Content-Type", "audio/x-wav")
		rw.Header().Set("Content-Length", strconv.Itoa(size))
		_, _ = io.CopyN(rw, zeros{}, size)
	}))
	t.Cleanup(twilio.Close)
	w.vendors = twilio.URL
	peak := func(sid string) (mib int64) {
		call := w.call(tenant, "Hello")
		w.exec(`update call_logs set recording_sid = $2 where id = $1`, call, sid)
		p := w.process()
		if sid != "" {
			w.exec(`select private.enqueue('recording_fetch', $1, $2)`, tenant, call)
			w.ends("done", "recording_fetch", call)
			if n := scan[int](w, `select (metadata ->> 'size')::int from storage.objects where bucket_id = $1 and name = (select recording_path from call_logs where id = $2)`, jobs.RecordingsBucket, call); n != size {
				t.Errorf("%d bytes are in Storage", n)
			}
		} else {
			w.close(call)
			w.ends("done", "call_analyze", call)
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		must(t, err)
		must(t, p.stdin.Close())
		must(t, p.cmd.Wait())
		_, after, _ := strings.Cut(string(status), "VmHWM:")
		_, err = fmt.Sscan(after, &mib)
		must(t, err)
		return mib >> 10
	}
	idle, busy := peak(""), peak("RElong")
	if busy-idle > 24 {
		t.Errorf("a recording of %d MiB took the worker from %d to %d MiB", size>>20, idle, busy)
	}
	t.Logf("%d MiB without, %d MiB with a recording of %d MiB", idle, busy, size>>20)
}
