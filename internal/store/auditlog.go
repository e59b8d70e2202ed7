package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// eventsPerTransaction is how many events RecordEvents writes at a time.
const eventsPerTransaction = 500

// RecordEvents writes events that belong to no change of state, such as those of an
// [audit.Counter]. Each that has no ID gets one, in the caller's slice, and each
// that has no time the present one there. It returns how many are durable: the first ones.
//
// If the outcome cannot be told, the caller may give the same events again: one that
// was written is not written twice.
func (db *DB) RecordEvents(ctx context.Context, events []telamon.Event) (written int, err error) {
	for i := range events {
		if events[i].ID == "" {
			events[i].ID = telamon.NewEventID()
		}
		if events[i].At.IsZero() {
			events[i].At = db.clock.Now().UTC()
		}
	}
	for written < len(events) {
		part := events[written:min(written+eventsPerTransaction, len(events))]
		if err := db.renewIDs(ctx, part); err != nil {
			return written, err
		}
		err := db.update(ctx, func(t *txn) error {
			for _, e := range part {
				if err := t.record(ctx, eventOnceTable, e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return written, err
		}
		written += len(part)
	}
	return written, nil
}

// renewIDs gives new IDs to events whose own are so old that the sequencer might
// look for them no more, unless they are written already: that is certain as soon
// as no outcome is unknown.
func (db *DB) renewIDs(ctx context.Context, events []telamon.Event) error {
	settled := false
	for i := range events {
		id, ok := events[i].ID.Bytes()
		// IDs have the system's time, whatever the store's clock says.
		if !ok || time.Since(audit.EventTime(id)) <= auditDeepEvery {
			continue
		}
		if !settled {
			if _, err := db.Settle(ctx); err != nil {
				return err
			}
			settled = true
		}
		rows, err := db.queries().Event(ctx, id[:])
		if err != nil {
			return db.judge(ctx, fmt.Errorf("read event: %w", err))
		}
		if len(rows) == 0 {
			events[i].ID = telamon.NewEventID()
		}
	}
	return nil
}

// An AuditFilter says which events to list. Empty members are not asked for.
type AuditFilter struct {
	Account telamon.AccountID
	Actor   string // a credential's ID, or a kind of actor
	Action  string
	Object  string
	Result  string
	Failed  bool      // any result but "ok"
	From    time.Time // when they were written; inclusive
	To      time.Time // exclusive
	Newest  bool      // the newest first, instead of the oldest
	After   telamon.EventID
	Limit   int // at most maxAuditPage events, which 0 stands for
	Scan    int // how many events to look at, at most maxAuditScan, which 0 stands for
}

// An AuditPage is a part of a list of events.
type AuditPage struct {
	Events     []*audit.Payload
	Unreadable []telamon.EventID // rows that were altered so that they cannot be read
	// Next is After for the following page, which may be empty; it is empty itself
	// at the end of the list.
	Next telamon.EventID
}

// Bounds of AuditEvents: what it returns, what it looks at, and that at a time.
const (
	maxAuditPage  = 1000
	maxAuditScan  = 20_000
	auditScanStep = 500
)

// AuditEvents returns a page of the events that the filter asks for. A page may
// have fewer events than its limit, and even none, although there are more: the
// cost of a page is bounded, so that its Next may be the end of what was looked at.
func (db *DB) AuditEvents(ctx context.Context, f AuditFilter) (AuditPage, error) {
	limit := f.Limit
	if limit <= 0 || limit > maxAuditPage {
		limit = maxAuditPage
	}
	cursor, end, err := f.span()
	if err != nil {
		return AuditPage{}, err
	}
	needles, err := f.needles()
	if err != nil {
		return AuditPage{}, err
	}
	scan := f.Scan
	if scan <= 0 || scan > maxAuditScan {
		scan = maxAuditScan
	}
	var page AuditPage
	for range max(1, scan/auditScanStep) {
		step := int32(auditScanStep)
		if len(needles) == 0 && !f.Failed {
			step = int32(min(limit-len(page.Events), auditScanStep))
		}
		rows, err := f.scan(ctx, db.queries(), cursor, end, step)
		if err != nil {
			return AuditPage{}, db.judge(ctx, fmt.Errorf("list audit events: %w", err))
		}
		for _, row := range rows {
			id, err := eventID(row.ID)
			if err != nil {
				return AuditPage{}, fmt.Errorf("list audit events: %w", err)
			}
			cursor, page.Next = row.ID, telamon.EventIDFromBytes(id)
			page.add(row.Payload, page.Next, needles, &f)
			if len(page.Events) == limit {
				return page, nil
			}
		}
		if len(rows) < int(step) {
			page.Next = ""
			return page, nil
		}
	}
	return page, nil
}

// span returns the IDs between which a scan goes, both exclusive, from the one at
// which it starts.
func (f *AuditFilter) span() (start, end []byte, err error) {
	low, high := []byte{}, endOfEvents
	if !f.From.IsZero() {
		first := audit.FirstID(f.From)
		low = first[:15] // below every ID that begins so
	}
	if !f.To.IsZero() {
		last := audit.FirstID(f.To)
		high = last[:]
	}
	if f.After != "" {
		after, ok := f.After.Bytes()
		if !ok {
			return nil, nil, fault.New(fault.Malformed, "event_id", "That is not the ID of an event.")
		}
		if f.Newest && bytes.Compare(after[:], high) < 0 {
			high = after[:]
		}
		if !f.Newest && bytes.Compare(after[:], low) > 0 {
			low = after[:]
		}
	}
	if f.Newest {
		return high, low, nil
	}
	return low, high, nil
}

// needles are octets that every event that is asked for has in its payload.
func (f *AuditFilter) needles() ([][]byte, error) {
	var needles [][]byte
	for _, member := range []struct{ name, value string }{
		{"actor", f.Actor}, {"action", f.Action}, {"object", f.Object}, {"result", f.Result},
	} {
		if member.value == "" {
			continue
		}
		value, err := json.Marshal(member.value)
		if err != nil {
			return nil, fmt.Errorf("list audit events: %w", err)
		}
		needles = append(needles, fmt.Appendf(nil, `"%s":%s`, member.name, value))
	}
	return needles, nil
}

// scan reads rows after the cursor.
func (f *AuditFilter) scan(ctx context.Context, q *queries.Queries, cursor, end []byte, limit int32) ([]queries.AuditEvent, error) {
	account := f.Account.String()
	switch {
	case account == "" && !f.Newest:
		return q.EventsAfter(ctx, queries.EventsAfterParams{ID: cursor, Before: end, Lim: limit})
	case account == "":
		return q.EventsBefore(ctx, queries.EventsBeforeParams{ID: cursor, After: end, Lim: limit})
	case !f.Newest:
		return q.AccountEventsAfter(ctx, queries.AccountEventsAfterParams{AccountID: account, ID: cursor, Before: end, Lim: limit})
	}
	return q.AccountEventsBefore(ctx, queries.AccountEventsBeforeParams{AccountID: account, ID: cursor, After: end, Lim: limit})
}

// add adds an event to the page if the filter asks for it.
func (p *AuditPage) add(payload []byte, id telamon.EventID, needles [][]byte, f *AuditFilter) {
	for _, needle := range needles {
		if !bytes.Contains(payload, needle) {
			return
		}
	}
	if f.Failed && succeeded(payload) {
		return
	}
	event, err := audit.Decode(payload)
	if err != nil {
		p.Unreadable = append(p.Unreadable, id)
		return
	}
	is := func(asked, has string) bool { return asked == "" || asked == has }
	if is(f.Actor, event.Actor) && is(f.Action, event.Action) && is(f.Object, event.Object) && is(f.Result, event.Result) &&
		(!f.Failed || event.Result != "ok") {
		p.Events = append(p.Events, event)
	}
}

// AuditEvent returns an event of the account. It reports NotFound.
func (db *DB) AuditEvent(ctx context.Context, account telamon.AccountID, event telamon.EventID) (*audit.Payload, error) {
	id, ok := event.Bytes()
	if !ok {
		return nil, errNoEvent()
	}
	rows, err := db.queries().Event(ctx, id[:])
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read event: %w", err))
	}
	if len(rows) == 0 || rows[0].AccountID != account.String() {
		return nil, errNoEvent()
	}
	return audit.Decode(rows[0].Payload)
}

// EventText returns the octets of an event of any account. It reports NotFound.
func (db *DB) EventText(ctx context.Context, event telamon.EventID) ([]byte, error) {
	id, ok := event.Bytes()
	if !ok {
		return nil, errNoEvent()
	}
	rows, err := db.queries().Event(ctx, id[:])
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read event: %w", err))
	}
	if len(rows) == 0 {
		return nil, errNoEvent()
	}
	return rows[0].Payload, nil
}

func errNoEvent() error {
	return fault.New(fault.NotFound, "event_not_found", "There is no such event.")
}

// succeeded reports whether an event's result is "ok", without the cost of reading it. Its
// member is the first of that name: those before it are texts, in which quotes are escaped.
func succeeded(payload []byte) bool {
	_, result, ok := bytes.Cut(payload, []byte(`,"result":"`))
	return ok && bytes.HasPrefix(result, []byte(`ok"`))
}

// An AuditProof proves to anybody who has the log's verifier key that an event is
// in the log at its place.
type AuditProof struct {
	Payload    []byte // the event: its leaf hash is audit.LeafHash of it
	Seq        int64
	Checkpoint string // the signed note over the tree
	Tree       audit.Tree
	Proof      tlog.RecordProof
}

// AuditProof returns the proof of an event, of the account if that is not empty.
//
// It reports NotFound if there is no such event, and NotReady if it has no place in
// the log yet.
func (db *DB) AuditProof(ctx context.Context, account telamon.AccountID, event telamon.EventID) (*AuditProof, error) {
	id, ok := event.Bytes()
	if !ok {
		return nil, fault.New(fault.NotFound, "event_not_found", "There is no such event.")
	}
	proof, err := db.placeOf(ctx, account, id)
	if err != nil {
		return nil, db.judgeLog(ctx, err)
	}
	proof.Proof, err = audit.ProveInclusion(ctx, proof.Tree, db.readTiles, proof.Seq)
	if err != nil {
		return nil, db.judgeLog(ctx, err)
	}
	return proof, nil
}

// placeOf reads all of an event's proof but the proof.
func (db *DB) placeOf(ctx context.Context, account telamon.AccountID, id [16]byte) (*AuditProof, error) {
	var proof AuditProof
	err := db.view(ctx, func(q *queries.Queries) error {
		rows, err := q.Event(ctx, id[:])
		if err != nil {
			return fmt.Errorf("read event: %w", err)
		}
		if len(rows) == 0 || account != "" && rows[0].AccountID != account.String() {
			return fault.New(fault.NotFound, "event_not_found", "There is no such event.")
		}
		proof.Payload = rows[0].Payload
		var placed bool
		if proof.Seq, placed, err = seqOf(ctx, q, id); err != nil {
			return err
		}
		if !placed {
			return &fault.Fault{
				Kind: fault.NotReady, Code: "event_not_sequenced", Detail: "The event has no place in the log yet.",
				RetryAfter: 2 * time.Second,
			}
		}
		head, err := auditHead(ctx, q)
		proof.Tree, proof.Checkpoint = head.Tree, head.Checkpoint
		return err
	})
	return &proof, err
}

// segmentSpan is how much newer than an event the newest of its segment is, but for
// the segments of a sequencer that was idle or away for longer.
const segmentSpan = time.Hour

// seqOf returns an event's place, and false if it has none.
func seqOf(ctx context.Context, q *queries.Queries, id [16]byte) (seq int64, placed bool, err error) {
	near := audit.FirstID(audit.EventTime(id).Add(segmentSpan))
	for _, last := range [][]byte{near[:], endOfEvents} { // all segments that are newer are many
		segments, err := q.SegmentsOf(ctx, queries.SegmentsOfParams{ID: id[:], Last: last})
		if err != nil {
			return 0, false, fmt.Errorf("read segments: %w", err)
		}
		for _, s := range segments {
			for i := 0; 16*(i+1) <= len(s.Ids); i++ {
				if [16]byte(s.Ids[16*i:]) == id {
					return s.FirstSeq + int64(i), true, nil
				}
			}
		}
	}
	return 0, false, nil
}

// AuditHead returns the tree of the audit log and its signed checkpoint, which is
// empty for an empty log.
func (db *DB) AuditHead(ctx context.Context) (audit.Head, error) {
	head, err := auditHead(ctx, db.queries())
	return head, db.judgeLog(ctx, err)
}

// AuditConsistency returns the head of the log and the proof that it began with
// all of the log of size old.
//
// It reports Invalid if the log is not that long.
func (db *DB) AuditConsistency(ctx context.Context, old int64) (audit.Head, tlog.TreeProof, error) {
	head, err := db.AuditHead(ctx)
	if err != nil {
		return audit.Head{}, nil, err
	}
	if old < 0 || old > head.Tree.Size {
		return audit.Head{}, nil, fault.New(fault.Invalid, "audit_size", "The audit log has never had that size.")
	}
	proof, err := audit.ProveConsistency(ctx, head.Tree, db.readTiles, old)
	if err != nil {
		return audit.Head{}, nil, db.judgeLog(ctx, err)
	}
	return head, proof, nil
}

// maxPending is where AuditLag stops counting.
const maxPending = 100_000

// AuditLag returns how far the sequencer is behind. Pending is at most maxPending
// and the number of late events.
func (db *DB) AuditLag(ctx context.Context) (audit.Lag, error) {
	var lag audit.Lag
	err := db.view(ctx, func(q *queries.Queries) error {
		newest, some, err := newestSequenced(ctx, q)
		if err != nil {
			return err
		}
		if some {
			late, err := lateEvents(ctx, q, newest, db.clock.Now(), auditLookBack)
			if err != nil {
				return err
			}
			if lag.Pending = int64(len(late)); lag.Pending > 0 {
				lag.Oldest = audit.EventTime(late[0])
			}
		}
		first, err := q.FirstEventAfter(ctx, newest[:])
		if err != nil || len(first) == 0 {
			return err
		}
		id, err := eventID(first[0])
		if err != nil {
			return err
		}
		if lag.Pending == 0 {
			lag.Oldest = audit.EventTime(id)
		}
		n, err := q.CountEventsAfter(ctx, queries.CountEventsAfterParams{ID: newest[:], Lim: maxPending})
		lag.Pending += n
		return err
	})
	return lag, db.judgeLog(ctx, err)
}

// VerifyAuditSince verifies what came after a checkpoint: see [audit.VerifySince].
func (db *DB) VerifyAuditSince(ctx context.Context, from audit.Checkpoint, opts audit.Options) (audit.Result, error) {
	return audit.VerifySince(ctx, auditLog{db, db.queries()}, from, opts)
}

// AuditEntries gives the places of the log from first on, up to the end and without
// it, with the octets of those events that are still there.
func (db *DB) AuditEntries(ctx context.Context, first, end int64) iter.Seq2[audit.Entry, error] {
	return auditLog{db, db.queries()}.Entries(ctx, first, end)
}

// VerifyAudit verifies the whole audit log: see [audit.Verify]. It reads the log in
// pages outside any transaction, and lasts as long as the log is long.
func (db *DB) VerifyAudit(ctx context.Context, opts audit.Options) (audit.Result, error) {
	return audit.Verify(ctx, auditLog{db, db.queries()}, opts)
}

// auditLog is the stored log as [audit.Verify] reads it.
type auditLog struct {
	db *DB
	q  *queries.Queries
}

// Rows of a page of each stream of a verification.
const (
	segmentPage = 8 // each up to 200 KB
	eventPage   = 1000
	tilePage    = 32 // each up to 8 KB
)

func (l auditLog) Head(ctx context.Context) (audit.Head, error) { return l.db.AuditHead(ctx) }

func (l auditLog) Segments(ctx context.Context) iter.Seq2[audit.Segment, error] {
	return l.segmentsFrom(ctx, -1<<63)
}

func (l auditLog) segmentsFrom(ctx context.Context, first int64) iter.Seq2[audit.Segment, error] {
	done := false
	return pages(ctx, l.db, segmentPage, func() ([]queries.AuditSegment, error) {
		if done {
			return nil, nil
		}
		rows, err := l.q.SegmentsFrom(ctx, queries.SegmentsFromParams{FirstSeq: first, Lim: segmentPage})
		if len(rows) > 0 {
			last := rows[len(rows)-1].FirstSeq
			first, done = last+1, last == 1<<63-1
		}
		return rows, err
	}, func(row *queries.AuditSegment) (audit.Segment, error) {
		s := audit.Segment{FirstSeq: row.FirstSeq, Events: row.Events, IDs: row.Ids, Leaves: row.Leaves}
		copy(s.FirstID[:], row.FirstID) // a column of another length is a difference that is found
		copy(s.LastID[:], row.LastID)
		return s, nil
	})
}

// Entries implements [audit.GrowingLog].
func (l auditLog) Entries(ctx context.Context, first, end int64) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		at, err := l.q.SegmentAt(ctx, first)
		if err != nil {
			yield(audit.Entry{}, l.db.judge(ctx, fmt.Errorf("read segments: %w", err)))
			return
		}
		if len(at) == 0 {
			at = []int64{first}
		}
		for s, err := range l.segmentsFrom(ctx, at[0]) {
			if err != nil || s.FirstSeq >= end {
				if err != nil {
					yield(audit.Entry{}, err)
				}
				return
			}
			payloads, err := l.payloads(ctx, &s)
			if err != nil {
				yield(audit.Entry{}, l.db.judge(ctx, err))
				return
			}
			for entry := range s.Entries() {
				if entry.Seq < first || entry.Seq >= end {
					continue
				}
				entry.Payload = payloads[entry.ID]
				if !yield(entry, nil) {
					return
				}
			}
		}
	}
}

