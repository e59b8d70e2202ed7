package authz

import (
	"slices"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/fault"
)

// The roles of the portal (spec: portal-and-onboarding.md, Section 2).
const (
	RoleAdministrator      = "administrator"
	RoleManageIdentities   = "manage_identities"
	RoleManageCertificates = "manage_certificates"
	RoleManageCredentials  = "manage_credentials"
	RoleManageDomains      = "manage_domains"
	RoleFinance            = "finance"
	RoleReadOnly           = "read_only"
	RoleAuditor            = "auditor"
	// Those of the CA's own staff.
	RoleVettingAgent = "vetting_agent"
	RoleCAOperator   = "ca_operator"
	RoleSales        = "sales"
)

var portalRoles = []Role{
	{RoleAdministrator, "Administrator", Portal, nil},
	{RoleManageIdentities, "Manage identities", Portal, nil},
	{RoleManageCertificates, "Manage certificates", Portal, nil},
	{RoleManageCredentials, "Manage credentials", Portal, nil},
	{RoleManageDomains, "Manage domains", Portal, nil},
	{RoleFinance, "Finance", Portal, nil},
	{RoleReadOnly, "Read only", Portal, nil},
	{RoleAuditor, "Auditor", Portal, nil},
	{RoleVettingAgent, "Vetting agent", Portal, nil},
	{RoleCAOperator, "CA operator", Portal, nil},
	{RoleSales, "Sales", Portal, nil},
}

// staffRoles reach into every account: they are for users of the CA's own account alone.
var staffRoles = map[string]bool{RoleVettingAgent: true, RoleCAOperator: true, RoleSales: true}

// What roles are made of, on objects of the user's own account.
var (
	// Whoever has a role at all sees what the account consists of.
	basics = []Action{AccountRead, SubscriptionRead, IdentityRead, StatisticsRead, PolicyRead, RoleRead}

	identityWork = []Action{IdentityCreate, IdentityRead, IdentitySubmit, IdentityWithdraw, IdentityRequesters}

	certificateWork = []Action{
		CertificateIssue, CertificateRead, CertificateRevoke, CertificateRekey, CertificateEvidence, ClaimRead,
	}

	credentialWork = []Action{
		CredentialCreate, CredentialRead, CredentialDisable, CredentialEnable, CredentialDelete, CredentialRelink, CredentialSetIPs,
		ClientCertificateIssue, ClientCertificateRead, ClientCertificateDisable, ClientCertificateEnable, ClientCertificateRevoke,
		ClientCertificateLink,
	}

	domainWork = []Action{ClaimSubmit, ClaimRead, ClaimCheck, ClaimMail, ClaimReassert, ClaimDelete}

	memberWork = []Action{
		UserCreate, UserRead, UserUpdate, UserDisable, UserEnable, UserDelete, UserLock, UserUnlock, UserSetRoles, UserInvite,
		UserResetFactor, SessionEnd, AccountSettings,
		APITokenCreate, APITokenRead, APITokenUpdate, APITokenDisable, APITokenEnable, APITokenDelete,
		ClientCertificateDelete, ClientCertificateDownload,
	}

	// Of who buys: what is offered, and what was ordered.
	purchases = []Action{QuoteRead, QuoteAccept, QuoteReorder}

	keyPairWork = []Action{KeyPairCreate, KeyPairRead, KeyPairSign, KeyPairDisable, KeyPairEnable, KeyPairDelete}

	// Of what belongs to the account.
	reading = []Action{
		CertificateRead, CertificateEvidence, ClaimRead, CredentialRead, ClientCertificateRead, UserRead, APITokenRead, KeyPairRead,
		QuoteRead,
	}
)

// ofAccount allows actions on what is the user's account's, and chains, which are public.
func ofAccount(actions []Action) map[Action]Reach {
	grants := reachOf(Own, actions)
	grants[IssuerChain] = Any
	return grants
}

