package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/telamon-ca/telamon/internal/store"
)

// A Target is a place that CRLs are copied to, from where others serve them.
type Target interface {
	// Name says in logs which one it is.
	Name() string
	// Shared reports whether all processes copy to the same place: then one of them
	// does.
	Shared() bool
	// Put replaces what is under the path, such as "crl/iss_1/0.crl", by the CRL that
	// write writes, at once: nobody sees a part of it.
	Put(ctx context.Context, path string, crl *store.CRL, write func(io.Writer) error) error
}

// copyLimit bounds how long one turn copies to one target: a dead one holds others up for
// no longer.
const copyLimit = time.Minute

// copier remembers what a target has.
type copier struct {
	target Target
	failed int       // turns in a row
	until  time.Time // when the target is tried again

	mu        sync.Mutex
	has       map[shard]int64 // numbers; guarded by mu
	elsewhere bool            // another process copies to the target; guarded by mu
}

func newCopier(target Target) *copier { return &copier{target: target, has: map[shard]int64{}} }

// Copy copies what is published, as of the last turn, to the targets that have not got
// it. A target that fails is tried again, ever more rarely; nothing that is published
// waits for it.
func (p *Publisher) Copy(ctx context.Context) error {
	var errs []error
	for _, c := range p.copies {
		if err := p.copyTo(ctx, c); err != nil {
			errs = append(errs, fmt.Errorf("copy CRLs to %s: %w", c.target.Name(), err))
		}
	}
	return errors.Join(errs...)
}

func (p *Publisher) copyTo(ctx context.Context, c *copier) error {
	now := p.cfg.Clock.Now()
	missing := p.missing(c)
	if len(missing) == 0 || now.Before(c.until) {
		return nil
	}
	if c.target.Shared() {
		held, err := p.cfg.Store.TakeLease(ctx, leaseName+" "+c.target.Name(), copyingTime)
		if err != nil {
			return err
		}
		if !held { // whoever takes over copies everything
			c.yield()
			c.until = now.Add(copyingTime / 4)
			return nil
		}
		c.take()
	}
	limited, cancel := context.WithTimeout(ctx, copyLimit)
	defer cancel()
	for key, crl := range missing {
		path := fmt.Sprintf("crl/%s/%d.crl", key.issuer, key.n)
		err := c.target.Put(limited, path, crl, func(w io.Writer) error { return p.Write(limited, w, crl) })
		if err != nil {
			c.failed++
			c.until = p.cfg.Clock.Now().Add(min(firstWait<<min(c.failed-1, 10), lastWait))
			return err
		}
		c.note(key, crl.Number)
	}
	c.failed = 0
	return nil
}

// missing returns the CRLs that the target has not.
func (p *Publisher) missing(c *copier) map[shard]*store.CRL {
	missing, newest := map[shard]*store.CRL{}, p.shelf.newest.Load()
	if newest == nil {
		return missing
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, crl := range *newest {
		if c.has[key] < crl.Number {
			missing[key] = crl
		}
	}
	return missing
}

// uncopied returns how many CRLs the target has not, as far as that is ours to know.
func (p *Publisher) uncopied(c *copier) int {
	missing := p.missing(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.elsewhere {
		return 0
	}
	return len(missing)
}

func (c *copier) note(key shard, number int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.has[key] = number
}

// take has this process copy to the target.
func (c *copier) take() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.elsewhere = false
}

// yield leaves the target to another process.
func (c *copier) yield() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.elsewhere = true
	clear(c.has)
}
