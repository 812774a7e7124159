package embedded

import "syscall"

// childAttributes puts the child into a process group of its own, so that Ctrl-C in a terminal
// reaches Easel alone, which then stops Postgres in good order. And the kernel asks the child to
// shut down (SIGINT, fast shutdown) when the thread that started it dies, which with a locked
// thread means: when Easel dies, by kill -9 too.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
}
