package staff

import (
	"context"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/store"
)

// ProposalLife is how long an act waits for a second operator.
const ProposalLife = 72 * time.Hour

// Approve returns nil if the actor's act may be carried out at once: it needs no second
// operator, or four eyes are off. Otherwise the request, which must hold all that the act
// does, waits for another one of the staff, and Approve reports NotReady with
// approval_needed, whose text says how to go on. The same request of the same one waits
// once.
//
// It reports Denied with operator_unnamed if nobody knows who asks, and what authz.Check
// does if the actor may not do this at all.
func (s *Staff) Approve(ctx context.Context, actor telamon.Actor, action authz.Action, summary string, request []byte) error {
	if !s.fourEyes || !authz.NeedsTwo(action) || actor.Kind != telamon.ActorOperator && actor.Kind != telamon.ActorUser {
		return nil
	}
	if err := authz.Check(actor, action, ""); err != nil {
		return err
	}
	if err := authz.MustBeNamed(actor); err != nil {
		return err
	}
	p := telamon.Proposal{
		ID: telamon.NewApprovalID(), Action: string(action), Summary: summary, Request: request, RequestedBy: actor.StaffName(),
		ExpiresAt: s.clock.Now().Add(ProposalLife),
	}
	if err := s.store.CreateProposal(ctx, actor, &p); err != nil {
		return err
	}
	s.wakeJobs()
	return fault.New(fault.NotReady, "approval_needed", fmt.Sprintf(
		"Another operator must approve this until %s: telamon approval approve %s -sha256 %s",
		p.ExpiresAt.UTC().Format(time.RFC3339), p.ID, p.Hash()))
}

// Proposal returns a proposal. It reports NotFound.
func (s *Staff) Proposal(ctx context.Context, actor telamon.Actor, id telamon.ApprovalID) (telamon.Proposal, error) {
	if err := authz.Check(actor, authz.ProposalRead, ""); err != nil {
		return telamon.Proposal{}, err
	}
	return s.store.Proposal(ctx, id)
}

// Proposals lists proposals.
func (s *Staff) Proposals(ctx context.Context, actor telamon.Actor, page store.Page) ([]telamon.Proposal, error) {
	if err := authz.Check(actor, authz.ProposalRead, ""); err != nil {
		return nil, err
	}
	return s.store.Proposals(ctx, page)
}

// ExecuteProposal approves a proposal, whose hash the actor has seen, and carries it out:
// execute gets its request and returns "ok" or the code of the fault. It is called once
// for a proposal, whatever happens.
//
// It reports NotFound; Denied with operator_unnamed or own_proposal; and Conflict with
// proposal_changed, proposal_decided or proposal_expired.
func (s *Staff) ExecuteProposal(ctx context.Context, actor telamon.Actor, id telamon.ApprovalID, hash string, execute func(context.Context, *telamon.Proposal) (outcome string)) (telamon.Proposal, error) {
	p, err := s.decide(ctx, actor, id, telamon.ProposalBegun, &hash)
	if err != nil {
		return p, err
	}
	outcome := execute(ctx, &p)
	// The act may have been done: that must be written even if nobody waits any more.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLimit)
	defer cancel()
	if err := s.store.EndProposal(ctx, actor, &p, outcome); err != nil {
		return p, err
	}
	return s.store.Proposal(ctx, id)
}

// endLimit bounds how long the end of a proposal may take to be written.
const endLimit = 5 * time.Second

// RejectProposal ends a pending proposal; who asked for it may do so, too. It reports what
// ExecuteProposal reports.
func (s *Staff) RejectProposal(ctx context.Context, actor telamon.Actor, id telamon.ApprovalID) (telamon.Proposal, error) {
	if _, err := s.decide(ctx, actor, id, telamon.ProposalRejected, nil); err != nil {
		return telamon.Proposal{}, err
	}
	return s.store.Proposal(ctx, id)
}

// decide moves a pending proposal. A hash is compared.
func (s *Staff) decide(ctx context.Context, actor telamon.Actor, id telamon.ApprovalID, to telamon.ProposalState, hash *string) (telamon.Proposal, error) {
	if err := authz.Check(actor, authz.ProposalDecide, ""); err != nil {
		return telamon.Proposal{}, err
	}
	p, err := s.store.Proposal(ctx, id)
	if err != nil {
		return p, err
	}
	if err := authz.MayDecide(actor, p.RequestedBy, to == telamon.ProposalBegun); err != nil {
		return p, err
	}
	if hash != nil && subtle.ConstantTimeCompare([]byte(*hash), []byte(p.Hash())) != 1 {
		return p, fault.New(fault.Conflict, "proposal_changed", "This is not the request with that SHA-256: look at it again.")
	}
	return p, s.store.DecideProposal(ctx, actor, &p, to)
}

// runExpiry does the job that ends a proposal.
func (s *Staff) runExpiry(ctx context.Context, job store.Job) (time.Time, error) {
	id, err := telamon.ParseApprovalID(job.Key)
	if err != nil {
		return time.Time{}, err
	}
	return time.Time{}, s.store.ExpireProposal(ctx, system, id)
}
