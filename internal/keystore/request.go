package keystore

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"

	"github.com/telamon-ca/telamon"
)

// RequestCertificate returns a PKCS #10 request (RFC 2986) that a key signed for its
// own certificate, with this DER of a subject. It refuses a key that has a purpose
// with ErrPurpose: nothing is left to ask for. A key pair may ask until it is retired.
func (ks *Keystore) RequestCertificate(name string, subject []byte) ([]byte, error) {
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	k, err := ks.key(name)
	if err != nil {
		return nil, err
	}
	switch {
	case k.purpose.Role == telamon.RoleKeyPair && k.purpose.Retired:
		return nil, fmt.Errorf("request a certificate for %s: the key is retired: %w", name, ErrPurpose)
	case k.purpose.Role != telamon.RoleKeyPair && k.purpose.isSet():
		return nil, fmt.Errorf("request a certificate for %s: it has one: %w", name, ErrPurpose)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{RawSubject: subject}, k.signer)
	if err != nil {
		return nil, fmt.Errorf("request a certificate for %s: %w", name, err)
	}
	return der, nil
}
