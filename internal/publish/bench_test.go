package publish_test

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// BenchmarkCRL publishes a CRL of a million entries, and reports the seconds until it is
// signed, those until it is durable in the database, what processors spent on both, the
// heap at the most, and by how much the process grew:
//
//	go test ./internal/publish/ -run '^$' -bench CRL -benchtime 5x
func BenchmarkCRL(b *testing.B) {
	const entries = 1_000_000
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", dbtest.SQLite}, {"postgres", dbtest.Postgres}} {
		b.Run(engine.name, func(b *testing.B) {
			w := newWorld(b, engine.url(b))
			w.fill(b, single, entries)
			for _, place := range []int{strict, single} { // warm, and the first one of the database's cache
				_, err := w.publisher.Publish(b.Context(), operator, w.issuers[place].ID)
				must(b, err)
			}
			debug.SetGCPercent(100)
			runtime.GC()
			debug.FreeOSMemory()
			before := resident(b)
			peak := watchHeap()
			var signed time.Duration
			cpu := processorTime(b)
			for b.Loop() {
				start := time.Now()
				w.keys.signed = func() { signed += time.Since(start) }
				published, err := w.publisher.Publish(b.Context(), operator, w.issuers[single].ID)
				must(b, err)
				if published[0].Entries != entries {
					b.Fatalf("the CRL has %d entries", published[0].Entries)
				}
			}
			b.ReportMetric((processorTime(b)-cpu).Seconds()/float64(b.N), "s-cpu")
			b.ReportMetric(signed.Seconds()/float64(b.N), "s-signed")
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s-durable")
			b.ReportMetric(float64(peak())/(1<<20), "MB-heap")
			b.ReportMetric(float64(resident(b)-before)/(1<<20), "MB-grown")
		})
	}
}

// fill revokes so many certificates of an issuer that were never signed.
func (w *world) fill(t testing.TB, issuer int, n int64) {
	t.Helper()
	serial := telamon.NewSerial(w.clock.Now())
	template := telamon.Certificate{
		Serial: serial, Pair: w.pair, Credential: "crd_00000000000000000000000000", Issuer: w.issuers[issuer].ID, PolicyVersion: "pol_1",
		SPKIHash: sha256.Sum256(serial[:]), NotBefore: w.clock.Now(), NotAfter: w.clock.Now().AddDate(1, 0, 0),
	}
	_, err := w.db.Fill(t.Context(), store.FillSpec{
		Actor: operator, Account: w.account, N: n, Revoked: n, Template: template, Blob: store.Blob{DER: serial[:], Request: []byte("{}")},
		From: w.clock.Now().AddDate(0, 0, -90), To: w.clock.Now(),
	})
	must(t, err)
}

// watchHeap returns what ends the watch and gives the most that the heap held, in octets.
func watchHeap() (end func() uint64) {
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		ticker := time.NewTicker(2 * time.Millisecond)
		defer ticker.Stop()
		var peak uint64
		var stats runtime.MemStats
		for {
			runtime.ReadMemStats(&stats)
			peak = max(peak, stats.HeapInuse)
			select {
			case <-stop:
				done <- peak
				return
			case <-ticker.C:
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-done
	}
}

// resident returns the most memory that the process has had, in octets.
func resident(t testing.TB) int64 {
	t.Helper()
	file, err := os.Open("/proc/self/status")
	must(t, err)
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			var kb int64
			if _, err := fmt.Sscanf(text, "%d kB", &kb); err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	return 0
}

// processorTime returns what the process has used of processors.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
