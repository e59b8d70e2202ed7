package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// claimPart is a part of an identity's claims that is counted.
type claimPart string

const (
	claimsAll      claimPart = "all"
	claimsVerified claimPart = "verified"
)

// claimUnits are the lengths in seconds of what claims are counted in, each a multiple
// of the next.
var claimUnits = [...]int64{720 * 3600, 3600, 1}

// A claimCount names the claims of a part that were created in one second.
type claimCount struct {
	identity telamon.IdentityID
	kind     telamon.ClaimKind
	part     claimPart
	second   int64 // Unix
}

// countClaim adds n, 1 or -1, to the counts that the claim belongs to.
func (t *txn) countClaim(ctx context.Context, c *telamon.Claim, part claimPart, n int64) error {
	return t.countClaims(ctx, map[claimCount]int64{{c.Identity, c.Kind, part, c.CreatedAt.Unix()}: n})
}

// countClaims adds the numbers, none of them 0, to the counts of all units. Each row is
// written once, in one order, so that concurrent transactions lock rows in the same
// order.
func (t *txn) countClaims(ctx context.Context, seconds map[claimCount]int64) error {
	for _, unit := range claimUnits {
		sums := map[claimCount]int64{}
		for c, n := range seconds {
			c.second = floorDiv(c.second, unit)
			sums[c] += n
		}
		starts := slices.SortedFunc(maps.Keys(sums), func(a, b claimCount) int {
			return cmp.Or(cmp.Compare(a.identity, b.identity), cmp.Compare(a.kind, b.kind), cmp.Compare(a.part, b.part), cmp.Compare(a.second, b.second))
		})
		for _, c := range starts {
			if err := t.addClaimCount(ctx, c, unit, sums[c]); err != nil {
				return fmt.Errorf("count claims of %s: %w", c.identity, err)
			}
		}
	}
	return nil
}

// addClaimCount adds n to one row, whose start c holds in the place of its second.
func (t *txn) addClaimCount(ctx context.Context, c claimCount, unit, n int64) error {
	p := queries.AddClaimCountParams{
		IdentityID: c.identity.String(), Kind: string(c.kind), Part: string(c.part), Unit: unit, Start: c.second, N: n,
	}
	if n >= 0 {
		return t.AddClaimCount(ctx, p)
	}
	return mustChange(t.LessenClaimCount(ctx, queries.LessenClaimCountParams{
		IdentityID: p.IdentityID, Kind: p.Kind, Part: p.Part, Unit: p.Unit, Start: p.Start, N: -n,
	}))
}
