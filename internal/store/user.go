package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// CreateUser writes a new user, who is active, and sets Kind, if there is none, to that of
// people, Locale likewise, and CreatedAt. It reports NotFound if there is no such account,
// and Conflict with email_taken if a person of this address exists on the platform, with
// name_taken if a service user of this name exists in the account, or with
// administrator_limit.
func (db *DB) CreateUser(ctx context.Context, actor telamon.Actor, u *telamon.User) error {
	return nameFault(db.update(ctx, func(t *txn) error { return t.insertUser(ctx, actor, u) }), u.Name)
}

// CreateServiceUser is CreateUser of a service user together with an API token of theirs.
func (db *DB) CreateServiceUser(ctx context.Context, actor telamon.Actor, u *telamon.User, k *telamon.APIToken) error {
	return nameFault(db.update(ctx, func(t *txn) error {
		if err := t.insertUser(ctx, actor, u); err != nil {
			return err
		}
		return t.insertAPIToken(ctx, actor, k)
	}), u.Name)
}

func (t *txn) insertUser(ctx context.Context, actor telamon.Actor, u *telamon.User) error {
	if err := t.mustHaveAccount(ctx, u.Account); err != nil {
		return err
	}
	u.State, u.CreatedAt = telamon.Active, timeOf(t.millis())
	u.Kind, u.Locale = cmp.Or(u.Kind, telamon.StandardUser), cmp.Or(u.Locale, defaultLocale)
	if err := t.mayBecome(ctx, &telamon.User{}, u); err != nil {
		return err
	}
	p := queries.InsertUserParams{
		ID: u.ID.String(), AccountID: u.Account.String(), Email: u.Email, Name: u.Name, PasswordHash: u.PasswordHash,
		Roles: strings.Join(u.Roles, " "), State: string(u.State), CreatedAt: t.millis(), Kind: string(u.Kind),
		NameKey: nameKey(u.Name), Description: u.Description, Locale: u.Locale, EndsAt: millisOrNil(u.EndsAt),
		CreatedBy: u.CreatedBy.String(),
	}
	if u.Kind == telamon.ServiceUser { // whose address need not be unique, as the column must
		p.Email, p.Contact = p.ID, u.Email
	}
	if err := t.InsertUser(ctx, p); err != nil {
		return fmt.Errorf("insert user %s: %w", u.ID, err)
	}
	if err := t.changed(ctx, ChangeUser, p.ID); err != nil {
		return err
	}
	return t.audit(ctx, telamon.Event{
		Actor: actor, Account: u.Account, Action: "user.create", Object: u.ID.String(), Result: "ok",
		After: map[string]any{"kind": u.Kind, "email": u.Email, "name": u.Name, "roles": u.Roles},
	})
}

// nameFault turns the violation of a rule about names into a Conflict.
func nameFault(err error, name string) error {
	switch {
	case violates(err, "account_user_email_is_unique"):
		return fault.New(fault.Conflict, "email_taken", "A user of this e-mail address exists.")
	case violates(err, "account_user_friendly_name_is_unique"), violates(err, "api_token_name_is_unique"):
		return fault.New(fault.Conflict, "name_taken", fmt.Sprintf(nicknameTaken, name))
	}
	return err
}

// nicknameTaken is what a user is told of a name that is in use (digicert-one.md, Section 4.2).
const nicknameTaken = "Nickname %s already exists. Enter a different nickname."

// defaultLocale is that of a user who chose none.
const defaultLocale = "en_US"

// nameKey is what names are compared by where case does not count.
func nameKey(name string) string { return strings.ToLower(name) }

// mustHaveAccount reports NotFound unless the account exists and is not deleted.
func (t *txn) mustHaveAccount(ctx context.Context, id telamon.AccountID) error {
	row, err := t.Account(ctx, id.String())
	if err != nil {
		return found(err, "account_not_found", "account")
	}
	if telamon.State(row.State) == telamon.Deleted {
		return fault.New(fault.Conflict, "wrong_state", "The account is deleted.")
	}
	return nil
}

// User returns a user of the account. It reports NotFound.
func (db *DB) User(ctx context.Context, account telamon.AccountID, id telamon.UserID) (telamon.User, error) {
	row, err := db.queries().User(ctx, queries.UserParams{AccountID: account.String(), ID: id.String()})
	return userOf(row), db.judge(ctx, found(err, "user_not_found", "user"))
}