// portalGrants are the actions of each role of the portal, and on whose objects.
var portalGrants = map[string]map[Action]Reach{
	RoleAdministrator: ofAccount(slices.Concat(
		basics, identityWork, certificateWork, credentialWork, domainWork, memberWork, purchases, keyPairWork,
		[]Action{AuditRead, MailRead})),
	RoleManageIdentities:   ofAccount(slices.Concat(basics, identityWork)),
	RoleManageCertificates: ofAccount(slices.Concat(basics, certificateWork)),
	RoleManageCredentials:  ofAccount(slices.Concat(basics, credentialWork)),
	RoleManageDomains:      ofAccount(slices.Concat(basics, domainWork)),
	RoleFinance:            ofAccount(slices.Concat(basics, purchases)),
	RoleReadOnly:           ofAccount(slices.Concat(basics, reading)),
	RoleAuditor:            ofAccount(slices.Concat(basics, reading, []Action{AuditRead, MailRead})),
	RoleVettingAgent: reachOf(Any, []Action{
		AccountRead, UserRead, SubscriptionRead, IdentityRead, IdentityProcess, IdentityActivate, IdentityReject, IdentityExpire,
		VettingRead, VettingRecord,
	}),
	// It runs the CA, and can neither make itself or others users of an account nor give
	// roles: who may do this is not for it to say.
	RoleCAOperator: reachOf(Any, []Action{
		CertificateRead, CertificateEvidence, CertificateRevoke, ClaimRead, PolicyRead, StatisticsRead,
		AccountRead, AccountDisable, AccountEnable, UserRead, RoleRead, IdentityRead,
		ServiceCreate, ServiceRead, ServiceUpdate, SubscriptionCreate, SubscriptionRead, SubscriptionGrant,
		QuoteCreate, QuoteRead, QuoteUpdate, QuoteSend, QuoteClear, QuoteCancel,
		CredentialRead, CredentialDisable, ClientCertificateRead, ClientCertificateDisable, ClientCertificateRevoke,
		KeyBlock, KeyUnblock, KeyRead, BulkPlan, BulkExecute, BulkRead, ProposalRead, ProposalDecide, CaseOpen, CaseClose, CaseRead,
		MailRead, AuditRead, AuditVerify, PlatformRead, JobRun, CRLRead, CRLPublish,
		ReportRead, ReportAnswer, ReportAccept, ReportDismiss,
		IssuerRead, IssuerChain, IssuerActivate, IssuerRetire, IssuerPlan, IssuerSchedule,
	}),
	RoleSales: reachOf(Any, []Action{
		AccountCreate, AccountRead, ServiceRead, SubscriptionCreate, SubscriptionRead, SubscriptionGrant, StatisticsRead,
		QuoteCreate, QuoteRead, QuoteUpdate, QuoteSend, QuoteCancel, // to clear its credit is for another
	}),
}

// IsPortalRole reports whether there is such a role of the portal.
func IsPortalRole(code string) bool { return portalGrants[code] != nil }

// IsStaffRole reports whether the role is one of the CA's own staff.
func IsStaffRole(code string) bool { return staffRoles[code] }

// NeedsFactor reports whether people of the role must have a second factor: of
// administrators, of those who manage credentials, and of the CA's staff (requirement 6).
func NeedsFactor(code string) bool {
	return code == RoleAdministrator || code == RoleManageCredentials || staffRoles[code]
}

// FreshFor is how long a second factor that a session showed is fresh.
const FreshFor = 10 * time.Minute

// MustBeFresh returns nil if the actor may do what asks for a fresh second factor: those
// who act by a session have shown theirs within FreshFor. It reports Denied with
// second_factor_stale.
func MustBeFresh(actor telamon.Actor, now time.Time) error {
	if actor.Session == "" || !actor.SecondFactorAt.IsZero() && now.Sub(actor.SecondFactorAt) < FreshFor {
		return nil
	}
	return fault.New(fault.Denied, "second_factor_stale", "Show your second factor again first.")
}

// MayAssign returns nil if the actor may give a user these roles of the portal, or take
// them away: operators may, and administrators of the user's account, but not to
// themselves. Roles of the staff are for users of the CA's own account.
//
// It reports Denied with roles_denied, own_roles or staff_role, and NotFound if the
// account is another one.
func MayAssign(actor telamon.Actor, account telamon.AccountID, staff bool, user telamon.UserID, roles []string) error {
	if err := Check(actor, UserSetRoles, account); err != nil {
		return err
	}
	if actor.Kind == telamon.ActorUser && !slices.Contains(actor.Roles, RoleAdministrator) {
		return fault.New(fault.Denied, "roles_denied", "Only an administrator can change roles.")
	}
	if user != "" && user == actor.User {
		return fault.New(fault.Denied, "own_roles", "Nobody can change their own roles: another administrator can.")
	}
	if !staff && slices.ContainsFunc(roles, IsStaffRole) {
		return fault.New(fault.Denied, "staff_role", "Roles of the CA's staff are for users of its own account.")
	}
	return nil
}
