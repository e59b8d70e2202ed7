package page

import (
	"slices"
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
	{{"nav.domains", DomainsPath, authz.ClaimRead}, {"nav.certificates", CertificatesPath, authz.CertificateRead}, {"nav.reports", ReportsPath, authz.StatisticsRead}},
	{{"nav.members", MembersPath, authz.UserRead}, {"nav.audit", AuditPath, authz.AuditRead}, {"nav.mail", MailPath, authz.MailRead}, {"nav.settings", SettingsPath, ""}},
}

// operating is the navigation of the CA's own staff: what waits for somebody comes first.
var operating = []entry{
	{"nav.operator_approvals", OperatorApprovalsPath, authz.ProposalRead}, {"nav.vetting", VettingPath, authz.VettingRead},
	{"nav.operator_reports", OperatorReportsPath, authz.ReportRead},
	{"nav.operator_accounts", OperatorAccountsPath, authz.AccountRead}, {"nav.operator_quotes", OperatorQuotesPath, authz.QuoteRead},
	{"nav.operator_services", OperatorServicesPath, authz.ServiceUpdate}, {"nav.operator_certificates", OperatorCertificatesPath, authz.PlatformRead},
	{"nav.operator_issuers", OperatorIssuersPath, authz.IssuerRead}, {"nav.operator_status", OperatorStatusPath, authz.CRLRead},
	{"nav.operator_jobs", OperatorJobsPath, authz.PlatformRead}, {"nav.operator_audit", OperatorAuditPath, authz.PlatformRead},
	{"nav.operator_mail", OperatorMailPath, authz.PlatformRead}, {"nav.operator_health", OperatorHealthPath, authz.PlatformRead},
}

// mayAnywhere reports whether the person may do something to what belongs to any account.
func (c *Call) mayAnywhere(action authz.Action) bool { return authz.Check(c.Actor, action, "") == nil }

// StaffHome returns where those begin who work for the CA and for nothing of the account:
// the first page of the staff's that they may see. It is "" for everybody else.
func (c *Call) StaffHome() string {
	if len(c.Actor.Roles) == 0 || slices.ContainsFunc(c.Actor.Roles, func(role string) bool { return !authz.IsStaffRole(role) }) {
		return ""
	}
	for _, e := range operating {
		if c.mayAnywhere(e.action) {
			return e.path
		}
	}
	return ""
}

// group is the entries that may be seen.
func (c *Call) group(entries []entry, may func(authz.Action) bool) (g ui.NavGroup) {
	for _, e := range entries {
		if e.action == "" || may(e.action) {
			g.Items = append(g.Items, ui.NavItem{Text: c.Say(e.key), URL: e.path, Current: c.isBelow(e.path)})
		}
	}
	return g
}

// Chrome is what is around a page: the navigation, as far as the person may go. Those who
// only work for the CA have the staff's alone.
func (c *Call) Chrome() ui.Chrome {
	var groups []ui.NavGroup
	if c.StaffHome() == "" {
		for _, entries := range navigation {
			if g := c.group(entries, c.May); len(g.Items) > 0 {
				groups = append(groups, g)
			}
		}
	}
	staff := c.group(operating, c.mayAnywhere)
	if len(staff.Items) > 0 {
		staff.Name, staff.Staff = c.Say("nav.operators"), true
		groups = append(groups, staff)
	}
	return ui.Chrome{
		Staff: c.isBelow(OperatorPath), Groups: groups,
		Account: c.Session.Account.Name, User: c.Session.User.Name, Email: c.Session.User.Email, Home: HomePath,
		Me: []ui.Link{{Text: c.Say("nav.me"), URL: MePath}, {Text: c.Say("nav.settings"), URL: SettingsPath}}, SignOut: SignOutPath,
	}
}

// isBelow reports whether the page is that of the path, or of one object of its list.
func (c *Call) isBelow(path string) bool {
	return c.R.URL.Path == path || path != HomePath && strings.HasPrefix(c.R.URL.Path, path+"/")
}
