package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// The sequencer's lease is renewed with each turn that writes; a holder that died
// is taken over when it has run out.
const (
	auditLease      = "audit"
	auditLeaseLasts = 10 * time.Second
)

// How far a turn looks back from the newest event with a place. An event's ID is
// made a little before its transaction ends, and transactions last at most
// transactionLimit; what was held up for longer is found by the deep look.
const (
	auditLookBack     = 15 * time.Second
	auditDeepLookBack = 15 * time.Minute
	auditDeepEvery    = 5 * time.Minute
	auditDeepStep     = time.Minute // of the span, at a time
)

// maxSegment is the greatest number of events that one transaction gives places to.
const maxSegment = 4096

// A Sequencer gives audit events their places in the log. Every replica has one and
// calls Turn every second or so; one of them at a time holds the lease and works. It
// is not safe for concurrent use; sequencers of several processes are.
type Sequencer struct {
	db     *DB
	signer note.Signer
	deepAt time.Time // of the next deep look
}

// NewSequencer returns a sequencer whose checkpoints the signer signs, under its
// name.
func (db *DB) NewSequencer(signer note.Signer) *Sequencer {
	return &Sequencer{db: db, signer: signer}
}

// Turn gives places to all events that have none, in the order of their IDs, and
// signs a checkpoint over the log. It returns how many they were: 0 too if another
// process holds the lease, or overtook this one. What was counted is durable.
//
// A turn writes nothing if there is nothing to sequence, and otherwise a row for
// every 256 events and a few more. It reports an error that wraps [audit.ErrTiles],
// and appends nothing, if the stored log was altered at its end.
func (s *Sequencer) Turn(ctx context.Context) (n int, err error) {
	for {
		segment, err := s.segment(ctx)
		if err != nil {
			return n, s.db.judgeLog(ctx, fmt.Errorf("sequence audit events: %w", err))
		}
		if len(segment.ids) > 0 {
			done, err := s.append(ctx, segment)
			if err != nil {
				return n, s.db.judgeLog(ctx, fmt.Errorf("sequence audit events: %w", err))
			}
			if !done {
				return n, nil
			}
		}
		n += len(segment.ids)
		if len(segment.ids) < maxSegment {
			if segment.deep {
				s.deepAt = s.db.clock.Now().Add(auditDeepEvery)
			}
			return n, nil
		}
	}
}

// Stop gives the lease up, so that another process need not wait for its end.
func (s *Sequencer) Stop(ctx context.Context) error { return s.db.DropLease(ctx, auditLease) }

// unsequenced are events without a place, and the tree that they are for.
type unsequenced struct {
	tree   audit.Tree
	ids    [][16]byte
	leaves []tlog.Hash
	deep   bool // whether the deep look was among what found them
}

func (u *unsequenced) add(row *queries.AuditEvent) error {
	id, err := eventID(row.ID)
	if err != nil {
		return err
	}
	u.ids = append(u.ids, id)
	u.leaves = append(u.leaves, audit.LeafHash(row.Payload))
	return nil
}

// errEventID says that somebody wrote an event that the store did not.
var errEventID = errors.New("not the id of an audit event")

// eventID is what a column of an event's ID holds.
func eventID(column []byte) ([16]byte, error) {
	if len(column) != 16 {
		return [16]byte{}, fmt.Errorf("%w: %x", errEventID, column)
	}
	return [16]byte(column), nil
}

// segment reads up to maxSegment events without a place: first those that became
// visible after later ones, then those after the newest. It is empty while another
// process holds the lease.
func (s *Sequencer) segment(ctx context.Context) (*unsequenced, error) {
	now := s.db.clock.Now()
	lookBack := auditLookBack
	if !now.Before(s.deepAt) {
		lookBack = auditDeepLookBack
	}
	segment := &unsequenced{}
	err := s.db.view(ctx, func(q *queries.Queries) error {
		holders, err := q.LeaseHolder(ctx, queries.LeaseHolderParams{Name: auditLease, Now: now.UnixMilli()})
		if err != nil || len(holders) > 0 && holders[0] != s.db.holder {
			return err
		}
		head, err := auditHead(ctx, q)
		if err != nil {
			return err
		}
		segment.tree, segment.deep = head.Tree, lookBack == auditDeepLookBack
		return segment.read(ctx, q, now, lookBack)
	})
	return segment, err
}

