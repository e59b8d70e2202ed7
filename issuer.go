package telamon

import (
	"cmp"
	"crypto/x509"
	"slices"
	"time"
)

// A HierarchyKind says what a hierarchy is for.
type HierarchyKind string

// The hierarchies that "telamon init" creates.
const (
	HierarchyClientAuth HierarchyKind = "client_auth" // mTLS certificates of our own users
	HierarchyTLS        HierarchyKind = "tls"         // private TLS servers and devices
	HierarchySigning    HierarchyKind = "signing"     // message and document signing
	HierarchyStrictTLS  HierarchyKind = "strict_tls"  // TLS by the rules of public CAs
)

// An EKUFamily is the set of extended key usages that one issuing CA may sign.
type EKUFamily string

// The families. An issuing CA carries the EKUs of exactly one.
const (
	EKUClientAuth EKUFamily = "client_auth" // clientAuth
	EKUTLS        EKUFamily = "tls"         // serverAuth, clientAuth
	EKUServerAuth EKUFamily = "server_auth" // serverAuth alone (strict TLS)
	EKUSigning    EKUFamily = "signing"     // emailProtection, document signing and private ones
	EKUAny        EKUFamily = "any"         // private hierarchies without an EKU of their own
)

// ekuFamilies are the extended key usages of each family. The wildcard of EKUAny
// still admits neither anyExtendedKeyUsage nor OCSPSigning.
var ekuFamilies = map[EKUFamily][]string{
	EKUClientAuth: {"1.3.6.1.5.5.7.3.2"},
	EKUTLS:        {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"},
	EKUServerAuth: {"1.3.6.1.5.5.7.3.1"},
	EKUSigning: {
		"1.3.6.1.5.5.7.3.4",       // emailProtection
		"1.3.6.1.5.5.7.3.36",      // document signing (RFC 9336)
		"1.3.6.1.4.1.311.10.3.12", // Microsoft document signing
	},
	EKUAny: nil,
}

// AnyExtendedKeyUsage is the usage that no certificate of ours carries (RFC 5280,
// Section 4.2.1.12).
const AnyExtendedKeyUsage = "2.5.29.37.0"

// OIDs returns the extended key usages that an issuing CA of the family carries,
// none for EKUAny.
func (f EKUFamily) OIDs() []x509.OID {
	var ids []x509.OID
	for _, text := range ekuFamilies[f] {
		id, err := x509.ParseOID(text)
		if err != nil {
			panic(err) // a constant of this file
		}
		ids = append(ids, id)
	}
	return ids
}

// OCSPSigning is the usage of a delegated OCSP responder (RFC 6960, Section
// 4.2.2.2). No family has it: whoever could request it could answer for every
// certificate of the issuing CA.
const OCSPSigning = "1.3.6.1.5.5.7.3.9"

// Allows reports whether a leaf under an issuing CA of the family may carry the
// extended key usage.
func (f EKUFamily) Allows(id x509.OID) bool {
	text := id.String()
	if f == EKUAny {
		return text != AnyExtendedKeyUsage && text != OCSPSigning
	}
	return slices.Contains(ekuFamilies[f], text)
}

// IssuerRole tells roots from issuing CAs.
type IssuerRole string

// The roles. A responder and a key pair are no issuers, but keys of the keystore with a
// purpose.
const (
	RoleRoot      IssuerRole = "root"
	RoleIssuing   IssuerRole = "issuing"
	RoleResponder IssuerRole = "responder" // signs OCSP responses for one issuing CA
	RoleKeyPair   IssuerRole = "key_pair"  // signs hashes for one account
)

// IssuerStatus is the place of an issuing CA in its life.
type IssuerStatus string

// The states, in order. At most one issuer of a series is active.
const (
	IssuerPlanned IssuerStatus = "planned"
	IssuerActive  IssuerStatus = "active"
	IssuerRetired IssuerStatus = "retired" // signs only status
	IssuerExpired IssuerStatus = "expired" // its key is destroyed
)

// A Series is the issuing CAs of one hierarchy, key type and EKU family, of
// which one is active.
type Series struct {
	ID        SeriesID
	Hierarchy HierarchyID
	Name      string // unique, such as "tls-ecdsa"
	KeyType   string // a key algorithm of package tbs, such as "EC-P256"
	EKUFamily EKUFamily
	Rotation  Rotation
	LeadDays  int // how many days before a switch the next issuing CA is made
	LeafDays  int // the longest leaf in days; 0: told by the services of the series
}

// A Rotation is how often the active issuing CA of a series is exchanged.
type Rotation string

// The rotations. All but the last are on the second Monday of a quarter.
const (
	RotateQuarterly Rotation = "quarterly"
	RotateYearly    Rotation = "yearly" // in January
	RotateManually  Rotation = "manual"
)

// DefaultLeadDays is the LeadDays of a new series: the notice 30 days before a switch
// can name the next issuing CA.
const DefaultLeadDays = 45

// An Issuer is a root or an issuing CA.
type Issuer struct {
	ID          IssuerID
	Hierarchy   HierarchyID
	Series      SeriesID // empty for a root
	Parent      IssuerID // empty for a root
	Role        IssuerRole
	Status      IssuerStatus
	KeyName     string // in the keystore
	Certificate *x509.Certificate
	CRLShards   int // how many CRL shards its certificates are spread over, at least 1
	ActivateAt  time.Time
	RetireAt    time.Time // zero: not planned yet
	// SignUntil is when it ends to sign for tokens that are bound to it. Zero: no end is
	// known yet, or, of a retired one, it signs for none.
	SignUntil time.Time
	Crosses   []CrossCertificate // of a root: its certificates by other CAs
	Revoked   bool               // its root has revoked its certificate
}

// A CrossCertificate is a certificate of a root's name and key by another CA, for
// relying parties that trust that one.
type CrossCertificate struct {
	ID                CrossID
	Certificate       *x509.Certificate
	SignerCertificate *x509.Certificate // of the other CA
	Active            bool              // trust chains go this way
}

// ClockSkew is what the clocks of replicas may differ by; see docs/OPERATIONS.md.
const ClockSkew = 5 * time.Second

// TokenReach is how long after a login its token may be used at most. A token is bound
// to an issuing CA, so that one signs for as long after its successor has started.
const TokenReach = 660 * time.Second

// MaySign reports whether an issuing CA may sign certificates at t for tokens that are
// bound to it. That it was activated is either recorded or, before the record is
// written, told by the clock.
func (i *Issuer) MaySign(t time.Time) bool {
	if i.Role != RoleIssuing {
		return false
	}
	switch i.Status {
	case IssuerActive:
	case IssuerPlanned: // another replica, whose clock is ahead, may bind tokens to it
		if t.Add(ClockSkew).Before(i.ActivateAt) {
			return false
		}
	case IssuerRetired:
		return t.Before(i.SignUntil)
	default:
		return false
	}
	return i.SignUntil.IsZero() || t.Before(i.SignUntil)
}

// starts reports whether new tokens may be bound to the issuing CA at t. One whose
// certificate has ended signs nothing, but its tokens still read and revoke.
func (i *Issuer) starts(t time.Time) bool {
	return i.Status == IssuerActive || i.Status == IssuerPlanned && !t.Before(i.ActivateAt)
}

// A Succession is the issuing CAs of each series, the one that starts last first.
type Succession map[SeriesID][]*Issuer

// NewSuccession returns the succession of issuers, which nobody may change from then on.
func NewSuccession(all []*Issuer) Succession {
	s := Succession{}
	for _, i := range all {
		if i.Role == RoleIssuing {
			s[i.Series] = append(s[i.Series], i)
		}
	}
	for _, list := range s {
		slices.SortFunc(list, func(a, b *Issuer) int {
			return cmp.Or(b.ActivateAt.Compare(a.ActivateAt), cmp.Compare(a.ID, b.ID))
		})
	}
	return s
}

// Active returns the issuing CA of a series that new tokens are bound to at t, nil if
// there is none: of those that have started, the one that did last. So a switch happens
// at its instant on every replica, whether anybody has recorded it or not, and a series
// whose next CA is not there keeps the one that it has.
func (s Succession) Active(series SeriesID, t time.Time) *Issuer {
	for _, i := range s[series] {
		if i.starts(t) {
			return i
		}
	}
	return nil
}
