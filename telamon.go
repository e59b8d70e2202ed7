// Package telamon is the platform's vocabulary: typed IDs, accounts, services,
// identities, credentials, certificates, issuers and audit events. It does no
// I/O, knows no wire format and no database, and holds no rule of who may do
// what. Every other package speaks in these terms.
package telamon

import "time"

// A Clock tells the time. Everything that depends on the time takes one, so that
// tests can stand still on the instant that matters.
type Clock interface {
	// Now returns the present time in UTC.
	Now() time.Time
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now returns the machine's time in UTC.
func (SystemClock) Now() time.Time { return time.Now().UTC() }
