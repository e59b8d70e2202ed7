package doctor

import (
	"context"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
)

// crlAhead is how far the number of a CRL may be ahead of the time in milliseconds. More
// is the work of a clock that was ahead.
const crlAhead = time.Hour

// revocationLate is how long a revocation may wait for the CRL that names it, while a
// server runs.
const revocationLate = 5 * time.Minute

// crls looks whether the newest CRLs are good, and told of what was revoked.
func (e *examination) crls(ctx context.Context) {
	shards, err := e.db.CRLShards(ctx)
	if err != nil {
		e.fail("crls", "look at the database's own log", "%v", err)
		return
	}
	ended := map[telamon.IssuerID]bool{}
	for _, i := range e.issuers {
		ended[i.ID] = i.Status == telamon.IssuerExpired || !i.Certificate.NotAfter.After(e.now)
	}
	since, good := e.count(), 0
	for _, s := range shards {
		if s.CRL == nil || ended[s.Issuer] {
			continue
		}
		e.crl(&s)
		good++
	}
	e.sound(since, "crls", "%d CRLs are good, and their numbers are not ahead of the clock", good)
}

func (e *examination) crl(s *store.CRLShard) {
	const do = "start the server; if it runs: telamon crl list, and docs/REVOCATION.md"
	switch late := e.now.Sub(s.CRL.NextUpdate); {
	case late >= 0:
		e.fail("crls", do, "CRL %d of issuer %s, shard %d, ended %s ago", s.CRL.Number, s.Issuer, s.Shard, late.Round(time.Minute))
	case e.report.Running && s.IsDirty() && e.now.Sub(s.RevisedAt) > revocationLate:
		e.fail("crls", do, "what was revoked %s ago is on no CRL of issuer %s, shard %d", e.now.Sub(s.RevisedAt).Round(time.Minute), s.Issuer, s.Shard)
	}
	if ahead := time.UnixMilli(s.CRL.Number).Sub(e.now); ahead > crlAhead {
		e.warn("crls", "nothing: numbers go on from there; find out whose clock was ahead", "the number of the CRL of issuer %s, shard %d, is %s ahead of the clock",
			s.Issuer, s.Shard, ahead.Round(time.Minute))
	}
}
