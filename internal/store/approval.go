package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// maxApprovals is how many mails of an account may ask one mailbox for approval in a
// day, of deleted claims too: nobody's mailbox is to be flooded.
const maxApprovals = 20

// CreateApproval writes a mail that asks for approval, with its line in the claim's
// log, and sets CreatedAt. It reports NotFound; Conflict with claim_moved if the
// claim's token is another one by now; and Limited with rate_limited.
func (db *DB) CreateApproval(ctx context.Context, actor telamon.Actor, a *telamon.Approval, entry telamon.ClaimLogEntry, extra Extra) error {
	through, err := json.Marshal(a.Through)
	if err != nil {
		return fmt.Errorf("encode approval %s: %w", a.ID, err)
	}
	return db.update(ctx, func(t *txn) error {
		claim, err := t.lock(ctx, a.Identity, a.Claim)
		if err != nil {
			return err
		}
		if claim.Round != a.Round {
			return errClaimMoved()
		}
		n, err := t.CountApprovals(ctx, queries.CountApprovalsParams{
			AccountID: a.Account.String(), Address: a.Address, Since: t.now.Add(-24 * time.Hour).UnixMilli(),
		})
		if err != nil {
			return fmt.Errorf("count the mails to %s: %w", a.Address, err)
		}
		if n >= maxApprovals {
			return &fault.Fault{
				Kind: fault.Limited, Code: fault.CodeRateLimited, Detail: "Too many mails were sent to this mailbox today.",
				RetryAfter: time.Hour,
			}
		}
		a.CreatedAt = timeOf(t.millis())
		err = t.InsertApproval(ctx, queries.InsertApprovalParams{
			ID: a.ID.String(), ClaimID: a.Claim.String(), AccountID: a.Account.String(), IdentityID: a.Identity.String(),
			Name: a.Name, Round: a.Round, Address: a.Address, Adn: a.ADN, Method: string(a.Method), Through: string(through),
			Nonce: a.Nonce, CreatedAt: t.millis(), ExpiresAt: a.ExpiresAt.UnixMilli(),
		})
		if err != nil {
			return fmt.Errorf("insert approval %s: %w", a.ID, err)
		}
		if err := t.logClaim(ctx, a.Claim, entry); err != nil {
			return err
		}
		if err := t.addExtra(ctx, extra); err != nil {
			return err
		}
		return t.audit(ctx, telamon.Event{
			Actor: actor, Account: a.Account, Action: "claim.mail", Object: a.Claim.String(), Result: "ok",
			After: map[string]any{"name": a.Name, "address": a.Address, "adn": a.ADN, "method": a.Method, "expires_at": a.ExpiresAt},
		})
	})
}

// Approval returns a mail that asks for approval. It reports NotFound.
func (db *DB) Approval(ctx context.Context, id telamon.MailApprovalID) (*telamon.Approval, error) {
	row, err := db.queries().Approval(ctx, id.String())
	if err != nil {
		return nil, db.judge(ctx, found(err, "approval_not_found", "approval"))
	}
	a := &telamon.Approval{
		ID: id, Claim: telamon.ClaimID(row.ClaimID), Account: telamon.AccountID(row.AccountID),
		Identity: telamon.IdentityID(row.IdentityID), Name: row.Name, Round: row.Round, Address: row.Address, ADN: row.Adn,
		Method: telamon.Method(row.Method), Nonce: row.Nonce, CreatedAt: timeOf(row.CreatedAt), ExpiresAt: timeOf(row.ExpiresAt),
		UsedAt: timeOrZero(row.UsedAt),
	}
	if err := json.Unmarshal([]byte(row.Through), &a.Through); err != nil {
		return nil, fmt.Errorf("read approval %s: %w", id, err)
	}
	return a, nil
}

// UseApproval uses a mail's approval, once, and verifies the claim by end. It reports
// NotFound; Conflict with approval_used; and Conflict with claim_moved if the claim's
// token is another one by now.
func (db *DB) UseApproval(ctx context.Context, actor telamon.Actor, a *telamon.Approval, end CheckEnd) error {
	return db.update(ctx, func(t *txn) error {
		claim, err := t.lock(ctx, a.Identity, a.Claim)
		if err != nil {
			return err
		}
		used, err := t.Queries.UseApproval(ctx, queries.UseApprovalParams{ID: a.ID.String(), Now: t.millis()})
		if err != nil {
			return fmt.Errorf("use approval %s: %w", a.ID, err)
		}
		if used != 1 {
			return fault.New(fault.Conflict, "approval_used", "This link was used already.")
		}
		if claim.Round != a.Round {
			return errClaimMoved()
		}
		if err := t.dropJob(ctx, JobClaimCheck, a.Claim.String()); err != nil {
			return err
		}
		return t.conclude(ctx, actor, claim, end)
	})
}
