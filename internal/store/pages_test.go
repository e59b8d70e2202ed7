package store_test

import (
	"os"
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
			w, size := pagesWorld(b, db.filled)
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

// pagesWorld makes a database with so many certificates and a WAL that only grows,
// and returns what tells the WAL's size.
func pagesWorld(b *testing.B, filled int64) (w *world, size func() int64) {
	b.Helper()
	url := dbtest.SQLite(b)
	w = newWorld(b, dbtest.Open(b, url, telamon.SystemClock{}), telamon.SystemClock{})
	w.addLot(b, 1<<40, w.clock.Now().Add(time.Hour))
	if _, err := w.db.Fill(b.Context(), w.fillSpec(filled, 365)); err != nil {
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
