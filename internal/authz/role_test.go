package authz_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
)

// TestRoles compares what each role allows, and what every user may do to what is
// theirs, with the golden file. Actions that are in no line are allowed to no user.
func TestRoles(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s %-12s", "action", "self service")
	for _, role := range authz.Roles() {
		fmt.Fprintf(&b, " %s", role.Code)
	}
	b.WriteByte('\n')
	for _, action := range authz.Actions() {
		self, line, granted := "none", "", authz.IsSelfService(action)
		if granted {
			self = "own"
		}
		for _, role := range authz.Roles() {
			reach := authz.ReachOfRole(role.Code, action)
			if reach == authz.Any && role.Application != authz.Portal {
				t.Errorf("%s of %s is allowed on objects of any account", action, role.Code)
			}
			granted = granted || reach != authz.None
			line += fmt.Sprintf(" %-*s", len(role.Code), reach)
		}
		if granted {
			fmt.Fprintf(&b, "%-28s %-12s%s\n", action, self, line)
		}
	}
	compare(t, "testdata/roles.golden", b.String())
}

// TestPermissions checks that every permission of a role allows something, so that no
// user is told of a right that is none.
func TestPermissions(t *testing.T) {
	for _, role := range authz.Roles() {
		if got := authz.Permissions([]string{role.Code, role.Code, "NO_SUCH_ROLE"}); !slices.Equal(got, slices.Sorted(slices.Values(role.Permissions))) {
			t.Errorf("%s has the permissions %v, want %v", role.Code, got, role.Permissions)
		}
		some := slices.ContainsFunc(authz.Actions(), func(a authz.Action) bool { return authz.ReachOfRole(role.Code, a) != authz.None })
		if role.Application == authz.Portal { // its roles are actions, and not told to clients of DigiCert ONE
			if !some || len(role.Permissions) > 0 {
				t.Errorf("%s has %d permissions and allows something: %v", role.Code, len(role.Permissions), some)
			}
			continue
		}
		if some != (len(role.Permissions) > 0) {
			t.Errorf("%s has %d permissions and allows something: %v", role.Code, len(role.Permissions), some)
		}
	}
	if _, ok := authz.RoleNamed("NO_SUCH_ROLE"); ok || authz.ReachOfRole("NO_SUCH_ROLE", authz.UserRead) != authz.None {
		t.Error("there is a role that is none")
	}
}

// TestCheckUser has what digicert-one.md, Section 5, says of one's own, of others and of
// lists.
func TestCheckUser(t *testing.T) {
	mine, other := telamon.NewAccountID(), telamon.NewAccountID()
	me, colleague := telamon.NewUserID(), telamon.NewUserID()
	const allowed = fault.Kind(255)
	tests := []struct {
		name   string
		roles  string
		action authz.Action
		owner  telamon.AccountID
		user   telamon.UserID
		want   fault.Kind
	}{
		{"own certificate without a role", "", authz.ClientCertificateIssue, mine, me, allowed},
		{"own token by default", "AM_DEFAULT_USER", authz.APITokenCreate, mine, me, allowed},
		{"oneself", "AM_DEFAULT_USER", authz.UserRead, mine, me, allowed},
		{"own state", "AM_DEFAULT_USER", authz.UserDisable, mine, me, fault.Denied},
		{"own roles", "AM_VIEW_ONLY", authz.UserSetRoles, mine, me, fault.Denied},
		{"own ID in another account", "AM_ACCOUNT_ADMIN", authz.UserRead, other, me, fault.NotFound},
		{"another's certificate, unseen", "AM_ACCOUNT_USER", authz.ClientCertificateDisable, mine, colleague, fault.NotFound},
		{"another's certificate, read only", "AM_VIEW_ONLY", authz.ClientCertificateDisable, mine, colleague, fault.Denied},
		{"another's certificate, read", "AM_VIEW_ONLY", authz.ClientCertificateRead, mine, colleague, allowed},
		{"another's certificate", "AM_USER_MANAGER", authz.ClientCertificateDisable, mine, colleague, allowed},
		{"a certificate for another", "AM_USER_MANAGER", authz.ClientCertificateIssue, mine, colleague, allowed},
		{"revocation by a user", "AM_ACCOUNT_ADMIN", authz.ClientCertificateRevoke, mine, me, fault.Denied},
		{"another account's user", "AM_ACCOUNT_ADMIN", authz.UserRead, other, colleague, fault.NotFound},
		{"another account's user, unseen", "AM_DEFAULT_USER", authz.UserDelete, other, colleague, fault.NotFound},
		{"list of all users", "AM_ACCOUNT_USER", authz.UserRead, mine, "", fault.Denied},
		{"list of all users to a reader", "AM_VIEW_ONLY", authz.UserRead, mine, "", allowed},
		{"list of another account's", "AM_VIEW_ONLY", authz.UserRead, other, "", fault.NotFound},
		{"new user", "AM_VIEW_ONLY", authz.UserCreate, mine, "", fault.Denied},
		{"new user by a manager", "AM_ACCOUNT_MANAGER AM_USER_MANAGER", authz.UserCreate, mine, "", allowed},
		{"audit log", "AM_USER_MANAGER", authz.AuditRead, mine, "", allowed},
		{"audit log of another account", "AM_USER_MANAGER", authz.AuditRead, other, "", fault.NotFound},
		{"audit log of the platform", "AM_ACCOUNT_ADMIN", authz.AuditRead, "", "", fault.NotFound},
		{"audit log without a role for it", "AM_ACCOUNT_MANAGER", authz.AuditRead, mine, "", fault.Denied},
		{"signature", "SM_SIGNER", authz.KeyPairSign, mine, "", allowed},
		{"signature by a manager of keys", "SM_KEY_MANAGER", authz.KeyPairSign, mine, "", fault.Denied},
		{"an unknown role", "ROOT", authz.UserRead, mine, colleague, fault.NotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			actor := telamon.Actor{Kind: telamon.ActorUser, Account: mine, User: me, Roles: strings.Fields(tt.roles)}
			err := authz.CheckUser(actor, tt.action, tt.owner, tt.user)
			if tt.want == allowed && err != nil || tt.want != allowed && !fault.Is(err, tt.want) {
				t.Errorf("CheckUser(%s, %s) = %v, want %v", tt.roles, tt.action, err, tt.want)
			}
		})
	}
	for _, actor := range []telamon.Actor{
		{Kind: telamon.ActorCredential, Account: mine}, {Kind: telamon.ActorAnonymous}, {}, {Kind: telamon.ActorUser},
	} {
		if err := authz.CheckUser(actor, authz.APITokenCreate, mine, ""); !fault.Is(err, fault.Denied) {
			t.Errorf("%q without a user: %v, want denied", actor.Kind, err)
		}
	}
	if err := authz.CheckUser(telamon.Actor{Kind: telamon.ActorOperator}, authz.APITokenCreate, other, colleague); err != nil {
		t.Errorf("an operator is refused: %v", err)
	}
}

