package iam_test

import (
	"testing"
	"time"

	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
)

// TestOffers holds what an account sees of what it subscribes to: terms that run and that
// are to come count, those that have ended do not, and nothing of another account is seen.
func TestOffers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		spec := serviceSpec("counted")
		spec.Unlimited = false
		service := got(w.CreateService(ctx, operator, spec))(t)
		sub := got(w.Subscribe(ctx, operator, w.account, service.ID))(t)
		now := w.clock.Now()
		of := func() iam.Offer {
			for _, o := range got(w.Offers(ctx, operator, w.account))(t) {
				if o.Subscription.ID == sub.ID {
					return o
				}
			}
			t.Fatal("the subscription is not offered")
			return iam.Offer{}
		}
		if o := of(); o.Live || o.Left != 0 || o.Service.Name != "counted" {
			t.Errorf("without a term: %+v", o)
		}
		grant := func(amount int64, from, to time.Time) {
			got(w.GrantQuota(ctx, operator, iam.Grant{Account: w.account, Subscription: sub.ID, Amount: amount, StartsAt: from, EndsAt: to}))(t)
		}
		grant(5, now, now.Add(time.Hour))
		grant(7, now, now.Add(48*time.Hour))
		grant(9, now.Add(24*time.Hour), now.Add(72*time.Hour))
		if o := of(); !o.Live || o.Left != 12 || o.Granted != 12 || !o.EndsAt.Equal(now.Add(72*time.Hour)) {
			t.Errorf("two terms that run and one to come: %+v", o)
		}
		w.clock.Advance(2 * time.Hour)
		if o := of(); !o.Live || o.Left != 7 {
			t.Errorf("one term is over: %+v", o)
		}
		w.clock.Advance(72 * time.Hour)
		if o := of(); o.Live || o.Left != 0 || !o.EndsAt.IsZero() {
			t.Errorf("all terms are over: %+v", o)
		}
		if offers := got(w.Offers(ctx, operator, w.other))(t); len(offers) != 0 {
			t.Errorf("another account sees %+v", offers)
		}
		c := w.newLogin(t, "api", nil).credential
		pair := got(w.Credential(ctx, operator, w.account, c.ID))(t).Pair
		if of := got(w.PairOf(ctx, operator, w.account, pair))(t); of.Subscription != w.sub || of.Identity != w.identity {
			t.Errorf("the pair is %+v", of)
		}
		mustBe(t, errorOf(w.PairOf(ctx, operator, w.other, pair)), fault.NotFound, "pair_not_found")
	})
}
