package staff

import (
	"context"
	"crypto/subtle"
	"fmt"
	"strings"
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
// does, waits for another person, and Approve reports NotReady with approval_needed,
// whose text says how to go on. The same request of the same person waits once.
//
// It reports Denied if the actor may not do this at all, with operator_unnamed if nobody
// knows who asks, and with second_factor_stale.
func (s *Staff) Approve(ctx context.Context, actor telamon.Actor, action authz.Action, summary string, request []byte) error {
	if !authz.NeedsTwo(action) {
		return nil
	}
	if err := authz.Check(actor, action, ""); err != nil {
		return err
	}
	if err := authz.MustBeFresh(actor, s.clock.Now()); err != nil {
		return err
	}
	if !s.fourEyes || actor.Kind != telamon.ActorOperator && actor.Kind != telamon.ActorUser {
		return nil
	}
	if err := authz.MustBeNamed(actor); err != nil {
		return err
	}
	actor, err := s.person(ctx, actor)
	if err != nil {
		return err
	}
	p := telamon.Proposal{
		ID: telamon.NewApprovalID(), Action: string(action), Summary: summary, Request: request, RequestedBy: actor.StaffName(),
		Account: actor.Account, User: actor.User, ExpiresAt: s.clock.Now().Add(ProposalLife),
	}
	if err := s.store.CreateProposal(ctx, actor, &p); err != nil {
		return err
	}
	s.wakeJobs()
	return fault.New(fault.NotReady, "approval_needed", fmt.Sprintf(
		"Another operator must approve this until %s: telamon approval approve %s -sha256 %s",
		p.ExpiresAt.UTC().Format(time.RFC3339), p.ID, p.Hash()))
}

// person returns an actor that has the name of the operator who the user is, if the
// configuration says so.
func (s *Staff) person(ctx context.Context, actor telamon.Actor) (telamon.Actor, error) {
	if actor.Kind != telamon.ActorUser {
		return actor, nil
	}
	user, err := s.store.User(ctx, actor.Account, actor.User)
	if err != nil {
		return actor, err
	}
	actor.Operator = s.operators.named(user.Email)
	return actor, nil
}

// Requester returns who asked for a proposal, as the actor who carries it out: an operator,
// or a user with the roles that they have now. It reports Denied with requester_gone if
// the user can do nothing any more.
func (s *Staff) Requester(ctx context.Context, p *telamon.Proposal, requestID string) (telamon.Actor, error) {
	if p.User == "" {
		return telamon.Actor{Kind: telamon.ActorOperator, Operator: p.RequestedBy, RequestID: requestID}, nil
	}
	user, err := s.store.User(ctx, p.Account, p.User)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return telamon.Actor{}, err
	}
	account, accountErr := s.store.Account(ctx, p.Account)
	if accountErr != nil {
		return telamon.Actor{}, accountErr
	}
	now := s.clock.Now()
	if err != nil || user.Status(now) != telamon.UserActive || !account.Usable(now) {
		return telamon.Actor{}, fault.New(fault.Denied, "requester_gone", "Who asked for this is no active user any more.")
	}
	return telamon.Actor{
		Kind: telamon.ActorUser, Account: p.Account, User: p.User, UserName: user.Name, Roles: user.Roles, RequestID: requestID,
	}, nil
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

// PendingProposals returns those that wait for a second person, the most urgent first.
func (s *Staff) PendingProposals(ctx context.Context, actor telamon.Actor) ([]telamon.Proposal, error) {
	if err := authz.Check(actor, authz.ProposalRead, ""); err != nil {
		return nil, err
	}
	return s.store.PendingProposals(ctx)
}

// ExecuteProposal approves a proposal, whose hash the actor has seen, and carries it out:
// execute gets its request and returns "ok" or the code of the fault. It is called once
// for a proposal, whatever happens. The reason may be empty.
//
// It reports NotFound; Invalid; Denied with operator_unnamed, own_proposal,
// operator_unlinked or second_factor_stale; and Conflict with proposal_changed,
// proposal_decided or proposal_expired.
func (s *Staff) ExecuteProposal(ctx context.Context, actor telamon.Actor, id telamon.ApprovalID, hash, reason string, execute func(context.Context, *telamon.Proposal) (outcome string)) (telamon.Proposal, error) {
	p, err := s.decide(ctx, actor, id, telamon.ProposalBegun, &hash, reason)
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
func (s *Staff) RejectProposal(ctx context.Context, actor telamon.Actor, id telamon.ApprovalID, reason string) (telamon.Proposal, error) {
	if _, err := s.decide(ctx, actor, id, telamon.ProposalRejected, nil, reason); err != nil {
		return telamon.Proposal{}, err
	}
	return s.store.Proposal(ctx, id)
}

// decide moves a pending proposal. A hash is compared.
func (s *Staff) decide(ctx context.Context, actor telamon.Actor, id telamon.ApprovalID, to telamon.ProposalState, hash *string, reason string) (telamon.Proposal, error) {
	if err := authz.Check(actor, authz.ProposalDecide, ""); err != nil {
		return telamon.Proposal{}, err
	}
	if err := authz.MustBeFresh(actor, s.clock.Now()); err != nil {
		return telamon.Proposal{}, err
	}
	if !isText(reason, maxSummary) {
		return telamon.Proposal{}, invalid("reason", "is not a text of at most 1000 octets")
	}
	p, err := s.store.Proposal(ctx, id)
	if err != nil {
		return p, err
	}
	if actor, err = s.person(ctx, actor); err != nil {
		return p, err
	}
	if err := s.mayDecide(ctx, actor, &p, to == telamon.ProposalBegun); err != nil {
		return p, err
	}
	if hash != nil && subtle.ConstantTimeCompare([]byte(*hash), []byte(p.Hash())) != 1 {
		return p, fault.New(fault.Conflict, "proposal_changed", "This is not the request with that SHA-256: look at it again.")
	}
	return p, s.store.DecideProposal(ctx, actor, &p, to, reason)
}

// mayDecide is authz.MayDecide with what it has to know of who asked: the person who is
// responsible for a service user is not another one.
func (s *Staff) mayDecide(ctx context.Context, actor telamon.Actor, p *telamon.Proposal, approve bool) error {
	if approve && actor.Kind == telamon.ActorUser && p.User != "" && p.User != actor.User {
		decides, err := s.store.User(ctx, actor.Account, actor.User)
		if err != nil {
			return err
		}
		asked, err := s.store.User(ctx, p.Account, p.User)
		if err != nil {
			return err
		}
		if strings.EqualFold(decides.Email, asked.Email) {
			return authz.ErrOwnProposal()
		}
	}
	return authz.MayDecide(actor, p, approve)
}

// runExpiry does the job that ends a proposal.
func (s *Staff) runExpiry(ctx context.Context, job store.Job) (time.Time, error) {
	id, err := telamon.ParseApprovalID(job.Key)
	if err != nil {
		return time.Time{}, err
	}
	return time.Time{}, s.store.ExpireProposal(ctx, system, id)
}
