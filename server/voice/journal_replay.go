package voice

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	maxRefused = 16 << 20 // bytes of refusedFile
	maxRetry   = 2 * time.Second
	maxTries   = 50 // of an event that a reachable Postgres keeps failing at
)

// Run applies what is recorded, in order, until ctx ends; then what is left waits for the next process. Close comes after it.
func (j *Journal) Run(ctx context.Context) {
	for ctx.Err() == nil {
		j.applyHomeless(ctx)
		s, ok := j.oldest()
		if !ok {
			select {
			case <-ctx.Done():
			case <-j.woken:
			}
			continue
		}
		if err := j.replay(ctx, s); err != nil && ctx.Err() == nil {
			j.log.Error("voice: a file of the journal cannot be read on; it is set aside", "file", s.path, "error", err)
			j.dropped.WithLabelValues("corrupt").Inc()
			_ = os.Rename(s.path, s.path+".corrupt")
			j.drop(s)
		}
	}
}

// Settle waits until everything recorded is in Postgres, but no longer than that.
func (j *Journal) Settle(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for j.Waiting() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (j *Journal) oldest() (*segment, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.segments) == 0 {
		return nil, false
	}
	return j.segments[0], true
}

func (j *Journal) drop(s *segment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.segments = slices.DeleteFunc(j.segments, func(o *segment) bool { return o == s })
}

// replay applies a file to its end, waiting for more as long as it is written to, and removes it.
func (j *Journal) replay(ctx context.Context, s *segment) error {
	f, err := os.Open(s.path)
	if errors.Is(err, os.ErrNotExist) {
		j.drop(s) // there was no room for it
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewReaderSize(f, maxEventSize)
	var torn []byte
	for {
		done := j.finished(s) // before reading: what is written after it is another file's
		line, err := in.ReadSlice('\n')
		switch {
		case err == nil:
			j.applyLine(ctx, append(torn, line...))
			torn = nil
			if ctx.Err() != nil {
				return nil
			}
			s.waiting.Add(-1)
		case errors.Is(err, bufio.ErrBufferFull):
			torn = []byte("a line longer than any event")
		case !errors.Is(err, io.EOF):
			return err
		default:
			torn = append(torn, line...)
			if done {
				if len(torn) > 0 {
					j.applyLine(ctx, torn) // cut off by the end of its process
				}
				j.drop(s)
				return os.Remove(s.path)
			}
			j.applyHomeless(ctx)
			select {
			case <-ctx.Done():
				return nil
			case <-j.woken:
			}
		}
	}
}

func (j *Journal) finished(s *segment) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return s.done
}

func (j *Journal) applyLine(ctx context.Context, line []byte) {
	e, ok := decodeLine(line)
	if !ok {
		j.lose(1, "corrupt")
		return
	}
	j.apply(ctx, e)
}

func (j *Journal) applyHomeless(ctx context.Context) {
	j.mu.Lock()
	events := j.homeless
	j.homeless = nil
	j.mu.Unlock()
	for _, e := range events {
		j.apply(ctx, e)
		j.outside.Add(-1)
	}
}

// apply tries until the event is in Postgres, or Postgres says that it never will be.
func (j *Journal) apply(ctx context.Context, e Event) {
	wait := j.opts.Retry
	for try := 1; ; try++ {
		err := j.opts.Apply(ctx, e)
		if err == nil || ctx.Err() != nil {
			return
		}
		var said *pgconn.PgError
		if errors.As(err, &said) && (!passing(said.Code) || try >= maxTries) {
			j.refuse(e, said)
			return
		}
		if try == 1 {
			j.log.Warn("voice: events wait for Postgres", "waiting", j.Waiting(), "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, maxRetry)
	}
}

// passing reports a failure that has nothing to do with the event: a connection, resources, an operator, a conflict
// (https://www.postgresql.org/docs/17/errcodes-appendix.html).
func passing(code string) bool {
	if code == "25006" { // read only: a replica that is about to take over
		return true
	}
	for _, class := range []string{"08", "40", "53", "55", "57", "58", "XX"} {
		if strings.HasPrefix(code, class) {
			return true
		}
	}
	return false
}

// refuse sets aside an event that Postgres will not take, so that it does not hold up those after it.
func (j *Journal) refuse(e Event, because *pgconn.PgError) {
	j.log.Error("voice: Postgres refuses an event", "event_id", e.ID, "type", e.Type, "call_id", e.CallID, "sqlstate", because.Code, "message", because.Message)
	j.lose(1, "refused")
	path := filepath.Join(j.dir, refusedFile)
	if info, err := os.Stat(path); err == nil && info.Size() > maxRefused {
		return
	}
	line, err := encodeLine(e)
	if err != nil {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_, _ = f.Write(line)
	_ = f.Close()
}