// payloads reads the events of a segment: those between its smallest and its
// largest ID, which are few that it does not have.
func (l auditLog) payloads(ctx context.Context, s *audit.Segment) (map[[16]byte][]byte, error) {
	out := make(map[[16]byte][]byte, s.Events)
	for entry := range s.Entries() {
		out[entry.ID] = nil
	}
	cursor, after := s.FirstID[:15], append(slices.Clone(s.LastID[:]), 0) // both exclusive
	for {
		rows, err := l.q.EventsAfter(ctx, queries.EventsAfterParams{ID: cursor, Before: after, Lim: eventPage})
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		for _, row := range rows {
			id, err := eventID(row.ID)
			if err != nil {
				return nil, fmt.Errorf("read events: %w", err)
			}
			if _, ok := out[id]; ok {
				out[id] = row.Payload
			}
			cursor = row.ID
		}
		if len(rows) < eventPage {
			return out, nil
		}
	}
}

// ReadTiles implements [audit.GrowingLog].
func (l auditLog) ReadTiles(ctx context.Context, keys []audit.TileKey) (map[audit.TileKey][]byte, error) {
	return l.db.readTiles(ctx, keys)
}

func (l auditLog) Events(ctx context.Context) iter.Seq2[audit.Row, error] {
	cursor := []byte{}
	return pages(ctx, l.db, eventPage, func() ([]queries.AuditEvent, error) {
		rows, err := l.q.EventsAfter(ctx, queries.EventsAfterParams{ID: cursor, Before: endOfEvents, Lim: eventPage})
		if len(rows) > 0 {
			cursor = rows[len(rows)-1].ID
		}
		return rows, err
	}, func(row *queries.AuditEvent) (audit.Row, error) {
		id, err := eventID(row.ID)
		return audit.Row{ID: id, At: row.At, Account: row.AccountID, Payload: row.Payload}, err
	})
}

