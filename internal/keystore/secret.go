package keystore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// secretVersion begins what SealSecret returns.
const secretVersion = 1

// errSecret is the error of bytes that OpenSecret does not open.
var errSecret = errors.New("the secret does not open: it was sealed by another keystore, for something else, or changed")

// SealSecret encrypts a small secret that has to be read again, so that the database can
// keep it: AES-256-GCM under a key that every replica derives alike. The label says what
// sort of secret it is, and context whose: OpenSecret must be given the same two.
func (ks *Keystore) SealSecret(label string, context, plain []byte) ([]byte, error) {
	aead, err := ks.secretAEAD(label)
	if err != nil {
		return nil, fmt.Errorf("seal a secret: %w", err)
	}
	return aead.Seal([]byte{secretVersion}, nil, plain, context), nil
}

// OpenSecret decrypts what SealSecret returned for this label and context.
func (ks *Keystore) OpenSecret(label string, context, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != secretVersion {
		return nil, errSecret
	}
	aead, err := ks.secretAEAD(label)
	if err != nil {
		return nil, fmt.Errorf("open a secret: %w", err)
	}
	plain, err := aead.Open(nil, nil, sealed[1:], context)
	if err != nil {
		return nil, errSecret
	}
	return plain, nil
}

func (ks *Keystore) secretAEAD(label string) (cipher.AEAD, error) {
	ks.mu.RLock()
	key, err := hkdf.Key(sha256.New, ks.master, nil, "telamon secret "+label, 32)
	ks.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
