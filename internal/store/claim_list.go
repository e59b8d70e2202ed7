package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A ClaimQuery says which claims of an identity to list.
type ClaimQuery struct {
	Identity      telamon.IdentityID
	Kind          telamon.ClaimKind
	Status        telamon.ClaimStatus // empty: both
	From, To      time.Time           // of creation, inclusive whole seconds; zero: open
	Pattern       ClaimPattern
	Page, PerPage int64 // page counts from 1
}

// seconds returns the bounds in Unix seconds, within what the store can keep.
func (q *ClaimQuery) seconds() (from, to int64) {
	const last = math.MaxInt64/1000 - 1
	to = last
	if !q.From.IsZero() {
		from = min(max(q.From.Unix(), 0), last)
	}
	if !q.To.IsZero() {
		to = min(max(q.To.Unix(), -1), last)
	}
	return from, to
}

// ListClaims returns a page of claims, the newest first, and how many there are in
// all. A page past the end is empty.
//
// Without a pattern, the cost does not grow with the number of claims: totals and the
// start of a page are found in counts. With one it grows with the number of names that
// end like the pattern.
func (db *DB) ListClaims(ctx context.Context, q ClaimQuery) (claims []telamon.Claim, total int64, err error) {
	if q.Page < 1 || q.PerPage < 1 || q.PerPage > math.MaxInt32 {
		return nil, 0, fmt.Errorf("list claims: page %d of %d", q.Page, q.PerPage)
	}
	if err := db.expireClaims(ctx, q.Identity); err != nil {
		return nil, 0, err
	}
	index := int64(math.MaxInt64)
	if q.Page-1 < math.MaxInt64/q.PerPage {
		index = (q.Page - 1) * q.PerPage
	}
	err = db.view(ctx, func(tx *queries.Queries) error {
		var err error
		if q.Pattern.IsZero() {
			claims, total, err = q.list(ctx, tx, index)
		} else {
			claims, total, err = q.match(ctx, tx, index)
		}
		return err
	})
	if err != nil {
		return nil, 0, db.judge(ctx, fmt.Errorf("list claims of %s: %w", q.Identity, err))
	}
	return claims, total, nil
}

// expireStep is how many claims one transaction makes pending that have expired.
const expireStep = 500

// expireClaims makes the identity's claims pending whose verification has expired, so
// that the counts of verified ones are right.
func (db *DB) expireClaims(ctx context.Context, identity telamon.IdentityID) error {
	for {
		rows, err := db.queries().ExpiredClaims(ctx, queries.ExpiredClaimsParams{
			IdentityID: identity.String(), Now: db.clock.Now().UnixMilli(), Lim: expireStep,
		})
		if err != nil {
			return db.judge(ctx, fmt.Errorf("read expired claims of %s: %w", identity, err))
		}
		if len(rows) == 0 {
			return nil
		}
		if err := db.update(ctx, func(t *txn) error { return t.expireAll(ctx, rows) }); err != nil {
			return err
		}
		if len(rows) < expireStep {
			return nil
		}
	}
}

// expireAll makes those of the claims pending whose verification has expired.
func (t *txn) expireAll(ctx context.Context, rows []queries.Claim) error {
	seconds := map[claimCount]int64{}
	for _, r := range rows {
		claim := claimOf(r)
		expired, err := t.expire(ctx, telamon.Actor{Kind: telamon.ActorSystem, Account: claim.Account}, &claim)
		if err != nil {
			return err
		}
		if expired {
			seconds[claimCount{claim.Identity, claim.Kind, claimsVerified, claim.CreatedAt.Unix()}]--
		}
	}
	return t.countClaims(ctx, seconds)
}

// match lists claims by a pattern.
func (q *ClaimQuery) match(ctx context.Context, tx *queries.Queries, index int64) ([]telamon.Claim, int64, error) {
	low, high := q.Pattern.bounds()
	from, to := q.seconds()
	total, err := tx.CountClaimsLike(ctx, queries.CountClaimsLikeParams{
		IdentityID: q.Identity.String(), Kind: string(q.Kind), Labels: q.Pattern.labels, Low: low, High: high,
		Pattern: q.Pattern.text, First: from * 1000, Last: to*1000 + 999, Status: string(q.Status),
	})
	if err != nil || index >= total {
		return nil, total, err
	}
	rows, err := tx.ClaimsLike(ctx, queries.ClaimsLikeParams{
		IdentityID: q.Identity.String(), Kind: string(q.Kind), Labels: q.Pattern.labels, Low: low, High: high,
		Pattern: q.Pattern.text, First: from * 1000, Last: to*1000 + 999, Status: string(q.Status),
		Lim: int32(q.PerPage), Skip: int32(min(index, math.MaxInt32)),
	})
	return mapped(rows, claimOf), total, err
}

