package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
	"github.com/telamon-ca/telamon/internal/testkit/dbtest"
)

// fill writes events 100 ms apart and gives them places, as many in each turn as
// sizes says. It returns their IDs by place, and the checkpoint of each turn.
func (l *trail) fill(t testing.TB, sizes ...int) (ids [][16]byte, kept []audit.Checkpoint) {
	t.Helper()
	for _, n := range sizes {
		step := 100 * time.Millisecond
		ids = append(ids, l.add(t, n, l.clock.Now(), step)...)
		l.clock.Advance(time.Duration(n) * step)
		turn(t, l.seq, n)
		head, err := l.db.AuditHead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c, err := audit.OpenCheckpoint(head.Checkpoint, l.key)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, c)
	}
	return ids, kept
}

// TestRecordEvents: what is told to be written is durable, and the rest is not there.
func TestRecordEvents(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		made := l.clock.Now().Add(-time.Hour)
		events := make([]telamon.Event, 1200)
		for i := range events {
			events[i] = telamon.Event{Actor: operator, Action: "refuse", Object: fmt.Sprint(i), Result: "no"}
		}
		events[7].At = made
		begun := 0
		store.FailBegin(l.db, func() error {
			if begun++; begun == 3 {
				return errDown
			}
			return nil
		})
		n, err := l.db.RecordEvents(t.Context(), events)
		if n != 1000 || !fault.Is(err, fault.Unavailable) {
			t.Errorf("RecordEvents writes %d events, %v; want 1000", n, err)
		}
		store.FailBegin(l.db, nil)
		if n, err := l.db.RecordEvents(t.Context(), events[n:]); n != 200 || err != nil {
			t.Errorf("RecordEvents writes %d events, %v; want 200", n, err)
		}
		events[3].Action = ""
		if n, err := l.db.RecordEvents(t.Context(), events[:10]); n != 0 || err == nil {
			t.Errorf("RecordEvents writes %d events, %v, one of them without an action", n, err)
		}
		got := l.events(t, "refuse")
		for i, p := range got {
			at := l.clock.Now()
			if i == 7 {
				at = made
			}
			if p.Object != fmt.Sprint(i) || !p.At.Equal(at) {
				t.Errorf("event %d is %+v", i, p)
			}
		}
		if len(got) != 1200 {
			t.Errorf("%d events are there, want 1200", len(got))
		}
		if n, err := l.db.RecordEvents(t.Context(), nil); n != 0 || err != nil {
			t.Errorf("RecordEvents writes %d of no events, %v", n, err)
		}
	})
}

// TestRecordEventsAgain gives events again of which it could not be told whether
// they were written.
func TestRecordEventsAgain(t *testing.T) {
	for name, commit := range map[string]func(*sql.Tx) error{
		"after they were committed": failAfter, "before they were committed": failBefore,
	} {
		t.Run(name, func(t *testing.T) {
			eachTrail(t, func(t *testing.T, l *trail) {
				events := make([]telamon.Event, 3)
				for i := range events {
					events[i] = telamon.Event{Actor: operator, Action: "refuse", Object: fmt.Sprint(i), Result: "no"}
				}
				store.FailCommit(l.db, func(tx *sql.Tx) error {
					store.FailBegin(l.db, func() error { return errDown })
					return commit(tx)
				})
				for range 2 {
					if n, err := l.db.RecordEvents(t.Context(), events); n != 0 || !fault.Is(err, fault.Unavailable) {
						t.Errorf("RecordEvents writes %d events, %v; want 0 as far as it can tell", n, err)
					}
				}
				store.FailCommit(l.db, nil)
				store.FailBegin(l.db, nil)
				for range 2 {
					if n, err := l.db.RecordEvents(t.Context(), events); n != 3 || err != nil {
						t.Errorf("RecordEvents writes %d events, %v; want 3", n, err)
					}
				}
				got := l.events(t, "refuse")
				for i, p := range got {
					if p.Object != events[i].Object {
						t.Errorf("event %d is %+v", i, p)
					}
				}
				if len(got) != 3 {
					t.Errorf("%d events are there, want 3", len(got))
				}
			})
		})
	}
}

