package store

import (
	"context"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// CreateAPIToken writes a new API token of a user, who then has at most limit, and sets
// its State and CreatedAt. It reports NotFound if the account has no such user, and
// Conflict with name_taken or too_many_api_tokens.
func (db *DB) CreateAPIToken(ctx context.Context, actor telamon.Actor, k *telamon.APIToken, limit int) error {
	return nameFault(db.update(ctx, func(t *txn) error {
		if _, err := t.lockUser(ctx, k.Account, k.User); err != nil {
			return err
		}
		n, err := t.CountAPITokens(ctx, k.User.String())
		if err != nil {
			return fmt.Errorf("count API tokens of %s: %w", k.User, err)
		}
		if n >= int64(limit) {
			return fault.New(fault.Conflict, "too_many_api_tokens", fmt.Sprintf("The user has %d API tokens: delete one first.", n))
		}
		return t.insertAPIToken(ctx, actor, k)
	}), k.Name)
}

func (t *txn) insertAPIToken(ctx context.Context, actor telamon.Actor, k *telamon.APIToken) error {
	k.State, k.CreatedAt = telamon.Active, timeOf(t.millis())
	err := t.InsertAPIToken(ctx, queries.InsertAPITokenParams{
		ID: k.ID.String(), AccountID: k.Account.String(), UserID: k.User.String(), Name: k.Name, NameKey: nameKey(k.Name),
		Lookup: k.Lookup, SecretMac: k.SecretMAC, PepperVersion: int64(k.PepperVersion), State: string(k.State),
		EndsAt: millisOrNil(k.EndsAt), CreatedAt: t.millis(),
	})
	if err != nil {
		return fmt.Errorf("insert API token %s: %w", k.ID, err)
	}
	if err := t.changed(ctx, ChangeAPIToken, k.ID.String()); err != nil {
		return err
	}
	return t.audit(ctx, telamon.Event{
		Actor: actor, Account: k.Account, Action: "api_token.create", Object: k.ID.String(), Result: "ok",
		After: map[string]any{"user": k.User, "name": k.Name, "lookup": k.Lookup, "ends_at": timeOrNil(k.EndsAt)},
	})
}

// APIToken returns an API token of the account. It reports NotFound, also for one that is
// deleted.
func (db *DB) APIToken(ctx context.Context, account telamon.AccountID, id telamon.APITokenID) (telamon.APIToken, error) {
	row, err := db.queries().APIToken(ctx, queries.APITokenParams{AccountID: account.String(), ID: id.String()})
	return apiTokenOf(row), db.judge(ctx, found(err, "api_token_not_found", "API token"))
}

// APITokens lists the API tokens of a user that are not deleted.
func (db *DB) APITokens(ctx context.Context, account telamon.AccountID, user telamon.UserID) ([]telamon.APIToken, error) {
	rows, err := db.queries().APITokensOfUser(ctx, queries.APITokensOfUserParams{AccountID: account.String(), UserID: user.String()})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list API tokens of %s: %w", user, err))
	}
	return mapped(rows, apiTokenOf), nil
}

// An APITokenChange says what to change of an API token. What is nil stays.
type APITokenChange struct {
	Name    *string
	EndsAt  *time.Time // the zero time removes the end
	Enabled *bool
}

// UpdateAPIToken changes an API token and returns it as it is now. It reports NotFound,
// Conflict with name_taken, and Invalid with api_token_ended.
func (db *DB) UpdateAPIToken(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.APITokenID, c APITokenChange) (telamon.APIToken, error) {
	var after telamon.APIToken
	err := db.update(ctx, func(t *txn) error {
		row, err := t.LockAPIToken(ctx, queries.LockAPITokenParams{AccountID: account.String(), ID: id.String()})
		if err != nil {
			return found(err, "api_token_not_found", "API token")
		}
		before := apiTokenOf(row)
		if before.Ended(t.now) {
			return fault.New(fault.Invalid, "api_token_ended", "The API token has expired: it cannot be changed. Make a new one.")
		}
		after = before
		c.apply(&after)
		return t.updateAPIToken(ctx, actor, before, after)
	})
	return after, nameFault(err, after.Name)
}

func (c APITokenChange) apply(k *telamon.APIToken) {
	if c.Name != nil {
		k.Name = *c.Name
	}
	if c.EndsAt != nil {
		k.EndsAt = *c.EndsAt
	}
	if c.Enabled != nil {
		k.State = telamon.Disabled
		if *c.Enabled {
			k.State = telamon.Active
		}
	}
}

// updateAPIToken writes what differs, with an event for its name and end and one for its
// state, and nothing if nothing differs.
func (t *txn) updateAPIToken(ctx context.Context, actor telamon.Actor, before, after telamon.APIToken) error {
	var events []telamon.Event
	if before.Name != after.Name || !before.EndsAt.Equal(after.EndsAt) {
		of := func(k telamon.APIToken) any { return map[string]any{"name": k.Name, "ends_at": timeOrNil(k.EndsAt)} }
		events = append(events, telamon.Event{
			Actor: actor, Account: after.Account, Action: "api_token.update", Object: after.ID.String(), Result: "ok",
			Before: of(before), After: of(after),
		})
	}
	if before.State != after.State {
		events = append(events, stateEvent(actor, after.Account, "api_token", after.ID.String(), before.State, after.State))
	}
	if len(events) == 0 {
		return nil
	}
	err := mustChange(t.UpdateAPIToken(ctx, queries.UpdateAPITokenParams{
		AccountID: after.Account.String(), ID: after.ID.String(), Name: after.Name, NameKey: nameKey(after.Name),
		EndsAt: millisOrNil(after.EndsAt), State: string(after.State),
	}))
	if err != nil {
		return fmt.Errorf("change API token %s: %w", after.ID, err)
	}
	for _, e := range events {
		if err := t.audit(ctx, e); err != nil {
			return err
		}
	}
	return t.changed(ctx, ChangeAPIToken, after.ID.String())
}

// DeleteAPIToken ends an API token for ever; its name is free again. It reports NotFound.
func (db *DB) DeleteAPIToken(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.APITokenID) error {
	return db.update(ctx, func(t *txn) error {
		row, err := t.LockAPIToken(ctx, queries.LockAPITokenParams{AccountID: account.String(), ID: id.String()})
		if err != nil {
			return found(err, "api_token_not_found", "API token")
		}
		return t.deleteAPIToken(ctx, actor, apiTokenOf(row))
	})
}

func (t *txn) deleteAPIToken(ctx context.Context, actor telamon.Actor, k telamon.APIToken) error {
	err := mustChange(t.DeleteAPIToken(ctx, queries.DeleteAPITokenParams{AccountID: k.Account.String(), ID: k.ID.String()}))
	if err != nil {
		return fmt.Errorf("delete API token %s: %w", k.ID, err)
	}
	if err := t.changed(ctx, ChangeAPIToken, k.ID.String()); err != nil {
		return err
	}
	return t.audit(ctx, stateEvent(actor, k.Account, "api_token", k.ID.String(), k.State, telamon.Deleted))
}

func apiTokenOf(r queries.ApiToken) telamon.APIToken {
	return telamon.APIToken{
		ID: telamon.APITokenID(r.ID), Account: telamon.AccountID(r.AccountID), User: telamon.UserID(r.UserID), Name: r.Name,
		Lookup: r.Lookup, SecretMAC: r.SecretMac, PepperVersion: int(r.PepperVersion), State: telamon.State(r.State),
		EndsAt: timeOrZero(r.EndsAt), CreatedAt: timeOf(r.CreatedAt),
	}
}
