package audit_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
)

// memory is a log as a database keeps it, with every row open to change.
type memory struct {
	head     audit.Head
	segments []audit.Segment
	events   []audit.Row
	tiles    []audit.Tile

	afterHead []func() // called one by one, each time the head was read
	failing   string   // the stream that fails
}

var errBroken = errors.New("the database is broken")

func (m *memory) Head(context.Context) (audit.Head, error) {
	head := m.head
	if len(m.afterHead) > 0 {
		next := m.afterHead[0]
		m.afterHead = m.afterHead[1:]
		next()
	}
	if m.failing == "head" {
		return head, errBroken
	}
	return head, nil
}

func (m *memory) Segments(context.Context) iter.Seq2[audit.Segment, error] {
	return stream(m, "segments", func() []audit.Segment {
		return slices.SortedStableFunc(slices.Values(m.segments), func(a, b audit.Segment) int {
			return cmp.Compare(a.FirstSeq, b.FirstSeq)
		})
	})
}

func (m *memory) Events(context.Context) iter.Seq2[audit.Row, error] {
	return stream(m, "events", func() []audit.Row {
		return slices.SortedStableFunc(slices.Values(m.events), func(a, b audit.Row) int {
			return bytes.Compare(a.ID[:], b.ID[:])
		})
	})
}

func (m *memory) Tiles(_ context.Context, level int) iter.Seq2[audit.Tile, error] {
	return stream(m, "tiles", func() []audit.Tile {
		own := slices.DeleteFunc(slices.Clone(m.tiles), func(t audit.Tile) bool { return t.Level != level })
		return slices.SortedStableFunc(slices.Values(own), func(a, b audit.Tile) int { return cmp.Compare(a.N, b.N) })
	})
}

// stream gives the rows as they are when it is first asked.
func stream[T any](m *memory, name string, rows func() []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, row := range rows() {
			if !yield(row, nil) {
				return
			}
		}
		if m.failing == name {
			var none T
			yield(none, errBroken)
		}
	}
}

// clone returns a copy that can be changed on its own.
func (m *memory) clone() *memory {
	c := &memory{head: m.head, segments: slices.Clone(m.segments), events: slices.Clone(m.events), tiles: slices.Clone(m.tiles)}
	for i := range c.segments {
		c.segments[i].IDs = bytes.Clone(c.segments[i].IDs)
		c.segments[i].Leaves = bytes.Clone(c.segments[i].Leaves)
	}
	for i := range c.events {
		c.events[i].Payload = bytes.Clone(c.events[i].Payload)
	}
	for i := range c.tiles {
		c.tiles[i].Data = bytes.Clone(c.tiles[i].Data)
	}
	return c
}

// builder writes a log as package store does.
type builder struct {
	t        testing.TB
	memory   *memory
	signer   note.Signer
	verifier note.Verifier
	at       time.Time // of the next event
	made     int
}

func newBuilder(t testing.TB) *builder {
	b := &builder{t: t, memory: &memory{head: audit.Head{Tree: audit.EmptyTree()}}, at: noon}
	b.signer, b.verifier = newKey(t, origin)
	return b
}

// event writes an event that was made at b.at, and moves b.at on.
func (b *builder) event() audit.Row {
	b.t.Helper()
	id := audit.FirstID(b.at)
	b.made++
	id[6], id[14], id[15] = 0x70, byte(b.made>>8), byte(b.made)
	e := telamon.Event{
		ID: telamon.EventIDFromBytes(id), At: b.at, Actor: telamon.Actor{Kind: telamon.ActorSystem},
		Account: "acc_test", Action: "certificate.issue", Object: fmt.Sprint(b.made), Result: "ok",
	}
	payload, err := audit.Encode(e)
	if err != nil {
		b.t.Fatal(err)
	}
	row := audit.Row{ID: id, At: b.at.UnixMilli(), Account: "acc_test", Payload: payload}
	b.memory.events = append(b.memory.events, row)
	b.at = b.at.Add(10 * time.Millisecond)
	return row
}

