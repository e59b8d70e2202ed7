// Package fault holds the errors that may leave the platform. A fault says what
// the caller can do about it; it does not know HTTP, and each API dialect maps
// kinds to its own statuses and bodies.
package fault

import (
	"errors"
	"strings"
	"time"
)

// Kind is what a caller can do about a fault. Each API dialect maps every kind
// to its own status and body; no other package knows about HTTP.
type Kind uint8

// The kinds. The zero value is Internal, so that forgetting to classify an
// error never tells a caller more than a request ID.
const (
	Internal        Kind = iota // a bug or an unclassified failure
	Malformed                   // the request cannot be read
	Invalid                     // the request was read, and a rule forbids it
	Unauthenticated             // no credential, or one that a fresh login would mend
	Denied                      // a good credential, without the permission
	NotFound                    // no such thing in this account
	Conflict                    // the thing has moved on since the caller looked
	NotReady                    // ask again later: the work has not finished
	Limited                     // a quota or a rate limit
	Unavailable                 // something we depend on is down
	kinds                       // the number of kinds; keep it last
)

var kindNames = [kinds]string{
	"internal", "malformed", "invalid", "unauthenticated", "denied", "not_found",
	"conflict", "not_ready", "limited", "unavailable",
}

// String returns the kind's name, such as "not_found".
func (k Kind) String() string {
	if k >= kinds {
		return "unknown"
	}
	return kindNames[k]
}

// Kinds returns every kind, for tests that must forget none.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// Codes that more than one package or dialect must tell apart from others of
// their kind. A code belongs to one kind and is never renamed.
const (
	CodeQuotaReached   = "quota_reached"   // Limited: the issuance quota is used up
	CodeRateLimited    = "rate_limited"    // Limited: too many requests
	CodeAlreadyRevoked = "already_revoked" // Conflict
	CodeClaimExpired   = "claim_expired"   // Conflict: reassert first
)

// A Field says what is wrong with one part of a request.
type Field struct {
	Path    string `json:"path"`    // as the request spells it, such as "subject_dn.country"
	Problem string `json:"problem"` // such as "is required"
}

// A Fault is an error that a caller may see.
type Fault struct {
	Kind       Kind
	Code       string        // stable and documented, such as "claim_expired"
	Detail     string        // one sentence for the caller, without secrets
	Fields     []Field       // what is wrong with which part of the request
	RetryAfter time.Duration // zero if waiting does not help
	Cause      error         // for the log only
}

// New returns a fault without fields or cause.
func New(kind Kind, code, detail string) *Fault {
	return &Fault{Kind: kind, Code: code, Detail: detail}
}

// Error returns the fault for a log: its code, detail, fields and cause.
func (f *Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.Code)
	if f.Detail != "" {
		b.WriteString(": " + f.Detail)
	}
	for _, field := range f.Fields {
		b.WriteString(" [" + field.Path + " " + field.Problem + "]")
	}
	if f.Cause != nil {
		b.WriteString(": " + f.Cause.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Cause }

// From returns the fault in err's chain, or an Internal one that hides err. It
// returns nil for nil.
func From(err error) *Fault {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		return f
	}
	return &Fault{Code: "internal", Detail: "internal error", Cause: err}
}

// Is reports whether err's chain holds a fault of this kind. An error without a
// fault is Internal.
func Is(err error, kind Kind) bool {
	f := From(err)
	return f != nil && f.Kind == kind
}
