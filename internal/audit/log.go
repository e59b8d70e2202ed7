package audit

import (
	"context"
	"fmt"
	"iter"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon"
)

// A Row is an event as it is stored.
type Row struct {
	ID      [16]byte
	At      int64  // Unix milliseconds
	Account string // empty: the platform's own
	Payload []byte
}

// A Segment gives places to the events that were sequenced in one turn: the i-th
// is at FirstSeq + i. The leaf hashes stay when events are purged.
type Segment struct {
	FirstSeq int64
	Events   int64
	FirstID  [16]byte // the smallest ID in it
	LastID   [16]byte // the largest
	IDs      []byte   // 16 octets each
	Leaves   []byte   // 32 octets each
}

// NewSegment returns the segment of the events with these IDs and leaf hashes,
// which are as many and at least one.
func NewSegment(firstSeq int64, ids [][16]byte, leaves []tlog.Hash) Segment {
	s := Segment{FirstSeq: firstSeq, Events: int64(len(ids)), FirstID: ids[0], LastID: ids[0]}
	for i, id := range ids {
		s.IDs = append(s.IDs, id[:]...)
		s.Leaves = append(s.Leaves, leaves[i][:]...)
		s.FirstID, s.LastID = minID(s.FirstID, id), maxID(s.LastID, id)
	}
	return s
}

// entries is how many whole entries the segment has.
func (s *Segment) entries() int { return min(len(s.IDs)/16, len(s.Leaves)/tlog.HashSize) }

// entry returns the i-th.
func (s *Segment) entry(i int) (id [16]byte, leaf tlog.Hash) {
	return [16]byte(s.IDs[16*i:]), tlog.Hash(s.Leaves[tlog.HashSize*i:])
}

// Entries gives the segment's whole entries in order, without payloads.
func (s *Segment) Entries() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for i := range s.entries() {
			id, leaf := s.entry(i)
			if !yield(Entry{Seq: s.FirstSeq + int64(i), ID: id, Leaf: leaf}) {
				return
			}
		}
	}
}

// A Head is the tree as it is stored, with its signed checkpoint.
type Head struct {
	Tree       Tree
	Checkpoint string // empty for an empty tree
	At         time.Time
}

// A Log is a stored log. While it is verified it may grow, and that is all that may
// happen to it.
type Log interface {
	// Head returns the tree's head, or EmptyTree without a checkpoint.
	Head(ctx context.Context) (Head, error)
	// Segments gives all segments by FirstSeq.
	Segments(ctx context.Context) iter.Seq2[Segment, error]
	// Events gives all events by ID.
	Events(ctx context.Context) iter.Seq2[Row, error]
	// Tiles gives all tiles of a level by N.
	Tiles(ctx context.Context, level int) iter.Seq2[Tile, error]
}

// A ProblemKind says what became of a part of the log.
type ProblemKind string

// The kinds of problems.
const (
	Altered     ProblemKind = "altered"     // it is not what was logged
	Removed     ProblemKind = "removed"     // it was logged and is not there
	Reordered   ProblemKind = "reordered"   // it was logged at another place
	Inserted    ProblemKind = "inserted"    // it has no business in the log
	Unsequenced ProblemKind = "unsequenced" // an event has no place, although later ones have
)

// A Problem is one thing that is wrong with a log.
type Problem struct {
	Kind  ProblemKind
	What  string          // "event", "segment", "tile", "root" or "checkpoint"
	Event telamon.EventID // empty if it is not about one event
	Seq   int64           // the place, or the first of them; -1 if there is none
	Count int64           // how many places it is about
	Text  string          // what is wrong, for people
}

// String returns the problem as one line.
func (p Problem) String() string {
	line := p.What + " " + string(p.Kind)
	switch {
	case p.Seq >= 0 && p.Count > 1:
		line += fmt.Sprintf(" at %d to %d", p.Seq, p.Seq+p.Count-1)
	case p.Seq >= 0:
		line += fmt.Sprintf(" at %d", p.Seq)
	}
	if p.Event != "" {
		line += " (" + p.Event.String() + ")"
	}
	return line + ": " + p.Text
}

// A Lag says how far the sequencer is behind.
type Lag struct {
	Pending int64     // events without a place
	Oldest  time.Time // when the oldest of them was made; zero if there is none
}

// Age returns how long the oldest event has waited for its place.
func (l Lag) Age(now time.Time) time.Duration {
	if l.Pending == 0 {
		return 0
	}
	return max(now.Sub(l.Oldest), 0)
}

// IsLate reports whether an event has waited for longer than limit, which is what
// the alarm is raised for.
func (l Lag) IsLate(now time.Time, limit time.Duration) bool { return l.Age(now) > limit }
