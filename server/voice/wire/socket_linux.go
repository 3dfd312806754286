package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxPending is what a socket keeps for a peer that does not take it.
const maxPending = 2 * maxClientMessage

// errStuck is a peer that has taken nothing for writeWithin, or not enough.
var errStuck = errors.New("wire: the peer takes nothing")

// socket is a TCP connection of a loop's. Read waits, as any connection's; each has the loop read. Write never waits:
// what the kernel does not take is kept, within bounds, and written by the loop.
type socket struct {
	loops         *Loops
	loop          *loop
	fd            int
	local, remote net.Addr

	use    sync.RWMutex // held for reading during a system call, so that the descriptor is not closed under it
	closed bool

	readable chan struct{}
	deadline deadline

	reading sync.Mutex // by the loop, or by the first reader in each
	feed    func([]byte) error
	done    chan end // of each

	writing sync.Mutex
	pending []byte
	since   time.Time // the peer takes nothing
	blocked atomic.Bool
}

// end is how each ends.
type end struct {
	err   error
	fault any // feed's panic
}

// happened takes what epoll says of the socket, on the loop.
func (s *socket) happened(events uint32, buffer []byte) {
	if events&^syscall.EPOLLIN != 0 && s.blocked.Load() {
		s.drain()
	}
	if events&^syscall.EPOLLOUT == 0 {
		return
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.feed == nil {
		select {
		case s.readable <- struct{}{}:
		default:
		}
		return
	}
	s.pump(buffer, events&^(syscall.EPOLLIN|syscall.EPOLLOUT) != 0)
}

// each has the loop read from now on, and returns when feed or the connection has failed.
func (s *socket) each(feed func([]byte) error) error {
	s.reading.Lock()
	s.feed, s.done = feed, make(chan end, 1)
	s.pump(make([]byte, readBuffer), true) // what came before had its edge
	s.reading.Unlock()
	e := <-s.done
	if e.fault != nil {
		panic(e.fault)
	}
	return e.err
}

// pump feeds what is there. After a read that found less than it had room for, what comes next is an edge; to its
// end it reads where the peer has said its last.
func (s *socket) pump(buffer []byte, toEnd bool) {
	var e end
	defer func() {
		if fault := recover(); fault != nil {
			e.fault = fmt.Sprintf("%v, at\n%s", fault, debug.Stack())
		}
		if e.err != nil || e.fault != nil {
			s.feed = nil
			s.done <- e
		}
	}()
	for {
		n, err := s.read(buffer)
		if errors.Is(err, syscall.EAGAIN) {
			return
		}
		if err == nil {
			err = s.feed(buffer[:n])
		}
		if err != nil {
			e.err = err
			return
		}
		if n < len(buffer) && !toEnd {
			return
		}
	}
}

// read reads what is there, or fails with EAGAIN.
func (s *socket) read(b []byte) (int, error) {
	s.use.RLock()
	defer s.use.RUnlock()
	for {
		if s.closed {
			return 0, net.ErrClosed
		}
		n, err := syscall.Read(s.fd, b)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, err
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (s *socket) Read(b []byte) (int, error) {
	for len(b) > 0 {
		if s.deadline.passed.Load() {
			return 0, os.ErrDeadlineExceeded
		}
		n, err := s.read(b)
		if !errors.Is(err, syscall.EAGAIN) {
			return n, err
		}
		<-s.readable
	}
	return 0, nil
}

func (s *socket) Write(b []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if len(s.pending) > 0 {
		if len(s.pending)+len(b) > maxPending || time.Since(s.since) > writeWithin {
			return 0, errStuck
		}
		s.pending = append(s.pending, b...)
		return len(b), nil
	}
	n, err := s.write(b)
	if err != nil || n == len(b) {
		return n, err
	}
	s.pending, s.since = append(s.pending, b[n:]...), time.Now()
	s.blocked.Store(true)
	return len(b), s.drainLocked() // room may have come before we said that we wait
}

// write writes what the kernel takes.
func (s *socket) write(b []byte) (int, error) {
	s.use.RLock()
	defer s.use.RUnlock()
	for {
		if s.closed {
			return 0, net.ErrClosed
		}
		n, err := syscall.Write(s.fd, b)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, nil
		case err != nil:
			return 0, os.NewSyscallError("write", err)
		default:
			return n, nil
		}
	}
}

func (s *socket) drain() {
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.drainLocked() // a connection that is gone is noticed by who reads it
}

func (s *socket) drainLocked() error {
	for len(s.pending) > 0 {
		n, err := s.write(s.pending)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		s.pending, s.since = s.pending[n:], time.Now()
	}
	s.pending = nil
	s.blocked.Store(false)
	return nil
}

// Close frees who waits in Read or each.
func (s *socket) Close() error {
	s.use.Lock()
	if s.closed {
		s.use.Unlock()
		return net.ErrClosed
	}
	s.closed = true
	s.loops.remove(s)
	err := syscall.Close(s.fd)
	s.use.Unlock()
	s.deadline.stop()
	select {
	case s.readable <- struct{}{}:
	default:
	}
	go s.release()
	return err
}

// release ends each. Its caller may be feed itself, which holds the lock.
func (s *socket) release() {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.feed != nil {
		s.feed = nil
		s.done <- end{err: net.ErrClosed}
	}
}

func (s *socket) LocalAddr() net.Addr  { return s.local }
func (s *socket) RemoteAddr() net.Addr { return s.remote }

// SetDeadline bounds Read alone: Write does not wait.
func (s *socket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

func (s *socket) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline bounds Read.
func (s *socket) SetReadDeadline(t time.Time) error {
	s.deadline.set(t, s.readable)
	return nil
}

// deadline is when a wait is over.
type deadline struct {
	passed atomic.Bool
	mu     sync.Mutex
	timer  *time.Timer
	turn   int // of set: a timer that was too late to be stopped knows by it
}

// set wakes who waits at t; the zero time is never.
func (d *deadline) set(t time.Time, waiting chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopLocked()
	d.passed.Store(false)
	if t.IsZero() {
		return
	}
	turn := d.turn
	d.timer = time.AfterFunc(time.Until(t), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.turn != turn {
			return
		}
		d.passed.Store(true)
		select {
		case waiting <- struct{}{}:
		default:
		}
	})
}

func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopLocked()
}

func (d *deadline) stopLocked() {
	d.turn++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
