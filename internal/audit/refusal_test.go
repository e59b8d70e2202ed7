package audit_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// summary is what matters of a counter's event, on a line.
func summary(e telamon.Event) string {
	n := e.After.(audit.RefusalCount)
	owner := "stranger"
	if e.Account != "" {
		owner = "account"
	}
	return fmt.Sprintf("%s %s %s %s %s: %d", e.Action, owner, e.Actor.Address, e.Object, e.Result, n.Count)
}

func summaries(events []telamon.Event) string {
	var lines []string
	for _, e := range events {
		lines = append(lines, summary(e))
	}
	return strings.Join(lines, "\n")
}

func TestCounter(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-22T12:00:00Z")
	c := audit.NewCounter(clock, "credential.login", 100)
	home, away := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	refuse := func(address netip.Addr, credential, reason string, times int) {
		for range times {
			c.Add(audit.Refusal{Address: address, Credential: credential, Reason: reason})
		}
	}
	refuse(home, "key1", "wrong_secret", 1000)
	refuse(netip.MustParseAddr("::ffff:192.0.2.1"), "key1", "wrong_secret", 1) // the same address
	clock.Advance(time.Second)
	refuse(away, "key1", "wrong_secret", 2)
	clock.Advance(58 * time.Second)
	if events := c.Flush(); len(events) != 0 {
		t.Errorf("after 59 s Flush gives\n%s\nwant nothing", summaries(events))
	}
	refuse(home, "key1", "no_certificate", 3)
	clock.Advance(time.Second)
	got := c.Flush()
	if want := "credential.login stranger 192.0.2.1 key1 wrong_secret: 1001"; summaries(got) != want {
		t.Errorf("after a minute Flush gives\n%s\nwant\n%s", summaries(got), want)
	}
	if events := c.Flush(); len(events) != 0 {
		t.Errorf("a second Flush gives\n%s\nwant nothing", summaries(events))
	}
	e := got[0]
	n := e.After.(audit.RefusalCount)
	start := clock.Now().Add(-time.Minute)
	if e.At != clock.Now() || n.First != start || n.Last != start || e.Actor.Kind != telamon.ActorAnonymous {
		t.Errorf("the event is %+v, counted from %s to %s", e, n.First, n.Last)
	}
	if _, err := audit.Encode(e); err != nil {
		t.Errorf("the event cannot be encoded: %v", err)
	}
	refuse(home, "key1", "wrong_secret", 1) // a new minute
	want := "credential.login stranger 2001:db8::1 key1 wrong_secret: 2\n" +
		"credential.login stranger 192.0.2.1 key1 no_certificate: 3\n" +
		"credential.login stranger 192.0.2.1 key1 wrong_secret: 1"
	if got := summaries(c.Drain()); got != want {
		t.Errorf("Drain gives\n%s\nwant\n%s", got, want)
	}
	if events := c.Drain(); len(events) != 0 {
		t.Errorf("a second Drain gives\n%s\nwant nothing", summaries(events))
	}
}

// TestCounterIsBounded lets a stranger try from everywhere, and an account's own users too:
// each fills their own room, the rest is counted together, and accounts still see what is
// theirs.
func TestCounterIsBounded(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-22T12:00:00Z")
	c := audit.NewCounter(clock, "credential.login", 80)
	loud, quiet := telamon.NewAccountID(), telamon.NewAccountID()
	guess := func(account telamon.AccountID, n int) {
		for i := range n {
			c.Add(audit.Refusal{Account: account, Credential: fmt.Sprint("guess", i), Reason: "unknown_key"})
		}
	}
	for round := range 3 { // each finds the room of the one before free again
		if round < 2 {
			guess("", 1000)
		}
		guess(loud, 100)
		guess(quiet, 5)
		if round == 2 { // when there are others already
			guess("", 1000)
		}
		clock.Advance(time.Minute)
		named, others := map[telamon.AccountID]int64{}, map[telamon.AccountID]int64{}
		for _, e := range c.Flush() {
			if n := e.After.(audit.RefusalCount).Count; e.Object == audit.Others && e.Result == audit.Others {
				others[e.Account] += n
			} else {
				named[e.Account] += n
			}
		}
		if named[""] != 80 || named[loud] != 10 || named[quiet] != 5 || others[""] != 920 || others[loud] != 90 || others[quiet] != 0 {
			t.Errorf("round %d names %v, and %v others", round, named, others)
		}
	}
}

