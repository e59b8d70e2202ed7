package telamon

import (
	"crypto/x509"
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

// IssuerRole tells roots from issuing CAs.
type IssuerRole string

// The roles.
const (
	RoleRoot    IssuerRole = "root"
	RoleIssuing IssuerRole = "issuing"
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
