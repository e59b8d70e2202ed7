// Package iam holds the use cases of accounts and of what they authenticate by:
// users, identities, services, subscriptions, API credentials, mTLS certificates,
// logins and tokens. It decides by states and rules, has package issuance sign and
// package store keep, and tells package directory at once what it changed.
//
// It knows no HTTP and no SQL, holds no keys, and never keeps a secret: API secrets
// are shown once and stored as MACs under a pepper of the keystore, and tokens are
// not stored at all. It trusts its caller for the actor and for the client's
// address and certificate, whose possession the TLS handshake proved.
//
// It is larger than packages are here. Users' certificates and those of credentials are
// kept together on purpose: a key belongs to the account that used it first, whichever it
// authenticates, and both have the issuing CAs, the refusals that are counted and the MACs
// of secrets in common. Apart, each half would reach into the other for these.
package iam

import (
	"cmp"
	"context"
	"log/slog"

	"golang.org/x/sync/semaphore"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keycheck"
	"github.com/telamon-ca/telamon/internal/password"
	"github.com/telamon-ca/telamon/internal/store"
)

// Keys gives MACs under secrets that never leave the keystore. The keystore of
// this process is one; a signer process of its own can be another.
type Keys interface {
	// MAC returns the HMAC-SHA-256 of data under the secret of a label and version.
	MAC(label string, version int, data []byte) []byte
	// PepperVersion returns the version under which new API secrets are kept.
	PepperVersion() int
}

// Config names what the use cases are made of.
type Config struct {
	Store     *store.DB
	Directory *directory.Directory
	Issuance  *issuance.Engine
	Keys      Keys
	Clock     telamon.Clock
	Log       *slog.Logger
	// ClientKeyTypes are the key types that mTLS certificates may have: "RSA" (2048
	// to 8192 bits), "EC-P256", "EC-P384". None means RSA alone.
	ClientKeyTypes []string
	// ClientSeriesRSA and ClientSeriesEC name the issuer series of the client-auth
	// hierarchy that sign mTLS certificates for RSA and for EC keys.
	ClientSeriesRSA, ClientSeriesEC string
	// Passwords hashes passwords; nil is one of its own.
	Passwords *password.Hasher
	// KeyCheck refuses weak and listed keys; nil knows no list.
	KeyCheck *keycheck.Checker
	// NoCertSelfIssue refuses to make, enable, disable and delete certificates of users on
	// the word of a client certificate alone: an API key must be shown.
	NoCertSelfIssue bool
	// Platform is the name of the installation in mails, and PortalURL the address of the
	// portal, without a final slash, that they lead to; "" leaves the link out.
	Platform, PortalURL string
}

// maxRefusals is how many different refused logins, and as many refused tokens and
// users, are counted at a time.
const maxRefusals = 4096

// IAM serves the use cases. It is safe for concurrent use.
type IAM struct {
	store          *store.DB
	directory      *directory.Directory
	issuance       *issuance.Engine
	keys           Keys
	clock          telamon.Clock
	log            *slog.Logger
	keycheck       *keycheck.Checker
	clientKeyTypes []string
	clientSeries   map[string]string // by the key's algorithm
	passwords      *password.Hasher
	keyMaking      *semaphore.Weighted // bounds the processors that make keys

	noCertSelfIssue bool

	platform, portalURL string // in mails

	links                                      chainLinks
	uses                                       firstUses
	lastUses                                   lastUses
	refusedLogins, refusedTokens, refusedUsers *audit.Counter

	unwritten audit.Backlog // of refusals
}

// New returns the use cases.
func New(cfg Config) *IAM {
	s := &IAM{
		store: cfg.Store, directory: cfg.Directory, issuance: cfg.Issuance, keys: cfg.Keys, clock: cfg.Clock, log: cfg.Log,
		keycheck: cfg.KeyCheck, clientKeyTypes: cfg.ClientKeyTypes, passwords: cmp.Or(cfg.Passwords, password.NewHasher()),
		keyMaking: semaphore.NewWeighted(keysAtOnce()), noCertSelfIssue: cfg.NoCertSelfIssue, platform: cfg.Platform, portalURL: cfg.PortalURL,
		clientSeries:  map[string]string{"RSA": cfg.ClientSeriesRSA, "ECDSA": cfg.ClientSeriesEC},
		refusedLogins: audit.NewCounter(cfg.Clock, string(authz.CredentialLogin), maxRefusals),
		refusedTokens: audit.NewCounter(cfg.Clock, actionToken, maxRefusals),
		refusedUsers:  audit.NewCounter(cfg.Clock, actionAuthenticate, maxRefusals),
	}
	if len(s.clientKeyTypes) == 0 {
		s.clientKeyTypes = []string{keyRSA}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// changed tells the directory of a change before the use case returns, so that it
// takes effect at once.
func (s *IAM) changed(ctx context.Context, kind store.ChangeKind, object string) {
	s.directory.Refresh(ctx, store.Change{Kind: kind, Object: object})
}

// problems gathers what is wrong with a request.
type problems struct{ field.Problems }
