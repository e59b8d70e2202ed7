package store

import (
	"context"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A Member is a person of an account with what they sign in by.
type Member struct {
	telamon.User
	Stage      Stage
	SignedInAt time.Time // zero: never
	TOTP       bool      // has one-time passwords
	Passkeys   int
	LockedOut  bool // the lock is because of failed attempts
}

// HasFactor reports whether the person has a second factor.
func (m *Member) HasFactor() bool { return m.TOTP || m.Passkeys > 0 }

// A MemberFilter says which people of an account to list, in the order in which they came.
type MemberFilter struct {
	Search string // a part of the name or the address, without regard to case
	Role   string
	Page
}

// Members lists the people of an account who are not deleted.
func (db *DB) Members(ctx context.Context, account telamon.AccountID, f MemberFilter) ([]Member, error) {
	role := "%"
	if f.Role != "" {
		role = "% " + likeEscaper.Replace(f.Role) + " %"
	}
	rows, err := db.queries().Members(ctx, queries.MembersParams{
		AccountID: account.String(), After: f.After, Lim: f.limit(), Search: "%" + likeEscaper.Replace(nameKey(f.Search)) + "%", Role: role,
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list the people of %s: %w", account, err))
	}
	return mapped(rows, func(r queries.MembersRow) Member { return memberOf(queries.MemberRow(r)) }), nil
}

// Member returns a person of the account who is not deleted. It reports NotFound.
func (db *DB) Member(ctx context.Context, account telamon.AccountID, id telamon.UserID) (*Member, error) {
	row, err := db.queries().Member(ctx, queries.MemberParams{AccountID: account.String(), ID: id.String()})
	if err != nil {
		return nil, db.judge(ctx, found(err, "user_not_found", "user"))
	}
	m := memberOf(row)
	return &m, nil
}

func memberOf(r queries.MemberRow) Member {
	return Member{
		User: userOf(queries.AccountUser{
			ID: r.ID, AccountID: r.AccountID, Email: r.Email, Name: r.Name, PasswordHash: r.PasswordHash, Roles: r.Roles, State: r.State,
			CreatedAt: r.CreatedAt, Kind: r.Kind, NameKey: r.NameKey, Contact: r.Contact, Description: r.Description, Locale: r.Locale,
			EndsAt: r.EndsAt, LockedAt: r.LockedAt, CreatedBy: r.CreatedBy,
		}),
		Stage: Stage(r.Stage), SignedInAt: timeOrZero(r.SignedInAt), TOTP: r.Totp, Passkeys: int(r.Passkeys), LockedOut: r.LockedOut,
	}
}

// SetMemberLock locks a person of the account, or ends such a lock. Sessions end with the
// lock. A lock because of failed attempts becomes one of this sort; it is itself ended by a
// new password alone (requirement 5).
//
// It reports NotFound; Conflict with wrong_state if it is so already, with locked_out, and
// with last_administrator.
func (db *DB) SetMemberLock(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, lock bool) error {
	return db.update(ctx, func(t *txn) error {
		row, err := t.Member(ctx, queries.MemberParams{AccountID: account.String(), ID: id.String()})
		if err != nil {
			return found(err, "user_not_found", "user")
		}
		m := memberOf(row)
		verb := "user.unlock"
		if lock {
			verb, err = "user.lock", t.lockMember(ctx, &m)
		} else {
			err = t.unlockMember(ctx, &m)
		}
		if err != nil {
			return err
		}
		if err := t.changed(ctx, ChangeUser, id.String()); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: verb, Object: id.String(), Result: "ok",
			Before: map[string]any{"locked": !lock || m.LockedOut}, After: map[string]any{"locked": lock},
		})
	})
}

func (t *txn) lockMember(ctx context.Context, m *Member) error {
	if _, err := t.Queries.EndSessions(ctx, queries.EndSessionsParams{UserID: m.ID.String()}); err != nil {
		return fmt.Errorf("end sessions of %s: %w", m.ID, err)
	}
	switch {
	case m.LockedOut:
		return t.setLockedOut(ctx, m.ID, false)
	case !m.LockedAt.IsZero():
		return fault.New(fault.Conflict, "wrong_state", "The user is locked.")
	}
	if err := t.keepAdministrator(ctx, &m.User); err != nil {
		return err
	}
	now := t.millis()
	err := mustChange(t.SetUserLocked(ctx, queries.SetUserLockedParams{AccountID: m.Account.String(), ID: m.ID.String(), At: &now}))
	if err != nil {
		return fmt.Errorf("lock user %s: %w", m.ID, err)
	}
	return nil
}

func (t *txn) unlockMember(ctx context.Context, m *Member) error {
	switch {
	case m.LockedAt.IsZero():
		return fault.New(fault.Conflict, "wrong_state", "The user is not locked.")
	case m.LockedOut:
		return fault.New(fault.Conflict, "locked_out", "Too many attempts have locked this user: a new password, by a link to their address, ends it.")
	}
	err := mustChange(t.SetUserUnlocked(ctx, queries.SetUserUnlockedParams{AccountID: m.Account.String(), ID: m.ID.String()}))
	if err != nil {
		return fmt.Errorf("unlock user %s: %w", m.ID, err)
	}
	return nil
}