func (u *unsequenced) read(ctx context.Context, q *queries.Queries, now time.Time, lookBack time.Duration) error {
	newest, some, err := newestSequenced(ctx, q)
	if err != nil {
		return err
	}
	if some {
		late, err := lateEvents(ctx, q, newest, now, lookBack)
		if err != nil {
			return err
		}
		for _, id := range late[:min(len(late), maxSegment)] {
			rows, err := q.Event(ctx, id[:])
			if err != nil {
				return fmt.Errorf("read event: %w", err)
			}
			for i := range rows {
				if err := u.add(&rows[i]); err != nil {
					return err
				}
			}
		}
	}
	if len(u.ids) >= maxSegment {
		return nil
	}
	rows, err := q.EventsAfter(ctx, queries.EventsAfterParams{
		ID: newest[:], Before: endOfEvents, Lim: int32(maxSegment - len(u.ids)),
	})
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	for i := range rows {
		if err := u.add(&rows[i]); err != nil {
			return err
		}
	}
	return nil
}

// endOfEvents is above every event's ID, which has 16 octets.
var endOfEvents = bytes.Repeat([]byte{0xff}, 17)

// newestSequenced returns the greatest ID that has a place, and false if none has.
func newestSequenced(ctx context.Context, q *queries.Queries) (id [16]byte, some bool, err error) {
	rows, err := q.LastSequenced(ctx)
	if err != nil || len(rows) == 0 {
		return id, false, err
	}
	id, err = eventID(rows[0])
	return id, true, err
}

// lateEvents returns the IDs of events up to newest that have no place, looking
// back from newest or, if that is in the future, from now.
func lateEvents(ctx context.Context, q *queries.Queries, newest [16]byte, now time.Time, lookBack time.Duration) ([][16]byte, error) {
	end := audit.EventTime(newest)
	start := end.Add(-lookBack)
	if now.Before(end) {
		start = now.Add(-lookBack).Truncate(time.Millisecond) // as IDs are
	}
	step := max(auditDeepStep, end.Sub(start)/16) // bounds the queries if the clock was put back
	var late [][16]byte
	for first := start; !first.After(end); first = first.Add(step) {
		from, to := audit.FirstID(first), audit.FirstID(first.Add(step))
		if bytes.Compare(newest[:], to[:]) < 0 {
			to = newest
		}
		found, err := lateBetween(ctx, q, from, to)
		if err != nil {
			return nil, err
		}
		late = append(late, found...)
	}
	return late, nil
}

// lateBetween returns the IDs from first to last that have no place. Nearly always
// there is none, and then a count tells it.
func lateBetween(ctx context.Context, q *queries.Queries, first, last [16]byte) ([][16]byte, error) {
	segments, err := q.SegmentIDs(ctx, queries.SegmentIDsParams{First: first[:], Last: last[:]})
	if err != nil {
		return nil, fmt.Errorf("read segments: %w", err)
	}
	var placed [][16]byte
	for _, s := range segments {
		for ids := s.Ids; len(ids) >= 16; ids = ids[16:] {
			if bytes.Compare(ids[:16], first[:]) >= 0 && bytes.Compare(ids[:16], last[:]) <= 0 {
				placed = append(placed, [16]byte(ids))
			}
		}
	}
	n, err := q.CountEvents(ctx, queries.CountEventsParams{First: first[:], Last: last[:]})
	if err != nil {
		return nil, fmt.Errorf("count events: %w", err)
	}
	if n == int64(len(placed)) {
		return nil, nil
	}
	has := make(map[[16]byte]bool, len(placed))
	for _, id := range placed {
		has[id] = true
	}
	ids, err := q.EventIDs(ctx, queries.EventIDsParams{First: first[:], Last: last[:]})
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	var late [][16]byte
	for _, column := range ids {
		id, err := eventID(column)
		if err != nil {
			return nil, err
		}
		if !has[id] {
			late = append(late, id)
		}
	}
	return late, nil
}

