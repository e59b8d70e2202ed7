package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/crl"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
)

// reapplyStep is how many revocations are brought back in one transaction.
const reapplyStep = 200

// A published is a CRL that is in sight and newer than the database's.
type published struct {
	path   string
	issuer *telamon.Issuer
	shard  int
	number int64
}

// compareCRLs finds what published CRLs name and the database does not know, and the
// numbers that its next CRLs must be above.
func (a *Admission) compareCRLs(ctx context.Context, db *store.DB, issuers []telamon.Issuer, keys *keystore.Inspection, now time.Time, evidence Evidence) error {
	numbers := map[string]int64{}
	known, err := db.CRLNumbers(ctx)
	if err != nil {
		return err
	}
	for _, n := range known {
		numbers[shardName(n.Issuer, n.Shard)] = n.Number
	}
	seen := map[string]bool{} // shards of which one is there that is no older than the database
	for _, path := range evidence.CRLs {
		list, err := a.open(path, issuers, keys)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if list == nil {
			continue // told already
		}
		a.crls = append(a.crls, list)
		if name := shardName(list.issuer.ID, list.shard); list.number >= numbers[name] {
			seen[name] = true
		}
	}
	if evidence.Fetch != nil {
		if err := a.fetchCRLs(ctx, issuers, keys, now, numbers, seen, evidence); err != nil {
			return err
		}
	}
	for _, list := range a.crls {
		if has := numbers[shardName(list.issuer.ID, list.shard)]; list.number > has {
			a.Losses = append(a.Losses, fmt.Sprintf("CRL %d of issuer %s, shard %d, was published, and the database knows %d as the newest",
				list.number, list.issuer.ID, list.shard, has))
			a.CRLs = append(a.CRLs, store.CRLNumber{Issuer: list.issuer.ID, Shard: list.shard, Number: list.number})
		}
		if err := a.compareEntries(ctx, db, list); err != nil {
			return fmt.Errorf("%s: %w", list.path, err)
		}
	}
	return nil
}

func shardName(issuer telamon.IssuerID, shard int) string {
	return issuer.String() + "/" + strconv.Itoa(shard)
}

// fetchCRLs fetches the CRLs of the shards that were not seen. That nothing is found is a
// loss if the database knows that there was a CRL, unless the issuer has expired: what was
// revoked after the backup is not known then.
func (a *Admission) fetchCRLs(ctx context.Context, issuers []telamon.Issuer, keys *keystore.Inspection, now time.Time, numbers map[string]int64, seen map[string]bool, evidence Evidence) error {
	for n := range issuers {
		issuer := &issuers[n]
		missing, had, first := 0, 0, error(nil)
		for shard := range issuer.CRLShards {
			name := shardName(issuer.ID, shard)
			if seen[name] {
				continue
			}
			list, err := a.fetch(ctx, issuers, n, shard, numbers[name], keys, evidence)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				missing++
				if numbers[name] > 0 {
					had++
				}
				first = cmp.Or(first, err)
			case list != nil:
				a.crls = append(a.crls, list)
			}
		}
		text := fmt.Sprintf("%d of %d CRLs of issuer %s are not in sight: %v", missing, issuer.CRLShards, issuer.ID, first)
		switch {
		case missing == 0:
		case had == 0 || issuer.Certificate.NotAfter.Before(now):
			a.Warnings = append(a.Warnings, text)
		default:
			a.Losses = append(a.Losses, text+"; what they revoke that the database does not know is lost")
		}
	}
	return nil
}

// errNotFound is why a CRL is not in sight that must have been published.
var errNotFound = errors.New("it is not where it was published")

// fetch fetches the CRL of a shard of the issuer in place n, whose newest one has the number
// as far as the database knows, 0 for none. It returns nil if nothing was ever published.
func (a *Admission) fetch(ctx context.Context, issuers []telamon.Issuer, n, shard int, number int64, keys *keystore.Inspection, evidence Evidence) (*published, error) {
	path, err := evidence.Fetch(ctx, issuers[n].ID, shard)
	if err != nil {
		return nil, err
	}
	if path == "" && number > 0 {
		return nil, errNotFound
	}
	if path == "" {
		return nil, nil
	}
	list, err := a.open(path, issuers, keys)
	if err != nil {
		return nil, err
	}
	if list == nil || list.issuer.ID != issuers[n].ID || list.shard != shard {
		return nil, errors.New("another one is where it was published")
	}
	if list.number < number {
		return nil, fmt.Errorf("number %d is where it was published, and the database knows %d", list.number, number)
	}
	return list, nil
}