func (l auditLog) Tiles(ctx context.Context, level int) iter.Seq2[audit.Tile, error] {
	first, done := int64(-1<<63), false
	return pages(ctx, l.db, tilePage, func() ([]queries.TilesFromRow, error) {
		if done {
			return nil, nil
		}
		rows, err := l.q.TilesFrom(ctx, queries.TilesFromParams{Level: int64(level), First: first, Lim: tilePage})
		if len(rows) > 0 {
			last := rows[len(rows)-1].N
			first, done = last+1, last == 1<<63-1
		}
		return rows, err
	}, func(row *queries.TilesFromRow) (audit.Tile, error) {
		return audit.Tile{TileKey: audit.TileKey{Level: level, N: row.N}, Data: row.Data}, nil
	})
}

// pages gives the rows of page after page, until one has fewer than size.
func pages[R, T any](ctx context.Context, db *DB, size int, page func() ([]R, error), row func(*R) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			rows, err := page()
			if err != nil {
				var none T
				yield(none, db.judge(ctx, err))
				return
			}
			for i := range rows {
				if !yield(row(&rows[i])) {
					return
				}
			}
			if len(rows) < size {
				return
			}
		}
	}
}

var (
	_ audit.Log        = auditLog{}
	_ audit.GrowingLog = auditLog{}
)
