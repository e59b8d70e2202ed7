package signing

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

const (
	// DefaultDays and maxDays are the life of a key pair's certificate.
	DefaultDays, maxDays = 365, 1095
	// backdate is how far a certificate's validity begins before its making, for relying
	// parties whose clocks are slow.
	backdate = time.Hour
	// maxCommonName and maxOrganization are in characters (RFC 5280, Appendix A.1).
	maxCommonName, maxOrganization = 64, 64
)

// A NewKeyPair asks for a key pair.
type NewKeyPair struct {
	Account telamon.AccountID
	Name    string
	KeyType string          // of package tbs, such as "EC-P256"
	Certify *NewCertificate // nil: a key pair without a certificate
}

// A NewCertificate asks for a certificate of a key pair.
type NewCertificate struct {
	CommonName string // "" is the key pair's name
	Days       int    // 1 to 1095; 0 is DefaultDays
}

// Create makes a key pair of an account: a key in the keystore that signs hashes for this
// key pair and nothing else, and a certificate if one is asked for. When it returns nil,
// both are durable.
//
// It reports Invalid with invalid_key_pair, NotFound if there is no such account, Conflict
// with name_taken, and Unavailable if the keystore or the issuing CA does not sign, or if
// whether the key pair is written cannot be told. If it fails, the key is destroyed; a kill
// or that doubt may leave one that signs nothing.
func (s *Signing) Create(ctx context.Context, actor telamon.Actor, req NewKeyPair) (*telamon.KeyPair, error) {
	if err := authz.Check(actor, authz.KeyPairCreate, req.Account); err != nil {
		return nil, err
	}
	if err := req.check(); err != nil {
		return nil, err
	}
	account, err := s.Store.Account(ctx, req.Account)
	if err != nil {
		return nil, err
	}
	k := &telamon.KeyPair{ID: telamon.NewKeyPairID(), Account: req.Account, Name: req.Name, KeyType: req.KeyType}
	k.KeyName = keyName(k.ID)
	if err := s.make(ctx, k, &account, req.Certify); err != nil {
		s.discard(ctx, k)
		return nil, err
	}
	if err := s.Store.CreateKeyPair(ctx, actor, k); err != nil {
		if !fault.Is(err, fault.Unavailable) { // then it may be written after all
			s.discard(ctx, k)
		}
		return nil, err
	}
	return k, nil
}

func (r *NewKeyPair) check() error {
	var p field.Problems
	r.Name = p.DisplayName("name", r.Name)
	if _, err := tbs.ParseKeyType(r.KeyType); err != nil {
		p.Add("key_type", fmt.Sprintf("is none of %v", tbs.KeyTypes()))
	}
	if c := r.Certify; c != nil {
		if c.CommonName == "" {
			c.CommonName = r.Name
		}
		if n := utf8.RuneCountInString(c.CommonName); n > maxCommonName || !utf8.ValidString(c.CommonName) {
			p.Add("certificate.common_name", fmt.Sprintf("has more than %d characters", maxCommonName))
		}
		if c.Days == 0 {
			c.Days = DefaultDays
		}
		if c.Days < 1 || c.Days > maxDays {
			p.Add("certificate.days", fmt.Sprintf("is not 1 to %d", maxDays))
		}
	}
	return p.Fault("invalid_key_pair")
}

// make makes the key and has the certificate signed.
func (s *Signing) make(ctx context.Context, k *telamon.KeyPair, account *telamon.Account, certify *NewCertificate) error {
	public, err := s.Keys.Generate(k.KeyName, tbs.KeyType(k.KeyType))
	if err != nil {
		return s.busy(ctx, "the keystore made no key", k.ID, err)
	}
	if k.SPKI, err = x509.MarshalPKIXPublicKey(public); err != nil {
		return fmt.Errorf("encode the public key of key pair %s: %w", k.ID, err)
	}
	purpose := keystore.Purpose{Role: telamon.RoleKeyPair, Owner: keystore.Owner{Account: k.Account, KeyPair: k.ID}}
	if err := s.Keys.Bind(k.KeyName, purpose); err != nil {
		return s.busy(ctx, "the keystore bound no key", k.ID, err)
	}
	if certify == nil {
		return nil
	}
	return s.certify(ctx, k, account, certify)
}