// open verifies a CRL by the certificate of the issuer that made it. It returns nil,
// with a loss or a warning, if that is none of the database's.
func (a *Admission) open(path string, issuers []telamon.Issuer, keys *keystore.Inspection) (*published, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	var unsigned error // of an issuer of the name: a root may have been renewed under its name
	for n := range issuers {
		list, err := crl.Open(file, info.Size(), issuers[n].Certificate)
		switch {
		case errors.Is(err, crl.ErrForeign):
			continue
		case errors.Is(err, crl.ErrSignature):
			unsigned = err
			continue
		case err != nil:
			return nil, err
		}
		shard, err := shardOf(list.DistributionPoint, issuers[n].ID)
		if err != nil {
			return nil, err
		}
		if !list.Number.IsInt64() {
			return nil, errors.New("its number is none of ours")
		}
		return &published{path, &issuers[n], shard, list.Number.Int64()}, nil
	}
	for _, k := range keys.Keys {
		if k.Err != nil || k.Purpose.Certificate == nil || !k.Purpose.Certificate.IsCA {
			continue
		}
		if _, err := crl.Open(file, info.Size(), k.Purpose.Certificate); err == nil {
			a.Losses = append(a.Losses, fmt.Sprintf("%s is a CRL of the issuer with the key %s, which the database does not know", path, k.Name))
			return nil, nil
		}
	}
	if unsigned != nil {
		return nil, unsigned
	}
	a.Warnings = append(a.Warnings, path+" is a CRL of nobody's here: it is not looked at")
	return nil, nil
}

// shardOf returns the shard that a distribution point names: those of our CRLs end in
// /crl/<issuer>/<shard>.crl, and a CRL without one is of the only shard.
func shardOf(url string, issuer telamon.IssuerID) (int, error) {
	if url == "" {
		return 0, nil
	}
	_, name, ok := strings.Cut(url, "/crl/"+issuer.String()+"/")
	if text, isCRL := strings.CutSuffix(name, ".crl"); ok && isCRL {
		if shard, err := strconv.Atoi(text); err == nil && shard >= 0 {
			return shard, nil
		}
	}
	return 0, fmt.Errorf("its distribution point %q names no shard of the issuer", url)
}

// compareEntries counts the revocations that the database does not know.
func (a *Admission) compareEntries(ctx context.Context, db *store.DB, list *published) error {
	revoked, unknown := 0, 0
	err := list.each(func(e *crl.Entry) error {
		is, known, err := db.IsRevoked(ctx, e.Serial)
		if err != nil || is {
			return err
		}
		revoked++
		if !known {
			unknown++
		}
		return nil
	})
	if err != nil {
		return err
	}
	if revoked > 0 {
		a.Losses = append(a.Losses, fmt.Sprintf("%d revocations of issuer %s are on its CRL and not in the database, %d of them of certificates that it does not know: they are brought back",
			revoked, list.issuer.ID, unknown))
	}
	a.Revocations += revoked
	a.Unknown += unknown
	return nil
}

// each calls yield with the entries of the CRL, which is verified again: it may not be
// the file that it was.
func (p *published) each(yield func(*crl.Entry) error) error {
	file, err := os.Open(p.path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	list, err := crl.Open(file, info.Size(), p.issuer.Certificate)
	if err != nil {
		return err
	}
	if !list.Number.IsInt64() || list.Number.Int64() != p.number {
		return errors.New("the file has changed")
	}
	return list.Entries(yield)
}

// reapply brings revocations back and raises the numbers of CRLs.
func (a *Admission) reapply(ctx context.Context, db *store.DB, actor telamon.Actor) error {
	for _, list := range a.crls {
		var entries []store.RevokedEntry
		flush := func() error {
			_, err := db.ReapplyRevocations(ctx, actor, list.issuer, list.shard, entries)
			entries = entries[:0]
			return err
		}
		err := list.each(func(e *crl.Entry) error {
			entries = append(entries, store.RevokedEntry{Serial: e.Serial, At: e.RevokedAt, Reason: e.Reason, CompromisedAt: e.InvalidAt})
			if len(entries) < reapplyStep {
				return nil
			}
			return flush()
		})
		if err == nil && len(entries) > 0 {
			err = flush()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", list.path, err)
		}
	}
	for _, n := range a.CRLs {
		if err := db.RaiseCRLNumber(ctx, n.Issuer, n.Shard, n.Number); err != nil {
			return err
		}
	}
	return nil
}
