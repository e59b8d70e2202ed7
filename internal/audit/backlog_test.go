package audit_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/testkit"
)

// A write that fails after one event is followed by the last one of a process: each event
// is written once, those that came meanwhile too.
func TestBacklog(t *testing.T) {
	clock := testkit.NewClock(t, "2026-11-22T10:00:00Z")
	counter := audit.NewCounter(clock, "x.login", 10)
	var backlog audit.Backlog
	var written []string
	room := 1
	record := func(_ context.Context, events []telamon.Event) (int, error) {
		n := min(room, len(events))
		for _, e := range events[:n] {
			written = append(written, e.Object)
		}
		if room -= n; n < len(events) {
			return n, errors.New("no room")
		}
		return n, nil
	}
	write := func(all bool) error {
		return backlog.Write(t.Context(), all, []*audit.Counter{counter}, nil, record)
	}
	for _, name := range []string{"a", "b"} {
		counter.Add(audit.Refusal{Credential: name, Reason: "r"})
	}
	if err := write(true); err == nil || len(written) != 1 {
		t.Fatalf("with room for one: %v, %v", written, err)
	}
	counter.Add(audit.Refusal{Credential: "c", Reason: "r"})
	if err := write(true); err == nil || len(written) != 1 {
		t.Fatalf("without room: %v, %v", written, err)
	}
	room = 10
	if err := write(true); err != nil {
		t.Fatal(err)
	}
	slices.Sort(written)
	if !slices.Equal(written, []string{"a", "b", "c"}) {
		t.Errorf("%v are written, want each once", written)
	}
}