// certify has the active issuing CA of the series sign a certificate for the key, which
// proves its possession by a request of its own.
func (s *Signing) certify(ctx context.Context, k *telamon.KeyPair, account *telamon.Account, req *NewCertificate) error {
	series, err := s.Issuance.SeriesNamed(s.Series)
	if err != nil {
		return fmt.Errorf("find the series of key pairs' certificates: %w", err)
	}
	issuer, err := s.Issuance.Active(series.ID)
	if err != nil {
		return err
	}
	subject := subjectOf(account, req.CommonName)
	key, err := s.request(ctx, k, subject)
	if err != nil {
		return err
	}
	notBefore := s.Clock.Now().UTC().Truncate(time.Second).Add(-backdate)
	token, err := s.Issuance.Prepare(ctx, issuance.Request{
		Issuer: issuer.ID, NotBefore: notBefore, NotAfter: notBefore.AddDate(0, 0, req.Days).Add(-time.Second), PublicKey: key,
		Content: telamon.Content{
			Subject: subject, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: telamon.ExtKeyUsage{OIDs: usagesOf(series.EKUFamily)},
		},
	})
	if err != nil {
		return err
	}
	signed, err := s.Issuance.Sign(ctx, token)
	if err != nil {
		return err
	}
	k.Serial, k.Issuer, k.CRLShard = signed.Serial, signed.Issuer, signed.CRLShard
	if k.Certificate, err = x509.ParseCertificate(signed.DER); err != nil {
		return fmt.Errorf("parse the certificate of key pair %s: %w", k.ID, err)
	}
	return nil
}

// request has the key ask for its certificate, and returns its public half as the request
// has it.
func (s *Signing) request(ctx context.Context, k *telamon.KeyPair, subject []telamon.Attribute) (*tbs.PublicKey, error) {
	name, err := tbs.EncodeName(subject)
	if err != nil {
		return nil, fmt.Errorf("encode the subject of key pair %s: %w", k.ID, err)
	}
	der, err := s.Keys.RequestCertificate(k.KeyName, name)
	if err != nil {
		return nil, s.busy(ctx, "the keystore requested no certificate", k.ID, err)
	}
	csr, err := tbs.ParseCSR(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})))
	if err != nil {
		return nil, s.busy(ctx, "the keystore's request for a certificate is not one", k.ID, err)
	}
	if !bytes.Equal(csr.PublicKey.SPKI, k.SPKI) {
		return nil, s.busy(ctx, "the keystore requested a certificate", k.ID, errOtherKey)
	}
	return csr.PublicKey, nil
}

var errOtherKey = errors.New("it is for another key")

// subjectOf names a certificate after the account and what was asked for. An account's
// name that is too long for an organization's is left out.
func subjectOf(account *telamon.Account, commonName string) []telamon.Attribute {
	name := func(oid x509.OID, text string) telamon.Attribute {
		return telamon.Attribute{Type: oid, Value: telamon.TypedValue{Type: telamon.UTF8String, Text: text}}
	}
	var subject []telamon.Attribute
	if utf8.RuneCountInString(account.Name) <= maxOrganization {
		subject = append(subject, name(oidOrganization, account.Name))
	}
	return append(subject, name(oidCommonName, commonName))
}

// What key pairs are certified for, as far as the family of their issuing CA allows it.
var (
	oidCodeSigning     = mustOID("1.3.6.1.5.5.7.3.3")
	oidDocumentSigning = mustOID("1.3.6.1.5.5.7.3.36") // RFC 9336
	oidOrganization    = mustOID("2.5.4.10")
	oidCommonName      = mustOID("2.5.4.3")
)

func usagesOf(family telamon.EKUFamily) []x509.OID {
	var usages []x509.OID
	for _, id := range []x509.OID{oidCodeSigning, oidDocumentSigning} {
		if family.Allows(id) {
			usages = append(usages, id)
		}
	}
	return usages
}

func mustOID(dotted string) x509.OID {
	id, err := x509.ParseOID(dotted)
	if err != nil {
		panic(err) // a constant of this package
	}
	return id
}
