package audit

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon"
)

// A place is one entry of a segment, with the hash that the tile has there.
type place struct {
	seq     int64
	id      [16]byte
	leaf    tlog.Hash
	tile    tlog.Hash
	hasTile bool
}

// A mismatch is a place at which event, segment and tile are not of one mind. It is
// kept until the end, to tell what was moved from what was changed.
type mismatch struct {
	place
	event    tlog.Hash
	hasEvent bool
}

// readEvents reads events up to the ID, at most limit of them, and matches them
// with the places that wait for them.
func (v *verification) readEvents(to [16]byte, limit int) error {
	for range limit {
		if v.eventsEnded || bytes.Compare(v.cursor[:], to[:]) >= 0 {
			return nil
		}
		row, err, ok := v.nextEvent()
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}
		if !ok {
			v.eventsEnded = true
			return nil
		}
		if bytes.Compare(row.ID[:], v.cursor[:]) <= 0 && v.cursor != [16]byte{} {
			return fmt.Errorf("read events: %x comes after %x", row.ID, v.cursor)
		}
		v.cursor = row.ID
		if err := v.checkRow(&row); err != nil {
			return err
		}
		leaf := LeafHash(row.Payload)
		if waiting, ok := v.deferred[row.ID]; ok {
			delete(v.deferred, row.ID)
			v.matched(waiting, leaf)
		} else if v.unplaced[row.ID] = leaf; len(v.unplaced) > unplacedLimit {
			return ErrTooManyUnplaced
		}
	}
	return nil
}

// checkRow compares the columns of an event with what its payload says. Whether
// the payload is the one that was logged, only its hash tells.
func (v *verification) checkRow(row *Row) error {
	altered := func(format string, args ...any) {
		v.report(Problem{Kind: Altered, What: "event", Event: telamon.EventIDFromBytes(row.ID), Seq: -1,
			Text: fmt.Sprintf(format, args...)})
	}
	p, err := Decode(row.Payload)
	if err != nil {
		altered("%v", err)
		return nil
	}
	if id, _ := p.ID.Bytes(); id != row.ID {
		v.report(Problem{Kind: Reordered, What: "event", Event: telamon.EventIDFromBytes(row.ID), Seq: -1,
			Text: "its bytes are those of " + p.ID.String()})
	}
	if row.At != p.At.UnixMilli() {
		altered("its row says the time %d, its bytes %d", row.At, p.At.UnixMilli())
	}
	if row.Account != p.Account.String() {
		altered("its row says the account %q, its bytes %q", row.Account, p.Account)
	}
	if v.opts.Event != nil {
		return v.opts.Event(p)
	}
	return nil
}

// placeEntry gives the next place of the log to an entry of a segment.
func (v *verification) placeEntry(id [16]byte, leaf tlog.Hash) error {
	p := place{seq: v.edge.size, id: id, leaf: leaf}
	var err error
	if p.tile, p.hasTile, err = v.tileLeaf(p.seq); err != nil {
		return err
	}
	event, found := v.unplaced[id]
	switch earlier, twice := v.deferred[id]; {
	case found:
		delete(v.unplaced, id)
		v.matched(p, event)
	case twice:
		v.report(Problem{Kind: Inserted, What: "event", Event: telamon.EventIDFromBytes(id), Seq: p.seq,
			Text: fmt.Sprintf("it has the place %d too", earlier.seq)})
	case v.eventsEnded || bytes.Compare(id[:], v.cursor[:]) <= 0:
		v.missing(p)
	default:
		v.deferred[id] = p
	}
	if found && p.hasTile && event == p.tile {
		leaf = event // the segment stands alone
	}
	return v.push(leaf)
}

// matched compares an event that is there with its place.
func (v *verification) matched(p place, event tlog.Hash) {
	v.result.Events++
	v.newest = maxID(v.newest, p.id)
	if event != p.leaf || p.hasTile && p.tile != p.leaf {
		v.addMismatch(mismatch{p, event, true})
	}
}

