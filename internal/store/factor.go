package store

import (
	"context"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// Factors are the second factors of a person.
type Factors struct {
	TOTPSealed    []byte // nil: none; also one whose first code was not shown yet
	TOTPActive    bool
	TOTPStep      int64 // of the last code that was accepted
	Passkeys      []Passkey
	RecoveryCodes int // that are left
}

// A Passkey is a public key that an authenticator of a person holds the other half of.
type Passkey struct {
	ID           telamon.PasskeyID
	User         telamon.UserID
	Name         string
	CredentialID []byte
	Credential   []byte // JSON of package signin
	CreatedAt    time.Time
	LastUsedAt   time.Time // zero: never
}

// Factors returns the second factors of a user.
func (db *DB) Factors(ctx context.Context, user telamon.UserID) (f Factors, err error) {
	err = db.view(ctx, func(q *queries.Queries) error {
		people, err := q.Person(ctx, user.String())
		if err != nil {
			return fmt.Errorf("read person %s: %w", user, err)
		}
		f = Factors{}
		if len(people) > 0 {
			f.TOTPSealed, f.TOTPActive, f.TOTPStep = people[0].TotpSealed, people[0].TotpActive, people[0].TotpStep
		}
		rows, err := q.Passkeys(ctx, user.String())
		if err != nil {
			return fmt.Errorf("read passkeys of %s: %w", user, err)
		}
		f.Passkeys = mapped(rows, passkeyOf)
		left, err := q.CountRecoveryCodes(ctx, user.String())
		f.RecoveryCodes = int(left)
		return err
	})
	return f, db.judge(ctx, err)
}

// PutTOTP writes the secret of one-time passwords that are to be enrolled, in place of an
// earlier one whose first code was never shown. It reports Conflict with factor_exists.
func (db *DB) PutTOTP(ctx context.Context, user telamon.UserID, sealed []byte) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.ensurePerson(ctx, user); err != nil {
			return err
		}
		put, err := t.Queries.PutTOTP(ctx, queries.PutTOTPParams{UserID: user.String(), Sealed: sealed})
		if err != nil {
			return fmt.Errorf("put the one-time passwords of %s: %w", user, err)
		}
		if put != 1 {
			return fault.New(fault.Conflict, "factor_exists", "You have one-time passwords already. Remove them first.")
		}
		return nil
	})
}

// A Proof is a second factor that was found to be right, and what makes it good once.
type Proof struct {
	Factor string // "totp", "passkey" or "recovery_code"

	Sealed []byte // of a one-time password: the secret
	Step   int64  // likewise: its step, which must be later than the last one

	RecoveryMAC []byte // of a recovery code

	CredentialID    []byte // of a passkey
	Was, Credential []byte // likewise: before and after its counter moved
}

// errUsed is the fault of a proof that was used before.
func errUsed() error {
	return fault.New(fault.Denied, "second_factor_wrong", "The code is not right, or was used before.")
}

// ShowFactor uses a proof up, gives the session a new value and notes when it showed the
// factor. Failed attempts are forgotten. It reports Denied with second_factor_wrong if the
// proof was used before, and Unauthenticated with session_ended.
func (db *DB) ShowFactor(ctx context.Context, actor telamon.Actor, u *telamon.User, p Proof, value string, mail *NoticeParams) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.use(ctx, u.ID, p, true); err != nil {
			return err
		}
		if err := t.renew(ctx, actor, value); err != nil {
			return err
		}
		if err := t.endAttempt(ctx, u.Email, AttemptDone); err != nil {
			return err
		}
		if mail != nil {
			if err := t.notice(ctx, u, *mail); err != nil {
				return err
			}
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: u.Account, Action: "user.second_factor", Object: u.ID.String(), Result: "ok",
			After: map[string]any{"session": actor.Session, "factor": p.Factor},
		})
	})
}

// use uses a proof up.
func (t *txn) use(ctx context.Context, user telamon.UserID, p Proof, active bool) (err error) {
	var n int64
	switch {
	case p.Sealed != nil:
		n, err = t.UseTOTP(ctx, queries.UseTOTPParams{UserID: user.String(), WasActive: active, Sealed: p.Sealed, Step: p.Step})
	case p.RecoveryMAC != nil:
		n, err = t.UseRecoveryCode(ctx, queries.UseRecoveryCodeParams{UserID: user.String(), Mac: p.RecoveryMAC})
	default:
		n, err = t.UsePasskey(ctx, queries.UsePasskeyParams{
			UserID: user.String(), CredentialID: p.CredentialID, Was: p.Was, Credential: p.Credential, Now: t.millis(),
		})
	}
	if err != nil {
		return fmt.Errorf("use a second factor of %s: %w", user, err)
	}
	if n != 1 {
		return errUsed()
	}
	return nil
}

