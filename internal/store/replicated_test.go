package store_test

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// warn has the server warn on the connection of tx.
func warn(tx *sql.Tx) error {
	_, err := tx.Exec("DO $$ BEGIN RAISE WARNING 'canceling wait for synchronous replication due to user request'; END $$")
	return err
}

// warnAndCommit commits as a server does whose wait for its standby was cancelled.
func warnAndCommit(tx *sql.Tx) error {
	if err := warn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// TestUnreplicated lets a transaction become visible although nobody knows whether a
// standby has it. It is acknowledged after another COMMIT has gone through, which
// waited for the standby, and not before.
func TestUnreplicated(t *testing.T) {
	clock := testkit.NewClock(t, testTime)
	w := newWorld(t, dbtest.Open(t, dbtest.Postgres(t), clock), clock)
	w.addLot(t, 100, clock.Now().Add(time.Hour))
	for name, commit := range map[string]func(*sql.Tx) error{"the answer was lost": failAfter, "the server has warned": warnAndCommit} {
		t.Run(name, func(t *testing.T) {
			commits := 0
			store.FailCommit(w.db, func(tx *sql.Tx) error {
				if commits++; commits == 1 {
					return commit(tx)
				}
				return tx.Commit()
			})
			err := w.issue(t.Context(), w.cert(w.pair))
			store.FailCommit(w.db, nil)
			if err != nil || commits != 2 {
				t.Errorf("after %d commits the waiter is told %v, want nil after two", commits, err)
			}

			commits = 0
			cert := w.cert(w.pair)
			store.FailCommit(w.db, func(tx *sql.Tx) error {
				if commits++; commits == 1 {
					return commit(tx)
				}
				return errors.Join(tx.Rollback(), errDown)
			})
			err = w.issue(t.Context(), cert)
			store.FailCommit(w.db, nil)
			mustBe(t, err, fault.Unavailable, "store_unavailable")
			if _, err := w.db.Certificate(t.Context(), w.pair, cert.Serial); err != nil {
				t.Errorf("the certificate cannot be seen: %v", err)
			}
			if left, err := w.db.Settle(t.Context()); left != 0 || err != nil {
				t.Errorf("%d outcomes are unknown, %v", left, err)
			}
		})
	}
	t.Run("an earlier warning", func(t *testing.T) {
		commits := 0
		store.FailCommit(w.db, func(tx *sql.Tx) error { commits++; return tx.Commit() })
		defer store.FailCommit(w.db, nil)
		if _, err := store.Writer(w.db).Exec("DO $$ BEGIN RAISE WARNING 'of another matter'; END $$"); err != nil {
			t.Fatal(err)
		}
		if err := w.issue(t.Context(), w.cert(w.pair)); err != nil || commits != 1 {
			t.Errorf("%d commits, %v, want one", commits, err)
		}
	})
	w.checkAgreement(t)
}
