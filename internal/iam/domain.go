package iam

import (
	"cmp"
	"context"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// Claims belong to identities, and are made by pairs. People choose the identity; the pair
// is found here.

// maxClaimants is how many identities of an account are looked through.
const maxClaimants = 10_000

// validates reports whether a service demands that control of domains is shown.
func validates(s *telamon.Service) bool { return s.DomainValidation || s.StrictMPIC }

// validating returns the account's subscriptions to services that demand domain
// validation: those that see domains from several places first, whose validations count
// for the others too, and then the oldest.
func (s *IAM) validating(ctx context.Context, account telamon.AccountID) ([]telamon.SubscriptionID, error) {
	subs, err := s.store.Subscriptions(ctx, account, store.Page{Limit: maxOffers})
	if err != nil {
		return nil, err
	}
	strict, all := map[telamon.SubscriptionID]bool{}, []telamon.SubscriptionID{}
	for _, sub := range subs {
		service, err := s.store.Service(ctx, sub.Service)
		if err != nil {
			return nil, err
		}
		if validates(&service) {
			all = append(all, sub.ID)
			strict[sub.ID] = service.StrictMPIC
		}
	}
	slices.SortFunc(all, func(a, b telamon.SubscriptionID) int {
		if strict[a] != strict[b] {
			if strict[a] {
				return -1
			}
			return 1
		}
		return cmp.Compare(a, b)
	})
	return all, nil
}

// Claimants lists the identities of the account that can claim domains: those that fit a
// service which demands domain validation.
func (s *IAM) Claimants(ctx context.Context, actor telamon.Actor, account telamon.AccountID) ([]telamon.Identity, error) {
	if err := authz.Check(actor, authz.SubscriptionRead, account); err != nil {
		return nil, err
	}
	subs, err := s.validating(ctx, account)
	if err != nil {
		return nil, err
	}
	identities, err := s.store.Identities(ctx, account, store.Page{Limit: maxClaimants})
	if err != nil {
		return nil, err
	}
	var able []telamon.Identity
	for _, i := range identities {
		if i.State != telamon.IdentityActive {
			continue
		}
		switch _, err := s.fitting(ctx, account, subs, i.ID); {
		case err == nil:
			able = append(able, i)
		case fault.From(err).Kind == fault.Internal || fault.Is(err, fault.Unavailable):
			return nil, err
		}
	}
	return able, nil
}

// fitting returns the first of the subscriptions that the identity can be used with. It
// reports why the last one cannot, and Conflict with service_expired if there is none.
func (s *IAM) fitting(ctx context.Context, account telamon.AccountID, subs []telamon.SubscriptionID, identity telamon.IdentityID) (telamon.SubscriptionID, error) {
	err := error(fault.New(fault.Conflict, "service_expired", "Needs an active identity and an active product."))
	for _, sub := range subs {
		if err = s.mustFit(ctx, account, sub, identity); err == nil {
			return sub, nil
		}
	}
	return "", err
}

// DomainPair returns the pair by which people act for the claims of an identity of the
// account: with a service that demands domain validation and fits the identity. It makes
// the pair if there is none. Where no service fits any more it is a pair of the identity
// that there is, by which claims can still be deleted.
//
// It reports NotFound for an identity of another account, and what PairFor reports.
func (s *IAM) DomainPair(ctx context.Context, actor telamon.Actor, account telamon.AccountID, identity telamon.IdentityID) (telamon.Pair, error) {
	if err := mayPair(actor, account); err != nil {
		return telamon.Pair{}, err
	}
	if _, err := s.store.Identity(ctx, account, identity); err != nil {
		return telamon.Pair{}, err
	}
	subs, err := s.validating(ctx, account)
	if err != nil {
		return telamon.Pair{}, err
	}
	sub, unfit := s.fitting(ctx, account, subs, identity)
	if unfit == nil {
		return s.PairFor(ctx, actor, account, sub, identity)
	}
	pairs, err := s.store.PairsOf(ctx, account)
	if err != nil {
		return telamon.Pair{}, err
	}
	for _, p := range pairs {
		if p.Identity == identity {
			return p, nil
		}
	}
	return telamon.Pair{}, unfit
}
