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
	// accountShare is how many accounts have to be refused a lot before one of them finds
	// no room because of the others.
	accountShare = 8
)

// A Refusal is an authentication that failed.
type Refusal struct {
	Address    netip.Addr
	Account    telamon.AccountID // whose credential was tried; empty if it is nobody's
	Credential string            // the credential's ID, or what a stranger gave in its place; never a secret
	Reason     string            // a code of the platform's own, such as "wrong_secret"
}

// Others is the credential and the reason in the event that counts the refusals
// that there was no room to count one by one: of an account's, or of strangers'.
const Others = "other"

// A Counter counts refusals, so that a stranger cannot make the platform write an
// event for each attempt: those of one address, credential and reason become one
// event a minute. The first of an account's credential is an event of its own, at once:
// somebody may wait for it. It keeps a bounded number of counts. It is safe for
// concurrent use.
type Counter struct {
	clock  telamon.Clock
	action string
	limit  int

	mu     sync.Mutex
	counts map[Refusal]*refusals     // guarded by mu
	rooms  map[telamon.AccountID]int // how many of them each account has, and strangers; guarded by mu
	known  int                       // how many all accounts have; guarded by mu
}

// refusals is what is kept of those that are alike.
type refusals struct {
	n           int64     // that no event has counted yet
	first, last time.Time // of these
	since       time.Time // the minute of the next event began
	told        bool      // there was an event of the first
}

// A RefusalCount is the state After in an event of a Counter.
type RefusalCount struct {
	Count int64     `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// NewCounter returns a counter whose events have the given action. It keeps at most
// limit different refusals of strangers, as many of credentials that are some account's,
// and a part of these of one account, so that neither strangers nor another account can
// crowd out what an account wants to see. Beside them it keeps those without room, which
// are one of each account.
func NewCounter(clock telamon.Clock, action string, limit int) *Counter {
	return &Counter{
		clock: clock, action: action, limit: limit, counts: map[Refusal]*refusals{}, rooms: map[telamon.AccountID]int{},
	}
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
	if c.counts[r] == nil && c.isFull(r.Account) {
		r = Refusal{Account: r.Account, Credential: Others, Reason: Others}
	}
	counted := c.counts[r]
	if counted == nil {
		r.Credential = strings.Clone(r.Credential) // not the whole request that it is a part of
		counted = &refusals{since: now}
		c.counts[r] = counted
		c.addRoom(r, 1)
	}
	if counted.n == 0 {
		counted.first = now
	}
	counted.n++
	counted.last = now
}

// isFull reports whether there is no room for another refusal of the account, or of
// strangers.
func (c *Counter) isFull(account telamon.AccountID) bool {
	if account == "" {
		return c.rooms[account] >= c.limit
	}
	return c.known >= c.limit || c.rooms[account] >= max(c.limit/accountShare, 1)
}

// addRoom counts a refusal that is kept from now on, or for -1 no more. Those that found
// no room take none.
func (c *Counter) addRoom(r Refusal, n int) {
	if r.Credential == Others && r.Reason == Others {
		return
	}
	if c.rooms[r.Account] += n; c.rooms[r.Account] == 0 {
		delete(c.rooms, r.Account)
	}
	if r.Account != "" {
		c.known += n
	}
}

// Flush returns an event for each refusal whose minute is over, and for the first of each
// that is of an account's credential. The caller calls it every second, writes the events
// and keeps those that it could not write.
func (c *Counter) Flush() []telamon.Event {
	now := c.clock.Now()
	return c.take(func(r Refusal, counted *refusals) (due, done bool) {
		over, first := now.Sub(counted.since) >= refusalWindow, r.Account != "" && !counted.told
		switch {
		case over && counted.told && counted.n > 0: // they go on
			counted.since = now
			return true, false
		case over:
			return counted.n > 0, true
		}
		counted.told = counted.told || first
		return first, false
	})
}

// Drain returns an event for each refusal that has none, and forgets all, for the end of
// a process.
func (c *Counter) Drain() []telamon.Event {
	return c.take(func(_ Refusal, counted *refusals) (due, done bool) { return counted.n > 0, true })
}

// take returns the events of those that are due by the time at which they began, the
// most frequent first, and forgets those that are done.
func (c *Counter) take(judge func(Refusal, *refusals) (due, done bool)) []telamon.Event {
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	var events []telamon.Event
	for r, counted := range c.counts {
		due, done := judge(r, counted)
		if due {
			events = append(events, telamon.Event{
				ID: telamon.NewEventID(), At: now,
				Actor:  telamon.Actor{Kind: telamon.ActorAnonymous, Address: r.Address},
				Action: c.action, Object: r.Credential, Account: r.Account, Result: r.Reason,
				After: RefusalCount{counted.n, counted.first.UTC(), counted.last.UTC()},
			})
			counted.n = 0
		}
		if done {
			delete(c.counts, r)
			c.addRoom(r, -1)
		}
	}
	slices.SortFunc(events, func(a, b telamon.Event) int {
		x, y := a.After.(RefusalCount), b.After.(RefusalCount)
		return cmp.Or(x.First.Compare(y.First), cmp.Compare(y.Count, x.Count), cmp.Compare(a.Object, b.Object))
	})
	return events
}
