//go:build !linux

package local

import "syscall"

// serverAttr makes the server run as owner, deaf to the terminal's Ctrl-C. There is no parent-death signal here: a
// server left by a killed process is stopped at the next start.
func serverAttr(owner *syscall.Credential, _ bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: owner, Setsid: true}
}

// serverProcesses lists the server that postmaster.pid names, if it lives.
func serverProcesses(data string) []int {
	pm, err := readPostmaster(data)
	if err != nil || syscall.Kill(pm.pid, 0) != nil {
		return nil
	}
	return []int{pm.pid}
}
