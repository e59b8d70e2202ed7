package publish

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/crl"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/tbs"
)

// build reads, builds, has signed, verifies and stores a CRL.
func (p *Publisher) build(ctx context.Context, actor telamon.Actor, issuer *telamon.Issuer, n int) (*store.CRL, error) {
	algorithm, err := tbs.SignatureFor(issuer.Certificate.PublicKey, "", "")
	if err != nil {
		return nil, err
	}
	next, err := p.cfg.Store.BeginCRL(ctx, issuer.ID, n)
	if err != nil {
		return nil, err
	}
	_, lifetime := p.cfg.Schedule.of(issuer)
	next.NextUpdate = next.ThisUpdate.Add(lifetime)
	strict, err := p.isStrict(issuer)
	if err != nil {
		return nil, err
	}
	template := crl.Template{
		Issuer: issuer.Certificate, Signature: algorithm, Number: next.Number, ThisUpdate: next.ThisUpdate, NextUpdate: next.NextUpdate,
	}
	if strict || issuer.CRLShards > 1 {
		template.DistributionPoint = p.cfg.Issuers.CRLURL(issuer.ID, n)
	}
	builder, err := crl.NewBuilder(template, p.cfg.TempDir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := builder.Close(); err != nil {
			p.cfg.Log.WarnContext(ctx, "cannot remove a temporary file", "error", err)
		}
	}()
	var entry crl.Entry
	err = p.cfg.Store.RevokedOf(ctx, issuer.ID, n, next.Since, func(r *store.RevokedEntry) error {
		entry = entryOf(r, strict)
		err := builder.Add(&entry)
		if errors.Is(err, crl.ErrEntry) { // one bad row must not keep the others off the CRL
			p.cfg.Log.ErrorContext(ctx, "a CRL entry is written without its time and reason", "issuer", issuer.ID, "shard", n, "error", err)
			entry = crl.Entry{Serial: r.Serial, RevokedAt: next.ThisUpdate, Reason: telamon.ReasonUnspecified}
			err = builder.Add(&entry)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	draft, err := builder.Finish()
	if err != nil {
		return nil, err
	}
	next.Entries = draft.Entries
	body, _, err := draft.Sign(func(list io.Reader) ([]byte, error) { return p.cfg.Keys.SignCRL(issuer.KeyName, list) })
	if err != nil {
		return nil, err
	}
	return p.cfg.Store.PublishCRL(ctx, actor, next, body)
}

// isStrict reports whether the issuer follows the rules of public CAs: it issues TLS
// server certificates alone.
func (p *Publisher) isStrict(issuer *telamon.Issuer) (bool, error) {
	if issuer.Role == telamon.RoleRoot {
		return false, nil // its CRL is complete: no issuing distribution point narrows it
	}
	series, err := p.cfg.Issuers.Series(issuer.Series)
	return series.EKUFamily == telamon.EKUServerAuth, err
}

// entryOf returns the entry of a revoked certificate. The revocation date of a
// compromised key is that of the compromise, if it was told (BR 7.2.2): TLS
// implementations take it for the date from which on the key is not to be trusted.
// Private CRLs say so in an invalidityDate as well (RFC 5280, Section 5.3.2), which BR
// 7.2.2 advises against.
func entryOf(r *store.RevokedEntry, strict bool) crl.Entry {
	revocation := telamon.Revocation{At: r.At, Reason: r.Reason, CompromisedAt: r.CompromisedAt}
	date := revocation.Date()
	e := crl.Entry{Serial: r.Serial, RevokedAt: date.Truncate(time.Second), Reason: r.Reason}
	if date.Before(r.At) && !strict {
		e.InvalidAt = e.RevokedAt
	}
	return e
}
