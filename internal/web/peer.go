package web

import (
	"context"
	"net"
)

type peerKey struct{}

// WithPeer is the ConnContext of a server on a Unix socket: it notes as which user of the
// system the other side opened the connection.
func WithPeer(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, peerUID(conn))
}

// PeerUID returns the user of the system at the other side of a request's Unix socket, as
// the kernel vouches for it, or -1 if that is not known.
func PeerUID(ctx context.Context) int64 {
	if uid, ok := ctx.Value(peerKey{}).(int64); ok {
		return uid
	}
	return -1
}
