package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/keystore"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// checkpointKey makes a keystore and returns what signs and verifies checkpoints.
func checkpointKey(t testing.TB) (note.Signer, note.Verifier) {
	t.Helper()
	kek, _ := keystore.NewKEK()
	ks, err := keystore.Create(keystore.Config{Dir: filepath.Join(t.TempDir(), "keys"), KEK: kek, Clock: telamon.SystemClock{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ks.Close() })
	signer, key, err := ks.CheckpointSigner("audit.test")
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

// trail is an audit log, the store and the sequencer of one replica, and a clock
// that stands still.
type trail struct {
	*world // its database and clock alone
	url    string
	clock  *testkit.Clock
	signer note.Signer
	key    note.Verifier
	seq    *store.Sequencer
	made   uint32 // events
}

// eachTrail runs f on both databases, each with an empty log.
func eachTrail(t *testing.T, f func(t *testing.T, l *trail)) {
	t.Helper()
	signer, key := checkpointKey(t)
	dbtest.EachURL(t, func(t *testing.T, url string) { f(t, newTrail(t, url, signer, key)) })
}

func newTrail(t testing.TB, url string, signer note.Signer, key note.Verifier) *trail {
	t.Helper()
	clock := testkit.NewClock(t, testTime)
	db := dbtest.Open(t, url, clock)
	return &trail{
		world: &world{db: db, clock: clock}, url: url, clock: clock, signer: signer, key: key, seq: db.NewSequencer(signer),
	}
}

// replica opens the database once more and returns the store and its sequencer.
func (l *trail) replica(t testing.TB) (*store.DB, *store.Sequencer) {
	t.Helper()
	db := dbtest.Open(t, l.url, l.clock)
	return db, db.NewSequencer(l.signer)
}

// add writes n events whose IDs were made from the first time on, a step apart, as
// transactions of any replica would. It returns their IDs.
func (l *trail) add(t testing.TB, n int, first time.Time, step time.Duration, change ...func(i int, e *telamon.Event)) [][16]byte {
	t.Helper()
	const most = 1000 // rows of a statement: SQLite takes 32,766 parameters
	var ids [][16]byte
	var args []any
	for i := range n {
		e := telamon.Event{
			At: first.Add(time.Duration(i) * step), Actor: telamon.Actor{Kind: telamon.ActorSystem},
			Action: "certificate.issue", Object: fmt.Sprint(i), Result: "ok",
		}
		for _, f := range change {
			f(i, &e)
		}
		id := l.newID(e.At)
		e.ID = telamon.EventIDFromBytes(id)
		payload, err := audit.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		if args = append(args, id[:], e.At.UnixMilli(), e.Account.String(), payload); len(args) == 4*most || i == n-1 {
			l.exec(t, "INSERT INTO audit_event (id, at, account_id, payload) VALUES "+rowsOf(len(args)/4), args...)
			args = nil
		}
	}
	return ids
}

// rowsOf returns what follows VALUES for n rows of four columns.
func rowsOf(n int) string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = fmt.Sprintf("($%d,$%d,$%d,$%d)", 4*i+1, 4*i+2, 4*i+3, 4*i+4)
	}
	return strings.Join(rows, ",")
}

// newID returns an event ID of that time. Of one time, later ones are greater.
func (l *trail) newID(at time.Time) [16]byte {
	id := audit.FirstID(at)
	l.made++
	id[6], id[8] = 0x70, 0x80
	binary.BigEndian.PutUint32(id[12:], l.made)
	return id
}

// turn has the sequencer do a turn that gives places to n events.
func turn(t testing.TB, s *store.Sequencer, n int) {
	t.Helper()
	if got, err := s.Turn(t.Context()); err != nil || got != n {
		t.Fatalf("the turn gives places to %d events, %v; want %d", got, err, n)
	}
}