// TestRecordOldEvents gives events that were held up for an hour. Those that are not
// written yet get an ID that the sequencer looks for.
func TestRecordOldEvents(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		hourAgo := audit.FirstID(time.Now().Add(-time.Hour))
		events := make([]telamon.Event, 3)
		for i := range events {
			id := hourAgo
			id[15] = byte(i)
			events[i] = telamon.Event{ID: telamon.EventIDFromBytes(id), Actor: operator, Action: "refuse", Object: fmt.Sprint(i), Result: "no"}
		}
		written := hourAgo
		written[15] = 1
		l.exec(t, "INSERT INTO audit_event (id, at, account_id, payload) VALUES ($1, 1, '', $2)", written[:], []byte("{}"))
		if n, err := l.db.RecordEvents(t.Context(), events); n != 3 || err != nil {
			t.Errorf("RecordEvents writes %d events, %v; want 3", n, err)
		}
		if n := l.number(t, "SELECT count(*) FROM audit_event"); n != 3 {
			t.Errorf("%d events are there, want 3", n)
		}
		soon := audit.FirstID(time.Now().Add(-time.Minute))
		if n := l.number(t, "SELECT count(*) FROM audit_event WHERE id > $1", soon[:]); n != 2 {
			t.Errorf("%d events have a new ID, want the two that were not written", n)
		}
	})
}

func TestAuditEvents(t *testing.T) {
	const total = 1200
	accounts := []telamon.AccountID{telamon.NewAccountID(), telamon.NewAccountID(), ""}
	credential := telamon.NewCredentialID()
	eachTrail(t, func(t *testing.T, l *trail) {
		start := l.clock.Now()
		l.add(t, total, start, time.Second, func(i int, e *telamon.Event) {
			e.Account = accounts[i%3]
			if i%4 == 0 {
				e.Actor = telamon.Actor{Kind: telamon.ActorCredential, Credential: credential}
			}
			e.Action = []string{"certificate.issue", "certificate.revoke"}[i%2]
			e.Object = fmt.Sprintf(`<%d> "&"`, i%100)
			e.Result = []string{"ok", "quota_used"}[i/600]
		})
		for _, tt := range []struct {
			name   string
			filter store.AuditFilter
			is     func(i int) bool
		}{
			{"all", store.AuditFilter{}, func(int) bool { return true }},
			{"an account", store.AuditFilter{Account: accounts[1]}, func(i int) bool { return i%3 == 1 }},
			{"an account without events", store.AuditFilter{Account: telamon.NewAccountID()}, func(int) bool { return false }},
			{"a credential", store.AuditFilter{Actor: credential.String()}, func(i int) bool { return i%4 == 0 }},
			{"a kind of actor", store.AuditFilter{Actor: string(telamon.ActorSystem)}, func(i int) bool { return i%4 != 0 }},
			{"an action", store.AuditFilter{Action: "certificate.revoke"}, func(i int) bool { return i%2 == 1 }},
			{"the beginning of an action", store.AuditFilter{Action: "certificate"}, func(int) bool { return false }},
			{"an object that JSON escapes", store.AuditFilter{Object: `<42> "&"`}, func(i int) bool { return i%100 == 42 }},
			{"a result", store.AuditFilter{Result: "quota_used"}, func(i int) bool { return i >= 600 }},
			{"a time", store.AuditFilter{From: start.Add(10 * time.Second), To: start.Add(90 * time.Second)},
				func(i int) bool { return i >= 10 && i < 90 }},
			{"from a time on", store.AuditFilter{From: start.Add(1100*time.Second + 1)}, func(i int) bool { return i >= 1100 }},
			{"up to a time", store.AuditFilter{To: start}, func(int) bool { return false }},
			{"a time before 1970", store.AuditFilter{From: time.Unix(-5, 0), To: start.Add(time.Second)}, func(i int) bool { return i == 0 }},
			{"everything at once", store.AuditFilter{
				Account: accounts[0], Actor: credential.String(), Action: "certificate.issue", Object: `<24> "&"`, Result: "ok",
				From: start, To: start.Add(time.Hour),
			}, func(i int) bool { return i%12 == 0 && i%100 == 24 && i < 600 }},
		} {
			t.Run(tt.name, func(t *testing.T) {
				var want []time.Time
				for i := range total {
					if tt.is(i) {
						want = append(want, start.Add(time.Duration(i)*time.Second))
					}
				}
				small := 7 // no divisor of the lists
				if len(want) > 100 {
					small = 61 // twenty pages tell what 171 do
				}
				for _, limit := range []int{0, small, 600} {
					f := tt.filter
					f.Limit = limit
					mustList(t, l.db, f, want)
					f.Newest = true
					newest := slices.Clone(want)
					slices.Reverse(newest)
					mustList(t, l.db, f, newest)
				}
			})
		}
	})
}

