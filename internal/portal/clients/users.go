package clients

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/field"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

const newUserPath = page.ServiceUsersPath + "/new"

// userRoutes are the pages of service users.
func (p *Pages) userRoutes(mux page.Router) {
	const one = page.ServiceUsersPath + "/{id}"
	mux.HandleFunc("GET "+page.ServiceUsersPath, p.person((*call).users))
	mux.HandleFunc("GET "+newUserPath, p.person((*call).newUser))
	mux.HandleFunc("POST "+newUserPath, p.person((*call).createUser))
	mux.HandleFunc("GET "+one, p.person((*call).user))
	mux.HandleFunc("GET "+one+"/edit", p.person((*call).editUser))
	mux.HandleFunc("POST "+one+"/edit", p.person((*call).updateUser))
	for _, verb := range verbs {
		mux.HandleFunc("GET "+one+"/"+verb, p.person(func(c *call) error { return c.askUserAct(verb) }))
		mux.HandleFunc("POST "+one+"/"+verb, p.person(func(c *call) error { return c.actOnUser(verb) }))
	}
}

// users serves GET /service-users.
func (c *call) users() error {
	q := c.R.URL.Query()
	all, err := c.iam.FindUsers(c.Context(), c.Actor, c.Account(), iam.UserFilter{Kind: telamon.ServiceUser})
	if err != nil {
		return err
	}
	search, state, now := strings.ToLower(strings.TrimSpace(q.Get("q"))), q.Get("state"), c.Clock.Now()
	matches := slices.DeleteFunc(slices.Clone(all), func(u telamon.User) bool {
		return state != "" && string(u.Status(now)) != state ||
			search != "" && !strings.Contains(strings.ToLower(u.Name+" "+u.Email+" "+u.Description), search)
	})
	part, pager := page.PageOf(matches, q, page.ServiceUsersPath)
	create := c.ActIf(authz.UserCreate, "service_users.create", newUserPath)
	table := ui.Table{
		Label: c.Say("service_users.title"), Pager: pager,
		Empty: ui.Empty{Title: c.Say("service_users.empty"), Lead: c.Say("service_users.empty.lead"), Act: create},
		Columns: []ui.Column{
			{Name: c.Say("credential.name")}, {Name: c.Say("credential.state")}, {Name: c.Say("service_users.contact")}, {Name: c.Say("service_users.ends")},
			{Name: c.Say("mtls.created")},
		},
	}
	if len(all) > 0 {
		table.Empty = ui.Empty{Title: c.Say("list.nothing"), Lead: c.Say("list.nothing.do")}
	}
	for _, u := range part {
		table.Rows = append(table.Rows, ui.Row{URL: page.ServiceUsersPath + "/" + u.ID.String(), Cells: page.Cells(
			ui.Words(u.Name), ui.Status(c.userState(u)), ui.Words(u.Email), ui.Day(u.EndsAt), ui.Day(u.CreatedAt))})
	}
	head := ui.Head{Title: c.Say("service_users.title"), Lead: c.Say("service_users.lead"), Act: create}
	if len(all) == 0 {
		head.Act = nil
	}
	filter := ui.Filter{Action: page.ServiceUsersPath, Search: q.Get("q"), Hint: c.Say("service_users.search"), Target: "list", Fields: []ui.Field{{
		Name: "state", Label: c.Say("credential.state"), Value: state, Options: []ui.Option{
			{Text: c.Say("list.any")}, {Value: string(telamon.UserActive), Text: c.Say("state.active")},
			{Value: string(telamon.UserDisabled), Text: c.Say("state.disabled")}, {Value: string(telamon.UserExpired), Text: c.Say("state.expired")},
		},
	}}}
	return c.Show(http.StatusOK, head.Title, page.ListPage(head, filter, table, len(all) > 0))
}

// A userForm is what is asked of a service user.
type userForm struct {
	fields []ui.Field // name, contact, description, end
	roles  ui.Field
	rows   []ui.PickRow
}

// roleColumns are the columns of the table of roles.
func (c *call) roleColumns() []ui.Column {
	return []ui.Column{{Name: c.Say("service_users.role")}, {Name: c.Say("service_users.code")}}
}

