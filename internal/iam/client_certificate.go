package iam

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

const (
	// clientCertYears is the life of an mTLS certificate, in calendar years.
	clientCertYears = 5
	// clientCertBackdate is how far an mTLS certificate's validity begins before its
	// making, for clients and proxies whose clocks are slow.
	clientCertBackdate = time.Hour
	// maxLinks is how many credentials one certificate may be linked to.
	maxLinks = 100

	minRSA, maxRSA = 2048, 8192 // bits of the modulus
)

// The key types that mTLS certificates can have.
const (
	keyRSA  = "RSA"
	keyP256 = "EC-P256"
	keyP384 = "EC-P384"
)

// A ClientCertRequest asks for an mTLS certificate.
type ClientCertRequest struct {
	Account     telamon.AccountID
	Credentials []telamon.CredentialID // that it will be good for, at least one
	CSR         string                 // PEM; of it only the key is read
}

// An IssuedClientCert is an mTLS certificate that was just issued.
type IssuedClientCert struct {
	telamon.ClientCert
	Chain     []*x509.Certificate // from its issuing CA to the root
	KeyReused bool                // the account had a certificate for this key before
}

// IssueClientCert issues an mTLS certificate for the key of a CSR. The subject is
// ours, made of account and credential IDs. When it returns nil, the certificate is
// durable and good for logins.
//
// It reports Invalid with private_key, csr_unreadable, csr_signature,
// key_not_allowed, key_weak or key_blocked; NotFound if a credential is not the account's;
// Conflict with key_of_another_account or wrong_state; and Unavailable.
func (s *IAM) IssueClientCert(ctx context.Context, actor telamon.Actor, req ClientCertRequest) (*IssuedClientCert, error) {
	if err := authz.Check(actor, authz.ClientCertificateIssue, req.Account); err != nil {
		return nil, err
	}
	// Those who look after users issue certificates, too, but none that is good for API
	// credentials.
	if err := authz.Check(actor, authz.ClientCertificateLink, req.Account); err != nil {
		return nil, err
	}
	credentials, err := s.linkable(ctx, req.Account, req.Credentials)
	if err != nil {
		return nil, err
	}
	key, err := s.clientKey(req.CSR)
	if err != nil {
		return nil, err
	}
	if err := s.mustNotBeBlocked(ctx, "csr", req.Account, key); err != nil {
		return nil, err
	}
	issued, err := s.signClientCert(ctx, req.Account, credentials[0], key)
	if err != nil {
		return nil, err
	}
	issued.Credentials = credentials
	if err := s.store.CreateClientCert(ctx, actor, &issued.ClientCert); err != nil {
		return nil, err
	}
	s.changed(ctx, store.ChangeClientCert, issued.ID.String())
	return issued, nil
}

// linkable checks that credentials can be linked to a certificate of the account,
// and returns them without duplicates.
func (s *IAM) linkable(ctx context.Context, account telamon.AccountID, ids []telamon.CredentialID) ([]telamon.CredentialID, error) {
	var unique []telamon.CredentialID
	for _, id := range ids {
		if !slices.Contains(unique, id) {
			unique = append(unique, id)
		}
	}
	var p problems
	if len(unique) == 0 || len(unique) > maxLinks {
		p.Add("credentials", fmt.Sprintf("are not 1 to %d", maxLinks))
		return nil, p.Fault("invalid_links")
	}
	for _, id := range unique {
		c, err := s.store.Credential(ctx, account, id)
		if err != nil {
			return nil, err
		}
		if c.State == telamon.Deleted {
			return nil, fault.New(fault.Conflict, "wrong_state", "The credential is deleted.")
		}
	}
	return unique, nil
}

// clientKey reads the key of a CSR in PEM that can have an mTLS certificate.
func (s *IAM) clientKey(text string) (*tbs.PublicKey, error) {
	csr, err := tbs.ParseCSR(text)
	if err != nil {
		return nil, keyFault("csr", err)
	}
	if err := s.mustBeClientKey("csr", csr.PublicKey); err != nil {
		return nil, err
	}
	return csr.PublicKey, nil
}

// keyFault says what is wrong with a CSR or public key that could not be read.
func keyFault(path string, err error) error {
	code, problem := path+"_unreadable", "cannot be read"
	switch {
	case errors.Is(err, tbs.ErrPrivateKey):
		code, problem = "private_key", "holds a private key: it was not stored; make a new key, and keep that one to yourself"
	case errors.Is(err, tbs.ErrSelfSignature):
		code, problem = "csr_signature", "has a signature that does not verify"
	case errors.Is(err, tbs.ErrKey):
		code, problem = "key_not_allowed", "has a key of a type or form that is not allowed"
	}
	return &fault.Fault{
		Kind: fault.Invalid, Code: code, Detail: path + ": " + problem, Fields: []fault.Field{{Path: path, Problem: problem}}, Cause: err,
	}
}

