package store_test

import (
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestCheckpoint checks that SQLite's WAL begins anew after a checkpoint, also if
// certificates are issued meanwhile, and that none of them is lost.
func TestCheckpoint(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-22T10:00:00Z")
	url := dbtest.SQLite(t)
	db := dbtest.Open(t, url, clock)
	w := newWorld(t, db, clock)
	w.addLot(t, 1000, clock.Now().Add(time.Hour))
	issue := func(n int) {
		for range n {
			if err := w.issue(t.Context(), w.cert(w.pair)); err != nil {
				t.Error(err)
			}
		}
	}
	issue(100)
	before, err := store.WALFrames(t.Context(), db)
	if err != nil || before < 100 {
		t.Fatalf("%d frames, %v", before, err)
	}
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() { issue(25) })
	}
	must(t, store.Checkpoint(t.Context(), db))
	workers.Wait()
	must(t, store.Checkpoint(t.Context(), db))
	issue(1)
	after, err := store.WALFrames(t.Context(), db)
	if err != nil || after >= before/2 {
		t.Errorf("the WAL has %d frames after one more certificate, %v; it had %d", after, err, before)
	}
	issue(100)
	must(t, store.CheckpointBehindReader(t.Context(), db, func() { issue(100) }))
	issue(1)
	if after, err = store.WALFrames(t.Context(), db); err != nil || after >= before/2 {
		t.Errorf("the WAL has %d frames after what came during the first pass, %v", after, err)
	}
	must(t, db.Close())
	again := dbtest.Open(t, url, clock)
	if n, err := again.IssuedTotal(t.Context(), w.pair); n != 402 || err != nil {
		t.Errorf("%d certificates, %v, want 402", n, err)
	}
}

// TestCheckpointOfEarlierProcesses leaves a WAL behind that is due to be written back,
// as processes do that are killed one after the other, each before it has written
// enough. The next one writes it back.
func TestCheckpointOfEarlierProcesses(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-22T10:00:00Z")
	url := dbtest.SQLite(t)
	killed := dbtest.Open(t, url, clock)
	w := newWorld(t, killed, clock)
	w.addLot(t, 1000, clock.Now().Add(time.Hour))
	must(t, store.FillWAL(t.Context(), killed))

	db := dbtest.Open(t, url, clock)
	left := func() int64 {
		frames, written, err := store.WALState(t.Context(), db)
		must(t, err)
		return frames - written
	}
	for end := time.After(time.Minute); left() > 0; {
		select {
		case <-end:
			t.Fatalf("%d frames of the WAL are not written back", left())
		case <-time.After(time.Millisecond):
		}
	}
}
