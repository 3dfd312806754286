package voice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"kestrel.ai/server/voice"
)

// ledger is what events are applied to, while it is open.
type ledger struct {
	mu     sync.Mutex
	closed bool
	taken  []string
	refuse string
}

func (l *ledger) apply(_ context.Context, e voice.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.New("connection refused")
	}
	if e.Type == l.refuse {
		return &pgconn.PgError{Code: "23514", Message: "no"}
	}
	l.taken = append(l.taken, e.Type)
	return nil
}

func (l *ledger) open(open bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = !open
}

func (l *ledger) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.taken, " ")
}

func journal(t *testing.T, l *ledger, dir string, change ...func(*voice.JournalOptions)) (*voice.Journal, func()) {
	t.Helper()
	o := voice.JournalOptions{Dir: dir, Apply: l.apply, Log: slog.New(slog.DiscardHandler), Retry: 1}
	for _, c := range change {
		c(&o)
	}
	j, err := voice.OpenJournal(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { j.Run(ctx) })
	stop := sync.OnceFunc(func() { cancel(); running.Wait(); j.Close() })
	t.Cleanup(stop)
	return j, stop
}

func put(j *voice.Journal, types ...string) {
	for _, kind := range types {
		j.Record(voice.Event{ID: uuid.Must(uuid.NewV7()), Type: kind, Data: json.RawMessage(`{}`)})
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "process-*", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestJournalReplaysInOrderAfterAnOutage(t *testing.T) {
	t.Parallel()
	l, dir := &ledger{closed: true}, t.TempDir()
	j, stop := journal(t, l, dir, func(o *voice.JournalOptions) { o.SegmentBytes = 512 })
	var want []string
	for i := range 40 {
		want = append(want, strconv.Itoa(i))
	}
	put(j, want...)
	if err := j.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if j.Waiting() != 40 || len(files(t, dir)) < 5 {
		t.Fatalf("%d wait, in %v", j.Waiting(), files(t, dir))
	}
	l.open(true)
	j.Settle(t.Context(), prettyQuick)
	if got := l.all(); got != strings.Join(want, " ") {
		t.Errorf("applied %s", got)
	}
	stop()
	if left := files(t, dir); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
}

func TestJournalOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	l, dir := &ledger{closed: true}, t.TempDir()
	j, stop := journal(t, l, dir)
	put(j, "a", "b")
	if err := j.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A second process leaves the first one's folder alone while it lives.
	second, stopSecond := journal(t, &ledger{}, dir)
	if second.Waiting() != 0 {
		t.Error("took what is another's")
	}
	stopSecond()
	stop() // as kill -9: nothing was applied, the lock is gone
	l.open(true)
	third, stopThird := journal(t, l, dir)
	put(third, "c")
	third.Settle(t.Context(), prettyQuick)
	stopThird()
	if got := l.all(); got != "a b c" {
		t.Errorf("applied %s", got)
	}
}

func TestJournalSkipsWhatIsCorrupt(t *testing.T) {
	t.Parallel()
	l, dir := &ledger{closed: true}, t.TempDir()
	j, stop := journal(t, l, dir)
	put(j, "a", "b", "c")
	if err := j.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	path := files(t, dir)[0]
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body = bytes.Replace(body, []byte(`"type":"b"`), []byte(`"type":"x"`), 1) // a bit flips
	body = append(body, []byte("0badc0de {\"torn")...)                        // a write that was cut off
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(filepath.Dir(path), "00000000-0000-7000-8000-000000000000.jsonl")
	if err := os.WriteFile(other, bytes.Repeat([]byte{0xff, 0}, 200_000), 0o600); err != nil {
		t.Fatal(err)
	}
	l.open(true)
	again, _ := journal(t, l, dir)
	put(again, "d")
	until(t, "the rest is applied", func() bool { return l.all() == "a c d" })
}

func TestJournalIsBoundedAndHeldUpByNothing(t *testing.T) {
	t.Parallel()
	l, dir := &ledger{closed: true, refuse: "poison"}, t.TempDir()
	j, _ := journal(t, l, dir, func(o *voice.JournalOptions) { o.SegmentBytes, o.MaxBytes = 1<<10, 8<<10 })
	for i := range 500 {
		put(j, strconv.Itoa(i))
	}
	put(j, "poison", "last")
	if err := j.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, path := range files(t, dir) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if size > 8<<10 {
		t.Errorf("%d bytes", size)
	}
	l.open(true)
	j.Settle(t.Context(), prettyQuick)
	got := strings.Fields(l.all())
	if n := len(got); n < 20 || n > 100 || got[n-1] != "last" || got[n-2] != "499" {
		t.Errorf("%d applied: %v", n, got)
	}
	j.Record(voice.Event{Type: "huge", Data: json.RawMessage(`"` + strings.Repeat("x", 200<<10) + `"`)})
	put(j, "after it")
	j.Settle(t.Context(), prettyQuick)
	if !strings.HasSuffix(l.all(), "after it") {
		t.Error("what is too large holds up the rest")
	}
}
