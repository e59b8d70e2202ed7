package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// VerifiedClaims returns the identity's claims of the kind to any of the names that
// are marked as verified. Whether a verification may be relied on is the caller's to
// judge.
func (db *DB) VerifiedClaims(ctx context.Context, identity telamon.IdentityID, kind telamon.ClaimKind, names []string) ([]telamon.Claim, error) {
	var claims []telamon.Claim
	for chunk := range slices.Chunk(names, listChunk) {
		err := readListed(ctx, db, "SELECT "+claimColumns+" FROM claim WHERE identity_id = $1 AND kind = $2 AND status = 'verified' AND name IN (",
			chunk, ") ORDER BY name", func(scan func(...any) error) error {
				row, err := scanClaim(scan)
				claims = append(claims, claimOf(row))
				return err
			}, identity.String(), string(kind))
		if err != nil {
			return nil, db.judge(ctx, fmt.Errorf("read verified claims of %s: %w", identity, err))
		}
	}
	return claims, nil
}

// listChunk is how many values one statement of readListed asks for.
const listChunk = 64

// readListed runs a query of the PostgreSQL dialect that ends with a list of values:
// head holds the parameters args, and the values follow them. Each row is given to
// add.
func readListed[T ~string](ctx context.Context, db *DB, head string, values []T, tail string, add func(scan func(...any) error) error, args ...any) error {
	var list strings.Builder
	for i, v := range values {
		if i > 0 {
			list.WriteString(", ")
		}
		args = append(args, string(v))
		list.WriteString("$" + strconv.Itoa(len(args)))
	}
	rows, err := db.reader.QueryContext(ctx, head+list.String()+tail, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := add(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// claimColumns are the columns that scanClaim reads.
const claimColumns = "id, account_id, identity_id, kind, name, labels, lookup, token, token_at, assert_by, round, token_open, status," +
	" verification_id, verified_at, method, adn, coverage, expires_at, check_id, check_until, created_at, old_token"

func scanClaim(scan func(...any) error) (r queries.Claim, err error) {
	err = scan(&r.ID, &r.AccountID, &r.IdentityID, &r.Kind, &r.Name, &r.Labels, &r.Lookup, &r.Token, &r.TokenAt, &r.AssertBy, &r.Round,
		&r.TokenOpen, &r.Status, &r.VerificationID, &r.VerifiedAt, &r.Method, &r.Adn, &r.Coverage, &r.ExpiresAt, &r.CheckID, &r.CheckUntil,
		&r.CreatedAt, &r.OldToken)
	return r, err
}

func claimOf(r queries.Claim) telamon.Claim {
	c := telamon.Claim{
		ID: telamon.ClaimID(r.ID), Account: telamon.AccountID(r.AccountID), Identity: telamon.IdentityID(r.IdentityID),
		Kind: telamon.ClaimKind(r.Kind), Name: r.Name, CreatedAt: timeOf(r.CreatedAt),
		Token: r.Token, TokenAt: timeOf(r.TokenAt), AssertBy: timeOf(r.AssertBy), Round: r.Round, Open: r.TokenOpen,
		Status: telamon.ClaimStatus(r.Status), VerifiedAt: timeOrZero(r.VerifiedAt), ExpiresAt: timeOrZero(r.ExpiresAt), CheckUntil: timeOrZero(r.CheckUntil),
	}
	set := func(to *string, from *string) {
		if from != nil {
			*to = *from
		}
	}
	set((*string)(&c.Verification), r.VerificationID)
	set((*string)(&c.Method), r.Method)
	set(&c.ADN, r.Adn)
	set(&c.OldToken, r.OldToken)
	set((*string)(&c.Coverage), r.Coverage)
	return c
}