// renew gives the actor's session a new value: what was known of it before it showed a
// second factor is worth nothing.
func (t *txn) renew(ctx context.Context, actor telamon.Actor, value string) error {
	n, err := t.RenewSession(ctx, queries.RenewSessionParams{
		ID: actor.Session.String(), UserID: actor.User.String(), ValueHash: valueHash(value), Now: t.millis(),
	})
	if err != nil {
		return fmt.Errorf("renew session %s: %w", actor.Session, err)
	}
	if n != 1 {
		return fault.New(fault.Unauthenticated, "session_ended", "Your session has ended. Sign in again.")
	}
	return nil
}

// AddTOTP makes one-time passwords a factor by their first code, writes recovery codes in
// place of earlier ones, and gives the session a new value. It reports as ShowFactor does.
func (db *DB) AddTOTP(ctx context.Context, actor telamon.Actor, u *telamon.User, p Proof, recovery [][]byte, value string, mail NoticeParams) error {
	return db.addFactor(ctx, actor, u, "totp", recovery, value, mail, func(t *txn) error { return t.use(ctx, u.ID, p, false) })
}

// AddPasskey writes a passkey, and does what AddTOTP does. It sets CreatedAt. It reports
// Conflict with factor_exists if the authenticator has one of this platform already.
func (db *DB) AddPasskey(ctx context.Context, actor telamon.Actor, u *telamon.User, k *Passkey, recovery [][]byte, value string, mail NoticeParams) error {
	err := db.addFactor(ctx, actor, u, "passkey", recovery, value, mail, func(t *txn) error {
		if err := t.ensurePerson(ctx, u.ID); err != nil {
			return err
		}
		k.CreatedAt = timeOf(t.millis())
		err := t.InsertPasskey(ctx, queries.InsertPasskeyParams{
			ID: k.ID.String(), UserID: u.ID.String(), Name: k.Name, CredentialID: k.CredentialID, Credential: k.Credential,
			CreatedAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("insert passkey %s: %w", k.ID, err)
		}
		return nil
	})
	if violates(err, "passkey_is_unique") {
		return fault.New(fault.Conflict, "factor_exists", "This authenticator is enrolled already.")
	}
	return err
}

func (db *DB) addFactor(ctx context.Context, actor telamon.Actor, u *telamon.User, factor string, recovery [][]byte, value string, mail NoticeParams, add func(*txn) error) error {
	return db.update(ctx, func(t *txn) error {
		if err := add(t); err != nil {
			return err
		}
		if recovery != nil {
			if err := t.putRecoveryCodes(ctx, u.ID, recovery); err != nil {
				return err
			}
		}
		if err := t.renew(ctx, actor, value); err != nil {
			return err
		}
		if err := t.notice(ctx, u, mail); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: u.Account, Action: "user.add_factor", Object: u.ID.String(), Result: "ok",
			After: map[string]any{"factor": factor, "recovery_codes": len(recovery)},
		})
	})
}

func (t *txn) putRecoveryCodes(ctx context.Context, user telamon.UserID, macs [][]byte) error {
	if err := t.DropRecoveryCodes(ctx, user.String()); err != nil {
		return fmt.Errorf("drop recovery codes of %s: %w", user, err)
	}
	for _, mac := range macs {
		if err := t.InsertRecoveryCode(ctx, queries.InsertRecoveryCodeParams{UserID: user.String(), Mac: mac}); err != nil {
			return fmt.Errorf("insert a recovery code of %s: %w", user, err)
		}
	}
	return nil
}

// PutRecoveryCodes writes recovery codes in place of earlier ones.
func (db *DB) PutRecoveryCodes(ctx context.Context, actor telamon.Actor, macs [][]byte) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.putRecoveryCodes(ctx, actor.User, macs); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: actor.Account, Action: "user.new_recovery_codes", Object: actor.User.String(), Result: "ok",
			After: map[string]any{"recovery_codes": len(macs)},
		})
	})
}

