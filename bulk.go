package telamon

import (
	"encoding/hex"
	"time"
)

// A RevocationFilter selects certificates to revoke: those that meet all of its members.
// Only facts are in it that never change, so that it selects the same certificates later
// on, but for those that were revoked or have expired meanwhile.
type RevocationFilter struct {
	Issuer   IssuerID   `json:"issuer,omitempty"`
	Key      string     `json:"key,omitempty"`    // SHA-256 of the SubjectPublicKeyInfo, 64 hexadecimal digits
	Domain   string     `json:"domain,omitempty"` // a DNS name in the certificate
	Tree     bool       `json:"tree,omitempty"`   // the domain and every name below it
	Account  AccountID  `json:"account,omitempty"`
	Identity IdentityID `json:"identity,omitempty"`
	From     *time.Time `json:"from,omitempty"` // when it was issued, inclusive
	Until    *time.Time `json:"until,omitempty"`
}

// IsEmpty reports whether the filter selects everything.
func (f *RevocationFilter) IsEmpty() bool { return *f == RevocationFilter{} }

// KeyHash returns the filter's key; ok is false if there is none, or if it is no hash.
func (f *RevocationFilter) KeyHash() (hash [32]byte, ok bool) {
	b, err := hex.DecodeString(f.Key)
	if err != nil || len(b) != len(hash) {
		return hash, false
	}
	return [32]byte(b), true
}

// A BulkState is the place of a bulk revocation in its life.
type BulkState string

// The states, in order. A planned one waits for somebody who says that it is meant.
const (
	BulkCounting BulkState = "counting"
	BulkPlanned  BulkState = "planned"
	BulkRevoking BulkState = "revoking"
	BulkDone     BulkState = "done"
)

// A BulkRevocation revokes all certificates that its filter selects.
type BulkRevocation struct {
	ID            BulkID
	Filter        RevocationFilter
	Reason        RevocationReason
	CompromisedAt time.Time // zero if not told
	State         BulkState
	AsOf          time.Time // what was issued later is left alone
	Cursor        Serial    // the last serial number that was read, zero at the start; goes back to the last hours at the end
	Examined      int64     // certificates that were read in this state, at least
	Matched       int64     // that were counted
	Revoked       int64
	Sample        []BulkSample // the first that matched
	RequestedBy   string
	CreatedAt     time.Time
	StartedAt     time.Time // of the revocation; zero before
	FinishedAt    time.Time // zero before
}

// A BulkSample is one of the certificates that a bulk revocation would revoke.
type BulkSample struct {
	Serial   string    `json:"serial"`
	Account  AccountID `json:"account"`
	Issuer   IssuerID  `json:"issuer"`
	IssuedAt time.Time `json:"issued_at"`
	NotAfter time.Time `json:"not_after"`
}
