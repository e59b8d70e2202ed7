package telamon

import (
	"crypto/x509"
	"net/netip"
	"time"
)

// State is the life of an account, credential or client certificate: what is
// disabled can be enabled again, what is deleted or revoked cannot.
type State string

// The states.
const (
	Active   State = "active"
	Disabled State = "disabled"
	Deleted  State = "deleted"
	Revoked  State = "revoked" // client certificates only
)

// An Account is a tenant.
type Account struct {
	ID        AccountID
	Name      string
	State     State
	CreatedAt time.Time
}

// A User is a person of an account.
type User struct {
	ID           UserID
	Account      AccountID
	Email        string // lower case, unique on the platform
	Name         string
	PasswordHash string // argon2id in its PHC string; empty if none is set
	Roles        []string
	State        State
	CreatedAt    time.Time
}

// A Service is what an account subscribes to. A changed service gets a new
// Version and never changes an issued certificate.
type Service struct {
	ID                   ServiceID
	Name                 string // unique
	Version              int
	PolicyTemplate       []byte // JSON of package policy, before an identity is bound to it
	Series               SeriesID
	DomainValidation     bool
	StrictContent        bool // content and dated limits of public CAs
	StrictCAA            bool // CAA with DNSSEC
	StrictMPIC           bool // multi-perspective corroboration
	Unlimited            bool // no quota is drawn
	StickyTokens         bool // private services alone: reasserting a claim keeps its token
	CreatedAt, ChangedAt time.Time
}

// A Subscription is an account's right to a service, for a term and an amount.
type Subscription struct {
	ID        SubscriptionID
	Account   AccountID
	Service   ServiceID
	CreatedAt time.Time
}

// A Lot is a part of a subscription's quota. Lots are drawn oldest-expiring first.
type Lot struct {
	ID           LotID
	Subscription SubscriptionID
	Amount       int64 // certificates granted
	Used         int64
	StartsAt     time.Time
	ExpiresAt    time.Time
}

// IdentityState is the place of an identity in its vetting.
type IdentityState string

// The states; package iam holds the allowed transitions.
const (
	IdentityDraft     IdentityState = "draft"
	IdentityQueued    IdentityState = "queued"
	IdentityProcessed IdentityState = "processed"
	IdentityActive    IdentityState = "active"
	IdentityRejected  IdentityState = "rejected"
	IdentityExpired   IdentityState = "expired"
	IdentityWithdrawn IdentityState = "withdrawn"
)

// An Identity is vetted data about an organization or a person, from which
// STATIC fields of a policy take their text. Its data cannot change once it was
// submitted.
type Identity struct {
	ID        IdentityID
	Account   AccountID
	Name      string            // a free label
	Data      map[string]string // by subject_dn member, such as "organization"
	State     IdentityState
	ExpiresAt time.Time // zero: never
	CreatedAt time.Time
}

// A Pair is one subscription and one identity of one account.
type Pair struct {
	ID           PairID
	Account      AccountID
	Subscription SubscriptionID
	Identity     IdentityID
}

// MTLSMode says whether a credential's login needs a client certificate.
type MTLSMode string

// The modes.
const (
	MTLSRequired MTLSMode = "required"
	MTLSNone     MTLSMode = "none" // partner integrations: tokens are bound to no certificate
)

// A Credential is an API key and secret of one pair.
type Credential struct {
	ID            CredentialID
	Account       AccountID
	Name          string // ^[a-z0-9_]{1,64}$, unique in the account
	Key           string // 16 lower-case hex digits, unique on the platform
	SecretMAC     []byte // HMAC-SHA-256 of the secret under the pepper
	PepperVersion int
	Pair          PairID
	MTLS          MTLSMode
	AllowedIPs    []netip.Prefix // empty: any address
	State         State
	Epoch         int64 // tokens of an earlier epoch are no longer good
	LastUsedAt    time.Time
	LastUsedFrom  string
	CreatedAt     time.Time
}

// A ClientCert is an mTLS certificate that the platform issued for API access.
type ClientCert struct {
	ID          ClientCertID
	Account     AccountID
	Fingerprint [32]byte // SHA-256 of the DER
	Serial      Serial
	Issuer      IssuerID
	Certificate *x509.Certificate // nil in what package directory returns
	SPKIHash    [32]byte
	CRLShard    int
	NotAfter    time.Time // whole seconds
	State       State
	Credentials []CredentialID // those that it is linked to, in order
	CreatedAt   time.Time
}