// userForm are the fields of a service user with their values. Roles that the person cannot
// give are left out, unless the user has them.
func (c *call) userForm(v url.Values) (userForm, error) {
	roles, err := c.iam.Roles(c.Context(), c.Actor)
	if err != nil {
		return userForm{}, err
	}
	f := userForm{
		fields: []ui.Field{
			{Name: "friendly_name", Label: c.Say("service_users.name"), Hint: c.Say("service_users.name.hint"), Value: v.Get("friendly_name"), Require: true, Max: 255, Focus: true},
			{Name: "email", Label: c.Say("service_users.contact"), Hint: c.Say("service_users.contact.hint"), Type: "email", Value: v.Get("email"), Require: true, Max: 254},
			{Name: "description", Label: c.Say("service_users.description"), Hint: c.Say("service_users.description.hint"), Value: v.Get("description"), Max: 1000},
			{Name: "end_date", Label: c.Say("service_users.ends"), Hint: c.Say("service_users.ends.hint"), Type: "date", Narrow: true, Value: v.Get("end_date"), First: ui.Date(c.Clock.Now())},
		},
		roles: ui.Field{Name: "roles", Label: c.Say("settings.roles"), Hint: c.Say("service_users.roles.hint")},
	}
	for _, r := range roles {
		has := slices.Contains(v["roles"], r.Code)
		if authz.IsStaffRole(r.Code) || !has && authz.MayGive(c.Actor, []string{r.Code}) != nil {
			continue
		}
		f.rows = append(f.rows, ui.PickRow{Value: r.Code, Name: c.roleName(r.Code), Picked: has, Cells: page.Cells(code(r.Code))})
	}
	return f, nil
}

func (c *call) askUser(status int, head ui.Head, form ui.Form, f userForm) error {
	return c.Show(status, head.Title, ui.Header(head), userStep(form, f, c.roleColumns()))
}

func (c *call) newUserForm() (ui.Head, ui.Form) {
	head := ui.Head{Up: &ui.Link{Text: c.Say("service_users.title"), URL: page.ServiceUsersPath}, Title: c.Say("service_users.create")}
	return head, ui.Form{Action: newUserPath, Button: head.Title, Cancel: c.CancelTo(page.ServiceUsersPath)}
}

// freshFor asks for a fresh second factor if one of the roles needs a factor.
func (c *call) freshFor(roles []string) error {
	if slices.ContainsFunc(roles, authz.NeedsFactor) {
		return authz.MustBeFresh(c.Actor, c.Clock.Now())
	}
	return nil
}

// newUser serves GET /service-users/new. People can give no roles but those that they have,
// and some ask for a fresh second factor, so that is asked for first.
func (c *call) newUser() error {
	if err := authz.Check(c.Actor, authz.UserCreate, c.Account()); err != nil {
		return err
	}
	if err := c.freshFor(c.Actor.Roles); err != nil {
		return err
	}
	f, err := c.userForm(url.Values{})
	if err != nil {
		return err
	}
	head, form := c.newUserForm()
	return c.askUser(http.StatusOK, head, form, f)
}

// createUser serves POST /service-users/new. Its answer is the only page that ever has the
// user's first token.
func (c *call) createUser() error {
	v, err := c.Form()
	if err != nil {
		return err
	}
	end, ok := dayEnd(v.Get("end_date"))
	head, form := c.newUserForm()
	if !ok {
		return c.userRefused(v, head, form, errEnd)
	}
	u, token, err := c.iam.CreateServiceUser(c.Context(), c.Actor, iam.NewServiceUser{
		Account: c.Account(), FriendlyName: v.Get("friendly_name"), Description: strings.TrimSpace(v.Get("description")),
		Email: strings.TrimSpace(v.Get("email")), EndsAt: end, Roles: v["roles"],
	})
	if err != nil {
		return c.userRefused(v, head, form, err)
	}
	return c.showToken(c.Say("service_users.made", "name", u.Name), token, page.ServiceUsersPath+"/"+u.ID.String())
}

// errEnd is the fault of an end that cannot be read.
var errEnd = &fault.Fault{
	Kind: fault.Invalid, Code: "invalid_end", Detail: "The end cannot be read.", Fields: []fault.Field{{Path: "end_date", Problem: field.EndRule}},
}

// dayEnd returns the last second of a day, the zero time for "", and false for what is none.
func dayEnd(text string) (time.Time, bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}, true
	}
	if _, err := time.Parse(time.DateOnly, text); err != nil {
		return time.Time{}, false
	}
	return field.ParseEnd(text)
}

// userProblems are the messages for what can be wrong with a service user.
var userProblems = map[string]string{
	"friendly_name": "service_users.name.error", "email": "error.email", "description": "service_users.description.error", "end_date": "service_users.ends.error",
}

