package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
)

var (
	errLost = errors.New("the connection was lost in COMMIT")
	errDown = errors.New("the database is down")
)

// failAfter commits and then says that it failed.
func failAfter(tx *sql.Tx) error {
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("this was to be committed: %w", err)
	}
	return errLost
}

// failBefore does not commit.
func failBefore(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil {
		return fmt.Errorf("this was to be rolled back: %w", err)
	}
	return errLost
}

// once does f the first time and then commits as always.
func once(f func(*sql.Tx) error) func(*sql.Tx) error {
	calls := 0
	return func(tx *sql.Tx) error {
		if calls++; calls == 1 {
			return f(tx)
		}
		return tx.Commit()
	}
}

// settled returns the outcomes that the audit log has of unknown transactions.
func (w *world) settled(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, e := range w.events(t, "store.settle") {
		out = append(out, string(e.After))
	}
	return out
}

// acts are the two ways to write: through the committer and by a transaction of
// one's own. Each writes one row, if anything, and one audit event.
func acts(w *world) map[string]struct {
	act    func(t *testing.T) error
	object string
	stored func(t *testing.T) int64
} {
	cert := w.cert(w.pair)
	hierarchy := telamon.NewHierarchyID()
	return map[string]struct {
		act    func(t *testing.T) error
		object string
		stored func(t *testing.T) int64
	}{
		"a batch": {
			func(t *testing.T) error { return w.issue(t.Context(), cert) },
			"certificate.issue " + cert.Serial.String(),
			func(t *testing.T) int64 { return w.number(t, "SELECT count(*) FROM certificate") },
		},
		"a transaction": {
			func(t *testing.T) error {
				return w.db.CreateHierarchy(t.Context(), operator, store.Hierarchy{ID: hierarchy, Kind: telamon.HierarchyTLS, Name: "another"})
			},
			"hierarchy.create " + hierarchy.String(),
			func(t *testing.T) int64 { return w.number(t, "SELECT count(*) - 1 FROM hierarchy") },
		},
	}
}

// TestCommitOutcome fails COMMIT before and after the rows were stored. Who waits
// is told what is true.
func TestCommitOutcome(t *testing.T) {
	for _, tt := range []struct {
		name   string
		commit func(*sql.Tx) error
		stored int64
	}{
		{"after it was committed", failAfter, 1},
		{"before it was committed", failBefore, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
				w.addLot(t, 10, clock.Now().Add(1e12))
				for name, a := range acts(w) {
					t.Run(name, func(t *testing.T) {
						store.FailCommit(w.db, once(tt.commit))
						err := a.act(t)
						store.FailCommit(w.db, nil)
						if (err == nil) != (tt.stored == 1) {
							t.Errorf("the waiter is told %v while %d rows are stored", err, tt.stored)
						}
						if err != nil && !errors.Is(err, errLost) {
							t.Errorf("the waiter is told %v, want the cause", err)
						}
						if n := a.stored(t); n != tt.stored {
							t.Errorf("%d rows are stored, want %d", n, tt.stored)
						}
						if got := w.settled(t); got != nil {
							t.Errorf("the audit log has %v of a known outcome", got)
						}
					})
				}
				if n := w.number(t, "SELECT used FROM quota_lot"); n != tt.stored {
					t.Errorf("%d of the quota are used, want %d", n, tt.stored)
				}
				w.checkCounts(t)
			})
		})
	}
}

// TestUnknownOutcome fails COMMIT and then the reading back too. Who waits is told
// Unavailable, the database is not ready, and the outcome is in the audit log as
// soon as it can be told.
func TestUnknownOutcome(t *testing.T) {
	for _, tt := range []struct {
		name    string
		commit  func(*sql.Tx) error
		stored  int64
		outcome string
	}{
		{"after it was committed", failAfter, 1, "committed"},
		{"before it was committed", failBefore, 0, "void"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
				w.addLot(t, 10, clock.Now().Add(1e12))
				var want []string
				for name, a := range acts(w) {
					t.Run(name, func(t *testing.T) {
						want = append(want, fmt.Sprintf(`{"objects":[%q],"outcome":%q}`, a.object, tt.outcome))
						store.FailCommit(w.db, func(tx *sql.Tx) error {
							store.FailBegin(w.db, func() error { return errDown })
							return tt.commit(tx)
						})
						mustBe(t, a.act(t), fault.Unavailable, "store_unavailable")
						if err := w.db.Ready(t.Context()); !fault.Is(err, fault.Unavailable) {
							t.Errorf("while the database is down it is ready: %v", err)
						}
						if left, err := w.db.Settle(t.Context()); left != 1 || err == nil {
							t.Errorf("%d outcomes are left, %v; want 1 and an error", left, err)
						}
						store.FailBegin(w.db, nil)

						// The claim's own outcome is lost too, and then told.
						store.FailCommit(w.db, once(failAfter))
						if left, err := w.db.Settle(t.Context()); left != 0 && err == nil {
							t.Errorf("%d outcomes are left without an error", left)
						}
						store.FailCommit(w.db, nil)
						if err := w.db.Ready(t.Context()); err != nil {
							t.Errorf("the database is up again and not ready: %v", err)
						}
						if left, err := w.db.Settle(t.Context()); left != 0 || err != nil {
							t.Errorf("%d outcomes are left, %v; want none", left, err)
						}
						for _, got := range w.settled(t) {
							if got != want[0] && got != want[len(want)-1] {
								t.Errorf("the audit log says %s, want %s", got, want[len(want)-1])
							}
						}
						if n := a.stored(t); n != tt.stored {
							t.Errorf("%d rows are stored, want %d", n, tt.stored)
						}
					})
				}
				if diff := cmp.Diff(want, dedupe(w.settled(t))); diff != "" {
					t.Errorf("the audit log has other outcomes (-want +got):\n%s", diff)
				}
				w.checkCounts(t)
			})
		})
	}
}

