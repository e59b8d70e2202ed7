package lint

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"sync"

	"github.com/telamon-ca/telamon/internal/tbs"
)

// throwaway signs with keys that nothing else knows: one for each algorithm, made at
// its first use and gone with the process (BR 4.3.1.2).
type throwaway struct {
	mu   sync.Mutex
	keys map[*tbs.SignatureAlgorithm]crypto.Signer
}

// The sizes of RSA keys that are thrown away. No lint reads the length of a signature,
// and a key of the issuing CA's size would cost as much as the real signature. PSS with
// SHA-512 and a salt of its length does not fit into 1024 bits (RFC 8017, Section 9.1.1).
const (
	throwawayRSA = 1024
	throwawayPSS = 1280
)

// sign signs by the algorithm that the certificate will be signed by.
func (t *throwaway) sign(algorithm *tbs.SignatureAlgorithm, tbsDER []byte) ([]byte, error) {
	key, err := t.key(algorithm)
	if err != nil {
		return nil, err
	}
	return algorithm.Sign(key, tbsDER)
}

func (t *throwaway) key(algorithm *tbs.SignatureAlgorithm) (crypto.Signer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if key := t.keys[algorithm]; key != nil {
		return key, nil
	}
	var key crypto.Signer
	var err error
	switch algorithm.Name() {
	case "RSA":
		key, err = rsa.GenerateKey(rand.Reader, throwawayRSA)
	case "RSA-PSS":
		key, err = rsa.GenerateKey(rand.Reader, throwawayPSS)
	case "ECDSA":
		key, err = ecdsa.GenerateKey(curveOf(algorithm.Hash()), rand.Reader)
	default:
		err = fmt.Errorf("no key is thrown away for %s", algorithm)
	}
	if err != nil {
		return nil, err
	}
	if t.keys == nil {
		t.keys = map[*tbs.SignatureAlgorithm]crypto.Signer{}
	}
	t.keys[algorithm] = key
	return key, nil
}

// curveOf is the curve that signs with the hash (BR 7.1.3.2.2): lints tell the curve by
// the length of the signature. A private issuer of another curve may sign with it too,
// which no lint of its profile minds.
func curveOf(hash crypto.Hash) elliptic.Curve {
	switch hash {
	case crypto.SHA384:
		return elliptic.P384()
	case crypto.SHA512:
		return elliptic.P521()
	}
	return elliptic.P256()
}
