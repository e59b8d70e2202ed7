package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A Registration is what somebody who asked for an account chose, until the mailed link
// was opened.
type Registration struct {
	ID           telamon.RegistrationID
	Email        string // in lower case
	Locale       string
	PasswordHash string
	CreatedAt    time.Time
	ExpiresAt    time.Time
}

// Register writes a registration and mails its link; or, if the address is a person's
// already, mails that to its owner. Both take as long. It reports false, and writes
// nothing, if too many links went to the address today.
func (db *DB) Register(ctx context.Context, actor telamon.Actor, r *Registration, link MailedLink) (sent bool, err error) {
	err = db.update(ctx, func(t *txn) error {
		l := link
		user, err := t.personByEmail(ctx, r.Email)
		if err != nil {
			return err
		}
		event := telamon.Event{Actor: actor, Action: "user.register", Object: r.ID.String(), Result: "ok", After: map[string]any{"email": r.Email}}
		l.Purpose, l.Email, l.Subject = LinkVerify, r.Email, r.ID.String()
		var account telamon.AccountID
		if user != nil {
			l.Purpose, l.Subject, account = LinkKnown, user.ID.String(), user.Account
			event.Account, event.Object, event.Result = user.Account, user.ID.String(), "email_taken"
			r.Locale = user.Locale
		} else {
			r.CreatedAt = timeOf(t.millis())
			err := t.InsertRegistration(ctx, queries.InsertRegistrationParams{
				ID: r.ID.String(), Email: r.Email, Locale: r.Locale, PasswordHash: r.PasswordHash, CreatedAt: t.millis(),
				ExpiresAt: r.ExpiresAt.UnixMilli(),
			})
			if err != nil {
				return fmt.Errorf("insert registration %s: %w", r.ID, err)
			}
		}
		if err := t.mailLink(ctx, &l, account, r.Locale); err != nil {
			return err
		}
		return t.audit(ctx, event)
	})
	if errors.Is(err, errMailLimit) {
		return false, nil
	}
	return err == nil, err
}

// ResendVerification mails a new link for the newest registration of an address. It
// writes a link for nobody if there is none, and reports false as Register does.
func (db *DB) ResendVerification(ctx context.Context, actor telamon.Actor, email string, link MailedLink) (sent bool, err error) {
	err = db.update(ctx, func(t *txn) error {
		l, locale := link, ""
		l.Purpose, l.Email = LinkVerify, email
		rows, err := t.PendingRegistrations(ctx, queries.PendingRegistrationsParams{Email: email, Now: t.millis()})
		if err != nil {
			return fmt.Errorf("read registrations: %w", err)
		}
		event := telamon.Event{Actor: actor, Action: "user.resend", Result: "no_registration"}
		if len(rows) > 0 {
			l.Subject, l.ExpiresAt, locale = rows[0].ID, timeOf(min(rows[0].ExpiresAt, l.ExpiresAt.UnixMilli())), rows[0].Locale
			event.Object, event.Result = rows[0].ID, "ok"
		}
		if err := t.mailLink(ctx, &l, "", locale); err != nil {
			return err
		}
		return t.audit(ctx, event)
	})
	if errors.Is(err, errMailLimit) {
		return false, nil
	}
	return err == nil, err
}

// BeginVerification counts an attempt to verify a link's registration, and returns how many
// there were, this one included, and the registration. It reports NotFound with link_invalid.
func (db *DB) BeginVerification(ctx context.Context, link *MailedLink) (n int64, r Registration, err error) {
	err = db.update(ctx, func(t *txn) error {
		row, err := t.Registration(ctx, link.Subject)
		if err != nil {
			return found(err, "link_invalid", "registration")
		}
		if row.VerifiedAt != nil {
			return errLink()
		}
		r = registrationOf(row)
		n, err = t.ReserveAttempt(ctx, queries.ReserveAttemptParams{EmailHash: emailHash(row.ID), Now: t.millis()})
		if err != nil {
			return fmt.Errorf("count an attempt: %w", err)
		}
		return nil
	})
	return n, r, err
}

