package signer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// NewIdentity makes what one end proves itself by: a self-signed certificate that
// the other end pins, and its private key, both as PEM. The certificate has no end
// (RFC 5280, Section 4.1.2.5): an installation must not stop by itself. Exchange it
// by making another one.
func NewIdentity(name string) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make identity %s: %w", name, err)
	}
	serial := make([]byte, 16)
	rand.Read(serial) // does not fail (crypto/rand)
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, fmt.Errorf("make identity %s: %w", name, err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("make identity %s: %w", name, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

// ParsePeer reads the PEM of the certificate that the other end proves itself by.
func ParsePeer(text []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("it is not the PEM of one certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// tlsConfig returns the TLS configuration of either end: TLS 1.3, this protocol, and
// a handshake that fails unless the other end has the key of a pinned certificate.
func tlsConfig(own tls.Certificate, pinned []*x509.Certificate) (*tls.Config, error) {
	if len(own.Certificate) == 0 || own.PrivateKey == nil {
		return nil, errors.New("this end has no certificate")
	}
	if len(pinned) == 0 {
		return nil, errors.New("no certificate of the other end is given")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, NextProtos: []string{protocol},
		ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: true,
		// The very certificate is known: its names, its issuer and its time add nothing.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if state.NegotiatedProtocol != protocol {
				return errors.New("the other end does not speak " + protocol)
			}
			for _, p := range pinned {
				if len(state.PeerCertificates) > 0 && state.PeerCertificates[0].Equal(p) {
					return nil
				}
			}
			return errors.New("the other end's certificate is not one that is pinned")
		},
	}, nil
}
