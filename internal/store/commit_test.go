package store_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// until waits for a condition, for half a minute at most.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("in vain waited for: %s", what)
		}
	}
}

// holdBatch keeps the committer busy with a batch of one until release is called.
func (w *world) holdBatch(t *testing.T) (release func()) {
	t.Helper()
	begun, goOn, held := make(chan struct{}), make(chan struct{}), false
	store.FailBegin(w.db, func() error {
		if !held {
			held = true
			close(begun)
			<-goOn
		}
		return nil
	})
	first := make(chan error, 1)
	go func() { first <- w.issue(t.Context(), w.cert(w.pair)) }()
	<-begun
	return func() {
		t.Helper()
		close(goOn)
		if err := <-first; err != nil {
			t.Errorf("the unit that was held: %v", err)
		}
	}
}

// results returns the results of the events of a certificate, if any.
func (w *world) results(t *testing.T, serial telamon.Serial) (all []string) {
	t.Helper()
	for _, e := range w.events(t, "certificate.issue") {
		if e.Object == serial.String() {
			all = append(all, e.Result)
		}
	}
	return all
}

// TestCallerGoesWhileItWaits cancels a request whose certificate waits to be
// written: what was signed is in the audit log, and draws no quota.
func TestCallerGoesWhileItWaits(t *testing.T) {
	checkOne := func(t *testing.T, w *world, cert *telamon.Certificate) {
		t.Helper()
		until(t, "the audit event", func() bool { return len(w.results(t, cert.Serial)) > 0 })
		if got := w.results(t, cert.Serial); len(got) != 1 || got[0] != "canceled" {
			t.Errorf("the audit log has the results %v, want one: canceled", got)
		}
		if n := w.number(t, "SELECT count(*) FROM certificate"); n != 1 {
			t.Errorf("%d certificates are stored, want the first alone", n)
		}
		if n := w.number(t, "SELECT used FROM quota_lot"); n != 1 {
			t.Errorf("%d of the quota are used, want 1", n)
		}
		w.checkCounts(t)
	}
	t.Run("in the queue", func(t *testing.T) {
		eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
			w.addLot(t, 10, clock.Now().Add(time.Hour))
			release := w.holdBatch(t)
			ctx, cancel := context.WithCancel(t.Context())
			cert, told := w.cert(w.pair), make(chan error, 1)
			go func() { told <- w.issue(ctx, cert) }()
			until(t, "the unit in the queue", func() bool { return store.Waiting(w.db) == 1 })
			cancel()
			if err := <-told; !errors.Is(err, context.Canceled) {
				t.Errorf("who cancelled is told %v", err)
			}
			release()
			checkOne(t, w, cert)
		})
	})
	t.Run("before a full queue", func(t *testing.T) {
		eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
			w.addLot(t, 10, clock.Now().Add(time.Hour))
			release := w.holdBatch(t)
			errs := make(chan error)
			const full = 64
			for range full {
				go func() {
					errs <- w.db.RecordEvent(t.Context(), telamon.Event{Actor: operator, Action: "fill", Result: "ok"})
				}()
			}
			until(t, "a full queue", func() bool { return store.Waiting(w.db) == full })
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			cert := w.cert(w.pair)
			if err := w.issue(ctx, cert); !errors.Is(err, context.Canceled) {
				t.Errorf("who cancelled is told %v", err)
			}
			release()
			for range full {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			checkOne(t, w, cert)
		})
	})
	t.Run("with nothing but an event", func(t *testing.T) {
		eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
			w.addLot(t, 10, clock.Now().Add(time.Hour))
			release := w.holdBatch(t)
			ctx, cancel := context.WithCancel(t.Context())
			told := make(chan error, 1)
			go func() {
				told <- w.db.RecordEvent(ctx, telamon.Event{Actor: operator, Action: "refusal", Result: "policy"})
			}()
			until(t, "the unit in the queue", func() bool { return store.Waiting(w.db) == 1 })
			cancel()
			if err := <-told; !errors.Is(err, context.Canceled) {
				t.Errorf("who cancelled is told %v", err)
			}
			release()
			until(t, "the audit event", func() bool { return len(w.events(t, "refusal")) > 0 })
			if got := w.events(t, "refusal"); len(got) != 1 || got[0].Result != "policy" {
				t.Errorf("the audit log has %+v, want the refusal as it was", got)
			}
		})
	})
}