// DiscardRegistration forgets the registration of a link and ends its links. It reports
// NotFound with link_invalid.
func (db *DB) DiscardRegistration(ctx context.Context, actor telamon.Actor, link *MailedLink) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.useLink(ctx, link, LinkVerify); err != nil {
			return err
		}
		dropped, err := t.DropRegistration(ctx, link.Subject)
		if err != nil {
			return fmt.Errorf("discard registration %s: %w", link.Subject, err)
		}
		if dropped != 1 {
			return errLink()
		}
		if err := t.EndMailedLinks(ctx, queries.EndMailedLinksParams{Subject: link.Subject, Now: t.millis()}); err != nil {
			return fmt.Errorf("end links of %s: %w", link.Subject, err)
		}
		return t.audit(ctx, telamon.Event{Actor: actor, Action: "user.discard_registration", Object: link.Subject, Result: "ok"})
	})
}

// VerifyRegistration uses a link up and makes an account, whose name is its ID until its
// owner gives it one, with one user, who is at the stage "verified". It sets what the
// user takes from the registration. It reports NotFound with link_invalid, also if the
// address is a person's by now.
func (db *DB) VerifyRegistration(ctx context.Context, actor telamon.Actor, link *MailedLink, a *telamon.Account, u *telamon.User) error {
	err := db.update(ctx, func(t *txn) error {
		if err := t.useLink(ctx, link, LinkVerify); err != nil {
			return err
		}
		r, err := t.Registration(ctx, link.Subject)
		if err != nil {
			return found(err, "link_invalid", "registration")
		}
		verified, err := t.Queries.VerifyRegistration(ctx, queries.VerifyRegistrationParams{ID: r.ID, Now: t.millis()})
		if err != nil {
			return fmt.Errorf("verify registration %s: %w", r.ID, err)
		}
		if verified != 1 {
			return errLink()
		}
		u.Account, u.Email, u.Name, u.Locale, u.PasswordHash = a.ID, r.Email, r.Email, r.Locale, r.PasswordHash
		if err := t.createAccount(ctx, actor, a); err != nil {
			return err
		}
		if err := t.insertUser(ctx, actor, u); err != nil {
			return err
		}
		if err := t.InsertPerson(ctx, queries.InsertPersonParams{UserID: u.ID.String(), Stage: string(StageVerified)}); err != nil {
			return fmt.Errorf("insert person %s: %w", u.ID, err)
		}
		// What was counted before is of a stranger with this address.
		if _, err := t.Queries.ClearAttempts(ctx, emailHash(u.Email)); err != nil {
			return fmt.Errorf("clear attempts: %w", err)
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: a.ID, Action: "user.verify", Object: u.ID.String(), Result: "ok",
			After: map[string]any{"registration": r.ID},
		})
	})
	if violates(err, "account_user_email_is_unique") {
		return errLink()
	}
	return err
}

