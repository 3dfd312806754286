package supabasetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"kestrel.ai/supabase/local"
)

// cluster is the shared Postgres. While a process holds users, Stop leaves the server alone.
type cluster struct {
	pg    *local.Postgres
	users *os.File
}

// theCluster is started once a process and once a machine; see startShared.
var theCluster = sync.OnceValues(startShared)

// repository is the module's root, found from a package's folder, where go test runs its tests.
func repository() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "supabase", "config.toml")); err == nil {
			return dir, nil
		}
	}
	return "", errors.Join(errors.New("run this inside the repository"), err)
}

// sharedDir is the cluster's folder: one per user, version of Postgres and bootstrap. Every user can traverse to it.
// It is in memory where there is room, for a database is a few hundred small files and disks are slow to make those.
func sharedDir(binaries string) (string, error) {
	pkg, err := os.ReadFile(filepath.Join(binaries, "..", "package.json"))
	if err != nil {
		return "", fmt.Errorf("%s: %w", binaries, local.ErrNoBinaries)
	}
	sum := sha256.Sum256(append(pkg, local.BootstrapSQL()...))
	name := fmt.Sprintf("kestrel-test-%d-%s", os.Geteuid(), hex.EncodeToString(sum[:6]))
	const memory, room = "/dev/shm", 4 << 30 // bytes
	if _, err := os.Stat(filepath.Join(memory, name)); err == nil {
		return filepath.Join(memory, name), nil
	}
	var disk syscall.Statfs_t
	if syscall.Statfs(memory, &disk) == nil && uint64(disk.Bavail)*uint64(disk.Bsize) >= room {
		return filepath.Join(memory, name), nil
	}
	return filepath.Join("/var/tmp", name), nil
}

// startShared finds the running server or starts it, detached, so that the next package's tests find it too.
func startShared() (*cluster, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	root, err := repository()
	if err != nil {
		return nil, err
	}
	binaries := local.Binaries(filepath.Join(root, "supabase"))
	dir, err := sharedDir(binaries)
	if err != nil {
		return nil, err
	}
	turn, err := flock(dir+".turn", syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer turn.Close()
	pg, err := local.AttachPostgres(ctx, dir)
	if err != nil {
		if pg, err = startOver(ctx, dir, binaries); err != nil {
			return nil, fmt.Errorf("the tests' Postgres: %w", err)
		}
	}
	users, err := flock(dir+".users", syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		if dropOld(ctx, pg) != nil {
			pg, err = fromNothing(ctx, dir, binaries)
		}
	} else {
		users, err = os.OpenFile(dir+".users", os.O_RDWR, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("the tests' Postgres: %w", err)
	}
	return &cluster{pg, users}, syscall.Flock(int(users.Fd()), syscall.LOCK_SH)
}

// startOver starts the server on dir, from nothing if what a killed run left there cannot be used.
func startOver(ctx context.Context, dir, binaries string) (*local.Postgres, error) {
	if err := os.Mkdir(dir, 0o711); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	pg, err := local.StartPostgres(ctx, options(dir, binaries))
	if err == nil || errors.Is(err, local.ErrNoBinaries) || errors.Is(err, local.ErrInUse) || ctx.Err() != nil {
		return pg, err
	}
	return fromNothing(ctx, dir, binaries)
}

// fromNothing starts the server on an emptied dir. With fsync off a crash may leave anything, and nothing in there is
// worth keeping.
func fromNothing(ctx context.Context, dir, binaries string) (*local.Postgres, error) {
	err := errors.Join(local.StopDetached(ctx, dir), os.RemoveAll(dir), os.Mkdir(dir, 0o711), os.Chmod(dir, 0o711))
	if err != nil {
		return nil, err
	}
	return local.StartPostgres(ctx, options(dir, binaries))
}

func options(dir, binaries string) local.PostgresOptions {
	return local.PostgresOptions{Dir: dir, Binaries: binaries, Unsafe: true, Detached: true, LogFile: dir + ".log"}
}

// dropOld drops what failed and killed runs left, and templates of old schemas once there are many. Nobody else is
// using the server.
func dropOld(ctx context.Context, pg *local.Postgres) error {
	conn, err := pgx.Connect(ctx, pg.URL(local.Superuser, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	const keptTemplates = 6
	rows, err := conn.Query(ctx, `
		with ours as (select oid, datname, datistemplate from pg_database where datname like 'testdb\_tpl\_%')
		select datname, datistemplate from ours where not datistemplate
		union all (select datname, true from ours where datistemplate order by oid desc offset $1)`, keptTemplates)
	if err != nil {
		return err
	}
	type database struct {
		Name     string
		Template bool
	}
	old, err := pgx.CollectRows(rows, pgx.RowToStructByPos[database])
	if err != nil {
		return err
	}
	for _, db := range old {
		id := pgx.Identifier{db.Name}.Sanitize()
		if db.Template {
			// Not for the others: one whose drop was cut short may only be dropped.
			if _, err := conn.Exec(ctx, "alter database "+id+" is_template false"); err != nil {
				return err
			}
		}
		if _, err := conn.Exec(ctx, "drop database "+id+" with (force)"); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends the shared Postgres and removes its data, unless tests are using it.
func Stop(ctx context.Context) error {
	root, err := repository()
	if err != nil {
		return err
	}
	dir, err := sharedDir(local.Binaries(filepath.Join(root, "supabase")))
	if err != nil {
		return err
	}
	turn, err := flock(dir+".turn", syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer turn.Close()
	users, err := flock(dir+".users", syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer users.Close()
	return errors.Join(local.StopDetached(ctx, dir), os.RemoveAll(dir))
}

// flock opens path and takes the lock, which ends with the file or the process.
func flock(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
