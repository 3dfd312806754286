package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	stateName   = "kestrel-postgres.json"
	pointerName = "kestrel-postgres.path"
	lockName    = "lock"
	// worldDir is where every user may traverse and, unlike in /tmp, files outlive a reboot.
	worldDir = "/var/tmp"
)

// place is where a cluster lives: dir is the folder the caller named, root the one with the files. They differ when
// the server's user cannot reach dir.
type place struct{ dir, root string }

func (p place) data() string      { return filepath.Join(p.root, "data") }
func (p place) stateFile() string { return filepath.Join(p.root, stateName) }
func (p place) lock() string      { return filepath.Join(p.root, lockName) }

// serverUser is whom the server runs as: nil for the current user, nobody when that is root, which Postgres refuses.
func serverUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	nobody, err := osuser.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("postgres does not run as root and there is no user nobody: %w", err)
	}
	uid, err1 := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(nobody.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func chownTo(path string, owner *syscall.Credential) error {
	if owner == nil {
		return nil
	}
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}

// findPlace decides where the cluster of dir lives and makes that folder.
func findPlace(dir string, owner *syscall.Credential) (place, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return place{}, err
	}
	if err := checkOurs(abs); err != nil {
		return place{}, err
	}
	if err := os.MkdirAll(abs, 0o755); err != nil {
		return place{}, err
	}
	p := place{dir: abs, root: abs}
	pointer, err := os.ReadFile(filepath.Join(abs, pointerName))
	switch {
	case err == nil:
		p.root = strings.TrimSpace(string(pointer))
		if _, err := os.Stat(p.stateFile()); err != nil {
			return p, fmt.Errorf("%s: its data in %s is gone; remove %s to start afresh", abs, p.root, abs)
		}
		return p, checkOwner(p.root)
	case !errors.Is(err, fs.ErrNotExist):
		return p, err
	case owner == nil || worldCanTraverse(abs):
		return p, nil
	}
	sum := sha256.Sum256([]byte(abs))
	p.root = filepath.Join(worldDir, "kestrel-"+hex.EncodeToString(sum[:8]))
	return p, p.clearAbandoned()
}

// clearAbandoned makes root an empty folder of ours. What it holds belongs to a data folder that was removed since.
func (p place) clearAbandoned() error {
	if err := os.Mkdir(p.root, 0o711); err == nil {
		return os.Chmod(p.root, 0o711) // whatever the umask
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := checkOwner(p.root); err != nil {
		return err
	}
	lock, err := lockFile(p.lock())
	if err != nil {
		return fmt.Errorf("%s: %w: another kestrel runs on it", p.root, ErrInUse)
	}
	defer lock.Close()
	if err := stopLeftover(context.Background(), p.data()); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(p.data()), os.RemoveAll(p.stateFile()))
}

// checkOurs refuses a folder that holds something but not our mark. A lock alone is from a run that died at once.
func checkOurs(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", dir, ErrForeignDir, err)
	}
	for _, e := range entries {
		switch e.Name() {
		case stateName, pointerName:
			return nil
		}
	}
	for _, e := range entries {
		if e.Name() != lockName && e.Name() != stateName+".new" {
			return fmt.Errorf("%s: %w: it holds %s and other people's files", dir, ErrForeignDir, e.Name())
		}
	}
	return nil
}

// writePointer leaves a note in dir that says where the files are, if not there.
func (p place) writePointer() error {
	if p.root == p.dir {
		return nil
	}
	return os.WriteFile(filepath.Join(p.dir, pointerName), []byte(p.root+"\n"), 0o644)
}

// checkOwner refuses a world-writable folder's entry that someone else put there.
func checkOwner(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: %w: it belongs to someone else", path, ErrForeignDir)
	}
	return nil
}

// worldCanTraverse reports whether any user can reach dir, symbolic links resolved.
func worldCanTraverse(dir string) bool {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	for {
		info, err := os.Stat(real)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if real == filepath.Dir(real) {
			return true
		}
		real = filepath.Dir(real)
	}
}
