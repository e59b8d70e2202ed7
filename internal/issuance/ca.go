package issuance

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// A CARequest is what a root is asked to sign for an issuing CA, as a file carries it to
// a root that is kept elsewhere. The CSR proves possession of the key; all that the
// certificate will say stands beside it.
type CARequest struct {
	Issuer       telamon.IssuerID      `json:"issuer"` // that it will be
	Hierarchy    telamon.HierarchyKind `json:"hierarchy"`
	Series       string                `json:"series"`
	EKUFamily    telamon.EKUFamily     `json:"eku_family"`
	Root         string                `json:"root"`        // the root's name, for people
	RootKeyID    string                `json:"root_key_id"` // the root's subjectKeyIdentifier in hexadecimal
	Country      string                `json:"country,omitempty"`
	Organization string                `json:"organization,omitempty"`
	CommonName   string                `json:"common_name"`
	NotAfter     time.Time             `json:"not_after"`
	CRLURL       string                `json:"crl_url"`
	CAIssuersURL string                `json:"ca_issuers_url"`
	CSR          string                `json:"csr"` // PEM
}

// NewCA says which issuing CA RequestCA makes a key for.
type NewCA struct {
	ID         telamon.IssuerID
	Root       *telamon.Issuer
	Hierarchy  telamon.HierarchyKind
	Series     telamon.Series
	KeyName    string
	CommonName string
	NotAfter   time.Time
}

// RequestCA makes the key of an issuing CA and the request for its certificate.
func (e *Engine) RequestCA(spec NewCA) (*CARequest, error) {
	root := spec.Root.Certificate
	r := &CARequest{
		Issuer: spec.ID, Hierarchy: spec.Hierarchy, Series: spec.Series.Name, EKUFamily: spec.Series.EKUFamily,
		Root: root.Subject.String(), RootKeyID: hex.EncodeToString(root.SubjectKeyId), CommonName: spec.CommonName,
		NotAfter: spec.NotAfter, CRLURL: e.crlURL(spec.Root.ID, 0), CAIssuersURL: e.issuerURL(spec.Root.ID),
	}
	if len(root.Subject.Country) > 0 {
		r.Country = root.Subject.Country[0]
	}
	if len(root.Subject.Organization) > 0 {
		r.Organization = root.Subject.Organization[0]
	}
	if _, err := e.keys.Generate(spec.KeyName, tbs.KeyType(spec.Series.KeyType)); err != nil {
		return nil, err
	}
	subject, err := tbs.EncodeName(r.subject())
	if err != nil {
		return nil, err
	}
	csr, err := e.keys.RequestCertificate(spec.KeyName, subject)
	if err != nil {
		return nil, err
	}
	r.CSR = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
	return r, nil
}

func (r *CARequest) subject() []telamon.Attribute {
	return caName(r.Country, r.Organization, r.CommonName)
}

// Template returns the certificate that a root is to sign at an instant. It reports
// Invalid if the request is for another root, its CSR is not for what it says, or the
// certificate would outlive the root.
func (r *CARequest) Template(root *x509.Certificate, now time.Time) (*tbs.Template, error) {
	csr, err := tbs.ParseCSR(r.CSR)
	if err != nil {
		return nil, &fault.Fault{Kind: fault.Invalid, Code: "ca_request", Detail: "The CSR of the request cannot be read.", Cause: err}
	}
	subject, err := tbs.EncodeName(r.subject())
	now = now.Truncate(time.Second)
	switch {
	case err != nil || !bytes.Equal(csr.Request.RawSubject, subject):
		return nil, fault.New(fault.Invalid, "ca_request", "The CSR is for another name than the request.")
	case r.RootKeyID != hex.EncodeToString(root.SubjectKeyId):
		return nil, fault.New(fault.Invalid, "ca_request", "The request is for another root.")
	case r.NotAfter.After(root.NotAfter):
		return nil, fault.New(fault.Invalid, "ca_request", "The issuing CA would outlive its root.")
	case !r.NotAfter.After(now):
		return nil, fault.New(fault.Invalid, "ca_request", "The issuing CA would have expired.")
	case r.EKUFamily != telamon.EKUAny && len(r.EKUFamily.OIDs()) == 0:
		return nil, fault.New(fault.Invalid, "ca_request", "The family of extended key usages is unknown.")
	}
	t := caTemplateUntil(r.subject(), csr.PublicKey, now, r.NotAfter)
	t.Issuer, t.CA = root, &tbs.CAConstraints{MaxPathLen: 0}
	t.Content.ExtKeyUsage.OIDs = r.EKUFamily.OIDs()
	if r.Hierarchy == telamon.HierarchyStrictTLS {
		t.PolicyOIDs = []x509.OID{oidAnyPolicy} // BR 7.1.2.10.5: the CA is the root's own
	}
	t.CRLURLs, t.CAIssuersURLs = []string{r.CRLURL}, []string{r.CAIssuersURL}
	if t.Signature, err = tbs.SignatureFor(root.PublicKey, "", ""); err != nil {
		return nil, err
	}
	return t, nil
}

