//go:build !linux

package resolver

import "syscall"

// withParent cannot make a child process end with its parent here.
func withParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
