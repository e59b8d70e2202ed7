package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// BenchmarkListClaims measures pages of a million claims that were made in two years:
//
//	go test ./internal/store/ -run '^$' -bench ListClaims -benchtime 20x -timeout 30m
func BenchmarkListClaims(b *testing.B) {
	const n, perPage = 1_000_000, 100
	name := func(i int64) string {
		if i%10_000 == 0 { // 100 names
			return fmt.Sprintf("n%d.narrow.example.com", i/10_000)
		}
		return fmt.Sprintf("n%d.example.com", i)
	}
	pattern := func(text string) store.ClaimPattern {
		p, err := store.ParseClaimPattern(text)
		if err != nil {
			b.Fatal(err)
		}
		return p
	}
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", dbtest.SQLite}, {"postgres", dbtest.Postgres}} {
		b.Run(engine.name, func(b *testing.B) {
			clock := telamon.SystemClock{}
			w := newWorld(b, dbtest.Open(b, engine.url(b), clock), clock)
			c := w.newClaimant(b)
			now := clock.Now()
			err := store.FillClaims(b.Context(), w.db, store.ClaimFill{
				Account: w.account, Identity: c.identity, N: n, Verified: 3, ExpiresAt: now.AddDate(1, 0, 0),
				From: now.AddDate(-2, 0, 0), To: now, Name: name,
			})
			if err != nil {
				b.Fatal(err)
			}
			pending, verified := int64(n-(n+2)/3), int64((n+2)/3)
			for _, page := range []struct {
				name  string
				q     store.ClaimQuery
				total int64
			}{
				{"all/first", store.ClaimQuery{Page: 1}, n},
				{"all/middle", store.ClaimQuery{Page: n / perPage / 2}, n},
				{"all/last", store.ClaimQuery{Page: n / perPage}, n},
				{"pending/first", store.ClaimQuery{Status: telamon.ClaimPending, Page: 1}, pending},
				{"pending/middle", store.ClaimQuery{Status: telamon.ClaimPending, Page: pending / perPage / 2}, pending},
				{"pending/last", store.ClaimQuery{Status: telamon.ClaimPending, Page: pending / perPage}, pending},
				{"verified/first", store.ClaimQuery{Status: telamon.ClaimVerified, Page: 1}, verified},
				{"verified/middle", store.ClaimQuery{Status: telamon.ClaimVerified, Page: verified / perPage / 2}, verified},
				{"verified/last", store.ClaimQuery{Status: telamon.ClaimVerified, Page: verified / perPage}, verified},
				{"window/a year", store.ClaimQuery{From: now.AddDate(-1, -6, 0), To: now.AddDate(0, -6, 0), Page: 1000}, -1},
				{"exact name", store.ClaimQuery{Pattern: pattern("n123456.example.com"), Page: 1}, 1},
				{"narrow pattern", store.ClaimQuery{Pattern: pattern("%.narrow.example.com"), Page: 1}, 100},
				{"prefix pattern", store.ClaimQuery{Pattern: pattern("n12345_.example.com"), Page: 1}, -1},
				{"broad pattern", store.ClaimQuery{Pattern: pattern("%.example.com"), Page: 1}, n - 100},
			} {
				b.Run(page.name, func(b *testing.B) {
					page.q.Identity, page.q.Kind, page.q.PerPage = c.identity, telamon.ClaimDomain, perPage
					var took time.Duration
					for b.Loop() {
						began := time.Now()
						rows, total, err := w.db.ListClaims(b.Context(), page.q)
						took += time.Since(began)
						if err != nil || len(rows) == 0 || page.total >= 0 && total != page.total {
							b.Fatalf("%d rows of %d, %v; want some of %d", len(rows), total, err, page.total)
						}
					}
					b.ReportMetric(float64(took.Microseconds())/1000/float64(b.N), "ms/page")
				})
			}
		})
	}
}
