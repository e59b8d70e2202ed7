package iam_test

import (
	"slices"
	"testing"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
)

// TestDomainPairs holds which identities can claim domains, and by which pair.
func TestDomainPairs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		claimants := func() (names []telamon.IdentityID) {
			for _, i := range got(w.Claimants(ctx, operator, w.account))(t) {
				names = append(names, i.ID)
			}
			return names
		}
		if able := claimants(); able != nil {
			t.Errorf("without a service that validates domains, %v can claim them", able)
		}
		mustBe(t, errorOf(w.DomainPair(ctx, operator, w.account, w.identity)), fault.Conflict, "service_expired")

		subscribe := func(name string, change func(*iam.ServiceSpec)) telamon.SubscriptionID {
			spec := serviceSpec(name)
			change(&spec)
			service := got(w.CreateService(ctx, operator, spec))(t)
			return got(w.Subscribe(ctx, operator, w.account, service.ID))(t).ID
		}
		plain := subscribe("plain", func(s *iam.ServiceSpec) { s.DomainValidation = true })
		if pair := got(w.DomainPair(ctx, operator, w.account, w.identity))(t); pair.Subscription != plain || pair.Identity != w.identity {
			t.Errorf("the pair is %+v", pair)
		}
		strict := subscribe("strict", func(s *iam.ServiceSpec) { s.StrictMPIC, s.Unlimited = true, false })
		if pair := got(w.DomainPair(ctx, operator, w.account, w.identity))(t); pair.Subscription != plain {
			t.Errorf("a service without a term is used: %+v", pair)
		}
		got(w.GrantQuota(ctx, operator, iam.Grant{Account: w.account, Subscription: strict, Amount: 1, EndsAt: w.clock.Now().Add(time.Hour)}))(t)
		first := got(w.DomainPair(ctx, operator, w.account, w.identity))(t)
		if again := got(w.DomainPair(ctx, operator, w.account, w.identity))(t); first.Subscription != strict || first != again {
			t.Errorf("the pair is %+v, then %+v, and the strict service is %s", first, again, strict)
		}
		queued := got(w.CreateIdentity(ctx, operator, w.account, "queued", map[string]string{"organization": "Acme"}))(t).ID
		if able := claimants(); !slices.Equal(able, []telamon.IdentityID{w.identity}) {
			t.Errorf("%v can claim domains", able)
		}
		mustBe(t, errorOf(w.DomainPair(ctx, operator, w.account, queued)), fault.Conflict, "identity_not_active")
		mustBe(t, errorOf(w.DomainPair(ctx, operator, w.other, w.identity)), fault.NotFound, "identity_not_found")

		w.move(t, w.account, w.identity, telamon.IdentityWithdrawn)
		if pair := got(w.DomainPair(ctx, operator, w.account, w.identity))(t); pair.Identity != w.identity {
			t.Errorf("what is left of a withdrawn identity is %+v", pair)
		}
	})
}
