package store_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// BenchmarkScan measures how long a million certificates take to be searched for a key,
// as no index holds keys:
//
//	go test ./internal/store/ -run '^$' -bench Scan -benchtime 3x
func BenchmarkScan(b *testing.B) {
	url := dbtest.SQLite(b)
	w := newWorld(b, dbtest.Open(b, url, telamon.SystemClock{}), telamon.SystemClock{})
	w.addLot(b, 1<<40, w.clock.Now().Add(time.Hour))
	if _, err := w.db.Fill(b.Context(), w.fillSpec(1_000_000, 365)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		bulk := telamon.BulkRevocation{
			AsOf:   w.clock.Now(),
			Filter: telamon.RevocationFilter{Key: "0000000000000000000000000000000000000000000000000000000000000000"},
		}
		for done := false; !done; {
			step, err := w.db.ScanBulk(b.Context(), &bulk, 10_000)
			if err != nil {
				b.Fatal(err)
			}
			bulk.Cursor, done = step.Next, step.Done
		}
	}
}
