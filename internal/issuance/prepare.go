package issuance

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// A Request is for a certificate that policy and ra have accepted.
type Request struct {
	Issuer              telamon.IssuerID
	Profile             telamon.Profile // of a leaf; "" is ProfilePrivate
	NotBefore, NotAfter time.Time       // whole seconds
	Content             telamon.Content
	Policies            []x509.OID // certificate policies, in this order
	PublicKey           *tbs.PublicKey
	SignatureAlgorithm  string // "RSA", "RSA-PSS" or "ECDSA"; "" is the issuer's default
	HashAlgorithm       string // "SHA-256", "SHA-384" or "SHA-512"; ""
	Precertificate      bool   // for Certificate Transparency: see [Engine.Complete]
}

// A Token holds a certificate that was prepared and not yet signed. It is good for
// one Sign by the engine that made it.
type Token struct {
	engine    *Engine
	issuer    *telamon.Issuer
	profile   telamon.Profile
	template  *tbs.Template
	tbsDER    []byte
	signed    Signed // without DER
	redeemed  atomic.Bool
	completed atomic.Bool // of a precertificate
}

// TBS returns the DER of the tbsCertificate that Sign will sign. The caller must
// not change it.
func (t *Token) TBS() []byte { return t.tbsDER }

// A Signed is a certificate whose signature was verified.
type Signed struct {
	DER                 []byte
	Serial              telamon.Serial
	Issuer              telamon.IssuerID
	CRLShard            int
	NotBefore, NotAfter time.Time
	SPKIHash            [32]byte
	Names               []string // as telamon.Content has them; nil: see DER
}

// Prepare allocates a serial number, builds the tbsCertificate for req, lints it,
// and returns a token that [Engine.Sign] redeems for exactly those bytes.
//
// Prepare signs nothing: a caller may drop the token, which only burns its serial.
// It reports Unavailable unless the issuer is an issuing CA that may sign now and within
// its validity, and Invalid if the certificate would outlive its issuer, carries an
// extended key usage outside the issuer's family, cannot be encoded, or fails a
// lint. The second named by notAfter is part of the validity period (RFC 5280,
// Section 4.1.2.5), so n seconds end at notBefore + n - 1.
func (e *Engine) Prepare(ctx context.Context, req Request) (*Token, error) {
	snapshot := e.issuers.Load()
	issuer := snapshot.byID[req.Issuer]
	now := e.clock.Now()
	if err := usable(issuer, now); err != nil {
		return nil, err
	}
	if fields := fits(issuer, snapshot.series[issuer.Series], &req); len(fields) > 0 {
		return nil, &fault.Fault{
			Kind: fault.Invalid, Code: "issuer_limit", Detail: "The issuing CA cannot sign this certificate.", Fields: fields,
		}
	}
	if req.Profile == "" {
		req.Profile = telamon.ProfilePrivate
	}
	algorithm, err := tbs.SignatureFor(issuer.Certificate.PublicKey, req.SignatureAlgorithm, req.HashAlgorithm)
	if err != nil {
		return nil, &fault.Fault{
			Kind: fault.Invalid, Code: "signature_algorithm", Detail: "The issuing CA does not sign by this algorithm.",
			Fields: []fault.Field{{Path: "signature.algorithm", Problem: "is not allowed"}}, Cause: err,
		}
	}
	if own, err := tbs.SignatureFor(issuer.Certificate.PublicKey, "", ""); req.Profile.Strict() && algorithm.Name() == "ECDSA" && algorithm != own {
		return nil, &fault.Fault{ // BR 7.1.3.2.2
			Kind: fault.Invalid, Code: "signature_algorithm", Detail: "A CA of strict TLS signs with the hash of its curve.",
			Fields: []fault.Field{{Path: "signature.hash_algorithm", Problem: "is not allowed"}}, Cause: err,
		}
	}
	serial := telamon.NewSerial(now)
	shard := serial.Shard(issuer.CRLShards)
	return e.token(ctx, &Token{
		engine: e, issuer: issuer, profile: req.Profile,
		template: &tbs.Template{
			Serial: serial, Issuer: issuer.Certificate, NotBefore: req.NotBefore, NotAfter: req.NotAfter, Content: req.Content,
			PublicKey: req.PublicKey, Signature: algorithm, Poison: req.Precertificate,
			PolicyOIDs: req.Policies, OmitKeyID: req.Profile == telamon.ProfileStrictTLS,
			CRLURLs: []string{e.crlURL(issuer.ID, shard)}, CAIssuersURLs: []string{e.issuerURL(issuer.ID)},
			OCSPURLs: e.ocspURLs(issuer, snapshot.series[issuer.Series]),
		},
		signed: Signed{
			Serial: serial, Issuer: issuer.ID, CRLShard: shard, NotBefore: req.NotBefore, NotAfter: req.NotAfter,
			SPKIHash: req.PublicKey.Hash, Names: req.Content.Names(),
		},
	})
}