// mustList reads all pages and fails the test unless they have the events of these
// times, no page more than its limit.
func mustList(t *testing.T, db *store.DB, f store.AuditFilter, want []time.Time) {
	t.Helper()
	var got []time.Time
	for pages := 0; ; pages++ {
		page, err := db.AuditEvents(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Events) > 1000 || f.Limit > 0 && len(page.Events) > f.Limit || len(page.Unreadable) > 0 || pages > len(want)+2 {
			t.Fatalf("page %d has %d events, and %d that cannot be read", pages, len(page.Events), len(page.Unreadable))
		}
		for _, e := range page.Events {
			got = append(got, e.At)
		}
		if page.Next == "" {
			break
		}
		f.After = page.Next
	}
	if !slices.EqualFunc(got, want, time.Time.Equal) {
		t.Errorf("%+v lists %d events, want %d: %v", f, len(got), len(want), got[:min(len(got), 5)])
	}
}

// TestAuditEventsIsBounded: a page looks at no more than 20,000 events, and its
// Next tells where to go on.
func TestAuditEventsIsBounded(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		start := l.clock.Now()
		l.add(t, 21_000, start, time.Millisecond, func(i int, e *telamon.Event) {
			if i >= 20_000 {
				e.Action = "rare"
			}
		})
		f := store.AuditFilter{Action: "rare", Limit: 10}
		page, err := l.db.AuditEvents(t.Context(), f)
		if err != nil || len(page.Events) != 0 || page.Next == "" {
			t.Fatalf("the first page has %d events and the next after %q, %v", len(page.Events), page.Next, err)
		}
		f.After = page.Next
		if page, err = l.db.AuditEvents(t.Context(), f); err != nil || len(page.Events) != 10 || page.Events[0].Object != "20000" {
			t.Errorf("the second page has %d events, %v", len(page.Events), err)
		}
	})
}

func TestAuditEventsRefuses(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		_, err := l.db.AuditEvents(t.Context(), store.AuditFilter{After: "evt_nonsense"})
		mustBe(t, err, fault.Malformed, "event_id")
	})
}

// TestAuditEventsUnreadable lists an event that was altered by its ID.
func TestAuditEventsUnreadable(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		ids := l.add(t, 3, l.clock.Now(), time.Millisecond)
		l.exec(t, "UPDATE audit_event SET payload = $1 WHERE id = $2", []byte(`{}`), ids[1][:])
		page, err := l.db.AuditEvents(t.Context(), store.AuditFilter{})
		if err != nil || len(page.Events) != 2 || !slices.Equal(page.Unreadable, []telamon.EventID{telamon.EventIDFromBytes(ids[1])}) {
			t.Errorf("the page is %+v, %v", page, err)
		}
	})
}

func TestAuditProof(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		account := telamon.NewAccountID()
		ids, _ := l.fill(t, 1, 299, 700)
		own := l.add(t, 1, l.clock.Now(), 0, func(_ int, e *telamon.Event) { e.Account = account })[0]
		event := telamon.EventIDFromBytes(own)
		_, err := l.db.AuditProof(t.Context(), "", event)
		mustBe(t, err, fault.NotReady, "event_not_sequenced")
		_, err = l.db.AuditProof(t.Context(), telamon.NewAccountID(), event)
		mustBe(t, err, fault.NotFound, "event_not_found")
		_, err = l.db.AuditProof(t.Context(), "", telamon.NewEventID())
		mustBe(t, err, fault.NotFound, "event_not_found")
		_, err = l.db.AuditProof(t.Context(), "", "evt_nonsense")
		mustBe(t, err, fault.NotFound, "event_not_found")
		turn(t, l.seq, 1)
		if _, err := l.db.AuditProof(t.Context(), account, event); err != nil {
			t.Errorf("the proof for the event's account: %v", err)
		}
		ids = append(ids, own)
		for _, seq := range []int{0, 1, 255, 256, 299, 300, 999, 1000} {
			proof, err := l.db.AuditProof(t.Context(), "", telamon.EventIDFromBytes(ids[seq]))
			if err != nil {
				t.Fatal(err)
			}
			c, err := audit.OpenCheckpoint(proof.Checkpoint, l.key)
			if err != nil || c.Tree != proof.Tree || proof.Seq != int64(seq) {
				t.Errorf("the proof of event %d has place %d, tree %v and checkpoint %+v, %v", seq, proof.Seq, proof.Tree, c, err)
			}
			leaf := tlog.RecordHash(proof.Payload)
			if err := tlog.CheckRecord(proof.Proof, c.Tree.Size, c.Tree.Root, int64(seq), leaf); err != nil {
				t.Errorf("the proof of event %d: %v", seq, err)
			}
			if err := tlog.CheckRecord(proof.Proof, c.Tree.Size, c.Tree.Root, int64(seq)^1, leaf); err == nil && seq != 1000 {
				t.Errorf("the proof of event %d is good for another place", seq)
			}
			p, err := audit.Decode(proof.Payload)
			if err != nil || p.ID != telamon.EventIDFromBytes(ids[seq]) {
				t.Errorf("the proof is of the event %+v, %v", p, err)
			}
		}
	})
}