// RemoveFactor removes a user's one-time passwords, or the passkey if it is not "". It
// reports NotFound, and, if the user must keep one factor, Conflict with last_factor.
func (db *DB) RemoveFactor(ctx context.Context, actor telamon.Actor, u *telamon.User, passkey telamon.PasskeyID, keepOne bool, mail NoticeParams) error {
	return db.update(ctx, func(t *txn) error {
		// The row of the person is changed or locked first, so that of two that go at once
		// the second one sees that the first has gone.
		if err := t.lockPerson(ctx, u.ID); err != nil {
			return err
		}
		factor, n, err := "totp", int64(0), error(nil)
		if passkey == "" {
			n, err = t.DropTOTP(ctx, u.ID.String())
		} else {
			factor = "passkey"
			n, err = t.DropPasskey(ctx, queries.DropPasskeyParams{UserID: u.ID.String(), ID: passkey.String()})
		}
		if err != nil {
			return fmt.Errorf("remove a factor of %s: %w", u.ID, err)
		}
		if n != 1 {
			return fault.New(fault.NotFound, "factor_not_found", "There is no such second factor.")
		}
		left := &Candidate{User: u}
		if err := t.addPerson(ctx, left); err != nil {
			return err
		}
		none := !left.TOTP && left.Passkeys == 0
		if none && keepOne {
			return fault.New(fault.Conflict, "last_factor", "Your roles ask for a second factor: add another one first.")
		}
		if none {
			if err := t.DropRecoveryCodes(ctx, u.ID.String()); err != nil {
				return fmt.Errorf("drop recovery codes of %s: %w", u.ID, err)
			}
		}
		if err := t.notice(ctx, u, mail); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: u.Account, Action: "user.remove_factor", Object: u.ID.String(), Result: "ok",
			Before: map[string]any{"factor": factor, "passkey": passkey},
		})
	})
}

func (t *txn) lockPerson(ctx context.Context, user telamon.UserID) error {
	if err := t.ensurePerson(ctx, user); err != nil {
		return err
	}
	if _, err := t.LockPersonRow(ctx, user.String()); err != nil {
		return fmt.Errorf("lock person %s: %w", user, err)
	}
	return nil
}

// ResetFactors removes all second factors of a user who has lost them, and ends their
// sessions. It reports NotFound with factor_not_found if there are none.
func (db *DB) ResetFactors(ctx context.Context, actor telamon.Actor, u *telamon.User, mail NoticeParams) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.lockPerson(ctx, u.ID); err != nil {
			return err
		}
		n, err := t.DropTOTP(ctx, u.ID.String())
		if err != nil {
			return fmt.Errorf("drop one-time passwords of %s: %w", u.ID, err)
		}
		passkeys, err := t.DropPasskeys(ctx, u.ID.String())
		if err != nil {
			return fmt.Errorf("drop passkeys of %s: %w", u.ID, err)
		}
		if n+passkeys == 0 {
			return fault.New(fault.NotFound, "factor_not_found", "There is no such second factor.")
		}
		if err := t.DropRecoveryCodes(ctx, u.ID.String()); err != nil {
			return fmt.Errorf("drop recovery codes of %s: %w", u.ID, err)
		}
		if _, err := t.Queries.EndSessions(ctx, queries.EndSessionsParams{UserID: u.ID.String()}); err != nil {
			return fmt.Errorf("end sessions of %s: %w", u.ID, err)
		}
		if err := t.notice(ctx, u, mail); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: u.Account, Action: "user.reset_factor", Object: u.ID.String(), Result: "ok",
			Before: map[string]any{"totp": n > 0, "passkeys": passkeys},
		})
	})
}

// SetCeremony keeps what a session's passkey ceremony was begun with.
func (db *DB) SetCeremony(ctx context.Context, id telamon.SessionID, ceremony []byte) error {
	return db.update(ctx, func(t *txn) error {
		return mustChange(t.Queries.SetCeremony(ctx, queries.SetCeremonyParams{ID: id.String(), Ceremony: ceremony}))
	})
}

// TakeCeremony ends a session's passkey ceremony. It reports false if it has ended.
func (db *DB) TakeCeremony(ctx context.Context, id telamon.SessionID, ceremony []byte) (taken bool, err error) {
	err = db.update(ctx, func(t *txn) error {
		n, err := t.Queries.TakeCeremony(ctx, queries.TakeCeremonyParams{ID: id.String(), Ceremony: ceremony})
		taken = n == 1
		return err
	})
	return taken, err
}

func passkeyOf(r queries.Passkey) Passkey {
	return Passkey{
		ID: telamon.PasskeyID(r.ID), User: telamon.UserID(r.UserID), Name: r.Name, CredentialID: r.CredentialID,
		Credential: r.Credential, CreatedAt: timeOf(r.CreatedAt), LastUsedAt: timeOrZero(r.LastUsedAt),
	}
}
