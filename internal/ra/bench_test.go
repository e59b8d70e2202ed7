package ra_test

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// BenchmarkIssue issues over SQLite for a key in a CSR, with quota, from so many
// workers at once: commits are grouped, so that more workers share a sync.
func BenchmarkIssue(b *testing.B) {
	for _, workers := range []int{8, 64} {
		b.Run(strconv.Itoa(workers), func(b *testing.B) {
			w := newWorld(b, dbtest.SQLite(b), testkit.NewClock(b, now))
			c := w.customer(b, metered(), 1<<31-1)
			csr := newKey(b).csr
			procs := runtime.GOMAXPROCS(0)
			b.SetParallelism(max(workers/procs, 1)) // workers are a multiple of GOMAXPROCS
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := w.ra.Issue(b.Context(), c.actor(), request(csr, "www.example.com")); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "issued/s")
		})
	}
}