// TestAuditProofAmongManySegments has segments that overlap, since each holds an
// event of a replica whose clock is ahead, and one whose events are a day apart.
func TestAuditProofAmongManySegments(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		l.clock.Advance(48 * time.Hour)
		apart := l.add(t, 3, l.clock.Now().Add(-24*time.Hour), 12*time.Hour)
		turn(t, l.seq, 3)
		var ids [][16]byte
		for range 70 {
			l.clock.Advance(100 * time.Millisecond)
			l.add(t, 1, l.clock.Now().Add(10*time.Minute), 0)
			ids = append(ids, l.add(t, 1, l.clock.Now(), 0)...)
			turn(t, l.seq, 2)
		}
		for i, id := range append(ids, apart...) {
			if _, err := l.db.AuditProof(t.Context(), "", telamon.EventIDFromBytes(id)); err != nil {
				t.Errorf("the proof of event %d: %v", i, err)
			}
		}
		l.mustBeGood(t, 143)
	})
}

func TestAuditConsistency(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		_, kept := l.fill(t, 1, 255, 44, 300)
		for _, c := range kept {
			head, proof, err := l.db.AuditConsistency(t.Context(), c.Tree.Size)
			if err != nil {
				t.Fatal(err)
			}
			if head.Tree.Size != 600 {
				t.Errorf("the head has %d events, want 600", head.Tree.Size)
			}
			if err := tlog.CheckTree(proof, head.Tree.Size, head.Tree.Root, c.Tree.Size, c.Tree.Root); err != nil {
				t.Errorf("the proof of the first %d events: %v", c.Tree.Size, err)
			}
			if err := tlog.CheckTree(proof, head.Tree.Size, head.Tree.Root, c.Tree.Size, audit.LeafHash(nil)); err == nil {
				t.Errorf("the proof of the first %d events is good for another root", c.Tree.Size)
			}
		}
		head, proof, err := l.db.AuditConsistency(t.Context(), 0)
		if err != nil || audit.CheckConsistency(proof, head.Tree, audit.EmptyTree()) != nil {
			t.Errorf("the proof of no events is %v, %v", proof, err)
		}
		for _, size := range []int64{-1, 601} {
			_, _, err := l.db.AuditConsistency(t.Context(), size)
			mustBe(t, err, fault.Invalid, "audit_size")
		}
	})
}

// TestAuditProofsOfAlteredLog: a proof is not made from tiles that are not those
// of the root, and the database is still ready.
func TestAuditProofsOfAlteredLog(t *testing.T) {
	for name, change := range map[string]string{
		"a tile":           "UPDATE audit_tile SET data = (SELECT leaves FROM audit_segment WHERE first_seq = 300) WHERE level = 0 AND n = 0",
		"a tile cut off":   "UPDATE audit_tile SET data = (SELECT root FROM audit_tree) WHERE level = 0",
		"a tile removed":   "DELETE FROM audit_tile WHERE level = 0 AND n = 0",
		"the root":         "UPDATE audit_tree SET root = (SELECT data FROM audit_tile WHERE level = 1)",
		"the root cut off": "UPDATE audit_tree SET root = (SELECT id FROM audit_event ORDER BY id LIMIT 1)",
	} {
		t.Run(name, func(t *testing.T) {
			eachTrail(t, func(t *testing.T, l *trail) {
				ids, _ := l.fill(t, 300, 40)
				l.exec(t, change)
				_, err := l.db.AuditProof(t.Context(), "", telamon.EventIDFromBytes(ids[5]))
				if !errors.Is(err, audit.ErrTiles) || !fault.Is(err, fault.Internal) {
					t.Errorf("AuditProof reports %v, want ErrTiles", err)
				}
				_, _, err = l.db.AuditConsistency(t.Context(), 201)
				if !errors.Is(err, audit.ErrTiles) || !fault.Is(err, fault.Internal) {
					t.Errorf("AuditConsistency reports %v, want ErrTiles", err)
				}
			})
		})
	}
}

