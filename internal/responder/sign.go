package responder

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/ocsp"
	"github.com/telamon-ca/telamon/internal/store"
)

// live signs an answer for one request, which nobody keeps.
func (r *Responder) live(ctx context.Context, issuer *telamon.Issuer, keys []key, nonce []byte) *Answer {
	ctx, cancel := context.WithTimeout(ctx, workLimit)
	defer cancel()
	statuses := make([]store.SerialStatus, len(keys))
	for i, k := range keys {
		status, known, err := r.status(ctx, issuer, k.serial)
		switch {
		case err != nil:
			return tryLater
		case !known:
			return unauthorized
		}
		statuses[i] = status
	}
	answer, err := r.sign(ctx, issuer, keys, statuses, nonce)
	if err != nil {
		return tryLater
	}
	r.stats.Live.Add(1)
	answer.KeepUntil = time.Time{}
	return answer
}

// errNoResponder is why nothing is signed for an issuer. It passes: see Refresh.
var errNoResponder = errors.New("the issuing CA has no responder")

// sign has an answer signed that says the statuses of certificates of one issuer.
func (r *Responder) sign(ctx context.Context, issuer *telamon.Issuer, keys []key, statuses []store.SerialStatus, nonce []byte) (*Answer, error) {
	s, err := r.signer(ctx, issuer)
	if err != nil {
		return nil, r.failed(ctx, "make an OCSP responder", err)
	}
	now := r.cfg.Clock.Now().Truncate(time.Second)
	a := &Answer{ThisUpdate: now, NextUpdate: minTime(now.Add(r.cfg.Validity-time.Second), s.cert.NotAfter)} // both ends count (BR 4.9.9)
	a.KeepUntil = minTime(now.Add(a.NextUpdate.Sub(now)/2), now.Add(maxAge))
	response := ocsp.Response{ResponderKeyHash: s.keyHash, ProducedAt: now, Nonce: nonce}
	_, names := r.issuer(issuer.ID)
	if names == nil {
		return nil, errNoResponder
	}
	for i, k := range keys {
		single := ocsp.Single{ID: names.CertID(k.hash, k.serial.Int()), ThisUpdate: a.ThisUpdate, NextUpdate: a.NextUpdate}
		if revocation := statuses[i].Revocation; revocation != nil {
			single.RevokedAt, single.Reason = revocation.Date(), revocation.Reason.Code()
		}
		response.Singles = append(response.Singles, single)
	}
	data, err := response.Data()
	if err != nil {
		return nil, r.failed(ctx, "write an OCSP response", err)
	}
	if err := acquire(ctx, r.signing); err != nil {
		return nil, r.failed(ctx, "sign an OCSP response", err)
	}
	defer release(r.signing)
	signature, algorithm, err := r.cfg.Engine.SignOCSP(ctx, s.keyName, s.cert, data)
	if err != nil {
		return nil, r.failed(ctx, "sign an OCSP response", err)
	}
	if a.DER, err = ocsp.Assemble(data, algorithm, signature, s.cert); err != nil {
		return nil, r.failed(ctx, "write an OCSP response", err)
	}
	a.Digest = sha256.Sum256(a.DER)
	return a, nil
}

func isNotFound(err error) bool { return fault.Is(err, fault.NotFound) }
