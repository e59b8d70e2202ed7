package issuance

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/telamon-ca/telamon/internal/tbs"
)

// errNotSigned is a bug of the caller.
var errNotSigned = errors.New("the token is not that of a signed precertificate, or was completed before")

// Complete returns the token of the certificate that a precertificate promises: with
// the timestamps that logs gave for it (the TLS encoding of a
// SignedCertificateTimestampList) in the place of its poison, and nothing else changed,
// which is checked. The precertificate must have been signed, and is completed once.
//
// It reports what [Engine.Prepare] reports. The certificate is linted again, as it
// stands.
func (e *Engine) Complete(ctx context.Context, precertificate *Token, sctList []byte) (*Token, error) {
	pre := precertificate
	if pre.engine != e || !pre.template.Poison || !pre.redeemed.Load() || len(sctList) == 0 || pre.completed.Swap(true) {
		return nil, errNotSigned
	}
	if err := usable(e.issuers.Load().byID[pre.issuer.ID], e.clock.Now()); err != nil {
		return nil, err
	}
	template := *pre.template
	template.Poison, template.SCTList = false, sctList
	t, err := e.token(ctx, &Token{engine: e, issuer: pre.issuer, profile: pre.profile, template: &template, signed: pre.signed})
	if err != nil {
		return nil, err
	}
	promised, err := tbs.Logged(pre.tbsDER)
	if err != nil {
		return nil, fmt.Errorf("read precertificate %s: %w", pre.signed.Serial, err)
	}
	kept, err := tbs.Logged(t.tbsDER)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s: %w", pre.signed.Serial, err)
	}
	if !bytes.Equal(promised, kept) {
		return nil, fmt.Errorf("certificate %s does not correspond to its precertificate", pre.signed.Serial)
	}
	return t, nil
}
