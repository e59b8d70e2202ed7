package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// CreateSubscription writes an account's subscription to a service and sets
// CreatedAt. It reports NotFound if there is no such account or service.
func (db *DB) CreateSubscription(ctx context.Context, actor telamon.Actor, s *telamon.Subscription) error {
	return db.update(ctx, func(t *txn) error {
		if err := t.mustHaveAccount(ctx, s.Account); err != nil {
			return err
		}
		return t.createSubscription(ctx, actor, s)
	})
}

// createSubscription writes a subscription of an account that exists.
func (t *txn) createSubscription(ctx context.Context, actor telamon.Actor, s *telamon.Subscription) error {
	if _, err := t.Service(ctx, s.Service.String()); err != nil {
		return found(err, "service_not_found", "service")
	}
	s.CreatedAt = timeOf(t.millis())
	err := t.InsertSubscription(ctx, queries.InsertSubscriptionParams{
		ID: s.ID.String(), AccountID: s.Account.String(), ServiceID: s.Service.String(), CreatedAt: t.millis(),
	})
	if err != nil {
		return fmt.Errorf("insert subscription %s: %w", s.ID, err)
	}
	if err := t.changed(ctx, ChangeSubscription, s.ID.String()); err != nil {
		return err
	}
	return t.audit(ctx, telamon.Event{
		Actor: actor, Account: s.Account, Action: "subscription.create", Object: s.ID.String(), Result: "ok",
		After: map[string]any{"service": s.Service},
	})
}

// Subscription returns a subscription of the account. It reports NotFound.
func (db *DB) Subscription(ctx context.Context, account telamon.AccountID, id telamon.SubscriptionID) (telamon.Subscription, error) {
	row, err := db.queries().Subscription(ctx, queries.SubscriptionParams{AccountID: account.String(), ID: id.String()})
	return subscriptionOf(row), db.judge(ctx, found(err, "subscription_not_found", "subscription"))
}

// Subscriptions lists the subscriptions of the account.
func (db *DB) Subscriptions(ctx context.Context, account telamon.AccountID, page Page) ([]telamon.Subscription, error) {
	rows, err := db.queries().Subscriptions(ctx, queries.SubscriptionsParams{
		AccountID: account.String(), After: page.After, Lim: page.limit(),
	})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list subscriptions of %s: %w", account, err))
	}
	return mapped(rows, subscriptionOf), nil
}

// GrantLot adds a lot to the quota of one of the account's subscriptions; nothing
// of it is used. It reports NotFound if the account has no such subscription.
func (db *DB) GrantLot(ctx context.Context, actor telamon.Actor, account telamon.AccountID, lot *telamon.Lot) error {
	return db.update(ctx, func(t *txn) error {
		_, err := t.Subscription(ctx, queries.SubscriptionParams{AccountID: account.String(), ID: lot.Subscription.String()})
		if err != nil {
			return found(err, "subscription_not_found", "subscription")
		}
		return t.grantLot(ctx, actor, account, lot)
	})
}

// grantLot adds a lot to a subscription of the account that exists.
func (t *txn) grantLot(ctx context.Context, actor telamon.Actor, account telamon.AccountID, lot *telamon.Lot) error {
	lot.Used = 0
	err := t.InsertLot(ctx, queries.InsertLotParams{
		ID: lot.ID.String(), SubscriptionID: lot.Subscription.String(), Amount: lot.Amount,
		StartsAt: lot.StartsAt.UnixMilli(), ExpiresAt: lot.ExpiresAt.UnixMilli(), CreatedAt: t.millis(),
	})
	if err != nil {
		return fmt.Errorf("insert lot %s: %w", lot.ID, err)
	}
	return t.audit(ctx, telamon.Event{
		Actor: actor, Account: account, Action: "subscription.grant", Object: lot.Subscription.String(), Result: "ok",
		After: map[string]any{"lot": lot.ID, "amount": lot.Amount, "starts_at": lot.StartsAt, "expires_at": lot.ExpiresAt},
	})
}

// Lots returns every lot of one of the account's subscriptions, in the order in
// which they are drawn; none if the account has no such subscription.
func (db *DB) Lots(ctx context.Context, account telamon.AccountID, subscription telamon.SubscriptionID) ([]telamon.Lot, error) {
	rows, err := db.queries().Lots(ctx, queries.LotsParams{AccountID: account.String(), SubscriptionID: subscription.String()})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list lots of %s: %w", subscription, err))
	}
	return mapped(rows, lotOf), nil
}

