package signer

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// Split is the keys of a signer and of a keystore beside it, as one: an installation
// that moves to a signer makes its next keys there, and the ones that it has sign
// where they are until they are destroyed. Each name is in one of the two.
type Split struct {
	signer *Client
	files  *keystore.Keystore
}

// NewSplit returns the keys of both.
func NewSplit(signer *Client, files *keystore.Keystore) *Split { return &Split{signer, files} }

// holder is what signs with a key, of the signer or of the files.
type holder interface {
	Public(name string) (crypto.PublicKey, error)
	Certificate(name string) (*x509.Certificate, error)
	Bind(name string, purpose keystore.Purpose) error
	RequestCertificate(name string, subject []byte) ([]byte, error)
	SelfSign(name string, tbsDER []byte) ([]byte, error)
	SignCertificate(name string, tbsDER []byte) ([]byte, error)
	SignCRL(name string, tbsCertList io.Reader) ([]byte, error)
	SignOCSP(name string, responseData []byte) ([]byte, *tbs.SignatureAlgorithm, error)
	SignHash(name string, owner keystore.Owner, algorithm *tbs.SignatureAlgorithm, digest []byte) ([]byte, error)
	Retire(name string) error
	Destroy(name string) error
	CheckKey(name string) error
	ReadJournal(name string) iter.Seq2[keystore.Record, error]
}

// holder returns who has the key: the keystore answers from memory.
func (s *Split) holder(name string) holder {
	if _, err := s.files.Public(name); err == nil {
		return s.files
	}
	return s.signer
}

// Generate makes a key in the signer.
func (s *Split) Generate(name string, keyType tbs.KeyType) (crypto.PublicKey, error) {
	if _, err := s.files.Public(name); err == nil {
		return nil, fmt.Errorf("key %s: %w", name, keystore.ErrExists)
	}
	return s.signer.Generate(name, keyType)
}

// Public is [keystore.Keystore.Public].
func (s *Split) Public(name string) (crypto.PublicKey, error) { return s.holder(name).Public(name) }

// Certificate is [keystore.Keystore.Certificate].
func (s *Split) Certificate(name string) (*x509.Certificate, error) {
	return s.holder(name).Certificate(name)
}

// Bind is [keystore.Keystore.Bind].
func (s *Split) Bind(name string, purpose keystore.Purpose) error {
	return s.holder(name).Bind(name, purpose)
}

// RequestCertificate is [keystore.Keystore.RequestCertificate].
func (s *Split) RequestCertificate(name string, subject []byte) ([]byte, error) {
	return s.holder(name).RequestCertificate(name, subject)
}

// SelfSign is [keystore.Keystore.SelfSign].
func (s *Split) SelfSign(name string, tbsDER []byte) ([]byte, error) {
	return s.holder(name).SelfSign(name, tbsDER)
}

// SignCertificate is [keystore.Keystore.SignCertificate].
func (s *Split) SignCertificate(name string, tbsDER []byte) ([]byte, error) {
	return s.holder(name).SignCertificate(name, tbsDER)
}

// SignCRL is [keystore.Keystore.SignCRL].
func (s *Split) SignCRL(name string, tbsCertList io.Reader) ([]byte, error) {
	return s.holder(name).SignCRL(name, tbsCertList)
}

// SignOCSP is [keystore.Keystore.SignOCSP].
func (s *Split) SignOCSP(name string, responseData []byte) ([]byte, *tbs.SignatureAlgorithm, error) {
	return s.holder(name).SignOCSP(name, responseData)
}

// SignHash is [keystore.Keystore.SignHash].
func (s *Split) SignHash(name string, owner keystore.Owner, algorithm *tbs.SignatureAlgorithm, digest []byte) ([]byte, error) {
	return s.holder(name).SignHash(name, owner, algorithm, digest)
}

// Retire is [keystore.Keystore.Retire].
func (s *Split) Retire(name string) error { return s.holder(name).Retire(name) }

// Destroy is [keystore.Keystore.Destroy].
func (s *Split) Destroy(name string) error { return s.holder(name).Destroy(name) }

// CheckKey is [keystore.Keystore.CheckKey].
func (s *Split) CheckKey(name string) error { return s.holder(name).CheckKey(name) }

// Names returns the names of the keys of both in order.
func (s *Split) Names() ([]string, error) {
	names, err := s.signer.Names()
	if err != nil {
		return nil, err
	}
	names = append(names, s.files.Names()...)
	slices.Sort(names)
	return names, nil
}

// ReadJournal is [keystore.Keystore.ReadJournal], of either. A journal stays where its
// key was when that is destroyed.
func (s *Split) ReadJournal(name string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		for record, err := range s.files.ReadJournal(name) {
			if errors.Is(err, keystore.ErrNoKey) {
				s.signer.ReadJournal(name)(yield)
				return
			}
			if !yield(record, err) {
				return
			}
		}
	}
}
