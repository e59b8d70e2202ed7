// Package ocsp reads OCSP requests and writes OCSP responses (RFC 6960, in the
// profile of RFC 5019, with the nonces of RFC 9654) as bytes. It signs nothing, knows
// no certificate's status, and does no I/O. What it reads comes from strangers: every
// length is bounded, and what is not understood is refused unless it may be ignored.
package ocsp

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// An Issuer is what the issuer of a certificate is named by in requests.
type Issuer struct {
	nameSHA1, keySHA1     [sha1.Size]byte
	nameSHA256, keySHA256 [sha256.Size]byte
}

// NewIssuer returns the hashes of a CA's name and key.
func NewIssuer(ca *x509.Certificate) (*Issuer, error) {
	key, err := keyBits(ca)
	if err != nil {
		return nil, err
	}
	return &Issuer{
		nameSHA1: sha1.Sum(ca.RawSubject), keySHA1: sha1.Sum(key),
		nameSHA256: sha256.Sum256(ca.RawSubject), keySHA256: sha256.Sum256(key),
	}, nil
}

// Issued reports whether id names a certificate of the issuer.
func (i *Issuer) Issued(id *CertID) bool {
	switch id.Hash {
	case crypto.SHA1:
		return bytes.Equal(id.NameHash, i.nameSHA1[:]) && bytes.Equal(id.KeyHash, i.keySHA1[:])
	case crypto.SHA256:
		return bytes.Equal(id.NameHash, i.nameSHA256[:]) && bytes.Equal(id.KeyHash, i.keySHA256[:])
	}
	return false
}

// CertID names a certificate of the issuer by a hash, which is SHA1 or SHA256.
func (i *Issuer) CertID(hash crypto.Hash, serial *big.Int) CertID {
	if hash == crypto.SHA1 {
		return CertID{hash, i.nameSHA1[:], i.keySHA1[:], serial}
	}
	return CertID{crypto.SHA256, i.nameSHA256[:], i.keySHA256[:], serial}
}

// KeyHash returns the SHA-1 hash of a certificate's public key, by which a response
// names its responder (RFC 6960, Section 4.2.1). It secures nothing.
func KeyHash(cert *x509.Certificate) ([]byte, error) {
	key, err := keyBits(cert)
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum(key)
	return sum[:], nil
}

// keyBits returns the bits of a certificate's public key without their tag, length
// and number of unused bits.
func keyBits(cert *x509.Certificate) ([]byte, error) {
	input := cryptobyte.String(cert.RawSubjectPublicKeyInfo)
	var outer cryptobyte.String
	var key []byte
	if !input.ReadASN1(&outer, cbasn1.SEQUENCE) || !outer.SkipASN1(cbasn1.SEQUENCE) || !outer.ReadASN1BitStringAsBytes(&key) {
		return nil, fmt.Errorf("read the key of %s: %w", cert.Subject, errors.New("it is no SubjectPublicKeyInfo"))
	}
	return key, nil
}