// TestCounterOfManyAccounts fills all that there is for accounts: another one is told that
// there was something all the same.
func TestCounterOfManyAccounts(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-22T12:00:00Z")
	c := audit.NewCounter(clock, "user.authenticate", 80)
	for range 8 {
		account := telamon.NewAccountID()
		for i := range 10 {
			c.Add(audit.Refusal{Account: account, Credential: fmt.Sprint("tok", i), Reason: "secret_wrong"})
		}
	}
	late := telamon.NewAccountID()
	c.Add(audit.Refusal{Account: late, Credential: "tok", Reason: "secret_wrong"})
	events := c.Flush()
	if i := slices.IndexFunc(events, func(e telamon.Event) bool { return e.Account == late }); len(events) != 81 || i < 0 || events[i].Object != audit.Others {
		t.Errorf("there are %d events, want 81, and one of them of the account without room", len(events))
	}
}

func TestCounterCutsNames(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-22T12:00:00Z")
	c := audit.NewCounter(clock, "credential.login", 10)
	for range 3 {
		c.Add(audit.Refusal{Credential: strings.Repeat("\u00e9", 1000), Reason: "unknown_key"})
	}
	events := c.Drain()
	if len(events) != 1 || len(events[0].Object) != 64 {
		t.Errorf("a long name gives\n%s\nwant one event with 64 octets of it", summaries(events))
	}
}

func TestCounterConcurrently(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-22T12:00:00Z")
	c := audit.NewCounter(clock, "credential.login", 5)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var total int64
	sum := func(events []telamon.Event) {
		mu.Lock()
		defer mu.Unlock()
		for _, e := range events {
			total += e.After.(audit.RefusalCount).Count
		}
	}
	for range 8 {
		wg.Go(func() {
			for i := range 500 {
				c.Add(audit.Refusal{Credential: fmt.Sprint(i % 20), Reason: "unknown_key"})
				if i%50 == 0 {
					sum(c.Drain())
				}
			}
		})
	}
	wg.Wait()
	sum(c.Drain())
	if total != 8*500 {
		t.Errorf("%d refusals are in the events, want %d", total, 8*500)
	}
}

func TestLag(t *testing.T) {
	now := noon
	tests := []struct {
		name string
		lag  audit.Lag
		age  time.Duration
		late bool
	}{
		{"nothing waits", audit.Lag{}, 0, false},
		{"fresh", audit.Lag{Pending: 3, Oldest: now.Add(-time.Second)}, time.Second, false},
		{"at the limit", audit.Lag{Pending: 1, Oldest: now.Add(-time.Minute)}, time.Minute, false},
		{"late", audit.Lag{Pending: 1, Oldest: now.Add(-time.Minute - 1)}, time.Minute + 1, true},
		{"of a clock that is ahead", audit.Lag{Pending: 1, Oldest: now.Add(time.Second)}, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if age, late := tt.lag.Age(now), tt.lag.IsLate(now, time.Minute); age != tt.age || late != tt.late {
				t.Errorf("%+v has the age %s and is late: %v; want %s, %v", tt.lag, age, late, tt.age, tt.late)
			}
		})
	}
}

// TestCounterTellsTheFirst checks that who watches what is theirs sees the first refusal
// of its kind at once and the others once a minute, for as long as they go on.
func TestCounterTellsTheFirst(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-22T12:00:00Z")
	c := audit.NewCounter(clock, "user.authenticate", 10)
	refuse := func(times int) {
		for range times {
			c.Add(audit.Refusal{Account: "acc_1", Credential: "ccr_1", Reason: "certificate_disabled"})
			c.Add(audit.Refusal{Credential: "guess", Reason: "certificate_unknown"})
		}
	}
	const mine, stranger = "user.authenticate account invalid IP ccr_1 certificate_disabled: ", "user.authenticate stranger invalid IP guess certificate_unknown: "
	steps := []struct {
		name    string
		after   time.Duration
		refused int // before the events are taken
		want    string
	}{
		{"the first", 0, 1, mine + "1"},
		{"a second one", time.Second, 1, ""},
		{"many", time.Second, 100, ""},
		{"the end of the minute", 58 * time.Second, 0, stranger + "102\n" + mine + "101"},
		{"they go on", time.Second, 7, ""},
		{"the next minute", 59 * time.Second, 0, mine + "7"},
		{"the stranger's minute, which began with his next try", time.Second, 0, stranger + "7"},
		{"a quiet minute", 59 * time.Second, 0, ""},
		{"the first again", time.Second, 1, mine + "1"},
		{"another at the end of the process", time.Second, 1, ""},
	}
	for _, step := range steps {
		clock.Advance(step.after)
		refuse(step.refused)
		if got := summaries(c.Flush()); got != step.want {
			t.Errorf("%s: Flush gives\n%s\nwant\n%s", step.name, got, step.want)
		}
	}
	if got, want := summaries(c.Drain()), stranger+"2\n"+mine+"1"; got != want {
		t.Errorf("Drain gives\n%s\nwant\n%s", got, want)
	}
}