// sequence gives places to the rows, in one segment.
func (b *builder) sequence(rows ...audit.Row) {
	b.t.Helper()
	var ids [][16]byte
	var leaves []tlog.Hash
	for _, row := range rows {
		ids = append(ids, row.ID)
		leaves = append(leaves, audit.LeafHash(row.Payload))
	}
	m := b.memory
	tiles := tileStore{}
	for _, tile := range m.tiles {
		tiles[tile.TileKey] = tile.Data
	}
	tree, added, err := audit.Append(b.t.Context(), m.head.Tree, tiles.read, leaves)
	if err != nil {
		b.t.Fatal(err)
	}
	m.segments = append(m.segments, audit.NewSegment(m.head.Tree.Size, ids, leaves))
	for _, tile := range added {
		i := slices.IndexFunc(m.tiles, func(t audit.Tile) bool { return t.TileKey == tile.TileKey })
		if i < 0 {
			m.tiles = append(m.tiles, tile)
		} else {
			m.tiles[i] = tile
		}
	}
	signed, err := audit.SignCheckpoint(audit.Checkpoint{Origin: origin, Tree: tree, At: b.at}, b.signer)
	if err != nil {
		b.t.Fatal(err)
	}
	m.head = audit.Head{Tree: tree, Checkpoint: signed, At: b.at}
}

// turn writes n events and sequences them.
func (b *builder) turn(n int) {
	b.t.Helper()
	rows := make([]audit.Row, n)
	for i := range rows {
		rows[i] = b.event()
	}
	b.sequence(rows...)
}

// checkpoint returns the log's checkpoint as it is now.
func (b *builder) checkpoint() audit.Checkpoint {
	b.t.Helper()
	c, err := audit.OpenCheckpoint(b.memory.head.Checkpoint, b.verifier)
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// verify verifies a log and returns the problems.
func (b *builder) verify(m *memory, change ...func(*audit.Options)) (audit.Result, []audit.Problem) {
	b.t.Helper()
	var problems []audit.Problem
	opts := audit.Options{Verifier: b.verifier, Report: func(p audit.Problem) { problems = append(problems, p) }}
	for _, f := range change {
		f(&opts)
	}
	result, err := audit.Verify(b.t.Context(), m, opts)
	if err != nil {
		b.t.Fatalf("Verify: %v", err)
	}
	if result.Problems != int64(len(problems)) {
		b.t.Errorf("Verify counts %d problems and reports %d", result.Problems, len(problems))
	}
	return result, problems
}

func lines(problems []audit.Problem) string {
	var out []string
	for _, p := range problems {
		out = append(out, p.String())
	}
	return strings.Join(out, "\n")
}

func TestVerifyGoodLogs(t *testing.T) {
	for _, turns := range [][]int{nil, {1}, {1, 1, 1}, {255, 1, 1}, {256}, {300, 700, 24}, {513, 255}} {
		t.Run(fmt.Sprint(turns), func(t *testing.T) {
			b := newBuilder(t)
			var trusted []audit.Checkpoint
			var total int64
			for _, n := range turns {
				b.turn(n)
				total += int64(n)
				trusted = append(trusted, b.checkpoint())
			}
			slices.Reverse(trusted) // in any order
			var seen int64
			result, problems := b.verify(b.memory, func(o *audit.Options) {
				o.Trusted = trusted
				o.Event = func(p *audit.Payload) error { seen++; return nil }
			})
			if len(problems) > 0 {
				t.Errorf("a good log has problems:\n%s", lines(problems))
			}
			if result.Events != total || seen != total || result.Tree != b.memory.head.Tree || result.Purged != 0 || result.Lag.Pending != 0 {
				t.Errorf("the result is %+v, and %d events were seen; want %d", result, seen, total)
			}
		})
	}
}

// TestVerifyLargeLog crosses the third level of tiles.
func TestVerifyLargeLog(t *testing.T) {
	b := newBuilder(t)
	for range 14 {
		b.turn(4800)
	}
	if result, problems := b.verify(b.memory); len(problems) > 0 || result.Events != 14*4800 {
		t.Errorf("a good log of 67,200 events gives %+v and\n%s", result, lines(problems))
	}
	m := b.memory.clone()
	i := slices.IndexFunc(m.tiles, func(t audit.Tile) bool { return t.Level == 2 })
	m.tiles[i].Data[5] ^= 1
	_, problems := b.verify(m)
	if want := "tile altered at 0 to 65535: hash 0 of tile 2/0 is not that of the level below"; lines(problems) != want {
		t.Errorf("with tile 2/0 altered:\n%s\nwant\n%s", lines(problems), want)
	}
}

// TestVerifyLateEvents: an event that was committed after later ones has its place
// after theirs, and an event that is too new has none yet.
func TestVerifyLateEvents(t *testing.T) {
	b := newBuilder(t)
	early := b.event()
	b.turn(5)
	b.sequence(b.event(), early)
	b.turn(3)
	pending := b.event()
	result, problems := b.verify(b.memory)
	if len(problems) > 0 || result.Events != 10 || result.Lag.Pending != 1 || result.Lag.Oldest != audit.EventTime(pending.ID) {
		t.Errorf("the result is %+v, and the problems\n%s", result, lines(problems))
	}
	// An event that is older than the newest one with a place by less than the grace
	// may still be given one.
	b.at = b.at.Add(audit.DefaultGrace - 20*time.Millisecond)
	b.turn(1)
	if result, problems := b.verify(b.memory); len(problems) > 0 || result.Lag.Pending != 1 {
		t.Errorf("within the grace the result is %+v, and the problems\n%s", result, lines(problems))
	}
	b.at = b.at.Add(time.Minute)
	b.turn(1)
	_, problems = b.verify(b.memory)
	want := fmt.Sprintf("event unsequenced (%s): it has no place in the log, although later events have", telamon.EventIDFromBytes(pending.ID))
	if lines(problems) != want {
		t.Errorf("after the grace the problems are\n%s\nwant\n%s", lines(problems), want)
	}
}

// TestVerifyGrowingLog lets the log grow each time after its head was read: what is
// read later goes further than the head does.
func TestVerifyGrowingLog(t *testing.T) {
	for _, sizes := range [][2]int{{1, 1}, {100, 100}, {100, 1000}, {256, 256}, {0, 300}, {511, 2}, {300, 700}} {
		b := newBuilder(t)
		if sizes[0] > 0 {
			b.turn(sizes[0])
		}
		grow := func() { b.turn(sizes[1]); b.event() }
		b.memory.afterHead = []func(){grow, grow, grow, grow}
		result, problems := b.verify(b.memory)
		if len(problems) > 0 || result.Tree.Size != int64(sizes[0]) {
			t.Errorf("a log that grows from %d by %d gives %+v and\n%s", sizes[0], sizes[1], result, lines(problems))
		}
	}
}

// TestVerifyFarAhead has an event of a clock that is ahead by more events than are
// read in advance: it is met long after its place.
func TestVerifyFarAhead(t *testing.T) {
	b := newBuilder(t)
	b.at = b.at.Add(time.Hour)
	ahead := b.event()
	b.at = b.at.Add(-time.Hour)
	b.sequence(ahead, b.event())
	const n = 70_000
	for range n / 5000 {
		b.turn(5000)
	}
	for _, tt := range []struct {
		name   string
		change func(*memory)
		want   string
	}{
		{"removed", func(m *memory) { m.events = m.events[1:] }, "removed event #0 at 0"},
		{"with another place", func(m *memory) { copy(m.segments[0].IDs[16:], ahead.ID[:]) },
			"altered segment at 0 to 1; inserted event #0 at 1; unsequenced event #1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := b.memory.clone()
			tt.change(m)
			_, problems := b.verify(m)
			if got := b.describe(problems); got != tt.want {
				t.Errorf("Verify finds %s, want %s", got, tt.want)
			}
		})
	}
	// An altered event, and more hashes than are kept to tell a change from a swap.
	m := b.memory.clone()
	copy(m.events[0].Payload[bytes.Index(m.events[0].Payload, []byte(`"1"`)):], `"7"`)
	for _, s := range m.segments[1:] {
		for i := range s.Events {
			s.Leaves[32*i] ^= 1
		}
	}
	_, problems := b.verify(m)
	events := slices.DeleteFunc(slices.Clone(problems), func(p audit.Problem) bool { return p.What != "event" })
	if got := b.describe(events); len(problems) != n+1 || got != "altered event #0 at 0" {
		t.Errorf("Verify finds %d problems, of events %s", len(problems), got)
	}
}

