package store_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// fillShelf writes n certificates of a year: of two pairs, by credentials and with names
// that are frequent, seldom and rare. It returns the rarest credential.
func fillShelf(b *testing.B, w *world, n int64) telamon.CredentialID {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(b, err)
	credentials := []telamon.CredentialID{telamon.NewCredentialID(), telamon.NewCredentialID(), ""}
	now := w.clock.Now()
	for i, part := range []struct {
		share int64 // of a thousand; 0 for 50 certificates
		days  int   // before now that the last was issued
		names []string
	}{
		{500, 0, []string{"www.example.com", "example.com"}}, {300, 0, []string{"api.example.com"}}, {150, 0, []string{"www.shop.example.org"}},
		{30, 200, []string{"old.example.net", "old.example.com"}}, {15, 0, []string{"seldom.example.com"}}, {0, 300, []string{"rare.example.com"}},
	} {
		spec := w.fillSpec(max(n*part.share/1000, 50), 365)
		spec.Subscription, spec.Revoked, spec.To = "", spec.N/20, now.AddDate(0, 0, -part.days)
		spec.Template.Pair, spec.Template.Credential = []telamon.PairID{w.pair, w.another}[i%2], credentials[i%3]
		spec.Blob.DER = leaf(b, key, spec.Template.Serial, part.names...)
		if _, err := w.db.Fill(b.Context(), spec); err != nil {
			b.Fatal(err)
		}
	}
	return credentials[2]
}

// BenchmarkFindCertificates measures pages of an account's certificates among 1,000,000,
// for every combination of filters, and reports the slowest pages:
//
//	go test ./internal/store/ -run '^$' -bench FindCertificates -benchtime 1x -timeout 30m
func BenchmarkFindCertificates(b *testing.B) {
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", dbtest.SQLite}, {"postgres", dbtest.Postgres}} {
		b.Run(engine.name, func(b *testing.B) {
			clock := telamon.SystemClock{}
			w := newWorld(b, dbtest.Open(b, engine.url(b), clock), clock)
			start := time.Now()
			credential := fillShelf(b, w, 1_000_000)
			b.Logf("filled in %s", time.Since(start).Round(time.Second))
			if engine.name == "postgres" {
				w.exec(b, "ANALYZE")
			}
			b.ResetTimer()
			for b.Loop() {
				measureSearches(b, w, credential)
			}
		})
	}
}

// measureSearches reads the first three pages of every combination of filters.
func measureSearches(b *testing.B, w *world, credential telamon.CredentialID) {
	now := w.clock.Now()
	half := w.number(b, "SELECT accepted_at FROM certificate ORDER BY serial LIMIT 1 OFFSET 500000")
	middle, err := w.db.FindCertificates(b.Context(), store.CertificateSearch{
		Pairs: []telamon.PairID{w.pair, w.another}, IssuedUntil: time.UnixMilli(half), Limit: 1,
	})
	must(b, err)
	serial := middle.Rows[0].Serial.String()
	type page struct {
		took, cpu time.Duration // cpu of this process, which on PostgreSQL is not all
		what      string
	}
	var pages []page
	for _, state := range []store.CertificateState{"", store.StateGood, store.StateRevoked, store.StateExpired, store.StateExpiring} {
		for _, pairs := range [][]telamon.PairID{{w.pair, w.another}, {w.another}} {
			for _, name := range []string{"", "*.example.com", "seldom.example.com", "old.example.com", "rare.example.com"} {
				for _, by := range []*telamon.CredentialID{nil, &credential} {
					for _, digits := range []string{"", serial[:4], serial[:9]} {
						for _, dates := range []int{0, 1, 2} {
							f := store.CertificateSearch{
								Pairs: pairs, State: state, Within: 30 * 24 * time.Hour, Name: name, Credential: by, Serial: digits, Limit: 100, CountsAll: true,
							}
							if dates == 1 {
								f.IssuedFrom, f.IssuedUntil = now.AddDate(0, 0, -220), now.AddDate(0, 0, -20)
							}
							if dates == 2 {
								f.ExpiresFrom, f.ExpiresUntil = now.AddDate(0, 0, -30), now.AddDate(0, 0, 60)
							}
							for range 3 {
								start, before := time.Now(), cpuTime(b)
								found, err := w.db.FindCertificates(b.Context(), f)
								took, cpu := time.Since(start), cpuTime(b)-before
								must(b, err)
								pages = append(pages, page{took, cpu, fmt.Sprintf("%s pairs=%d name=%s cred=%t serial=%s dates=%d after=%t: %d full=%t",
									state, len(pairs), name, by != nil, digits, dates, f.After != nil, len(found.Rows), found.Full)})
								if found.Next == nil {
									break
								}
								f.After, f.CountsAll = found.Next, false
							}
						}
					}
				}
			}
		}
	}
	slices.SortFunc(pages, func(a, b page) int { return int(b.took - a.took) })
	for _, p := range pages[:5] {
		b.Logf("%s, cpu %s: %s", p.took.Round(100*time.Microsecond), p.cpu.Round(100*time.Microsecond), p.what)
	}
	milliseconds := func(p page) float64 { return float64(p.took.Microseconds()) / 1000 }
	b.ReportMetric(milliseconds(pages[len(pages)/2]), "p50-ms")
	b.ReportMetric(milliseconds(pages[len(pages)/100]), "p99-ms")
	b.ReportMetric(milliseconds(pages[0]), "max-ms")
	b.ReportMetric(float64(len(pages)), "pages")
	slices.SortFunc(pages, func(a, b page) int { return int(b.cpu - a.cpu) })
	b.Logf("the most cpu: %s: %s", pages[0].cpu.Round(100*time.Microsecond), pages[0].what)
	b.ReportMetric(float64(pages[len(pages)/100].cpu.Microseconds())/1000, "p99-cpu-ms")
	b.ReportMetric(float64(pages[0].cpu.Microseconds())/1000, "max-cpu-ms")
}
