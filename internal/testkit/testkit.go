// Package testkit holds what tests of many packages share: a clock that stands
// still, and the one way to say that a test needs something that the machine has
// not. It mocks nothing of the platform's own.
package testkit

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/password"
)

// Passwords hashes passwords at next to no cost, for tests of what uses them.
var Passwords = password.NewHasherOf(password.Cost{Memory: 8, Passes: 1, Threads: 1})

// Require says that the test needs what the machine has not, such as PostgreSQL.
// It skips the test, or fails it where TELAMON_TEST_REQUIRE=all says that nothing
// may be skipped.
func Require(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("TELAMON_TEST_REQUIRE") == "all" {
		t.Fatalf("this test needs %s, and TELAMON_TEST_REQUIRE=all forbids to skip it", what)
	}
	t.Skipf("this test needs %s", what)
}

// A Clock stands still until a test moves it. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at rfc3339. Pick a time that matters to
// the test, such as the last second of a quarter; never the real one.
func NewClock(t testing.TB, rfc3339 string) *Clock {
	t.Helper()
	now, err := time.Parse(time.RFC3339, rfc3339)
	if err != nil {
		t.Fatal(err)
	}
	return &Clock{now: now.UTC()}
}

// Now returns the time at which the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock on by d. It panics if d is negative.
func (c *Clock) Advance(d time.Duration) {
	if d < 0 {
		panic("testkit: Advance by a negative duration")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Set moves the clock to at, which may be in the past: for tests of clocks that
// went back.
func (c *Clock) Set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = at.UTC()
}