func TestAuditLag(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		start := l.clock.Now()
		mustLag := func(pending int64, oldest time.Time, age time.Duration) {
			t.Helper()
			lag, err := l.db.AuditLag(t.Context())
			if err != nil || lag.Pending != pending || !lag.Oldest.Equal(oldest) || lag.Age(l.clock.Now()) != age {
				t.Errorf("the lag is %d from %s, %v; want %d from %s", lag.Pending, lag.Oldest, err, pending, oldest)
			}
		}
		mustLag(0, time.Time{}, 0)
		l.add(t, 5, start, 100*time.Millisecond)
		l.clock.Advance(time.Minute)
		mustLag(5, start, time.Minute)
		turn(t, l.seq, 5)
		mustLag(0, time.Time{}, 0)
		next := start.Add(10 * time.Second)
		l.add(t, 3, next, time.Second)
		mustLag(3, next, 50*time.Second)
		late := start.Add(-2 * time.Second)
		l.add(t, 2, late, time.Second)
		mustLag(5, late, 62*time.Second)
		turn(t, l.seq, 5)
		l.add(t, 1, late, 0)
		mustLag(1, late, 62*time.Second)
		turn(t, l.seq, 1)
		mustLag(0, time.Time{}, 0)
	})
}

// octets returns the one value that a query gives.
func (l *trail) octets(t testing.TB, query string) []byte {
	t.Helper()
	var out []byte
	if err := store.Reader(l.db).QueryRow(query).Scan(&out); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return out
}

