package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// activityQueries are pages of an account's activities, from the cheapest to the dearest.
func activityQueries(now time.Time, resource string) []struct {
	name string
	f    store.ActivityFilter
} {
	return []struct {
		name string
		f    store.ActivityFilter
	}{
		{"newest", store.ActivityFilter{Limit: 20}},
		{"oldest", store.ActivityFilter{Limit: 20, OldestFirst: true}},
		{"last page", store.ActivityFilter{Limit: 100, Offset: store.MaxActivities - 100}},
		{"one day", store.ActivityFilter{Limit: 20, From: now.AddDate(0, 0, -200), To: now.AddDate(0, 0, -199)}},
		{"failures of one resource", store.ActivityFilter{Limit: 20, Status: store.ActivityFailure, Resource: resource}},
		{"failures", store.ActivityFilter{Limit: 20, Status: store.ActivityFailure}},
		{"action", store.ActivityFilter{Limit: 20, Action: "delete"}},
		{"types", store.ActivityFilter{Limit: 20, ResourceTypes: []string{"client_auth_cert", "user"}}},
		{"name", store.ActivityFilter{Limit: 20, UserName: "agent 17"}},
		{"no such name", store.ActivityFilter{Limit: 20, UserName: "nobody"}},
	}
}

// fillActivities writes n activities of a year until now, most of which are signatures,
// and a tenth as many of another account. It returns a certificate of some of them.
func fillActivities(tb testing.TB, w *world, n int) (resource string) {
	tb.Helper()
	other := telamon.Account{ID: telamon.NewAccountID(), Name: "Other"}
	must(tb, w.db.CreateAccount(tb.Context(), operator, &other))
	var certs []telamon.ClientCertID
	for range 1000 {
		certs = append(certs, telamon.NewClientCertID())
	}
	pair, user := telamon.NewKeyPairID(), telamon.NewUserID()
	start, step := w.clock.Now().AddDate(-1, 0, 0), 365*24*time.Hour/time.Duration(n)
	var events []telamon.Event
	flush := func() {
		must(tb, store.FillActivity(tb.Context(), w.db, events))
		events = events[:0]
	}
	for i := range n {
		e := telamon.Event{
			ID: telamon.NewEventID(), At: start.Add(time.Duration(i) * step), Account: w.account, Action: "key_pair.sign", Object: pair.String(),
			Actor: telamon.Actor{Kind: telamon.ActorUser, User: user, UserName: fmt.Sprintf("Build Agent %d", i%200)}, Result: "ok",
		}
		switch {
		case i%1000 == 0:
			e.Action, e.Object = "client_certificate.delete", certs[i/1000%1000].String()
		case i%100 == 0:
			e.Action, e.Object, e.Result = "user.authenticate", certs[i/100%1000].String(), "certificate_expired"
		case i%10 == 0:
			e.Account = other.ID
		}
		if events = append(events, e); len(events) == 10_000 {
			flush()
		}
	}
	flush()
	return certs[7].String()
}

// BenchmarkActivities measures pages of an account's activities among 1,000,000:
//
//	go test ./internal/store/ -run '^$' -bench Activities -benchtime 20x
func BenchmarkActivities(b *testing.B) {
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", dbtest.SQLite}, {"postgres", dbtest.Postgres}} {
		b.Run(engine.name, func(b *testing.B) {
			clock := telamon.SystemClock{}
			w := newWorld(b, dbtest.Open(b, engine.url(b), clock), clock)
			start := time.Now()
			resource := fillActivities(b, w, 1_000_000)
			b.Logf("filled in %s", time.Since(start).Round(time.Second))
			if engine.name == "postgres" {
				w.exec(b, "ANALYZE activity")
			}
			for _, q := range activityQueries(clock.Now(), resource) {
				q.f.Account = w.account
				b.Run(q.name, func(b *testing.B) {
					var n int
					var total int64
					var err error
					for b.Loop() {
						var list []telamon.Activity
						list, total, err = w.db.Activities(b.Context(), q.f)
						n = len(list)
					}
					b.Logf("%d of %d, %v", n, total, err)
				})
			}
		})
	}
}

// Each filter that has an index is answered by it, in the order of the list, on
// both databases: no sort, and no scan of the table.
func TestActivityPlans(t *testing.T) {
	dbtest.EachURL(t, func(t *testing.T, url string) {
		clock := telamon.SystemClock{}
		w := newWorld(t, dbtest.Open(t, url, clock), clock)
		resource := fillActivities(t, w, 20_000)
		explain := "EXPLAIN QUERY PLAN "
		if !strings.HasPrefix(url, "sqlite:") {
			explain = "EXPLAIN "
			w.exec(t, "ANALYZE activity")
		}
		for _, q := range activityQueries(clock.Now(), resource) {
			if q.f.Account = w.account; q.f.UserName != "" || q.f.ResourceTypes != nil {
				continue // no index is for those: PostgreSQL looks through a small table instead
			}
			text, args := store.ActivityQuery(w.db, q.f)
			plan := explained(t, w, explain+text, args)
			for _, dear := range []string{"Sort", "TEMP B-TREE", "Seq Scan", "SCAN"} {
				if strings.Contains(plan, dear) {
					t.Errorf("%s: %s\nis answered by\n%s", q.name, text, plan)
				}
			}
		}
	})
}

// explained returns the lines of a plan.
func explained(t *testing.T, w *world, text string, args []any) string {
	t.Helper()
	rows, err := store.Reader(w.db).Query(text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(string)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, *values[len(values)-1].(*string))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
