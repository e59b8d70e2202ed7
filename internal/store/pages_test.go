package store_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// BenchmarkPages measures the pages that SQLite writes for a certificate, in batches
// of one and in those of eight writers at once, in an empty database and in one with
// a million:
//
//	go test ./internal/store/ -run '^$' -bench Pages -benchtime 2000x -cpu 2
func BenchmarkPages(b *testing.B) {
	for _, db := range []struct {
		name   string
		filled int64
	}{{"empty", 0}, {"after 1,000,000", 1_000_000}} {
		b.Run(db.name, func(b *testing.B) {
			w, size := pagesWorld(b, db.filled, 0)
			b.Run("batch of one", func(b *testing.B) {
				measurePages(b, w, size, func() {
					for range b.N {
						if err := w.issue(b.Context(), w.cert(w.pair)); err != nil {
							b.Fatal(err)
						}
					}
				})
			})
			b.Run("8 writers", func(b *testing.B) {
				b.SetParallelism(4) // times GOMAXPROCS, which -cpu 2 sets
				measurePages(b, w, size, func() {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							if err := w.issue(b.Context(), w.cert(w.pair)); err != nil {
								b.Error(err)
								return
							}
						}
					})
				})
			})
		})
	}
}

// BenchmarkRevoke measures revocations one at a time in two databases of a million
// certificates, of which none or all are revoked. The databases take turns; times are
// medians:
//
//	go test ./internal/store/ -run '^$' -bench Revoke -benchtime 20x
func BenchmarkRevoke(b *testing.B) {
	const certificates, inTurn = 1_000_000, 100
	type side struct {
		w     *world
		size  func() int64
		times []time.Duration
		pages float64
	}
	var sides [2]*side
	for i := range sides {
		s := &side{}
		s.w, s.size = pagesWorld(b, certificates, int64(i)*certificates)
		sides[i] = s
	}
	turn := func(s *side) {
		serials := make([]telamon.Serial, inTurn)
		for i := range serials {
			cert := s.w.cert(s.w.pair)
			s.w.mustIssue(b, cert)
			serials[i] = cert.Serial
		}
		before := s.size()
		for _, serial := range serials {
			start := time.Now()
			if err := s.w.revoke(b, serial, telamon.Revocation{Reason: telamon.ReasonSuperseded}); err != nil {
				b.Fatal(err)
			}
			s.times = append(s.times, time.Since(start))
		}
		s.pages += float64(s.size()-before) / 4120
	}
	for b.Loop() {
		turn(sides[0])
		turn(sides[1])
		turn(sides[1])
		turn(sides[0])
	}
	for i, name := range []string{"none", "all"} {
		s := sides[i]
		slices.Sort(s.times)
		b.ReportMetric(float64(s.times[len(s.times)/2].Microseconds()), "µs-"+name)
		b.ReportMetric(s.pages/float64(len(s.times)), "pages-"+name)
	}
}

// pagesWorld makes a database with so many certificates, some of them revoked, and a WAL
// that only grows, and returns what tells the WAL's size.
func pagesWorld(b *testing.B, filled, revoked int64) (w *world, size func() int64) {
	b.Helper()
	url := dbtest.SQLite(b)
	w = newWorld(b, dbtest.Open(b, url, telamon.SystemClock{}), telamon.SystemClock{})
	w.addLot(b, 1<<40, w.clock.Now().Add(time.Hour))
	spec := w.fillSpec(filled, 365)
	spec.Revoked = revoked
	if _, err := w.db.Fill(b.Context(), spec); err != nil {
		b.Fatal(err)
	}
	if err := store.KeepWAL(b.Context(), w.db); err != nil {
		b.Fatal(err)
	}
	return w, func() int64 {
		info, err := os.Stat(strings.TrimPrefix(url, "sqlite:") + "-wal")
		if err != nil {
			b.Fatal(err)
		}
		return info.Size()
	}
}

// measurePages reports how many pages are written for each of b.N certificates that
// issue issues, and how many of them share a batch.
func measurePages(b *testing.B, w *world, size func() int64, issue func()) {
	b.Helper()
	const markers = "SELECT count(*) FROM commit_marker"
	before, batches := size(), w.number(b, markers)
	b.ResetTimer()
	issue()
	b.StopTimer()
	b.ReportMetric(float64(size()-before)/4120/float64(b.N), "pages/unit") // a page and its header
	b.ReportMetric(float64(b.N)/float64(w.number(b, markers)-batches), "units/batch")
}