// dedupe drops repetitions: an outcome whose own commit was lost is told again.
func dedupe(all []string) (out []string) {
	for i, s := range all {
		if i == 0 || s != all[i-1] {
			out = append(out, s)
		}
	}
	return out
}

// TestForgottenOutcome settles so late that the marker may have been dropped.
func TestForgottenOutcome(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		cert := w.cert(w.pair)
		store.FailCommit(w.db, func(tx *sql.Tx) error {
			store.FailBegin(w.db, func() error { return errDown })
			return failAfter(tx)
		})
		err := w.db.IssueCertificate(t.Context(), "", cert, w.blob, w.event(cert))
		mustBe(t, err, fault.Unavailable, "store_unavailable")
		store.FailCommit(w.db, nil)
		store.FailBegin(w.db, nil)
		clock.Advance(2 * 3600e9)
		if err := w.db.PurgeFeeds(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left, err := w.db.Settle(t.Context()); left != 0 || err != nil {
			t.Errorf("%d outcomes are left, %v; want none", left, err)
		}
		want := []string{fmt.Sprintf(`{"objects":["certificate.issue %s"],"outcome":"forgotten"}`, cert.Serial)}
		if diff := cmp.Diff(want, w.settled(t)); diff != "" {
			t.Errorf("the audit log (-want +got):\n%s", diff)
		}
	})
}

// TestReadyWhileSettling asks whether the database is ready while the last unknown
// outcome is being settled.
func TestReadyWhileSettling(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		store.FailCommit(w.db, func(tx *sql.Tx) error {
			store.FailBegin(w.db, func() error { return errDown })
			return failAfter(tx)
		})
		cert := w.cert(w.pair)
		mustBe(t, w.db.IssueCertificate(t.Context(), "", cert, w.blob, w.event(cert)), fault.Unavailable, "store_unavailable")
		store.FailCommit(w.db, nil)

		begun, goOn := make(chan struct{}), make(chan struct{})
		var held atomic.Bool
		store.FailBegin(w.db, func() error {
			if held.CompareAndSwap(false, true) {
				close(begun)
				<-goOn
			}
			return nil
		})
		settled := make(chan error, 1)
		go func() {
			_, err := w.db.Settle(t.Context())
			settled <- err
		}()
		<-begun
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := w.db.Ready(short); !fault.Is(err, fault.Unavailable) {
			t.Errorf("while the last outcome is unknown the database is ready: %v", err)
		}
		close(goOn)
		if err := <-settled; err != nil {
			t.Error(err)
		}
		if err := w.db.Ready(t.Context()); err != nil {
			t.Errorf("the outcome is known and the database not ready: %v", err)
		}
		if got := w.settled(t); len(got) != 1 {
			t.Errorf("the audit log has the outcomes %v, want one", got)
		}
	})
}

// TestManyUnknownOutcomes fails COMMIT so often, as a full disk does under load, that
// nothing more is begun. What is unknown is bounded, and settled many at a time.
func TestManyUnknownOutcomes(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		w.addLot(t, 10, clock.Now().Add(time.Hour))
		begun, mayFail := 0, false
		store.FailBegin(w.db, func() error {
			if begun++; mayFail {
				return errDown
			}
			return nil
		})
		store.FailCommit(w.db, func(tx *sql.Tx) error {
			mayFail = true // what would tell the outcome
			return failBefore(tx)
		})
		refusal := telamon.Event{Actor: operator, Action: "certificate.issue", Result: "policy"}
		for range store.MaxUnknown {
			mayFail = false
			mustBe(t, w.db.RecordEvent(t.Context(), refusal), fault.Unavailable, "store_unavailable")
		}
		begun, mayFail = 0, false
		mustBe(t, w.db.RecordEvent(t.Context(), refusal), fault.Unavailable, "store_unavailable")
		mustBe(t, w.db.CreateHierarchy(t.Context(), operator, store.Hierarchy{
			ID: telamon.NewHierarchyID(), Kind: telamon.HierarchyTLS, Name: "another",
		}), fault.Unavailable, "store_unavailable")
		if begun != 0 {
			t.Errorf("%d transactions were begun, with %d outcomes unknown", begun, store.MaxUnknown)
		}
		if err := w.db.Failing(); !fault.Is(err, fault.Unavailable) {
			t.Errorf("the database says of itself: %v", err)
		}

		store.FailCommit(w.db, nil)
		if err := w.db.Ready(t.Context()); err != nil {
			t.Errorf("the database works, and is not ready: %v", err)
		}
		if most := store.MaxUnknown/store.SettleBatch + 1; begun > most { // and the write that Ready tries
			t.Errorf("%d outcomes took %d transactions, want at most %d", store.MaxUnknown, begun, most)
		}
		if n := len(w.settled(t)); n != store.MaxUnknown {
			t.Errorf("the audit log has %d outcomes, want %d", n, store.MaxUnknown)
		}
		if err := w.issue(t.Context(), w.cert(w.pair)); err != nil {
			t.Error(err)
		}
	})
}