// places returns the IDs of the events by their place, and checks that segments
// follow one another and that each has its IDs in order.
func (l *trail) places(t testing.TB) [][16]byte {
	t.Helper()
	rows, err := store.Reader(l.db).Query("SELECT first_seq, events, ids FROM audit_segment ORDER BY first_seq")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out [][16]byte
	for rows.Next() {
		var first, events int64
		var ids []byte
		if err := rows.Scan(&first, &events, &ids); err != nil {
			t.Fatal(err)
		}
		if first != int64(len(out)) || len(ids) != 16*int(events) || events == 0 {
			t.Errorf("the segment at %d has %d events, and IDs of %d octets, after %d events", first, events, len(ids), len(out))
		}
		own := slices.Collect(slices.Chunk(ids, 16))
		if !slices.IsSortedFunc(own, bytes.Compare) {
			t.Errorf("the segment at %d does not have its events in the order of their IDs", first)
		}
		for _, id := range own {
			out = append(out, [16]byte(id))
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// problems verifies the log.
func (l *trail) problems(t testing.TB, change ...func(*audit.Options)) (audit.Result, []audit.Problem) {
	t.Helper()
	var out []audit.Problem
	opts := audit.Options{Verifier: l.key, Report: func(p audit.Problem) { out = append(out, p) }}
	for _, f := range change {
		f(&opts)
	}
	result, err := l.db.VerifyAudit(t.Context(), opts)
	if err != nil {
		t.Fatalf("VerifyAudit: %v", err)
	}
	return result, out
}

// mustBeGood fails the test unless the log verifies, has that many events and a
// checkpoint that the key verifies.
func (l *trail) mustBeGood(t testing.TB, events int) {
	t.Helper()
	result, problems := l.problems(t)
	if len(problems) > 0 || result.Events != int64(events) || result.Tree.Size != int64(events) {
		t.Errorf("the log verifies as %+v, want %d events, with the problems %v", result, events, problems)
	}
	head, err := l.db.AuditHead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := audit.OpenCheckpoint(head.Checkpoint, l.key)
	if err != nil || c.Tree != head.Tree || c.Tree != result.Tree || !c.At.Equal(head.At) {
		t.Errorf("the checkpoint says %+v, %v, and the head %+v", c, err, head)
	}
}

func TestSequence(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		turn(t, l.seq, 0)
		head, err := l.db.AuditHead(t.Context())
		if err != nil || head.Tree != audit.EmptyTree() || head.Checkpoint != "" {
			t.Errorf("the head of an empty log is %+v, %v", head, err)
		}
		now := l.clock.Now()
		first := l.add(t, 3, now, time.Millisecond)
		turn(t, l.seq, 3)
		head, err = l.db.AuditHead(t.Context())
		if err != nil || !head.At.Equal(now) || head.Tree.Size != 3 {
			t.Errorf("after a turn at %s the head is %+v, %v", now, head, err)
		}
		l.mustBeGood(t, 3)
		l.clock.Advance(time.Second)
		second := l.add(t, 300, l.clock.Now(), time.Microsecond)
		turn(t, l.seq, 300)
		if got := l.places(t); !slices.Equal(got, slices.Concat(first, second)) {
			t.Errorf("the places are not in the order of IDs")
		}
		l.mustBeGood(t, 303)
	})
}

// TestSequenceNothing: a turn that has nothing to do begins no transaction that
// writes.
func TestSequenceNothing(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		l.add(t, 2, l.clock.Now(), time.Millisecond)
		turn(t, l.seq, 2)
		store.FailBegin(l.db, func() error { return errDown })
		for range 3 {
			l.clock.Advance(10 * time.Minute) // past the lease, and a deep look
			turn(t, l.seq, 0)
		}
	})
}

