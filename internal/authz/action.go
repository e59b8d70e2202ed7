package authz

import "slices"

// An Action is an object and a verb, such as "certificate.issue": what audit
// events call what was done. Actions are never renamed.
type Action string

// The actions.
const (
	CertificateIssue  Action = "certificate.issue"
	CertificateRead   Action = "certificate.read"
	CertificateRevoke Action = "certificate.revoke"
	CertificateRekey  Action = "certificate.rekey"

	CertificateEvidence Action = "certificate.evidence" // how its names were validated

	ClaimSubmit   Action = "claim.submit"
	ClaimRead     Action = "claim.read"
	ClaimCheck    Action = "claim.check" // looks for the token now
	ClaimMail     Action = "claim.mail"  // sends a mail that asks for approval
	ClaimApprove  Action = "claim.approve"
	ClaimReassert Action = "claim.reassert"
	ClaimDelete   Action = "claim.delete"
	ClaimExpire   Action = "claim.expire"

	PolicyRead     Action = "policy.read"     // the effective validation policy
	StatisticsRead Action = "statistics.read" // counters, quotas and lists of certificates

	AccountCreate   Action = "account.create"
	AccountRead     Action = "account.read"
	AccountUpdate   Action = "account.update" // its service period
	AccountDisable  Action = "account.disable"
	AccountEnable   Action = "account.enable"
	AccountDelete   Action = "account.delete"
	AccountSettings Action = "account.settings" // what it says of itself, its OpenID provider

	UserCreate      Action = "user.create"
	UserRead        Action = "user.read"
	UserDisable     Action = "user.disable"
	UserEnable      Action = "user.enable"
	UserDelete      Action = "user.delete"
	UserSetPassword Action = "user.set_password"
	UserSetRoles    Action = "user.set_roles"
	UserUpdate      Action = "user.update" // name, description, address, end
	UserLock        Action = "user.lock"
	UserUnlock      Action = "user.unlock"
	UserInvite      Action = "user.invite"
	UserResetFactor Action = "user.reset_factor" // of somebody who has lost theirs
	SessionEnd      Action = "session.end"
	RoleRead        Action = "role.read"

	APITokenCreate  Action = "api_token.create"
	APITokenRead    Action = "api_token.read"
	APITokenUpdate  Action = "api_token.update" // name and end
	APITokenDisable Action = "api_token.disable"
	APITokenEnable  Action = "api_token.enable"
	APITokenDelete  Action = "api_token.delete"

	IdentityCreate   Action = "identity.create"
	IdentityRead     Action = "identity.read"
	IdentitySubmit   Action = "identity.submit"   // draft to queued
	IdentityProcess  Action = "identity.process"  // queued to processed
	IdentityActivate Action = "identity.activate" // the vetting succeeded
	IdentityReject   Action = "identity.reject"
	IdentityExpire   Action = "identity.expire"
	IdentityWithdraw Action = "identity.withdraw"

	IdentityRequesters Action = "identity.name_requesters" // who may request certificates for it

	VettingRead   Action = "vetting.read"   // cases, their checklists and evidence
	VettingRecord Action = "vetting.record" // what was checked, and evidence of it

	ServiceCreate Action = "service.create"
	ServiceRead   Action = "service.read"
	ServiceUpdate Action = "service.update"

	SubscriptionCreate Action = "subscription.create"
	SubscriptionRead   Action = "subscription.read"
	SubscriptionGrant  Action = "subscription.grant" // adds a lot of quota

	QuoteCreate  Action = "quote.create"
	QuoteRead    Action = "quote.read"
	QuoteUpdate  Action = "quote.update" // a draft
	QuoteSend    Action = "quote.send"   // to its account, which can accept it from then on
	QuoteAccept  Action = "quote.accept"
	QuoteReorder Action = "quote.reorder" // makes one of its own for what a pack held
	QuoteClear   Action = "quote.clear"   // its credit is good
	QuoteCancel  Action = "quote.cancel"
	QuoteExpire  Action = "quote.expire"

	CredentialCreate  Action = "credential.create"
	CredentialRead    Action = "credential.read"
	CredentialDisable Action = "credential.disable"
	CredentialEnable  Action = "credential.enable"
	CredentialDelete  Action = "credential.delete"
	CredentialRelink  Action = "credential.relink"  // to another subscription or identity
	CredentialSetIPs  Action = "credential.set_ips" // the allow-list
	CredentialLogin   Action = "credential.login"

	ClientCertificateIssue   Action = "client_certificate.issue"
	ClientCertificateRead    Action = "client_certificate.read"
	ClientCertificateDisable Action = "client_certificate.disable"
	ClientCertificateEnable  Action = "client_certificate.enable"
	ClientCertificateRevoke  Action = "client_certificate.revoke"
	ClientCertificateLink    Action = "client_certificate.link" // sets the credentials that it is good for
	// The following are for client certificates of users alone.
	ClientCertificateDelete   Action = "client_certificate.delete"
	ClientCertificateDownload Action = "client_certificate.download" // the PKCS #12 file, once

	KeyPairCreate  Action = "key_pair.create"
	KeyPairRead    Action = "key_pair.read"
	KeyPairSign    Action = "key_pair.sign"
	KeyPairDisable Action = "key_pair.disable"
	KeyPairEnable  Action = "key_pair.enable"
	KeyPairDelete  Action = "key_pair.delete"

	KeyBlock   Action = "key.block" // it is certified no more
	KeyUnblock Action = "key.unblock"
	KeyRead    Action = "key.read"

	BulkPlan    Action = "bulk.plan" // counts what would be revoked
	BulkExecute Action = "bulk.execute"
	BulkRead    Action = "bulk.read"

	ProposalRead   Action = "proposal.read" // acts that wait for a second operator
	ProposalDecide Action = "proposal.decide"

	CaseOpen  Action = "case.open" // a report by which certificates must be revoked in time
	CaseClose Action = "case.close"
	CaseRead  Action = "case.read"

	MailRead Action = "mail.read" // which mails were sent, and what they said

	// Problem reports of certificates, which anybody may file.
	ReportFile    Action = "report.file"
	ReportRead    Action = "report.read"
	ReportAnswer  Action = "report.answer" // says that the reporter has a preliminary answer
	ReportAccept  Action = "report.accept" // makes a case of it
	ReportDismiss Action = "report.dismiss"

	AuditRead   Action = "audit.read"
	AuditVerify Action = "audit.verify"

	PlatformRead Action = "platform.read" // how the platform does: its jobs, its health
	JobRun       Action = "job.run"       // before its time

	CRLRead    Action = "crl.read"
	CRLPublish Action = "crl.publish" // before its time, or one that was signed elsewhere

	HierarchyCreate Action = "hierarchy.create" // with its root, series and first issuing CAs

	IssuerCreate   Action = "issuer.create"
	IssuerRead     Action = "issuer.read"
	IssuerChain    Action = "issuer.chain" // the certificates up to the root, which are public
	IssuerActivate Action = "issuer.activate"
	IssuerRetire   Action = "issuer.retire"

	IssuerPlan      Action = "issuer.plan"       // makes the key of a next one
	IssuerSchedule  Action = "issuer.schedule"   // how a series is rotated
	IssuerRevoke    Action = "issuer.revoke"     // its certificate, by its root
	IssuerCrossSign Action = "issuer.cross_sign" // a root by another one, and which chain is shown
)

