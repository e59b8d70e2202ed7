// Package bench measures a running server over its real wire. It is a client and
// nothing else: it knows the APIs of Atlas and DigiCert ONE and the description that
// "telamon dev" writes, not the server's insides.
//
// Keys, requests and whatever an operation needs to exist are made before the
// clock starts. The client is kept lean, since it shares the machine with the
// server: one connection per worker, no connection pool, no redirects.
package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what to measure.
type Config struct {
	Target     Target
	Operation  string        // one of Operations
	Workers    int           // concurrent connections
	Duration   time.Duration // the end of the measurement if N is 0
	N          int           // how many operations; 0 for as many as fit Duration
	OnProgress func(string)  // told what is being prepared; may be nil
}

// Operations are the operations that can be measured.
var Operations = []string{"issue", "retrieve", "login", "revoke", "list", "crl", "ocsp", "me"}

// A Result is one measurement. Times are of single operations as the client sees
// them.
type Result struct {
	Operation string  `json:"op"`
	Workers   int     `json:"workers"`
	N         int     `json:"n"`
	Seconds   float64 `json:"seconds"`
	Rate      float64 `json:"rate"`
	P50       float64 `json:"p50_ms"`
	P90       float64 `json:"p90_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
	Errors    int     `json:"errors"`
	FirstFail string  `json:"first_error,omitempty"`
	Keys      int     `json:"keys"`             // made before the clock started
	Octets    int64   `json:"octets,omitempty"` // of one answer, if all have the same
}

// maxErrors ends a measurement that fails again and again.
const maxErrors = 1000

// Run prepares and measures. It returns an error if nothing could be measured; an
// operation that fails is counted in the result.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if !slices.Contains(Operations, cfg.Operation) {
		return nil, fmt.Errorf("no operation %q: give one of %v", cfg.Operation, Operations)
	}
	if cfg.Workers < 1 || (cfg.N < 1 && cfg.Duration <= 0) {
		return nil, errors.New("give at least one worker, and a duration or a number of operations")
	}
	if cfg.OnProgress == nil {
		cfg.OnProgress = func(string) {}
	}
	clients := make([]*client, cfg.Workers)
	for i := range clients {
		c, err := dial(ctx, &cfg.Target)
		if err != nil {
			return nil, err
		}
		defer c.closeAll()
		clients[i] = c
	}
	op, keys, err := prepare(ctx, cfg, clients)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", cfg.Operation, err)
	}
	r := measure(ctx, cfg, clients, op)
	r.Keys, r.Octets = keys, op.octets
	return r, nil
}

// measurement is what the workers share.
type measurement struct {
	next   atomic.Int64 // numbers the operations
	limit  int64        // 0: none
	errors atomic.Int64
	first  sync.Once
	fail   string
}

func measure(ctx context.Context, cfg Config, clients []*client, op operation) *Result {
	m := &measurement{limit: int64(cfg.N)}
	if op.limit > 0 && (m.limit == 0 || m.limit > op.limit) {
		m.limit = op.limit
	}
	if cfg.N == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, cfg.Duration)
		defer cancel()
	}
	times := make([][]time.Duration, len(clients))
	start := time.Now()
	var workers sync.WaitGroup
	for i, c := range clients {
		workers.Go(func() { times[i] = m.work(ctx, c, op) })
	}
	workers.Wait()
	return m.result(cfg, time.Since(start), slices.Concat(times...))
}

// work does operations on one connection until the limit or the end of ctx.
func (m *measurement) work(ctx context.Context, c *client, op operation) []time.Duration {
	var took []time.Duration
	for ctx.Err() == nil && m.errors.Load() < maxErrors {
		n := m.next.Add(1) - 1
		if m.limit > 0 && n >= m.limit {
			break
		}
		start := time.Now()
		if err := op.do(c, n); err != nil {
			m.errors.Add(1)
			m.first.Do(func() { m.fail = err.Error() })
			continue
		}
		took = append(took, time.Since(start))
	}
	return took
}

func (m *measurement) result(cfg Config, elapsed time.Duration, times []time.Duration) *Result {
	slices.SortFunc(times, cmp.Compare[time.Duration])
	at := func(part float64) float64 {
		if len(times) == 0 {
			return 0
		}
		return milliseconds(times[min(len(times)-1, int(part*float64(len(times))))])
	}
	return &Result{
		Operation: cfg.Operation, Workers: cfg.Workers, N: len(times), Seconds: elapsed.Seconds(),
		Rate: float64(len(times)) / elapsed.Seconds(), P50: at(0.50), P90: at(0.90), P99: at(0.99), Max: at(1),
		Errors: int(m.errors.Load()), FirstFail: m.fail,
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
