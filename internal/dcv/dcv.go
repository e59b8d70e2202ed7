// Package dcv is domain control validation: it looks for what an applicant
// publishes to show control of a domain or an IP address (TLS Baseline
// Requirements 3.2.2.4 and 3.2.2.5), lists the mailboxes that may approve, and
// reads CAA records (RFC 8659). Each method is a type of its own; an [Engine] is
// the view from one place of the network.
//
// It knows no accounts, claims or databases, sends no mail, and decides nothing
// about certificates. It trusts its resolver and its dialer. All that it reads was
// written by strangers: every answer is bounded in time and size, and nothing of it
// is repeated but names, addresses and counts.
package dcv

import (
	"context"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/resolver"
)

// A Resolver answers questions about the DNS. [resolver.Client] is one.
type Resolver interface {
	Lookup(ctx context.Context, name string, t resolver.Type) (*resolver.Answer, error)
	// ProvenInsecure reports whether the zone that holds name is proven to be
	// unsigned (RFC 4035, Section 4.3), also while that zone itself does not answer.
	ProvenInsecure(ctx context.Context, name string) (bool, error)
}

// Limits of one validation, whatever the other side does.
const (
	// Timeout bounds a validation from start to end.
	Timeout = 10 * time.Second
	// MaxRecords is how many TXT or CAA records of one name are looked at.
	MaxRecords = 256
	// MaxFile is how many octets of a file are read.
	MaxFile = 4096
)

// A Question asks whether control of a name is shown now. It is complete: a remote
// network perspective answers it with nothing else.
type Question struct {
	Method telamon.Method    `json:"method"` // MethodDNS, MethodPersist or MethodHTTP
	Kind   telamon.ClaimKind `json:"kind"`
	Name   string            `json:"name"` // what is claimed, as in telamon.Claim
	// ADN is the name to look at: of MethodDNS one that [AuthorizationDomain]
	// accepted, of MethodHTTP the claimed name, of MethodPersist the name below
	// which _validation-persist stands.
	ADN string `json:"adn"`
	// Values are what a TXT record or a file may say, of which one is enough; see
	// [TokenValues]. MethodPersist has none.
	Values []string `json:"values,omitempty"`
	Scheme string   `json:"scheme,omitempty"` // of MethodHTTP: http or https
	// Issuers and AccountURI are what a standing record must name (MethodPersist).
	Issuers    []string `json:"issuers,omitempty"`
	AccountURI string   `json:"account_uri,omitempty"`
}

// A Finding is what one perspective saw. If Found is false, Problem says why in one
// line for the applicant, without anything that the other side chose but names,
// numbers and statuses.
type Finding struct {
	Found    bool             `json:"found"`
	Coverage telamon.Coverage `json:"coverage,omitempty"`
	Evidence telamon.Evidence `json:"evidence"`
	Problem  string           `json:"problem,omitempty"`
}

// A CAAQuestion asks whether the CAA records of a name let us issue.
type CAAQuestion struct {
	Name       string   `json:"name"` // a dNSName of a certificate; may be a wildcard
	Issuers    []string `json:"issuers"`
	AccountURI string   `json:"account_uri"`
	// Methods are the labels (BR 4.2.2.1.2) of the validations that cover the name,
	// of which validationmethods must admit one; empty if none was needed.
	Methods []string `json:"methods"`
}

// A Perspective is a place in the network from which a domain is looked at. There
// are two: [Engine], which looks from here, and the client of a remote one. An
// error is a failure of the perspective itself; what it could not see of the domain
// is in its finding.
type Perspective interface {
	Validate(ctx context.Context, q Question) (Finding, error)
	CheckCAA(ctx context.Context, q CAAQuestion) (telamon.CAACheck, error)
}
