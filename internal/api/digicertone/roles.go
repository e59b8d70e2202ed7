package digicertone

import (
	"slices"

	"github.com/google/uuid"

	"github.com/telamon-ca/telamon/internal/authz"
)

func (a *API) roleRoutes() {
	a.route("GET /account/api/v1/role", factorAny, a.listRoles)
}

// wireRole is a role of a user (digicert-one.md, Section 6.5).
type wireRole struct {
	ID          string             `json:"id"`
	Name        string             `json:"name"`
	Code        string             `json:"code"`
	Application string             `json:"application_code"`
	Permissions []authz.Permission `json:"permissions"`
}

// roleSpace is the name space of the UUIDs of roles, of the platform's own making.
var roleSpace = uuid.MustParse("5f5b1d4e-3a5c-4c0b-9d1e-6f0f6f0f4c8e")

// roleID returns the ID of a role, which follows from its code (RFC 9562, Section 5.5), so
// that it is the same on every installation.
func roleID(code string) [16]byte { return uuid.NewSHA1(roleSpace, []byte(code)) }

// roleOfID returns the role of an ID, and false if there is none.
func roleOfID(id [16]byte) (authz.Role, bool) {
	roles := ofDialect(authz.Roles())
	i := slices.IndexFunc(roles, func(r authz.Role) bool { return roleID(r.Code) == id })
	if i < 0 {
		return authz.Role{}, false
	}
	return roles[i], true
}

// ofDialect returns the roles without those of the portal, which DigiCert ONE has not.
func ofDialect(roles []authz.Role) []authz.Role {
	return slices.DeleteFunc(roles, func(r authz.Role) bool { return r.Application == authz.Portal })
}

// listRoles serves GET /role. Without an application it lists the roles of all.
func (a *API) listRoles(c *call) error {
	if err := c.may(authz.RoleRead); err != nil {
		return err
	}
	query, err := c.query()
	if err != nil {
		return err
	}
	application, err := parameter(query, "application_code")
	if err != nil {
		return err
	}
	roles, err := a.iam.Roles(c.r.Context(), c.actor)
	if err != nil {
		return err
	}
	list := []wireRole{}
	for _, r := range ofDialect(roles) {
		if application == "" || application == r.Application {
			list = append(list, wireRole{
				ID: formatUUID(roleID(r.Code)), Name: r.Name, Code: r.Code, Application: r.Application,
				Permissions: append([]authz.Permission{}, r.Permissions...), // never null
			})
		}
	}
	return writeArray(c, list)
}
