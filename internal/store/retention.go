package store

import (
	"context"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// partitionsAhead is for how many months to come partitions are made: more than
// the 398 days that a public TLS certificate lives.
const partitionsAhead = 15

// dropStep is how many certificates one transaction of [DB.DropExpired] drops.
const dropStep = 1000

// monthOf returns the first instant of the month that is n months after t's.
func monthOf(t time.Time, n int) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
}

// partitionFormat names the partition of the bytes that expire in the month.
const partitionFormat = "certificate_der_2006_01"

// EnsurePartitions makes the partitions of certificate bytes that expire in this
// month and the 15 to come; it is called at start and daily. A month whose bytes
// are already in the default partition stays there, where [DB.DropExpired] drops
// them row by row. On SQLite there is nothing to do.
func (db *DB) EnsurePartitions(ctx context.Context) error {
	if db.engine != enginePostgres {
		return nil
	}
	existing, err := db.partitions(ctx)
	if err != nil {
		return err
	}
	for n := range partitionsAhead + 1 {
		month := monthOf(db.clock.Now(), n)
		if _, ok := existing[month]; ok {
			continue
		}
		if err := db.makePartition(ctx, month); err != nil {
			return fmt.Errorf("make partition of %s: %w", month.Format("2006-01"), err)
		}
	}
	return nil
}

// makePartition makes the partition of a month, unless the default one holds
// bytes that would belong to it.
func (db *DB) makePartition(ctx context.Context, month time.Time) error {
	from, to := month.UnixMilli(), monthOf(month, 1).UnixMilli()
	err := db.update(ctx, func(t *txn) error {
		var taken bool
		err := t.conn.QueryRowContext(ctx,
			"SELECT EXISTS (SELECT 1 FROM certificate_der_rest WHERE not_after >= $1 AND not_after < $2)", from, to).Scan(&taken)
		if err != nil || taken {
			return err
		}
		// The statement locks the default partition. Issuance waits for that lock
		// behind us, so we do not wait long for it ourselves.
		if _, err := t.conn.ExecContext(ctx, "SET LOCAL lock_timeout = '2s'"); err != nil {
			return err
		}
		_, err = t.conn.ExecContext(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s PARTITION OF certificate_der FOR VALUES FROM (%d) TO (%d)",
			month.Format(partitionFormat), from, to))
		return err
	})
	if code, ok := postgresCode(err); ok && code == "23514" { // bytes came between the look and the lock
		return nil
	}
	return err
}

// partitions returns the names of the monthly partitions by month.
func (db *DB) partitions(ctx context.Context) (map[time.Time]string, error) {
	rows, err := db.read.QueryContext(ctx,
		"SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'certificate_der'::regclass")
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read partitions: %w", err))
	}
	defer rows.Close()
	out := map[time.Time]string{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("read partitions: %w", err)
		}
		if month, err := time.Parse(partitionFormat, name); err == nil { // or it is the default one
			out[month] = name
		}
	}
	if err := rows.Err(); err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read partitions: %w", err))
	}
	return out, nil
}

// DropExpired drops the certificates that expired before the bound, in
// transactions of a bounded size: first their entries and counts, with an audit
// event for each transaction, then their bytes, by whole months where they are
// partitioned. All-time counters stay. It returns how many it dropped, and can be
// called again after it was cut short.
func (db *DB) DropExpired(ctx context.Context, before time.Time) (dropped int64, err error) {
	if before.After(db.clock.Now()) {
		return 0, fmt.Errorf("drop expired certificates: %s is not over", before)
	}
	pairs, err := db.queries().PairIDs(ctx)
	if err != nil {
		return 0, db.judge(ctx, fmt.Errorf("read pairs: %w", err))
	}
	for _, pair := range pairs {
		for {
			var n int64
			err := db.update(ctx, func(t *txn) (err error) {
				n, err = t.dropExpired(ctx, telamon.PairID(pair), before)
				return err
			})
			if err != nil {
				return dropped, fmt.Errorf("drop expired certificates of pair %d: %w", pair, err)
			}
			if dropped += n; n < dropStep {
				break
			}
		}
	}
	return dropped, db.dropPartitions(ctx, before)
}

// dropExpired drops up to dropStep certificates of the pair and returns how many.
func (t *txn) dropExpired(ctx context.Context, pair telamon.PairID, before time.Time) (int64, error) {
	rows, err := t.DropCertificates(ctx, queries.DropCertificatesParams{PairID: int64(pair), Before: before.UnixMilli(), Lim: dropStep})
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	dropDER := "DELETE FROM certificate_der WHERE serial = $1 AND not_after = $2"
	if t.postgres != nil { // the other partitions are dropped whole
		dropDER = "DELETE FROM certificate_der_rest WHERE serial = $1 AND not_after = $2"
	}
	var sums counts
	for _, r := range rows {
		if _, err := t.conn.ExecContext(ctx, dropDER, r.Serial, r.NotAfter); err != nil {
			return 0, fmt.Errorf("drop bytes: %w", err)
		}
		if _, err := t.conn.ExecContext(ctx, "DELETE FROM certificate_evidence WHERE serial = $1", r.Serial); err != nil {
			return 0, fmt.Errorf("drop evidence: %w", err)
		}
		sums.add(
			count{pair, countIssued, floorDiv(r.AcceptedAt, 1000), 1},
			count{pair, countExpiring, floorDiv(r.NotAfter, 1000), 1},
		)
		if r.RevokedAt != nil {
			sums.add(count{pair, countRevoked, floorDiv(*r.RevokedAt, 1000), 1})
		}
	}
	if err := sums.subtract(ctx, t); err != nil {
		return 0, err
	}
	n := int64(len(rows))
	return n, t.audit(ctx, telamon.Event{
		Actor: telamon.Actor{Kind: telamon.ActorSystem}, Action: "certificate.drop", Object: fmt.Sprint(pair), Result: "ok",
		After: map[string]any{"certificates": n, "expired_before": before},
	})
}

// dropPartitions drops the months that ended before the bound.
func (db *DB) dropPartitions(ctx context.Context, before time.Time) error {
	if db.engine != enginePostgres {
		return nil
	}
	existing, err := db.partitions(ctx)
	if err != nil {
		return err
	}
	for month, name := range existing {
		if monthOf(month, 1).After(before) {
			continue
		}
		err := db.update(ctx, func(t *txn) error {
			if _, err := t.conn.ExecContext(ctx, "SET LOCAL lock_timeout = '2s'"); err != nil { // see makePartition
				return err
			}
			_, err := t.conn.ExecContext(ctx, "DROP TABLE IF EXISTS "+name)
			return err
		})
		if err != nil {
			return fmt.Errorf("drop partition %s: %w", name, err)
		}
	}
	return nil
}
