package wire

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Loops reads many sockets with few threads: one event loop per processor, which hands on what it reads where it is, so
// that a frame costs a read, a write and no goroutine's waking. Four frames per 20 ms and call pass a media bridge, and
// their waking cost more than their work. The zero value is ready for use, nil does nothing. The loops run from the first
// connection's coming to the last one's going.
type Loops struct {
	mu    sync.Mutex
	loops []*loop
	next  int
	conns int
}

// loop is an epoll instance, and the bell that ends a wait for it.
type loop struct {
	epoll, bell int
	mu          sync.Mutex
	sockets     map[int32]*socket
	ended       bool
	busy        atomic.Bool
}

// A loop with many sockets does not wake for each of them: it looks once in a beat, and takes what has come together.
const (
	beat      = 500 * time.Microsecond
	busyAbove = 32 // sockets
)

// Conn takes over a TCP connection. Any other, and one that the kernel does not let it watch, is returned as it is.
func (l *Loops) Conn(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if l == nil || !ok {
		return conn
	}
	fd, err := ownDescriptor(tcp)
	if err != nil {
		return conn
	}
	s := &socket{
		loops: l, fd: fd, local: tcp.LocalAddr(), remote: tcp.RemoteAddr(), readable: make(chan struct{}, 1),
	}
	if err := l.add(s); err != nil {
		_ = syscall.Close(fd)
		return conn
	}
	_ = tcp.Close() // the socket lives on under our descriptor, unknown to Go's poller
	return s
}

// ownDescriptor is another, non-blocking descriptor of a connection's socket.
func ownDescriptor(conn *net.TCPConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("loops: %w", err)
	}
	var own uintptr
	var errno syscall.Errno
	err = raw.Control(func(theirs uintptr) {
		own, _, errno = syscall.Syscall(syscall.SYS_FCNTL, theirs, syscall.F_DUPFD_CLOEXEC, 0)
	})
	if err == nil && errno != 0 {
		err = errno
	}
	if err != nil {
		return -1, fmt.Errorf("loops: %w", err)
	}
	return int(own), nil
}

func (l *Loops) add(s *socket) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.loops) == 0 {
		for range runtime.GOMAXPROCS(0) {
			one, err := newLoop()
			if err != nil {
				l.endLocked()
				return err
			}
			l.loops = append(l.loops, one)
			go one.run()
		}
	}
	s.loop = l.loops[l.next%len(l.loops)]
	l.next++
	if err := s.loop.watch(s); err != nil {
		if l.conns == 0 {
			l.endLocked()
		}
		return err
	}
	l.conns++
	return nil
}

// remove is called before s's descriptor is closed.
func (l *Loops) remove(s *socket) {
	s.loop.forget(s)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns--; l.conns == 0 {
		l.endLocked()
	}
}

func (l *Loops) endLocked() {
	for _, one := range l.loops {
		one.end()
	}
	l.loops = nil
}

// edges asks for both directions once and for all: no system call per wait.
const edges = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | 1<<31 // EPOLLET, which package syscall has negative

func newLoop() (*loop, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("loops: epoll: %w", err)
	}
	bell, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 0, syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if errno != 0 {
		_ = syscall.Close(epoll)
		return nil, fmt.Errorf("loops: eventfd: %w", errno)
	}
	l := &loop{epoll: epoll, bell: int(bell), sockets: map[int32]*socket{}}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(l.bell)} //nolint:gosec // a descriptor fits
	if err := syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, l.bell, &event); err != nil {
		l.close()
		return nil, fmt.Errorf("loops: epoll: %w", err)
	}
	return l, nil
}

func (l *loop) watch(s *socket) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	event := syscall.EpollEvent{Events: edges, Fd: int32(s.fd)} //nolint:gosec // a descriptor fits
	l.sockets[event.Fd] = s
	l.busy.Store(len(l.sockets) > busyAbove)
	if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, s.fd, &event); err != nil {
		delete(l.sockets, event.Fd)
		return fmt.Errorf("loops: epoll: %w", err)
	}
	return nil
}

func (l *loop) forget(s *socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_DEL, s.fd, &syscall.EpollEvent{})
	delete(l.sockets, int32(s.fd)) //nolint:gosec // a descriptor fits
	l.busy.Store(len(l.sockets) > busyAbove)
}

func (l *loop) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	_, _ = syscall.Write(l.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

func (l *loop) close() {
	_ = syscall.Close(l.epoll)
	_ = syscall.Close(l.bell)
}

func (l *loop) run() {
	defer l.close()
	events := make([]syscall.EpollEvent, 256)
	buffer := make([]byte, 64<<10)
	for {
		n, err := syscall.EpollWait(l.epoll, events, -1)
		if err != nil && err != syscall.EINTR {
			panic(fmt.Sprintf("epoll_wait: %v", err)) // none of its errors can be but by a bug of ours
		}
		for _, e := range events[:max(n, 0)] {
			s, going := l.find(e.Fd)
			if !going {
				return
			}
			if s != nil {
				s.happened(e.Events, buffer)
			}
		}
		if l.busy.Load() {
			time.Sleep(beat)
		}
	}
}

func (l *loop) find(fd int32) (s *socket, going bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sockets[fd], !l.ended
}