// TestAdministratorHasAll holds what lets an administrator of an account give every role but
// the staff's: no other allows anything that this one does not.
func TestAdministratorHasAll(t *testing.T) {
	for _, code := range authz.RoleCodes() {
		for _, action := range authz.Actions() {
			if reach := authz.ReachOfRole(code, action); reach > authz.ReachOfRole(authz.RoleAdministrator, action) {
				t.Errorf("%s has %s on %s, and the administrator has not", code, action, reach)
			}
		}
	}
}

// TestReachOfUsers goes through who may give which roles, and change whom.
func TestReachOfUsers(t *testing.T) {
	for _, tt := range []struct {
		own, other   string
		give, change bool
	}{
		{"AM_USER_MANAGER", "", true, true},
		{"AM_USER_MANAGER", "AM_ACCOUNT_USER SM_SIGNER SM_KEY_MANAGER", true, true},
		{"AM_USER_MANAGER", "AM_USER_MANAGER", true, true},
		{"AM_USER_MANAGER", "AM_VIEW_ONLY", false, true}, // who sees more, and manages nothing
		{"AM_USER_MANAGER", "AM_ACCOUNT_MANAGER", false, false},
		{"AM_USER_MANAGER", "SM_SIGNER AM_ACCOUNT_ADMIN", false, false},
		{"AM_USER_MANAGER AM_ACCOUNT_MANAGER", "AM_ACCOUNT_ADMIN", true, true},
		{"administrator", "administrator read_only manage_credentials AM_ACCOUNT_ADMIN SM_SIGNER", true, true},
		{"administrator", "ca_operator", false, false},
		{"administrator", "ROOT", false, false},
		{"AM_ACCOUNT_ADMIN", "read_only", false, false},
		{"AM_ACCOUNT_ADMIN", "AM_ACCOUNT_ADMIN AM_VIEW_ONLY", true, true},
		{"AM_ACCOUNT_ADMIN", "read_only", false, false},
		{"AM_ACCOUNT_ADMIN read_only", "read_only", true, true},
		{"AM_ACCOUNT_ADMIN", "ROOT", false, false},
	} {
		actor := telamon.Actor{Kind: telamon.ActorUser, Roles: strings.Fields(tt.own)}
		give, change := authz.MayGive(actor, strings.Fields(tt.other)), authz.MayChange(actor, strings.Fields(tt.other))
		if (give == nil) != tt.give || (change == nil) != tt.change {
			t.Errorf("%s to %q: give %v, change %v", tt.own, tt.other, give, change)
		}
	}
	operator := telamon.Actor{Kind: telamon.ActorOperator}
	if err := authz.MayChange(operator, []string{"AM_ACCOUNT_ADMIN", "administrator"}); err != nil {
		t.Errorf("an operator: %v", err)
	}
}
