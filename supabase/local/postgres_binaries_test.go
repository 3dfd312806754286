package local

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A package as npm 11 leaves it under umask 077: no install script has run, and nobody else may look inside.
func TestBinariesNobodyCanReach(t *testing.T) {
	t.Parallel()
	from, pkg := Binaries(".."), t.TempDir()
	dir := filepath.Join(pkg, "native")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	links, err := filepath.Glob(filepath.Join(dir, "lib", "lib*.so*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range links {
		if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink != 0 {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	// A name of its own for the copy, so that it may be removed while others run.
	text := []byte(`{"version": "` + filepath.Base(pkg) + filepath.Dir(pkg) + `"}`)
	if err := os.WriteFile(filepath.Join(pkg, "package.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(pkg, 0o700); err != nil {
		t.Fatal(err)
	}
	owner, err := serverUser()
	if err != nil {
		t.Fatal(err)
	}
	got, err := reachableBinaries(dir, owner)
	if err != nil {
		t.Fatal(err)
	}
	if got != dir {
		t.Cleanup(func() { _ = os.RemoveAll(got) })
	}
	cmd := exec.Command(filepath.Join(got, "bin", "initdb"), "--version")
	cmd.Env, cmd.SysProcAttr, cmd.Dir = serverEnv(got), serverAttr(owner, false), "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	again, err := reachableBinaries(dir, owner)
	if err != nil || again != got {
		t.Errorf("the second time: %s, %v", again, err)
	}
}