// A CASigner signs certificates by the name of a key.
type CASigner interface {
	SignCertificate(name string, tbsDER []byte) ([]byte, error)
}

// SignCA has a root's key sign what is asked for, and verifies the signature.
func SignCA(keys CASigner, keyName string, root *x509.Certificate, r *CARequest, now time.Time) (*x509.Certificate, error) {
	template, err := r.Template(root, now)
	if err != nil {
		return nil, err
	}
	tbsDER, err := tbs.Build(template)
	if err != nil {
		return nil, err
	}
	return signCA(keys, keyName, root, template.Signature, tbsDER)
}

func signCA(keys CASigner, keyName string, root *x509.Certificate, algorithm *tbs.SignatureAlgorithm, tbsDER []byte) (*x509.Certificate, error) {
	signature, err := keys.SignCertificate(keyName, tbsDER)
	if err != nil {
		return nil, err
	}
	der, err := tbs.Assemble(tbsDER, algorithm, signature)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse the CA certificate: %w", err)
	}
	if err := cert.CheckSignatureFrom(root); err != nil {
		return nil, fmt.Errorf("the root signed wrongly: %w", err)
	}
	return cert, nil
}

// SignCA is the function of that name with the keys of the engine, after the lints.
func (e *Engine) SignCA(ctx context.Context, root *telamon.Issuer, r *CARequest) (*x509.Certificate, error) {
	template, err := r.Template(root.Certificate, e.clock.Now())
	if err != nil {
		return nil, err
	}
	tbsDER, err := tbs.Build(template)
	if err != nil {
		return nil, err
	}
	if err := e.mustPass(ctx, profileOfCA(r.Hierarchy), tbsDER); err != nil {
		return nil, err
	}
	return signCA(e.keys, root.KeyName, root.Certificate, template.Signature, tbsDER)
}

// maxDatedBack is how long before now the validity of an imported CA may begin.
const maxDatedBack = 400 * 24 * time.Hour

