package audit

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/telamon-ca/telamon"
)

// Bounds of what a Counter gives and keeps.
const (
	refusalWindow = time.Minute
	maxNameLength = 64 // octets of the name that a stranger gave
)

// A Refusal is an authentication that failed.
type Refusal struct {
	Address    netip.Addr
	Account    telamon.AccountID // whose credential was tried; empty if it is nobody's
	Credential string            // the credential's ID, or what a stranger gave in its place; never a secret
	Reason     string            // a code of the platform's own, such as "wrong_secret"
}

// Others is the credential and the reason in the event that counts the refusals
// that there was no room to count one by one.
const Others = "other"

// A Counter counts refusals, so that a stranger cannot make the platform write an
// event for each attempt: those of one address, credential and reason become one
// event a minute. It keeps a bounded number of counts. It is safe for concurrent use.
type Counter struct {
	clock  telamon.Clock
	action string
	limit  int

	mu     sync.Mutex
	counts map[Refusal]*refusals // guarded by mu
	known  int                   // how many of them are of an account's credential; guarded by mu
}

// refusals is what is kept of those that are alike.
type refusals struct {
	n           int64
	first, last time.Time
}

// A RefusalCount is the state After in an event of a Counter.
type RefusalCount struct {
	Count int64     `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// NewCounter returns a counter whose events have the given action. It keeps at most
// limit different refusals of strangers, and as many of credentials that are some
// account's, so that strangers cannot crowd out what an account wants to see.
func NewCounter(clock telamon.Clock, action string, limit int) *Counter {
	return &Counter{clock: clock, action: action, limit: limit, counts: map[Refusal]*refusals{}}
}

// Add counts a refusal: among the others, if there is no room for it.
func (c *Counter) Add(r Refusal) {
	r.Address = r.Address.Unmap().WithZone("")
	if len(r.Credential) > maxNameLength {
		r.Credential = r.Credential[:maxNameLength]
	}
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[r] == nil && c.isFull(r.Account != "") {
		r = Refusal{Credential: Others, Reason: Others}
	}
	counted := c.counts[r]
	if counted == nil {
		r.Credential = strings.Clone(r.Credential) // not the whole request that it is a part of
		counted = &refusals{first: now}
		c.counts[r] = counted
		if r.Account != "" {
			c.known++
		}
	}
	counted.n++
	counted.last = now
}

// isFull reports whether there is no room for another refusal of its sort.
func (c *Counter) isFull(known bool) bool {
	if known {
		return c.known >= c.limit
	}
	strangers := len(c.counts) - c.known
	if c.counts[Refusal{Credential: Others, Reason: Others}] != nil {
		strangers--
	}
	return strangers >= c.limit
}

// Flush returns an event for each refusal that was first counted a minute ago or
// earlier, and forgets it. The caller calls it every few seconds, writes the events
// and keeps those that it could not write.
func (c *Counter) Flush() []telamon.Event {
	now := c.clock.Now()
	return c.take(now, func(r *refusals) bool { return now.Sub(r.first) >= refusalWindow })
}

// Drain returns an event for each refusal and forgets all, for the end of a process.
func (c *Counter) Drain() []telamon.Event {
	return c.take(c.clock.Now(), func(*refusals) bool { return true })
}

// take removes those that are due, and returns their events by the time at which
// they began, the most frequent first.
func (c *Counter) take(now time.Time, due func(*refusals) bool) []telamon.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	var events []telamon.Event
	for r, counted := range c.counts {
		if !due(counted) {
			continue
		}
		delete(c.counts, r)
		if r.Account != "" {
			c.known--
		}
		events = append(events, telamon.Event{
			ID: telamon.NewEventID(), At: now,
			Actor:  telamon.Actor{Kind: telamon.ActorAnonymous, Address: r.Address},
			Action: c.action, Object: r.Credential, Account: r.Account, Result: r.Reason,
			After: RefusalCount{counted.n, counted.first.UTC(), counted.last.UTC()},
		})
	}
	slices.SortFunc(events, func(a, b telamon.Event) int {
		x, y := a.After.(RefusalCount), b.After.(RefusalCount)
		return cmp.Or(x.First.Compare(y.First), cmp.Compare(y.Count, x.Count), cmp.Compare(a.Object, b.Object))
	})
	return events
}
