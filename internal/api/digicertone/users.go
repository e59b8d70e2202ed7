package digicertone

import (
	"net/http"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
)

func (a *API) userRoutes() {
	a.route("GET /account/api/v1/user", factorAny, a.users)
	a.route("POST /account/api/v1/user", factorAny, a.createUser)
	a.route("GET /account/api/v1/user/{id}", factorAny, a.user)
	a.route("PUT /account/api/v1/user/{id}", factorAny, a.updateUser)
	a.route("DELETE /account/api/v1/user/{id}", factorAny, a.deleteUser)
	a.route("PUT /account/api/v1/user/{id}/enable", factorAny, a.enableUser)
}

// wireUser is a user, in the order of members that was seen (digicert-one.md, Section 6.1).
type wireUser struct {
	ID             string            `json:"id"`
	Email          string            `json:"email"`
	Status         string            `json:"status"`
	AccessScope    string            `json:"access_scope"`
	PrimaryAccount string            `json:"primary_account_id"`
	CreatedAt      string            `json:"created_at"`
	CreatedBy      *string           `json:"created_by"` // null: an operator
	Type           telamon.UserKind  `json:"user_type"`
	FriendlyName   string            `json:"friendly_name"`
	Description    string            `json:"description"`
	Locale         string            `json:"locale"`
	Applications   []wireApplication `json:"applications"`
	Accounts       []wireAccount     `json:"accounts"`

	EndDate *string `json:"end_date,omitempty"`
	*person
	APIToken string `json:"api_token,omitempty"` // of a user who was just made
}

// person is what people have beside service users (digicert-one.md, Section 6.1).
type person struct {
	FirstName string `json:"first_name"`
	LastName  string `json:"last_name"`
	Username  string `json:"username"`
}

type wireApplication struct {
	ID          string             `json:"id"`
	Name        string             `json:"name"`
	Permissions []authz.Permission `json:"permissions"`
}

// accessScope is that of users of an account (digicert-one.md, Section 6.1).
const accessScope = "account"

// applications are those that users have rights in, with the IDs and names that the
// service has for them (digicert-one.md, Section 6.1).
var applications = []struct{ code, id, name string }{
	{authz.AccountManager, "78c0355a-e1ca-4978-b60c-e9d66b9e1f30", "Account Manager"},
	{authz.SoftwareTrust, "7660bdb3-66e7-46e6-928f-dcae4d64ee91", "Software Trust"},
}

// statuses are what the wire calls the statuses of users (digicert-one.md, Section 6.1).
var statuses = map[telamon.UserStatus]string{
	telamon.UserActive: "ACTIVE", telamon.UserDisabled: "DISABLED", telamon.UserLocked: "LOCKED", telamon.UserExpired: "EXPIRED",
}

// wireUserOf returns a user, who is of the account.
func (a *API) wireUserOf(u *telamon.User, account *telamon.Account) *wireUser {
	out := &wireUser{
		ID: uuidOf(u.ID), Email: u.Email, Status: statuses[u.Status(a.clock.Now())], AccessScope: accessScope,
		PrimaryAccount: uuidOf(u.Account), CreatedAt: formatTime(u.CreatedAt), Type: u.Kind, FriendlyName: u.Name,
		Description: u.Description, Locale: u.Locale, Applications: applicationsOf(u.Roles),
		Accounts: []wireAccount{wireAccountOf(account)}, EndDate: formatEnd(u.EndsAt),
	}
	if u.CreatedBy != "" {
		by := uuidOf(u.CreatedBy)
		out.CreatedBy = &by
	}
	if u.Kind == telamon.StandardUser {
		first, last, _ := strings.Cut(u.Name, " ")
		out.person = &person{FirstName: first, LastName: last, Username: u.Email}
	}
	return out
}

// applicationsOf returns the Account Manager, in which every user may look after what is
// their own, and each other application in which the roles give a permission.
func applicationsOf(roles []string) []wireApplication {
	var list []wireApplication
	for _, app := range applications {
		var codes []string
		for _, code := range roles {
			if role, ok := authz.RoleNamed(code); ok && role.Application == app.code {
				codes = append(codes, code)
			}
		}
		permissions := append([]authz.Permission{}, authz.Permissions(codes)...) // never null
		if len(permissions) > 0 || app.code == authz.AccountManager {
			list = append(list, wireApplication{ID: app.id, Name: app.name, Permissions: permissions})
		}
	}
	return list
}