func TestVerifyPurgedEvents(t *testing.T) {
	b := newBuilder(t)
	b.turn(300)
	horizon := b.at
	b.turn(300)
	b.memory.events = b.memory.events[300:]
	result, problems := b.verify(b.memory, func(o *audit.Options) { o.PurgedBefore = horizon })
	if len(problems) > 0 || result.Purged != 300 || result.Events != 300 {
		t.Errorf("a purged log gives %+v and\n%s", result, lines(problems))
	}
	if _, problems := b.verify(b.memory, func(o *audit.Options) { o.PurgedBefore = horizon.Add(-10 * time.Millisecond) }); len(problems) != 1 ||
		problems[0].Kind != audit.Removed || problems[0].Seq != 299 {
		t.Errorf("with an event purged too early the problems are\n%s\nwant one, at 299", lines(problems))
	}
	if _, problems := b.verify(b.memory); len(problems) != 300 {
		t.Errorf("without a horizon there are %d problems, want 300", len(problems))
	}
}

// TestVerifyFinds makes one change at a time. The log has 600 events in segments of
// 200; places and IDs are written as #place.
func TestVerifyFinds(t *testing.T) {
	b := newBuilder(t)
	b.turn(200)
	old := b.checkpoint()
	b.turn(200)
	b.turn(200)
	tile := func(m *memory, level int, n int64) *audit.Tile {
		i := slices.IndexFunc(m.tiles, func(t audit.Tile) bool { return t.TileKey == audit.TileKey{Level: level, N: n} })
		return &m.tiles[i]
	}
	tests := []struct {
		name   string
		change func(*memory)
		want   string // kind, what, #event and place of each problem
	}{
		{"a payload", func(m *memory) {
			p := m.events[300].Payload
			copy(p[bytes.Index(p, []byte(`"301"`)):], `"302"`)
		}, "altered event #300 at 300"},
		{"a payload that is JSON no more", func(m *memory) { m.events[300].Payload[0] = '[' },
			"altered event #300; altered event #300 at 300"},
		{"the time of a row", func(m *memory) { m.events[3].At++ }, "altered event #3"},
		{"the account of a row", func(m *memory) { m.events[3].Account = "" }, "altered event #3"},
		{"two payloads swapped", func(m *memory) {
			m.events[10].Payload, m.events[500].Payload = m.events[500].Payload, m.events[10].Payload
			m.events[10].At, m.events[500].At = m.events[500].At, m.events[10].At
		}, "reordered event #10; reordered event #500; reordered event #10 at 10; reordered event #500 at 500"},
		{"an event removed", func(m *memory) { m.events = slices.Delete(m.events, 250, 251) }, "removed event #250 at 250"},
		{"the last event removed", func(m *memory) { m.events = m.events[:599] }, "removed event #599 at 599"},
		{"an event inserted", func(m *memory) {
			row := m.events[100]
			row.ID[15] ^= 0x55
			row.Payload = bytes.Replace(row.Payload, []byte(telamon.EventIDFromBytes(m.events[100].ID)), []byte(telamon.EventIDFromBytes(row.ID)), 1)
			m.events = append(m.events, row)
		}, "unsequenced event"},
		{"two entries of a segment swapped", func(m *memory) {
			swap(m.segments[1].IDs, 16, 5, 6)
			swap(m.segments[1].Leaves, 32, 5, 6)
		}, "altered tile at 0 to 255; altered root at 0 to 599; reordered event #206 at 205; reordered event #205 at 206"},
		{"two IDs of a segment swapped", func(m *memory) { swap(m.segments[1].IDs, 16, 5, 6) },
			"reordered event #206 at 205; reordered event #205 at 206"},
		{"two hashes of a segment swapped", func(m *memory) { swap(m.segments[1].Leaves, 32, 5, 6) },
			"reordered segment #205 at 205; reordered segment #206 at 206"},
		{"two hashes of a tile swapped", func(m *memory) { swap(tile(m, 0, 1).Data, 32, 5, 6) },
			"reordered tile #261 at 261; reordered tile #262 at 262"},
		{"a hash of a segment", func(m *memory) { m.segments[2].Leaves[32*7] ^= 1 }, "altered segment #407 at 407"},
		{"a hash of a tile", func(m *memory) { tile(m, 0, 2).Data[32*3] ^= 1 }, "altered tile #515 at 515"},
		{"a hash of a higher tile", func(m *memory) { tile(m, 1, 0).Data[32] ^= 1 }, "altered tile at 256 to 511"},
		{"event and segment", func(m *memory) {
			p := m.events[300].Payload
			copy(p[bytes.Index(p, []byte(`"301"`)):], `"302"`)
			leaf := audit.LeafHash(p)
			copy(m.segments[1].Leaves[32*100:], leaf[:])
		}, "altered tile at 256 to 511; altered root at 0 to 599; altered event #300 at 300"},
		{"event, segment and tile", func(m *memory) {
			p := m.events[300].Payload
			copy(p[bytes.Index(p, []byte(`"301"`)):], `"302"`)
			leaf := audit.LeafHash(p)
			copy(m.segments[1].Leaves[32*100:], leaf[:])
			copy(tile(m, 0, 1).Data[32*44:], leaf[:])
		}, "altered tile at 256 to 511; altered root at 0 to 599"},
		{"event and segment, each otherwise", func(m *memory) {
			copy(m.events[300].Payload[bytes.Index(m.events[300].Payload, []byte(`"301"`)):], `"302"`)
			m.segments[1].Leaves[32*100] ^= 1
		}, "altered tile at 256 to 511; altered root at 0 to 599; altered event #300 at 300"},
		{"an event removed and its segment's hash", func(m *memory) {
			m.events = slices.Delete(m.events, 300, 301)
			m.segments[1].Leaves[32*100] ^= 1
		}, "removed event #300 at 300; altered tile at 256 to 511; altered root at 0 to 599; altered segment #300 at 300"},
		{"an event and its tile removed", func(m *memory) {
			copy(m.events[300].Payload[bytes.Index(m.events[300].Payload, []byte(`"301"`)):], `"302"`)
			m.tiles = slices.DeleteFunc(m.tiles, func(t audit.Tile) bool { return t.TileKey == audit.TileKey{Level: 0, N: 1} })
		}, "removed tile at 256 to 511; altered event #300 at 300"},
		{"a segment removed", func(m *memory) { m.segments = slices.Delete(m.segments, 1, 2) }, "removed segment at 200 to 399"},
		{"the last segment removed", func(m *memory) { m.segments = m.segments[:2] }, "removed segment at 400 to 599"},
		{"a segment's place", func(m *memory) { m.segments[1].FirstSeq = 390 }, "altered segment at 200 to 399"},
		{"a segment's place before others", func(m *memory) { m.segments[1].FirstSeq = 3 }, "altered segment at 200 to 399"},
		{"the last segment's place", func(m *memory) { m.segments[2].FirstSeq = 1 << 60 }, "altered segment at 400 to 599"},
		{"two segments swapped", func(m *memory) {
			m.segments[1].FirstSeq, m.segments[2].FirstSeq = 400, 200
		}, "many"},
		{"a segment twice", func(m *memory) {
			again := m.segments[1]
			again.FirstSeq = 201
			m.segments = append(m.segments, again)
		}, "inserted segment at 201 to 400"},
		{"a segment beyond the end", func(m *memory) {
			again := m.segments[1]
			again.FirstSeq = 600
			m.segments = append(m.segments, again)
		}, "inserted segment at 600 to 799"},
		{"a segment's count", func(m *memory) { m.segments[1].Events = 199 }, "altered segment at 200 to 398"},
		{"a segment's smallest ID", func(m *memory) { m.segments[1].FirstID[3]++ }, "altered segment at 200 to 399"},
		{"a segment's largest ID", func(m *memory) { m.segments[1].LastID[15]++ }, "altered segment at 200 to 399"},
		{"a segment cut off", func(m *memory) {
			m.segments[2].IDs = m.segments[2].IDs[:16*199]
			m.segments[2].Leaves = m.segments[2].Leaves[:32*199+5]
			m.segments[2].LastID = m.events[598].ID
			m.events = m.events[:599]
		}, "altered segment at 400 to 599; removed segment at 599"},
		{"a segment emptied", func(m *memory) { m.segments[2].IDs, m.segments[2].Leaves = nil, nil },
			"altered segment at 400 to 599; removed segment at 400 to 599"},
		{"an ID of a segment", func(m *memory) { m.segments[1].IDs[16*9+12] ^= 0xff },
			"removed event at 209; unsequenced event #209"},
		{"an ID of a segment far ahead", func(m *memory) { m.segments[1].IDs[16*9] = 0xff }, "altered segment at 200 to 399; removed event at 209; unsequenced event #209"},
		{"an event with two places", func(m *memory) { copy(m.segments[1].IDs[16*9:], m.segments[1].IDs[16*8:16*9]) },
			"removed event #208 at 209; unsequenced event #209"},
		{"a tile removed", func(m *memory) {
			m.tiles = slices.DeleteFunc(m.tiles, func(t audit.Tile) bool { return t.TileKey == audit.TileKey{Level: 0, N: 1} })
		}, "removed tile at 256 to 511"},
		{"a higher tile removed", func(m *memory) {
			m.tiles = slices.DeleteFunc(m.tiles, func(t audit.Tile) bool { return t.Level == 1 })
		}, "removed tile at 0 to 65535"},
		{"a tile cut off", func(m *memory) { t := tile(m, 0, 1); t.Data = t.Data[:32*255] }, "altered tile at 256 to 511"},
		{"a tile lengthened", func(m *memory) { t := tile(m, 0, 2); t.Data = append(t.Data, make([]byte, 32)...) }, "altered tile at 512"},
		{"a tile lengthened by an octet", func(m *memory) { t := tile(m, 1, 0); t.Data = append(t.Data, 0) }, "altered tile at 0"},
		{"a tile beyond the end", func(m *memory) {
			m.tiles = append(m.tiles, audit.Tile{TileKey: audit.TileKey{Level: 0, N: 3}, Data: make([]byte, 32)})
		}, "inserted tile"},
		{"a tile far beyond the end", func(m *memory) {
			m.tiles = append(m.tiles, audit.Tile{TileKey: audit.TileKey{Level: 0, N: 1 << 56}, Data: make([]byte, 32)},
				audit.Tile{TileKey: audit.TileKey{Level: 0, N: 1<<63 - 1}, Data: make([]byte, 32)})
		}, "inserted tile; inserted tile"},
		{"a tile before the beginning", func(m *memory) {
			m.tiles = append(m.tiles, audit.Tile{TileKey: audit.TileKey{Level: 0, N: -1}, Data: make([]byte, 32)},
				audit.Tile{TileKey: audit.TileKey{Level: 5, N: -1 << 63}, Data: make([]byte, 32)})
		}, "inserted tile; inserted tile"},
		{"a tile of too many hashes", func(m *memory) { t := tile(m, 0, 1); t.Data = append(t.Data, make([]byte, 32)...) },
			"altered tile at 256"},
		{"a level of tiles that the log has not", func(m *memory) {
			m.tiles = append(m.tiles, audit.Tile{TileKey: audit.TileKey{Level: 3}, Data: make([]byte, 32)})
		}, "inserted tile"},
		{"segment and tile removed", func(m *memory) {
			m.segments = slices.Delete(m.segments, 1, 2)
			m.tiles = slices.DeleteFunc(m.tiles, func(t audit.Tile) bool { return t.TileKey == audit.TileKey{Level: 0, N: 1} })
		}, "removed segment at 200 to 399; removed tile at 256 to 511"},
		{"the root", func(m *memory) { m.head.Tree.Root[0] ^= 1 }, "altered root"},
		{"the size", func(m *memory) { m.head.Tree.Size = 400 }, "altered root"},
		{"a negative size", func(m *memory) { m.head.Tree.Size = -1 }, "altered root"},
		{"a great size", func(m *memory) { m.head.Tree.Size = 1 << 62 }, "altered root"},
		{"a great size without a checkpoint", func(m *memory) { m.head.Tree.Size, m.head.Checkpoint = 1<<62, "" },
			"altered checkpoint; removed segment at 600 to 4611686018427387903; altered tile at 512 to 767"},
		{"a negative size without a checkpoint", func(m *memory) { m.head.Tree.Size, m.head.Checkpoint = -1, "" },
			"altered checkpoint; removed event at 0 to 199; inserted segment at 0 to 199; inserted segment at 200 to 399;" +
				" inserted segment at 400 to 599; inserted tile; inserted tile; inserted tile; inserted tile"},
		{"the checkpoint", func(m *memory) { m.head.Checkpoint = strings.Replace(m.head.Checkpoint, "600", "601", 1) }, "altered checkpoint"},
		{"no checkpoint", func(m *memory) { m.head.Checkpoint = "" }, "altered checkpoint"},
		{"all removed", func(m *memory) { *m = memory{head: audit.Head{Tree: audit.EmptyTree()}} }, "removed event at 0 to 199"},
		{"an empty log of another root", func(m *memory) { *m = memory{} }, "altered root; removed event at 0 to 199; altered root at 0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := b.memory.clone()
			tt.change(m)
			_, problems := b.verify(m, func(o *audit.Options) { o.Trusted = []audit.Checkpoint{old}; o.Grace = time.Second })
			if got := b.describe(problems); got != tt.want {
				t.Errorf("Verify finds\n\t%s\nwant\n\t%s\n%s", got, tt.want, lines(problems))
			}
		})
	}
}

