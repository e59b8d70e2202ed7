package iam

import (
	"net/netip"

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
