package signin_test

import (
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// BenchmarkSession looks a session up, as each request of the portal does, and reports the
// 99th percentile.
func BenchmarkSession(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, url(b))
			p := w.administrator(b, ada, "Acme")
			ctx := b.Context()
			took := make([]time.Duration, 0, 1000)
			for b.Loop() {
				start := time.Now()
				if _, err := w.Session(ctx, p.value, home); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
