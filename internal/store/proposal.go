package store

import (
	"bytes"
	"context"
	"fmt"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store/queries"
)

// JobProposalExpire ends a proposal that nobody decided; the key is its ID.
const JobProposalExpire = "proposal.expire"

func proposalOf(r queries.Proposal) telamon.Proposal {
	return telamon.Proposal{
		ID: telamon.ApprovalID(r.ID), Action: r.Action, Summary: r.Summary, Request: r.Request, RequestedBy: r.RequestedBy,
		State: telamon.ProposalState(r.State), CreatedAt: timeOf(r.CreatedAt), ExpiresAt: timeOf(r.ExpiresAt), DecidedBy: r.DecidedBy,
		DecidedAt: optional(r.DecidedAt), Outcome: r.Outcome, Account: telamon.AccountID(r.AccountID), User: telamon.UserID(r.UserID), Reason: r.Reason,
	}
}

// CreateProposal writes a proposal with the job that ends it and the audit event, and sets
// State and CreatedAt. If the same operator proposes the same request already, p becomes
// that proposal, and nothing is written.
func (db *DB) CreateProposal(ctx context.Context, actor telamon.Actor, p *telamon.Proposal) error {
	return db.update(ctx, func(t *txn) error {
		pending, err := t.PendingProposals(ctx, t.millis())
		if err != nil {
			return fmt.Errorf("read proposals: %w", err)
		}
		for _, r := range pending {
			if r.RequestedBy == p.RequestedBy && r.Action == p.Action && bytes.Equal(r.Request, p.Request) {
				*p = proposalOf(r)
				return nil
			}
		}
		p.State, p.CreatedAt = telamon.ProposalPending, timeOf(t.millis())
		err = t.InsertProposal(ctx, queries.InsertProposalParams{
			ID: p.ID.String(), Action: p.Action, Summary: p.Summary, Request: p.Request, RequestedBy: p.RequestedBy, CreatedAt: t.millis(),
			ExpiresAt: p.ExpiresAt.UnixMilli(), AccountID: p.Account.String(), UserID: p.User.String(),
		})
		if err != nil {
			return fmt.Errorf("insert proposal %s: %w", p.ID, err)
		}
		if err := t.putJob(ctx, Job{Kind: JobProposalExpire, Key: p.ID.String(), RunAt: p.ExpiresAt}); err != nil {
			return err
		}
		return t.auditProposal(ctx, actor, "proposal.create", p, map[string]any{"action": p.Action, "summary": p.Summary, "sha256": p.Hash()})
	})
}

func (t *txn) auditProposal(ctx context.Context, actor telamon.Actor, action string, p *telamon.Proposal, after any) error {
	return t.audit(ctx, telamon.Event{Actor: actor, Action: action, Object: p.ID.String(), Result: "ok", After: after})
}

// Proposal returns a proposal. It reports NotFound.
func (db *DB) Proposal(ctx context.Context, id telamon.ApprovalID) (telamon.Proposal, error) {
	row, err := db.queries().Proposal(ctx, id.String())
	if err != nil {
		return telamon.Proposal{}, db.judge(ctx, found(err, "approval_not_found", "approval"))
	}
	return proposalOf(row), nil
}

// Proposals lists proposals.
func (db *DB) Proposals(ctx context.Context, page Page) ([]telamon.Proposal, error) {
	rows, err := db.queries().Proposals(ctx, queries.ProposalsParams{After: page.After, Lim: page.limit()})
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list proposals: %w", err))
	}
	return mapped(rows, proposalOf), nil
}

// PendingProposals returns those that wait for a decision, the most urgent first.
func (db *DB) PendingProposals(ctx context.Context) ([]telamon.Proposal, error) {
	rows, err := db.queries().PendingProposals(ctx, db.clock.Now().UnixMilli())
	if err != nil {
		return nil, db.judge(ctx, fmt.Errorf("list pending proposals: %w", err))
	}
	return mapped(rows, proposalOf), nil
}

// DecideProposal moves a pending proposal to begun or rejected, by the person who decides,
// for a reason that may be empty, and writes the audit event. It reports Conflict with proposal_decided or
// proposal_expired.
func (db *DB) DecideProposal(ctx context.Context, actor telamon.Actor, p *telamon.Proposal, to telamon.ProposalState, reason string) error {
	action := "proposal.reject"
	if to == telamon.ProposalBegun {
		action = "proposal.approve"
	}
	return db.update(ctx, func(t *txn) error {
		changed, err := t.Queries.DecideProposal(ctx, queries.DecideProposalParams{
			ID: p.ID.String(), ToState: string(to), DecidedBy: actor.StaffName(), Now: t.millis(), Reason: reason,
		})
		if err != nil {
			return fmt.Errorf("decide proposal %s: %w", p.ID, err)
		}
		if changed != 1 {
			return t.whyNotPending(ctx, p.ID)
		}
		if err := t.dropJob(ctx, JobProposalExpire, p.ID.String()); err != nil {
			return err
		}
		after := map[string]any{"sha256": p.Hash(), "requested_by": p.RequestedBy}
		if reason != "" {
			after["reason"] = reason
		}
		return t.auditProposal(ctx, actor, action, p, after)
	})
}

// whyNotPending returns the fault of a proposal that cannot be decided.
func (t *txn) whyNotPending(ctx context.Context, id telamon.ApprovalID) error {
	row, err := t.Proposal(ctx, id.String())
	if err != nil {
		return found(err, "approval_not_found", "approval")
	}
	if telamon.ProposalState(row.State) == telamon.ProposalPending || telamon.ProposalState(row.State) == telamon.ProposalExpired {
		return fault.New(fault.Conflict, "proposal_expired", "Nobody decided this in time: it must be asked for again.")
	}
	return fault.New(fault.Conflict, "proposal_decided", "This is decided already: it is "+row.State+".")
}

// EndProposal writes what came of an act that was begun, with the audit event.
func (db *DB) EndProposal(ctx context.Context, actor telamon.Actor, p *telamon.Proposal, outcome string) error {
	return db.update(ctx, func(t *txn) error {
		if err := mustChange(t.Queries.EndProposal(ctx, queries.EndProposalParams{ID: p.ID.String(), Outcome: outcome})); err != nil {
			return fmt.Errorf("end proposal %s: %w", p.ID, err)
		}
		return t.auditProposal(ctx, actor, "proposal.execute", p, map[string]any{"outcome": outcome, "requested_by": p.RequestedBy})
	})
}

// ExpireProposal ends a proposal whose time is over, with the audit event. One that was
// decided is left as it is.
func (db *DB) ExpireProposal(ctx context.Context, actor telamon.Actor, id telamon.ApprovalID) error {
	return db.update(ctx, func(t *txn) error {
		changed, err := t.Queries.ExpireProposal(ctx, queries.ExpireProposalParams{ID: id.String(), Now: t.millis()})
		if err != nil || changed == 0 {
			return err
		}
		return t.auditProposal(ctx, actor, "proposal.expire", &telamon.Proposal{ID: id}, nil)
	})
}