// lockUser returns a user of the account who is not deleted, and keeps others from
// changing the user until the transaction ends. It reports NotFound.
func (t *txn) lockUser(ctx context.Context, account telamon.AccountID, id telamon.UserID) (telamon.User, error) {
	row, err := t.LockUser(ctx, queries.LockUserParams{AccountID: account.String(), ID: id.String()})
	if err == nil && telamon.State(row.State) == telamon.Deleted {
		err = sql.ErrNoRows
	}
	if err != nil {
		return telamon.User{}, found(err, "user_not_found", "user")
	}
	return userOf(row), nil
}

// Users lists the users of the account.
func (db *DB) Users(ctx context.Context, account telamon.AccountID, page Page) ([]telamon.User, error) {
	rows, err := db.queries().Users(ctx, queries.UsersParams{AccountID: account.String(), After: page.After, Lim: page.limit()})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list users of %s: %w", account, err))
	}
	return mapped(rows, userOf), nil
}

// LiveUsers lists the users of the account who are not deleted, of one kind or, if it is
// empty, of all.
func (db *DB) LiveUsers(ctx context.Context, account telamon.AccountID, kind telamon.UserKind, page Page) ([]telamon.User, error) {
	rows, err := db.queries().LiveUsers(ctx, queries.LiveUsersParams{
		AccountID: account.String(), Kind: string(kind), After: page.After, Lim: page.limit(),
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list users of %s: %w", account, err))
	}
	return mapped(rows, userOf), nil
}

// SetUserState disables or enables a user, or deletes them as [DB.DeleteUser] does. It
// reports NotFound, and Conflict if the user's state does not allow it, and with
// last_administrator and administrator_limit.
func (db *DB) SetUserState(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, to telamon.State) error {
	if to == telamon.Deleted {
		_, err := db.DeleteUser(ctx, actor, account, id)
		return err
	}
	return db.update(ctx, func(t *txn) error { return t.setUserState(ctx, actor, account, id, to) })
}

func (t *txn) setUserState(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, to telamon.State) error {
	row, err := t.LockUser(ctx, queries.LockUserParams{AccountID: account.String(), ID: id.String()})
	if err != nil {
		return found(err, "user_not_found", "user")
	}
	from := telamon.State(row.State)
	if err := checkStateChange(from, to); err != nil {
		return err
	}
	user := userOf(row)
	after := user
	after.State = to
	if err := t.mayBecome(ctx, &user, &after); err != nil {
		return err
	}
	if to != telamon.Active {
		if err := t.keepAdministrator(ctx, &user); err != nil {
			return err
		}
		if _, err := t.Queries.EndSessions(ctx, queries.EndSessionsParams{UserID: id.String()}); err != nil {
			return fmt.Errorf("end sessions of %s: %w", id, err)
		}
	}
	err = mustChange(t.SetUserState(ctx, queries.SetUserStateParams{
		AccountID: account.String(), ID: id.String(), FromState: string(from), ToState: string(to),
	}))
	if err != nil {
		return fmt.Errorf("change state of user %s: %w", id, err)
	}
	if err := t.changed(ctx, ChangeUser, id.String()); err != nil {
		return err
	}
	return t.audit(ctx, stateEvent(actor, account, "user", id.String(), from, to))
}

// SetUserPassword replaces the hash of a user's password. It reports NotFound for
// a deleted user too.
func (db *DB) SetUserPassword(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, hash string) error {
	return db.update(ctx, func(t *txn) error {
		changed, err := t.SetUserPassword(ctx, queries.SetUserPasswordParams{
			AccountID: account.String(), ID: id.String(), PasswordHash: hash,
		})
		if err != nil {
			return fmt.Errorf("change password of user %s: %w", id, err)
		}
		if changed != 1 {
			return fault.New(fault.NotFound, "user_not_found", "There is no such user.")
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: account, Action: "user.set_password", Object: id.String(), Result: "ok",
		})
	})
}

func userOf(r queries.AccountUser) telamon.User {
	u := telamon.User{
		ID: telamon.UserID(r.ID), Account: telamon.AccountID(r.AccountID), Kind: telamon.UserKind(r.Kind), Email: r.Email, Name: r.Name,
		Description: r.Description, Locale: r.Locale, PasswordHash: r.PasswordHash, Roles: strings.Fields(r.Roles),
		State: telamon.State(r.State), EndsAt: timeOrZero(r.EndsAt), LockedAt: timeOrZero(r.LockedAt),
		CreatedBy: telamon.UserID(r.CreatedBy), CreatedAt: timeOf(r.CreatedAt),
	}
	if u.Kind == telamon.ServiceUser {
		u.Email = r.Contact
	}
	return u
}
