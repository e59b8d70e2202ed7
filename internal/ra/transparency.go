package ra

import (
	"context"
	"crypto/x509"
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/ct"
	"github.com/telamon-ca/telamon/internal/directory"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/issuance"
	"github.com/telamon-ca/telamon/internal/store"
)

// Transparency says which certificates carry timestamps of logs. The zero value logs
// none.
type Transparency struct {
	Logs   *ct.Submitter
	Series []string // the issuer series whose strict certificates are logged, by name
}

// isLogged reports whether the scope's certificates are logged: strict ones alone,
// since a log publishes every name.
func (ra *RA) isLogged(scope *directory.Scope) bool {
	if ra.transparency.Logs == nil || !scope.Policy.Strict() {
		return false
	}
	series, err := ra.issuance.Series(scope.Service.Series)
	return err == nil && slices.Contains(ra.transparency.Series, series.Name)
}

// signLogged runs step 10 for a certificate that logs must know: it signs the
// precertificate that the token is of, stores it before any log sees it, submits it,
// and signs the certificate with the timestamps. If it fails, nothing of the serial
// number is left but a revoked precertificate, at once or, should this process end,
// when another one finds it.
func (ra *RA) signLogged(ctx context.Context, actor telamon.Actor, scope *directory.Scope, token *issuance.Token) (*issuance.Signed, error) {
	if err := ra.mustHaveQuota(ctx, scope); err != nil {
		return nil, err
	}
	chain, err := ra.issuance.Chain(actor.Issuer)
	if err != nil {
		return nil, err
	}
	pre, err := ra.issuance.Sign(ctx, token)
	if err != nil {
		return nil, err
	}
	err = ra.store.SavePrecertificate(ctx, &store.Precertificate{
		Serial: pre.Serial, Pair: actor.Pair, Credential: actor.Credential, Issuer: pre.Issuer, CRLShard: pre.CRLShard,
		SPKIHash: pre.SPKIHash, NotAfter: pre.NotAfter, DER: pre.DER,
	}, telamon.Event{
		Actor: actor, Account: actor.Account, Action: "precertificate.create", Object: pre.Serial.String(), Result: "ok",
		After: issuedFacts{Issuer: pre.Issuer, Policy: scope.PolicyVersion, NotAfter: pre.NotAfter},
	})
	if err != nil {
		ra.abandon(ctx, actor, pre.Serial) // it may be there all the same
		return nil, err
	}
	signed, err := ra.complete(ctx, token, pre, chain)
	if err != nil {
		ra.abandon(ctx, actor, pre.Serial)
		return nil, err
	}
	return signed, nil
}

// complete submits a stored precertificate and signs its certificate.
func (ra *RA) complete(ctx context.Context, token *issuance.Token, pre *issuance.Signed, chain []*x509.Certificate) (*issuance.Signed, error) {
	scts, err := ra.transparency.Logs.Submit(ctx, pre.DER, chain)
	if err != nil {
		return nil, err
	}
	list, err := ct.EncodeList(scts)
	if err != nil {
		return nil, err
	}
	final, err := ra.issuance.Complete(ctx, token, list)
	if err != nil {
		return nil, err
	}
	return ra.issuance.Sign(ctx, final)
}

// mustHaveQuota reports Limited if no quota is left now, so that no log is bothered for
// nothing. Quota is drawn when the certificate is written.
func (ra *RA) mustHaveQuota(ctx context.Context, scope *directory.Scope) error {
	if scope.Service.Unlimited {
		return nil
	}
	left, err := ra.store.Remaining(ctx, scope.Subscription.ID)
	if err == nil && left < 1 {
		return fault.New(fault.Limited, fault.CodeQuotaReached, "Quota Reached")
	}
	return err
}

// abandon ends a precertificate of which no certificate is known to be written, also
// for a client that has gone. One that is not pending, since its certificate was
// written after all, stays. What cannot be abandoned now is when it is found.
func (ra *RA) abandon(ctx context.Context, actor telamon.Actor, serial telamon.Serial) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalLimit)
	defer cancel()
	if err := ra.store.AbandonPrecertificate(ctx, actor, serial); err != nil && !fault.Is(err, fault.Conflict) {
		ra.log.WarnContext(ctx, "a precertificate was not abandoned yet", "serial", serial.String(), "error", err)
	}
}

// abandonAfter is how old a pending precertificate is that nobody works on any more: a
// request takes seconds, and clocks of replicas differ.
const abandonAfter = 15 * time.Minute

// AbandonPrecertificates revokes the precertificates that processes left which ended
// before their certificates were written. Every process calls it now and then.
func (ra *RA) AbandonPrecertificates(ctx context.Context) error {
	n, err := ra.store.AbandonPrecertificates(ctx, ra.clock.Now().Add(-abandonAfter))
	if n > 0 {
		ra.log.WarnContext(ctx, "abandoned precertificates that became no certificates", "n", n)
	}
	return err
}
