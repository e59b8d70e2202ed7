package telamon

import (
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

// The roles. A responder is no issuer, but a key of the keystore with a purpose.
const (
	RoleRoot      IssuerRole = "root"
	RoleIssuing   IssuerRole = "issuing"
	RoleResponder IssuerRole = "responder" // signs OCSP responses for one issuing CA
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
}

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
}
