package ra

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/policy"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// A RekeyRequest asks for the content of a certificate with another key.
type RekeyRequest struct {
	PublicKey          string // as in CertificateRequest
	PublicKeySignature string
	SignatureAlgorithm string // "" for the issuer's default
	HashAlgorithm      string
}

// Rekey issues a certificate that repeats the content and notAfter of one of the
// pair's certificates, for another key, from now on. A rekey is an issuance: the
// policy, the limits and the checks of the day apply, but for the shortest
// validity, and it uses quota. If they would no longer give the same content, the
// request is refused.
//
// It reports what Issue reports, NotFound if the pair has no such certificate, and
// Invalid with not_issued if that is revoked or has expired.
func (ra *RA) Rekey(ctx context.Context, actor telamon.Actor, serial telamon.Serial, req *RekeyRequest) (telamon.Serial, error) {
	old, asked, err := ra.repeat(ctx, actor, serial)
	if err != nil {
		return telamon.Serial{}, ra.refuse(ctx, actor, authz.CertificateRekey, serial.String(), err)
	}
	asked.SignatureAlgorithm, asked.HashAlgorithm = req.SignatureAlgorithm, req.HashAlgorithm
	return ra.issue(ctx, actor, authz.CertificateRekey, &CertificateRequest{
		Policy: *asked, PublicKey: req.PublicKey, PublicKeySignature: req.PublicKeySignature,
	}, old)
}

// repeat returns one of the pair's certificates that can be rekeyed, and the
// request that asks for the same content and end from now on.
func (ra *RA) repeat(ctx context.Context, actor telamon.Actor, serial telamon.Serial) (*rekeyed, *policy.Request, error) {
	if _, err := ra.scope(ctx, actor, authz.CertificateRekey); err != nil {
		return nil, nil, err
	}
	cert, err := ra.store.Certificate(ctx, actor.Pair, serial)
	if err != nil {
		return nil, nil, err
	}
	if cert.Status != telamon.StatusIssued || !cert.NotAfter.After(ra.clock.Now()) {
		return nil, nil, fault.New(fault.Invalid, "not_issued", "Only an ISSUED and unexpired certificate can be rekeyed")
	}
	blob, err := ra.store.CertificateBlob(ctx, cert)
	if err != nil {
		return nil, nil, err
	}
	var asked policy.Request
	if err := json.Unmarshal(blob.Request, &asked); err != nil {
		return nil, nil, fmt.Errorf("read the request of certificate %s: %w", serial, err)
	}
	asked.NotBefore, asked.NotAfter, asked.Rekey = 0, cert.NotAfter.Unix(), true
	content, err := tbs.ContentOf(blob.DER)
	if err != nil {
		return nil, nil, fmt.Errorf("read certificate %s: %w", serial, err)
	}
	return &rekeyed{serial: serial, content: content}, &asked, nil
}

// rekeyed is a certificate whose content another one repeats.
type rekeyed struct {
	serial  telamon.Serial
	content []byte // its subject and requested extensions, as tbs.ContentOf gives them
}

// mustMatch reports Invalid unless the certificate to be signed says the same.
func (r *rekeyed) mustMatch(toBeSigned []byte) error {
	content, err := tbs.ContentOfTBS(toBeSigned)
	if err != nil {
		return fmt.Errorf("read the certificate to be signed: %w", err)
	}
	if !bytes.Equal(content, r.content) {
		return fault.New(fault.Invalid, "content_changed",
			"The validation policy no longer gives the content of this certificate; request a new one")
	}
	return nil
}
