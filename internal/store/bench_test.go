package store_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// BenchmarkIssueCertificate measures durable issuances by concurrent requests:
//
//	go test ./internal/store/ -run '^$' -bench IssueCertificate -cpu 2
func BenchmarkIssueCertificate(b *testing.B) {
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", dbtest.SQLite}, {"postgres", dbtest.Postgres}} {
		for _, workers := range []int{8, 64} {
			b.Run(fmt.Sprintf("%s/%d", engine.name, workers), func(b *testing.B) {
				db := dbtest.Open(b, engine.url(b), telamon.SystemClock{})
				benchmarkIssue(b, newWorld(b, db, telamon.SystemClock{}), workers)
			})
		}
	}
}

func benchmarkIssue(b *testing.B, w *world, workers int) {
	w.addLot(b, 1<<40, w.clock.Now().Add(time.Hour*24))
	// As ra tells them.
	w.blob.Names = []string{"www.example.com", "www.example.com", "example.com"}
	b.SetParallelism((workers + 1) / 2) // times GOMAXPROCS, which -cpu 2 sets
	b.ReportAllocs()
	before := cpuTime(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := w.issue(b.Context(), w.cert(w.pair)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/unit")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
	b.ReportMetric(float64(b.N)/float64(w.number(b, "SELECT count(*) FROM commit_marker")), "units/batch")
	if n, err := w.db.IssuedTotal(b.Context(), w.pair); err != nil || n < int64(b.N) {
		b.Errorf("the counter says %d, %v after %d issuances", n, err, b.N)
	}
}

// cpuTime returns the user and system time that this process has taken.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
