package issuance

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// A HierarchySpec says what hierarchy to make.
type HierarchySpec struct {
	Name         string // unique, such as "tls"; key names and CA names derive from it
	Kind         telamon.HierarchyKind
	Country      string // of the CA names, two letters; "" leaves it out
	Organization string // of the CA names; "" leaves it out
	RootKeyType  tbs.KeyType
	RootYears    int
	Series       []SeriesSpec
}

// A SeriesSpec says what issuing CA to make for a series.
type SeriesSpec struct {
	Name      string // unique, such as "tls-ecdsa"
	KeyType   tbs.KeyType
	EKUFamily telamon.EKUFamily
	Years     int
	CRLShards int
}

// A Hierarchy is what CreateHierarchy made, for the caller to store.
type Hierarchy struct {
	ID      telamon.HierarchyID
	Series  []telamon.Series
	Issuers []telamon.Issuer // the root first
}

// backdate is how far a CA certificate's validity starts before its making, so
// that clocks of relying parties may be slow.
const backdate = time.Hour

// CreateHierarchy makes a root and an active issuing CA for each series, with
// their keys in the keystore. If it fails, keys may be left in the keystore that
// nothing refers to.
func (e *Engine) CreateHierarchy(ctx context.Context, spec HierarchySpec) (*Hierarchy, error) {
	if spec.Name == "" || len(spec.Series) == 0 || spec.RootYears < 1 {
		return nil, errors.New("create hierarchy: a name, a validity and a series are needed")
	}
	h := &Hierarchy{ID: telamon.NewHierarchyID()}
	now := e.clock.Now().Truncate(time.Second)
	root, err := e.createRoot(ctx, h, spec, now)
	if err != nil {
		return nil, fmt.Errorf("create hierarchy %s: %w", spec.Name, err)
	}
	h.Issuers = append(h.Issuers, *root)
	for _, s := range spec.Series {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		series := telamon.Series{
			ID: telamon.NewSeriesID(), Hierarchy: h.ID, Name: s.Name, KeyType: string(s.KeyType), EKUFamily: s.EKUFamily,
		}
		issuer, err := e.createIssuing(ctx, root, spec, s, series, now)
		if err != nil {
			return nil, fmt.Errorf("create series %s: %w", s.Name, err)
		}
		h.Series, h.Issuers = append(h.Series, series), append(h.Issuers, *issuer)
	}
	return h, nil
}

func (e *Engine) createRoot(ctx context.Context, h *Hierarchy, spec HierarchySpec, now time.Time) (*telamon.Issuer, error) {
	root := &telamon.Issuer{
		ID: telamon.NewIssuerID(), Hierarchy: h.ID, Role: telamon.RoleRoot, Status: telamon.IssuerActive,
		KeyName: spec.Name + "-root", CRLShards: 1, ActivateAt: now,
	}
	key, err := e.newKey(root.KeyName, spec.RootKeyType)
	if err != nil {
		return nil, err
	}
	template, err := caTemplate(caName(spec, spec.Name+" root", now), key, now, spec.RootYears)
	if err != nil {
		return nil, err
	}
	template.CA = &tbs.CAConstraints{MaxPathLen: 1}
	if template.Signature, err = tbs.SignatureFor(key.Key, "", ""); err != nil {
		return nil, err
	}
	tbsDER, err := tbs.Build(template)
	if err != nil {
		return nil, err
	}
	if err := e.mustPass(ctx, profileOfCA(spec.Kind), tbsDER); err != nil {
		return nil, err
	}
	signature, err := e.keys.SelfSign(root.KeyName, tbsDER)
	if err != nil {
		return nil, err
	}
	return root, e.finish(root, template.Signature, tbsDER, signature, keystore.Purpose{Role: telamon.RoleRoot})
}

