// Package resolver asks a recursive DNS resolver, which is expected to validate
// DNSSEC and to be reached over loopback, and says what it answered in terms that
// domain control validation needs. It can start such a resolver, unbound, as a
// child process with a configuration of its own.
//
// It validates nothing itself and caches nothing. It trusts the resolver's AD bit,
// and that nobody sits between the two.
package resolver

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// A Type is a type of records to ask for, by its number in the DNS.
type Type uint16

// The types that can be asked for (RFC 1035, RFC 3596, RFC 8659).
const (
	TypeA    Type = 1
	TypeTXT  Type = 16
	TypeAAAA Type = 28
	TypeCAA  Type = 257
)

// An Answer is what the DNS says of one name and type. A name that does not exist
// and one that has no such records are answers without records, not errors.
type Answer struct {
	// Chain holds the targets of the CNAMEs that led from the name to the records,
	// in order: lower case, without a final dot. It is empty if there were none. A
	// DNAME counts as the CNAME that it makes (RFC 6672, Section 3.3).
	Chain     []string
	TXT       []string // of each record, its strings joined
	CAA       []CAA
	Addresses []netip.Addr // of A or AAAA records
	Secure    bool         // the resolver proved the answer by DNSSEC (AD)
	// TTL is how long the answer may be kept: the least of its records, or that of
	// the denial (RFC 2308, Section 5).
	TTL time.Duration
}

// A CAA is one property of a CAA record (RFC 8659, Section 4.1).
type CAA struct {
	Flag  uint8
	Tag   string // lower case
	Value string
}

// IsCritical reports whether an issuer that does not know the tag must not issue.
func (c CAA) IsCritical() bool { return c.Flag&0x80 != 0 }

// ErrBogus is in the chain of the error of a lookup whose answer failed DNSSEC
// validation (RFC 4035, Section 5.5): an answer that somebody may have forged.
var ErrBogus = errors.New("DNSSEC validation failed")

// A LookupError is a lookup that has no answer: the resolver could not be reached
// or did not answer in time, or it answered SERVFAIL, REFUSED or the like.
type LookupError struct {
	Name   string
	Type   Type
	Reason string // short, for the owner of the domain: "SERVFAIL", "no answer in time"
	Err    error  // ErrBogus or the cause; may be nil
}

// Error returns the error for a log.
func (e *LookupError) Error() string {
	text := fmt.Sprintf("look up %s (type %d): %s", e.Name, e.Type, e.Reason)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *LookupError) Unwrap() error { return e.Err }
