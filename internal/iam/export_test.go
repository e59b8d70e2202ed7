package iam

import (
	"context"
	"crypto/x509"
	"net/netip"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// ClientKey is how IssueClientCert reads a CSR, with RSA and EC keys allowed.
func ClientKey(text string) (*tbs.PublicKey, error) {
	return New(Config{ClientKeyTypes: []string{keyRSA, keyP256, keyP384}}).clientKey(text)
}

// DeliveryKey is how Onboard reads a public key.
func DeliveryKey(text string) (*tbs.PublicKey, error) { return New(Config{}).deliveryKey(text) }

// ParseAddress reads an entry of an allow-list.
func ParseAddress(text string) (netip.Prefix, error) { return parseAddress(text) }

// ParseToken reads a token, and returns what makes a token of the same claims.
func (s *IAM) ParseToken(text string) (again func() (string, error), err error) {
	c, err := s.parseToken(text)
	return func() (string, error) { return s.newToken(c) }, err
}

// Decide is decide, with a key and a certificate that are "" (absent), "unusable", or
// those of a user. It returns what the user is authenticated by.
func Decide(key, cert string, asksCertificate bool) (by string, err error) {
	of := func(text string) evidence {
		switch text {
		case "":
			return evidence{}
		case "unusable":
			return evidence{standing: unusable}
		}
		return evidence{usable, telamon.UserID(text)}
	}
	f, err := decide(of(key), of(cert), asksCertificate)
	switch {
	case f.key && f.cert:
		by = "key and cert"
	case f.key:
		by = "key"
	case f.cert:
		by = "cert"
	}
	return by, err
}

// ParseAPIKey reads an API key.
func ParseAPIKey(text string) (lookup, secret string, ok bool) { return parseAPIKey(text) }

// CheckChain returns why a certificate is none of an issuing CA's for clients, or "".
func CheckChain(leaf, issuer *x509.Certificate) string { return string(checkChain(leaf, issuer)) }

// UserCertEnd returns the end of a certificate that is made now, or what is wrong with the
// one that was asked for; last is the user's end, the zero time for none.
func UserCertEnd(asked *string, now, last time.Time) (time.Time, string) {
	return userCertEnd(asked, now, lastEnd{last, "user"})
}

// UserCSR is how IssueUserCert reads a CSR, but for the list of blocked keys.
func UserCSR(text string) (*tbs.PublicKey, []telamon.Attribute, error) {
	return New(Config{}).parseUserCSR(text)
}

// DownloadHash is what the store finds a download by.
func DownloadHash(value string) [32]byte {
	hash, _, err := downloadKeys(value)
	if err != nil {
		panic(err)
	}
	return hash
}

// NewP12Password returns a password of a PKCS #12 file.
func NewP12Password() Secret { return newP12Password() }

// HoldKeys takes every turn of making a key until release is called.
func (s *IAM) HoldKeys(ctx context.Context) (release func(), err error) {
	n := keysAtOnce()
	return func() { s.keyMaking.Release(n) }, s.keyMaking.Acquire(ctx, n)
}

// MakeKey makes a key when it is the caller's turn.
func (s *IAM) MakeKey(ctx context.Context) error {
	_, err := s.makeKey(ctx)
	return err
}
