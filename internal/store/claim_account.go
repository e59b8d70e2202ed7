package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// MaxAccountClaims is where ListAccountClaims stops counting, and the last place in the
// list that a page may begin at.
const MaxAccountClaims = 10_000

// A ClaimState is how an account's claims are told apart by their owners, who know an
// expired claim from one that was never verified.
type ClaimState string

// The states.
const (
	ClaimStatePending  ClaimState = "pending"  // never verified
	ClaimStateVerified ClaimState = "verified" // and not expired
	ClaimStateExpiring ClaimState = "expiring" // verified, and expires within ExpiringSpan
	ClaimStateExpired  ClaimState = "expired"  // verified once
)

// ExpiringSpan is how long before its expiry a claim is expiring: as long as people are
// told of it by mail.
const ExpiringSpan = 30 * 24 * time.Hour

// An AccountClaimQuery says which claims of an account to list: those for which all of it
// holds. Empty members are not asked for.
type AccountClaimQuery struct {
	Account  telamon.AccountID
	Identity telamon.IdentityID
	Kind     telamon.ClaimKind
	State    ClaimState
	Pattern  ClaimPattern
	// Before lists the claims that were made before this one.
	Before      telamon.ClaimID
	Skip, Limit int64
}

// lastClaim is after each ID of a claim.
const lastClaim = "~"

// ListAccountClaims lists claims of all identities of an account, the newest first, and
// says how many there are in all, up to MaxAccountClaims, without regard to Before.
func (db *DB) ListAccountClaims(ctx context.Context, q AccountClaimQuery) (claims []telamon.Claim, total int64, err error) {
	if q.Account == "" || q.Skip < 0 || q.Skip > MaxAccountClaims || q.Limit < 1 || q.Limit > MaxAccountClaims {
		return nil, 0, errors.New("list claims: of no account, or not of its beginning")
	}
	p := q.params(db.clock.Now())
	err = db.view(ctx, func(tx *queries.Queries) error {
		total, err = tx.CountAccountClaims(ctx, queries.CountAccountClaimsParams{
			AccountID: p.AccountID, Kind: p.Kind, IdentityID: p.IdentityID, State: p.State, Now: p.Now, Soon: p.Soon,
			Pattern: p.Pattern, Labels: p.Labels, Low: p.Low, High: p.High, Lim: MaxAccountClaims,
		})
		if err != nil {
			return err
		}
		rows, err := tx.AccountClaims(ctx, p)
		claims = mapped(rows, claimOf)
		return err
	})
	if err != nil {
		return nil, 0, db.judge(ctx, fmt.Errorf("list claims of %s: %w", q.Account, err))
	}
	return claims, total, nil
}

// params returns the parameters of the query for a page.
func (q *AccountClaimQuery) params(now time.Time) queries.AccountClaimsParams {
	p := queries.AccountClaimsParams{
		AccountID: q.Account.String(), Before: lastClaim, Kind: string(q.Kind), IdentityID: q.Identity.String(), State: string(q.State),
		Now: now.UnixMilli(), Soon: now.Add(ExpiringSpan).UnixMilli(), Low: []byte{}, High: []byte{}, Skip: int32(q.Skip), Lim: int32(q.Limit),
	}
	if q.Before != "" {
		p.Before = q.Before.String()
	}
	if !q.Pattern.IsZero() {
		p.Pattern, p.Labels = q.Pattern.text, q.Pattern.labels
		p.Low, p.High = q.Pattern.bounds()
	}
	return p
}

// AccountClaim returns a claim of whatever identity of the account. It reports NotFound.
func (db *DB) AccountClaim(ctx context.Context, account telamon.AccountID, id telamon.ClaimID) (*telamon.Claim, error) {
	row, err := db.queries().AccountClaim(ctx, queries.AccountClaimParams{AccountID: account.String(), ID: id.String()})
	return db.foundClaim(ctx, row, err)
}
