package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A Stage is how far a person has come since they registered.
type Stage string

// The stages. A person who was invited, or made by an operator, is active.
const (
	StageVerified   Stage = "verified"           // the mailed link was opened
	StageProfile    Stage = "profile_incomplete" // signed in: who are they, and whom are they with
	StageAgreement  Stage = "agreement_pending"
	StageActive     Stage = "active"
	StageUnverified Stage = "unverified" // of registrations alone: never stored
)

// A Session is one sign-in of a person in one browser. Only the hash of the value in its
// cookie is kept.
type Session struct {
	ID        telamon.SessionID
	User      telamon.UserID
	Account   telamon.AccountID
	BoundTo   []byte // when what this is a hash of changes, the session ends
	Method    string // such as "password"
	CreatedAt time.Time
	SeenAt    time.Time
	EndsAt    time.Time
	FactorAt  time.Time // zero: no second factor yet
	Address   netip.Addr
	Agent     string // what the browser says that it is

	// The following are read by Session alone.
	Ceremony []byte // JSON of a passkey ceremony that was begun
	Stage    Stage
	TOTP     bool
	Passkeys int
}

func valueHash(value string) []byte {
	sum := sha256.Sum256([]byte(value))
	return sum[:]
}

// An Attempt says what a right sign-in does to the count of failed attempts.
type Attempt uint8

// The attempts.
const (
	NoAttempt     Attempt = iota // none was begun: nothing
	AttemptGoesOn                // a second factor is to follow: this one is not counted
	AttemptDone                  // all are forgotten
)

// StartSession writes a new session of a value and when its user signed in. It sets
// CreatedAt and SeenAt.
func (db *DB) StartSession(ctx context.Context, actor telamon.Actor, s *Session, u *telamon.User, value string, attempt Attempt) error {
	return db.update(ctx, func(t *txn) error {
		s.CreatedAt, s.SeenAt = timeOf(t.millis()), timeOf(t.millis())
		if err := t.ensurePerson(ctx, s.User); err != nil {
			return err
		}
		err := t.InsertSession(ctx, queries.InsertSessionParams{
			ID: s.ID.String(), ValueHash: valueHash(value), UserID: s.User.String(), AccountID: s.Account.String(), BoundTo: s.BoundTo,
			Method: s.Method, CreatedAt: t.millis(), EndsAt: s.EndsAt.UnixMilli(), FactorAt: millisOrNil(s.FactorAt),
			Address: addressText(s.Address), Agent: s.Agent,
		})
		if err != nil {
			return fmt.Errorf("insert session %s: %w", s.ID, err)
		}
		if err := t.NoteSignIn(ctx, queries.NoteSignInParams{UserID: s.User.String(), Now: t.millis()}); err != nil {
			return fmt.Errorf("note the sign-in of %s: %w", s.User, err)
		}
		if err := t.endAttempt(ctx, u.Email, attempt); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: s.Account, Action: "user.sign_in", Object: s.User.String(), Result: "ok",
			After: map[string]any{"session": s.ID, "method": s.Method, "second_factor": !s.FactorAt.IsZero()},
		})
	})
}

// endAttempt forgets failed attempts, or this one alone.
func (t *txn) endAttempt(ctx context.Context, email string, attempt Attempt) (err error) {
	switch attempt {
	case AttemptDone:
		_, err = t.Queries.ClearAttempts(ctx, emailHash(email))
	case AttemptGoesOn:
		err = t.Queries.ReturnAttempt(ctx, emailHash(email))
	}
	if err != nil {
		return fmt.Errorf("end an attempt: %w", err)
	}
	return nil
}

// Session returns the session of a value, nil if there is none. The caller judges its
// times.
func (db *DB) Session(ctx context.Context, value string) (*Session, error) {
	rows, err := db.queries().SessionByValue(ctx, valueHash(value))
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read a session: %w", err))
	}
	if len(rows) == 0 {
		return nil, nil
	}
	r := rows[0]
	s := sessionOf(queries.SessionsOfRow{
		ID: r.ID, UserID: r.UserID, AccountID: r.AccountID, BoundTo: r.BoundTo, Method: r.Method, CreatedAt: r.CreatedAt,
		SeenAt: r.SeenAt, EndsAt: r.EndsAt, FactorAt: r.FactorAt, Address: r.Address, Agent: r.Agent,
	})
	s.Ceremony, s.Stage, s.TOTP, s.Passkeys = r.Ceremony, Stage(r.Stage), r.Totp, int(r.Passkeys)
	return &s, nil
}

// Sessions lists the sessions of a user that have not ended and were seen since.
func (db *DB) Sessions(ctx context.Context, user telamon.UserID, seenSince time.Time) ([]Session, error) {
	rows, err := db.queries().SessionsOf(ctx, queries.SessionsOfParams{
		UserID: user.String(), Now: db.clock.Now().UnixMilli(), SeenAfter: seenSince.UnixMilli(),
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list sessions of %s: %w", user, err))
	}
	return mapped(rows, sessionOf), nil
}

// TouchSession notes that a session was seen now.
func (db *DB) TouchSession(ctx context.Context, id telamon.SessionID) error {
	return db.update(ctx, func(t *txn) error {
		return t.Queries.TouchSession(ctx, queries.TouchSessionParams{ID: id.String(), Now: t.millis()})
	})
}

// EndSession ends a session of a user. It reports NotFound.
func (db *DB) EndSession(ctx context.Context, actor telamon.Actor, account telamon.AccountID, user telamon.UserID, id telamon.SessionID) error {
	return db.update(ctx, func(t *txn) error {
		ended, err := t.Queries.EndSession(ctx, queries.EndSessionParams{UserID: user.String(), ID: id.String()})
		if err != nil {
			return fmt.Errorf("end session %s: %w", id, err)
		}
		if ended != 1 {
			return fault.New(fault.NotFound, "session_not_found", "There is no such session.")
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "session.end", Object: user.String(), Result: "ok",
			Before: map[string]any{"session": id},
		})
	})
}

// EndSessions ends all sessions of a user but one, which may be "". It returns how many.
func (db *DB) EndSessions(ctx context.Context, actor telamon.Actor, account telamon.AccountID, user telamon.UserID, but telamon.SessionID) (n int64, err error) {
	err = db.update(ctx, func(t *txn) error {
		if n, err = t.Queries.EndSessions(ctx, queries.EndSessionsParams{UserID: user.String(), But: but.String()}); err != nil {
			return fmt.Errorf("end sessions of %s: %w", user, err)
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "session.end", Object: user.String(), Result: "ok",
			Before: map[string]any{"sessions": n},
		})
	})
	return n, err
}

func sessionOf(r queries.SessionsOfRow) Session {
	address, _ := netip.ParseAddr(r.Address)
	return Session{
		ID: telamon.SessionID(r.ID), User: telamon.UserID(r.UserID), Account: telamon.AccountID(r.AccountID), BoundTo: r.BoundTo,
		Method: r.Method, CreatedAt: timeOf(r.CreatedAt), SeenAt: timeOf(r.SeenAt), EndsAt: timeOf(r.EndsAt),
		FactorAt: timeOrZero(r.FactorAt), Address: address, Agent: r.Agent,
	}
}
