package edge

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Why a stream's context ended; see context.Cause.
var (
	ErrStreamRevoked = errors.New("the right to this stream is gone")
	ErrStreamExpired = errors.New("the token or key of this stream expired")
	ErrStreamLimit   = errors.New("too many streams are open")
	ErrDraining      = errors.New("the process is shutting down")
)

const (
	recheckEvery  = 30 * time.Second
	maxStreams    = 5_000 // per process
	maxStreamsOne = 24    // per person or key
)

// Streams knows what is held open (SSE, websockets), and cuts what loses its right.
type Streams struct {
	recheck func(context.Context, Scope) (bool, error)
	now     func() time.Time

	mu       sync.Mutex
	open     map[*stream]struct{}
	draining bool
	changed  chan struct{} // closed and replaced when a stream closes
}

type stream struct {
	scope  Scope
	cancel context.CancelCauseFunc
}

func newStreams(recheck func(context.Context, Scope) (bool, error), now func() time.Time) *Streams {
	return &Streams{recheck: recheck, now: now, open: make(map[*stream]struct{}), changed: make(chan struct{})}
}

// Open registers a stream. Its context carries the scope, does not end with the request, and is cancelled (with
// one of the causes above) as soon as the stream must end: it may come cancelled already. The caller must call
// closed when it is done.
func (s *Streams) Open(scope Scope) (ctx context.Context, closed func()) {
	ctx, cancel := context.WithCancelCause(WithScope(context.Background(), scope))
	st := &stream{scope: scope, cancel: cancel}
	stopTimer := func() bool { return true }
	if at := scope.Principal.ExpiresAt; !at.IsZero() {
		stopTimer = time.AfterFunc(at.Sub(s.now()), func() { cancel(ErrStreamExpired) }).Stop
	}
	if cause := s.register(st); cause != nil {
		cancel(cause)
	} else {
		// A notification that came between the request's check and now found no stream to cut.
		s.verify(st)
	}
	return ctx, sync.OnceFunc(func() {
		stopTimer()
		cancel(context.Canceled)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, st)
		close(s.changed)
		s.changed = make(chan struct{})
	})
}

func (s *Streams) register(st *stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return ErrDraining
	}
	same := 0
	for other := range s.open {
		if other.scope.Principal.UserID == st.scope.Principal.UserID && other.scope.Principal.KeyID == st.scope.Principal.KeyID {
			same++
		}
	}
	if same >= maxStreamsOne || len(s.open) >= maxStreams {
		return ErrStreamLimit
	}
	s.open[st] = struct{}{}
	return nil
}

// verify cuts the stream if its right is certainly gone; a database that does not answer proves nothing, and the
// next round asks again.
func (s *Streams) verify(st *stream) {
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	if ok, err := s.recheck(ctx, st.scope); !ok && err == nil {
		st.cancel(ErrStreamRevoked)
	}
}

// check verifies the matching streams, in the background: the caller may be what feeds the database's news.
func (s *Streams) check(match func(Scope) bool) {
	s.mu.Lock()
	var due []*stream
	for st := range s.open {
		if match(st.scope) {
			due = append(due, st)
		}
	}
	s.mu.Unlock()
	if len(due) == 0 {
		return
	}
	go func() {
		for _, st := range due {
			s.verify(st)
		}
	}()
}

// Len is the number of open streams.
func (s *Streams) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Drain cancels every stream and waits for its owner to close it, or for the context. Streams opened from now on
// come cancelled. fiber's Shutdown does not wait for websockets; this does.
func (s *Streams) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	for st := range s.open {
		st.cancel(ErrDraining)
	}
	s.mu.Unlock()
	for {
		s.mu.Lock()
		left, changed := len(s.open), s.changed
		s.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
