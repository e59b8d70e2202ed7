package publish

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/crl"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// numberEnd is above every number of a CRL that is imported. Ours are in the order of Unix
// milliseconds, 2^41: one near the end of int64 would be the last that a shard can have.
const numberEnd = 1 << 62

// Import publishes a CRL that was signed elsewhere, by an issuer whose key is offline.
//
// It reports Invalid with crl_import, and publishes nothing, if the CRL is of none of
// our issuers, does not verify, is not of now, is older than the last one, is a delta or of
// an unknown shard, has no number above the last one or one that leaves no room above it,
// or lacks a certificate that is revoked.
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
	now := p.cfg.Clock.Now()
	switch {
	case list.Base != nil:
		return nil, refused(errors.New("it is a delta CRL"))
	case list.ThisUpdate.After(now) || !list.NextUpdate.After(now):
		return nil, refused(errors.New("its times do not hold now"))
	case list.ThisUpdate.Before(next.LastUpdate):
		return nil, refused(fmt.Errorf("the last one is of %s, which is later", next.LastUpdate.Format(time.RFC3339)))
	case !list.Number.IsInt64() || list.Number.Int64() >= numberEnd:
		return nil, refused(fmt.Errorf("its number is %s, after which few numbers are left", list.Number))
	case list.Number.Int64() <= next.LastNumber:
		return nil, refused(fmt.Errorf("its number is %s, and must be above %d", list.Number, next.LastNumber))
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

// Request returns what a ceremony needs to sign the next CRL of a root whose key is
// offline; see Import. Its number is above every one that was published.
//
// It reports NotFound for an unknown issuer, and Conflict with crl_online if the key is
// here: then the server signs by itself.
func (p *Publisher) Request(ctx context.Context, id telamon.IssuerID) (*crl.Request, error) {
	issuer, err := p.cfg.Issuers.Issuer(id)
	if err != nil {
		return nil, err
	}
	if issuer.Role != telamon.RoleRoot || p.hasKey(issuer) {
		return nil, fault.New(fault.Conflict, "crl_online", "Only of a root whose key is not here are CRLs signed elsewhere.")
	}
	next, err := p.cfg.Store.BeginCRL(ctx, id, 0)
	if err != nil {
		return nil, err
	}
	_, lifetime := p.cfg.Schedule.of(issuer)
	request := &crl.Request{
		Issuer: id, KeyID: hex.EncodeToString(issuer.Certificate.SubjectKeyId), Number: next.Number, Lifetime: int64(lifetime / time.Second),
		Entries: []crl.RequestedEntry{},
	}
	err = p.cfg.Store.RevokedOf(ctx, id, 0, next.Since, func(r *store.RevokedEntry) error {
		e := entryOf(r, true)
		request.Entries = append(request.Entries, crl.RequestedEntry{Serial: e.Serial.String(), RevokedAt: e.RevokedAt, Reason: e.Reason})
		return nil
	})
	return request, err
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
