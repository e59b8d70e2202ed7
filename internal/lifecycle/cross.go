package lifecycle

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/keystore"
)

// A CrossRequest asks a root of ours to sign another root.
type CrossRequest struct {
	Signer telamon.IssuerID
	// Root is the root of ours that is signed, or Certificate the PEM of a foreign one.
	// Give one of them.
	Root        telamon.IssuerID
	Certificate string
	NotAfter    time.Time // zero: the end of the first of the two roots
	DryRun      bool
}

// A CrossResult is what was signed, or would be.
type CrossResult struct {
	ID          telamon.CrossID // empty for a foreign root, and in a dry run
	Subject     string
	Signer      string
	NotAfter    time.Time
	Certificate *x509.Certificate // nil in a dry run
}

// CrossSign has a root sign the name and key of another one. A certificate of a root of
// ours is kept, and served beside the root's own. The certificate of a foreign root is
// only returned.
//
// It reports NotFound; Malformed with certificate_unreadable; Invalid with path_length,
// cross_subject, cross_validity or lint; NotReady with root_offline; Conflict with cross_known.
func (l *Life) CrossSign(ctx context.Context, actor telamon.Actor, req CrossRequest) (*CrossResult, error) {
	if err := authz.Check(actor, authz.IssuerCrossSign, ""); err != nil {
		return nil, err
	}
	if (req.Root == "") == (req.Certificate == "") {
		return nil, invalid("cross_subject", "is either a root of ours or the certificate of a foreign one")
	}
	s, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	signer, err := s.rootOf(req.Signer)
	if err != nil {
		return nil, err
	}
	subject, err := s.crossSubject(req)
	if err != nil {
		return nil, err
	}
	notAfter := req.NotAfter.Truncate(time.Second)
	if req.NotAfter.IsZero() {
		if notAfter = signer.Certificate.NotAfter; subject.NotAfter.Before(notAfter) {
			notAfter = subject.NotAfter
		}
	}
	out := &CrossResult{Subject: subject.Subject.String(), Signer: signer.Certificate.Subject.String(), NotAfter: notAfter}
	spec := issuance.CrossSpec{Signer: signer, Hierarchy: s.kinds[signer.Hierarchy], Subject: subject, NotAfter: notAfter}
	if err := l.Issuance.CheckCrossSign(ctx, spec); err != nil {
		return nil, err
	}
	if _, err := l.Keys.Public(signer.KeyName); errors.Is(err, keystore.ErrNoKey) {
		return nil, errRootOffline(signer, err)
	}
	if req.DryRun {
		return out, nil
	}
	if out.Certificate, err = l.Issuance.CrossSign(ctx, spec); err != nil || req.Root == "" {
		return out, err
	}
	return out, l.keepCross(ctx, actor, req.Root, signer.ID, signer.Certificate, out)
}

// keepCross keeps the certificate of a root of ours.
func (l *Life) keepCross(ctx context.Context, actor telamon.Actor, root, signer telamon.IssuerID, by *x509.Certificate, out *CrossResult) error {
	out.ID = telamon.NewCrossID()
	err := l.Store.AddCross(ctx, actor, root, signer, telamon.CrossCertificate{ID: out.ID, Certificate: out.Certificate, SignerCertificate: by})
	if err != nil {
		return err
	}
	l.changed(ctx, root)
	return nil
}

// rootOf returns a root of ours. It reports NotFound.
func (s *state) rootOf(id telamon.IssuerID) (*telamon.Issuer, error) {
	root, err := s.issuer(id)
	if err == nil && root.Role != telamon.RoleRoot {
		err = fault.New(fault.Conflict, "issuer_state", "It is no root.")
	}
	return root, err
}

// crossSubject returns the certificate of the root that is to be signed.
func (s *state) crossSubject(req CrossRequest) (*x509.Certificate, error) {
	if req.Root == "" {
		return parseCertificate(req.Certificate)
	}
	root, err := s.rootOf(req.Root)
	if err != nil {
		return nil, err
	}
	return root.Certificate, nil
}

// ImportCross keeps a certificate of a root of ours by a foreign CA, whose own
// certificate is given with it. Both are PEM.
//
// It reports NotFound; Malformed with certificate_unreadable; Invalid with
// cross_certificate and a field for each thing that is wrong; Conflict with cross_known.
func (l *Life) ImportCross(ctx context.Context, actor telamon.Actor, root telamon.IssuerID, certificate, signer string, dry bool) (*CrossResult, error) {
	if err := authz.Check(actor, authz.IssuerCrossSign, ""); err != nil {
		return nil, err
	}
	cert, err := parseCertificate(certificate)
	if err != nil {
		return nil, err
	}
	by, err := parseCertificate(signer)
	if err != nil {
		return nil, err
	}
	s, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	ours, err := s.rootOf(root)
	if err != nil {
		return nil, err
	}
	if err := l.Issuance.CheckCross(ours.Certificate, cert, by); err != nil {
		return nil, err
	}
	out := &CrossResult{Subject: cert.Subject.String(), Signer: by.Subject.String(), NotAfter: cert.NotAfter, Certificate: cert}
	if dry {
		return out, nil
	}
	return out, l.keepCross(ctx, actor, root, "", by, out)
}

// UseChain has the trust chains of a root go by a cross certificate, or by the root's own
// certificate again if the ID is empty. It reports NotFound.
func (l *Life) UseChain(ctx context.Context, actor telamon.Actor, root telamon.IssuerID, cross telamon.CrossID) error {
	if err := authz.Check(actor, authz.IssuerCrossSign, ""); err != nil {
		return err
	}
	s, err := l.read(ctx)
	if err != nil {
		return err
	}
	if _, err := s.rootOf(root); err != nil {
		return err
	}
	if err := l.Store.UseCross(ctx, actor, root, cross); err != nil {
		return err
	}
	l.changed(ctx, root)
	return nil
}
