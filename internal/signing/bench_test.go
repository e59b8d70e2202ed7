package signing_test

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/tbs"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// BenchmarkSign is what a signature costs with all that belongs to it: the key pair read,
// the signature journaled, made and verified, its audit event durable. 32 sign at a time:
//
//	go test ./internal/signing -run '^$' -bench Sign -benchtime 5000x -cpu 2
func BenchmarkSign(b *testing.B) {
	for database, url := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		for _, tt := range []struct {
			keyType   tbs.KeyType
			algorithm string
		}{{tbs.ECP256, "SHA256withECDSA"}, {tbs.RSA3072, "SHA256withRSA"}} {
			b.Run(database+"/"+string(tt.keyType), func(b *testing.B) {
				w := newWorld(b, url(b))
				k := w.create(b, "key", tt.keyType, nil)
				hash := digest("SHA256")
				b.SetParallelism(32 / runtime.GOMAXPROCS(0))
				used := processorTime(b)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := w.Sign(b.Context(), w.signer, w.account, k.ID, tt.algorithm, hash); err != nil {
							b.Error(err)
							return
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "signatures/s")
				b.ReportMetric(float64((processorTime(b)-used).Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// processorTime returns what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
