package perspective

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
)

// ServerTLSConfig says who a perspective answers.
type ServerTLSConfig struct {
	// Certificate returns the perspective's own certificate.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Fingerprints are the SHA-256 fingerprints of client certificates that are
	// admitted, and ClientCAs the CAs whose client certificates are. At least one of
	// the two is needed, and one of them is enough to be admitted.
	Fingerprints [][sha256.Size]byte
	ClientCAs    *x509.CertPool
	Clock        telamon.Clock
}

// ServerTLS returns the TLS configuration of a perspective's listener: TLS 1.3, and
// a handshake fails unless the client shows a certificate that is admitted and is
// within its period of validity.
func ServerTLS(cfg ServerTLSConfig) (*tls.Config, error) {
	if len(cfg.Fingerprints) == 0 && cfg.ClientCAs == nil {
		return nil, errors.New("neither fingerprints nor CAs of clients are given: nobody could be answered")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: cfg.Certificate, NextProtos: []string{"http/1.1"}, Time: cfg.Clock.Now,
		// The list of CAs is not sent: a client with a pinned certificate would take
		// it that its own is of no use.
		ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error { return cfg.admit(state.PeerCertificates) },
	}, nil
}

// admit returns nil if the client with the chain is one to be answered.
func (cfg *ServerTLSConfig) admit(chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return errors.New("the client has no certificate")
	}
	if slices.Contains(cfg.Fingerprints, sha256.Sum256(chain[0].Raw)) {
		return checkValidity(chain[0], cfg.Clock.Now())
	}
	if cfg.ClientCAs == nil {
		return errors.New("the client's certificate is not one that is admitted")
	}
	intermediates := x509.NewCertPool()
	for _, cert := range chain[1:] {
		intermediates.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: cfg.ClientCAs, Intermediates: intermediates, CurrentTime: cfg.Clock.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("verify the client's certificate: %w", err)
	}
	return nil
}

// ClientTLSConfig says who asks a perspective, and how the perspective proves who it
// is.
type ClientTLSConfig struct {
	// Certificate returns the certificate of this side, at each handshake.
	Certificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	// RootCAs are the CAs of the perspective's certificate, which must be for the
	// host of its URL; or Fingerprint is the SHA-256 fingerprint of the certificate
	// itself, whatever its names and issuer. Exactly one of the two is needed.
	RootCAs     *x509.CertPool
	Fingerprint *[sha256.Size]byte
	Clock       telamon.Clock
}

// ClientTLS returns a TLS configuration for [ClientConfig]: TLS 1.3, and a handshake
// fails unless the perspective shows a certificate that RootCAs or Fingerprint admit
// and that is within its period of validity.
func ClientTLS(cfg ClientTLSConfig) (*tls.Config, error) {
	if (cfg.RootCAs == nil) == (cfg.Fingerprint == nil) {
		return nil, errors.New("give either the CAs of the perspective's certificate or its fingerprint")
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, GetClientCertificate: cfg.Certificate, RootCAs: cfg.RootCAs, Time: cfg.Clock.Now,
		NextProtos: []string{"http/1.1"},
	}
	if pinned := cfg.Fingerprint; pinned != nil {
		config.InsecureSkipVerify = true // the certificate is known: its names and its issuer add nothing
		config.VerifyConnection = func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 || sha256.Sum256(state.PeerCertificates[0].Raw) != *pinned {
				return errors.New("the perspective's certificate is not the one that is pinned")
			}
			return checkValidity(state.PeerCertificates[0], cfg.Clock.Now())
		}
	}
	return config, nil
}

// checkValidity returns an error unless now is within the certificate's period of
// validity.
func checkValidity(cert *x509.Certificate, now time.Time) error {
	if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return fmt.Errorf("the pinned certificate is valid from %s to %s alone", cert.NotBefore.Format(time.RFC3339), cert.NotAfter.Format(time.RFC3339))
	}
	return nil
}
