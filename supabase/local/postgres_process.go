package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// runOnOwnThread starts cmd and waits for it on one thread of its own: Linux sends the parent-death signal when the
// thread that forked ends, and Go ends threads as it likes.
func runOnOwnThread(cmd *exec.Cmd) (<-chan struct{}, error) {
	cmd.WaitDelay = 2 * time.Second
	started, exited := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // its log says more than its exit code
		}
		close(exited)
	}()
	return exited, <-started
}

// lockFile takes an exclusive lock that the kernel drops when this process ends, however it ends.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// postmaster is what the server's postmaster.pid says.
type postmaster struct {
	pid   int
	ready bool
}

func readPostmaster(data string) (postmaster, error) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return postmaster{}, err
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	return postmaster{pid: pid, ready: len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready"}, err
}

// stopLeftover ends the server that a killed process left on data, in good order, and waits until all its processes
// are gone. The caller holds the folder's lock, so nobody else is using that server.
func stopLeftover(ctx context.Context, data string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	asked := false
	for {
		pids := serverProcesses(data)
		if len(pids) == 0 {
			break
		}
		if pm, err := readPostmaster(data); !asked && err == nil && slices.Contains(pids, pm.pid) {
			asked = true
			if err := syscall.Kill(pm.pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("stop the postgres left on %s: %w", data, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: process %d does not stop", data, ErrInUse, pids[0])
		case <-time.After(5 * time.Millisecond):
		}
	}
	// Its number may have gone to another process since, which would keep the next server from starting.
	if err := os.Remove(filepath.Join(data, "postmaster.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// choosePort returns want if it is free; for 0, last if that is free, else any free port.
func choosePort(want, last int) (int, error) {
	if want != 0 {
		_, err := tryPort(want)
		if errors.Is(err, syscall.EADDRINUSE) {
			return 0, fmt.Errorf("127.0.0.1:%d: %w", want, ErrPortInUse)
		}
		return want, err
	}
	if last != 0 {
		if port, err := tryPort(last); err == nil {
			return port, nil
		}
	}
	return tryPort(0)
}

func tryPort(port int) (int, error) {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// tailWriter passes a log on and keeps its last few kilobytes for error messages.
type tailWriter struct {
	mu   sync.Mutex
	next io.Writer
	tail []byte
}

func (w *tailWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tail = append(w.tail, p...)
	if over := len(w.tail) - 4096; over > 0 {
		w.tail = slices.Delete(w.tail, 0, over)
	}
	if w.next != nil {
		_, _ = w.next.Write(p) // a full disk must not stop the server
	}
	return len(p), nil
}

func (w *tailWriter) bytes() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.tail)
}

// lastLogLine is ": " and the last line of a program's output, for the end of an error message.
func lastLogLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return ": " + last
	}
	return ""
}
