package authz

import (
	"maps"
	"slices"
)

// A Permission is what DigiCert ONE calls a group of actions: what users are told of
// their rights. What they may do is the actions.
type Permission string

// The permissions of the Account Manager (spec: digicert-one.md, Section 5) and of
// Software Trust.
const (
	ManageAMAccount      Permission = "MANAGE_AM_ACCOUNT"
	ViewAMAccount        Permission = "VIEW_AM_ACCOUNT"
	ManageAMOrganization Permission = "MANAGE_AM_ORGANIZATION"
	ViewAMOrganization   Permission = "VIEW_AM_ORGANIZATION"
	ManageAMUser         Permission = "MANAGE_AM_USER"
	ViewAMUser           Permission = "VIEW_AM_USER"
	ViewAMAuditLog       Permission = "VIEW_AM_AUDIT_LOG"
	ManageSMKeypair      Permission = "MANAGE_SM_KEYPAIR"
	ViewSMKeypair        Permission = "VIEW_SM_KEYPAIR"
	SignSMHash           Permission = "SIGN_SM_HASH"
)

// permits are the actions that each permission allows on objects of the user's account.
var permits = map[Permission][]Action{
	ManageAMAccount:      {AccountRead},
	ViewAMAccount:        {AccountRead},
	ManageAMOrganization: {IdentityRead},
	ViewAMOrganization:   {IdentityRead},
	ManageAMUser: {
		UserCreate, UserRead, UserUpdate, UserDisable, UserEnable, UserDelete, UserLock, UserUnlock, UserSetRoles, RoleRead,
		APITokenCreate, APITokenRead, APITokenUpdate, APITokenDisable, APITokenEnable, APITokenDelete,
		ClientCertificateIssue, ClientCertificateRead, ClientCertificateDisable, ClientCertificateEnable,
		ClientCertificateDelete, ClientCertificateDownload,
	},
	ViewAMUser:      {UserRead, RoleRead, APITokenRead, ClientCertificateRead},
	ViewAMAuditLog:  {AuditRead},
	ManageSMKeypair: {KeyPairCreate, KeyPairRead, KeyPairDisable, KeyPairEnable, KeyPairDelete},
	ViewSMKeypair:   {KeyPairRead},
	SignSMHash:      {KeyPairRead, KeyPairSign},
}

// viewing are the permissions of the Account Manager to see alone.
var viewing = map[Permission]bool{ViewAMAccount: true, ViewAMOrganization: true, ViewAMUser: true, ViewAMAuditLog: true}

// selfService are the actions that users may do to what is their own.
var selfService = setOf(
	UserRead, APITokenCreate, APITokenRead, APITokenUpdate, APITokenDisable, APITokenEnable, APITokenDelete,
	ClientCertificateIssue, ClientCertificateRead, ClientCertificateDisable, ClientCertificateEnable,
	ClientCertificateDelete, ClientCertificateDownload,
)

func setOf(actions ...Action) map[Action]bool {
	set := make(map[Action]bool, len(actions))
	for _, a := range actions {
		set[a] = true
	}
	return set
}

// The applications that roles belong to: those of DigiCert ONE, and the portal.
const (
	AccountManager = "account_manager"
	SoftwareTrust  = "software_trust"
	Portal         = "portal"
)

// A Role is a set of permissions that users have by its name (digicert-one.md, Section 5). A user's rights are the
// union of those of their roles.
type Role struct {
	Code        string // as users have it
	Name        string // for people
	Application string
	Permissions []Permission
}

var roles = slices.Concat(digicertRoles, portalRoles)

var digicertRoles = []Role{
	{"AM_DEFAULT_USER", "Default user", AccountManager, nil},
	{"AM_ACCOUNT_USER", "Account user", AccountManager, []Permission{ViewAMAccount}},
	{"AM_VIEW_ONLY", "View only", AccountManager, []Permission{ViewAMAccount, ViewAMOrganization, ViewAMUser, ViewAMAuditLog}},
	{"AM_USER_MANAGER", "User manager", AccountManager, []Permission{ViewAMAccount, ManageAMUser, ViewAMUser, ViewAMAuditLog}},
	{"AM_ACCOUNT_MANAGER", "Account manager", AccountManager, []Permission{
		ManageAMAccount, ViewAMAccount, ManageAMOrganization, ViewAMOrganization, ViewAMUser,
	}},
	{"AM_ACCOUNT_ADMIN", "Account administrator", AccountManager, []Permission{
		ManageAMAccount, ViewAMAccount, ManageAMOrganization, ViewAMOrganization, ManageAMUser, ViewAMUser, ViewAMAuditLog,
	}},
	{"SM_SIGNER", "Signer", SoftwareTrust, []Permission{ViewSMKeypair, SignSMHash}},
	{"SM_KEY_MANAGER", "Key manager", SoftwareTrust, []Permission{ManageSMKeypair, ViewSMKeypair}},
}

// Roles returns the roles in the order in which people are shown them. The caller must
// not change what they hold.
func Roles() []Role { return slices.Clone(roles) }

// RoleNamed returns the role of a code, and false if there is none.
func RoleNamed(code string) (Role, bool) {
	i := slices.IndexFunc(roles, func(r Role) bool { return r.Code == code })
	if i < 0 {
		return Role{}, false
	}
	return roles[i], true
}

// RoleCodes returns the codes of the roles that users of any account may have, in the
// order of Roles: all but those of the CA's own staff.
func RoleCodes() []string {
	var codes []string
	for _, r := range roles {
		if !IsStaffRole(r.Code) {
			codes = append(codes, r.Code)
		}
	}
	return codes
}

// Permissions returns the union of the permissions of roles, in the order of this file's
// constants' names.
func Permissions(codes []string) []Permission {
	var all []Permission
	for _, code := range codes {
		if r, ok := RoleNamed(code); ok {
			all = append(all, r.Permissions...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// roleGrants are the actions of each role, and on whose objects.
var roleGrants = func() map[string]map[Action]Reach {
	all := maps.Clone(portalGrants)
	for _, r := range digicertRoles {
		grants := map[Action]Reach{}
		for _, p := range r.Permissions {
			for _, a := range permits[p] {
				grants[a] = Own
			}
		}
		all[r.Code] = grants
	}
	return all
}()

// reachOfRoles returns on whose objects a user of these roles may do the action.
func reachOfRoles(codes []string, action Action) Reach {
	reach := None
	for _, code := range codes {
		reach = max(reach, roleGrants[code][action])
	}
	return reach
}

// ReachOfRole returns on whose objects the role allows the action.
func ReachOfRole(code string, action Action) Reach { return reachOfRoles([]string{code}, action) }
