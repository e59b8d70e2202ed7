// Package signing holds the use cases of key pairs: accounts' keys that are in the
// keystore and sign hashes for the accounts' users. It makes them, with a certificate of
// the signing hierarchy if one is asked for, signs, and ends them.
//
// It signs what it is given the hash of and cannot know what that is. It trusts its
// caller for the actor and for what the actor showed: whether a client certificate is
// needed is the dialect's to ask. It trusts the keystore for nothing but the possession
// of keys: each signature is verified, and its audit event durable, before it leaves.
package signing

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// Keys is what the use cases need of a keystore. The keystore of this process is one; a
// signer process of its own is another.
type Keys interface {
	Generate(name string, keyType tbs.KeyType) (crypto.PublicKey, error)
	Bind(name string, purpose keystore.Purpose) error
	RequestCertificate(name string, subject []byte) ([]byte, error)
	SignHash(name string, owner keystore.Owner, algorithm *tbs.SignatureAlgorithm, digest []byte) ([]byte, error)
	Retire(name string) error
	Destroy(name string) error
}

// Config names what the use cases are made of.
type Config struct {
	Store    *store.DB
	Issuance *issuance.Engine
	Keys     Keys
	// ReadKeys reads the keys that another process with the same keystore has made since;
	// nil if there is none.
	ReadKeys func() error
	Clock    telamon.Clock
	Log      *slog.Logger
	// Series names the issuer series that signs the certificates of key pairs.
	Series string
}

// Signing serves the use cases. It is safe for concurrent use.
type Signing struct {
	Config
	swept swept
}

// New returns the use cases.
func New(cfg Config) *Signing {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.ReadKeys == nil {
		cfg.ReadKeys = func() error { return nil }
	}
	return &Signing{Config: cfg}
}

// keyName names the key of a key pair in the keystore.
func keyName(id telamon.KeyPairID) string { return strings.ReplaceAll(id.String(), "_", "-") }

// busy is the fault of a keystore that does not do what is asked of it.
func (s *Signing) busy(ctx context.Context, what string, id telamon.KeyPairID, cause error) error {
	s.Log.ErrorContext(ctx, what, "key_pair", id, "error", cause)
	return &fault.Fault{
		Kind: fault.Unavailable, Code: "signing_failed", Detail: "The service is busy. Retry later.", RetryAfter: 2 * time.Second,
		Cause: fmt.Errorf("%s: key pair %s: %w", what, id, cause),
	}
}
