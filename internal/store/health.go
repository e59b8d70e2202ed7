package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// probeAfter is how old the last successful write may be for [DB.Ready] to trust
// it.
const probeAfter = 5 * time.Second

// health remembers whether the last write failed for a reason of the database's
// own: a full disk, a lost connection, a server that is down.
type health struct {
	mu    sync.Mutex
	cause error     // nil: the last write succeeded
	wrote time.Time // when it did
}

func (h *health) note(cause error, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cause = cause
	if cause == nil {
		h.wrote = now
	}
}

// trusted reports whether a write succeeded lately and none has failed since.
func (h *health) trusted(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cause == nil && now.Sub(h.wrote) <= probeAfter
}

// noteOutcome records what the outcome of a write says of the database, and turns
// a failure of the database's own into an Unavailable fault. See [DB.judge].
func (db *DB) noteOutcome(ctx context.Context, err error) error {
	if err == nil {
		db.health.note(nil, db.clock.Now())
		return nil
	}
	return db.judge(ctx, err)
}

// judge turns a failure of the database's own into an Unavailable fault and
// records it. Other faults, rows that break a rule, mistakes of ours and callers
// who have gone say nothing of the database; a caller whose time ran out is told
// Unavailable all the same.
func (db *DB) judge(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case fault.Is(err, fault.Unavailable):
		db.health.note(err, db.clock.Now())
		return err
	case isFault(err), isConstraint(err), isMistake(err):
		return err
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return err
	case ctx.Err() != nil:
		return unavailable(err)
	}
	db.health.note(err, db.clock.Now())
	return unavailable(err)
}

// Failing reports why the last write failed for a reason of the database's own, nil
// if it did not. It answers from memory; Ready tries.
func (db *DB) Failing() error {
	db.health.mu.Lock()
	defer db.health.mu.Unlock()
	if db.health.cause != nil {
		return fmt.Errorf("the database cannot write: %w", db.health.cause)
	}
	return nil
}

// Ready reports whether the database can write. It trusts a write of the last few
// seconds; otherwise, and after a failure, each call settles what is unknown (see
// [DB.Settle]) and tries a write, so that the database is ready again as soon as
// it can be.
func (db *DB) Ready(ctx context.Context) error {
	if db.health.trusted(db.clock.Now()) && db.unknown.len() == 0 {
		return nil
	}
	if _, err := db.Settle(ctx); err != nil {
		return fmt.Errorf("the database cannot write: %w", err)
	}
	if err := db.update(ctx, func(t *txn) error { return probe(ctx, t) }); err != nil {
		return fmt.Errorf("the database cannot write: %w", err)
	}
	return nil
}

// probeBytes is more than a certificate takes: a disk that has no room for one
// may still have room for a small row.
const probeBytes = 16 << 10

// probe writes a row and takes it away again.
func probe(ctx context.Context, t *txn) error {
	serial := newMarker(t.now)
	if err := t.insert(ctx, derTable, []any{serial[:], int64(0), make([]byte, probeBytes), []byte{}}); err != nil {
		return err
	}
	if err := t.DropDER(ctx, queries.DropDERParams{Serial: serial[:], NotAfter: 0}); err != nil {
		return fmt.Errorf("take the probe away: %w", err)
	}
	return nil
}