// mustBeClientKey checks a key's type, size and known weaknesses.
func (s *IAM) mustBeClientKey(path string, key *tbs.PublicKey) error {
	if kind := clientKeyType(key); kind == "" || !slices.Contains(s.clientKeyTypes, kind) {
		return keyRefused(path, "key_not_allowed", "has a key of a type or size that is not allowed: make one of "+strings.Join(s.clientKeyTypes, ", ")+" (RSA with 2048 to 8192 bits)")
	}
	return s.mustBeStrong(path, key)
}

// mustBeStrong checks a key for known weaknesses and the list of blocked keys.
func (s *IAM) mustBeStrong(path string, key *tbs.PublicKey) error {
	if weakness := s.keycheck.Weakness(key.Key, key.Hash); weakness != "" {
		return keyRefused(path, "key_weak", "has a key that is weak: "+weakness)
	}
	return nil
}

// mustNotBeBlocked refuses a key that is known to be compromised.
func (s *IAM) mustNotBeBlocked(ctx context.Context, path string, account telamon.AccountID, key *tbs.PublicKey) error {
	block, err := s.store.KeyBlock(ctx, key.Hash, account)
	if err != nil || block == nil {
		return err
	}
	return keyRefused(path, "key_blocked", "has a key that is blocked: "+block.Why())
}

func keyRefused(path, code, problem string) error {
	return &fault.Fault{
		Kind: fault.Invalid, Code: code, Detail: path + ": " + problem, Fields: []fault.Field{{Path: path, Problem: problem}},
	}
}

// clientKeyType returns the name of a key's type, "" if no mTLS certificate can
// have it.
func clientKeyType(key *tbs.PublicKey) string {
	switch {
	case key.Algorithm == "RSA" && key.Bits >= minRSA && key.Bits <= maxRSA:
		return keyRSA
	case key.Algorithm == "ECDSA" && key.Bits == 256:
		return keyP256
	case key.Algorithm == "ECDSA" && key.Bits == 384:
		return keyP384
	}
	return ""
}

// ownsKey reports whether the account used the key before, and Conflict if another one did.
// It is asked before a signature is spent; the store refuses for certain.
func (s *IAM) ownsKey(ctx context.Context, account telamon.AccountID, key *tbs.PublicKey) (bool, error) {
	owner, err := s.store.ClientKeyOwner(ctx, key.Hash)
	if err == nil && owner != "" && owner != account {
		err = fault.New(fault.Conflict, "key_of_another_account", "This key is in use by somebody else. Make a new key.")
	}
	return owner == account, err
}

// clientIssuer returns the issuing CA that signs client certificates for the key now.
func (s *IAM) clientIssuer(ctx context.Context, key *tbs.PublicKey) (*telamon.Issuer, error) {
	series, err := s.directory.SeriesNamed(ctx, s.clientSeries[key.Algorithm])
	if err != nil {
		return nil, fmt.Errorf("find the series of %s client certificates: %w", key.Algorithm, err)
	}
	return s.issuance.Active(series.ID)
}

// signClientCert signs a certificate that is not stored yet.
func (s *IAM) signClientCert(ctx context.Context, account telamon.AccountID, credential telamon.CredentialID, key *tbs.PublicKey) (*IssuedClientCert, error) {
	reused, err := s.ownsKey(ctx, account, key)
	if err != nil {
		return nil, err
	}
	issuer, err := s.clientIssuer(ctx, key)
	if err != nil {
		return nil, err
	}
	notBefore := s.clock.Now().UTC().Truncate(time.Second).Add(-clientCertBackdate)
	token, err := s.issuance.Prepare(ctx, issuance.Request{
		Issuer: issuer.ID, NotBefore: notBefore, NotAfter: notBefore.AddDate(clientCertYears, 0, 0),
		Content: clientCertContent(account, credential), PublicKey: key,
	})
	if err != nil {
		return nil, err
	}
	signed, err := s.issuance.Sign(ctx, token)
	if err != nil {
		return nil, err
	}
	issued := &IssuedClientCert{KeyReused: reused}
	if issued.Chain, err = s.issuance.Chain(signed.Issuer); err != nil {
		return nil, err
	}
	issued.ClientCert = telamon.ClientCert{
		ID: telamon.NewClientCertID(), Account: account, Fingerprint: sha256.Sum256(signed.DER), Serial: signed.Serial,
		Issuer: signed.Issuer, SPKIHash: signed.SPKIHash, CRLShard: signed.CRLShard, NotAfter: signed.NotAfter,
	}
	if issued.Certificate, err = x509.ParseCertificate(signed.DER); err != nil {
		return nil, fmt.Errorf("parse client certificate %s: %w", signed.Serial, err)
	}
	return issued, nil
}