// TestRequirement102AlteredRowsAreFound makes one change at a time behind the store's back. The log
// has 600 events in segments of 200; IDs are written as #place.
func TestRequirement102AlteredRowsAreFound(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		ids, kept := l.fill(t, 200, 200, 200)
		// alter changes the octets of a column of one row.
		alter := func(t *testing.T, table, column, where string, change func([]byte) []byte) {
			t.Helper()
			was := l.octets(t, "SELECT "+column+" FROM "+table+" WHERE "+where)
			l.exec(t, "UPDATE "+table+" SET "+column+" = $1 WHERE "+where, change(bytes.Clone(was)))
		}
		payload := func(i int) []byte { return l.payload(t, ids[i]) }
		forge := func(t *testing.T, i int) []byte {
			t.Helper()
			forged := bytes.Replace(payload(i), []byte(`"ok"`), []byte(`"no"`), 1)
			l.exec(t, "UPDATE audit_event SET payload = $1 WHERE id = $2", forged, ids[i][:])
			return forged
		}
		flip := func(at int) func([]byte) []byte {
			return func(b []byte) []byte { b[at] ^= 1; return b }
		}
		exchange := func(width, i, j int) func([]byte) []byte {
			return func(b []byte) []byte {
				x, y := b[i*width:(i+1)*width], b[j*width:(j+1)*width]
				was := bytes.Clone(x)
				copy(x, y)
				copy(y, was)
				return b
			}
		}
		tests := []struct {
			name   string
			change func(t *testing.T)
			want   string
		}{
			{"nothing", func(*testing.T) {}, ""},
			{"an event altered", func(t *testing.T) { forge(t, 300) }, "altered event #300 at 300"},
			{"two events altered", func(t *testing.T) { forge(t, 0); forge(t, 599) },
				"altered event #0 at 0; altered event #599 at 599"},
			{"the time of an event", func(t *testing.T) { l.exec(t, "UPDATE audit_event SET at = at + 1 WHERE id = $1", ids[3][:]) },
				"altered event #3"},
			{"the account of an event", func(t *testing.T) {
				l.exec(t, "UPDATE audit_event SET account_id = 'acc_x' WHERE id = $1", ids[3][:])
			}, "altered event #3"},
			{"an event removed", func(t *testing.T) { l.exec(t, "DELETE FROM audit_event WHERE id = $1", ids[250][:]) },
				"removed event #250 at 250"},
			{"the newest event removed", func(t *testing.T) { l.exec(t, "DELETE FROM audit_event WHERE id = $1", ids[599][:]) },
				"removed event #599 at 599"},
			{"an event's ID", func(t *testing.T) {
				moved := ids[250]
				moved[15] ^= 0x80
				l.exec(t, "UPDATE audit_event SET id = $1 WHERE id = $2", moved[:], ids[250][:])
			}, "reordered event; removed event #250 at 250; unsequenced event"},
			{"two events exchanged", func(t *testing.T) {
				first, second := payload(10), payload(500)
				l.exec(t, "UPDATE audit_event SET payload = $1 WHERE id = $2", second, ids[10][:])
				l.exec(t, "UPDATE audit_event SET payload = $1 WHERE id = $2", first, ids[500][:])
			}, "reordered event #10; altered event #10; reordered event #500; altered event #500;" +
				" reordered event #10 at 10; reordered event #500 at 500"},
			{"an event inserted", func(t *testing.T) { l.add(t, 1, audit.EventTime(ids[100]), 0) }, "unsequenced event"},
			{"an event with its own segment", func(t *testing.T) {
				id := l.add(t, 1, l.clock.Now(), 0)[0]
				leaf := audit.LeafHash(l.payload(t, id))
				l.exec(t, "INSERT INTO audit_segment (first_seq, events, first_id, last_id, ids, leaves) VALUES (600, 1, $1, $1, $1, $2)",
					id[:], leaf[:])
			}, "inserted segment at 600"},
			{"two places exchanged", func(t *testing.T) {
				alter(t, "audit_segment", "ids", "first_seq = 200", exchange(16, 5, 6))
				alter(t, "audit_segment", "leaves", "first_seq = 200", exchange(32, 5, 6))
			}, "altered tile at 0 to 255; altered root at 0 to 599; reordered event #206 at 205; reordered event #205 at 206"},
			{"two places exchanged, in the tile too", func(t *testing.T) {
				alter(t, "audit_segment", "ids", "first_seq = 200", exchange(16, 5, 6))
				alter(t, "audit_segment", "leaves", "first_seq = 200", exchange(32, 5, 6))
				alter(t, "audit_tile", "data", "level = 0 AND n = 0", exchange(32, 205, 206))
			}, "altered tile at 0 to 255; altered root at 0 to 599"},
			{"a segment's hash", func(t *testing.T) { alter(t, "audit_segment", "leaves", "first_seq = 400", flip(32*7)) },
				"altered segment #407 at 407"},
			{"a segment removed", func(t *testing.T) { l.exec(t, "DELETE FROM audit_segment WHERE first_seq = 200") },
				"removed segment at 200 to 399"},
			{"a segment's place", func(t *testing.T) { l.exec(t, "UPDATE audit_segment SET first_seq = 210 WHERE first_seq = 200") },
				"altered segment at 200 to 399"},
			{"a segment's smallest ID cut off", func(t *testing.T) {
				alter(t, "audit_segment", "first_id", "first_seq = 200", func(b []byte) []byte { return b[:15] })
			}, "altered segment at 200 to 399"},
			{"a segment's largest ID", func(t *testing.T) { alter(t, "audit_segment", "last_id", "first_seq = 200", flip(9)) },
				"altered segment at 200 to 399"},
			{"a hash of a tile", func(t *testing.T) { alter(t, "audit_tile", "data", "level = 0 AND n = 2", flip(32*3)) },
				"altered tile #515 at 515"},
			{"a hash of a higher tile", func(t *testing.T) { alter(t, "audit_tile", "data", "level = 1", flip(32)) },
				"altered tile at 256 to 511"},
			{"a tile removed", func(t *testing.T) { l.exec(t, "DELETE FROM audit_tile WHERE level = 0 AND n = 1") },
				"removed tile at 256 to 511"},
			{"a tile cut off", func(t *testing.T) {
				alter(t, "audit_tile", "data", "level = 0 AND n = 1", func(b []byte) []byte { return b[:100] })
			}, "altered tile at 256 to 511"},
			{"a tile inserted", func(t *testing.T) {
				l.exec(t, "INSERT INTO audit_tile (level, n, data) VALUES (7, 0, $1)", ids[0][:])
			}, "inserted tile"},
			{"the root", func(t *testing.T) { alter(t, "audit_tree", "root", "id = 1", flip(0)) }, "altered root"},
			{"the size", func(t *testing.T) { l.exec(t, "UPDATE audit_tree SET size = 400") }, "altered root"},
			{"the checkpoint's size", func(t *testing.T) {
				l.exec(t, "UPDATE audit_tree SET checkpoint = replace(checkpoint, '600', '601')")
			}, "altered checkpoint"},
			{"a checkpoint of another key", func(t *testing.T) {
				signer, _ := checkpointKey(t)
				signed, err := audit.SignCheckpoint(kept[2], signer)
				if err != nil {
					t.Fatal(err)
				}
				l.exec(t, "UPDATE audit_tree SET checkpoint = $1", signed)
			}, "altered checkpoint"},
			{"the head removed", func(t *testing.T) { l.exec(t, "DELETE FROM audit_tree") },
				"removed event at 0 to 199; inserted segment at 0 to 199; inserted segment at 200 to 399;" +
					" inserted segment at 400 to 599; inserted tile; inserted tile; inserted tile; inserted tile"},
			{"an event, its segment and its tile", func(t *testing.T) {
				leaf := audit.LeafHash(forge(t, 300))
				to := func(at int) func([]byte) []byte {
					return func(b []byte) []byte { copy(b[at*32:], leaf[:]); return b }
				}
				alter(t, "audit_segment", "leaves", "first_seq = 200", to(100))
				alter(t, "audit_tile", "data", "level = 0 AND n = 1", to(44))
			}, "altered tile at 256 to 511; altered root at 0 to 599"},
		}
		for _, table := range auditTables {
			l.exec(t, "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				tt.change(t)
				_, problems := l.problems(t, func(o *audit.Options) { o.Trusted = kept[:1] })
				if got := describe(problems, ids); got != tt.want {
					t.Errorf("VerifyAudit finds\n\t%s\nwant\n\t%s", got, tt.want)
				}
			})
			l.restore(t)
		}
	})
}

