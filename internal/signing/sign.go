package signing

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// A Signature is one that was verified and recorded.
type Signature struct {
	ID        telamon.EventID // of the audit event
	Octets    []byte          // PKCS #1 or PSS of RSA; DER of ECDSA-Sig-Value (RFC 3279, Section 2.2.3)
	Algorithm *tbs.SignatureAlgorithm
}

// Sign signs a digest with a key pair of the account, by an algorithm as Java names it,
// such as "SHA256withRSA". When it returns a signature, that was verified with the public
// key, and its audit event is durable: who, by what, which key pair, algorithm and digest.
//
// It reports NotFound, Conflict with key_pair_not_active, Invalid with
// invalid_signature_algorithm or invalid_digest, and Unavailable if the keystore does not
// sign or the event is not recorded.
func (s *Signing) Sign(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.KeyPairID, algorithm string, digest []byte) (*Signature, error) {
	if err := authz.Check(actor, authz.KeyPairSign, account); err != nil {
		return nil, err
	}
	k, err := s.listed(ctx, account, id)
	if err != nil {
		return nil, err
	}
	if k.State != telamon.Active {
		return nil, s.refuse(ctx, actor, &k)
	}
	public, err := x509.ParsePKIXPublicKey(k.SPKI)
	if err != nil {
		return nil, fmt.Errorf("read the public key of key pair %s: %w", id, err)
	}
	signature := &Signature{}
	if signature.Algorithm, err = algorithmFor(k.KeyType, public, algorithm); err != nil {
		return nil, err
	}
	if want := signature.Algorithm.Hash().Size(); len(digest) != want {
		var p field.Problems
		p.Add("hash", fmt.Sprintf("has %d octets, and one of %s has %d", len(digest), signature.Algorithm.HashName(), want))
		return nil, p.Fault("invalid_digest")
	}
	owner := keystore.Owner{Account: account, KeyPair: id}
	if signature.Octets, err = s.signHash(k.KeyName, owner, signature.Algorithm, digest); err != nil {
		return nil, s.busy(ctx, "the keystore did not sign a hash", id, err)
	}
	if err := signature.Algorithm.VerifyDigest(public, digest, signature.Octets); err != nil {
		s.Log.ErrorContext(ctx, "the keystore signed wrongly: a fault attack or a broken key", "key_pair", id, "error", err)
		return nil, fmt.Errorf("signature by key pair %s: %w", id, err)
	}
	signature.ID, err = s.Store.RecordSignature(ctx, account, id, event(actor, &k, signature.Algorithm, digest))
	if err != nil {
		return nil, err
	}
	return signature, nil
}

// refuse records that a key pair was to sign which does not, and returns why it does not.
func (s *Signing) refuse(ctx context.Context, actor telamon.Actor, k *telamon.KeyPair) error {
	refused := store.ErrKeyPairNotActive(k.State)
	err := s.Store.RecordEvent(ctx, telamon.Event{
		Actor: actor, Account: k.Account, Action: string(authz.KeyPairSign), Object: k.ID.String(), Result: fault.From(refused).Code,
	})
	return cmp.Or(err, refused)
}

// signHash has the keystore sign. If it has no such key, another process with the same
// keystore may have made it.
func (s *Signing) signHash(name string, owner keystore.Owner, algorithm *tbs.SignatureAlgorithm, digest []byte) ([]byte, error) {
	signature, err := s.Keys.SignHash(name, owner, algorithm, digest)
	if !errors.Is(err, keystore.ErrNoKey) {
		return signature, err
	}
	if err := s.ReadKeys(); err != nil {
		return nil, err
	}
	return s.Keys.SignHash(name, owner, algorithm, digest)
}

// event is the audit event of a signature.
func event(actor telamon.Actor, k *telamon.KeyPair, algorithm *tbs.SignatureAlgorithm, digest []byte) telamon.Event {
	after := map[string]any{"algorithm": algorithm.String(), "digest": hex.EncodeToString(digest), "name": k.Name}
	if actor.Token != "" { // the client certificate is in every event
		after["api_token"] = actor.Token
	}
	return telamon.Event{
		Actor: actor, Account: k.Account, Action: string(authz.KeyPairSign), Object: k.ID.String(), Result: "ok", After: after,
	}
}

// hashes are the hashes in Java's names of signature algorithms, in lower case.
var hashes = map[string]string{"sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}

// ways are the ways of signing in those names, in lower case. RSASSA-PSS is that with a
// salt as long as the hash.
var ways = map[string]string{
	"rsa": "RSA", "ecdsa": "ECDSA",
	"rsaandmgf1": "RSA-PSS", "rsassa-pss": "RSA-PSS", "rsapss": "RSA-PSS", "rsa-pss": "RSA-PSS",
}

// parseAlgorithm reads Java's name of a signature algorithm, "SHA256withRSA" or
// "SHA256withRSAandMGF1" say, whatever the case of its letters, and "SHA-256withRSA" too.
func parseAlgorithm(name string) (*tbs.SignatureAlgorithm, error) {
	const longest = 40 // octets
	if len(name) > longest {
		return nil, errAlgorithm
	}
	hash, way, ok := strings.Cut(strings.ToLower(name), "with")
	if !ok {
		return nil, errAlgorithm
	}
	known, signs := hashes[strings.Replace(hash, "-", "", 1)], ways[way]
	if known == "" || signs == "" {
		return nil, errAlgorithm
	}
	return tbs.SignatureNamed(signs, known)
}

var errAlgorithm = errors.New("it is no signature algorithm that is known here")

// algorithmFor reads the name of an algorithm by which the key signs.
func algorithmFor(keyType string, public any, name string) (*tbs.SignatureAlgorithm, error) {
	algorithm, err := parseAlgorithm(name)
	if err == nil {
		algorithm, err = tbs.SignatureFor(public, algorithm.Name(), algorithm.HashName())
	}
	if err == nil {
		return algorithm, nil
	}
	return nil, &fault.Fault{
		Kind: fault.Invalid, Code: "invalid_signature_algorithm", Detail: "The key pair does not sign by this algorithm.", Cause: err,
		Fields: []fault.Field{{Path: "sig_alg", Problem: "is none by which a key of type " + keyType + " signs: " + strings.Join(algorithms(keyType), ", ")}},
	}
}

// algorithms returns Java's names of the algorithms by which a key of the type signs.
func algorithms(keyType string) []string {
	switch tbs.KeyType(keyType).Family() {
	case "RSA":
		return []string{"SHA256withRSA", "SHA384withRSA", "SHA512withRSA", "SHA256withRSAandMGF1", "SHA384withRSAandMGF1", "SHA512withRSAandMGF1"}
	case "ECDSA":
		return []string{"SHA256withECDSA", "SHA384withECDSA", "SHA512withECDSA"}
	}
	return nil
}
