package store

import (
	"context"
	"fmt"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// LockUser locks a user. It reports NotFound, and Conflict with wrong_state if the user is
// locked or deleted.
func (db *DB) LockUser(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) error {
	return db.setUserLock(ctx, actor, account, id, true)
}

// UnlockUser ends a LockUser. It reports NotFound, and Conflict with wrong_state if the
// user is not locked or is deleted.
func (db *DB) UnlockUser(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) error {
	return db.setUserLock(ctx, actor, account, id, false)
}

func (db *DB) setUserLock(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, lock bool) error {
	return db.update(ctx, func(t *txn) error {
		row, err := t.User(ctx, queries.UserParams{AccountID: account.String(), ID: id.String()})
		if err != nil {
			return found(err, "user_not_found", "user")
		}
		locked := row.LockedAt != nil
		switch {
		case telamon.State(row.State) == telamon.Deleted:
			return fault.New(fault.Conflict, "wrong_state", "The user is deleted.")
		case locked && lock:
			return fault.New(fault.Conflict, "wrong_state", "The user is locked.")
		case !locked && !lock:
			return fault.New(fault.Conflict, "wrong_state", "The user is not locked.")
		}
		verb := "user.unlock"
		if lock {
			verb = "user.lock"
			now := t.millis()
			err = mustChange(t.SetUserLocked(ctx, queries.SetUserLockedParams{AccountID: account.String(), ID: id.String(), At: &now}))
		} else {
			err = mustChange(t.SetUserUnlocked(ctx, queries.SetUserUnlockedParams{AccountID: account.String(), ID: id.String()}))
		}
		if err != nil {
			return fmt.Errorf("change the lock of user %s: %w", id, err)
		}
		if err := t.changed(ctx, ChangeUser, id.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: verb, Object: id.String(), Result: "ok",
			Before: map[string]any{"locked": locked}, After: map[string]any{"locked": lock},
		})
	})
}
