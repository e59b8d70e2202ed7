// Package authz says whether an actor may do an action to an object: one table by the
// kind of the actor, and for users one by their roles. It is pure and keeps no state; it
// does not know who the actor is (the dialects authenticate) nor whether the object
// exists.
//
// It trusts that the actor's kind and account come from an authentication, and
// that the owner is the account that the store says the object belongs to.
package authz

import (
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// Reach says on whose objects an action is allowed. The zero value is None, so
// that an action or a kind that is in no table is refused.
type Reach uint8

// The reaches.
const (
	None Reach = iota // on nobody's
	Own               // on those of the actor's account
	Any               // on those of any account, and on the platform's own
)

var reachNames = [...]string{"none", "own", "any"}

// String returns the reach's name, such as "own".
func (r Reach) String() string {
	if int(r) >= len(reachNames) {
		return "unknown"
	}
	return reachNames[r]
}

// grants are the actions that each kind of actor may do, and on whose objects.
// What is not here is refused.
var grants = map[telamon.ActorKind]map[Action]Reach{
	// An API credential issues for its own pair; which pair's objects it sees is
	// the store's to scope.
	telamon.ActorCredential: {
		CertificateIssue: Own, CertificateRead: Own, CertificateRevoke: Own, CertificateRekey: Own,
		PolicyRead: Own, StatisticsRead: Own, IssuerChain: Any,
		ClaimSubmit: Own, ClaimRead: Own, ClaimCheck: Own, ClaimMail: Own, ClaimReassert: Own, ClaimDelete: Own,
	},
	// The owner of the admin socket runs the platform, but holds no credential: an
	// operator's certificate would have no subscription to draw on, control of a domain is
	// for its applicant to show, and a quote is accepted by who pays for it.
	telamon.ActorOperator: reachOf(Any, except(Actions(),
		CertificateIssue, CertificateRekey, CredentialLogin, KeyPairSign, QuoteAccept, QuoteReorder,
		ClaimSubmit, ClaimCheck, ClaimMail, ClaimApprove, ClaimReassert)),
	// Jobs and the start of the platform make and rotate issuers, issue the
	// platform's own certificates under an account of its own, and keep the log.
	telamon.ActorSystem: reachOf(Any, []Action{
		AccountCreate, AccountRead, ServiceCreate, ServiceRead, SubscriptionCreate, SubscriptionRead,
		IdentityCreate, IdentitySubmit, IdentityProcess, IdentityActivate, CredentialCreate, CredentialRead, CredentialDisable,
		CertificateIssue, CertificateRead, CertificateRevoke, StatisticsRead, ClientCertificateRead, ClientCertificateRevoke,
		IdentityRead, IdentityExpire, HierarchyCreate, IssuerCreate, IssuerRead, IssuerChain, IssuerActivate, IssuerRetire, IssuerPlan,
		AuditRead, AuditVerify, CRLRead, CRLPublish, ClaimRead, ClaimCheck, ClaimExpire, QuoteExpire,
	}),
	// Nobody yet: all that a stranger may do is to try a login, to approve a claim with the
	// value that was mailed to its domain, and to report a problem with a certificate.
	telamon.ActorAnonymous: {CredentialLogin: Any, ClaimApprove: Any, ReportFile: Any},
}

func reachOf(reach Reach, actions []Action) map[Action]Reach {
	out := make(map[Action]Reach, len(actions))
	for _, action := range actions {
		out[action] = reach
	}
	return out
}

func except(actions []Action, without ...Action) []Action {
	return slices.DeleteFunc(actions, func(a Action) bool { return slices.Contains(without, a) })
}

// ReachOf returns on whose objects actors of the kind may do the action.
func ReachOf(kind telamon.ActorKind, action Action) Reach { return grants[kind][action] }

// Check returns nil if the actor may do the action to an object of the owner,
// which is empty for what is the platform's own. For a list or for something that
// is about to be made, the owner is the account that it is in.
//
// It reports a Denied fault if the actor may not do this to any object, and a
// NotFound one, which does not tell whether the object exists, if the actor may
// but the object is not of its account.
func Check(actor telamon.Actor, action Action, owner telamon.AccountID) error {
	reach := ReachOf(actor.Kind, action)
	if actor.Kind == telamon.ActorUser {
		reach = reachOfRoles(actor.Roles, action)
	}
	switch reach {
	case Any:
		return nil
	case Own:
		if owner != "" && owner == actor.Account {
			return nil
		}
		return errNotFound()
	}
	return fault.New(fault.Denied, "access_denied", "You are not allowed to do this.")
}

// CheckUser is Check for what belongs to one user of the owner: the user, their API
// tokens and client certificates. The user is empty for what is no single user's, such
// as a list of everybody's. Users may do what is their own without a role for it.
//
// It reports a NotFound fault, and not a Denied one, to a user who may not even see that
// other user (digicert-one.md, Section 5).
func CheckUser(actor telamon.Actor, action Action, owner telamon.AccountID, user telamon.UserID) error {
	if actor.Kind != telamon.ActorUser || user == "" {
		return Check(actor, action, owner)
	}
	if user == actor.User && owner == actor.Account {
		if selfService[action] {
			return nil
		}
	} else if Check(actor, UserRead, owner) != nil {
		return errNotFound()
	}
	return Check(actor, action, owner)
}

// MayGive returns nil if the actor, who may make users or set their roles, may give these
// roles, or make what acts with them, such as an API token of another user: a user gives
// no permission of the Account Manager and no role of the portal that is not their own.
// An administrator of the account has all that is not the staff's. It reports a Denied fault
// with role_not_yours.
func MayGive(actor telamon.Actor, codes []string) error {
	return reaches(actor, codes, func(Permission) bool { return true })
}

// MayChange returns nil if the actor, who may change users, may change one of these roles
// or what they authenticate by: a user reaches nobody who manages what they do not, or has
// a role of the portal that is not their own; an administrator of the account reaches all
// but the staff. It reports a Denied fault with role_not_yours.
func MayChange(actor telamon.Actor, codes []string) error {
	return reaches(actor, codes, func(p Permission) bool { return !viewing[p] })
}

// reaches returns nil if the actor has what the roles allow, as far as it counts.
func reaches(actor telamon.Actor, codes []string, counts func(Permission) bool) error {
	if actor.Kind != telamon.ActorUser {
		return nil
	}
	own := Permissions(actor.Roles)
	administers := slices.Contains(actor.Roles, RoleAdministrator)
	lacks := func(p Permission) bool { return counts(p) && !slices.Contains(own, p) }
	for _, code := range codes {
		role, _ := RoleNamed(code)
		switch {
		case administers && role.Code != "" && !staffRoles[code]:
			continue
		case role.Application == SoftwareTrust || slices.Contains(actor.Roles, code):
			continue
		case role.Application == AccountManager && !slices.ContainsFunc(role.Permissions, lacks):
			continue
		}
		return fault.New(fault.Denied, "role_not_yours", "Your roles do not reach to the role "+code+".")
	}
	return nil
}

// IsSelfService reports whether users may do the action to what is their own.
func IsSelfService(action Action) bool { return selfService[action] }

func errNotFound() error { return fault.New(fault.NotFound, "not_found", "There is no such object.") }
