package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// Extra is what a change of a claim brings with it, written in its transaction.
type Extra struct {
	Jobs  []Job
	Mails []Mail
}

// errClaimMoved is the fault of a claim whose token is another one by now.
func errClaimMoved() error {
	return fault.New(fault.Conflict, "claim_moved", "The claim has been reasserted or deleted since.")
}

// SubmitClaim writes a new claim, which is pending, and sets CreatedAt. If the
// identity has one of this kind and name, it sets c to that, writes nothing, and
// returns true.
func (db *DB) SubmitClaim(ctx context.Context, actor telamon.Actor, c *telamon.Claim, extra Extra) (existing bool, err error) {
	lookup, labels := lookupOf(c.Kind, c.Name)
	var found telamon.Claim
	err = db.update(ctx, func(t *txn) error {
		inserted, err := t.InsertClaim(ctx, queries.InsertClaimParams{
			ID: c.ID.String(), AccountID: c.Account.String(), IdentityID: c.Identity.String(), Kind: string(c.Kind), Name: c.Name,
			Labels: labels, Lookup: lookup, Token: c.Token, TokenAt: c.TokenAt.UnixMilli(), AssertBy: c.AssertBy.UnixMilli(),
			Round: c.Round, CreatedAt: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("insert claim to %s: %w", c.Name, err)
		}
		row, err := t.ClaimByName(ctx, queries.ClaimByNameParams{IdentityID: c.Identity.String(), Kind: string(c.Kind), Name: c.Name})
		if errors.Is(err, sql.ErrNoRows) { // it was deleted since the insert met it
			return fmt.Errorf("read claim to %s: %w", c.Name, errAgain)
		}
		if err != nil {
			return fmt.Errorf("read claim to %s: %w", c.Name, err)
		}
		found, existing = claimOf(row), inserted == 0
		if existing {
			return nil
		}
		if err := t.countClaim(ctx, &found, claimsAll, 1); err != nil {
			return err
		}
		if err := t.addExtra(ctx, extra); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: c.Account, Action: "claim.submit", Object: c.ID.String(), Result: "ok",
			After: map[string]any{"identity": c.Identity, "kind": c.Kind, "name": c.Name, "assert_by": c.AssertBy},
		})
	})
	if err == nil {
		*c = found
	}
	return existing, err
}

// lookupOf returns the key by which a claim is found by its domain, the top-level
// domain first, and its number of labels. An IP address is its own key.
func lookupOf(kind telamon.ClaimKind, name string) ([]byte, int64) {
	if kind == telamon.ClaimIP {
		return []byte(name), 1
	}
	labels := strings.Split(name, ".")
	slices.Reverse(labels)
	return []byte(strings.Join(labels, ".")), int64(len(labels))
}

// Claim returns a claim of the identity and kind. It reports NotFound.
func (db *DB) Claim(ctx context.Context, identity telamon.IdentityID, kind telamon.ClaimKind, id telamon.ClaimID) (*telamon.Claim, error) {
	row, err := db.queries().Claim(ctx, queries.ClaimParams{IdentityID: identity.String(), Kind: string(kind), ID: id.String()})
	return db.foundClaim(ctx, row, err)
}

// AnyClaim returns a claim of whatever identity. It reports NotFound.
func (db *DB) AnyClaim(ctx context.Context, id telamon.ClaimID) (*telamon.Claim, error) {
	row, err := db.queries().ClaimByID(ctx, id.String())
	return db.foundClaim(ctx, row, err)
}

func (db *DB) foundClaim(ctx context.Context, row queries.Claim, err error) (*telamon.Claim, error) {
	if err != nil {
		return nil, db.judge(ctx, found(err, "claim_not_found", "claim"))
	}
	claim := claimOf(row)
	return &claim, nil
}

// lock reads a claim of the identity and keeps others from changing it until the
// transaction ends. An empty identity is any. It reports NotFound.
func (t *txn) lock(ctx context.Context, identity telamon.IdentityID, id telamon.ClaimID) (*telamon.Claim, error) {
	row, err := t.LockClaim(ctx, id.String())
	if err != nil {
		return nil, found(err, "claim_not_found", "claim")
	}
	if identity != "" && row.IdentityID != identity.String() {
		return nil, fault.New(fault.NotFound, "claim_not_found", "There is no such claim.")
	}
	claim := claimOf(row)
	return &claim, nil
}

