package ra_test

import (
	"context"
	"runtime"
	"strconv"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/lint"
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

// BenchmarkIssueLinted issues with and without lints, for private services and for those
// of strict content, from 8 workers.
func BenchmarkIssueLinted(b *testing.B) {
	linter, err := lint.New(lint.Config{})
	must(b, err)
	for _, bench := range []struct {
		name string
		lint func(context.Context, telamon.Profile, []byte) []fault.Field
		spec iam.ServiceSpec
	}{
		{"private/unlinted", nil, metered()}, {"private/linted", linter.Check, metered()},
		{"strict/unlinted", nil, strictContent(domainAlone...)}, {"strict/linted", linter.Check, strictContent(domainAlone...)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			w := newLintedWorld(b, dbtest.SQLite(b), testkit.NewClock(b, now), bench.lint)
			c := w.customer(b, bench.spec, 1<<31-1)
			csr := newKey(b).csr
			b.SetParallelism(max(8/runtime.GOMAXPROCS(0), 1))
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

// BenchmarkValidate verifies a claim over SQLite by a TXT record that a DNS server on
// loopback answers with: from the check to the durable verification, as a request waits
// for it. The reassert before each and the record are not counted.
func BenchmarkValidate(b *testing.B) {
	w := newWorld(b, dbtest.SQLite(b), testkit.NewClock(b, now))
	c := w.customer(b, unlimited(), 0)
	claim := c.claim(b, "shop.example.com")
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		claim = c.reassert(b, claim.ID)
		w.outside.DNS.Remove("shop.example.com", "TXT", "")
		c.publish(b, claim, "shop.example.com")
		b.StartTimer()
		if !c.checkDNS(b, claim.ID, "") {
			b.Fatal("the claim is not verified")
		}
	}
}

// BenchmarkIssueValidated issues for a name that a verified claim covers and whose CAA
// records are looked up.
func BenchmarkIssueValidated(b *testing.B) {
	w := newWorld(b, dbtest.SQLite(b), testkit.NewClock(b, now))
	spec := unlimited()
	spec.DomainValidation, spec.StrictCAA = true, true
	c := w.customer(b, spec, 0)
	c.verify(b, "example.com")
	csr := newKey(b).csr
	b.SetParallelism(4) // 8 workers on two cores
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
}
