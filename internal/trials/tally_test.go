//go:build linux

package trials

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// A tally is what a test publishes. It is safe for concurrent use.
type tally struct {
	mu        sync.Mutex
	counts    map[string]int
	durations map[string][]time.Duration
}

func newTally() *tally {
	return &tally{counts: map[string]int{}, durations: map[string][]time.Duration{}}
}

func (y *tally) add(what string, n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts[what] += n
}

func (y *tally) took(what string, d time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.durations[what] = append(y.durations[what], d)
}

// log prints the tally in the order of names.
func (y *tally) log(t *testing.T) {
	t.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	var lines []string
	for what, n := range y.counts {
		lines = append(lines, fmt.Sprintf("%s: %d", what, n))
	}
	for what, all := range y.durations {
		slices.Sort(all)
		lines = append(lines, fmt.Sprintf("%s: median %s, 99 %% %s, longest %s of %d", what,
			all[len(all)/2].Round(time.Millisecond), all[len(all)*99/100].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond), len(all)))
	}
	slices.Sort(lines)
	for _, line := range lines {
		t.Log(line)
	}
}
