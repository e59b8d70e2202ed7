package store

import (
	"context"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon/internal/store/queries"
)

// TakeLease makes this process the holder of the named lease for the given time,
// and reports whether it is. A holder renews its lease by taking it again; the
// lease of a process that died is taken over when it has run out.
func (db *DB) TakeLease(ctx context.Context, name string, lasts time.Duration) (bool, error) {
	var held bool
	err := db.update(ctx, func(t *txn) error {
		n, err := t.TakeLease(ctx, queries.TakeLeaseParams{
			Name: name, Holder: db.holder, ExpiresAt: t.now.Add(lasts).UnixMilli(), Now: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("take lease %s: %w", name, err)
		}
		held = n == 1
		return nil
	})
	return held, err
}

// DropLease gives the lease up, so that another process need not wait for its end.
func (db *DB) DropLease(ctx context.Context, name string) error {
	return db.update(ctx, func(t *txn) error {
		if _, err := t.DropLease(ctx, queries.DropLeaseParams{Name: name, Holder: db.holder}); err != nil {
			return fmt.Errorf("drop lease %s: %w", name, err)
		}
		return nil
	})
}
