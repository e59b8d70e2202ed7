// Package issuance knows the issuing CAs and makes certificates: it prepares what
// will be signed, has the keystore sign it once, and verifies the signature. It
// decides nothing about subscribers, which packages policy and ra do, and stores
// nothing. It trusts its caller for the content of a certificate and the keystore
// for nothing but the possession of keys.
package issuance

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// Keys is what the engine needs of a keystore. The keystore of this process is
// one; a signer process of its own can be another.
type Keys interface {
	Generate(name string, keyType tbs.KeyType) (crypto.PublicKey, error)
	Public(name string) (crypto.PublicKey, error)
	Bind(name string, purpose keystore.Purpose) error
	SelfSign(name string, tbsDER []byte) ([]byte, error)
	SignCertificate(name string, tbsDER []byte) ([]byte, error)
	SignCRL(name string, tbsCertList io.Reader) ([]byte, error)
	SignOCSP(name string, responseData []byte) ([]byte, *tbs.SignatureAlgorithm, error)
	// Certificate returns the certificate that a key is bound to, nil if none.
	Certificate(name string) (*x509.Certificate, error)
	// RequestCertificate returns a PKCS #10 request by a key that is not bound yet.
	RequestCertificate(name string, subject []byte) ([]byte, error)
	Retire(name string) error
	Destroy(name string) error
}

// Config names what an engine is made of.
type Config struct {
	Keys  Keys
	Clock telamon.Clock
	Log   *slog.Logger
	// StatusBaseURL is the http URL below which CRLs and issuer certificates
	// are served, without a final slash.
	StatusBaseURL string
	// Lint returns what is wrong with a certificate of the profile that is about to
	// be signed; nil lints nothing.
	Lint func(ctx context.Context, profile telamon.Profile, tbsDER []byte) []fault.Field
	// OCSPSeries names the series whose certificates say where OCSP answers for them.
	OCSPSeries []string
}

// Engine makes certificates. It is safe for concurrent use.
type Engine struct {
	keys    Keys
	clock   telamon.Clock
	log     *slog.Logger
	baseURL string
	lint    func(context.Context, telamon.Profile, []byte) []fault.Field
	ocsp    []string // names of series
	issuers atomic.Pointer[issuers]
}

// issuers is a snapshot of every issuer. It is never changed.
type issuers struct {
	byID   map[telamon.IssuerID]*telamon.Issuer
	lines  telamon.Succession
	series map[telamon.SeriesID]telamon.Series
}