// TestSequenceConcurrently has writers of two replicas, and two sequencers that
// hand the lease over after each turn.
func TestSequenceConcurrently(t *testing.T) {
	signer, key := checkpointKey(t)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		const writers, acts, perAct = 4, 10, 3
		dbs := []*store.DB{dbtest.Open(t, url, telamon.SystemClock{}), dbtest.Open(t, url, telamon.SystemClock{})}
		l := &trail{world: &world{db: dbs[0]}, key: key}
		var writing, sequencing sync.WaitGroup
		for i := range writers {
			writing.Go(func() {
				for range acts {
					events := slices.Repeat([]telamon.Event{{Actor: operator, Action: "test", Result: "ok"}}, perAct)
					if n, err := dbs[i%2].RecordEvents(t.Context(), events); err != nil || n != perAct {
						t.Errorf("RecordEvents writes %d events, %v", n, err)
					}
				}
			})
		}
		written := make(chan struct{})
		go func() { writing.Wait(); close(written) }()
		var placed [2]int
		for i, db := range dbs {
			sequencing.Go(func() {
				s := db.NewSequencer(signer)
				for last := false; !last; {
					select {
					case <-written:
						last = true // one more turn
					default:
					}
					n, err := s.Turn(t.Context())
					if placed[i] += n; err != nil {
						t.Error(err)
						return
					}
					if err := s.Stop(t.Context()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		sequencing.Wait()
		n, err := dbs[0].NewSequencer(signer).Turn(t.Context()) // what both left to each other
		if total := placed[0] + placed[1] + n; err != nil || total != writers*acts*perAct {
			t.Errorf("the turns gave places to %d events, %v; want %d", total, err, writers*acts*perAct)
		}
		ids := l.places(t)
		slices.SortFunc(ids, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
		if distinct := len(slices.Compact(ids)); distinct != writers*acts*perAct {
			t.Errorf("%d events have places, want %d", distinct, writers*acts*perAct)
		}
		l.mustBeGood(t, writers*acts*perAct)
	})
}

func TestSequenceLease(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		_, other := l.replica(t)
		event := func() { l.add(t, 1, l.clock.Now(), 0) }
		event()
		turn(t, l.seq, 1)
		event()
		turn(t, other, 0)
		turn(t, l.seq, 1)
		event()
		l.clock.Advance(10 * time.Second)
		turn(t, other, 0) // the last instant of the lease
		l.clock.Advance(time.Millisecond)
		turn(t, other, 1)
		event()
		turn(t, l.seq, 0)
		if err := l.seq.Stop(t.Context()); err != nil { // it holds nothing
			t.Fatal(err)
		}
		turn(t, l.seq, 0)
		if err := other.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		turn(t, l.seq, 1)
		l.mustBeGood(t, 4)
	})
}

// TestSequenceOvertaken lets another sequencer do its turn between what a turn
// reads and what it writes.
func TestSequenceOvertaken(t *testing.T) {
	for _, stops := range []bool{false, true} {
		t.Run(fmt.Sprintf("the other stops: %v", stops), func(t *testing.T) {
			eachTrail(t, func(t *testing.T, l *trail) {
				_, other := l.replica(t)
				total := 0
				for _, n := range []int{2, 5} { // the first, and one on it
					l.add(t, n, l.clock.Now(), time.Millisecond)
					total += n
					store.FailBegin(l.db, func() error {
						turn(t, other, n)
						if stops {
							if err := other.Stop(t.Context()); err != nil {
								t.Error(err)
							}
						}
						return nil
					})
					turn(t, l.seq, 0)
					store.FailBegin(l.db, nil)
					l.clock.Advance(time.Minute)
				}
				turn(t, l.seq, 0)
				l.mustBeGood(t, total)
			})
		})
	}
}

// TestSequenceUnknownOutcome loses the connection in COMMIT.
func TestSequenceUnknownOutcome(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		for _, tt := range []struct {
			name  string
			left  int // what the next turn has to do
			total int
		}{{"failed after it was stored", 0, 2}, {"failed and not stored", 2, 4}} {
			l.add(t, 2, l.clock.Now(), time.Millisecond)
			if tt.left == 0 {
				store.FailCommit(l.db, once(failAfter))
			} else {
				store.FailCommit(l.db, once(failBefore))
			}
			if n, err := l.seq.Turn(t.Context()); n != 0 || !fault.Is(err, fault.Unavailable) || !errors.Is(err, errLost) {
				t.Errorf("%s: the turn gives places to %d events, %v", tt.name, n, err)
			}
			store.FailCommit(l.db, nil)
			turn(t, l.seq, tt.left)
			l.mustBeGood(t, tt.total)
			l.clock.Advance(time.Second)
		}
	})
}

// TestSequenceLateEvents: what becomes visible after later events gets a place
// after theirs: at the next turn if it is late by the length of a transaction, and
// otherwise at the next deep look, which is the first turn and one every 5 minutes.
func TestSequenceLateEvents(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		start := l.clock.Now()
		l.add(t, 2, start, 0)
		turn(t, l.seq, 2)
		l.add(t, 1, start.Add(-14*time.Second), 0)
		turn(t, l.seq, 1)
		l.add(t, 1, start.Add(time.Second), 0)
		l.add(t, 1, start.Add(-13*time.Second), 0)
		turn(t, l.seq, 2)

		l.add(t, 14, start.Add(-14*time.Minute), time.Minute-time.Millisecond)
		turn(t, l.seq, 0)
		l.clock.Advance(5*time.Minute - time.Millisecond)
		turn(t, l.seq, 0)
		l.clock.Advance(time.Millisecond)
		turn(t, l.seq, 14)
		turn(t, l.seq, 0)
		l.mustBeGood(t, 19)

		tooLate := l.add(t, 1, start.Add(-16*time.Minute), 0)
		l.clock.Advance(5 * time.Minute)
		turn(t, l.seq, 0)
		_, problems := l.problems(t)
		if len(problems) != 1 || problems[0].Kind != audit.Unsequenced || problems[0].Event != telamon.EventIDFromBytes(tooLate[0]) {
			t.Errorf("with an event that no turn finds the problems are %v", problems)
		}
	})
}

