package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// DefaultGrace is how much older than the newest event that has a place an event
// without one may be: transactions last at most 5 s, and clocks of replicas differ.
const DefaultGrace = 15 * time.Second

// Bounds of the memory that a verification takes.
const (
	aheadLimit    = 1 << 16 // events read beyond those that a segment asks for
	unplacedLimit = 1 << 20 // events read whose place was not met
	swapLimit     = 1 << 16 // mismatches that are kept to tell a swap from a change
)

// Options say what a log is verified against.
type Options struct {
	// Verifier is that of the log's checkpoints. It must not come from where the
	// log is stored.
	Verifier note.Verifier
	// Trusted are earlier checkpoints of this log that were kept elsewhere and
	// opened. Without one, whoever holds the signing key, or puts an old database
	// back, can shorten the log unseen.
	Trusted []Checkpoint
	// PurgedBefore is the end of the time whose events may have been purged; zero
	// if no event may be missing.
	PurgedBefore time.Time
	// Grace is DefaultGrace if zero.
	Grace time.Duration
	// Event is called with each event that can be read, in the order of IDs. It
	// may be nil. An error from it ends the verification.
	Event func(*Payload) error
	// Report is called with each problem.
	Report func(Problem)
}

// A Result says what was verified.
type Result struct {
	Tree     Tree
	Events   int64 // events that have a place and are there
	Purged   int64 // events that have a place and are older than PurgedBefore and not there
	Lag      Lag   // events that are too new to have a place
	Problems int64
}

// ErrTooManyUnplaced ends a verification that would not fit into memory.
var ErrTooManyUnplaced = errors.New("more than a million events have no place in the audit log")

// Verify reads the whole log, once and in order, and reports everything in it that
// was altered, removed, reordered or inserted since it was written. The log is good
// if err is nil and Problems is 0. It takes a bounded amount of memory and needs
// no snapshot: the log may grow meanwhile.
//
// What a place holds is kept three times: as the event, in its segment and in a
// tile. Where they differ, the one that stands alone is reported; the tree's root,
// its signed checkpoint and the trusted checkpoints tell whether all were changed.
func Verify(ctx context.Context, log Log, opts Options) (Result, error) {
	if opts.Verifier == nil || opts.Report == nil {
		return Result{}, errors.New("verify audit log: a verifier and a report are needed")
	}
	v := &verification{
		ctx: ctx, log: log, opts: opts, unplaced: map[[16]byte]tlog.Hash{}, deferred: map[[16]byte]place{},
	}
	v.opts.Grace = cmp.Or(opts.Grace, DefaultGrace)
	v.trusted = slices.SortedFunc(slices.Values(opts.Trusted), func(a, b Checkpoint) int {
		return cmp.Compare(a.Tree.Size, b.Tree.Size)
	})
	if err := v.run(); err != nil {
		return v.result, fmt.Errorf("verify audit log: %w", err)
	}
	return v.result, nil
}

// A verification joins three streams: segments in the order of the log, events in
// the order of IDs (nearly the same), and the tiles of each level.
type verification struct {
	ctx    context.Context
	log    Log
	opts   Options
	result Result

	head    Head  // as it was at the start
	latest  int64 // its size as it was last read: what is beyond the head is judged by it
	trusted []Checkpoint

	nextEvent   func() (Row, error, bool)
	cursor      [16]byte // the last event that was read
	eventsEnded bool
	newest      [16]byte               // the newest event that is there and has a place
	unplaced    map[[16]byte]tlog.Hash // events that were read and whose place was not met
	deferred    map[[16]byte]place     // places that were met and whose event was not read

	edge       edge
	tiles      [tileLevels]tileStream
	unknown    bool // a leaf is in no segment and no tile: no tiles or root can be computed
	rootWrong  bool
	mismatches []mismatch
}

func (v *verification) report(p Problem) {
	v.result.Problems++
	p.Count = max(p.Count, 1)
	v.opts.Report(p)
}

func (v *verification) run() (err error) {
	if v.head, err = v.log.Head(v.ctx); err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	v.result.Tree = v.head.Tree
	v.checkHead()
	nextEvent, stop := iter.Pull2(v.log.Events(v.ctx))
	defer stop()
	v.nextEvent = nextEvent
	for level := range v.tiles {
		next, stop := iter.Pull2(v.log.Tiles(v.ctx, level))
		defer stop()
		v.tiles[level].next = v.skipNegative(next)
	}
	beyond, err := v.walkSegments()
	if err != nil {
		return err
	}
	if err := v.skipTo(v.head.Tree.Size, "the log goes on after its last segment"); err != nil {
		return err
	}
	if err := v.readLatest(); err != nil {
		return err
	}
	for _, s := range beyond {
		if s.FirstSeq >= v.latest {
			v.report(Problem{Kind: Inserted, What: "segment", Seq: s.FirstSeq, Count: s.Events, Text: "it is beyond the end of the log"})
		}
	}
	if err := v.finishTiles(); err != nil {
		return err
	}
	v.checkRoot()
	return v.finishEvents()
}

// readLatest reads how far the log goes now. All that was read before has its place
// up to there.
func (v *verification) readLatest() error {
	latest, err := v.log.Head(v.ctx)
	if err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	v.latest = max(v.latest, v.head.Tree.Size, latest.Tree.Size)
	return nil
}

