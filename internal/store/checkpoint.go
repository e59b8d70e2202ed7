package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// How far SQLite's WAL grows, in frames of a page each, before it is written back.
// What SQLite would do by itself at autoCheckpoint frames, in the middle of a
// commit and with every waiter behind it, is done beside the commits at
// checkpointFrames; the other is the bound if that fails for long.
const (
	checkpointFrames = 4_000  // 16 MB
	autoCheckpoint   = 40_000 // 160 MB
	baseFrames       = 10     // of a transaction, about
)

// checkpointer writes SQLite's WAL back into the database while commits go on, and
// lets the WAL begin anew.
type checkpointer struct {
	db     *DB
	frames atomic.Int64  // about as many were written since the last checkpoint
	due    chan struct{} // holds a token if there are enough
	cancel context.CancelFunc
	work   sync.WaitGroup
}

func newCheckpointer(db *DB) *checkpointer {
	ctx, cancel := context.WithCancel(context.Background())
	c := &checkpointer{db: db, due: make(chan struct{}, 1), cancel: cancel}
	c.work.Go(func() { c.run(ctx) })
	return c
}

// stop ends the checkpoints; the next ones are SQLite's own.
func (c *checkpointer) stop() {
	c.cancel()
	c.work.Wait()
}

// wrote counts a transaction that wrote so many rows.
func (c *checkpointer) wrote(rows int) {
	if c.frames.Add(baseFrames+int64(rows)) < checkpointFrames {
		return
	}
	select {
	case c.due <- struct{}{}:
	default:
	}
}

func (c *checkpointer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.due:
		}
		c.frames.Store(0)
		if err := c.checkpoint(ctx); err != nil && ctx.Err() == nil {
			c.db.log.WarnContext(ctx, "the WAL was not written back", "error", err)
		}
	}
}

// checkpoint writes back what the WAL holds while others write to it, and then,
// while nobody does, the little that has come since: only when all of it is written
// back does SQLite begin a new WAL (sqlite.org/wal.html, Section 2.2).
func (c *checkpointer) checkpoint(ctx context.Context) error {
	if _, err := c.passive(ctx); err != nil {
		return err
	}
	if c.db.faults.checkpoint != nil {
		c.db.faults.checkpoint()
	}
	if err := c.db.writer.take(ctx); err != nil {
		return err
	}
	defer c.db.writer.end()
	_, err := c.passive(ctx)
	return err
}

// passive writes back all frames that no reader needs, waits for nobody, and
// returns how many frames the WAL has.
func (c *checkpointer) passive(ctx context.Context) (frames int64, err error) {
	var busy, done int64
	if err := c.db.read.QueryRowContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)").Scan(&busy, &frames, &done); err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	return frames, nil
}
