package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A Listing is one of the three ways in which a pair's certificates are listed.
type Listing uint8

// The listings. Issued and Expiring include revoked certificates.
const (
	Issued   Listing = iota // by the time at which the request was accepted
	Revoked                 // by the time of revocation
	Expiring                // by notAfter
)

func (l Listing) kind() countKind {
	return [...]countKind{countIssued, countRevoked, countExpiring}[l]
}

// A ListedCertificate is one row of a listing.
type ListedCertificate struct {
	Serial              telamon.Serial
	NotBefore, NotAfter time.Time
}

// IssuedTotal returns how many certificates the pair was ever issued.
func (db *DB) IssuedTotal(ctx context.Context, pair telamon.PairID) (int64, error) {
	return db.counter(ctx, pair, countIssued)
}

// RevokedTotal returns how many certificates of the pair were ever revoked.
func (db *DB) RevokedTotal(ctx context.Context, pair telamon.PairID) (int64, error) {
	return db.counter(ctx, pair, countRevoked)
}

// ListCertificates returns a page of a listing, in the order of its time and then
// of serials, and how many certificates the listing has in all. Both bounds are
// inclusive and whole seconds; page counts from 1, and one past the end is empty.
//
// The cost grows with the hours between the bounds and not with the number of
// certificates: totals and the start of a page are found in the counts of hours
// and seconds.
func (db *DB) ListCertificates(ctx context.Context, l Listing, pair telamon.PairID, from, to time.Time, page, perPage int64) (rows []ListedCertificate, total int64, err error) {
	if page < 1 || perPage < 1 || perPage > math.MaxInt32 {
		return nil, 0, fmt.Errorf("list certificates: page %d of %d", page, perPage)
	}
	index := int64(math.MaxInt64) // of the page's first certificate
	if page-1 < math.MaxInt64/perPage {
		index = (page - 1) * perPage
	}
	err = db.view(ctx, func(q *queries.Queries) error {
		w := window{q: q, pair: pair, kind: l.kind(), from: from.Unix(), to: to.Unix()}
		var second, skip int64
		if total, second, skip, err = w.find(ctx, index); err != nil || index >= total {
			return err
		}
		rows, err = listFrom(ctx, q, l, queries.IssuedFromParams{
			PairID: int64(pair), First: second * 1000, Last: to.Unix()*1000 + 999, Lim: int32(perPage), Skip: int32(skip),
		})
		return err
	})
	if err != nil {
		return nil, 0, db.judge(ctx, fmt.Errorf("list %s certificates: %w", l.kind(), err))
	}
	return rows, total, nil
}

// window is a span of seconds in the counts of one pair and kind.
type window struct {
	q        *queries.Queries
	pair     telamon.PairID
	kind     countKind
	from, to int64
}

// find returns the number of certificates in the window, and for the one at
// index the second that it is in and how many before it are in the same second.
func (w window) find(ctx context.Context, index int64) (total, second, skip int64, err error) {
	hours, err := w.hours(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	var hour, before int64 // the hour that index is in, and how many come before it
	found := false
	for _, h := range hours {
		if !found && index < total+h.N {
			hour, before, found = h.Start, total, true
		}
		total += h.N
	}
	if index >= total {
		return total, 0, 0, nil
	}
	seconds, err := w.seconds(ctx, max(w.from, hour*3600), min(w.to, hour*3600+3599))
	if err != nil {
		return 0, 0, 0, err
	}
	for _, s := range seconds {
		if index < before+s.N {
			return total, s.Start, index - before, nil
		}
		before += s.N
	}
	return 0, 0, 0, fmt.Errorf("hour %d of pair %d counts more %s than its seconds", hour, w.pair, w.kind)
}

// hours returns the counts of the window by hour. Those of the first and the
// last hour, of which the window may have only a part, are summed from seconds.
func (w window) hours(ctx context.Context) ([]queries.HourCountsRow, error) {
	first, last := floorDiv(w.from, 3600), floorDiv(w.to, 3600)
	hours, err := w.q.HourCounts(ctx, queries.HourCountsParams{
		PairID: int64(w.pair), Kind: string(w.kind), First: first, Last: last,
	})
	if err != nil {
		return nil, err
	}
	for i := range hours {
		h := &hours[i]
		start, end := max(w.from, h.Start*3600), min(w.to, h.Start*3600+3599)
		if end-start == 3599 {
			continue
		}
		seconds, err := w.seconds(ctx, start, end)
		if err != nil {
			return nil, err
		}
		h.N = 0
		for _, s := range seconds {
			h.N += s.N
		}
	}
	return hours, nil
}

func (w window) seconds(ctx context.Context, from, to int64) ([]queries.SecondCountsRow, error) {
	return w.q.SecondCounts(ctx, queries.SecondCountsParams{
		PairID: int64(w.pair), Kind: string(w.kind), First: from, Last: to,
	})
}

// countParams names a counter.
func countParams(pair telamon.PairID, kind countKind) queries.CounterParams {
	return queries.CounterParams{PairID: int64(pair), Kind: string(kind)}
}

func listFrom(ctx context.Context, q *queries.Queries, l Listing, p queries.IssuedFromParams) ([]ListedCertificate, error) {
	var out []ListedCertificate
	add := func(serial []byte, notBefore, notAfter int64) {
		out = append(out, ListedCertificate{telamon.Serial(serial), timeOf(notBefore), timeOf(notAfter)})
	}
	switch l {
	case Issued:
		rows, err := q.IssuedFrom(ctx, p)
		for _, r := range rows {
			add(r.Serial, r.NotBefore, r.NotAfter)
		}
		return out, err
	case Revoked:
		rows, err := q.RevokedFrom(ctx, queries.RevokedFromParams(p))
		for _, r := range rows {
			add(r.Serial, r.NotBefore, r.NotAfter)
		}
		return out, err
	default:
		rows, err := q.ExpiringFrom(ctx, queries.ExpiringFromParams(p))
		for _, r := range rows {
			add(r.Serial, r.NotBefore, r.NotAfter)
		}
		return out, err
	}
}
