package issuance

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// CreateResponder makes an OCSP responder of an issuing CA, active or retired: a key
// of that name in the keystore, and a certificate for it that is valid for life, or
// until the CA's own ends if that is sooner (RFC 6960, Section 4.2.2.2). It says
// id-pkix-ocsp-nocheck, so that nobody asks for its own status, and nothing of CRLs
// (BR 7.1.2.8). The key is of the CA's algorithm, so that whoever can verify the CA's
// certificates can verify the responses.
//
// The caller stores the certificate. If CreateResponder fails, a key may be left in
// the keystore that nothing refers to. It reports NotFound for an issuer that is
// not known.
func (e *Engine) CreateResponder(ctx context.Context, id telamon.IssuerID, keyName string, life time.Duration) (*x509.Certificate, error) {
	issuer, err := e.Issuer(id)
	if err != nil {
		return nil, err
	}
	if issuer.Role != telamon.RoleIssuing {
		return nil, fmt.Errorf("create responder of %s: it is no issuing CA", id)
	}
	cert, err := e.createResponder(ctx, issuer, keyName, life)
	if err != nil {
		return nil, fmt.Errorf("create responder of %s: %w", id, err)
	}
	return cert, nil
}

func (e *Engine) createResponder(ctx context.Context, issuer *telamon.Issuer, keyName string, life time.Duration) (*x509.Certificate, error) {
	ca, now := issuer.Certificate, e.clock.Now().Truncate(time.Second)
	keyType := tbs.ECP256
	if _, isRSA := tbs.SignatureFor(ca.PublicKey, "RSA", ""); isRSA == nil {
		keyType = tbs.RSA2048
	}
	key, err := e.newKey(keyName, keyType)
	if err != nil {
		return nil, err
	}
	template := &tbs.Template{
		Serial: telamon.NewSerial(now), Issuer: ca, NotBefore: now.Add(-backdate), NotAfter: now.Add(life - time.Second),
		Content: telamon.Content{
			Subject:     responderName(ca, now),
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: telamon.ExtKeyUsage{OIDs: []x509.OID{mustOID(telamon.OCSPSigning)}},
		},
		PublicKey: key, OCSPNoCheck: true,
	}
	if template.NotBefore.Before(ca.NotBefore) {
		template.NotBefore = ca.NotBefore
	}
	if template.NotAfter.After(ca.NotAfter) {
		template.NotAfter = ca.NotAfter
	}
	if template.Signature, err = tbs.SignatureFor(ca.PublicKey, "", ""); err != nil {
		return nil, err
	}
	tbsDER, err := tbs.Build(template)
	if err != nil {
		return nil, err
	}
	profile := telamon.ProfileResponder
	if e.issuers.Load().series[issuer.Series].EKUFamily == telamon.EKUServerAuth {
		profile = telamon.ProfileStrictResponder
	}
	if err := e.mustPass(ctx, profile, tbsDER); err != nil {
		return nil, err
	}
	signature, err := e.keys.SignCertificate(issuer.KeyName, tbsDER)
	if err != nil {
		return nil, err
	}
	if err := template.Signature.Verify(ca.PublicKey, tbsDER, signature); err != nil {
		e.log.ErrorContext(ctx, "the keystore signed wrongly: a fault attack or a broken key", "issuer", issuer.ID, "error", err)
		return nil, err
	}
	responder := &telamon.Issuer{KeyName: keyName}
	if err := e.finish(responder, template.Signature, tbsDER, signature, keystore.Purpose{Role: telamon.RoleResponder}); err != nil {
		return nil, err
	}
	return responder.Certificate, nil
}

// responderName names a responder after its CA.
func responderName(ca *x509.Certificate, now time.Time) []telamon.Attribute {
	text := func(oid x509.OID, value string) telamon.Attribute {
		return telamon.Attribute{Type: oid, Value: telamon.TypedValue{Type: telamon.UTF8String, Text: value}}
	}
	var name []telamon.Attribute
	if len(ca.Subject.Organization) > 0 {
		name = append(name, text(oidOrganization, ca.Subject.Organization[0]))
	}
	const most = 64 // characters of a common name (RFC 5280, Appendix A.1)
	end := " OCSP " + now.Format("2006-01-02")
	start := []rune(ca.Subject.CommonName)
	return append(name, text(oidCommonName, string(start[:min(len(start), most-len(end))])+end))
}

// SignOCSP has a responder's key sign a ResponseData, and verifies the signature. It
// returns the DER of the algorithm with it. It reports Unavailable if the keystore
// does not sign.
func (e *Engine) SignOCSP(ctx context.Context, keyName string, responder *x509.Certificate, data []byte) (signature, algorithm []byte, err error) {
	signature, signed, err := e.keys.SignOCSP(keyName, data)
	if err != nil {
		return nil, nil, &fault.Fault{
			Kind: fault.Unavailable, Code: "signing_failed", Detail: "The service is busy. Retry later.", RetryAfter: 2 * time.Second, Cause: err,
		}
	}
	if err := signed.Verify(responder.PublicKey, data, signature); err != nil {
		e.log.ErrorContext(ctx, "the keystore signed wrongly: a fault attack or a broken key", "key", keyName, "error", err)
		return nil, nil, fmt.Errorf("signature by responder %s: %w", keyName, err)
	}
	return signature, signed.Identifier(), nil
}
