package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// BenchmarkAuditEvents measures pages of an account's events among 1,000,000, as the portal
// asks for them, and reports the 99th percentile:
//
//	go test ./internal/store/ -run '^$' -bench AuditEvents -benchtime 200x
func BenchmarkAuditEvents(b *testing.B) {
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", dbtest.SQLite}, {"postgres", dbtest.Postgres}} {
		b.Run(engine.name, func(b *testing.B) {
			clock := telamon.SystemClock{}
			w := newWorld(b, dbtest.Open(b, engine.url(b), clock), clock)
			middle := fillEvents(b, w, 1_000_000)
			for name, f := range map[string]store.AuditFilter{
				"newest": {}, "middle": {After: middle}, "rare action": {Action: "user.set_roles"}, "no object": {Object: "crt_none"},
				"failed": {Failed: true}, "an hour": {From: clock.Now().Add(-time.Hour)},
			} {
				f.Account, f.Newest, f.Limit, f.Scan = w.account, true, 100, 5000
				b.Run(name, func(b *testing.B) {
					var took []time.Duration
					for b.Loop() {
						start := time.Now()
						if _, err := w.db.AuditEvents(b.Context(), f); err != nil {
							b.Fatal(err)
						}
						took = append(took, time.Since(start))
					}
					slices.Sort(took)
					b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
				})
			}
		})
	}
}

// fillEvents writes n events of the account and returns the ID of one in their middle.
func fillEvents(tb testing.TB, w *world, n int) (middle telamon.EventID) {
	tb.Helper()
	user, object := telamon.NewUserID(), telamon.NewCredentialID().String()
	var events []telamon.Event
	for i := range n {
		e := telamon.Event{
			ID: telamon.NewEventID(), At: w.clock.Now(), Account: w.account, Action: "credential.login", Object: object, Result: "ok",
			Actor: telamon.Actor{Kind: telamon.ActorUser, User: user}, After: map[string]any{"address": "192.0.2.7", "n": i},
		}
		switch {
		case i == n/2:
			middle = e.ID
		case i%1000 == 0:
			e.Result = "secret_wrong"
		}
		if events = append(events, e); len(events) == 10_000 || i == n-1 {
			must(tb, store.FillEvents(tb.Context(), w.db, events))
			events = events[:0]
		}
	}
	return middle
}
