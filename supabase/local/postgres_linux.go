package local

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// serverAttr makes the server run as owner, deaf to the terminal's Ctrl-C (Stop ends it), and, unless detached, shut
// down in good order when this process dies, even by SIGKILL.
func serverAttr(owner *syscall.Credential, detached bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Credential: owner, Setsid: true}
	if !detached {
		attr.Pdeathsig = syscall.SIGINT
	}
	return attr
}

// serverProcesses lists the processes of a server on data: they alone have it as their working directory.
func serverProcesses(data string) []int {
	real, err := filepath.EvalSymlinks(data)
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd")); err == nil && cwd == real {
			pids = append(pids, pid)
		}
	}
	return pids
}
