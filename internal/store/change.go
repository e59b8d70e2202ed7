package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A ChangeKind says what sort of object changed.
type ChangeKind string

// The kinds of changes that snapshots follow.
const (
	ChangeAccount      ChangeKind = "account"
	ChangeIdentity     ChangeKind = "identity"
	ChangeService      ChangeKind = "service"
	ChangeSubscription ChangeKind = "subscription"
	ChangePair         ChangeKind = "pair" // its number; pairs come with credentials, too
	ChangeCredential   ChangeKind = "credential"
	ChangeClientCert   ChangeKind = "client_certificate"
	ChangeUser         ChangeKind = "user"
	ChangeAPIToken     ChangeKind = "api_token"
	ChangeIssuer       ChangeKind = "issuer"
)

// A Change says that one object is no longer what it was.
type Change struct {
	ID     [16]byte
	At     time.Time
	Kind   ChangeKind
	Object string // the object's ID
}

// changeLookBack is how far each reading of the feed goes back: a transaction
// lasts at most transactionLimit, clocks of replicas differ by at most clockSkew,
// and ChangeGap may pass between two readings.
const changeLookBack = transactionLimit + clockSkew + ChangeGap

// clockSkew is what the clocks of replicas may differ by; see docs/OPERATIONS.md.
const clockSkew = telamon.ClockSkew

// ChangeGap is how much time may pass between two readings of the feed without one
// missing a change. After a longer one, and after the clock went back, a reader must
// read everything.
const ChangeGap = 5 * time.Second

// changeRetention is how long changes are kept.
const changeRetention = time.Hour

// Changes returns what changed lately, the same change again and again for a
// quarter of a minute: a reader applies each as often as it comes. Readings at most
// ChangeGap apart miss nothing that was committed within transactionLimit.
func (db *DB) Changes(ctx context.Context) ([]Change, error) {
	rows, err := db.queries().ChangesSince(ctx, db.clock.Now().Add(-changeLookBack).UnixMilli())
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read changes: %w", err))
	}
	out := make([]Change, len(rows))
	for i, r := range rows {
		out[i] = Change{ID: [16]byte(r.ID), At: timeOf(r.At), Kind: ChangeKind(r.Kind), Object: r.Object}
	}
	return out, nil
}

// changed records in the transaction that an object changed.
func (t *txn) changed(ctx context.Context, kind ChangeKind, object string) error {
	id, ok := telamon.NewID[holderKind]().Bytes()
	if !ok {
		return errors.New("make an id")
	}
	err := t.InsertChange(ctx, queries.InsertChangeParams{ID: id[:], At: t.millis(), Kind: string(kind), Object: object})
	if err != nil {
		return fmt.Errorf("record change of %s %s: %w", kind, object, err)
	}
	return nil
}

// purgeStep is how many rows one transaction of a purge deletes at most.
const purgeStep = 5000

// PurgeFeeds deletes changes and commit markers that no reader needs any more, in
// transactions of a bounded size.
func (db *DB) PurgeFeeds(ctx context.Context) error {
	for {
		var more bool
		err := db.update(ctx, func(t *txn) error {
			changes, err := t.DropChanges(ctx, queries.DropChangesParams{
				Before: t.now.Add(-changeRetention).UnixMilli(), Lim: purgeStep,
			})
			if err != nil {
				return fmt.Errorf("purge changes: %w", err)
			}
			oldest := newMarker(t.now.Add(-markerRetention))
			markers, err := t.DropMarkers(ctx, queries.DropMarkersParams{Before: oldest[:], Lim: purgeStep})
			if err != nil {
				return fmt.Errorf("purge commit markers: %w", err)
			}
			more = changes == purgeStep || markers == purgeStep
			return nil
		})
		if err != nil || !more {
			return err
		}
	}
}