func swap(data []byte, width, i, j int) {
	a, b := data[i*width:(i+1)*width], data[j*width:(j+1)*width]
	for k := range a {
		a[k], b[k] = b[k], a[k]
	}
}

// describe writes problems in the form of the table: those of single events that
// have no place, which accompany a removed segment, are left out if there are more
// than three, and more than ten problems are many.
func (b *builder) describe(problems []audit.Problem) string {
	var out []string
	for _, p := range problems {
		line := fmt.Sprintf("%s %s", p.Kind, p.What)
		if p.Event != "" {
			id, _ := p.Event.Bytes()
			if i := slices.IndexFunc(b.memory.events, func(r audit.Row) bool { return r.ID == id }); i >= 0 {
				line += fmt.Sprintf(" #%d", i)
			}
		}
		if p.Seq >= 0 {
			line += fmt.Sprintf(" at %d", p.Seq)
		}
		if p.Count > 1 {
			line += fmt.Sprintf(" to %d", p.Seq+p.Count-1)
		}
		out = append(out, line)
	}
	unsequenced := func(s string) bool { return strings.HasPrefix(s, "unsequenced") }
	if single := slices.DeleteFunc(slices.Clone(out), unsequenced); len(out)-len(single) > 3 {
		out = single
	}
	if len(out) > 10 {
		return "many"
	}
	return strings.Join(out, "; ")
}

