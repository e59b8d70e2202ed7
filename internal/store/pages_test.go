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

// BenchmarkPages measures the pages that SQLite writes for a batch of one
// certificate, in an empty database and in one with a million:
//
//	go test ./internal/store/ -run '^$' -bench Pages -benchtime 2000x
func BenchmarkPages(b *testing.B) {
	for name, filled := range map[string]int64{"empty": 0, "after 1,000,000": 1_000_000} {
		b.Run(name, func(b *testing.B) {
			url := dbtest.SQLite(b)
			db := dbtest.Open(b, url, telamon.SystemClock{})
			w := newWorld(b, db, telamon.SystemClock{})
			w.addLot(b, 1<<40, w.clock.Now().Add(time.Hour))
			if _, err := db.Fill(b.Context(), w.fillSpec(filled, 365)); err != nil {
				b.Fatal(err)
			}
			if err := store.KeepWAL(b.Context(), db); err != nil {
				b.Fatal(err)
			}
			size := func() int64 {
				info, err := os.Stat(strings.TrimPrefix(url, "sqlite:") + "-wal")
				if err != nil {
					b.Fatal(err)
				}
				return info.Size()
			}
			before := size()
			b.ResetTimer()
			for range b.N {
				if err := w.issue(b.Context(), w.cert(w.pair)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(size()-before)/4120/float64(b.N), "pages/unit") // a page and its header
		})
	}
}
