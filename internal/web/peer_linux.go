package web

import (
	"net"
	"syscall"
)

// peerUID asks the kernel who connected (unix(7), SO_PEERCRED).
func peerUID(conn net.Conn) int64 {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return -1
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1
	}
	uid := int64(-1)
	err = raw.Control(func(fd uintptr) {
		if credentials, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			uid = int64(credentials.Uid)
		}
	})
	if err != nil {
		return -1
	}
	return uid
}