// TestSequenceDeepLookAgain: a deep look counts only if it was one, and what it
// found was written.
func TestSequenceDeepLookAgain(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		_, other := l.replica(t)
		start := l.clock.Now()
		l.add(t, 1, start, 0)
		turn(t, l.seq, 1)
		l.add(t, 2, start.Add(-10*time.Minute), time.Minute)
		turn(t, l.seq, 0)
		turn(t, other, 0) // which does not hold the lease
		if err := l.seq.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		store.FailBegin(l.db, func() error { return errDown })
		l.clock.Advance(5 * time.Minute)
		if n, err := l.seq.Turn(t.Context()); n != 0 || !errors.Is(err, errDown) {
			t.Errorf("while the database is down the turn gives places to %d events, %v", n, err)
		}
		store.FailBegin(l.db, nil)
		turn(t, l.seq, 2)

		l.add(t, 3, start.Add(-10*time.Minute), time.Minute)
		turn(t, other, 0) // still not
		if err := l.seq.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		turn(t, other, 3)
		l.mustBeGood(t, 6)
	})
}

// TestSequenceClocksDiffer has a replica whose clock is far ahead of this one's:
// all that others write is then late.
func TestSequenceClocksDiffer(t *testing.T) {
	for _, ahead := range []time.Duration{time.Second, time.Hour, 400 * 24 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			eachTrail(t, func(t *testing.T, l *trail) {
				var ids [][16]byte
				for range 3 {
					ids = append(ids, l.add(t, 1, l.clock.Now().Add(ahead), 0)...)
					ids = append(ids, l.add(t, 3, l.clock.Now().Add(999*time.Microsecond), time.Millisecond)...)
					turn(t, l.seq, 4)
					l.clock.Advance(time.Second)
				}
				for _, id := range ids {
					if _, err := l.db.AuditProof(t.Context(), "", telamon.EventIDFromBytes(id)); err != nil {
						t.Errorf("the proof of %x: %v", id, err)
					}
				}
				if result, problems := l.problems(t); len(problems) > 0 || result.Events != 12 {
					t.Errorf("the log verifies as %+v, with the problems %v", result, problems)
				}
			})
		})
	}
}

// TestSequenceLastMillisecond looks for late events up to the newest one, although
// the look back begins within a millisecond.
func TestSequenceLastMillisecond(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		l.clock.Advance(500 * time.Microsecond)
		newest := l.clock.Now().Add(45 * time.Second) // a whole step from the beginning
		l.made = 100
		l.add(t, 1, newest, 0)
		turn(t, l.seq, 1)
		l.made = 50
		l.add(t, 1, newest, 0)
		turn(t, l.seq, 1)
		l.mustBeGood(t, 2)
	})
}

// TestSequenceManyEvents counts the rows and the transactions of one turn.
func TestSequenceManyEvents(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		const n = 10_000
		ids := l.add(t, n, l.clock.Now(), time.Millisecond)
		transactions := 0
		store.FailBegin(l.db, func() error { transactions++; return nil })
		turn(t, l.seq, n)
		store.FailBegin(l.db, nil)
		if transactions != 3 {
			t.Errorf("a turn of %d events takes %d transactions, want 3", n, transactions)
		}
		for table, want := range map[string]int64{
			"audit_segment": 3,         // of at most 4096 events
			"audit_tile":    n/256 + 2, // whole ones of events, the last one, and the one above them
			"audit_tree":    1,
			"lease":         1,
		} {
			if got := l.number(t, "SELECT count(*) FROM "+table); got != want {
				t.Errorf("%s has %d rows, want %d", table, got, want)
			}
		}
		if !slices.Equal(l.places(t), ids) {
			t.Error("the places are not in the order of IDs")
		}
		l.mustBeGood(t, n)

		late := l.add(t, 5000, l.clock.Now().Add(-5*time.Second), time.Millisecond)
		turn(t, l.seq, 5000)
		if !slices.Equal(l.places(t), slices.Concat(ids, late)) {
			t.Error("late events do not have the places after the others, in the order of IDs")
		}
		l.mustBeGood(t, n+5000)
	})
}

