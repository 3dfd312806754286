//go:build !production

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"kestrel.ai/supabase/supabasetest"
)

// productionBinary is what the Dockerfile builds.
var productionBinary = sync.OnceValues(func() (string, error) { return build("kestrel-production", "-tags", "production") })

const legacySecret = "a-legacy-secret-of-an-older-project"

// deployment is the production binary beside a database, with nothing else configured.
type deployment struct {
	t    *testing.T
	db   *supabasetest.Database
	env  []string
	addr string
}

func newDeployment(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{t: t, db: supabasetest.Bare(t), addr: freeAddr(t)}
	d.env = []string{
		"BASE_DOMAIN=kestrel.ai", "ADDR=" + d.addr, "METRICS_ADDR=" + freeAddr(t), "SESSION_KEY=" + strings.Repeat("k", 32), "DRAIN_TIMEOUT=5s",
		"DATABASE_URL=" + d.db.URL, "APP_DATABASE_URL=" + d.db.AppURL,
		"SUPABASE_URL=http://127.0.0.1:1", "SUPABASE_KEY=sb_publishable_x", "SUPABASE_SERVICE_KEY=sb_secret_x", "SUPABASE_JWT_SECRET=" + legacySecret,
	}
	return d
}

func (d *deployment) command(args ...string) *exec.Cmd {
	d.t.Helper()
	path, err := productionBinary()
	if err != nil {
		d.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = d.t.TempDir(), d.env
	return cmd
}

// start runs a command until the test ends it with SIGTERM, upon which it must end with status 0.
func (d *deployment) start(args ...string) (output *syncBuffer, terminate func()) {
	d.t.Helper()
	cmd, output := d.command(args...), &syncBuffer{}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	var once sync.Once
	terminate = func() {
		once.Do(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				d.t.Errorf("%v ended with %v\n%s", args, err, tail(output.String()))
			}
		})
	}
	d.t.Cleanup(terminate)
	return output, terminate
}

func (d *deployment) until(what string, ok func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func (d *deployment) token(user uuid.UUID, aal string) string {
	d.t.Helper()
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "http://127.0.0.1:1/auth/v1", "aud": "authenticated", "role": "authenticated", "sub": user.String(), "email": "staff@kestrel.ai",
		"aal": aal, "session_id": uuid.NewString(), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}).SignedString([]byte(legacySecret))
	if err != nil {
		d.t.Fatal(err)
	}
	return token
}

// TestProductionPath is the production binary from an empty database to SIGTERM: migrate, admin grant, serve and work,
// with no vendor configured.
func TestProductionPath(t *testing.T) {
	t.Parallel()
	d := newDeployment(t)
	for i, want := range []string{"applied", "the schema is up to date"} {
		if out, err := d.command("migrate").CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Fatalf("migrate, run %d: %v\n%s", i+1, err, out)
		}
	}
	if out, err := d.command("admin", "grant", "Staff@kestrel.ai").CombinedOutput(); err != nil {
		t.Fatalf("admin grant: %v\n%s", err, out)
	}
	if out, err := d.command("dev").CombinedOutput(); err == nil {
		t.Errorf("a production build has a dev command: %s", out)
	}
	staff := uuid.New()
	if _, err := d.db.Admin.Exec(context.Background(), "update platform_admins set user_id = $1 where email = 'staff@kestrel.ai'", staff); err != nil {
		t.Fatal(err)
	}
	log, terminate := d.start("serve")
	d.until("serve's readiness", func() bool {
		resp, err := http.Get("http://" + d.addr + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	search := func(token string) string {
		c := caller{addr: d.addr, host: "admin.kestrel.ai", token: token}
		err := c.do(context.Background(), http.MethodPost, "/api/twilio/search-numbers", map[string]any{"area_code": "857"}, nil)
		var refused *answerError
		if !errors.As(err, &refused) {
			t.Fatalf("search: %v", err)
		}
		return fmt.Sprint(refused.status, " ", refused.body)
	}
	if got := search(d.token(staff, "aal1")); !strings.HasPrefix(got, "403") || !strings.Contains(got, "mfa_required") {
		t.Errorf("without a second factor: %s", got)
	}
	if got := search(d.token(staff, "aal2")); !strings.HasPrefix(got, "503") || !strings.Contains(got, "twilio_not_configured") {
		t.Errorf("without Twilio: %s", got)
	}
	if got := search(d.token(uuid.New(), "aal2")); !strings.HasPrefix(got, "403") {
		t.Errorf("somebody else: %s", got)
	}
	terminate()
	for _, secret := range []string{legacySecret, "sb_secret_x", d.token(staff, "aal2")} {
		if strings.Contains(log.String(), secret) {
			t.Error("the log holds a secret")
		}
	}
	d.works()
}

// works inserts a tenant by SQL and wants its jobs to run, and to say what is missing.
func (d *deployment) works() {
	d.t.Helper()
	_, terminate := d.start("work")
	ctx := context.Background()
	if _, err := d.db.Admin.Exec(ctx, "insert into tenants (slug, company_name, owner_email, twilio_phone_number) values ('haiec', 'HAIEC', 'a@haiec.com', '+18573825169')"); err != nil {
		d.t.Fatal(err)
	}
	var reason string
	d.until("the failed job's record", func() bool {
		err := d.db.Admin.QueryRow(ctx, "select reason from jobs where kind = 'number_verify' and state = 'failed'").Scan(&reason)
		return err == nil
	})
	if !strings.Contains(reason, "TWILIO_ACCOUNT_SID") {
		d.t.Errorf("reason %q does not say what to configure", reason)
	}
	terminate()
}

// build compiles this package into a temporary folder.
func build(name string, flags ...string) (string, error) {
	dir, err := tempDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	out, err := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", path}, flags...), ".")...).CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
}
