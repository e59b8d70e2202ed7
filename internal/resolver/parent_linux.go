package resolver

import "syscall"

// withParent makes a child process end when the thread that started it ends.
func withParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