var tileTable = newTable("audit_tile", "level, n, data", " ON CONFLICT (level, n) DO UPDATE SET data = excluded.data")

// append appends the events to the log, and reports whether it did: not if another
// process holds the lease, or the log is no longer what it was when it was read.
func (s *Sequencer) append(ctx context.Context, u *unsequenced) (done bool, err error) {
	tree, tiles, err := audit.Append(ctx, u.tree, s.db.readTiles, u.leaves)
	if err != nil {
		return false, err
	}
	now := s.db.clock.Now().UTC().Truncate(time.Millisecond)
	checkpoint, err := audit.SignCheckpoint(audit.Checkpoint{Origin: s.signer.Name(), Tree: tree, At: now}, s.signer)
	if err != nil {
		return false, err
	}
	segment := audit.NewSegment(u.tree.Size, u.ids, u.leaves)
	var rows []any
	for _, tile := range tiles {
		rows = append(rows, int64(tile.Level), tile.N, tile.Data)
	}
	err = s.db.update(ctx, func(t *txn) error {
		done = false
		held, err := t.TakeLease(ctx, queries.TakeLeaseParams{
			Name: auditLease, Holder: s.db.holder, ExpiresAt: t.now.Add(auditLeaseLasts).UnixMilli(), Now: t.millis(),
		})
		if err != nil || held == 0 {
			return err
		}
		moved, err := t.MoveAuditHead(ctx, queries.MoveAuditHeadParams{
			OldSize: u.tree.Size, Size: tree.Size, Root: tree.Root[:], Checkpoint: checkpoint, At: now.UnixMilli(),
		})
		if err != nil || moved == 0 {
			return err
		}
		done = true
		if err := t.InsertSegment(ctx, queries.InsertSegmentParams{
			FirstSeq: segment.FirstSeq, Events: segment.Events, FirstID: segment.FirstID[:], LastID: segment.LastID[:],
			Ids: segment.IDs, Leaves: segment.Leaves,
		}); err != nil {
			return fmt.Errorf("insert segment: %w", err)
		}
		return t.insert(ctx, tileTable, rows)
	})
	return done && err == nil, err
}

// judgeLog is [DB.judge], but for a log that was altered: the database works.
func (db *DB) judgeLog(ctx context.Context, err error) error {
	if errors.Is(err, audit.ErrTiles) || errors.Is(err, errEventID) {
		return err
	}
	return db.judge(ctx, err)
}

// readTiles implements [audit.ReadTiles].
func (db *DB) readTiles(ctx context.Context, keys []audit.TileKey) (map[audit.TileKey][]byte, error) {
	q, out := db.queries(), make(map[audit.TileKey][]byte, len(keys))
	for _, key := range keys {
		rows, err := q.Tile(ctx, queries.TileParams{Level: int64(key.Level), N: key.N})
		if err != nil {
			return nil, err
		}
		if len(rows) > 0 {
			out[key] = rows[0]
		}
	}
	return out, nil
}

// auditHead reads the head of the log: that of an empty one if there is none.
func auditHead(ctx context.Context, q *queries.Queries) (audit.Head, error) {
	rows, err := q.AuditHead(ctx)
	if err != nil {
		return audit.Head{}, fmt.Errorf("read the audit log's head: %w", err)
	}
	if len(rows) == 0 {
		return audit.Head{Tree: audit.EmptyTree()}, nil
	}
	row := rows[0]
	if len(row.Root) != tlog.HashSize {
		return audit.Head{}, fmt.Errorf("%w: its root has %d octets", audit.ErrTiles, len(row.Root))
	}
	return audit.Head{
		Tree: audit.Tree{Size: row.Size, Root: tlog.Hash(row.Root)}, Checkpoint: row.Checkpoint, At: timeOf(row.At),
	}, nil
}