// userRefused shows the form again, with what is wrong.
func (c *call) userRefused(v url.Values, head ui.Head, form ui.Form, err error) error {
	f, formErr := c.userForm(v)
	if formErr != nil {
		return formErr
	}
	switch flt := fault.From(err); {
	case flt.Code == "name_taken":
		f.fields[0].Error = c.Say("error.name_taken")
	case flt.Code == "role_not_yours" || flt.Code == "own_roles":
		f.roles.Error = c.Say("service_users.roles.error")
	case page.Blame(c.R, f.fields, err, userProblems):
	case slices.ContainsFunc(flt.Fields, func(f fault.Field) bool { return f.Path == "roles" }):
		f.roles.Error = c.Say("service_users.roles.error")
	default:
		return err
	}
	return c.askUser(http.StatusUnprocessableEntity, head, form, f)
}

// thisUser returns the service user of the address.
func (c *call) thisUser() (telamon.User, error) {
	id, err := telamon.ParseUserID(c.R.PathValue("id"))
	if err != nil {
		return telamon.User{}, page.OrNotFound(err)
	}
	u, err := c.holder(id)
	if err == nil && u.Kind != telamon.ServiceUser {
		err = page.ErrNotFound
	}
	return u, err
}

// A belongings is what a user authenticates by.
type belongings struct {
	tokens, certs     ui.Table
	newToken, newCert *ui.Link // nil: not for the person to make
}

// belongings returns what a user has, and leads to more of it.
func (c *call) belongings(u telamon.User) (belongings, error) {
	var b belongings
	tokens, err := c.iam.APITokens(c.Context(), c.Actor, c.Account(), u.ID)
	if err != nil {
		return b, err
	}
	certs, err := c.iam.UserCerts(c.Context(), c.Actor, u.ID)
	if err != nil {
		return b, err
	}
	uses, err := c.iam.UserCertUses(c.Context(), c.Actor, c.Account())
	if err != nil {
		return b, err
	}
	may := func(action authz.Action) bool {
		return authz.CheckUser(c.Actor, action, c.Account(), u.ID) == nil && (u.ID == c.Actor.User || authz.MayGive(c.Actor, u.Roles) == nil)
	}
	b.tokens = c.tokenTable(tokens, u)
	b.certs = c.certTable(certs, nil, uses, c.noCertificates(false, u.ID))
	if may(authz.ClientCertificateIssue) {
		b.newCert = &ui.Link{Text: c.Say("clients.create"), URL: newFor(u.ID)}
	} else {
		b.certs.Empty.Act = nil
	}
	if may(authz.APITokenCreate) {
		b.newToken = &ui.Link{Text: c.Say("tokens.create"), URL: newTokenPath(u.ID)}
	}
	if len(certs) == 0 { // the empty list has the button
		b.newCert = nil
	}
	return b, nil
}

// user serves GET /service-users/{id}.
func (c *call) user() error {
	u, err := c.thisUser()
	if err != nil {
		return err
	}
	has, err := c.belongings(u)
	if err != nil {
		return err
	}
	state, here := c.userState(u), page.ServiceUsersPath+"/"+u.ID.String()
	head := ui.Head{Up: &ui.Link{Text: c.Say("service_users.title"), URL: page.ServiceUsersPath}, Title: u.Name, ID: u.ID.String(), State: &state, Lead: u.Description}
	head.Quiet = c.acts("service_users.", here, u.State, func(verb string) bool { return c.mayTo(userActs[verb].action, u) })
	if c.mayTo(authz.UserUpdate, u) {
		head.Quiet = append([]ui.Link{{Text: c.Say("service_users.edit"), URL: here + "/edit"}}, head.Quiet...)
	}
	var roles []string
	for _, r := range u.Roles {
		roles = append(roles, c.roleName(r))
	}
	facts := []ui.Fact{
		{Key: c.Say("service_users.contact"), Value: ui.Words(u.Email)},
		{Key: c.Say("settings.roles"), Value: words(strings.Join(roles, ", "), c.Say("mtls.none"))},
		{Key: c.Say("service_users.ends"), Value: ui.Moment(u.EndsAt)},
		{Key: c.Say("mtls.created"), Value: ui.Moment(u.CreatedAt)},
	}
	return c.Show(http.StatusOK, head.Title, userPage(head, facts, has))
}

// editForm is the form of a service user that is there.
func (c *call) editForm(u telamon.User) (ui.Head, ui.Form) {
	here := page.ServiceUsersPath + "/" + u.ID.String()
	head := ui.Head{Up: &ui.Link{Text: u.Name, URL: here}, Title: c.Say("service_users.edit.title", "name", u.Name), Lead: c.Say("service_users.edit.lead")}
	return head, ui.Form{Action: here + "/edit", Button: c.Say("service_users.save"), Cancel: c.CancelTo(here)}
}

