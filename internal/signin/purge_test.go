package signin_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/signin"
)

// TestPurge lets everything end, and finds that the database forgets it but for what still
// locks.
func TestPurge(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		value := w.welcome(t, ada, "Acme")
		for range signin.MaxFailures {
			w.mayNot(t, ada, "wrong password", fault.Unauthenticated, "sign_in_refused")
		}
		must(t, w.Register(ctx, bob, horse, "en", home))
		tables := []string{"registration", "mailed_link", "session", "sign_in_attempt"}
		rows := func() (n []int) {
			for _, table := range tables {
				n = append(n, w.count(t, "SELECT count(*) FROM "+table))
			}
			return n
		}
		before := rows()
		must(t, w.db.PurgeSignIn(ctx))
		for i, n := range rows() {
			if n != before[i] || n == 0 {
				t.Errorf("%s has %d rows, and had %d", tables[i], n, before[i])
			}
		}
		w.clock.Advance(31 * 24 * time.Hour)
		must(t, w.dir.Poll(ctx))
		must(t, w.db.PurgeSignIn(ctx))
		for i, n := range rows() {
			if n != 0 {
				t.Errorf("%s has %d rows left", tables[i], n)
			}
		}
		w.ended(t, value)
		w.mayNot(t, ada, horse, fault.Denied, "too_many_attempts")
	})
}
