package digicertone

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/iam"
)

// userIn is the body of POST and PUT /user. What is absent of a PUT stays as it is
// (digicert-one.md, Section 6.2).
type userIn struct {
	Type         *string    `json:"user_type"`
	FriendlyName *string    `json:"friendly_name"`
	Description  *string    `json:"description"`
	Email        *string    `json:"email"`
	EndDate      nullable   `json:"end_date"` // null: none
	Accounts     []objectIn `json:"accounts"`
	AccountIDs   []string   `json:"account_ids"`
	Roles        []objectIn `json:"roles"`
	RoleIDs      []string   `json:"role_ids"`
}

// objectIn names an account or a role.
type objectIn struct {
	ID   string `json:"id"`
	Code string `json:"code"` // of a role, in place of its ID
}

// nullable is a text that may be null, which is not the same as absent.
type nullable struct {
	given bool
	text  *string
}

// UnmarshalJSON reads the text, or null.
func (n *nullable) UnmarshalJSON(b []byte) error {
	n.given = true
	return json.Unmarshal(b, &n.text)
}

// end returns the end that a member gives: nil if it is absent, the zero time if it is
// null. It reports Malformed, naming path, for what is no end.
func (n nullable) end(path string) (*time.Time, error) {
	switch {
	case !n.given:
		return nil, nil
	case n.text == nil:
		return &time.Time{}, nil
	}
	at, ok := field.ParseEnd(*n.text)
	if !ok {
		return nil, badRequest(path, field.EndRule)
	}
	return &at, nil
}

// createUser serves POST /user. People are not made here: they need a way to sign in.
func (a *API) createUser(c *call) error {
	if err := c.may(authz.UserCreate); err != nil {
		return err
	}
	_, account, err := a.iam.Me(c.r.Context(), c.actor)
	if err != nil {
		return err
	}
	var in userIn
	if err := c.decode(&in); err != nil {
		return err
	}
	n, err := in.newServiceUser(c.actor.Account)
	if err != nil {
		return err
	}
	u, token, err := a.iam.CreateServiceUser(c.r.Context(), c.actor, n)
	if err != nil {
		return err
	}
	out := a.wireUserOf(u, account)
	out.APIToken = token
	return writeJSON(c.w, http.StatusCreated, out)
}

// newServiceUser returns what POST asks for.
func (in *userIn) newServiceUser(account telamon.AccountID) (iam.NewServiceUser, error) {
	n := iam.NewServiceUser{
		Account: account, FriendlyName: textOf(in.FriendlyName), Description: textOf(in.Description), Email: textOf(in.Email),
	}
	if in.Type == nil || *in.Type != string(telamon.ServiceUser) {
		return n, badRequest("user_type", "has to be service")
	}
	if len(in.Accounts)+len(in.AccountIDs) == 0 {
		return n, badRequest("accounts", "has to name an account")
	}
	if err := in.checkAccounts(account); err != nil {
		return n, err
	}
	end, err := in.EndDate.end("end_date")
	if err != nil {
		return n, err
	}
	if end != nil {
		n.EndsAt = *end
	}
	n.Roles, err = in.roleCodes()
	return n, err
}

// textOf returns what a member holds, "" if it is absent or null.
func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// checkAccounts holds that a user belongs to no account but one: users have one account,
// that of who makes them. Which others there are is not told.
func (in *userIn) checkAccounts(account telamon.AccountID) error {
	ids := in.AccountIDs
	for _, one := range in.Accounts {
		ids = append(ids, one.ID)
	}
	for _, text := range ids {
		id, err := memberID("accounts", text, telamon.AccountIDFromBytes)
		if err != nil {
			return err
		}
		if id != account {
			return badRequest("accounts", "has to be your own account alone")
		}
	}
	return nil
}

// roleCodes returns the codes of the roles that a body names, nil if it names none, and
// an empty list if it says that there are none. A role is named by its ID or its code.
func (in *userIn) roleCodes() ([]string, error) {
	if in.Roles == nil && in.RoleIDs == nil {
		return nil, nil
	}
	names := in.RoleIDs
	for _, one := range in.Roles {
		if one.ID == "" {
			one.ID = one.Code
		}
		names = append(names, one.ID)
	}
	codes := []string{}
	for _, name := range names {
		id, isID := parseUUID(name)
		role, ok := authz.RoleNamed(name)
		if isID {
			role, ok = roleOfID(id)
		}
		if !ok {
			return nil, badRequest("roles", "has to name roles by their ID or code")
		}
		codes = append(codes, role.Code)
	}
	return codes, nil
}

// change returns what PUT asks for.
func (in *userIn) change(account telamon.AccountID) (change iam.UserChange, err error) {
	if err := in.checkAccounts(account); err != nil {
		return change, err
	}
	change = iam.UserChange{Name: in.FriendlyName, Description: in.Description, Email: in.Email}
	if change.EndsAt, err = in.EndDate.end("end_date"); err != nil {
		return change, err
	}
	change.Roles, err = in.roleCodes()
	return change, err
}

// updateUser serves PUT /user/{id}.
func (a *API) updateUser(c *call) error {
	id, err := a.mayChange(c, authz.UserUpdate)
	if err != nil {
		return err
	}
	var in userIn
	if err := c.decode(&in); err != nil {
		return err
	}
	change, err := in.change(c.actor.Account)
	if err != nil {
		return err
	}
	u, err := a.iam.UpdateUser(c.r.Context(), c.actor, c.actor.Account, id, change)
	if err != nil {
		return err
	}
	return a.writeUser(c, &u)
}