// missing judges a place whose event is not there.
func (v *verification) missing(p place) {
	if EventTime(p.id).Before(v.opts.PurgedBefore) {
		v.result.Purged++
	} else {
		v.report(Problem{Kind: Removed, What: "event", Event: telamon.EventIDFromBytes(p.id), Seq: p.seq,
			Text: "no event is there for this place of the log"})
	}
	if p.hasTile && p.tile != p.leaf {
		v.addMismatch(mismatch{place: p})
	}
}

func (v *verification) addMismatch(m mismatch) {
	if len(v.mismatches) == swapLimit {
		v.flushMismatches()
	}
	v.mismatches = append(v.mismatches, m)
}

// flushMismatches reports the mismatches: what is at another's place was moved,
// the rest was changed.
func (v *verification) flushMismatches() {
	elsewhere := make(map[tlog.Hash]bool, len(v.mismatches))
	for _, m := range v.mismatches {
		elsewhere[m.leaf] = true
	}
	for _, m := range v.mismatches {
		what, text := m.judge(v.rootWrong)
		kind := Altered
		if m.hasEvent && m.event != m.leaf && elsewhere[m.event] || m.hasTile && m.tile != m.leaf && elsewhere[m.tile] {
			kind, text = Reordered, text+"; what belongs here is at another place"
		}
		v.report(Problem{Kind: kind, What: what, Event: telamon.EventIDFromBytes(m.id), Seq: m.seq, Text: text})
	}
	v.mismatches = v.mismatches[:0]
}

// judge says which of event, segment and tile stands alone, or that two of them
// were changed alike, if the root is wrong.
func (m *mismatch) judge(rootWrong bool) (what, text string) {
	switch {
	case !m.hasEvent:
		return "segment", "its hash differs from the tile's, and the event is not there"
	case !m.hasTile:
		return "event", "its hash differs from the segment's, and the tile is not there"
	case m.leaf == m.tile:
		return "event", "its hash is not the one that segment and tile have here"
	case m.event == m.tile:
		return "segment", "its hash is not the one that event and tile have here"
	case m.event == m.leaf && rootWrong:
		return "event", "its hash and the segment's are not the one that tile and root have here"
	case m.event == m.leaf:
		return "tile", "its hash is not the one that event and segment have here"
	}
	return "event", "its hash, the segment's and the tile's all differ"
}

// finishEvents reads the remaining events, and judges those without a place and
// the places without an event. Every place has been met.
func (v *verification) finishEvents() error {
	for !v.eventsEnded {
		if err := v.readEvents(lastID, aheadLimit); err != nil {
			return err
		}
		if v.cursor == lastID {
			v.eventsEnded = true
		}
		v.judgeUnplaced()
	}
	v.judgeUnplaced()
	for _, id := range sortedIDs(v.deferred) {
		v.missing(v.deferred[id])
	}
	v.flushMismatches()
	return nil
}

// judgeUnplaced tells events that are too new to have a place from those that
// should have one.
func (v *verification) judgeUnplaced() {
	limit := EventTime(v.newest).Add(-v.opts.Grace)
	for _, id := range sortedIDs(v.unplaced) {
		at := EventTime(id)
		if at.Before(limit) {
			v.report(Problem{Kind: Unsequenced, What: "event", Event: telamon.EventIDFromBytes(id), Seq: -1,
				Text: "it has no place in the log, although later events have"})
			continue
		}
		if v.result.Lag.Pending++; v.result.Lag.Oldest.IsZero() || at.Before(v.result.Lag.Oldest) {
			v.result.Lag.Oldest = at
		}
	}
	clear(v.unplaced)
}

var lastID = [16]byte(bytes.Repeat([]byte{0xff}, 16))

func minID(a, b [16]byte) [16]byte { return slices.MinFunc([][16]byte{a, b}, compareIDs) }
func maxID(a, b [16]byte) [16]byte { return slices.MaxFunc([][16]byte{a, b}, compareIDs) }

func compareIDs(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) }

func sortedIDs[V any](m map[[16]byte]V) [][16]byte {
	return slices.SortedFunc(maps.Keys(m), compareIDs)
}