// list lists claims by their counts.
func (q *ClaimQuery) list(ctx context.Context, tx *queries.Queries, index int64) ([]telamon.Claim, int64, error) {
	from, to := q.seconds()
	buckets, err := q.buckets(ctx, tx, from, to, 0)
	if err != nil {
		return nil, 0, err
	}
	var total int64
	for _, b := range buckets {
		total += b.n
	}
	if index >= total {
		return nil, total, nil
	}
	last, skip, err := q.find(ctx, tx, buckets, index)
	if err != nil {
		return nil, 0, err
	}
	claims, err := q.from(ctx, tx, from, last, skip)
	return claims, total, err
}

// from returns the claims of a page that begins after skip claims of the second last.
func (q *ClaimQuery) from(ctx context.Context, tx *queries.Queries, from, last, skip int64) ([]telamon.Claim, error) {
	p := queries.ClaimsFromParams{
		IdentityID: q.Identity.String(), Kind: string(q.Kind), First: from * 1000, Last: last*1000 + 999,
		Lim: int32(q.PerPage), Skip: int32(skip),
	}
	if q.Status == "" {
		rows, err := tx.ClaimsFrom(ctx, p)
		return mapped(rows, claimOf), err
	}
	rows, err := tx.ClaimsOfStatusFrom(ctx, queries.ClaimsOfStatusFromParams{
		IdentityID: p.IdentityID, Kind: p.Kind, Status: string(q.Status), First: p.First, Last: p.Last, Lim: p.Lim, Skip: p.Skip,
	})
	return mapped(rows, claimOf), err
}

// A claimBucket is a span of seconds and how many claims were created in it.
type claimBucket struct {
	from, to int64 // both inclusive
	level    int   // in claimUnits, of its length
	n        int64
}

// buckets returns the counts of a window, the newest first: of the whole units of the
// level, and of smaller ones at its ends.
func (q *ClaimQuery) buckets(ctx context.Context, tx *queries.Queries, from, to int64, level int) ([]claimBucket, error) {
	if from > to {
		return nil, nil
	}
	unit := claimUnits[level]
	first, last := floorDiv(from+unit-1, unit), floorDiv(to+1, unit)-1 // the whole units
	if first > last+1 {
		return q.buckets(ctx, tx, from, to, level+1) // within one unit
	}
	var all []claimBucket
	for _, part := range []func() ([]claimBucket, error){
		func() ([]claimBucket, error) { return q.buckets(ctx, tx, (last+1)*unit, to, level+1) },
		func() ([]claimBucket, error) { return q.whole(ctx, tx, first, last, level) },
		func() ([]claimBucket, error) { return q.buckets(ctx, tx, from, first*unit-1, level+1) },
	} {
		buckets, err := part()
		if err != nil {
			return nil, err
		}
		all = append(all, buckets...)
	}
	return all, nil
}

// whole returns the counts of whole units, the newest first. Pending claims are all but
// those that are verified.
func (q *ClaimQuery) whole(ctx context.Context, tx *queries.Queries, first, last int64, level int) ([]claimBucket, error) {
	if q.Status == telamon.ClaimVerified {
		return q.ofPart(ctx, tx, claimsVerified, first, last, level)
	}
	all, err := q.ofPart(ctx, tx, claimsAll, first, last, level)
	if err != nil || q.Status == "" {
		return all, err
	}
	verified, err := q.ofPart(ctx, tx, claimsVerified, first, last, level)
	if err != nil {
		return nil, err
	}
	less := make(map[int64]int64, len(verified))
	for _, b := range verified {
		less[b.from] = b.n
	}
	for i := range all {
		all[i].n -= less[all[i].from]
	}
	return all, nil
}

func (q *ClaimQuery) ofPart(ctx context.Context, tx *queries.Queries, part claimPart, first, last int64, level int) ([]claimBucket, error) {
	if first > last {
		return nil, nil
	}
	unit := claimUnits[level]
	rows, err := tx.ClaimCounts(ctx, queries.ClaimCountsParams{
		IdentityID: q.Identity.String(), Kind: string(q.Kind), Part: string(part), Unit: unit, First: first, Last: last,
	})
	return mapped(rows, func(r queries.ClaimCountsRow) claimBucket {
		return claimBucket{r.Start * unit, r.Start*unit + unit - 1, level, r.N}
	}), err
}

// find returns the second that holds the claim at an index of the buckets, and how many
// claims of that second come before it.
func (q *ClaimQuery) find(ctx context.Context, tx *queries.Queries, buckets []claimBucket, index int64) (second, skip int64, err error) {
	for _, b := range buckets {
		if index >= b.n {
			index -= b.n
			continue
		}
		if b.level == len(claimUnits)-1 {
			return b.from, index, nil
		}
		unit := claimUnits[b.level+1]
		smaller, err := q.whole(ctx, tx, b.from/unit, b.to/unit, b.level+1)
		if err != nil {
			return 0, 0, err
		}
		return q.find(ctx, tx, smaller, index)
	}
	return 0, 0, errors.New("the counts of claims disagree")
}
