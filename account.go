package telamon

import (
	"crypto/x509"
	"net/netip"
	"slices"
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
	// StartsAt and EndsAt are the first and the last instant of the service period; zero
	// is no bound.
	StartsAt, EndsAt time.Time
}

// Usable reports whether the account's users may act at t: it is active and in its
// service period.
func (a *Account) Usable(t time.Time) bool {
	return a.State == Active && !t.Before(a.StartsAt) && !ended(a.EndsAt, t)
}

// ended reports whether the last instant of something, in whole seconds, which it
// includes, has passed. The zero one never has.
func ended(last, t time.Time) bool { return !last.IsZero() && !t.Before(last.Add(time.Second)) }

// A UserKind tells people from machines.
type UserKind string

// The kinds of users.
const (
	StandardUser UserKind = "standard" // a person, who signs in
	ServiceUser  UserKind = "service"  // a machine's login: tokens and client certificates, no sign-in
)

// A User is a person of an account, or a machine's login.
type User struct {
	ID      UserID
	Account AccountID
	Kind    UserKind
	// Email is in lower case. A standard user's is unique on the platform; a service
	// user's is that of the person responsible, to whom nothing is sent.
	Email        string
	Name         string // of a service user its friendly name, unique in the account
	Description  string
	Locale       string // such as "en_US"
	PasswordHash string // argon2id in its PHC string; empty if none is set
	Roles        []string
	State        State
	EndsAt       time.Time // the last second; zero: none
	LockedAt     time.Time // zero: not locked
	CreatedBy    UserID    // empty: an operator
	CreatedAt    time.Time
}

// A UserStatus is what a user's state, lock and end come to at an instant.
type UserStatus string

// The statuses.
const (
	UserActive   UserStatus = "active"
	UserLocked   UserStatus = "locked"
	UserExpired  UserStatus = "expired"
	UserDisabled UserStatus = "disabled"
	UserDeleted  UserStatus = "deleted"
)

// Status returns the user's status at t. A user who is not active can do nothing, and
// neither can a token or certificate of theirs.
func (u *User) Status(t time.Time) UserStatus {
	switch {
	case u.State == Deleted:
		return UserDeleted
	case u.State != Active:
		return UserDisabled
	case ended(u.EndsAt, t):
		return UserExpired
	case !u.LockedAt.IsZero():
		return UserLocked
	}
	return UserActive
}

// An APIToken is a secret by which a user's programs authenticate.
type APIToken struct {
	ID            APITokenID
	Account       AccountID
	User          UserID
	Name          string // unique among the user's, without regard to case
	Lookup        string // the token's left part: "01" and 24 hexadecimal digits, unique on the platform
	SecretMAC     []byte // HMAC-SHA-256 of its right part under the pepper
	PepperVersion int
	State         State
	EndsAt        time.Time // the last second; zero: none
	CreatedAt     time.Time
}

// Ended reports whether the token's end has passed at t: then it is good for nothing ever
// again.
func (k *APIToken) Ended(t time.Time) bool { return ended(k.EndsAt, t) }

// Usable reports whether the token, for its own part, is good at t.
func (k *APIToken) Usable(t time.Time) bool { return k.State == Active && !k.Ended(t) }

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
	Type      IdentityType      // empty: an operator made it, who alone vets it
	Name      string            // a free label
	Data      map[string]string // by subject_dn member, such as "organization"
	Customer  *Contact          // of a service provider's customer; nil: it is the account's own
	State     IdentityState
	VettedAt  time.Time // when it became active the last time; zero: never, or by an older release
	ExpiresAt time.Time // zero: never
	// Requesters are the users who alone may request certificates for it; nil: whoever has
	// a role for that. Credentials are not bound by it.
	Requesters []UserID
	CreatedAt  time.Time
}

// MayRequest reports whether the user is among those who may request certificates for the
// identity.
func (i *Identity) MayRequest(user UserID) bool {
	return i.Requesters == nil || slices.Contains(i.Requesters, user)
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

// A ClientCert is a client certificate that the platform issued for API access: one for
// credentials, or one of a user.
type ClientCert struct {
	ID          ClientCertID
	Account     AccountID
	User        UserID   // empty: it is for credentials
	Name        string   // of a user's: unique among those that are not deleted, without regard to case
	Fingerprint [32]byte // SHA-256 of the DER
	Serial      Serial
	Issuer      IssuerID
	Certificate *x509.Certificate // nil in what package directory returns
	SPKIHash    [32]byte
	CRLShard    int
	NotBefore   time.Time // whole seconds; zero in what package directory returns of older ones
	NotAfter    time.Time // whole seconds
	State       State
	FirstUsedAt time.Time      // of a user's; zero: never
	DeletedAt   time.Time      // of a user's, which then is revoked too; zero: it is listed
	Credentials []CredentialID // those that it is linked to, in order
	CreatedAt   time.Time
}

// A KeyPair is a key pair of an account whose private half is in the keystore and signs
// hashes for the account's users. One that is revoked or deleted has no private half any
// more.
type KeyPair struct {
	ID          KeyPairID
	Account     AccountID
	Name        string            // unique among the account's active and disabled ones, without regard to case
	KeyType     string            // of package tbs, such as "EC-P256"
	KeyName     string            // in the keystore
	SPKI        []byte            // DER of its SubjectPublicKeyInfo
	Certificate *x509.Certificate // nil: none; then the next four are zero
	Serial      Serial
	Issuer      IssuerID
	CRLShard    int
	Revocation  *Revocation // nil: not revoked
	State       State
	CreatedAt   time.Time
}

// An Activity is what an account sees of one event about its users and what they
// authenticate by.
type Activity struct {
	ID           EventID
	At           time.Time
	Account      AccountID
	User         UserID // empty: an operator or a stranger
	UserName     string // as it was then; of operators and strangers what [Actor.Subject] calls them
	Action       string // such as "create" or "authenticate"
	ResourceType string // such as "client_auth_cert"
	Resource     string // the 16 bytes of its ID as a UUID, or what was shown in its place
	Failed       bool
	Description  string // why it failed: a sentence
	Address      netip.Addr
}
