package responder_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/responder"
	"github.com/telamon-ca/telamon/internal/status"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
	"github.com/telamon-ca/telamon/internal/web"
)

// BenchmarkReady compares answers that are ready, without a nonce, with what a handler
// that writes as many octets gives the same client, by turns:
//
//	go test ./internal/responder -run '^$' -bench Ready -benchtime 10x -cpu 2
//
// Each of b.N turns has 20,000 requests on 8 connections to the one and then to the other.
func BenchmarkReady(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkReady(b, dbtest.SQLite(b)) })
	b.Run("postgres", func(b *testing.B) { benchmarkReady(b, dbtest.Postgres(b)) })
}

func benchmarkReady(b *testing.B, database string) {
	w := newWorld(b, database, "EC-P256")
	log := slog.New(slog.DiscardHandler)
	w.config.Clock, w.config.CacheOctets = telamon.SystemClock{}, 64<<20
	answers := status.New(status.Config{Issuers: w.engine, OCSP: status.OCSPConfig{
		Answers: responder.New(w.config), Clock: w.config.Clock, MaxAge: 10 * time.Minute,
	}})
	ready := serve(b, web.Instrument{Face: "status", Log: log, Timeout: 30 * time.Second, MaxBody: 1 << 16}.Wrap(answers))
	const certs, workers, perTurn = 500, 8, 20_000
	requests := make([][]byte, certs)
	for i := range requests {
		der := w.request(b, w.issue(b, 30))
		requests[i] = fmt.Appendf(nil, "POST /ocsp/%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/ocsp-request\r\nContent-Length: %d\r\n\r\n%s",
			w.issuer.ID, len(der), der)
	}
	size := send(b, ready, requests, workers, certs)
	body := make([]byte, size)
	trivial := serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write(body)
	}))
	var rates, costs [2][]float64
	for b.Loop() {
		for i, address := range []string{ready, trivial} {
			start, used := time.Now(), processorTime(b)
			send(b, address, requests, workers, perTurn)
			rates[i] = append(rates[i], perTurn/time.Since(start).Seconds())
			costs[i] = append(costs[i], (processorTime(b)-used).Seconds()*1e6/perTurn)
		}
	}
	median := func(of []float64) float64 { slices.Sort(of); return of[len(of)/2] }
	b.ReportMetric(median(costs[0]), "ready-cpu-µs")
	b.ReportMetric(median(costs[1]), "trivial-cpu-µs")
	b.ReportMetric(median(rates[0]), "ready/s")
	b.ReportMetric(median(rates[1]), "trivial/s")
}

// processorTime returns what this process, server and client, has used so far. On a
// machine that does nothing else, it bounds the rate.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// serve serves the handler as the platform does, until the benchmark ends.
func serve(b *testing.B, handler http.Handler) (address string) {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	server := web.NewServer(handler, slog.New(slog.DiscardHandler))
	go server.Serve(listener)
	b.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

// send sends n of the requests, in turn, on so many connections, and returns the size
// of the last answer.
func send(b *testing.B, address string, requests [][]byte, workers, n int) int {
	b.Helper()
	var next, size atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if _, err := conn.Write(requests[i%int64(len(requests))]); err != nil {
					b.Error(err)
					return
				}
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					b.Error(err)
					return
				}
				got, err := io.Copy(io.Discard, res.Body)
				if err != nil || got < 200 || res.StatusCode != http.StatusOK {
					b.Errorf("the answer is %s with %d octets, %v", res.Status, got, err)
					return
				}
				size.Store(got)
			}
		})
	}
	all.Wait()
	return int(size.Load())
}
