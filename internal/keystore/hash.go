package keystore

import (
	"crypto/sha256"
	"fmt"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// SignHash signs a digest with the key of a key pair and returns the signature. It
// cannot know what was hashed: an account's key pair signs whatever the account wants.
// Therefore no other key ever signs a digest, and this one nothing else.
//
// It refuses, with ErrPurpose, a key that is not the key pair of this owner, one that is
// retired, an algorithm of another key, a digest that is not as long as the algorithm's
// hash, and a clock behind the last signature. Each signature is journaled before.
func (ks *Keystore) SignHash(name string, owner Owner, algorithm *tbs.SignatureAlgorithm, digest []byte) ([]byte, error) {
	signature, err := ks.signHash(name, owner, algorithm, digest)
	if err != nil {
		return nil, fmt.Errorf("sign a hash with %s: %w", name, err)
	}
	return signature, nil
}

func (ks *Keystore) signHash(name string, owner Owner, algorithm *tbs.SignatureAlgorithm, digest []byte) ([]byte, error) {
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	k, err := ks.key(name)
	if err != nil {
		return nil, err
	}
	if problem := k.purpose.refusesHash(owner, algorithm, digest); problem != "" {
		return nil, fmt.Errorf("%s: %w", problem, ErrPurpose)
	}
	if own, err := tbs.SignatureFor(k.signer.Public(), algorithm.Name(), algorithm.HashName()); err != nil || own != algorithm {
		return nil, fmt.Errorf("the key does not sign by %s: %w", algorithm, ErrPurpose)
	}
	now := ks.clock.Now()
	if err := k.advance(now.UnixMilli()); err != nil {
		return nil, err
	}
	if err := ks.record(k, Record{At: now, Hash: hashOfHash(algorithm, digest)}); err != nil {
		return nil, err
	}
	return algorithm.SignDigest(k.signer, digest)
}

// refusesHash returns why the purpose does not allow the signature, or "".
func (p *Purpose) refusesHash(owner Owner, algorithm *tbs.SignatureAlgorithm, digest []byte) string {
	switch {
	case p.Role != telamon.RoleKeyPair:
		return "it is no key of a key pair"
	case p.Owner != owner:
		return "the key pair is another owner's"
	case p.Retired:
		return "the key is retired"
	case algorithm == nil:
		return "no algorithm is given"
	case len(digest) != algorithm.Hash().Size():
		return fmt.Sprintf("the digest has %d octets, and %s has %d", len(digest), algorithm.HashName(), algorithm.Hash().Size())
	}
	return ""
}

// hashOfHash returns what a journal says of a hash that is signed.
func hashOfHash(algorithm *tbs.SignatureAlgorithm, digest []byte) [32]byte {
	identifier := algorithm.Identifier()
	return sha256.Sum256(append(identifier[:len(identifier):len(identifier)], digest...))
}