// TestVerifyFindsAnyOctet alters one octet of any column of any row.
func TestVerifyFindsAnyOctet(t *testing.T) {
	b := newBuilder(t)
	for _, n := range []int{100, 150, 60} {
		b.turn(n)
	}
	rapid.Check(t, func(r *rapid.T) {
		m := b.memory.clone()
		e := &m.events[rapid.IntRange(0, len(m.events)-1).Draw(r, "event")]
		s := &m.segments[rapid.IntRange(0, len(m.segments)-1).Draw(r, "segment")]
		tile := &m.tiles[rapid.IntRange(0, len(m.tiles)-1).Draw(r, "tile")]
		root, checkpoint := m.head.Tree.Root[:], []byte(m.head.Checkpoint)
		columns := map[string][]byte{
			"payload": e.Payload, "event id": e.ID[:], "ids": s.IDs, "leaves": s.Leaves, "first id": s.FirstID[:],
			"last id": s.LastID[:], "tile": tile.Data, "root": root, "checkpoint": checkpoint,
		}
		names := []string{"payload", "event id", "ids", "leaves", "first id", "last id", "tile", "root", "checkpoint"}
		column := columns[rapid.SampledFrom(names).Draw(r, "column")]
		at := rapid.IntRange(0, len(column)-1).Draw(r, "at")
		column[at] ^= rapid.ByteRange(1, 255).Draw(r, "by")
		m.head.Checkpoint = string(checkpoint)
		if _, problems := b.verify(m, func(o *audit.Options) { o.Grace = time.Millisecond }); len(problems) == 0 {
			r.Fatal("Verify finds nothing")
		}
	})
}

