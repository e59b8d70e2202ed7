package audit

import (
	"context"
	"sync"

	"github.com/telamon-ca/telamon"
)

// A Backlog holds events of Counters that are not in the log yet. What could not be
// written it keeps with its IDs, so that nothing is written twice, and takes no more from
// the counters until then: they are bounded, and go on counting. The zero Backlog is
// empty. It is safe for concurrent use.
type Backlog struct {
	mu     sync.Mutex
	events []telamon.Event // guarded by mu
}

// Write writes what is left of the last time, then the events of the counters that are
// due, or all of them at the end of a process. Name, if it is not nil, may change the
// events that come new. Record writes events in their order and returns how many of them
// it wrote.
func (b *Backlog) Write(ctx context.Context, all bool, counters []*Counter, name func([]telamon.Event), record func(context.Context, []telamon.Event) (int, error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.drop(record(ctx, b.events)); err != nil {
		return err
	}
	for _, counter := range counters {
		if all {
			b.events = append(b.events, counter.Drain()...)
		} else {
			b.events = append(b.events, counter.Flush()...)
		}
	}
	if name != nil {
		name(b.events)
	}
	return b.drop(record(ctx, b.events))
}

// drop forgets the first n events, which were written. The caller holds b.mu.
func (b *Backlog) drop(n int, err error) error {
	if b.events = b.events[n:]; len(b.events) == 0 {
		b.events = nil
	}
	return err
}