func lotOf(r queries.QuotaLot) telamon.Lot {
	return telamon.Lot{
		ID: telamon.LotID(r.ID), Subscription: telamon.SubscriptionID(r.SubscriptionID), Amount: r.Amount, Used: r.Used,
		StartsAt: timeOf(r.StartsAt), ExpiresAt: timeOf(r.ExpiresAt),
	}
}

// pairOf returns the pair of a subscription and an identity of one account, which
// it makes if there is none. It reports NotFound if the account has not both.
func (t *txn) pairOf(ctx context.Context, account telamon.AccountID, subscription telamon.SubscriptionID, identity telamon.IdentityID) (telamon.PairID, error) {
	row, err := t.PairOf(ctx, queries.PairOfParams{
		AccountID: account.String(), SubscriptionID: subscription.String(), IdentityID: identity.String(),
	})
	if err == nil {
		return telamon.PairID(row.ID), nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read pair: %w", err)
	}
	if _, err := t.Subscription(ctx, queries.SubscriptionParams{AccountID: account.String(), ID: subscription.String()}); err != nil {
		return 0, found(err, "subscription_not_found", "subscription")
	}
	if _, err := t.Identity(ctx, queries.IdentityParams{AccountID: account.String(), ID: identity.String()}); err != nil {
		return 0, found(err, "identity_not_found", "identity")
	}
	id, err := t.NextPairID(ctx)
	if err != nil {
		return 0, fmt.Errorf("number a pair: %w", err)
	}
	err = t.InsertPair(ctx, queries.InsertPairParams{
		ID: id, AccountID: account.String(), SubscriptionID: subscription.String(), IdentityID: identity.String(), CreatedAt: t.millis(),
	})
	if violates(err, "pair_pkey") || violates(err, "pair_is_unique") {
		return 0, errAgain // another replica made a pair meanwhile
	}
	if err != nil {
		return 0, fmt.Errorf("insert pair: %w", err)
	}
	return telamon.PairID(id), nil
}

// MakePair makes the pair of a subscription and an identity of one account if there is
// none, and reports whether it did. It reports NotFound if the account has not both.
func (db *DB) MakePair(ctx context.Context, account telamon.AccountID, subscription telamon.SubscriptionID, identity telamon.IdentityID) (pair telamon.Pair, made bool, err error) {
	err = db.update(ctx, func(t *txn) error {
		known, err := t.PairOf(ctx, queries.PairOfParams{
			AccountID: account.String(), SubscriptionID: subscription.String(), IdentityID: identity.String(),
		})
		if pair, made = pairOf(known), errors.Is(err, sql.ErrNoRows); !made {
			return err
		}
		id, err := t.pairOf(ctx, account, subscription, identity)
		if err != nil {
			return err
		}
		pair = telamon.Pair{ID: id, Account: account, Subscription: subscription, Identity: identity}
		return t.changed(ctx, ChangePair, strconv.FormatInt(int64(id), 10))
	})
	return pair, made, err
}

// PairsOf returns the pairs of an account, the oldest first.
func (db *DB) PairsOf(ctx context.Context, account telamon.AccountID) ([]telamon.Pair, error) {
	rows, err := db.queries().PairsOfAccount(ctx, account.String())
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read the pairs of %s: %w", account, err))
	}
	return mapped(rows, pairOf), nil
}

// Pairs returns every pair.
func (db *DB) Pairs(ctx context.Context) ([]telamon.Pair, error) {
	rows, err := db.queries().AllPairs(ctx)
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("read pairs: %w", err))
	}
	return mapped(rows, pairOf), nil
}

// Pair returns a pair. It reports NotFound.
func (db *DB) Pair(ctx context.Context, id telamon.PairID) (telamon.Pair, error) {
	row, err := db.queries().PairByID(ctx, int64(id))
	return pairOf(row), db.judge(ctx, found(err, "pair_not_found", "pair"))
}

func subscriptionOf(r queries.Subscription) telamon.Subscription {
	return telamon.Subscription{
		ID: telamon.SubscriptionID(r.ID), Account: telamon.AccountID(r.AccountID), Service: telamon.ServiceID(r.ServiceID),
		CreatedAt: timeOf(r.CreatedAt),
	}
}

func pairOf(r queries.Pair) telamon.Pair {
	return telamon.Pair{
		ID: telamon.PairID(r.ID), Account: telamon.AccountID(r.AccountID),
		Subscription: telamon.SubscriptionID(r.SubscriptionID), Identity: telamon.IdentityID(r.IdentityID),
	}
}