// TestVerifyFindsAnyNumber alters any number.
func TestVerifyFindsAnyNumber(t *testing.T) {
	b := newBuilder(t)
	for _, n := range []int{100, 150, 60} {
		b.turn(n)
	}
	rapid.Check(t, func(r *rapid.T) {
		m := b.memory.clone()
		e := &m.events[rapid.IntRange(0, len(m.events)-1).Draw(r, "event")]
		s := &m.segments[rapid.IntRange(0, len(m.segments)-1).Draw(r, "segment")]
		tile := &m.tiles[rapid.IntRange(0, len(m.tiles)-1).Draw(r, "tile")]
		number := rapid.SampledFrom([]*int64{&e.At, &s.FirstSeq, &s.Events, &tile.N, &m.head.Tree.Size}).Draw(r, "number")
		value := rapid.OneOf(rapid.Int64Range(-3, 400), rapid.Int64()).Filter(func(n int64) bool { return n != *number }).Draw(r, "value")
		*number = value
		if _, problems := b.verify(m); len(problems) == 0 {
			r.Fatal("Verify finds nothing")
		}
	})
}

// TestVerifyFindsAnyLoss removes any row, and TestVerifyFindsAnySwap exchanges the
// content of any two.
func TestVerifyFindsAnyLoss(t *testing.T) {
	b := newBuilder(t)
	for _, n := range []int{100, 150, 60} {
		b.turn(n)
	}
	rapid.Check(t, func(r *rapid.T) {
		m := b.memory.clone()
		switch rapid.IntRange(0, 2).Draw(r, "table") {
		case 0:
			i := rapid.IntRange(0, len(m.events)-1).Draw(r, "event")
			m.events = slices.Delete(m.events, i, i+1)
		case 1:
			i := rapid.IntRange(0, len(m.segments)-1).Draw(r, "segment")
			m.segments = slices.Delete(m.segments, i, i+1)
		case 2:
			i := rapid.IntRange(0, len(m.tiles)-1).Draw(r, "tile")
			m.tiles = slices.Delete(m.tiles, i, i+1)
		}
		if _, problems := b.verify(m); len(problems) == 0 {
			r.Fatal("Verify finds nothing")
		}
	})
}

