package store_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// TestAccountClaims lists the claims of two identities of an account, in each state.
func TestAccountClaims(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, clock *testkit.Clock) {
		ctx, now := t.Context(), clock.Now()
		one, two := w.newClaimant(t), w.newClaimant(t)
		address := one.draft(telamon.ClaimIP, "192.0.2.1")
		if _, err := w.db.SubmitClaim(ctx, operator, address, store.Extra{}); err != nil {
			t.Fatal(err)
		}
		one.submit(t, "pending.example.com")
		for _, v := range []struct {
			of      *claimant
			name    string
			expires time.Duration // from now
		}{
			{one, "expired.example.com", time.Hour}, {one, "marked.example.com", time.Minute}, {two, "last.example.com", 31*24*time.Hour + time.Hour},
			{two, "soon.example.net", 30*24*time.Hour + time.Hour}, {two, "good.example.com", 200 * 24 * time.Hour},
		} {
			v.of.verify(t, v.of.submit(t, v.name), now.Add(v.expires))
		}
		clock.Advance(2 * time.Minute)
		if _, _, err := w.db.ListClaims(ctx, store.ClaimQuery{Identity: one.identity, Kind: telamon.ClaimDomain, Page: 1, PerPage: 1}); err != nil {
			t.Fatal(err) // which marks the one that has expired
		}
		clock.Advance(time.Hour - 2*time.Minute)

		pattern := func(text string) store.ClaimPattern {
			p, err := store.ParseClaimPattern(text)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		for _, tt := range []struct {
			name string
			q    store.AccountClaimQuery
			want string
		}{
			{"all", store.AccountClaimQuery{}, "192.0.2.1 expired.example.com good.example.com last.example.com marked.example.com pending.example.com soon.example.net"},
			{"an identity", store.AccountClaimQuery{Identity: two.identity}, "good.example.com last.example.com soon.example.net"},
			{"addresses", store.AccountClaimQuery{Kind: telamon.ClaimIP}, "192.0.2.1"},
			{"never verified", store.AccountClaimQuery{State: store.ClaimStatePending, Kind: telamon.ClaimDomain}, "pending.example.com"},
			{"verified", store.AccountClaimQuery{State: store.ClaimStateVerified}, "good.example.com last.example.com soon.example.net"},
			{"expiring, up to the last instant", store.AccountClaimQuery{State: store.ClaimStateExpiring}, "soon.example.net"},
			{"expired, from the first instant", store.AccountClaimQuery{State: store.ClaimStateExpired}, "expired.example.com marked.example.com"},
			{"a pattern", store.AccountClaimQuery{Pattern: pattern("%.example.com"), State: store.ClaimStateVerified}, "good.example.com last.example.com"},
			{"a pattern of other length", store.AccountClaimQuery{Pattern: pattern("%.com")}, ""},
			{"a character", store.AccountClaimQuery{Pattern: pattern("so_n.example.net")}, "soon.example.net"},
			{"a claim of another account", store.AccountClaimQuery{Account: telamon.NewAccountID()}, ""},
		} {
			t.Run(tt.name, func(t *testing.T) {
				q := tt.q
				q.Account, q.Limit = cmp.Or(q.Account, w.account), 100
				rows, total, err := w.db.ListAccountClaims(ctx, q)
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, c := range rows {
					names = append(names, c.Name)
				}
				slices.Sort(names)
				if got := fmt.Sprint(names); got != "["+tt.want+"]" || total != int64(len(names)) {
					t.Errorf("there are %d: %s, want %s", total, got, tt.want)
				}
			})
		}

		all, _, err := w.db.ListAccountClaims(ctx, store.AccountClaimQuery{Account: w.account, Limit: 100})
		if err != nil || !slices.IsSortedFunc(all, func(a, b telamon.Claim) int { return cmp.Compare(b.ID, a.ID) }) {
			t.Errorf("the list is not in order: %v, %v", all, err)
		}
		page := store.AccountClaimQuery{Account: w.account, Before: all[1].ID, Skip: 1, Limit: 2}
		rows, total, err := w.db.ListAccountClaims(ctx, page)
		if diff := gocmp.Diff(all[3:5], rows); err != nil || total != int64(len(all)) || diff != "" {
			t.Errorf("a page is of %d, %v (-want +got):\n%s", total, err, diff)
		}
		if got, err := w.db.AccountClaim(ctx, w.account, address.ID); err != nil || got.Name != "192.0.2.1" {
			t.Errorf("the claim is %+v, %v", got, err)
		}
		if _, err := w.db.AccountClaim(ctx, telamon.NewAccountID(), address.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("another account finds the claim: %v", err)
		}
	})
}

// BenchmarkListAccountClaims measures pages of the claims of an account with 10,000 and
// with a million, of two identities:
//
//	go test ./internal/store/ -run '^$' -bench ListAccountClaims -benchtime 20x -timeout 30m
func BenchmarkListAccountClaims(b *testing.B) {
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", dbtest.SQLite}, {"postgres", dbtest.Postgres}} {
		for _, n := range []int64{10_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s/%d", engine.name, n), func(b *testing.B) {
				clock := telamon.SystemClock{}
				w := newWorld(b, dbtest.Open(b, engine.url(b), clock), clock)
				now := clock.Now()
				for _, c := range []*claimant{w.newClaimant(b), w.newClaimant(b)} {
					err := store.FillClaims(b.Context(), w.db, store.ClaimFill{
						Account: w.account, Identity: c.identity, N: n / 2, Verified: 3, ExpiresAt: now.AddDate(1, 0, 0), From: now.AddDate(-2, 0, 0), To: now,
						Name: func(i int64) string { return fmt.Sprintf("n%d.example.com", i) },
					})
					if err != nil {
						b.Fatal(err)
					}
				}
				exact, err := store.ParseClaimPattern("n123.example.com")
				if err != nil {
					b.Fatal(err)
				}
				for _, page := range []struct {
					name string
					q    store.AccountClaimQuery
				}{
					{"all/first", store.AccountClaimQuery{}},
					{"all/last", store.AccountClaimQuery{Skip: store.MaxAccountClaims - 100}},
					{"verified", store.AccountClaimQuery{State: store.ClaimStateVerified}},
					{"expiring, none", store.AccountClaimQuery{State: store.ClaimStateExpiring}},
					{"name", store.AccountClaimQuery{Pattern: exact}},
				} {
					b.Run(page.name, func(b *testing.B) {
						page.q.Account, page.q.Limit = w.account, 100
						var took time.Duration
						for b.Loop() {
							began := time.Now()
							if _, _, err := w.db.ListAccountClaims(b.Context(), page.q); err != nil {
								b.Fatal(err)
							}
							took += time.Since(began)
						}
						b.ReportMetric(float64(took.Microseconds())/1000/float64(b.N), "ms/page")
					})
				}
			})
		}
	}
}