// token builds and lints what a token's template says.
func (e *Engine) token(ctx context.Context, t *Token) (*Token, error) {
	var err error
	if t.tbsDER, err = tbs.Build(t.template); err != nil {
		return nil, &fault.Fault{
			Kind: fault.Invalid, Code: "not_encodable", Detail: "The certificate cannot be encoded as requested.", Cause: err,
		}
	}
	if err := e.mustPass(ctx, t.profile, t.tbsDER); err != nil {
		return nil, err
	}
	return t, nil
}

// mustPass reports Invalid unless the tbsCertificate passes the lints of the profile.
func (e *Engine) mustPass(ctx context.Context, profile telamon.Profile, tbsDER []byte) error {
	if e.lint == nil {
		return nil
	}
	if fields := e.lint(ctx, profile, tbsDER); len(fields) > 0 {
		return &fault.Fault{Kind: fault.Invalid, Code: "lint", Detail: "The certificate would break a rule.", Fields: fields}
	}
	return nil
}

// usable reports Unavailable unless the issuer may sign certificates now.
func usable(issuer *telamon.Issuer, now time.Time) error {
	switch {
	case issuer == nil:
		return fault.New(fault.Unavailable, "issuer_unknown", "The issuing CA is not known yet.")
	case !issuer.MaySign(now):
		return fault.New(fault.Unavailable, "issuer_not_active", "The issuing CA is not active.")
	case now.Before(issuer.Certificate.NotBefore) || now.After(issuer.Certificate.NotAfter):
		return fault.New(fault.Unavailable, "issuer_not_valid", "The issuing CA is not valid now.")
	}
	return nil
}

// fits returns how a request exceeds what the issuer may sign.
func fits(issuer *telamon.Issuer, series telamon.Series, req *Request) []fault.Field {
	var fields []fault.Field
	if req.NotBefore.Before(issuer.Certificate.NotBefore) {
		fields = append(fields, fault.Field{Path: "validity.not_before", Problem: "is before the issuing CA's"})
	}
	if req.NotAfter.After(issuer.Certificate.NotAfter) {
		fields = append(fields, fault.Field{Path: "validity.not_after", Problem: "is too long"})
	}
	for _, id := range req.Content.ExtKeyUsage.OIDs {
		if !series.EKUFamily.Allows(id) {
			fields = append(fields, fault.Field{Path: "extended_key_usages", Problem: "is not allowed"})
			break
		}
	}
	return fields
}

// errRedeemed is a bug of the caller.
var errRedeemed = errors.New("the token was redeemed before")

// Sign has the keystore sign what was prepared and verifies the signature. It
// redeems the token whatever becomes of it.
//
// It reports Unavailable if the keystore cannot sign, and Internal if it signed
// wrongly; then the certificate must not leave the platform.
func (e *Engine) Sign(ctx context.Context, t *Token) (*Signed, error) {
	if t.engine != e || t.redeemed.Swap(true) {
		return nil, errRedeemed
	}
	signature, err := e.keys.SignCertificate(t.issuer.KeyName, t.tbsDER)
	if err != nil {
		e.log.ErrorContext(ctx, "the keystore did not sign", "issuer", t.issuer.ID, "error", err)
		return nil, &fault.Fault{
			Kind: fault.Unavailable, Code: "signing_failed", Detail: "The service is busy. Retry later.", RetryAfter: 2 * time.Second, Cause: err,
		}
	}
	if err := t.template.Signature.Verify(t.issuer.Certificate.PublicKey, t.tbsDER, signature); err != nil {
		e.log.ErrorContext(ctx, "the keystore signed wrongly: a fault attack or a broken key", "issuer", t.issuer.ID, "error", err)
		return nil, fmt.Errorf("signature by issuer %s: %w", t.issuer.ID, err)
	}
	signed := t.signed
	if signed.DER, err = tbs.Assemble(t.tbsDER, t.template.Signature, signature); err != nil {
		return nil, fmt.Errorf("assemble certificate %s: %w", signed.Serial, err)
	}
	return &signed, nil
}