// ReassertClaim gives a claim the token, deadline and round of c, which is the claim
// as it will be: a claim that has another round than the one before it is a Conflict
// with claim_moved. A check that runs and mails that are under way no longer count. It
// reports NotFound.
func (db *DB) ReassertClaim(ctx context.Context, actor telamon.Actor, c *telamon.Claim, extra Extra) error {
	return db.update(ctx, func(t *txn) error {
		before, err := t.lock(ctx, c.Identity, c.ID)
		if err != nil {
			return err
		}
		if before.Round+1 != c.Round {
			return errClaimMoved()
		}
		_, err = t.Queries.ReassertClaim(ctx, queries.ReassertClaimParams{
			IdentityID: c.Identity.String(), ID: c.ID.String(), Token: c.Token, TokenAt: c.TokenAt.UnixMilli(),
			AssertBy: c.AssertBy.UnixMilli(), OldToken: c.OldToken,
		})
		if err != nil {
			return fmt.Errorf("reassert claim %s: %w", c.ID, err)
		}
		if err := t.dropJob(ctx, JobClaimCheck, c.ID.String()); err != nil {
			return err
		}
		if err := t.addExtra(ctx, extra); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: before.Account, Action: "claim.reassert", Object: c.ID.String(), Result: "ok",
			After: map[string]any{"name": before.Name, "assert_by": c.AssertBy},
		})
	})
}

// DeleteClaim deletes a claim, its log and its jobs. Its verifications stay, as ended
// ones, and so do the mails that asked for its approval, which count for the next
// claim to the name and approve nothing. It reports NotFound.
func (db *DB) DeleteClaim(ctx context.Context, actor telamon.Actor, identity telamon.IdentityID, id telamon.ClaimID) error {
	return db.update(ctx, func(t *txn) error {
		claim, err := t.lock(ctx, identity, id)
		if err != nil {
			return err
		}
		if _, err := t.Queries.DeleteClaim(ctx, id.String()); err != nil {
			return fmt.Errorf("delete claim %s: %w", id, err)
		}
		if err := t.forgetClaim(ctx, claim); err != nil {
			return fmt.Errorf("delete what belongs to claim %s: %w", id, err)
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: claim.Account, Action: "claim.delete", Object: id.String(), Result: "ok",
			Before: map[string]any{"name": claim.Name, "status": claim.Status},
		})
	})
}

// forgetClaim takes a deleted claim off the counts and deletes what was its own.
func (t *txn) forgetClaim(ctx context.Context, claim *telamon.Claim) error {
	counts := map[claimCount]int64{{claim.Identity, claim.Kind, claimsAll, claim.CreatedAt.Unix()}: -1}
	if claim.Status == telamon.ClaimVerified {
		counts[claimCount{claim.Identity, claim.Kind, claimsVerified, claim.CreatedAt.Unix()}] = -1
	}
	if err := t.countClaims(ctx, counts); err != nil {
		return err
	}
	id := claim.ID.String()
	if err := t.DeleteClaimLog(ctx, id); err != nil {
		return err
	}
	if err := t.EndVerifications(ctx, queries.EndVerificationsParams{ClaimID: id, Now: t.millis()}); err != nil {
		return err
	}
	for _, kind := range []string{JobClaimCheck, JobClaimRemind} {
		if err := t.dropJob(ctx, kind, id); err != nil {
			return err
		}
	}
	return nil
}

// ExpireClaim makes a claim pending whose verification has expired, and reports
// whether it did.
func (db *DB) ExpireClaim(ctx context.Context, actor telamon.Actor, id telamon.ClaimID, extra Extra) (expired bool, err error) {
	err = db.update(ctx, func(t *txn) error {
		expired = false
		claim, err := t.lock(ctx, "", id)
		if err != nil {
			return err
		}
		if expired, err = t.expire(ctx, actor, claim); err != nil || !expired {
			return err
		}
		if err := t.countClaim(ctx, claim, claimsVerified, -1); err != nil {
			return err
		}
		return t.addExtra(ctx, extra)
	})
	return expired, err
}

// expire makes a claim pending whose verification has expired, with its audit event.
// The caller takes it off the count of verified ones if it did.
func (t *txn) expire(ctx context.Context, actor telamon.Actor, claim *telamon.Claim) (bool, error) {
	changed, err := t.Queries.ExpireClaim(ctx, queries.ExpireClaimParams{ID: claim.ID.String(), Now: t.millis()})
	if err != nil {
		return false, fmt.Errorf("expire claim %s: %w", claim.ID, err)
	}
	if changed == 0 {
		return false, nil
	}
	return true, t.audit(ctx, telamon.Event{
		Actor: actor, Account: claim.Account, Action: "claim.expire", Object: claim.ID.String(), Result: "ok",
		Before: map[string]any{"name": claim.Name, "verification": claim.Verification, "expires_at": claim.ExpiresAt},
	})
}
