package authz

import (
	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// needTwo are the actions that need a second operator where four eyes are on: those by
// which one person could have the CA say what it should not, or end what it has said.
var needTwo = map[Action]bool{
	ServiceCreate: true, ServiceUpdate: true, // the validation policies
	HierarchyCreate: true, IssuerCreate: true, IssuerActivate: true, IssuerRetire: true,
	IssuerPlan: true, IssuerSchedule: true, IssuerRevoke: true, IssuerCrossSign: true,
	BulkExecute: true,
	KeyUnblock:  true,
}

// NeedsTwo reports whether an action of one of the CA's staff waits for the approval of another
// where four eyes are on. Whatever jobs and the platform do by themselves never does.
func NeedsTwo(action Action) bool { return needTwo[action] }

// MayDecide returns nil if the actor may approve what was asked for: a person who has shown
// who it is, and of whom it is known that it is somebody else. A service user is no person.
// To reject it, it may be the same one. Whether a user is of the staff at all, ProposalDecide
// says. Two users are two people, and so are two operators' names; of a user and an
// operator that is known only if the user's address in the portal is that of an operator,
// whose name is then in the actor, or was in [telamon.Proposal.RequestedBy].
//
// It reports a Denied fault with operator_unnamed, not_a_person, own_proposal or
// operator_unlinked.
func MayDecide(actor telamon.Actor, p *telamon.Proposal, approve bool) error {
	if err := MustBeNamed(actor); err != nil {
		return err
	}
	named := p.User == "" || p.RequestedBy != p.User.String()
	switch {
	case !approve:
		return nil
	case actor.Kind == telamon.ActorUser && actor.Session == "":
		return fault.New(fault.Denied, "not_a_person", "A person must approve this, who has signed in to the portal: a service user is nobody in particular.")
	case actor.StaffName() == p.RequestedBy || actor.User != "" && actor.User == p.User:
		return ErrOwnProposal()
	case (actor.User == "" || p.User == "") && (actor.Operator == "" || !named):
		return fault.New(fault.Denied, "operator_unlinked",
			"One of the two people is an operator of the admin socket and the other one a user of the portal, and nobody knows that they are not the same: "+
				"name the user's address in the configuration (operators, email), or have another user approve it.")
	}
	return nil
}

// ErrOwnProposal says that nobody approves what they have asked for themselves.
func ErrOwnProposal() error {
	return fault.New(fault.Denied, "own_proposal", "You have asked for this yourself: another one must approve it.")
}

// MustBeNamed reports a Denied fault with operator_unnamed unless the actor is an operator
// who has shown who it is, or a user.
func MustBeNamed(actor telamon.Actor) error {
	if actor.StaffName() != "" {
		return nil
	}
	return fault.New(fault.Denied, "operator_unnamed",
		"This needs two operators who have shown who they are: by their token, as the user of the system that the configuration names, or by signing in to the portal.")
}