func (e *Engine) createIssuing(ctx context.Context, root *telamon.Issuer, spec HierarchySpec, s SeriesSpec, series telamon.Series, now time.Time) (*telamon.Issuer, error) {
	issuer := &telamon.Issuer{
		ID: telamon.NewIssuerID(), Hierarchy: root.Hierarchy, Series: series.ID, Parent: root.ID, Role: telamon.RoleIssuing,
		Status: telamon.IssuerActive, KeyName: s.Name + "-" + now.Format("200601"), CRLShards: max(s.CRLShards, 1), ActivateAt: now,
	}
	key, err := e.newKey(issuer.KeyName, s.KeyType)
	if err != nil {
		return nil, err
	}
	template, err := caTemplate(caName(spec, s.Name+" "+now.Format("2006-01"), now), key, now, s.Years)
	if err != nil {
		return nil, err
	}
	template.Issuer, template.CA = root.Certificate, &tbs.CAConstraints{MaxPathLen: 0}
	template.Content.ExtKeyUsage.OIDs = s.EKUFamily.OIDs()
	if spec.Kind == telamon.HierarchyStrictTLS {
		template.PolicyOIDs = []x509.OID{oidAnyPolicy} // BR 7.1.2.10.5: the CA is the root's own
	}
	template.CRLURLs, template.CAIssuersURLs = []string{e.crlURL(root.ID, 0)}, []string{e.issuerURL(root.ID)}
	if template.NotAfter.After(root.Certificate.NotAfter) {
		return nil, errors.New("the issuing CA would outlive its root")
	}
	if template.Signature, err = tbs.SignatureFor(root.Certificate.PublicKey, "", ""); err != nil {
		return nil, err
	}
	tbsDER, err := tbs.Build(template)
	if err != nil {
		return nil, err
	}
	if err := e.mustPass(ctx, profileOfCA(spec.Kind), tbsDER); err != nil {
		return nil, err
	}
	signature, err := e.keys.SignCertificate(root.KeyName, tbsDER)
	if err != nil {
		return nil, err
	}
	purpose := keystore.Purpose{Role: telamon.RoleIssuing, EKUFamily: s.EKUFamily}
	return issuer, e.finish(issuer, template.Signature, tbsDER, signature, purpose)
}

// profileOfCA is the profile of the CA certificates of a hierarchy.
func profileOfCA(kind telamon.HierarchyKind) telamon.Profile {
	if kind == telamon.HierarchyStrictTLS {
		return telamon.ProfileStrictCA
	}
	return telamon.ProfileCA
}

// finish assembles the CA certificate and binds the key to it.
func (e *Engine) finish(issuer *telamon.Issuer, algorithm *tbs.SignatureAlgorithm, tbsDER, signature []byte, purpose keystore.Purpose) error {
	der, err := tbs.Assemble(tbsDER, algorithm, signature)
	if err != nil {
		return err
	}
	if issuer.Certificate, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("parse the CA certificate: %w", err)
	}
	purpose.Certificate = issuer.Certificate
	return e.keys.Bind(issuer.KeyName, purpose)
}

func (e *Engine) newKey(name string, keyType tbs.KeyType) (*tbs.PublicKey, error) {
	public, err := e.keys.Generate(name, keyType)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("encode public key %s: %w", name, err)
	}
	return tbs.NewPublicKey(spki)
}

// caTemplate is what root and issuing CA certificates share.
func caTemplate(name []telamon.Attribute, key *tbs.PublicKey, now time.Time, years int) (*tbs.Template, error) {
	if years < 1 {
		return nil, errors.New("a CA needs a validity of at least a year")
	}
	notBefore := now.Add(-backdate)
	return &tbs.Template{
		Serial: telamon.NewSerial(now), NotBefore: notBefore, NotAfter: notBefore.AddDate(years, 0, 0).Add(-time.Second),
		Content: telamon.Content{
			Subject:  name,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		},
		PublicKey: key,
	}, nil
}

var (
	oidCountry      = mustOID("2.5.4.6")
	oidOrganization = mustOID("2.5.4.10")
	oidCommonName   = mustOID("2.5.4.3")
	oidAnyPolicy    = mustOID("2.5.29.32.0")
)

// caName returns the name of a CA: unique in its organization by the date in it.
func caName(spec HierarchySpec, title string, now time.Time) []telamon.Attribute {
	text := func(oid x509.OID, value string) telamon.Attribute {
		return telamon.Attribute{Type: oid, Value: telamon.TypedValue{Type: telamon.UTF8String, Text: value}}
	}
	var name []telamon.Attribute
	if spec.Country != "" {
		country := telamon.TypedValue{Type: telamon.PrintableString, Text: spec.Country}
		name = append(name, telamon.Attribute{Type: oidCountry, Value: country})
	}
	if spec.Organization != "" {
		name = append(name, text(oidOrganization, spec.Organization))
	}
	if !strings.Contains(title, now.Format("2006")) {
		title += " " + now.Format("2006")
	}
	return append(name, text(oidCommonName, strings.TrimSpace("Telamon "+title)))
}

func mustOID(dotted string) x509.OID {
	id, err := x509.ParseOID(dotted)
	if err != nil {
		panic(err) // a constant of this package
	}
	return id
}
