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

// NeedsTwo reports whether an action of an operator, or of a user of the CA's staff, waits for the approval of another where
// four eyes are on. Whatever jobs and the platform do by themselves never does.
func NeedsTwo(action Action) bool { return needTwo[action] }

// MayDecide returns nil if the actor may approve what one of the staff asks for, by their
// [telamon.Actor.StaffName]: somebody who has shown who they are, and is somebody else. To
// reject it, it may be the same one. Whether a user is of the staff at all, ProposalDecide
// says.
//
// It reports a Denied fault with operator_unnamed or own_proposal.
func MayDecide(actor telamon.Actor, requestedBy string, approve bool) error {
	if err := MustBeNamed(actor); err != nil {
		return err
	}
	if approve && actor.StaffName() == requestedBy {
		return fault.New(fault.Denied, "own_proposal", "You have asked for this yourself: another one must approve it.")
	}
	return nil
}

// MustBeNamed reports a Denied fault with operator_unnamed unless the actor is an operator
// who has shown who it is, or a user.
func MustBeNamed(actor telamon.Actor) error {
	if actor.StaffName() == "" {
		return fault.New(fault.Denied, "operator_unnamed",
			"This needs two operators who have shown who they are: by their token, or as the user of the system that the configuration names.")
	}
	return nil
}