func TestVerifyFindsAnySwap(t *testing.T) {
	b := newBuilder(t)
	for _, n := range []int{100, 150, 60} {
		b.turn(n)
	}
	rapid.Check(t, func(r *rapid.T) {
		m := b.memory.clone()
		two := func(n int) (i, j int) {
			i = rapid.IntRange(0, n-2).Draw(r, "i")
			return i, rapid.IntRange(i+1, n-1).Draw(r, "j")
		}
		switch rapid.IntRange(0, 3).Draw(r, "what") {
		case 0:
			i, j := two(len(m.events))
			m.events[i].ID, m.events[j].ID = m.events[j].ID, m.events[i].ID
		case 1:
			s := &m.segments[rapid.IntRange(0, len(m.segments)-1).Draw(r, "segment")]
			i, j := two(int(s.Events))
			swap(s.IDs, 16, i, j)
			swap(s.Leaves, 32, i, j)
		case 2:
			i, j := two(len(m.segments))
			m.segments[i].FirstSeq, m.segments[j].FirstSeq = m.segments[j].FirstSeq, m.segments[i].FirstSeq
		case 3:
			i, j := two(len(m.tiles))
			m.tiles[i].TileKey, m.tiles[j].TileKey = m.tiles[j].TileKey, m.tiles[i].TileKey
		}
		if _, problems := b.verify(m); len(problems) == 0 {
			r.Fatal("Verify finds nothing")
		}
	})
}