var auditTables = []string{"audit_event", "audit_segment", "audit_tile", "audit_tree"}

// restore puts back what was kept of the log.
func (l *trail) restore(t testing.TB) {
	t.Helper()
	for _, table := range auditTables {
		l.exec(t, "DELETE FROM "+table)
		l.exec(t, "INSERT INTO "+table+" SELECT * FROM kept_"+table)
	}
}

// payload returns the bytes of an event.
func (l *trail) payload(t testing.TB, id [16]byte) []byte {
	t.Helper()
	page, err := l.db.AuditProof(context.Background(), "", telamon.EventIDFromBytes(id))
	if err == nil {
		return page.Payload
	}
	quoted := fmt.Sprintf("X'%x'", id)
	if l.db.Engine() == "postgres" {
		quoted = fmt.Sprintf(`'\x%x'`, id)
	}
	return l.octets(t, "SELECT payload FROM audit_event WHERE id = "+quoted)
}

// describe writes problems as kind, what, #place of the event, and places. Events
// without a place, which accompany a removed segment, are left out if they are many.
func describe(problems []audit.Problem, ids [][16]byte) string {
	var out []string
	for _, p := range problems {
		line := fmt.Sprintf("%s %s", p.Kind, p.What)
		if id, ok := p.Event.Bytes(); ok {
			if i := slices.Index(ids, id); i >= 0 {
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
	if rest := slices.DeleteFunc(slices.Clone(out), unsequenced); len(out)-len(rest) > 100 {
		out = rest
	}
	return strings.Join(out, "; ")
}

// TestVerifyAuditOldDatabase puts an old database back, which only a checkpoint
// that was kept elsewhere tells.
func TestVerifyAuditOldDatabase(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		l.fill(t, 200)
		for _, table := range auditTables {
			l.exec(t, "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
		}
		_, kept := l.fill(t, 100)
		l.restore(t)
		l.mustBeGood(t, 200)
		_, problems := l.problems(t, func(o *audit.Options) { o.Trusted = kept })
		if got, want := describe(problems, nil), "removed event at 200 to 299"; got != want {
			t.Errorf("against a checkpoint VerifyAudit finds %s, want %s", got, want)
		}
		// The log goes another way from there.
		l.clock.Advance(time.Second)
		l.fill(t, 150)
		l.mustBeGood(t, 350)
		_, problems = l.problems(t, func(o *audit.Options) { o.Trusted = kept })
		if got, want := describe(problems, nil), "altered event at 0 to 299"; got != want {
			t.Errorf("after more events VerifyAudit finds %s, want %s", got, want)
		}
	})
}

func TestVerifyAuditPurgedEvents(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		ids, _ := l.fill(t, 300, 300)
		l.exec(t, "DELETE FROM audit_event WHERE id < $1", ids[300][:])
		result, problems := l.problems(t, func(o *audit.Options) { o.PurgedBefore = audit.EventTime(ids[300]) })
		if len(problems) > 0 || result.Purged != 300 || result.Events != 300 {
			t.Errorf("a purged log verifies as %+v, with the problems %v", result, problems)
		}
		if _, problems := l.problems(t); len(problems) != 300 {
			t.Errorf("without a horizon there are %d problems, want 300", len(problems))
		}
		if turn(t, l.seq, 0); l.number(t, "SELECT size FROM audit_tree") != 600 {
			t.Error("the log did not keep its size")
		}
	})
}

