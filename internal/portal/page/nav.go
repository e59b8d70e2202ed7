package page

import (
	"strings"

	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// An entry is one item of the navigation.
type entry struct {
	key, path string
	action    authz.Action // that one must be allowed to see it; "" for everybody
}

// navigation is the order of the user's work. A group of which nothing may be seen is
// left out.
var navigation = [][]entry{
	{{"nav.dashboard", HomePath, ""}},
	{{"nav.services", ServicesPath, authz.SubscriptionRead}, {"nav.identities", IdentitiesPath, authz.IdentityRead}},
	{
		{"nav.credentials", CredentialsPath, authz.CredentialRead}, {"nav.mtls", MTLSPath, authz.ClientCertificateRead},
		{"nav.clients", ClientCertificatesPath, ""}, {"nav.service_users", ServiceUsersPath, authz.UserRead},
	},
	{{"nav.domains", DomainsPath, authz.ClaimRead}, {"nav.certificates", CertificatesPath, authz.CertificateRead}},
	{{"nav.members", MembersPath, authz.UserRead}, {"nav.audit", AuditPath, authz.AuditRead}, {"nav.mail", MailPath, authz.MailRead}, {"nav.settings", SettingsPath, ""}},
	// Those of the CA's own staff.
	{{"nav.vetting", VettingPath, authz.VettingRead}},
}

// operating is the navigation of those who operate the CA.
var operating = []entry{
	{"nav.operator_approvals", OperatorApprovalsPath, authz.ProposalRead}, {"nav.operator_services", OperatorServicesPath, authz.ServiceUpdate},
	{"nav.operator_issuers", OperatorIssuersPath, authz.IssuerRead}, {"nav.operator_status", OperatorStatusPath, authz.CRLRead},
	{"nav.operator_certificates", OperatorCertificatesPath, authz.PlatformRead}, {"nav.operator_reports", OperatorReportsPath, authz.ReportRead},
	{"nav.operator_jobs", OperatorJobsPath, authz.PlatformRead}, {"nav.operator_audit", OperatorAuditPath, authz.PlatformRead},
	{"nav.operator_mail", OperatorMailPath, authz.PlatformRead}, {"nav.operator_health", OperatorHealthPath, authz.PlatformRead},
}

// Chrome is what is around a page: the navigation, as far as the person may go.
func (c *Call) Chrome() ui.Chrome {
	var groups []ui.NavGroup
	for _, all := range navigation {
		var group ui.NavGroup
		for _, e := range all {
			if e.action == "" || c.May(e.action) {
				group.Items = append(group.Items, ui.NavItem{Text: c.Say(e.key), URL: e.path, Current: c.isBelow(e.path)})
			}
		}
		if len(group.Items) > 0 {
			groups = append(groups, group)
		}
	}
	staff := ui.NavGroup{Name: c.Say("nav.operators"), Staff: true}
	for _, e := range operating {
		if c.May(e.action) {
			staff.Items = append(staff.Items, ui.NavItem{Text: c.Say(e.key), URL: e.path, Current: c.isBelow(e.path)})
		}
	}
	if len(staff.Items) > 0 {
		groups = append(groups, staff)
	}
	return ui.Chrome{
		Staff:  c.isBelow(OperatorPath),
		Groups: groups, Account: c.Session.Account.Name, User: c.Session.User.Name, Email: c.Session.User.Email, Home: HomePath,
		Me: []ui.Link{{Text: c.Say("nav.me"), URL: MePath}, {Text: c.Say("nav.settings"), URL: SettingsPath}}, SignOut: SignOutPath,
	}
}

// isBelow reports whether the page is that of the path, or of one object of its list.
func (c *Call) isBelow(path string) bool {
	return c.R.URL.Path == path || path != HomePath && strings.HasPrefix(c.R.URL.Path, path+"/")
}
