package portal_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon/internal/authz"
)

// TestStaffNavigation holds that the staff's pages are in a group of their own, which only
// those see who may open them, and that whoever only works for the CA begins there.
func TestStaffNavigation(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	customer := w.admin(t, ada, "Northwind Energy Supply Ltd")
	if page := customer.get(t, "/"); page.status != http.StatusOK || strings.Contains(page.body, "/operator/") || strings.Contains(page.body, "nav-group staff") {
		t.Errorf("a customer sees the staff's pages, or the dashboard is %d", page.status)
	}
	home := w.staff(t, "Example Trust")
	entries := map[string][]string{
		authz.RoleCAOperator: {
			"/operator/approvals", "/operator/reports", "/operator/accounts", "/operator/quotes", "/operator/services", "/operator/certificates",
			"/operator/issuers", "/operator/status", "/operator/jobs", "/operator/audit", "/operator/mail", "/operator/health",
		},
		authz.RoleVettingAgent: {"/operator/vetting", "/operator/accounts"},
		authz.RoleSales:        {"/operator/accounts", "/operator/quotes"},
	}
	for role, want := range entries {
		g := w.operator(t, home, role+"@trust.example", role)
		if a := g.get(t, "/"); a.status != http.StatusSeeOther || a.header.Get("Location") != want[0] {
			t.Errorf("%s is led to %q with %d, want to %s", role, a.header.Get("Location"), a.status, want[0])
		}
		_, nav, _ := strings.Cut(g.get(t, "/settings").body, `<nav id="nav"`)
		nav, _, _ = strings.Cut(nav, "</nav>")
		var links []string
		for _, m := range linkOfPage.FindAllStringSubmatch(nav, -1) {
			links = append(links, m[1])
		}
		if !slices.Equal(links, want) || !strings.Contains(nav, "nav-group staff") {
			t.Errorf("%s sees %q, want %q", role, links, want)
		}
	}
	both := w.operator(t, home, "both@trust.example", authz.RoleReadOnly, authz.RoleVettingAgent)
	page := both.get(t, "/")
	if page.status != http.StatusOK || !strings.Contains(page.body, `href="/certificates"`) || !strings.Contains(page.body, `href="/operator/vetting"`) {
		t.Errorf("whoever reads the account's pages too gets %d, or not both groups", page.status)
	}
}
