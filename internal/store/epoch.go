package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// An Epoch begins when a database was put back from a backup: its audit log goes on
// from where the backup ended, although more of it may have been seen.
type Epoch struct {
	ID   telamon.EventID // of its audit event
	At   time.Time
	Tree audit.Tree // the log as it was put back
	// Lost is the largest exported checkpoint that this log does not continue, and when
	// the last one of them was made; its Tree is empty if there is none. If it is not larger than
	// Tree, the lost log is another branch.
	Lost audit.Checkpoint
	// LostNote is Lost as it was signed.
	LostNote string
}

// gaveUp reports whether the epoch gave up what the exported checkpoint is of, which this
// log does not continue.
func (e *Epoch) gaveUp(c audit.Checkpoint) bool {
	branch := e.Lost.Tree.Size <= e.Tree.Size
	return (branch || c.Tree.Size > e.Tree.Size) && c.Tree.Size <= e.Lost.Tree.Size && !c.At.After(e.Lost.At)
}

// OpenEpoch writes an epoch with its audit event, whose After is details. It sets the
// epoch's ID and time. Leases end: their holders are of the time before.
func (db *DB) OpenEpoch(ctx context.Context, actor telamon.Actor, e *Epoch, details any) error {
	return db.update(ctx, func(t *txn) error {
		e.ID, e.At = telamon.NewEventID(), t.now
		err := t.InsertEpoch(ctx, queries.InsertEpochParams{
			ID: e.ID.String(), At: t.millis(), TreeSize: e.Tree.Size, TreeRoot: e.Tree.Root[:],
			LostSize: e.Lost.Tree.Size, LostAt: max(e.Lost.At.UnixMilli(), 0), LostCheckpoint: e.LostNote,
		})
		if err != nil {
			return fmt.Errorf("open epoch: %w", err)
		}
		if err := t.DropLeases(ctx); err != nil {
			return fmt.Errorf("drop leases: %w", err)
		}
		return t.record(ctx, eventTable, telamon.Event{ID: e.ID, Actor: actor, Action: "epoch.open", Object: e.ID.String(), Result: "ok", After: details})
	})
}

// Epochs returns all epochs, the oldest first.
func (db *DB) Epochs(ctx context.Context) ([]Epoch, error) {
	rows, err := db.queries().Epochs(ctx)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read epochs: %w", err))
	}
	out := make([]Epoch, len(rows))
	for i, r := range rows {
		if len(r.TreeRoot) != tlog.HashSize {
			return nil, errors.New("read epochs: a root has another length")
		}
		out[i] = Epoch{
			ID: telamon.EventID(r.ID), At: timeOf(r.At), Tree: audit.Tree{Size: r.TreeSize, Root: tlog.Hash(r.TreeRoot)},
			Lost:     audit.Checkpoint{Tree: audit.Tree{Size: r.LostSize}, At: timeOf(r.LostAt)},
			LostNote: r.LostCheckpoint,
		}
	}
	return out, nil
}

// Continues reports whether the audit log holds all that the exported checkpoint is
// of, unchanged.
func (db *DB) Continues(ctx context.Context, c audit.Checkpoint) (bool, error) {
	head, err := db.AuditHead(ctx)
	if err != nil || c.Tree.Size > head.Tree.Size {
		return false, err
	}
	head, proof, err := db.AuditConsistency(ctx, c.Tree.Size)
	if err != nil {
		return false, err
	}
	return audit.CheckConsistency(proof, head.Tree, c.Tree) == nil, nil
}

// GaveUp reports whether an epoch has given up what the exported checkpoint is of,
// which the log does not continue: see [DB.Continues].
func (db *DB) GaveUp(ctx context.Context, c audit.Checkpoint) (bool, error) {
	epochs, err := db.Epochs(ctx)
	return slices.ContainsFunc(epochs, func(e Epoch) bool { return e.gaveUp(c) }), err
}

// KnowsSerial reports whether a certificate of this serial number is known that is
// no CA's: one of an account, an mTLS one or a responder's.
func (db *DB) KnowsSerial(ctx context.Context, serial telamon.Serial) (bool, error) {
	_, err := db.SerialStatus(ctx, serial)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// Now returns the database's own time; on SQLite, which has none, that of the store's
// clock.
func (db *DB) Now(ctx context.Context) (time.Time, error) {
	if db.engine != enginePostgres {
		return db.clock.Now(), nil
	}
	var now time.Time
	if err := db.read.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		return time.Time{}, db.judge(ctx, fmt.Errorf("read the database's time: %w", err))
	}
	return now.UTC(), nil
}
