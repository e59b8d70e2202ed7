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
	baseFrames       = 10     // of a transaction without its rows, about
)

// checkpointer writes SQLite's WAL back into the database while commits go on, and
// lets the WAL begin anew.
type checkpointer struct {
	db     *DB
	frames atomic.Int64  // since the last checkpoint no more than about as many were written
	due    chan struct{} // holds a token if there are enough
	cancel context.CancelFunc
	work   sync.WaitGroup
}

func newCheckpointer(db *DB) *checkpointer {
	ctx, cancel := context.WithCancel(context.Background())
	c := &checkpointer{db: db, due: make(chan struct{}, 1), cancel: cancel}
	c.work.Go(func() {
		c.found(ctx)
		c.run(ctx)
	})
	return c
}

// found counts what earlier processes left in the WAL. Otherwise one that is killed
// again and again before it has written enough would never write anything back.
func (c *checkpointer) found(ctx context.Context) {
	frames, err := c.passive(ctx, "NOOP")
	if err != nil {
		if ctx.Err() == nil {
			c.db.log.WarnContext(ctx, "the WAL was not measured", "error", err)
		}
		return
	}
	c.count(frames)
}

// stop ends the checkpoints; the next ones are SQLite's own.
func (c *checkpointer) stop() {
	c.cancel()
	c.work.Wait()
}

// wrote counts a transaction that wrote so many rows: a frame for each, although many
// small ones share a page. So the WAL is measured before anything is done about it.
func (c *checkpointer) wrote(rows int) { c.count(baseFrames + int64(rows)) }

func (c *checkpointer) count(frames int64) {
	if c.frames.Add(frames) < checkpointFrames {
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
		if frames, err := c.passive(ctx, "NOOP"); err == nil && frames < checkpointFrames {
			c.count(frames)
			continue
		}
		if err := c.checkpoint(ctx); err != nil && ctx.Err() == nil {
			c.db.log.WarnContext(ctx, "the WAL was not written back", "error", err)
		}
	}
}

// checkpoint writes back what the WAL holds while others write to it, and then,
// while nobody does, the little that has come since: only when all of it is written
// back does SQLite begin a new WAL (sqlite.org/wal.html, Section 2.2).
func (c *checkpointer) checkpoint(ctx context.Context) error {
	if _, err := c.passive(ctx, "PASSIVE"); err != nil {
		return err
	}
	if c.db.faults.checkpoint != nil {
		c.db.faults.checkpoint()
	}
	if err := c.db.writer.take(ctx); err != nil {
		return err
	}
	defer c.db.writer.end()
	_, err := c.passive(ctx, "PASSIVE")
	return err
}

// passive waits for nobody and returns how many frames the WAL has. In mode PASSIVE
// it first writes back all frames that no reader needs, in mode NOOP none.
func (c *checkpointer) passive(ctx context.Context, mode string) (frames int64, err error) {
	var busy, done int64
	if err := c.db.read.QueryRowContext(ctx, "PRAGMA wal_checkpoint("+mode+")").Scan(&busy, &frames, &done); err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	return frames, nil
}