// TestVerifyAuditFails: what is no problem of the log ends the verification, and
// says nothing about the database unless it is the database's.
func TestVerifyAuditFails(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		ids, _ := l.fill(t, 3)
		verify := func(ctx context.Context, event func(*audit.Payload) error) error {
			_, err := l.db.VerifyAudit(ctx, audit.Options{Verifier: l.key, Event: event, Report: func(audit.Problem) {}})
			return err
		}
		stop := errors.New("stop")
		if err := verify(t.Context(), func(*audit.Payload) error { return stop }); !errors.Is(err, stop) || fault.Is(err, fault.Unavailable) {
			t.Errorf("with a callback that fails VerifyAudit reports %v", err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := verify(ended, nil); !errors.Is(err, context.Canceled) || fault.Is(err, fault.Unavailable) {
			t.Errorf("for a caller who went away VerifyAudit reports %v", err)
		}
		l.exec(t, "UPDATE audit_event SET id = $1 WHERE id = $2", ids[1][:9], ids[1][:])
		if err := verify(t.Context(), nil); err == nil || fault.Is(err, fault.Unavailable) {
			t.Errorf("with an ID of 9 octets VerifyAudit reports %v", err)
		}
		if _, err := l.db.AuditEvents(t.Context(), store.AuditFilter{}); err == nil || fault.Is(err, fault.Unavailable) {
			t.Errorf("with an ID of 9 octets AuditEvents reports %v", err)
		}
		l.exec(t, "DROP TABLE audit_segment")
		if err := verify(t.Context(), nil); err == nil {
			t.Error("without segments VerifyAudit reports nothing")
		}
	})
}

// TestVerifyAuditWhileItGrows verifies the log again and again while events are
// written and sequenced.
func TestVerifyAuditWhileItGrows(t *testing.T) {
	signer, key := checkpointKey(t)
	dbtest.EachURL(t, func(t *testing.T, url string) {
		l := &trail{world: &world{db: dbtest.Open(t, url, telamon.SystemClock{})}, key: key}
		writer := dbtest.Open(t, url, telamon.SystemClock{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			s := writer.NewSequencer(signer)
			for range 40 {
				events := slices.Repeat([]telamon.Event{{Actor: operator, Action: "test", Result: "ok"}}, 20)
				if _, err := writer.RecordEvents(t.Context(), events); err != nil {
					t.Error(err)
				}
				if _, err := s.Turn(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}()
		for growing := true; growing; {
			select {
			case <-done:
				growing = false
			default:
			}
			if result, problems := l.problems(t); len(problems) > 0 {
				t.Errorf("at %d events the problems are %v", result.Tree.Size, problems)
			}
		}
		l.mustBeGood(t, 800)
	})
}

// TestVerifyAuditSince verifies from each checkpoint on, which begins within and
// between segments of the stored log, and reads the same entries as an export does.
func TestVerifyAuditSince(t *testing.T) {
	eachTrail(t, func(t *testing.T, l *trail) {
		ids, kept := l.fill(t, 1, 299, 700, 1200)
		kept = append(kept, audit.Checkpoint{Origin: kept[0].Origin, Tree: audit.EmptyTree()})
		since := func(from audit.Checkpoint) (audit.Result, string) {
			t.Helper()
			var problems []audit.Problem
			result, err := l.db.VerifyAuditSince(t.Context(), from, audit.Options{
				Verifier: l.key, Report: func(p audit.Problem) { problems = append(problems, p) },
			})
			if err != nil {
				t.Fatal(err)
			}
			return result, describe(problems, ids)
		}
		for _, from := range kept {
			if result, problems := since(from); problems != "" || result.Events != int64(len(ids))-from.Tree.Size {
				t.Errorf("from %d on the log verifies as %+v, with the problems %s", from.Tree.Size, result, problems)
			}
		}
		for _, first := range []int64{0, 150, 300, 2199, 2200} {
			next := first
			for entry, err := range l.db.AuditEntries(t.Context(), first, 2200) {
				if err != nil {
					t.Fatal(err)
				}
				if entry.Seq != next || entry.ID != ids[next] || audit.LeafHash(entry.Payload) != entry.Leaf {
					t.Fatalf("from %d on, the entry %+v stands where %d should", first, entry, next)
				}
				next++
			}
			if next != 2200 {
				t.Errorf("from %d on there are entries up to %d, want 2200", first, next)
			}
		}
		l.exec(t, "DELETE FROM audit_event WHERE id = $1", ids[1500][:])
		if _, problems := since(kept[1]); problems != "removed event #1500 at 1500" {
			t.Errorf("with an event removed it finds %s", problems)
		}
		if _, problems := since(kept[3]); problems != "" {
			t.Errorf("an event that was removed before the checkpoint: %s", problems)
		}
	})
}
