package ra

import (
	"context"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/policy"
)

// A Trial is what a service would make of a request.
type Trial struct {
	// Refused is the fault that the request would meet; nil: it would get a certificate.
	Refused error
	// Accepted is what the policy made of the request; nil if it is refused.
	Accepted *policy.Decision
	// TBS is the DER of the tbsCertificate that would be signed; nil if it is refused.
	TBS []byte
	// Policy is the effective policy, nil if the service and the identity make none.
	Policy *policy.Policy
}

// Try has a request judged by a service that need not exist, for an identity with this data:
// by the policy, the key's rules, the issuing CA and the lints. Domain claims and CAA are
// those of an account, and are not looked at. No CA key signs and nothing is written.
//
// It reports Denied; everything else is in the trial.
func (ra *RA) Try(ctx context.Context, actor telamon.Actor, service *telamon.Service, data map[string]string, req *CertificateRequest) (*Trial, error) {
	if err := authz.Check(actor, authz.ServiceRead, ""); err != nil {
		return nil, err
	}
	p, err := ra.directory.Compile(ctx, service, data)
	if err != nil {
		return &Trial{Refused: err}, nil
	}
	trial := &Trial{Policy: p}
	trial.Refused = ra.tryPolicy(ctx, service, trial, req)
	return trial, nil
}

// tryPolicy is Try for a policy that was compiled.
func (ra *RA) tryPolicy(ctx context.Context, service *telamon.Service, trial *Trial, req *CertificateRequest) error {
	now, p := ra.clock.Now(), trial.Policy
	asked := req.Policy
	if p.Strict() {
		asked.MaxSeconds = int64(ra.validation.Rules.MaxValidity(latest(now, asked.NotBefore)) / time.Second)
	}
	accepted, fields := p.Evaluate(&asked, now)
	key, keyFields := ra.checkKey(p.PublicKeyRule(), req)
	if len(keyFields) == 0 {
		var err error
		if keyFields, err = ra.checkBlocked(ctx, "", key); err != nil {
			return err
		}
	}
	if fields = append(fields, keyFields...); len(fields) > 0 {
		return &fault.Fault{
			Kind: fault.Invalid, Code: "policy", Detail: "The request does not meet the validation policy.", Fields: fields,
		}
	}
	issuer, err := ra.issuance.Active(service.Series)
	if err != nil {
		return err
	}
	token, err := ra.issuance.Prepare(ctx, issuance.Request{
		Issuer: issuer.ID, Profile: profileOf(p), Policies: accepted.Policies, NotBefore: accepted.NotBefore, NotAfter: accepted.NotAfter,
		Content: accepted.Content, PublicKey: key, SignatureAlgorithm: accepted.SignatureAlgorithm, HashAlgorithm: accepted.HashAlgorithm,
	})
	if err != nil {
		return err
	}
	trial.Accepted, trial.TBS = accepted, token.TBS()
	return nil
}