// TestSequenceAlteredLog appends nothing to a log whose end was altered.
func TestSequenceAlteredLog(t *testing.T) {
	for name, change := range map[string]string{
		"the tile of events":   "UPDATE audit_tile SET data = (SELECT root FROM audit_tree) WHERE level = 0 AND n = 1",
		"the tile above it":    "UPDATE audit_tile SET data = (SELECT root FROM audit_tree) WHERE level = 1",
		"a tile is not there":  "DELETE FROM audit_tile WHERE level = 0 AND n = 1",
		"the root":             "UPDATE audit_tree SET root = (SELECT payload FROM audit_event ORDER BY id LIMIT 1)",
		"a root of 32 octets":  "UPDATE audit_tree SET root = (SELECT ids FROM audit_segment WHERE events = 2)",
		"the size":             "UPDATE audit_tree SET size = size - 1",
		"the head is not here": "DELETE FROM audit_tree",
	} {
		t.Run(name, func(t *testing.T) {
			eachTrail(t, func(t *testing.T, l *trail) {
				l.add(t, 300, l.clock.Now(), time.Millisecond)
				turn(t, l.seq, 300)
				l.clock.Advance(time.Second)
				l.add(t, 2, l.clock.Now(), time.Millisecond)
				turn(t, l.seq, 2)
				l.clock.Advance(time.Second)
				l.add(t, 2, l.clock.Now(), time.Millisecond)
				l.exec(t, change)
				n, err := l.seq.Turn(t.Context())
				if n != 0 || err == nil {
					t.Errorf("the turn gives places to %d events, %v", n, err)
				}
				if strings.Contains(name, "tile") && !errors.Is(err, audit.ErrTiles) {
					t.Errorf("the turn reports %v, want ErrTiles", err)
				}
				if fault.Is(err, fault.Unavailable) {
					t.Errorf("the turn reports %v, as if the database did not answer", err)
				}
				if got := len(l.places(t)); got != 302 {
					t.Errorf("%d events have places, want 302", got)
				}
			})
		})
	}
}

// TestSequenceForeignEvent stops at a row that the store did not write, and says
// that the database works.
func TestSequenceForeignEvent(t *testing.T) {
	for name, late := range map[string]bool{"after the newest": false, "late": true} {
		t.Run(name, func(t *testing.T) {
			eachTrail(t, func(t *testing.T, l *trail) {
				ids := l.add(t, 2, l.clock.Now(), time.Second)
				if late {
					l.add(t, 1, l.clock.Now().Add(2*time.Second), 0)
					turn(t, l.seq, 3)
				}
				long := append(bytes.Clone(ids[0][:]), 0)
				l.exec(t, "INSERT INTO audit_event (id, at, account_id, payload) VALUES ($1, 0, '', $1)", long)
				if n, err := l.seq.Turn(t.Context()); n != 0 || err == nil || fault.Is(err, fault.Unavailable) {
					t.Errorf("the turn gives places to %d events, %v", n, err)
				}
				if _, err := l.db.AuditLag(t.Context()); late && (err == nil || fault.Is(err, fault.Unavailable)) {
					t.Errorf("the lag is told: %v", err)
				}
				l.exec(t, "DELETE FROM audit_event WHERE id = $1", long)
				l.add(t, 1, l.clock.Now().Add(3*time.Second), 0)
				if _, err := l.seq.Turn(t.Context()); err != nil {
					t.Errorf("the turn without that row: %v", err)
				}
			})
		})
	}
}

// BenchmarkSequence measures a turn by the number of events that it places:
//
//	go test ./internal/store/ -run '^$' -bench Sequence -benchtime 50x
func BenchmarkSequence(b *testing.B) {
	signer, key := checkpointKey(b)
	for _, engine := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", dbtest.SQLite}, {"postgres", dbtest.Postgres}} {
		for _, n := range []int{1, 100, 4000} {
			b.Run(fmt.Sprintf("%s/%d", engine.name, n), func(b *testing.B) {
				l := newTrail(b, engine.url(b), signer, key)
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					l.clock.Advance(time.Second)
					l.add(b, n, l.clock.Now(), time.Microsecond)
					b.StartTimer()
					turn(b, l.seq, n)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/event")
			})
		}
	}
}
