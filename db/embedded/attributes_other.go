//go:build unix && !linux

package embedded

import "syscall"

// childAttributes puts the child into a process group of its own, so that Ctrl-C in a terminal
// reaches Easel alone, which then stops Postgres in good order. Only Linux ends a child with its
// parent: elsewhere a server may outlive a killed Easel, and the next start adopts it.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
