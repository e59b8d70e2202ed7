package iam

import (
	"context"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// FittingIdentities lists the identities of the account that a credential for one of its
// subscriptions can speak for: they are active, and have what the service's policy needs.
// It reports NotFound.
func (s *IAM) FittingIdentities(ctx context.Context, actor telamon.Actor, account telamon.AccountID, subscription telamon.SubscriptionID) ([]telamon.Identity, error) {
	if err := authz.Check(actor, authz.IdentityRead, account); err != nil {
		return nil, err
	}
	sub, err := s.store.Subscription(ctx, account, subscription)
	if err != nil {
		return nil, err
	}
	service, err := s.store.Service(ctx, sub.Service)
	if err != nil {
		return nil, err
	}
	identities, err := s.store.Identities(ctx, account, store.Page{Limit: 1000})
	if err != nil {
		return nil, err
	}
	var fitting []telamon.Identity
	now := s.clock.Now()
	for _, i := range identities {
		if i.State != telamon.IdentityActive || !i.ExpiresAt.IsZero() && !i.ExpiresAt.After(now) {
			continue
		}
		err := s.mustMatch(ctx, &service, &i)
		if err == nil {
			fitting = append(fitting, i)
		} else if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Conflict) {
			return nil, err
		}
	}
	return fitting, nil
}