// New returns an engine that knows no issuers until Load.
func New(cfg Config) *Engine {
	e := &Engine{
		keys: cfg.Keys, clock: cfg.Clock, log: cfg.Log, lint: cfg.Lint, ocsp: cfg.OCSPSeries,
		baseURL: strings.TrimSuffix(cfg.StatusBaseURL, "/"),
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.issuers.Store(&issuers{})
	return e
}

// Load replaces what the engine knows of issuers and series, at once.
func (e *Engine) Load(all []telamon.Issuer, series []telamon.Series) {
	next := &issuers{
		byID: make(map[telamon.IssuerID]*telamon.Issuer, len(all)), series: map[telamon.SeriesID]telamon.Series{},
	}
	for _, s := range series {
		next.series[s.ID] = s
	}
	for i := range all {
		issuer := all[i]
		next.byID[issuer.ID] = &issuer
	}
	next.lines = telamon.NewSuccession(slices.Collect(maps.Values(next.byID)))
	e.issuers.Store(next)
}

// Issuer returns an issuer, which the caller must not change. It reports NotFound.
func (e *Engine) Issuer(id telamon.IssuerID) (*telamon.Issuer, error) {
	if issuer := e.issuers.Load().byID[id]; issuer != nil {
		return issuer, nil
	}
	return nil, fault.New(fault.NotFound, "issuer_not_found", "There is no such issuer.")
}

// Active returns the issuing CA of a series that signs now. It reports Unavailable
// if the series has none.
func (e *Engine) Active(id telamon.SeriesID) (*telamon.Issuer, error) {
	if issuer := e.issuers.Load().lines.Active(id, e.clock.Now()); issuer != nil {
		return issuer, nil
	}
	return nil, fault.New(fault.Unavailable, "no_active_issuer", "No issuing CA is active now.")
}

// Series returns a series. It reports NotFound.
func (e *Engine) Series(id telamon.SeriesID) (telamon.Series, error) {
	if s, ok := e.issuers.Load().series[id]; ok {
		return s, nil
	}
	return telamon.Series{}, fault.New(fault.NotFound, "series_not_found", "There is no such issuer series.")
}

// SeriesNamed returns the series of a name. It reports NotFound.
func (e *Engine) SeriesNamed(name string) (telamon.Series, error) {
	for _, s := range e.issuers.Load().series {
		if s.Name == name {
			return s, nil
		}
	}
	return telamon.Series{}, fault.New(fault.NotFound, "series_not_found", "There is no such issuer series.")
}

// A Chain is one way from an issuer to a trust anchor.
type Chain struct {
	Certificates []*x509.Certificate // the issuer's first, the anchor's last
	Through      telamon.CrossID     // the cross certificate; empty: the root's own certificate is the anchor
	Active       bool                // what is shown to who asks for one chain
}

// Chain returns the certificates from an issuer up to its root, or by the cross
// certificate that the root's chains are to go by, up to the CA that signed it.
func (e *Engine) Chain(id telamon.IssuerID) ([]*x509.Certificate, error) {
	chains, err := e.Chains(id)
	if err != nil {
		return nil, err
	}
	for _, chain := range chains {
		if chain.Active {
			return chain.Certificates, nil
		}
	}
	return chains[0].Certificates, nil
}

// Chains returns every chain of an issuer, that to its own root first. Exactly one is
// active: that to its own root, if the cross certificate that was chosen or its signer is
// not valid now. It reports NotFound.
func (e *Engine) Chains(id telamon.IssuerID) ([]Chain, error) {
	snapshot, now := e.issuers.Load(), e.clock.Now()
	own := Chain{Active: true}
	var root *telamon.Issuer
	for issuer := snapshot.byID[id]; issuer != nil; issuer = snapshot.byID[issuer.Parent] {
		own.Certificates, root = append(own.Certificates, issuer.Certificate), issuer
	}
	if root == nil {
		return nil, fault.New(fault.NotFound, "issuer_not_found", "There is no such issuer.")
	}
	below := own.Certificates[:len(own.Certificates)-1]
	chains := []Chain{own}
	for _, cross := range root.Crosses {
		if root.ID == id {
			break // a root's own chain is itself
		}
		active := cross.Active && validAt(cross.Certificate, now) && validAt(cross.SignerCertificate, now)
		chains = append(chains, Chain{
			Certificates: append(slices.Clone(below), cross.Certificate, cross.SignerCertificate), Through: cross.ID, Active: active,
		})
		if active {
			chains[0].Active = false
		}
	}
	return chains, nil
}

func validAt(cert *x509.Certificate, at time.Time) bool {
	return !at.Before(cert.NotBefore) && !at.After(cert.NotAfter)
}

// crlURL is where the CRL of a shard is. Like issuerURL it stands in certificates,
// and so its form cannot change while one of them lives.
func (e *Engine) crlURL(id telamon.IssuerID, shard int) string {
	return fmt.Sprintf("%s/crl/%s/%d.crl", e.baseURL, id, shard)
}

// issuerURL is where an issuer's certificate is.
func (e *Engine) issuerURL(id telamon.IssuerID) string {
	return fmt.Sprintf("%s/ca/%s.cer", e.baseURL, id)
}

// ocspURLs returns where OCSP answers for certificates of an issuing CA, nothing if
// they do not say.
func (e *Engine) ocspURLs(issuer *telamon.Issuer, series telamon.Series) []string {
	if !slices.Contains(e.ocsp, series.Name) {
		return nil
	}
	return []string{fmt.Sprintf("%s/ocsp/%s", e.baseURL, issuer.ID)}
}
