package store_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestLostReader ends the connection of a reading that is under way. The reader is not
// told.
func TestLostReader(t *testing.T) {
	clock := testkit.NewClock(t, testTime)
	w := newWorld(t, dbtest.Open(t, dbtest.Postgres(t), clock), clock)
	w.addLot(t, 100, clock.Now().Add(time.Hour))
	cert := w.cert(w.pair)
	must(t, w.issue(t.Context(), cert))
	for name, reading := range map[string]struct {
		table string
		read  func() error
	}{
		"a row": {"certificate", func() error { _, err := w.db.Certificate(t.Context(), w.pair, cert.Serial); return err }},
		"rows":  {"job", func() error { _, err := w.db.JobsDue(t.Context()); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			lock, err := store.Writer(w.db).Begin()
			must(t, err)
			defer lock.Rollback()
			if _, err := lock.Exec("LOCK TABLE " + reading.table); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- reading.read() }()
			const waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
			for end, ended := time.After(time.Minute), 0; ended == 0; {
				select {
				case <-end:
					t.Fatal("nobody waits for the table")
				case <-time.After(time.Millisecond):
				}
				must(t, lock.QueryRow("SELECT count(pg_terminate_backend(pid)) "+waiting).Scan(&ended))
			}
			must(t, lock.Rollback())
			if err := <-done; err != nil {
				t.Errorf("the reader is told %v", err)
			}
		})
	}
}