// personByEmail returns the person of an address in any state, nil if there is none.
func (t *txn) personByEmail(ctx context.Context, email string) (*telamon.User, error) {
	rows, err := t.PersonByEmail(ctx, email)
	if err != nil {
		return nil, fmt.Errorf("look an address up: %w", err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	u := userOf(rows[0])
	return &u, nil
}

// emailHash is the key of attempts.
func emailHash(email string) []byte {
	sum := sha256.Sum256([]byte(email))
	return sum[:]
}

// A Candidate is what a sign-in by an address is checked against.
type Candidate struct {
	User          *telamon.User  // nil: there is none
	Registrations []Registration // that wait for their link, the newest first; of no user
	LockedOut     bool           // the user's lock is because of failed attempts
	Stage         Stage          // of the user
	TOTP          bool           // the user has one-time passwords
	Passkeys      int            // of the user
}

// BeginAttempt counts an attempt to sign in and returns how many there were in a row,
// this one included, and whom it may be. Attempts are counted before they are judged, so
// that many at once are no more than one after the other.
func (db *DB) BeginAttempt(ctx context.Context, email string) (n int64, c *Candidate, err error) {
	err = db.update(ctx, func(t *txn) error {
		c = &Candidate{}
		var err error
		if n, err = t.ReserveAttempt(ctx, queries.ReserveAttemptParams{EmailHash: emailHash(email), Now: t.millis()}); err != nil {
			return fmt.Errorf("count an attempt: %w", err)
		}
		if c.User, err = t.personByEmail(ctx, email); err != nil {
			return err
		}
		if c.User != nil {
			return t.addPerson(ctx, c)
		}
		rows, err := t.PendingRegistrations(ctx, queries.PendingRegistrationsParams{Email: email, Now: t.millis()})
		c.Registrations = mapped(rows, registrationOf)
		return err
	})
	return n, c, err
}

func (t *txn) addPerson(ctx context.Context, c *Candidate) error {
	c.Stage = StageActive
	people, err := t.Person(ctx, c.User.ID.String())
	if err != nil {
		return fmt.Errorf("read person %s: %w", c.User.ID, err)
	}
	if len(people) > 0 {
		c.Stage, c.TOTP, c.LockedOut = Stage(people[0].Stage), people[0].TotpActive, people[0].LockedOut
	}
	passkeys, err := t.Passkeys(ctx, c.User.ID.String())
	c.Passkeys = len(passkeys)
	return err
}

// ReturnAttempt says that an attempt was right as far as it goes: a second factor is to
// follow, and its attempts go on counting.
func (db *DB) ReturnAttempt(ctx context.Context, email string) error {
	return db.update(ctx, func(t *txn) error { return t.Queries.ReturnAttempt(ctx, emailHash(email)) })
}

// LockOut locks a user because of failed attempts, tells them by mail and writes it in
// the audit log. It does nothing if the user is locked.
func (db *DB) LockOut(ctx context.Context, actor telamon.Actor, u *telamon.User, mail NoticeParams) error {
	return db.update(ctx, func(t *txn) error {
		locked, err := t.LockPerson(ctx, queries.LockPersonParams{ID: u.ID.String(), Now: t.millis()})
		if err != nil || locked == 0 {
			return err
		}
		if err := t.setLockedOut(ctx, u.ID, true); err != nil {
			return err
		}
		if err := t.changed(ctx, ChangeUser, u.ID.String()); err != nil {
			return err
		}
		if err := t.notice(ctx, u, mail); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: u.Account, Action: "user.lock", Object: u.ID.String(), Result: "ok",
			After: map[string]any{"because": "failed_attempts"},
		})
	})
}

func (t *txn) setLockedOut(ctx context.Context, id telamon.UserID, locked bool) error {
	if err := t.ensurePerson(ctx, id); err != nil {
		return err
	}
	_, err := t.SetLockedOut(ctx, queries.SetLockedOutParams{UserID: id.String(), LockedOut: locked})
	return err
}

// ensurePerson makes the row of a user who was made otherwise than by signing up.
func (t *txn) ensurePerson(ctx context.Context, id telamon.UserID) error {
	if err := t.InsertPerson(ctx, queries.InsertPersonParams{UserID: id.String(), Stage: string(StageActive)}); err != nil {
		return fmt.Errorf("insert person %s: %w", id, err)
	}
	return nil
}

// TemplateNotice is the name of the template of mails that tell people what was done to
// their sign-in. It takes NoticeParams.
const TemplateNotice = "sign_in_notice"

// NoticeParams are the parameters of such a mail.
type NoticeParams struct {
	What    string `json:"what"` // such as "password"
	Locale  string `json:"locale"`
	Address string `json:"address,omitempty"` // from where
}

func (t *txn) notice(ctx context.Context, u *telamon.User, p NoticeParams) error {
	p.Locale = u.Locale
	return t.mailParams(ctx, u.Account, u.Email, TemplateNotice, p)
}

// RequestReset mails a link that sets a new password, if the address is an active
// person's, and otherwise writes a link for nobody. It reports false as Register does.
func (db *DB) RequestReset(ctx context.Context, actor telamon.Actor, email string, link MailedLink) (sent bool, err error) {
	err = db.update(ctx, func(t *txn) error {
		l, locale := link, ""
		l.Purpose, l.Email = LinkReset, email
		event := telamon.Event{Actor: actor, Action: "user.request_reset", Result: "user_unknown"}
		user, err := t.personByEmail(ctx, email)
		if err != nil {
			return err
		}
		if user != nil && user.State == telamon.Active {
			l.Subject, locale = user.ID.String(), user.Locale
			event.Account, event.Object, event.Result = user.Account, user.ID.String(), "ok"
		}
		if err := t.mailLink(ctx, &l, event.Account, locale); err != nil {
			return err
		}
		return t.audit(ctx, event)
	})
	if errors.Is(err, errMailLimit) {
		return false, nil
	}
	return err == nil, err
}