// checkHead compares the stored head with its signed checkpoint, which is believed
// where they differ, and the trusted checkpoints with its size.
func (v *verification) checkHead() {
	tree := &v.head.Tree
	c, err := OpenCheckpoint(v.head.Checkpoint, v.opts.Verifier)
	switch {
	case tree.Size == 0 && v.head.Checkpoint == "":
		if *tree != EmptyTree() {
			v.report(Problem{Kind: Altered, What: "root", Seq: -1, Text: "it is not that of an empty log"})
		}
	case err != nil:
		v.report(Problem{Kind: Altered, What: "checkpoint", Seq: -1, Text: err.Error()})
	case c.Tree != *tree:
		v.report(Problem{Kind: Altered, What: "root", Seq: -1, Text: fmt.Sprintf(
			"the log says %d events and root %s, its checkpoint %d and %s", tree.Size, tree.Root, c.Tree.Size, c.Tree.Root)})
		*tree = c.Tree
	}
	if tree.Size < 0 {
		*tree = EmptyTree()
	}
	for _, c := range v.trusted {
		if c.Tree.Size > tree.Size {
			v.report(Problem{Kind: Removed, What: "event", Seq: tree.Size, Count: c.Tree.Size - tree.Size,
				Text: fmt.Sprintf("the checkpoint of %s has %d events", c.At.Format(checkpointTime), c.Tree.Size)})
		}
	}
}

// walkSegments checks all segments up to the head, and returns those beyond it
// without their entries.
func (v *verification) walkSegments() (beyond []Segment, err error) {
	for s, err := range v.log.Segments(v.ctx) {
		if err != nil {
			return nil, fmt.Errorf("read segments: %w", err)
		}
		if s.FirstSeq >= v.head.Tree.Size && v.edge.size >= v.head.Tree.Size {
			if len(beyond) < swapLimit {
				beyond = append(beyond, Segment{FirstSeq: s.FirstSeq, Events: s.Events})
			}
			continue
		}
		if err := v.checkSegment(&s); err != nil {
			return nil, err
		}
	}
	return beyond, nil
}

// checkSegment finds the segment's place, checks its form and places its entries.
func (v *verification) checkSegment(s *Segment) error {
	n := s.entries()
	if len(s.IDs) != 16*n || len(s.Leaves) != tlog.HashSize*n || s.Events != int64(n) || n == 0 {
		v.report(Problem{Kind: Altered, What: "segment", Seq: s.FirstSeq, Count: s.Events, Text: fmt.Sprintf(
			"it says %d events and holds %d octets of IDs and %d of hashes", s.Events, len(s.IDs), len(s.Leaves))})
	}
	if n == 0 {
		return nil
	}
	if s.FirstSeq != v.edge.size {
		_, leaf := s.entry(0)
		expected, ok, err := v.tileLeaf(v.edge.size)
		if err != nil {
			return err
		}
		switch {
		case ok && expected == leaf:
			v.report(Problem{Kind: Altered, What: "segment", Seq: v.edge.size, Count: int64(n),
				Text: fmt.Sprintf("it says that it begins at %d", s.FirstSeq)})
		case s.FirstSeq < v.edge.size:
			v.report(Problem{Kind: Inserted, What: "segment", Seq: s.FirstSeq, Count: int64(n), Text: "another has its places"})
			return nil
		default:
			if err := v.skipTo(min(s.FirstSeq, v.head.Tree.Size), "no segment has it"); err != nil {
				return err
			}
		}
	}
	return v.placeSegment(s, n)
}

// placeSegment places the n entries of a segment at the edge.
func (v *verification) placeSegment(s *Segment, n int) error {
	id, _ := s.entry(0)
	first, last := id, id
	for i := range n {
		id, _ := s.entry(i)
		first, last = minID(first, id), maxID(last, id)
	}
	if first != s.FirstID || last != s.LastID {
		v.report(Problem{Kind: Altered, What: "segment", Seq: v.edge.size, Count: int64(n),
			Text: "it does not say which IDs are its smallest and largest"})
	}
	if err := v.readEvents(last, n+aheadLimit); err != nil {
		return err
	}
	for i := range n {
		if v.edge.size == v.head.Tree.Size {
			v.report(Problem{Kind: Inserted, What: "segment", Seq: v.edge.size, Count: int64(n - i),
				Text: "its entries go beyond the end of the log"})
			return nil
		}
		id, leaf := s.entry(i)
		if err := v.placeEntry(id, leaf); err != nil {
			return err
		}
	}
	return nil
}

// skipTo reports the places up to seq as missing from the segments, and takes their
// hashes from the tiles.
func (v *verification) skipTo(seq int64, text string) error {
	if v.edge.size >= seq {
		return nil
	}
	v.report(Problem{Kind: Removed, What: "segment", Seq: v.edge.size, Count: seq - v.edge.size, Text: text})
	for v.edge.size < seq {
		leaf, ok, err := v.tileLeaf(v.edge.size)
		if err != nil {
			return err
		}
		if !ok {
			v.unknown, v.edge.size = true, seq
			return nil
		}
		if err := v.push(leaf); err != nil {
			return err
		}
	}
	return nil
}