// TestVerifyFindsARewrittenLog: whoever can sign may rewrite the log, but not
// past a checkpoint that was kept elsewhere.
func TestVerifyFindsARewrittenLog(t *testing.T) {
	b := newBuilder(t)
	b.turn(200)
	kept := b.checkpoint()
	b.turn(100)
	forged := newBuilder(t)
	forged.signer, forged.verifier = b.signer, b.verifier
	rows := slices.Clone(b.memory.events)
	rows[50].Payload = bytes.Replace(rows[50].Payload, []byte(`"ok"`), []byte(`"no"`), 1)
	forged.memory.events = rows
	forged.sequence(rows...)
	if _, problems := forged.verify(forged.memory); len(problems) > 0 {
		t.Fatalf("the forgery is not one:\n%s", lines(problems))
	}
	_, problems := forged.verify(forged.memory, func(o *audit.Options) { o.Trusted = []audit.Checkpoint{kept} })
	if want := "altered event at 0 to 199"; b.describe(problems) != want {
		t.Errorf("against a checkpoint Verify finds %s, want %s", b.describe(problems), want)
	}
}

func TestVerifyFails(t *testing.T) {
	b := newBuilder(t)
	b.turn(10)
	for _, failing := range []string{"head", "segments", "events", "tiles"} {
		m := b.memory.clone()
		m.failing = failing
		_, err := audit.Verify(t.Context(), m, audit.Options{Verifier: b.verifier, Report: func(audit.Problem) {}})
		if !errors.Is(err, errBroken) {
			t.Errorf("with broken %s Verify reports %v", failing, err)
		}
	}
	fail := func(change func(*memory)) {
		t.Helper()
		m := b.memory.clone()
		change(m)
		_, err := audit.Verify(t.Context(), m, audit.Options{Verifier: b.verifier, Report: func(audit.Problem) {}})
		if !errors.Is(err, errBroken) {
			t.Errorf("Verify reports %v", err)
		}
	}
	fail(func(m *memory) { m.tiles, m.failing = nil, "tiles" })
	fail(func(m *memory) { m.tiles, m.segments, m.failing = nil, nil, "tiles" })
	fail(func(m *memory) { m.tiles, m.segments[0].FirstSeq, m.failing = nil, 5, "tiles" })
	fail(func(m *memory) { m.afterHead = []func(){func() {}, func() { m.failing = "head" }} })
	fail(func(m *memory) { // when it is asked whether the log has grown as far as a tile
		m.tiles[0].Data = append(m.tiles[0].Data, make([]byte, 32)...)
		m.afterHead = []func(){func() {}, func() {}, func() { m.failing = "head" }}
	})
	fail(func(m *memory) {
		m.tiles = append(m.tiles, audit.Tile{TileKey: audit.TileKey{Level: 4, N: 9}})
		m.afterHead = []func(){func() {}, func() {}, func() { m.failing = "head" }}
	})
	stop := errors.New("stop")
	_, err := audit.Verify(t.Context(), b.memory, audit.Options{
		Verifier: b.verifier, Report: func(audit.Problem) {}, Event: func(*audit.Payload) error { return stop },
	})
	if !errors.Is(err, stop) {
		t.Errorf("with a callback that fails Verify reports %v", err)
	}
	m := b.memory.clone()
	m.events = append(m.events, m.events[4])
	if _, err := audit.Verify(t.Context(), m, audit.Options{Verifier: b.verifier, Report: func(audit.Problem) {}}); err == nil {
		t.Error("with events that come out of order Verify succeeds")
	}
	if _, err := audit.Verify(t.Context(), b.memory, audit.Options{Report: func(audit.Problem) {}}); err == nil {
		t.Error("without a verifier Verify succeeds")
	}
}

func BenchmarkVerify(b *testing.B) {
	log := newBuilder(b)
	for range 10 {
		log.turn(1000)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := log.verify(log.memory); len(problems) > 0 {
			b.Fatal(lines(problems))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/10_000, "ns/event")
}
