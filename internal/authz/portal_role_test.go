package authz_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
)

func portalRoles() (codes []string) {
	for _, r := range authz.Roles() {
		if r.Application == authz.Portal {
			codes = append(codes, r.Code)
		}
	}
	return codes
}

// TestRequirement07Matrix compares the whole matrix of roles and actions with its golden
// file: an action that a role lost or won is a line of a review.
func TestRequirement07Matrix(t *testing.T) {
	const golden = "testdata/portal_roles.golden"
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s %s\n", "action", strings.Join(portalRoles(), " "))
	for _, action := range authz.Actions() {
		fmt.Fprintf(&b, "%-28s", action)
		for _, role := range portalRoles() {
			fmt.Fprintf(&b, " %-*s", len(role), authz.ReachOfRole(role, action))
		}
		b.WriteByte('\n')
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	table := strings.Join(lines, "\n")
	if *update {
		if err := os.WriteFile(golden, []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), table); diff != "" {
		t.Errorf("the matrix is another one (go test -update writes it; -want +got):\n%s", diff)
	}
}

// TestRolesAreUnited holds Check to the matrix for every two roles.
func TestRolesAreUnited(t *testing.T) {
	mine, other := telamon.NewAccountID(), telamon.NewAccountID()
	for _, one := range portalRoles() {
		for _, two := range append(portalRoles(), "unknown") {
			actor := telamon.Actor{Kind: telamon.ActorUser, Account: mine, User: telamon.NewUserID(), Roles: []string{one, two}}
			for _, action := range authz.Actions() {
				reach := max(authz.ReachOfRole(one, action), authz.ReachOfRole(two, action))
				if err := authz.Check(actor, action, mine); (err == nil) != (reach >= authz.Own) {
					t.Errorf("%s and %s, %s in the own account: %v", one, two, action, err)
				}
				err := authz.Check(actor, action, other)
				if (err == nil) != (reach == authz.Any) || reach == authz.Own && !fault.Is(err, fault.NotFound) {
					t.Errorf("%s and %s, %s in another account: %v", one, two, action, err)
				}
			}
		}
	}
}

// TestRequirement09 holds the two roles that the requirement names to what it says.
func TestRequirement09(t *testing.T) {
	account := telamon.NewAccountID()
	actor := telamon.Actor{Kind: telamon.ActorUser, Account: account, Roles: []string{authz.RoleManageCertificates}}
	if err := authz.Check(actor, authz.IdentityCreate, account); !fault.Is(err, fault.Denied) {
		t.Errorf("who manages certificates alone requests an identity: %v", err)
	}
	actor.Roles = append(actor.Roles, authz.RoleManageIdentities)
	if err := authz.Check(actor, authz.IdentityCreate, account); err != nil {
		t.Errorf("who manages identities too cannot request one: %v", err)
	}
}

// TestStaffReach holds customers' roles to their own account.
func TestStaffReach(t *testing.T) {
	for _, role := range portalRoles() {
		for _, action := range authz.Actions() {
			if reach := authz.ReachOfRole(role, action); reach == authz.Any && !authz.IsStaffRole(role) && action != authz.IssuerChain {
				t.Errorf("%s may %s in any account", role, action)
			}
		}
		for _, action := range []authz.Action{authz.UserSetRoles, authz.UserInvite, authz.UserCreate, authz.UserSetPassword, authz.APITokenCreate} {
			if authz.IsStaffRole(role) && authz.ReachOfRole(role, action) != authz.None {
				t.Errorf("%s may %s: it could give itself every right", role, action)
			}
		}
	}
}

func TestRequirement08MayAssign(t *testing.T) {
	account, other, self := telamon.NewAccountID(), telamon.NewAccountID(), telamon.NewUserID()
	user := func(roles ...string) telamon.Actor {
		return telamon.Actor{Kind: telamon.ActorUser, Account: account, User: self, Roles: roles}
	}
	for _, tt := range []struct {
		name    string
		actor   telamon.Actor
		account telamon.AccountID
		staff   bool
		user    telamon.UserID
		roles   []string
		code    string // "" is allowed
	}{
		{"an administrator", user("administrator"), account, false, telamon.NewUserID(), []string{"administrator"}, ""},
		{"an operator", telamon.Actor{Kind: telamon.ActorOperator}, account, false, telamon.NewUserID(), []string{"administrator"}, ""},
		{"to themselves", user("administrator"), account, false, self, []string{"finance"}, "own_roles"},
		{"another account", user("administrator"), other, false, telamon.NewUserID(), []string{"finance"}, "not_found"},
		{"no administrator", user("manage_credentials", "auditor"), account, false, telamon.NewUserID(), []string{"finance"}, "access_denied"},
		{"a manager of users of another application", user("AM_USER_MANAGER"), account, false, telamon.NewUserID(), []string{"finance"}, "roles_denied"},
		{"the CA's staff", user("ca_operator", "vetting_agent", "sales"), account, true, telamon.NewUserID(), []string{"finance"}, "access_denied"},
		{"a role of the staff", user("administrator"), account, false, telamon.NewUserID(), []string{"ca_operator"}, "staff_role"},
		{"a role of the staff, by an operator", telamon.Actor{Kind: telamon.ActorOperator}, account, false, "", []string{"sales"}, "staff_role"},
		{"a role of the staff, in its account", user("administrator"), account, true, telamon.NewUserID(), []string{"ca_operator"}, ""},
	} {
		err := authz.MayAssign(tt.actor, tt.account, tt.staff, tt.user, tt.roles)
		if (err == nil) != (tt.code == "") || err != nil && fault.From(err).Code != tt.code {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.code)
		}
	}
}