// ResetPassword uses a link up, sets the password's hash, ends the user's sessions and
// other links, and the lock if it is because of failed attempts. It reports NotFound with
// link_invalid.
func (db *DB) ResetPassword(ctx context.Context, actor telamon.Actor, link *MailedLink, hash string, mail NoticeParams) (*telamon.User, error) {
	var user telamon.User
	err := db.update(ctx, func(t *txn) error {
		if err := t.useLink(ctx, link, LinkReset); err != nil {
			return err
		}
		row, err := t.UserByID(ctx, link.Subject)
		if err != nil {
			return found(err, "link_invalid", "user")
		}
		if user = userOf(row); user.State != telamon.Active {
			return errLink()
		}
		if err := t.setPassword(ctx, &user, hash); err != nil {
			return err
		}
		if err := t.liftLockOut(ctx, &user); err != nil {
			return err
		}
		if _, err := t.Queries.EndSessions(ctx, queries.EndSessionsParams{UserID: row.ID}); err != nil {
			return fmt.Errorf("end sessions of %s: %w", row.ID, err)
		}
		if err := t.EndMailedLinks(ctx, queries.EndMailedLinksParams{Subject: row.ID, Now: t.millis()}); err != nil {
			return fmt.Errorf("end links of %s: %w", row.ID, err)
		}
		if err := t.notice(ctx, &user, mail); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{Actor: actor, Account: user.Account, Action: "user.reset", Object: row.ID, Result: "ok"})
	})
	return &user, err
}

func (t *txn) setPassword(ctx context.Context, u *telamon.User, hash string) error {
	err := mustChange(t.SetUserPassword(ctx, queries.SetUserPasswordParams{AccountID: u.Account.String(), ID: u.ID.String(), PasswordHash: hash}))
	if err != nil {
		return fmt.Errorf("change password of user %s: %w", u.ID, err)
	}
	return t.changed(ctx, ChangeUser, u.ID.String())
}

// liftLockOut forgets failed attempts and ends the lock that is because of them.
func (t *txn) liftLockOut(ctx context.Context, u *telamon.User) error {
	if _, err := t.Queries.ClearAttempts(ctx, emailHash(u.Email)); err != nil {
		return fmt.Errorf("clear attempts: %w", err)
	}
	people, err := t.Person(ctx, u.ID.String())
	if err != nil || len(people) == 0 || !people[0].LockedOut {
		return err
	}
	if err := t.setLockedOut(ctx, u.ID, false); err != nil {
		return err
	}
	if _, err := t.UnlockPerson(ctx, u.ID.String()); err != nil {
		return fmt.Errorf("unlock user %s: %w", u.ID, err)
	}
	return nil
}

// ChangePassword sets the password's hash of the actor's own user, ends their other
// sessions and binds this one anew. It reports NotFound.
func (db *DB) ChangePassword(ctx context.Context, actor telamon.Actor, hash string, boundTo []byte, mail NoticeParams) error {
	return db.update(ctx, func(t *txn) error {
		row, err := t.User(ctx, queries.UserParams{AccountID: actor.Account.String(), ID: actor.User.String()})
		if err != nil {
			return found(err, "user_not_found", "user")
		}
		user := userOf(row)
		if err := t.setPassword(ctx, &user, hash); err != nil {
			return err
		}
		if _, err := t.Queries.EndSessions(ctx, queries.EndSessionsParams{UserID: row.ID, But: actor.Session.String()}); err != nil {
			return fmt.Errorf("end sessions of %s: %w", row.ID, err)
		}
		err = mustChange(t.BindSession(ctx, queries.BindSessionParams{ID: actor.Session.String(), UserID: row.ID, BoundTo: boundTo}))
		if err != nil {
			return fmt.Errorf("bind session %s: %w", actor.Session, err)
		}
		if err := t.notice(ctx, &user, mail); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: user.Account, Action: "user.set_password", Object: row.ID, Result: "ok",
		})
	})
}

func registrationOf(r queries.Registration) Registration {
	return Registration{
		ID: telamon.RegistrationID(r.ID), Email: r.Email, Locale: r.Locale, PasswordHash: r.PasswordHash,
		CreatedAt: timeOf(r.CreatedAt), ExpiresAt: timeOf(r.ExpiresAt),
	}
}
