package web

import (
	"container/list"
	"math"
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
// too often. What is refused does not count.
func (l *Limiter) Allow(key string) error { return AllowAll(Bound{l, key}) }

// A Bound is a limiter and the key that acts under it.
type Bound struct {
	Limiter *Limiter
	Key     string
}

// AllowAll is Allow of each bound in order. It stops at the first that refuses, and says
// when none of them would: what the bounds before it allowed counts for them.
func AllowAll(bounds ...Bound) error {
	for _, b := range bounds {
		if !b.Limiter.take(b.Key) {
			return refusal(bounds)
		}
	}
	return nil
}

// refusal is the answer to an act that one of the bounds refused.
func refusal(bounds []Bound) error {
	wait := time.Second
	for _, b := range bounds {
		wait = max(wait, b.Limiter.wait(b.Key))
	}
	return &fault.Fault{Kind: fault.Limited, Code: fault.CodeRateLimited, Detail: "Rate Limit Reached", RetryAfter: wait}
}

// take reports whether key may act now, which counts.
func (l *Limiter) take(key string) bool {
	return l == nil || l.find(key).AllowN(l.clock.Now(), 1)
}

// wait is how long it takes until key may act, if nobody acts by it meanwhile.
func (l *Limiter) wait(key string) time.Duration {
	if l == nil {
		return 0
	}
	missing := 1 - l.find(key).TokensAt(l.clock.Now())
	return time.Duration(math.Ceil(max(missing, 0) / float64(l.rate) * float64(time.Second)))
}

// find returns the bucket of key, which is the last to act then.
func (l *Limiter) find(key string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bucket(key).limiter
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
