package iam

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// An Offer is a service as an account that subscribes to it sees it.
type Offer struct {
	Subscription telamon.Subscription
	Service      telamon.Service
	// Live reports whether the subscription has a term that has not ended: without one
	// no credential can be made for it.
	Live bool
	// Left is what is left of the quota of the terms that run, Granted what they began
	// with. Both are 0 if the service is Unlimited.
	Left, Granted int64
	EndsAt        time.Time // of the last term; zero if the service is Unlimited or there is none
}

// maxOffers is how many subscriptions of an account are offered.
const maxOffers = 1000

// Offers lists the services that the account subscribes to.
func (s *IAM) Offers(ctx context.Context, actor telamon.Actor, account telamon.AccountID) ([]Offer, error) {
	if err := authz.Check(actor, authz.SubscriptionRead, account); err != nil {
		return nil, err
	}
	subs, err := s.store.Subscriptions(ctx, account, store.Page{Limit: maxOffers})
	if err != nil {
		return nil, err
	}
	offers := make([]Offer, 0, len(subs))
	for _, sub := range subs {
		o := Offer{Subscription: sub}
		if o.Service, err = s.store.Service(ctx, sub.Service); err != nil {
			return nil, err
		}
		if err := s.addQuota(ctx, &o); err != nil {
			return nil, err
		}
		offers = append(offers, o)
	}
	return offers, nil
}

// addQuota adds to an offer what is left of its terms.
func (s *IAM) addQuota(ctx context.Context, o *Offer) error {
	if o.Service.Unlimited {
		o.Live = true
		return nil
	}
	lots, err := s.store.Lots(ctx, o.Subscription.Account, o.Subscription.ID)
	if err != nil {
		return fmt.Errorf("read the quota of %s: %w", o.Subscription.ID, err)
	}
	now := s.clock.Now()
	for _, lot := range lots {
		if !lot.ExpiresAt.After(now) {
			continue
		}
		o.Live = true
		if lot.ExpiresAt.After(o.EndsAt) {
			o.EndsAt = lot.ExpiresAt
		}
		if !lot.StartsAt.After(now) {
			o.Granted += lot.Amount
			o.Left += max(lot.Amount-lot.Used, 0)
		}
	}
	return nil
}

// PairOf returns the subscription and identity of a pair of the account. It reports
// NotFound if the pair is another account's.
func (s *IAM) PairOf(ctx context.Context, actor telamon.Actor, account telamon.AccountID, id telamon.PairID) (telamon.Pair, error) {
	if err := authz.Check(actor, authz.SubscriptionRead, account); err != nil {
		return telamon.Pair{}, err
	}
	pair, err := s.store.Pair(ctx, id)
	if err != nil {
		return telamon.Pair{}, err
	}
	if pair.Account != account {
		return telamon.Pair{}, fault.New(fault.NotFound, "pair_not_found", "There is no such pair.")
	}
	return pair, nil
}

// Pairs lists the pairs of the account, the oldest first.
func (s *IAM) Pairs(ctx context.Context, actor telamon.Actor, account telamon.AccountID) ([]telamon.Pair, error) {
	if err := authz.Check(actor, authz.SubscriptionRead, account); err != nil {
		return nil, err
	}
	return s.store.PairsOf(ctx, account)
}

// pairWork are the actions that a pair is made for.
var pairWork = []authz.Action{authz.CertificateIssue, authz.ClaimSubmit, authz.CredentialCreate}

// mayPair returns nil if the actor may do something for which pairs are made.
func mayPair(actor telamon.Actor, account telamon.AccountID) error {
	if err := authz.Check(actor, authz.SubscriptionRead, account); err != nil {
		return err
	}
	may := func(action authz.Action) bool { return authz.Check(actor, action, account) == nil }
	if !slices.ContainsFunc(pairWork, may) {
		return authz.Check(actor, authz.CredentialCreate, account)
	}
	return nil
}

// PairFor returns the pair of a subscription and an identity of the account that can be
// used together, for whoever may do something with it. It makes the pair if there is none.
//
// It reports NotFound, Conflict with identity_not_active or service_expired, and Invalid
// if the identity lacks what the service's policy needs.
func (s *IAM) PairFor(ctx context.Context, actor telamon.Actor, account telamon.AccountID, subscription telamon.SubscriptionID, identity telamon.IdentityID) (telamon.Pair, error) {
	if err := mayPair(actor, account); err != nil {
		return telamon.Pair{}, err
	}
	if err := s.mustFit(ctx, account, subscription, identity); err != nil {
		return telamon.Pair{}, err
	}
	pair, made, err := s.store.MakePair(ctx, account, subscription, identity)
	if err == nil && made {
		s.changed(ctx, store.ChangePair, strconv.FormatInt(int64(pair.ID), 10))
	}
	return pair, err
}