// clientCertContent is what an mTLS certificate says: whose it is by IDs of ours,
// of the credentials the first that it was made for, and that it authenticates
// clients by signatures.
func clientCertContent(account telamon.AccountID, credential telamon.CredentialID) telamon.Content {
	name := func(oid, text string) telamon.Attribute {
		return telamon.Attribute{Type: mustOID(oid), Value: telamon.TypedValue{Type: telamon.UTF8String, Text: text}}
	}
	return telamon.Content{
		Subject: []telamon.Attribute{
			name("2.5.4.10", account.String()),   // organizationName
			name("2.5.4.3", credential.String()), // commonName
		},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: telamon.ExtKeyUsage{OIDs: telamon.EKUClientAuth.OIDs()},
	}
}

func mustOID(dotted string) x509.OID {
	id, err := x509.ParseOID(dotted)
	if err != nil {
		panic(err) // a constant of this package
	}
	return id
}

// ClientCert returns a client certificate of the account. It reports NotFound.
func (s *IAM) ClientCert(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.ClientCertID) (telamon.ClientCert, error) {
	if err := authz.Check(actor, authz.ClientCertificateRead, account); err != nil {
		return telamon.ClientCert{}, err
	}
	return s.store.ClientCert(ctx, account, id)
}

// ClientCerts lists the client certificates of the account.
func (s *IAM) ClientCerts(ctx context.Context, actor telamon.Actor, account telamon.AccountID, page store.Page) ([]telamon.ClientCert, error) {
	if err := authz.Check(actor, authz.ClientCertificateRead, account); err != nil {
		return nil, err
	}
	return s.store.ClientCerts(ctx, account, page)
}

// DisableClientCert refuses logins and tokens with the certificate, at once. It
// reports NotFound, and Conflict with wrong_state; so do the next two.
func (s *IAM) DisableClientCert(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.ClientCertID) error {
	return s.setClientCertState(ctx, actor, authz.ClientCertificateDisable, account, id, telamon.Disabled, "")
}

// EnableClientCert ends a DisableClientCert.
func (s *IAM) EnableClientCert(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.ClientCertID) error {
	return s.setClientCertState(ctx, actor, authz.ClientCertificateEnable, account, id, telamon.Active, "")
}

// RevokeClientCert revokes the certificate for ever; an empty reason is
// unspecified. It reports Invalid for a reason that is not known.
func (s *IAM) RevokeClientCert(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.ClientCertID, reason telamon.RevocationReason) error {
	if err := authz.Check(actor, authz.ClientCertificateRevoke, account); err != nil {
		return err
	}
	if reason == "" {
		reason = telamon.ReasonUnspecified
	}
	if !slices.Contains(telamon.RevocationReasons, reason) {
		var p problems
		p.Add("reason", "is not a revocation reason")
		return p.Fault("invalid_reason")
	}
	return s.setClientCertState(ctx, actor, authz.ClientCertificateRevoke, account, id, telamon.Revoked, reason)
}

func (s *IAM) setClientCertState(ctx context.Context, actor telamon.Actor, action authz.Action, account telamon.AccountID, id telamon.ClientCertID, to telamon.State, reason telamon.RevocationReason) error {
	if err := authz.Check(actor, action, account); err != nil {
		return err
	}
	if err := s.store.SetClientCertState(ctx, actor, account, id, to, reason); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeClientCert, id.String())
	return nil
}

// ChangeClientCertLinks links a certificate to the credentials of add and unlinks
// it from those of remove, at once. It reports Invalid, NotFound, and Conflict with
// wrong_state if the certificate is revoked or a credential deleted.
func (s *IAM) ChangeClientCertLinks(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.ClientCertID, add, remove []telamon.CredentialID) error {
	if err := authz.Check(actor, authz.ClientCertificateLink, account); err != nil {
		return err
	}
	var p problems
	if len(add)+len(remove) == 0 || len(add)+len(remove) > maxLinks {
		p.Add("credentials", fmt.Sprintf("are not 1 to %d", maxLinks))
		return p.Fault("invalid_links")
	}
	cert, err := s.store.ClientCert(ctx, account, id)
	if err != nil {
		return err
	}
	links := slices.Compact(slices.Sorted(slices.Values(append(cert.Credentials, add...))))
	links = slices.DeleteFunc(links, func(c telamon.CredentialID) bool { return slices.Contains(remove, c) })
	if len(links) > maxLinks { // a bound on what is read per login; two changes at once may pass it
		p.Add("credentials", fmt.Sprintf("would be more than %d", maxLinks))
		return p.Fault("invalid_links")
	}
	if err := s.store.ChangeClientCertLinks(ctx, actor, account, id, add, remove); err != nil {
		return err
	}
	s.changed(ctx, store.ChangeClientCert, id.String())
	return nil
}
