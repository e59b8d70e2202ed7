package web

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// A Limiter bounds how often each key may act: a bucket of tokens for each. It
// remembers a bounded number of keys, and forgets those that acted longest ago. It
// is safe for concurrent use; a nil Limiter sets no bound.
type Limiter struct {
	clock telamon.Clock
	rate  rate.Limit
	burst int
	keys  int

	mu      sync.Mutex
	buckets map[string]*list.Element // of *bucket
	recent  list.List                // the last to act first
}

type bucket struct {
	key     string
	limiter *rate.Limiter
}

// limiterKeys is how many keys a Limiter remembers: some 20 MB.
const limiterKeys = 100_000

// NewLimiter returns a limiter of perSecond acts on average and burst at once.
func NewLimiter(clock telamon.Clock, perSecond float64, burst int) *Limiter {
	return &Limiter{
		clock: clock, rate: rate.Limit(perSecond), burst: burst, keys: limiterKeys, buckets: map[string]*list.Element{},
	}
}

// Allow reports Limited with rate_limited, and when to try again, if key has acted
// too often.
func (l *Limiter) Allow(key string) error {
	if l == nil {
		return nil
	}
	now := l.clock.Now()
	l.mu.Lock()
	b := l.bucket(key)
	l.mu.Unlock()
	reservation := b.limiter.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	reservation.CancelAt(now)
	return &fault.Fault{
		Kind: fault.Limited, Code: fault.CodeRateLimited, Detail: "Rate Limit Reached",
		RetryAfter: max(wait, time.Second),
	}
}

// AddressKey is the key of an address: an IPv6 client has a /64 of them.
func AddressKey(address netip.Addr) string {
	if address.Is6() {
		if prefix, err := address.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return address.String()
}

// bucket returns the key's bucket. The caller holds l.mu.
func (l *Limiter) bucket(key string) *bucket {
	if e, ok := l.buckets[key]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*bucket)
	}
	if len(l.buckets) >= l.keys {
		oldest := l.recent.Back()
		l.recent.Remove(oldest)
		delete(l.buckets, oldest.Value.(*bucket).key)
	}
	b := &bucket{key: key, limiter: rate.NewLimiter(l.rate, l.burst)}
	l.buckets[key] = l.recent.PushFront(b)
	return b
}
