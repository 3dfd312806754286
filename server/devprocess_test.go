//go:build !production

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tempDir holds the binaries that the tests build; TestMain removes it.
var tempDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "kestrel-test-") })

// kestrel is the binary that `make dev` runs, built once for all tests that run it.
var kestrel = sync.OnceValues(func() (string, error) { return build("kestrel") })

func TestMain(m *testing.M) {
	if part := os.Getenv(manyEnv); part != "" {
		os.Exit(beProcess(part))
	}
	code := m.Run()
	if dir, err := tempDir(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// devProcess is a running `kestrel dev`.
type devProcess struct {
	t      *testing.T
	cmd    *exec.Cmd
	addr   string
	data   string
	output *syncBuffer
	exited chan error
	faces  faces
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// command prepares the binary as from a shell in the repository.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := kestrel()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = ".."
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	return cmd
}

// dataFolder is one that goes with the test: t.TempDir() is closed to other users, so that Postgres' files would be
// put elsewhere and stay.
func dataFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "data")
}

// startDev runs `kestrel dev` on free ports and waits until it is ready.
func startDev(t *testing.T, data string, flags ...string) *devProcess {
	t.Helper()
	d := &devProcess{t: t, addr: freeAddr(t), data: data, output: &syncBuffer{}, exited: make(chan error, 1)}
	d.cmd = command(t, append([]string{"dev", "--addr", d.addr, "--sandbox-addr", freeAddr(t), "--data", data}, flags...)...)
	d.cmd.Stdout, d.cmd.Stderr = d.output, d.output
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { d.exited <- d.cmd.Wait() }()
	t.Cleanup(func() { d.signal(syscall.SIGINT) })
	deadline := time.Now().Add(90 * time.Second)
	for {
		resp, err := http.Get("http://" + d.addr + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case err := <-d.exited:
			d.exited <- err
			t.Fatalf("kestrel dev ended: %v\n%s", err, d.output)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("kestrel dev is not ready\n%s", d.output)
		}
		time.Sleep(20 * time.Millisecond)
	}
	body, err := os.ReadFile(filepath.Join(data, "dev.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &d.faces); err != nil {
		t.Fatal(err)
	}
	return d
}

// signal ends the process and returns how it ended. A second call does nothing.
func (d *devProcess) signal(s syscall.Signal) error {
	if err := d.cmd.Process.Signal(s); err != nil {
		return nil
	}
	select {
	case err := <-d.exited:
		return err
	case <-time.After(30 * time.Second):
		_ = d.cmd.Process.Signal(syscall.SIGQUIT) // it says where it hangs
		err := <-d.exited
		d.t.Errorf("kestrel dev did not stop\n%s", d.output)
		return err
	}
}

// as signs in at a host, e.g. "admin.localhost".
func (d *devProcess) as(host, email, password string) caller {
	d.t.Helper()
	c, err := signIn(context.Background(), d.addr, host, email, password)
	if err != nil {
		d.t.Fatalf("sign in as %s at %s: %v\n%s", email, host, err, d.output)
	}
	return c
}

// want calls and wants the status; into may be nil.
func (d *devProcess) want(status int, c caller, method, path string, body, into any) {
	d.t.Helper()
	err := c.do(context.Background(), method, path, body, into)
	var refused *answerError
	got := http.StatusOK
	if errors.As(err, &refused) {
		got = refused.status
	} else if err != nil {
		d.t.Fatalf("%s %s: %v", method, path, err)
	}
	if got != status && !(status < 300 && got == http.StatusOK) {
		d.t.Fatalf("%s %s: %v, want %d", method, path, err, status)
	}
}

// sandbox reads a list of the sandbox's control API into items.
func (d *devProcess) sandbox(path string, items any) {
	d.t.Helper()
	resp, err := http.Get(d.faces.SandboxURL + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	var list struct {
		Items json.RawMessage `json:"items"`
	}
	if err := errors.Join(json.Unmarshal(body, &list), json.Unmarshal(list.Items, items)); err != nil {
		d.t.Fatalf("%s: %v: %s", path, err, body)
	}
}

// eventually waits for what a job does.
func (d *devProcess) eventually(what string, ok func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("%s: not within 20 s\n%s", what, tail(d.output.String()))
		}
	}
}

func tail(s string) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}