// CheckCA reports Invalid, with a field for each thing that is wrong, unless cert is the
// certificate that r asks the root for, valid at now, and passes the lints.
func (e *Engine) CheckCA(ctx context.Context, root *x509.Certificate, r *CARequest, cert *x509.Certificate) error {
	now := e.clock.Now()
	var fields []fault.Field
	wrong := func(is bool, path, problem string) {
		if is {
			fields = append(fields, fault.Field{Path: path, Problem: problem})
		}
	}
	csr, err := tbs.ParseCSR(r.CSR)
	if err != nil {
		return fmt.Errorf("read the CSR of plan %s: %w", r.Issuer, err)
	}
	_, ours := telamon.SerialFromInt(cert.SerialNumber)
	wrong(!bytes.Equal(cert.RawSubjectPublicKeyInfo, csr.PublicKey.SPKI), "public_key", "is not the planned key")
	wrong(!bytes.Equal(cert.RawSubject, csr.Request.RawSubject), "subject", "is not the planned name")
	wrong(!bytes.Equal(cert.RawIssuer, root.RawSubject), "issuer", "is not the root of the hierarchy")
	wrong(cert.CheckSignatureFrom(root) != nil, "signature", "is not the root's")
	wrong(!bytes.Equal(cert.AuthorityKeyId, root.SubjectKeyId), "authority_key_identifier", "is not the root's key")
	wrong(len(cert.SubjectKeyId) == 0, "subject_key_identifier", "is required")
	wrong(!ours, "serial_number", "is not of 16 octets of which the first is 01")
	wrong(!cert.IsCA || !cert.BasicConstraintsValid || cert.MaxPathLen != 0 || !cert.MaxPathLenZero, "basic_constraints", "is not a CA of path length 0")
	wrong(cert.KeyUsage&^x509.KeyUsageDigitalSignature != x509.KeyUsageCertSign|x509.KeyUsageCRLSign, "key_usage", "is not keyCertSign and cRLSign")
	wrong(!slices.Equal(ekusOf(cert), ekuTexts(r.EKUFamily)), "extended_key_usage", "is not that of the family "+string(r.EKUFamily))
	wrong(!cert.NotAfter.Equal(r.NotAfter), "not_after", "is not "+r.NotAfter.UTC().Format(time.RFC3339))
	wrong(now.After(cert.NotAfter), "not_after", "has passed")
	wrong(cert.NotBefore.After(now), "not_before", "is in the future")
	wrong(cert.NotBefore.Before(now.Add(-maxDatedBack)) || cert.NotBefore.Before(root.NotBefore), "not_before", "is too early")
	wrong(!slices.Equal(cert.CRLDistributionPoints, []string{r.CRLURL}), "crl_distribution_points", "is not "+r.CRLURL)
	wrong(!slices.Equal(cert.IssuingCertificateURL, []string{r.CAIssuersURL}), "authority_info_access", "is not "+r.CAIssuersURL)
	wrong(len(cert.UnhandledCriticalExtensions) > 0, "extensions", "holds a critical one that is not known")
	wrong(len(cert.PermittedDNSDomains)+len(cert.ExcludedDNSDomains)+len(cert.PermittedIPRanges)+len(cert.ExcludedIPRanges)+
		len(cert.PermittedEmailAddresses)+len(cert.ExcludedEmailAddresses)+len(cert.PermittedURIDomains)+len(cert.ExcludedURIDomains) > 0,
		"name_constraints", "were not asked for")
	if len(fields) > 0 {
		return &fault.Fault{
			Kind: fault.Invalid, Code: "ca_certificate", Detail: "The certificate is not the one that was asked for.", Fields: fields,
		}
	}
	return e.mustPass(ctx, profileOfCA(r.Hierarchy), cert.RawTBSCertificate)
}

// ekusOf returns the extended key usages of a certificate in order.
func ekusOf(cert *x509.Certificate) []string {
	facts, err := tbs.Inspect(cert.RawTBSCertificate)
	if err != nil {
		return []string{err.Error()}
	}
	var texts []string
	for _, id := range facts.ExtKeyUsage {
		texts = append(texts, id.String())
	}
	slices.Sort(texts)
	return texts
}

func ekuTexts(family telamon.EKUFamily) []string {
	var texts []string
	for _, id := range family.OIDs() {
		texts = append(texts, id.String())
	}
	slices.Sort(texts)
	return texts
}

// AdoptCA binds the key of an issuing CA to its certificate, which CheckCA or SignCA
// has given. A key that is bound to this very certificate already stays as it is.
func (e *Engine) AdoptCA(keyName string, family telamon.EKUFamily, cert *x509.Certificate) error {
	bound, err := e.keys.Certificate(keyName)
	if err != nil {
		return err
	}
	if bound != nil && bound.Equal(cert) {
		return nil
	}
	return e.keys.Bind(keyName, keystore.Purpose{Role: telamon.RoleIssuing, EKUFamily: family, Certificate: cert})
}

// A CrossSpec says what a root of ours is to sign for another root, ours or a foreign one.
type CrossSpec struct {
	Signer    *telamon.Issuer
	Hierarchy telamon.HierarchyKind // the signer's
	Subject   *x509.Certificate
	NotAfter  time.Time
}

