package store

import (
	"context"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A ClaimFill says what synthetic claims FillClaims writes.
type ClaimFill struct {
	Account   telamon.AccountID
	Identity  telamon.IdentityID
	N         int64
	Verified  int64     // each so many-th is verified; 0 is none
	ExpiresAt time.Time // of those
	From, To  time.Time // over which their creation is spread evenly
	Name      func(i int64) string
}

var fillTable = newTable("claim", claimColumns, "")

// FillClaims writes claims without audit events, and their counts.
func FillClaims(ctx context.Context, db *DB, fill ClaimFill) error {
	const step = 4000
	for first := int64(0); first < fill.N; first += step {
		err := db.update(ctx, func(t *txn) error { return fill.write(ctx, t, first, min(first+step, fill.N)) })
		if err != nil {
			return fmt.Errorf("fill claims: %w", err)
		}
	}
	return nil
}

func (fill *ClaimFill) write(ctx context.Context, t *txn, first, end int64) error {
	var rows []any
	counts := map[claimCount]int64{}
	for i := first; i < end; i++ {
		at := fill.From.Add(time.Duration(float64(fill.To.Sub(fill.From)) * float64(i) / float64(fill.N)))
		name := fill.Name(i)
		lookup, labels := lookupOf(telamon.ClaimDomain, name)
		row := queries.Claim{Status: "pending"}
		if fill.Verified > 0 && i%fill.Verified == 0 {
			id, empty, millis := telamon.NewVerificationID().String(), "dns", at.UnixMilli()
			expires := fill.ExpiresAt.UnixMilli()
			row.Status, row.VerificationID, row.VerifiedAt, row.Method, row.Adn, row.Coverage, row.ExpiresAt =
				"verified", &id, &millis, &empty, &name, new("tree"), &expires
			counts[claimCount{fill.Identity, telamon.ClaimDomain, claimsVerified, at.Unix()}]++
		}
		counts[claimCount{fill.Identity, telamon.ClaimDomain, claimsAll, at.Unix()}]++
		rows = append(rows, telamon.NewClaimID().String(), fill.Account.String(), fill.Identity.String(), "domain", name, labels, lookup,
			"0123456789abcdef0123456789abcdef", at.UnixMilli(), at.Add(30*24*time.Hour).UnixMilli(), int64(1), row.Status == "pending", row.Status,
			row.VerificationID, row.VerifiedAt, row.Method, row.Adn, row.Coverage, row.ExpiresAt, nil, nil, at.UnixMilli(), nil)
	}
	if err := t.insert(ctx, fillTable, rows); err != nil {
		return err
	}
	return t.countClaims(ctx, counts)
}