// userID returns the ID of the user in the path, which is the caller's own for "me".
func userID(c *call) (telamon.UserID, error) {
	if c.r.PathValue("id") == "me" {
		return c.actor.User, nil
	}
	return pathID(c, telamon.UserIDFromBytes)
}

// user serves GET /user/{id}. The caller's own is what clients ask for to see whether
// their credential is good: it is answered without a query.
func (a *API) user(c *call) error {
	id, err := userID(c)
	if err != nil {
		return err
	}
	me, account, err := a.iam.Me(c.r.Context(), c.actor)
	if err != nil {
		return err
	}
	if id == me.ID {
		body, err := a.me.body(me, account, func() ([]byte, error) { return encodeJSON(a.wireUserOf(me, account)) })
		if err != nil {
			return err
		}
		writeBody(c.w, http.StatusOK, body)
		return nil
	}
	u, err := a.iam.User(c.r.Context(), c.actor, c.actor.Account, id)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, a.wireUserOf(&u, account))
}

// writeUser answers with a user of the caller's account as they are now.
func (a *API) writeUser(c *call, u *telamon.User) error {
	_, account, err := a.iam.Me(c.r.Context(), c.actor)
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, a.wireUserOf(u, account))
}

// mayChange checks, before a body is looked at, that the caller may do the action to the
// user in the path, whose ID it returns.
func (a *API) mayChange(c *call, action authz.Action) (telamon.UserID, error) {
	id, err := userID(c)
	if err != nil {
		return "", err
	}
	return id, a.mayDoTo(c, action, id)
}

// mayDoTo checks that the caller may do the action to a user or for one.
func (a *API) mayDoTo(c *call, action authz.Action, user telamon.UserID) error {
	if _, err := a.iam.User(c.r.Context(), c.actor, c.actor.Account, user); err != nil {
		return err
	}
	return authz.CheckUser(c.actor, action, c.actor.Account, user)
}

// users serves GET /user: all users of the account, or those of a user_type, status,
// email, or with a friendly_name that holds a text.
func (a *API) users(c *call) error {
	if err := c.may(authz.UserRead); err != nil {
		return err
	}
	filter, err := userFilter(c)
	if err != nil {
		return err
	}
	users, err := a.iam.FindUsers(c.r.Context(), c.actor, c.actor.Account, filter)
	if err != nil {
		return err
	}
	_, account, err := a.iam.Me(c.r.Context(), c.actor)
	if err != nil {
		return err
	}
	return writeArrayOf(c, users, func(u *telamon.User) *wireUser { return a.wireUserOf(u, account) })
}

func userFilter(c *call) (f iam.UserFilter, err error) {
	query, err := c.query()
	if err != nil {
		return f, err
	}
	text := map[string]string{}
	for _, name := range []string{"user_type", "status", "friendly_name", "email"} {
		if text[name], err = parameter(query, name); err != nil {
			return f, err
		}
	}
	f = iam.UserFilter{Kind: telamon.UserKind(strings.ToLower(text["user_type"])), Name: text["friendly_name"], Email: text["email"]}
	switch f.Kind {
	case "", telamon.StandardUser, telamon.ServiceUser:
	default:
		return f, badRequest("user_type", "has to be service or standard")
	}
	if text["status"] == "" {
		return f, nil
	}
	for status, name := range statuses {
		if strings.EqualFold(name, text["status"]) {
			f.Status = status
			return f, nil
		}
	}
	return f, badRequest("status", "has to be ACTIVE, DISABLED, LOCKED or EXPIRED")
}

// deleteUser serves DELETE /user/{id}.
func (a *API) deleteUser(c *call) error {
	id, err := userID(c)
	if err != nil {
		return err
	}
	if err := a.iam.DeleteUser(c.r.Context(), c.actor, c.actor.Account, id); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// enableUser serves PUT /user/{id}/enable, which despite its name also disables. What is
// so already is answered like what was changed.
func (a *API) enableUser(c *call) error {
	id, err := a.mayChange(c, authz.UserEnable)
	if err != nil {
		return err
	}
	enabled, err := c.decodeEnabled()
	if err != nil {
		return err
	}
	ctx, do, want := c.r.Context(), a.iam.DisableUser, telamon.Disabled
	if enabled {
		do, want = a.iam.EnableUser, telamon.Active
	}
	err = do(ctx, c.actor, c.actor.Account, id)
	if err != nil && !fault.Is(err, fault.Conflict) {
		return err
	}
	u, readErr := a.iam.User(ctx, c.actor, c.actor.Account, id)
	switch {
	case readErr != nil:
		return readErr
	case u.State != want:
		return err
	}
	return a.writeUser(c, &u)
}
