package store

import (
	"context"
	"fmt"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// drawQuota draws one certificate from the quota of each unit that asks for it,
// and refuses those for which none is left, the later ones first.
func drawQuota(ctx context.Context, t *txn, batch []*unit) error {
	wanted := map[telamon.SubscriptionID][]*unit{}
	for _, u := range batch {
		if u.draw != "" && u.refused == nil {
			wanted[u.draw] = append(wanted[u.draw], u)
		}
	}
	for _, subscription := range sortedKeys(wanted) {
		units := wanted[subscription]
		drawn, err := t.draw(ctx, subscription, int64(len(units)))
		if err != nil && !isFault(err) {
			return err
		}
		for _, u := range units[drawn:] {
			u.refused = err
		}
	}
	return nil
}

// draw draws n certificates from the subscription's quota, or as many as are left,
// from the lots that expire first. It returns how many it drew and, if fewer than
// n, a fault that says why: Limited if the quota is used up, Denied if no term
// holds now.
func (t *txn) draw(ctx context.Context, subscription telamon.SubscriptionID, n int64) (drawn int64, err error) {
	lots, err := t.OpenLots(ctx, queries.OpenLotsParams{SubscriptionID: subscription.String(), Now: t.millis()})
	if err != nil {
		return 0, fmt.Errorf("read quota of %s: %w", subscription, err)
	}
	for _, lot := range lots {
		part := min(n-drawn, lot.Amount-lot.Used)
		if part <= 0 {
			continue
		}
		if err := t.DrawLot(ctx, queries.DrawLotParams{ID: lot.ID, N: part}); err != nil {
			return 0, fmt.Errorf("draw lot %s: %w", lot.ID, err)
		}
		drawn += part
	}
	switch {
	case drawn == n:
		return drawn, nil
	case len(lots) == 0:
		return 0, fault.New(fault.Denied, "service_expired", "The service has expired or has not started.")
	}
	return drawn, fault.New(fault.Limited, fault.CodeQuotaReached, "Quota Reached")
}
