package voice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
)

// JournalOptions is what a Journal works with. Zero values mean the defaults in brackets.
type JournalOptions struct {
	Dir          string // shared by the processes of a machine; made if it is not there
	Apply        func(context.Context, Event) error
	MaxBytes     int64         // kept on disk; beyond it the oldest segment is dropped [256 MB]
	SegmentBytes int64         // of one file [1 MB]
	Retry        time.Duration // first wait after a failure, doubled up to 2 s [50 ms]
	Metrics      prometheus.Registerer
	Log          *slog.Logger
}

// Journal is the Recorder: every event goes to a file first and from there, in order, to Postgres; the file is removed
// when all of it has arrived. So events survive Postgres's absence and this process's death alike, and are replayed when
// either is back. An event may be applied twice, which its id makes harmless; it is not applied never, but for what the
// metrics count as dropped.
//
// What is recorded is written within an instant by a goroutine of its own: kill -9 loses at most what was recorded in that
// instant. Files are synced to the disk once a second, when they are full, and by Sync: a power cut loses at most a second.
type Journal struct {
	opts  JournalOptions
	log   *slog.Logger
	dir   string // of this process, below opts.Dir
	lock  *os.File
	queue chan entry
	woken chan struct{}
	quit  chan struct{}
	wrote sync.WaitGroup

	outside atomic.Int64 // events that are in no file: on their way there, or homeless
	dropped *prometheus.CounterVec

	mu       sync.Mutex
	segments []*segment // oldest first; the last is written to
	active   *os.File
	homeless []Event // could not be written: the disk is full or gone
}

// segment is one file of the journal.
type segment struct {
	path    string
	size    int64
	done    bool         // nothing more will be written to it
	waiting atomic.Int64 // events in it that are not in Postgres yet
}

type entry struct {
	event Event
	done  chan error // nil but for Sync
}

const (
	queueLength  = 8192
	maxEventSize = 128 << 10
	maxHomeless  = 10_000
)

// OpenJournal takes a folder of its own below o.Dir, and what processes that are gone have left in theirs. Run does the work.
func OpenJournal(o JournalOptions) (*Journal, error) {
	if o.Dir == "" || o.Apply == nil {
		return nil, errors.New("voice: the journal needs a folder, and something that applies events")
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 256 << 20
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 1 << 20
	}
	if o.Retry == 0 {
		o.Retry = 50 * time.Millisecond
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	j := &Journal{
		opts: o, log: o.Log, queue: make(chan entry, queueLength), woken: make(chan struct{}, 1), quit: make(chan struct{}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kestrel_journal_dropped_total", Help: "Events that were lost, by reason."}, []string{"reason"}),
	}
	if o.Metrics != nil {
		waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kestrel_journal_waiting", Help: "Events that are not in Postgres yet."}, func() float64 { return float64(j.Waiting()) })
		for _, c := range []prometheus.Collector{j.dropped, waiting} {
			if err := o.Metrics.Register(c); err != nil {
				return nil, err
			}
		}
	}
	if err := j.settle(); err != nil {
		return nil, fmt.Errorf("voice: journal: %w", err)
	}
	j.wrote.Add(1)
	go j.write()
	return j, nil
}

// Record takes an event. It does not wait: with 8,192 events waiting for the disk, the next is dropped and counted.
func (j *Journal) Record(e Event) { j.take(entry{event: e}) }

// Sync returns when everything recorded so far is on the disk, so that whoever sent it may forget it.
func (j *Journal) Sync(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case j.queue <- entry{done: done}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (j *Journal) take(in entry) {
	if in.event.ID == uuid.Nil {
		in.event.ID = uuid.Must(uuid.NewV7())
	}
	if in.event.At.IsZero() {
		in.event.At = time.Now()
	}
	// Postgres takes no NUL in a text, and nobody says one.
	in.event.Data = bytes.ReplaceAll(in.event.Data, []byte(`\u0000`), nil)
	j.outside.Add(1)
	select {
	case j.queue <- in:
	default:
		j.outside.Add(-1)
		j.lose(1, "queue_full")
	}
}

// Waiting is how many events of this process are not in Postgres yet.
func (j *Journal) Waiting() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.waiting()
}

// waiting is Waiting with j.mu held.
func (j *Journal) waiting() int64 {
	n := j.outside.Load()
	for _, s := range j.segments {
		n += s.waiting.Load()
	}
	return n
}

func (j *Journal) lose(events int64, reason string) {
	j.dropped.WithLabelValues(reason).Add(float64(events))
	j.log.Error("voice: EVENTS OF CALLS WERE LOST", "events", events, "reason", reason)
}
