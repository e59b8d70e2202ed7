package store

import (
	"context"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// A CheckStart is a check of a claim that is about to run.
type CheckStart struct {
	ID    string        // of the check
	Round int64         // of the token that it looks for
	Lasts time.Duration // when another check may begin all the same
	Job   Job           // does the check again if this process does not end it
}

// BeginCheck marks that a check of a claim runs. It reports NotFound; Conflict with
// claim_moved if the token is another one by now; and NotReady with check_running if
// another check runs.
func (db *DB) BeginCheck(ctx context.Context, id telamon.ClaimID, check CheckStart) error {
	return db.update(ctx, func(t *txn) error {
		claim, err := t.lock(ctx, "", id)
		if err != nil {
			return err
		}
		if claim.Round != check.Round {
			return errClaimMoved()
		}
		until := t.now.Add(check.Lasts)
		changed, err := t.BeginClaimCheck(ctx, queries.BeginClaimCheckParams{
			ID: id.String(), Round: check.Round, CheckID: check.ID, CheckUntil: until.UnixMilli(), Now: t.millis(),
		})
		if err != nil {
			return fmt.Errorf("begin a check of claim %s: %w", id, err)
		}
		if changed != 1 {
			return fault.New(fault.NotReady, "check_running", "An earlier check is still running.")
		}
		check.Job.RunAt = until
		return t.putJob(ctx, check.Job)
	})
}

// A CheckEnd is the outcome of a check, or of an approval.
type CheckEnd struct {
	CheckID      string
	Round        int64
	Entry        telamon.ClaimLogEntry
	Verification *telamon.Verification // nil if control was not shown
	ExpiresAt    time.Time             // of the claim, if it was
	Next         *Job                  // the next check; nil for none
	Extra        Extra
}

// EndCheck writes the outcome of a check that BeginCheck began: a line of the log, and
// if control was shown the verification, by which the claim is verified, with an audit
// event. It reports NotFound, and Conflict with claim_moved if the check was abandoned
// since; then nothing is written.
func (db *DB) EndCheck(ctx context.Context, actor telamon.Actor, id telamon.ClaimID, end CheckEnd) error {
	return db.update(ctx, func(t *txn) error {
		claim, err := t.lock(ctx, "", id)
		if err != nil {
			return err
		}
		changed, err := t.EndClaimCheck(ctx, queries.EndClaimCheckParams{ID: id.String(), Round: end.Round, CheckID: end.CheckID})
		if err != nil {
			return fmt.Errorf("end the check of claim %s: %w", id, err)
		}
		if changed != 1 {
			return errClaimMoved()
		}
		if err := t.dropJob(ctx, JobClaimCheck, id.String()); err != nil {
			return err
		}
		if end.Next != nil {
			if err := t.putJob(ctx, *end.Next); err != nil {
				return err
			}
		}
		return t.conclude(ctx, actor, claim, end)
	})
}

// conclude writes the line and the verification of an outcome.
func (t *txn) conclude(ctx context.Context, actor telamon.Actor, claim *telamon.Claim, end CheckEnd) error {
	if err := t.logClaim(ctx, claim.ID, end.Entry); err != nil {
		return err
	}
	if err := t.addExtra(ctx, end.Extra); err != nil {
		return err
	}
	if end.Verification == nil {
		return nil
	}
	v := *end.Verification
	if err := t.insertVerification(ctx, &v); err != nil {
		return err
	}
	changed, err := t.VerifyClaim(ctx, queries.VerifyClaimParams{
		ID: claim.ID.String(), Round: end.Round, VerificationID: v.ID.String(), VerifiedAt: v.At.UnixMilli(),
		Method: string(v.Method), Adn: v.ADN, Coverage: string(v.Coverage), ExpiresAt: end.ExpiresAt.UnixMilli(),
	})
	if err != nil {
		return fmt.Errorf("verify claim %s: %w", claim.ID, err)
	}
	if changed != 1 {
		return errClaimMoved()
	}
	if claim.Status != telamon.ClaimVerified {
		if err := t.countClaim(ctx, claim, claimsVerified, 1); err != nil {
			return err
		}
	}
	return t.audit(ctx, telamon.Event{
		Actor: actor, Account: claim.Account, Action: "claim.verify", Object: claim.ID.String(), Result: "ok",
		After: map[string]any{
			"verification": v.ID, "name": v.Name, "adn": v.ADN, "method": v.Method, "rule": v.Method.Rule(v.Kind),
			"coverage": v.Coverage, "expires_at": end.ExpiresAt, "evidence": v.Evidence,
		},
	})
}