// crossTemplate returns the template of a certificate by a root for the name and key of
// another one, which stays within the validity of both.
func (e *Engine) crossTemplate(spec CrossSpec, now time.Time) (*tbs.Template, error) {
	root, subject, notAfter := spec.Signer.Certificate, spec.Subject, spec.NotAfter
	switch {
	case root.MaxPathLen >= 0 && root.MaxPathLen < 2 && (root.MaxPathLen > 0 || root.MaxPathLenZero):
		return nil, fault.New(fault.Invalid, "path_length", "The signing root allows only one CA below it: no chain through a cross certificate would verify.")
	case !subject.IsCA || !bytes.Equal(subject.RawIssuer, subject.RawSubject) || subject.CheckSignatureFrom(subject) != nil:
		return nil, fault.New(fault.Invalid, "cross_subject", "What is to be cross-signed is no self-signed root.")
	case bytes.Equal(subject.RawSubject, root.RawSubject):
		return nil, fault.New(fault.Invalid, "cross_subject", "A root needs no cross certificate by itself.")
	case !notAfter.After(now) || notAfter.After(root.NotAfter) || notAfter.After(subject.NotAfter):
		return nil, fault.New(fault.Invalid, "cross_validity", "The cross certificate would outlive one of the roots, or has expired.")
	}
	key, err := tbs.NewPublicKey(subject.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, &fault.Fault{Kind: fault.Invalid, Code: "cross_subject", Detail: "The key of the root is not supported.", Cause: err}
	}
	t := caTemplateUntil(nil, key, now, notAfter)
	t.Issuer, t.CA = root, &tbs.CAConstraints{MaxPathLen: 1, Subject: subject.RawSubject, KeyID: subject.SubjectKeyId}
	if spec.Hierarchy == telamon.HierarchyStrictTLS {
		t.PolicyOIDs = []x509.OID{oidAnyPolicy} // BR 7.1.2.10.5: right for a root of the same operator
	}
	t.CRLURLs, t.CAIssuersURLs = []string{e.crlURL(spec.Signer.ID, 0)}, []string{e.issuerURL(spec.Signer.ID)}
	t.Signature, err = tbs.SignatureFor(root.PublicKey, "", "")
	return t, err
}

// buildCross returns the template of a cross certificate and what is to be signed, which
// has passed the lints.
func (e *Engine) buildCross(ctx context.Context, spec CrossSpec) (*tbs.Template, []byte, error) {
	template, err := e.crossTemplate(spec, e.clock.Now().Truncate(time.Second))
	if err != nil {
		return nil, nil, err
	}
	tbsDER, err := tbs.Build(template)
	if err != nil {
		return nil, nil, err
	}
	return template, tbsDER, e.mustPass(ctx, profileOfCA(spec.Hierarchy), tbsDER)
}

// CheckCrossSign reports what CrossSign would, and signs nothing.
func (e *Engine) CheckCrossSign(ctx context.Context, spec CrossSpec) error {
	_, _, err := e.buildCross(ctx, spec)
	return err
}

// CrossSign has a root sign the name and key of another root. It reports Invalid if no
// chain through the certificate would verify, or with lint if it would break a rule.
func (e *Engine) CrossSign(ctx context.Context, spec CrossSpec) (*x509.Certificate, error) {
	template, tbsDER, err := e.buildCross(ctx, spec)
	if err != nil {
		return nil, err
	}
	return signCA(e.keys, spec.Signer.KeyName, spec.Signer.Certificate, template.Signature, tbsDER)
}

// CheckCross reports Invalid, with a field for each thing that is wrong, unless cert is
// a certificate of the root's name and key by the foreign CA signer, and now valid.
func (e *Engine) CheckCross(root, cert, signer *x509.Certificate) error {
	now := e.clock.Now()
	var fields []fault.Field
	wrong := func(is bool, path, problem string) {
		if is {
			fields = append(fields, fault.Field{Path: path, Problem: problem})
		}
	}
	wrong(!bytes.Equal(cert.RawSubjectPublicKeyInfo, root.RawSubjectPublicKeyInfo), "public_key", "is not the root's key")
	wrong(!bytes.Equal(cert.RawSubject, root.RawSubject), "subject", "is not the root's name")
	wrong(bytes.Equal(cert.RawIssuer, cert.RawSubject), "issuer", "is the root itself")
	wrong(cert.CheckSignatureFrom(signer) != nil, "signature", "is not that of the CA that was given with it")
	wrong(!cert.IsCA || cert.MaxPathLen == 0 && cert.MaxPathLenZero, "basic_constraints", "allow no CA below")
	wrong(cert.KeyUsage&x509.KeyUsageCertSign == 0, "key_usage", "lacks keyCertSign")
	wrong(now.Before(cert.NotBefore) || now.After(cert.NotAfter), "validity", "is not now")
	wrong(!bytes.Equal(cert.SubjectKeyId, root.SubjectKeyId), "subject_key_identifier", "is not the root's")
	if len(fields) > 0 {
		return &fault.Fault{
			Kind: fault.Invalid, Code: "cross_certificate", Detail: "The certificate is no cross certificate of this root.", Fields: fields,
		}
	}
	return nil
}
