package iam

import (
	"context"
	"crypto/x509"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
)

// ClientCertChain returns a client certificate of the account with its chain, from its
// issuing CA to the root. It reports NotFound.
func (s *IAM) ClientCertChain(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.ClientCertID) (telamon.ClientCert, []*x509.Certificate, error) {
	if err := authz.Check(actor, authz.ClientCertificateRead, account); err != nil {
		return telamon.ClientCert{}, nil, err
	}
	cert, err := s.store.ClientCert(ctx, account, id)
	if err != nil {
		return telamon.ClientCert{}, nil, err
	}
	chain, err := s.issuance.Chain(cert.Issuer)
	return cert, chain, err
}

// UserCertChain returns a client certificate of a user with its chain, from its issuing CA to
// the root. It reports what [IAM.UserCert] does.
func (s *IAM) UserCertChain(ctx context.Context, actor telamon.Actor, id telamon.ClientCertID) (telamon.ClientCert, []*x509.Certificate, error) {
	cert, err := s.UserCert(ctx, actor, id)
	if err != nil {
		return telamon.ClientCert{}, nil, err
	}
	chain, err := s.issuance.Chain(cert.Issuer)
	return cert, chain, err
}

// ClientKeyTypes returns the key types that mTLS certificates may have.
func (s *IAM) ClientKeyTypes() []string { return slices.Clone(s.clientKeyTypes) }

// CSRFault returns what IssueClientCert reports of a CSR that package tbs could not read.
func CSRFault(err error) error { return keyFault("csr", err) }
