package store

import (
	"context"
	"fmt"

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
	}))
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

func apiTokenOf(r queries.ApiToken) telamon.APIToken {
	return telamon.APIToken{
		ID: telamon.APITokenID(r.ID), Account: telamon.AccountID(r.AccountID), User: telamon.UserID(r.UserID), Name: r.Name,
		Lookup: r.Lookup, SecretMAC: r.SecretMac, PepperVersion: int(r.PepperVersion), State: telamon.State(r.State),
		EndsAt: timeOrZero(r.EndsAt), CreatedAt: timeOf(r.CreatedAt),
	}
}
