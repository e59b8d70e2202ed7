package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// markerRetention is how long commit markers are kept, and so for how long the
// outcome of a transaction can be told.
const markerRetention = time.Hour

// newMarker returns the ID of a marker: 48 bits of milliseconds, so that markers
// can be dropped by range, and 80 random ones.
func newMarker(now time.Time) [16]byte {
	var m [16]byte
	rand.Read(m[6:]) // does not fail (crypto/rand)
	binary.BigEndian.PutUint16(m[:2], uint16(now.UnixMilli()>>32))
	binary.BigEndian.PutUint32(m[2:6], uint32(now.UnixMilli()))
	return m
}

// markerTime returns the time of a marker that newMarker made.
func markerTime(m [16]byte) time.Time {
	return timeOf(int64(binary.BigEndian.Uint64(m[:8]) >> 16))
}

// An outcome is what became of a transaction.
type outcome string

const (
	outcomeCommitted outcome = "committed" // it is durable
	outcomeVoid      outcome = "void"      // it was not and never will be committed
	outcomeForgotten outcome = "forgotten" // its marker would have been dropped by now
)

// unknowns are the transactions whose outcome could not be told.
type unknowns struct {
	turn chan struct{} // holds a token while nobody settles

	mu   sync.Mutex
	list []unknown
}

func newUnknowns() *unknowns {
	u := &unknowns{turn: make(chan struct{}, 1)}
	u.turn <- struct{}{}
	return u
}

type unknown struct {
	marker  [16]byte
	objects []string // what it was about, for the audit log
}

func (u *unknowns) add(one unknown) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = append(u.list, one)
}

func (u *unknowns) len() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.list)
}

// oldest returns the oldest ones, at most settleBatch. They stay until drop.
func (u *unknowns) oldest() []unknown {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.list[:min(len(u.list), settleBatch)])
}

// drop removes the n oldest ones, whose outcome is durable by now. The caller has the
// turn.
func (u *unknowns) drop(n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = slices.Delete(u.list, 0, n)
}

// settleBatch is how many outcomes are settled in one transaction, and maxUnknown how
// many may be unknown before nothing else is begun: they are kept in memory, and the
// database is ready again when they are settled.
const (
	settleBatch = 100
	maxUnknown  = 1000
)

// errUnsettled is why a transaction is not begun.
var errUnsettled = errors.New("the outcomes of too many transactions are unknown")

// open reports Unavailable while too many outcomes are unknown.
func (u *unknowns) open() error {
	if u.len() >= maxUnknown {
		return unavailable(errUnsettled)
	}
	return nil
}

// commit commits t, of which end is the end. objects names what t is about.
//
// An error of COMMIT itself tells nothing: the connection may be lost after the
// server committed, and a disk that failed to sync may hold the rows. So t also
// writes a marker, and after such an error commit tries to write the same marker
// as void. It returns nil if t is durable, an error if t was not and never will be
// committed, and an Unavailable fault if that cannot be told; then t is kept for
// [DB.Settle].
func (db *DB) commit(ctx context.Context, t *txn, end func(), objects func() []string) error {
	marker := newMarker(t.now)
	if err := t.InsertMarker(ctx, queries.InsertMarkerParams{ID: marker[:]}); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	cause := db.commitTx(t)
	if cause == nil {
		return nil
	}
	end()
	ctx, cancel := context.WithTimeout(context.Background(), transactionLimit)
	defer cancel()
	var became outcome
	err := db.again(ctx, func() (err error) {
		became, err = db.claim(ctx, marker)
		return err
	})
	switch became {
	case outcomeCommitted:
		return nil
	case outcomeVoid:
		return fmt.Errorf("commit: %w", cause)
	}
	db.unknown.add(unknown{marker, objects()})
	return unavailable(errors.Join(cause, err))
}

// claim tells what became of the transaction with the marker. If it was not
// committed, claim commits the marker as void, so that it never can be: a server
// that is still at it would be refused, or refuses the claim.
//
// What can be seen may still be lost: PostgreSQL shows a transaction that it committed
// when the wait for a synchronous standby was broken off, as by the loss of the
// connection. So claim answers by a COMMIT of its own in any case. The log is
// replicated in order: what has waited covers all that was before it.
func (db *DB) claim(ctx context.Context, marker [16]byte) (became outcome, err error) {
	t, end, err := db.begin(ctx)
	if err != nil {
		return "", err
	}
	defer end()
	became, err = claimIn(ctx, t, marker)
	if err != nil || became == outcomeCommitted && db.engine == engineSQLite {
		return became, err
	}
	if became != outcomeVoid {
		own := newMarker(t.now)
		if err := t.InsertMarker(ctx, queries.InsertMarkerParams{ID: own[:]}); err != nil {
			return "", fmt.Errorf("mark: %w", err)
		}
	}
	if err := db.commitTx(t); err != nil {
		return "", fmt.Errorf("commit: %w", err)
	}
	return became, nil
}

// claimIn is claim within a transaction, which the caller commits.
func claimIn(ctx context.Context, t *txn, marker [16]byte) (outcome, error) {
	rows, err := t.Marker(ctx, marker[:])
	if err != nil {
		return "", fmt.Errorf("read marker: %w", err)
	}
	switch {
	case len(rows) > 0 && rows[0]:
		return outcomeVoid, nil
	case len(rows) > 0:
		return outcomeCommitted, nil
	case t.now.Sub(markerTime(marker)) > markerRetention/2: // another replica may have dropped it
		return outcomeForgotten, nil
	}
	err = t.InsertMarker(ctx, queries.InsertMarkerParams{ID: marker[:], Voided: true})
	if isConstraint(err) {
		return "", errAgain // it was committed while we looked
	}
	if err != nil {
		return "", fmt.Errorf("void marker: %w", err)
	}
	return outcomeVoid, nil
}

// Settle finds out what became of the transactions whose outcome could not be
// told when their callers were answered, and writes it to the audit log. It
// returns how many are still unknown. [DB.Ready] settles them too before it says
// that the database is ready. One call at a time settles; others wait for it, so
// that none says that nothing is left while the last one is at work.
func (db *DB) Settle(ctx context.Context) (left int, err error) {
	select {
	case <-db.unknown.turn:
	case <-ctx.Done():
		return db.unknown.len(), fmt.Errorf("settle: %w", db.judge(ctx, ctx.Err()))
	}
	defer func() { db.unknown.turn <- struct{}{} }()
	for {
		lost := db.unknown.oldest()
		if len(lost) == 0 {
			return 0, nil
		}
		err := db.updateNow(ctx, func(t *txn) error {
			for _, one := range lost {
				if err := settleIn(ctx, t, one); err != nil {
					return err
				}
			}
			t.objects = nil // nobody is told the outcome of this one: it is run again
			return nil
		})
		if err != nil {
			return db.unknown.len(), fmt.Errorf("settle: %w", err)
		}
		db.unknown.drop(len(lost))
	}
}

// settleIn settles one within a transaction, which the caller commits.
func settleIn(ctx context.Context, t *txn, lost unknown) error {
	became, err := claimIn(ctx, t, lost.marker)
	if err != nil {
		return err
	}
	return t.audit(ctx, telamon.Event{
		Actor: telamon.Actor{Kind: telamon.ActorSystem}, Action: "store.settle", Result: "ok",
		After: map[string]any{"outcome": became, "objects": lost.objects},
	})
}
