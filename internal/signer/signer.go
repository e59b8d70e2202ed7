// Package signer lets another process hold the CA keys: a server that offers the
// operations of a keystore over a Unix socket, and the client that the platform
// uses in the keystore's place.
//
// The process with the keys does not trust the one that asks. It offers no signing
// of bytes, but of digests by key pairs: every operation is the keystore's own, which
// checks what it signs against the key's purpose, and journals it, on that side of the
// socket. Each end
// proves itself by a certificate that the other one has pinned, and by the user
// that the kernel says it runs as. Whoever takes over the asking process can have
// certificates issued as the platform can, but can take no key away.
package signer

import "errors"

// ErrUnavailable is returned when the process with the keys does not answer. Unless
// the error says otherwise, nothing was done.
var ErrUnavailable = errors.New("the signer does not answer")

// ErrUnknown is returned, beside ErrUnavailable, when the answer was lost of an
// operation that is not repeated: it may have been done.
var ErrUnknown = errors.New("whether it was done is not known")
