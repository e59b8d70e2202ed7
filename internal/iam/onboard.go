package iam

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// DecryptCommand is how the customer reads a [Delivery] with the private key
// key.pem. It works with OpenSSL from 1.0.2 on and with LibreSSL.
const DecryptCommand = "openssl pkeyutl -decrypt -inkey key.pem -in credential.enc" +
	" -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256"

// A Delivery is an API key and secret that only the customer can read: a JSON
// object with api_key and api_secret, encrypted to the customer's RSA key by
// RSAES-OAEP with SHA-256 (RFC 8017, Section 7.1).
type Delivery []byte

// deliver encrypts a credential to a key. The text is short enough for the smallest
// key that is allowed: 2048 bits take 190 octets.
func deliver(key *tbs.PublicKey, apiKey string, secret Secret) (Delivery, error) {
	public, ok := key.Key.(*rsa.PublicKey)
	if !ok {
		return nil, keyFault("public_key", tbs.ErrKey)
	}
	text, err := json.Marshal(map[string]string{"api_key": apiKey, "api_secret": secret.Reveal()})
	if err != nil {
		return nil, fmt.Errorf("encode a delivery: %w", err)
	}
	sealed, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public, text, nil)
	if err != nil {
		return nil, fmt.Errorf("encrypt a delivery: %w", err)
	}
	return sealed, nil
}

// deliveryKey reads the public key of a delivery: the PEM of a public key or of a
// CSR, RSA of 2048 bits or more.
func (s *IAM) deliveryKey(text string) (*tbs.PublicKey, error) {
	const path = "public_key"
	var key *tbs.PublicKey
	var err error
	if strings.Contains(text, "CERTIFICATE REQUEST") {
		var csr *tbs.CSR
		if csr, err = tbs.ParseCSR(text); err == nil {
			key = csr.PublicKey
		}
	} else {
		key, err = tbs.ParsePublicKey(text)
	}
	if err != nil {
		return nil, keyFault(path, err)
	}
	if clientKeyType(key) != keyRSA {
		return nil, keyFault(path, tbs.ErrKey)
	}
	if err := s.mustBeStrong(path, key); err != nil {
		return nil, err
	}
	return key, nil
}

// CreateEncryptedCredential is CreateCredential for a secret that goes to the
// holder of an RSA key alone: PEM of the public key or of a CSR. It also reports
// Invalid with private_key, public_key_unreadable, csr_signature, key_not_allowed,
// key_weak or key_blocked.
func (s *IAM) CreateEncryptedCredential(ctx context.Context, actor telamon.Actor, spec CredentialSpec, publicKey string) (*telamon.Credential, Delivery, error) {
	c, _, delivery, err := s.newDelivery(ctx, actor, spec, publicKey)
	if err != nil {
		return nil, nil, err
	}
	if err := s.store.CreateCredential(ctx, actor, c, spec.Subscription, spec.Identity, nil); err != nil {
		return nil, nil, err
	}
	s.changed(ctx, store.ChangeCredential, c.ID.String())
	return c, delivery, nil
}

func (s *IAM) newDelivery(ctx context.Context, actor telamon.Actor, spec CredentialSpec, publicKey string) (*telamon.Credential, *tbs.PublicKey, Delivery, error) {
	if err := authz.Check(actor, authz.CredentialCreate, spec.Account); err != nil {
		return nil, nil, nil, err
	}
	key, err := s.deliveryKey(publicKey)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := s.mustNotBeBlocked(ctx, "public_key", spec.Account, key); err != nil {
		return nil, nil, nil, err
	}
	c, secret, err := s.newCredential(ctx, actor, spec)
	if err != nil {
		return nil, nil, nil, err
	}
	delivery, err := deliver(key, c.Key, secret)
	return c, key, delivery, err
}

// An Onboarding is what a customer gets who sent a public key.
type Onboarding struct {
	Credential telamon.Credential
	Delivery   Delivery
	ClientCert IssuedClientCert // for the same key
}

// Onboard makes a credential, encrypts it to the customer's public key, and issues
// an mTLS certificate for that same key, all or nothing. The first login with both
// is the proof that the customer holds the private key, so a bare public key will
// do. It reports what CreateEncryptedCredential and IssueClientCert report.
func (s *IAM) Onboard(ctx context.Context, actor telamon.Actor, spec CredentialSpec, publicKey string) (*Onboarding, error) {
	if err := authz.Check(actor, authz.ClientCertificateIssue, spec.Account); err != nil {
		return nil, err
	}
	spec.MTLS = telamon.MTLSRequired
	c, key, delivery, err := s.newDelivery(ctx, actor, spec, publicKey)
	if err != nil {
		return nil, err
	}
	if err := s.mustBeClientKey("public_key", key); err != nil {
		return nil, err
	}
	cert, err := s.signClientCert(ctx, spec.Account, c.ID, key)
	if err != nil {
		return nil, err
	}
	if err := s.store.CreateCredential(ctx, actor, c, spec.Subscription, spec.Identity, &cert.ClientCert); err != nil {
		return nil, err
	}
	s.directory.Refresh(ctx,
		store.Change{Kind: store.ChangeCredential, Object: c.ID.String()},
		store.Change{Kind: store.ChangeClientCert, Object: cert.ID.String()})
	return &Onboarding{Credential: *c, Delivery: delivery, ClientCert: *cert}, nil
}
