package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A UserChange says what to change of a user. What is nil stays.
type UserChange struct {
	Name        *string
	Description *string
	Email       *string
	Locale      *string
	EndsAt      *time.Time // the zero time removes the end
	Roles       []string   // all that the user has then; not nil but empty: none
}

// UpdateUser changes a user and returns the user as they are now. It reports NotFound, and
// Conflict with name_taken, email_taken, last_administrator or administrator_limit.
//
// may is asked, in the transaction, about the user as they are and as they would be; what
// it returns ends the change. It must not use the store.
func (db *DB) UpdateUser(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID, c UserChange, may func(before, after *telamon.User) error) (telamon.User, error) {
	var after telamon.User
	err := db.update(ctx, func(t *txn) error {
		before, err := t.lockUser(ctx, account, id)
		if err != nil {
			return err
		}
		after = before
		c.apply(&after)
		if err := may(&before, &after); err != nil {
			return err
		}
		return t.updateUser(ctx, actor, before, after)
	})
	return after, nameFault(err, after.Name)
}

func (c UserChange) apply(u *telamon.User) {
	if c.Name != nil {
		u.Name = *c.Name
	}
	if c.Description != nil {
		u.Description = *c.Description
	}
	if c.Email != nil {
		u.Email = *c.Email
	}
	if c.Locale != nil {
		u.Locale = *c.Locale
	}
	if c.EndsAt != nil {
		u.EndsAt = *c.EndsAt
	}
	if c.Roles != nil {
		u.Roles = c.Roles
	}
}

// updateUser writes what differs, with an event for the user's data and one for their
// roles, and nothing if nothing differs.
func (t *txn) updateUser(ctx context.Context, actor telamon.Actor, before, after telamon.User) error {
	event := telamon.Event{Actor: actor, Account: after.Account, Object: after.ID.String(), Result: "ok"}
	var events []telamon.Event
	if was, is := dataOf(before), dataOf(after); was != is {
		event.Action, event.Before, event.After = "user.update", was, is
		events = append(events, event)
	}
	if !slices.Equal(before.Roles, after.Roles) {
		event.Action, event.Before, event.After = "user.set_roles", map[string]any{"roles": before.Roles}, map[string]any{"roles": after.Roles}
		events = append(events, event)
	}
	if len(events) == 0 {
		return nil
	}
	p := queries.UpdateUserParams{
		AccountID: after.Account.String(), ID: after.ID.String(), Name: after.Name, NameKey: nameKey(after.Name), Email: after.Email,
		Description: after.Description, Locale: after.Locale, Roles: strings.Join(after.Roles, " "), EndsAt: millisOrNil(after.EndsAt),
	}
	if after.Kind == telamon.ServiceUser { // as in insertUser
		p.Email, p.Contact = p.ID, after.Email
	}
	if err := t.mayBecome(ctx, &before, &after); err != nil {
		return err
	}
	if err := t.endRoles(ctx, before, after); err != nil {
		return err
	}
	if err := mustChange(t.UpdateUser(ctx, p)); err != nil {
		return fmt.Errorf("change user %s: %w", after.ID, err)
	}
	for _, e := range events {
		if err := t.audit(ctx, e); err != nil {
			return err
		}
	}
	return t.changed(ctx, ChangeUser, p.ID)
}

// endRoles keeps an account's last administrator from losing the role, and ends the
// sessions of a user whose roles change: they were begun with the old ones. It reports
// Conflict with last_administrator.
func (t *txn) endRoles(ctx context.Context, before, after telamon.User) error {
	if slices.Equal(before.Roles, after.Roles) {
		return nil
	}
	if !slices.Contains(after.Roles, roleAdministrator) {
		if err := t.keepAdministrator(ctx, &before); err != nil {
			return err
		}
	}
	if _, err := t.Queries.EndSessions(ctx, queries.EndSessionsParams{UserID: after.ID.String()}); err != nil {
		return fmt.Errorf("end sessions of %s: %w", after.ID, err)
	}
	return nil
}

// userData is what the audit log has of a user's data.
type userData struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Email       string `json:"email"`
	Locale      string `json:"locale"`
	EndsAt      string `json:"ends_at,omitempty"`
}

func dataOf(u telamon.User) userData {
	data := userData{Name: u.Name, Description: u.Description, Email: u.Email, Locale: u.Locale}
	if !u.EndsAt.IsZero() {
		data.EndsAt = u.EndsAt.Format(time.RFC3339)
	}
	return data
}

// DeleteUser ends a user for ever, and with them, in one transaction, all that they
// authenticate by: API tokens are deleted, client certificates are deleted and revoked
// for cessationOfOperation, and no PKCS #12 file of theirs can be fetched any more. It
// returns what changed. It reports NotFound, and Conflict if the user is deleted.
func (db *DB) DeleteUser(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.UserID) ([]Change, error) {
	var changes []Change
	var serials []telamon.Serial
	err := db.update(ctx, func(t *txn) error {
		changes, serials = []Change{{Kind: ChangeUser, Object: id.String()}}, nil
		if err := t.setUserState(ctx, actor, account, id, telamon.Deleted); err != nil {
			return err
		}
		tokens, err := t.LockAPITokensOfUser(ctx, queries.LockAPITokensOfUserParams{AccountID: account.String(), UserID: id.String()})
		if err != nil {
			return fmt.Errorf("list API tokens of %s: %w", id, err)
		}
		for _, k := range mapped(tokens, apiTokenOf) {
			if err := t.deleteAPIToken(ctx, actor, k); err != nil {
				return err
			}
			changes = append(changes, Change{Kind: ChangeAPIToken, Object: k.ID.String()})
		}
		// In the order of CRL shards, so that replicas cannot deadlock.
		certs, err := t.LockCertsOfUser(ctx, queries.LockCertsOfUserParams{AccountID: account.String(), UserID: textOrNil(id)})
		if err != nil {
			return fmt.Errorf("list client certificates of %s: %w", id, err)
		}
		for _, row := range certs {
			if err := t.deleteUserCert(ctx, actor, row); err != nil {
				return err
			}
			changes = append(changes, Change{Kind: ChangeClientCert, Object: row.ID})
			serials = append(serials, telamon.Serial(row.Serial))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, serial := range serials {
		db.revoked(serial)
	}
	return changes, nil
}
