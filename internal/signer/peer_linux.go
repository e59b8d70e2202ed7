package signer

import (
	"fmt"
	"net"
	"slices"
	"syscall"
)

// checkPeer returns an error unless the process at the other end runs as one of the
// users. Whoever can enter the socket's directory and has a copied certificate is
// stopped here.
func checkPeer(conn *net.UnixConn, uids []uint32) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var credentials *syscall.Ucred
	var optErr error
	err = raw.Control(func(fd uintptr) {
		credentials, optErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	switch {
	case err != nil:
		return err
	case optErr != nil:
		return optErr
	case !slices.Contains(uids, credentials.Uid):
		return fmt.Errorf("the other end runs as user %d, not as one of %v", credentials.Uid, uids)
	}
	return nil
}
