//go:build !production

package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// refuses runs `kestrel dev` and wants status 1 and one line that says what to do.
func refuses(t *testing.T, says string, flags ...string) {
	t.Helper()
	cmd := command(t, append([]string{"dev"}, flags...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("dev %v: %v, want status 1\n%s", flags, err, out)
	}
	if lines := strings.Split(strings.TrimSpace(string(out)), "\n"); len(lines) != 1 || !strings.Contains(lines[0], says) {
		t.Errorf("dev %v: %q, want one line with %q", flags, out, says)
	}
}

func TestDevRefusesWithOneLine(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	data := func() string { return filepath.Join(t.TempDir(), "data") }
	refuses(t, "the port is in use", "--addr", taken.Addr().String(), "--sandbox-addr", "127.0.0.1:0", "--data", data())
	refuses(t, "the port is in use", "--addr", "127.0.0.1:0", "--sandbox-addr", taken.Addr().String(), "--data", data())
	refuses(t, "only listens on loopback", "--addr", "0.0.0.0:0", "--sandbox-addr", "127.0.0.1:0", "--data", data())
	refuses(t, "not an address", "--addr", "nonsense", "--data", data())

	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.doc"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, "not a Kestrel data folder", "--addr", "127.0.0.1:0", "--sandbox-addr", "127.0.0.1:0", "--data", foreign)
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, devStateFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, "damaged", "--addr", "127.0.0.1:0", "--sandbox-addr", "127.0.0.1:0", "--data", damaged)
}

// TestDevLivesThroughItsDeath: what was committed is there after kill -9, with the same keys, sessions and numbers;
// a second kestrel on the folder is refused; Ctrl-C leaves no process behind.
func TestDevLivesThroughItsDeath(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	d := startDev(t, data)
	owner := d.as("haiec.localhost", devOwner, devOwnerPassword)
	var numbers []ownedNumber
	d.sandbox("/_sandbox/numbers", &numbers)
	if len(numbers) < 4 {
		t.Errorf("seeded numbers: %+v", numbers)
	}
	refuses(t, "in use", "--addr", "127.0.0.1:0", "--sandbox-addr", "127.0.0.1:0", "--data", data)
	// Programs that mistype a path get a problem, not the app's page.
	d.want(http.StatusNotFound, owner, http.MethodGet, "/rest/v1/tenants", nil, nil)
	d.want(http.StatusNotFound, owner, http.MethodGet, "/assets/gone.js", nil, nil)
	d.want(http.StatusNotFound, d.as("admin.localhost", devAdmin, devAdminPassword), http.MethodGet, "/api/admin/nothing", nil, nil)
	d.want(http.StatusOK, owner, http.MethodPatch, "/api/tenant", map[string]any{"company_name": "HAIEC Heating"}, nil)
	before := d.faces
	_ = d.signal(syscall.SIGKILL)

	d = startDev(t, data)
	if d.faces.PublishableKey != before.PublishableKey || d.faces.ServiceRoleKey != before.ServiceRoleKey || d.faces.SupabaseURL != before.SupabaseURL {
		t.Error("keys changed with the restart")
	}
	owner.addr = d.addr
	var tenant struct {
		CompanyName string `json:"company_name"`
	}
	d.want(http.StatusOK, owner, http.MethodGet, "/api/tenant", nil, &tenant)
	if tenant.CompanyName != "HAIEC Heating" {
		t.Errorf("a committed change is gone: %+v", tenant)
	}
	var after []ownedNumber
	d.sandbox("/_sandbox/numbers", &after)
	if len(after) != len(numbers) {
		t.Errorf("%d numbers after the restart, %d before", len(after), len(numbers))
	}
	log, err := os.ReadFile(filepath.Join(data, "kestrel.log"))
	if err != nil || !strings.Contains(string(log), "msg=ready") {
		t.Errorf("kestrel.log: %v", err)
	}
	for _, secret := range []string{owner.token, devOwnerPassword, d.faces.ServiceRoleKey, "sb_secret_"} {
		if strings.Contains(string(log), secret) {
			t.Error("the log holds a secret")
		}
	}
	if err := d.signal(syscall.SIGINT); err != nil {
		t.Errorf("Ctrl-C: %v\n%s", err, tail(d.output.String()))
	}
	if _, err := pgx.Connect(context.Background(), d.faces.DatabaseURL); err == nil {
		t.Error("Postgres outlives Ctrl-C")
	}
}
