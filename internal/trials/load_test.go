//go:build linux

package trials

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// workers is how many clients load a server at once.
const workers = 6

// A load has certificates issued and revoked, without a pause, until it is stopped or
// the server has gone.
type load struct {
	t      *testing.T
	server *server
	client *client
	book   *book
	most   int64         // requests that are acknowledged before enough is closed
	enough chan struct{} // closed then; the workers go on
	stop   chan struct{}
	wg     sync.WaitGroup

	resting      atomic.Bool  // the workers wait
	troubled     atomic.Bool  // requests may fail: something was done to the server
	acknowledged atomic.Int64 // requests
	failedAt     atomic.Int64 // when the first 503 was read, in Unix nanoseconds
	failed       atomic.Int64 // requests that were answered with 503
	redAt        atomic.Int64 // when /readyz was first seen to be red after trouble, in Unix nanoseconds
}

// startLoad starts the workers. Nothing but success may come of a request until
// trouble is called.
func startLoad(t *testing.T, srv *server, c *client, b *book, random *rand.Rand, most int64) *load {
	l := &load{t: t, server: srv, client: c, book: b, most: most, enough: make(chan struct{}), stop: make(chan struct{})}
	for range workers {
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		l.wg.Go(func() { l.work(own) })
	}
	return l
}

// end stops the workers and waits for them.
func (l *load) end() {
	close(l.stop)
	l.wg.Wait()
	l.client.close()
}

// trouble says that requests may be answered 503 from now on, or not at all, and begins
// to watch what the server says of itself.
func (l *load) trouble() {
	l.troubled.Store(true)
	l.wg.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for l.server.ready() {
			select {
			case <-l.stop:
				return
			case <-tick.C:
			}
		}
		l.redAt.Store(time.Now().UnixNano())
	})
}

// awaitRed waits until a request has failed and the server has said that it is not
// ready, and returns how much later that was, at least zero.
func (l *load) awaitRed() (time.Duration, error) {
	if !await(l.server.done, func() bool { return l.failedAt.Load() > 0 }) {
		return 0, fmt.Errorf("no request fails\n%s", l.server.log)
	}
	if !await(l.server.done, func() bool { return l.redAt.Load() > 0 }) {
		return 0, fmt.Errorf("requests fail, and the server says that it is ready\n%s", l.server.log)
	}
	red := max(0, time.Duration(l.redAt.Load()-l.failedAt.Load()))
	if red > time.Second {
		return red, fmt.Errorf("the server says that it is not ready %s after a write has failed", red)
	}
	return red, nil
}

// pause is how long a worker waits after a failure.
const pause = 2 * time.Millisecond

func (l *load) work(random *rand.Rand) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		act := l.issue
		if random.IntN(5) == 0 {
			act = l.refused
		}
		if !l.resting.Load() && act(random) {
			continue
		}
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
	}
}

var reasons = []string{"unspecified", "keyCompromise", "superseded", "cessationOfOperation"}

// refused sends a request that no policy allows. The refusal is audited: what fails of
// that must not add up.
func (l *load) refused(*rand.Rand) bool {
	return l.request(http.MethodPost, "/certificates", map[string]any{
		"subject_dn": map[string]any{"common_name": "trial", "given_name": "Eve"}, "public_key": "none",
	}, http.StatusUnprocessableEntity) != nil
}

// issue has a certificate issued and, as likely as not, one revoked. It returns false
// if a request failed.
func (l *load) issue(random *rand.Rand) bool {
	csr, err := newCSR()
	if err != nil {
		l.t.Error(err)
		return false
	}
	a := l.request(http.MethodPost, "/certificates", map[string]any{
		"subject_dn": map[string]any{"common_name": "trial"}, "public_key": csr,
	}, http.StatusCreated)
	if a == nil {
		return false
	}
	serial := a.location[strings.LastIndexByte(a.location, '/')+1:]
	if err := l.book.issued(serial); err != nil {
		l.t.Error(err)
	}
	l.acknowledge()
	if random.IntN(2) == 0 {
		return true
	}
	if serial = l.book.ask(random, serial); serial == "" {
		return true
	}
	reason := reasons[random.IntN(len(reasons))]
	if l.request(http.MethodPatch, "/certificates/"+serial, map[string]any{"revocation_reason": reason}, http.StatusNoContent) == nil {
		return false
	}
	l.book.revocation(serial)
	l.acknowledge()
	return true
}

// acknowledge counts an acknowledgement.
func (l *load) acknowledge() {
	if l.acknowledged.Add(1) == l.most {
		close(l.enough)
	}
}

// wait lets the load go on for a while, but no longer than until it has done enough, or
// than the server lives.
func (l *load) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-l.enough:
	case <-l.server.done:
	}
}

// request makes a request and returns its answer, nil if it failed as it may.
func (l *load) request(method, path string, body any, want int) *answer {
	troubled := l.troubled.Load()
	a, err := l.client.do(method, path, body)
	switch {
	case err == nil && a.status == want:
		return a
	case err != nil && !troubled && !l.troubled.Load():
		l.t.Errorf("%s %s, with nothing in its way: %v", method, path, err)
	case err != nil:
	case a.status == http.StatusServiceUnavailable && l.troubled.Load():
		l.failed.Add(1)
		l.failedAt.CompareAndSwap(0, time.Now().UnixNano())
	default:
		l.t.Errorf("%s %s: %s", method, path, a)
	}
	return nil
}
