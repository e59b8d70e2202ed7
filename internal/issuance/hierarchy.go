package issuance

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
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
	Rotation  telamon.Rotation // "" is quarterly
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
			Rotation: cmp.Or(s.Rotation, telamon.RotateQuarterly), LeadDays: telamon.DefaultLeadDays,
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
	name := caName(spec.Country, spec.Organization, "Telamon "+spec.Name+" root "+now.Format("2006"))
	template := caTemplateUntil(name, key, now, now.Add(-backdate).AddDate(spec.RootYears, 0, 0).Add(-time.Second))
	// Without a path length (BR 7.1.2.1.4), so that it can sign another root.
	template.CA = &tbs.CAConstraints{MaxPathLen: -1}
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
	if s.Years < 1 {
		return nil, errYears
	}
	issuer := &telamon.Issuer{
		ID: telamon.NewIssuerID(), Hierarchy: root.Hierarchy, Series: series.ID, Parent: root.ID, Role: telamon.RoleIssuing,
		Status: telamon.IssuerActive, KeyName: s.Name + "-" + now.Format("200601"), CRLShards: max(s.CRLShards, 1), ActivateAt: now,
	}
	request, err := e.RequestCA(NewCA{
		ID: issuer.ID, Root: root, Hierarchy: spec.Kind, Series: series, KeyName: issuer.KeyName,
		CommonName: "Telamon " + s.Name + " " + now.Format("2006-01"), NotAfter: now.Add(-backdate).AddDate(s.Years, 0, 0).Add(-time.Second),
	})
	if err != nil {
		return nil, err
	}
	if issuer.Certificate, err = e.SignCA(ctx, root, request); err != nil {
		return nil, err
	}
	return issuer, e.AdoptCA(issuer.KeyName, s.EKUFamily, issuer.Certificate)
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

var errYears = errors.New("a CA needs a validity of at least a year")

// caTemplateUntil is what all certificates of CAs share.
func caTemplateUntil(name []telamon.Attribute, key *tbs.PublicKey, now, notAfter time.Time) *tbs.Template {
	return &tbs.Template{
		Serial: telamon.NewSerial(now), NotBefore: now.Add(-backdate), NotAfter: notAfter,
		Content: telamon.Content{
			Subject:  name,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		},
		PublicKey: key,
	}
}

var (
	oidCountry      = mustOID("2.5.4.6")
	oidOrganization = mustOID("2.5.4.10")
	oidCommonName   = mustOID("2.5.4.3")
	oidAnyPolicy    = mustOID("2.5.29.32.0")
)

// caName returns the name of a CA. It is unique in its organization by the date in its
// common name.
func caName(country, organization, commonName string) []telamon.Attribute {
	text := func(oid x509.OID, value string) telamon.Attribute {
		return telamon.Attribute{Type: oid, Value: telamon.TypedValue{Type: telamon.UTF8String, Text: value}}
	}
	var name []telamon.Attribute
	if country != "" {
		value := telamon.TypedValue{Type: telamon.PrintableString, Text: country}
		name = append(name, telamon.Attribute{Type: oidCountry, Value: value})
	}
	if organization != "" {
		name = append(name, text(oidOrganization, organization))
	}
	return append(name, text(oidCommonName, commonName))
}

func mustOID(dotted string) x509.OID {
	id, err := x509.ParseOID(dotted)
	if err != nil {
		panic(err) // a constant of this package
	}
	return id
}
