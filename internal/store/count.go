package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// countKind says what is counted.
type countKind string

const (
	countIssued   countKind = "issued"
	countRevoked  countKind = "revoked"
	countExpiring countKind = "expiring"
)

// A count adds n certificates to the counts of one second of one pair.
type count struct {
	pair   telamon.PairID
	kind   countKind
	second int64 // Unix seconds
	n      int64
}

// counts are the sums of the counts of a batch. The zero value is ready for use.
type counts struct {
	totals, hours, seconds map[countKey]int64
}

type countKey struct {
	pair  telamon.PairID
	kind  countKind
	start int64 // zero for totals
}

func (c *counts) add(all ...count) {
	if c.totals == nil {
		c.totals, c.hours, c.seconds = map[countKey]int64{}, map[countKey]int64{}, map[countKey]int64{}
	}
	for _, one := range all {
		if one.kind != countExpiring {
			c.totals[countKey{one.pair, one.kind, 0}] += one.n
		}
		c.hours[countKey{one.pair, one.kind, floorDiv(one.second, 3600)}] += one.n
		c.seconds[countKey{one.pair, one.kind, one.second}] += one.n
	}
}

// subtract takes the sums of hours and seconds off the rows, and drops those that
// count nothing any more. Totals are of all times and stay.
func (c *counts) subtract(ctx context.Context, t *txn) error {
	for _, k := range sortedCounts(c.hours) {
		changed, err := t.DropHour(ctx, queries.DropHourParams{PairID: int64(k.pair), Kind: string(k.kind), Start: k.start, N: c.hours[k]})
		if err == nil && changed == 0 {
			changed, err = t.LessenHour(ctx, queries.LessenHourParams{PairID: int64(k.pair), Kind: string(k.kind), Start: k.start, N: c.hours[k]})
		}
		if err := k.mustChange(changed, err); err != nil {
			return fmt.Errorf("hour: %w", err)
		}
	}
	for _, k := range sortedCounts(c.seconds) {
		changed, err := t.DropSecond(ctx, queries.DropSecondParams{PairID: int64(k.pair), Kind: string(k.kind), Start: k.start, N: c.seconds[k]})
		if err == nil && changed == 0 {
			changed, err = t.LessenSecond(ctx, queries.LessenSecondParams{PairID: int64(k.pair), Kind: string(k.kind), Start: k.start, N: c.seconds[k]})
		}
		if err := k.mustChange(changed, err); err != nil {
			return fmt.Errorf("second: %w", err)
		}
	}
	return nil
}

func (k countKey) mustChange(changed int64, err error) error {
	if err == nil && changed != 1 {
		err = fmt.Errorf("%d rows", changed)
	}
	if err != nil {
		return fmt.Errorf("lessen the count of %s of pair %d at %d: %w", k.kind, k.pair, k.start, err)
	}
	return nil
}

func (c *counts) reset() {
	clear(c.totals)
	clear(c.hours)
	clear(c.seconds)
}

var (
	counterTable = newTable("counter", "pair_id, kind, n",
		" ON CONFLICT (pair_id, kind) DO UPDATE SET n = counter.n + excluded.n")
	hourTable = newTable("hour_count", "pair_id, kind, start, n",
		" ON CONFLICT (pair_id, kind, start) DO UPDATE SET n = hour_count.n + excluded.n")
	secondTable = newTable("second_count", "pair_id, kind, start, n",
		" ON CONFLICT (pair_id, kind, start) DO UPDATE SET n = second_count.n + excluded.n")
)

// write adds the sums to the rows, in the order of their keys, so that replicas
// that write the same rows cannot deadlock.
func (c *counts) write(ctx context.Context, t *txn) error {
	var args []any
	for _, k := range sortedCounts(c.totals) {
		args = append(args, int64(k.pair), string(k.kind), c.totals[k])
	}
	if err := t.insert(ctx, counterTable, args); err != nil {
		return err
	}
	if err := writeCounts(ctx, t, hourTable, c.hours); err != nil {
		return err
	}
	return writeCounts(ctx, t, secondTable, c.seconds)
}

func writeCounts(ctx context.Context, t *txn, into *table, sums map[countKey]int64) error {
	args := make([]any, 0, len(sums)*len(into.columns))
	for _, k := range sortedCounts(sums) {
		args = append(args, int64(k.pair), string(k.kind), k.start, sums[k])
	}
	return t.insert(ctx, into, args)
}

func sortedCounts(m map[countKey]int64) []countKey {
	keys := make([]countKey, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b countKey) int {
		return cmp.Or(cmp.Compare(a.pair, b.pair), cmp.Compare(a.kind, b.kind), cmp.Compare(a.start, b.start))
	})
	return keys
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// counter returns how many certificates of the pair were issued or revoked in all.
func (db *DB) counter(ctx context.Context, pair telamon.PairID, kind countKind) (int64, error) {
	ns, err := db.queries().Counter(ctx, countParams(pair, kind))
	if err != nil {
		return 0, db.judge(ctx, fmt.Errorf("read counter %s of pair %d: %w", kind, pair, err))
	}
	if len(ns) == 0 {
		return 0, nil
	}
	return ns[0], nil
}
