package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/crl"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// Import publishes a CRL that was signed elsewhere, by an issuer whose key is offline.
//
// It reports Invalid with crl_import, and publishes nothing, if the CRL is of none of
// our issuers, does not verify, is not of now, is a delta or of an unknown shard, has no
// number above the last one, or lacks a certificate that is revoked.
func (p *Publisher) Import(ctx context.Context, actor telamon.Actor, der []byte) (*store.CRL, error) {
	issuer, list, err := p.open(der)
	if err != nil {
		return nil, refused(err)
	}
	n, err := p.shardOf(issuer, list)
	if err != nil {
		return nil, refused(err)
	}
	p.building.Lock()
	defer p.building.Unlock()
	next, err := p.cfg.Store.BeginCRL(ctx, issuer.ID, n)
	if err != nil {
		return nil, err
	}
	last := p.Newest(issuer.ID, n)
	now := p.cfg.Clock.Now()
	switch {
	case list.Base != nil:
		return nil, refused(errors.New("it is a delta CRL"))
	case list.ThisUpdate.After(now) || !list.NextUpdate.After(now):
		return nil, refused(errors.New("its times do not hold now"))
	case list.Number.Cmp(big.NewInt(math.MaxInt64)) > 0 || last != nil && list.Number.Int64() <= last.Number:
		return nil, refused(fmt.Errorf("its number is %s, and must be above that of the last one", list.Number))
	}
	next.Number, next.ThisUpdate, next.NextUpdate = list.Number.Int64(), list.ThisUpdate, list.NextUpdate
	if next.Entries, err = p.compare(ctx, issuer.ID, n, next, list); err != nil {
		return nil, err
	}
	out, err := p.cfg.Store.PublishCRL(ctx, actor, next, bytes.NewReader(der))
	if err != nil {
		return nil, err
	}
	_, err = p.refresh(ctx)
	return out, err
}

func refused(cause error) error {
	return &fault.Fault{
		Kind: fault.Invalid, Code: "crl_import", Detail: "The CRL cannot be published: " + cause.Error() + ".", Cause: cause,
	}
}

// open finds the issuer of a CRL and verifies it.
func (p *Publisher) open(der []byte) (*telamon.Issuer, *crl.List, error) {
	for _, issuer := range p.cfg.Issuers.Issuers() {
		list, err := crl.Open(bytes.NewReader(der), int64(len(der)), issuer.Certificate)
		if errors.Is(err, crl.ErrForeign) {
			continue
		}
		return issuer, list, err
	}
	return nil, nil, errors.New("it is of none of our issuers")
}

// shardOf returns the shard that a CRL is of.
func (p *Publisher) shardOf(issuer *telamon.Issuer, list *crl.List) (int, error) {
	if list.DistributionPoint == "" && issuer.CRLShards == 1 {
		return 0, nil
	}
	for n := range issuer.CRLShards {
		if list.DistributionPoint == p.cfg.Issuers.CRLURL(issuer.ID, n) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%q is no shard of its issuer", list.DistributionPoint)
}

// compare returns how many entries a CRL has, if it has all that it must.
func (p *Publisher) compare(ctx context.Context, issuer telamon.IssuerID, n int, next *store.NewCRL, list *crl.List) (int64, error) {
	listed := map[telamon.Serial]bool{}
	var entries int64
	err := list.Entries(func(e *crl.Entry) error {
		entries++
		listed[e.Serial] = true
		return nil
	})
	if err != nil {
		return 0, refused(err)
	}
	err = p.cfg.Store.RevokedOf(ctx, issuer, n, next.Since, func(r *store.RevokedEntry) error {
		if !listed[r.Serial] {
			return refused(fmt.Errorf("it lacks the revoked certificate %s", r.Serial))
		}
		return nil
	})
	return entries, err
}