var actions = []Action{
	CertificateIssue, CertificateRead, CertificateRevoke, CertificateRekey,
	CertificateEvidence,
	ClaimSubmit, ClaimRead, ClaimCheck, ClaimMail, ClaimApprove, ClaimReassert, ClaimDelete, ClaimExpire,
	PolicyRead, StatisticsRead,
	AccountCreate, AccountRead, AccountUpdate, AccountDisable, AccountEnable, AccountDelete, AccountSettings,
	UserCreate, UserRead, UserDisable, UserEnable, UserDelete, UserSetPassword, UserSetRoles,
	UserUpdate, UserLock, UserUnlock, UserInvite, UserResetFactor, SessionEnd, RoleRead,
	APITokenCreate, APITokenRead, APITokenUpdate, APITokenDisable, APITokenEnable, APITokenDelete,
	IdentityCreate, IdentityRead, IdentitySubmit, IdentityProcess, IdentityActivate, IdentityReject, IdentityExpire,
	IdentityWithdraw, IdentityRequesters, VettingRead, VettingRecord,
	ServiceCreate, ServiceRead, ServiceUpdate,
	SubscriptionCreate, SubscriptionRead, SubscriptionGrant,
	QuoteCreate, QuoteRead, QuoteUpdate, QuoteSend, QuoteAccept, QuoteReorder, QuoteClear, QuoteCancel, QuoteExpire,
	CredentialCreate, CredentialRead, CredentialDisable, CredentialEnable, CredentialDelete, CredentialRelink,
	CredentialSetIPs, CredentialLogin,
	ClientCertificateIssue, ClientCertificateRead, ClientCertificateDisable, ClientCertificateEnable,
	ClientCertificateRevoke, ClientCertificateLink,
	ClientCertificateDelete, ClientCertificateDownload,
	KeyPairCreate, KeyPairRead, KeyPairSign, KeyPairDisable, KeyPairEnable, KeyPairDelete,
	KeyBlock, KeyUnblock, KeyRead,
	BulkPlan, BulkExecute, BulkRead,
	ProposalRead, ProposalDecide, CaseOpen, CaseClose, CaseRead,
	MailRead, ReportFile, ReportRead, ReportAnswer, ReportAccept, ReportDismiss, AuditRead, AuditVerify,
	PlatformRead, JobRun, CRLRead, CRLPublish,
	HierarchyCreate, IssuerCreate, IssuerRead, IssuerChain, IssuerActivate, IssuerRetire,
	IssuerPlan, IssuerSchedule, IssuerRevoke, IssuerCrossSign,
}

// Actions returns every action, in the order of this file. The caller owns the slice.
func Actions() []Action { return slices.Clone(actions) }
