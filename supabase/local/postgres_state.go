package local

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// bootstrapLogins are the roles of bootstrap.sql that may log in.
var bootstrapLogins = []string{"postgres", "authenticator", "supabase_auth_admin", "supabase_storage_admin"}

// clusterState is what a cluster folder remembers between runs; its file also marks the folder as ours.
type clusterState struct {
	Passwords map[string]string `json:"passwords"` // by role
	Port      int               `json:"port"`      // of the last run
	Ready     bool              `json:"ready"`     // initdb and the bootstrap went through
}

func newClusterState() clusterState {
	s := clusterState{Passwords: map[string]string{}}
	for _, role := range append([]string{Superuser, "kestrel_app"}, bootstrapLogins...) {
		secret := make([]byte, 20)
		_, _ = rand.Read(secret) // never fails
		s.Passwords[role] = hex.EncodeToString(secret)
	}
	return s
}

func readClusterState(file string) (clusterState, error) {
	var s clusterState
	text, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &s); err != nil || s.Passwords[Superuser] == "" {
		return s, fmt.Errorf("%s: %w: unreadable", file, ErrForeignDir)
	}
	return s, nil
}

// write replaces the file in one step, readable by its owner only.
func (s clusterState) write(file string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// prepare makes the cluster where there is none, or only half of one, and refuses one of another major version.
func (p place) prepare(ctx context.Context, bin string, owner *syscall.Credential) (clusterState, error) {
	st, err := readClusterState(p.stateFile())
	if errors.Is(err, fs.ErrNotExist) {
		st = newClusterState()
		err = st.write(p.stateFile())
	}
	if err != nil {
		return st, err
	}
	if err := p.writePointer(); err != nil {
		return st, err
	}
	if st.Ready {
		return st, p.checkVersion()
	}
	if err := os.RemoveAll(p.data()); err != nil {
		return st, err
	}
	if err := os.Mkdir(p.data(), 0o700); err != nil {
		return st, err
	}
	if err := chownTo(p.data(), owner); err != nil {
		return st, err
	}
	return st, p.initdb(ctx, bin, owner, st.Passwords[Superuser])
}

func (p place) checkVersion() error {
	text, err := os.ReadFile(filepath.Join(p.data(), "PG_VERSION"))
	if err != nil {
		return fmt.Errorf("%s: %w: its cluster is damaged: %w", p.dir, ErrForeignDir, err)
	}
	if major := strings.TrimSpace(string(text)); major != strconv.Itoa(PostgresMajor) {
		return fmt.Errorf("%s: %w: made by Postgres %s, this is %d", p.dir, ErrForeignDir, major, PostgresMajor)
	}
	return nil
}

func (p place) initdb(ctx context.Context, bin string, owner *syscall.Credential, password string) error {
	pwfile := filepath.Join(p.root, "initdb-password")
	if err := os.WriteFile(pwfile, []byte(password), 0o600); err != nil {
		return err
	}
	defer os.Remove(pwfile)
	if err := chownTo(pwfile, owner); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "bin", "initdb"),
		"--pgdata", p.data(), "--username", Superuser, "--pwfile", pwfile, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C.UTF-8",
		"--no-sync", "--no-instructions")
	cmd.Env = serverEnv(bin)
	cmd.Dir = p.root
	cmd.SysProcAttr = serverAttr(owner, false)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	exited, err := runOnOwnThread(cmd)
	if err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	if <-exited; !cmd.ProcessState.Success() {
		return fmt.Errorf("initdb: %v%s", cmd.ProcessState, lastLogLine(out.Bytes()))
	}
	return nil
}

// serverArgs are the server's settings; postgresql.conf stays as initdb wrote it, so a new release may change them.
func serverArgs(data string, port int, unsafe bool) []string {
	settings := []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(port), "unix_socket_directories=",
		"shared_buffers=64MB", "huge_pages=off", "jit=off", "max_wal_size=512MB",
		"timezone=UTC", "log_timezone=UTC", "password_encryption=scram-sha-256",
		"shared_preload_libraries=pg_stat_statements",
	}
	if unsafe {
		settings = append(settings, "max_connections=300", "fsync=off", "synchronous_commit=off", "full_page_writes=off",
			"wal_level=minimal", "max_wal_senders=0", "checkpoint_timeout=1h", "autovacuum=off")
	} else {
		settings = append(settings, "max_connections=100")
	}
	args := []string{"-D", data}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

// serverEnv keeps the caller's PG* variables and locale away from the server.
func serverEnv(bin string) []string {
	return []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "LD_LIBRARY_PATH=" + filepath.Join(bin, "lib")}
}