// editUser serves GET /service-users/{id}/edit.
func (c *call) editUser() error {
	u, err := c.thisUser()
	if err != nil {
		return err
	}
	if err := authz.CheckUser(c.Actor, authz.UserUpdate, c.Account(), u.ID); err != nil {
		return err
	}
	v := url.Values{"friendly_name": {u.Name}, "email": {u.Email}, "description": {u.Description}, "roles": u.Roles}
	if !u.EndsAt.IsZero() {
		v.Set("end_date", ui.Date(u.EndsAt))
	}
	f, err := c.userForm(v)
	if err != nil {
		return err
	}
	head, form := c.editForm(u)
	return c.askUser(http.StatusOK, head, form, f)
}

// updateUser serves POST /service-users/{id}/edit. What was not changed is not sent on.
func (c *call) updateUser() error {
	u, err := c.thisUser()
	if err != nil {
		return err
	}
	v, err := c.Form()
	if err != nil {
		return err
	}
	head, form := c.editForm(u)
	end, ok := dayEnd(v.Get("end_date"))
	if !ok {
		return c.userRefused(v, head, form, errEnd)
	}
	name, email, description := v.Get("friendly_name"), strings.TrimSpace(v.Get("email")), strings.TrimSpace(v.Get("description"))
	change := iam.UserChange{Name: &name, Email: &email, Description: &description}
	if v.Get("end_date") == "" && !u.EndsAt.IsZero() || v.Get("end_date") != "" && v.Get("end_date") != ui.Date(u.EndsAt) {
		change.EndsAt = &end
	}
	before, after := slices.Sorted(slices.Values(u.Roles)), slices.Sorted(slices.Values(v["roles"]))
	if !slices.Equal(before, after) {
		change.Roles = append([]string{}, after...)
	}
	if _, err := c.iam.UpdateUser(c.Context(), c.Actor, c.Account(), u.ID, change); err != nil {
		return c.userRefused(v, head, form, err)
	}
	return c.Redirect(page.ServiceUsersPath + "/" + u.ID.String())
}

// userActs are the acts on a service user by the last part of their pages' addresses.
var userActs = map[string]struct {
	action authz.Action
	danger bool
	do     func(*call, telamon.UserID) error
}{
	"enable": {authz.UserEnable, false, func(c *call, id telamon.UserID) error {
		return c.iam.EnableUser(c.Context(), c.Actor, c.Account(), id)
	}},
	"disable": {authz.UserDisable, true, func(c *call, id telamon.UserID) error {
		return c.iam.DisableUser(c.Context(), c.Actor, c.Account(), id)
	}},
	"delete": {authz.UserDelete, true, func(c *call, id telamon.UserID) error {
		return c.iam.DeleteUser(c.Context(), c.Actor, c.Account(), id)
	}},
}

// askUserAct serves GET /service-users/{id}/{verb}: what will happen.
func (c *call) askUserAct(verb string) error {
	u, err := c.thisUser()
	if err != nil {
		return err
	}
	if err := authz.CheckUser(c.Actor, userActs[verb].action, c.Account(), u.ID); err != nil {
		return err
	}
	here := page.ServiceUsersPath + "/" + u.ID.String()
	if !slices.Contains(verbsFrom[u.State], verb) {
		return c.Redirect(here)
	}
	has, err := c.belongings(u)
	if err != nil {
		return err
	}
	return c.confirm(act{
		key: "service_users." + verb, name: u.Name, up: ui.Link{Text: u.Name, URL: here}, path: here + "/" + verb, danger: userActs[verb].danger,
		object: []ui.Fact{
			{Key: c.Say("service_users.contact"), Value: ui.Words(u.Email)},
			{Key: c.Say("tokens.title"), Value: ui.Words(c.Language().Count(int64(len(has.tokens.Rows))))},
			{Key: c.Say("clients.title"), Value: ui.Words(c.Language().Count(int64(len(has.certs.Rows))))},
		},
	})
}

// actOnUser serves POST /service-users/{id}/{verb}.
func (c *call) actOnUser(verb string) error {
	u, err := c.thisUser()
	if err != nil {
		return err
	}
	if err := userActs[verb].do(c, u.ID); err != nil {
		return err
	}
	if verb == "delete" {
		return c.Redirect(page.ServiceUsersPath)
	}
	return c.Redirect(page.ServiceUsersPath + "/" + u.ID.String())
}
