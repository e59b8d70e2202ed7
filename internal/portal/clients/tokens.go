package clients

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/fault"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// tokenRoutes are the pages of API tokens, which have no list of their own: their users'
// pages have them.
func (p *Pages) tokenRoutes(mux page.Router) {
	const one = page.TokensPath + "/{id}"
	mux.HandleFunc("GET "+page.TokensPath+"/new", p.person((*call).newToken))
	mux.HandleFunc("POST "+page.TokensPath+"/new", p.person((*call).createToken))
	mux.HandleFunc("GET "+one+"/edit", p.person((*call).editToken))
	mux.HandleFunc("POST "+one+"/edit", p.person((*call).updateToken))
	for _, verb := range verbs {
		mux.HandleFunc("GET "+one+"/"+verb, p.person(func(c *call) error { return c.askTokenAct(verb) }))
		mux.HandleFunc("POST "+one+"/"+verb, p.person(func(c *call) error { return c.actOnToken(verb) }))
	}
}

// newTokenPath is where a token of a user is made.
func newTokenPath(user telamon.UserID) string {
	return page.TokensPath + "/new?" + url.Values{"user": {user.String()}}.Encode()
}

// tokenTable lists the tokens of a user.
func (c *call) tokenTable(tokens []telamon.APIToken, owner telamon.User) ui.Table {
	t := ui.Table{
		Label: c.Say("tokens.title"), Empty: ui.Empty{Title: c.Say("tokens.empty"), Lead: c.Say("tokens.empty.lead")},
		Columns: []ui.Column{
			{Name: c.Say("credential.name")}, {Name: c.Say("credential.state")}, {Name: c.Say("tokens.begins")}, {Name: c.Say("mtls.created")}, {Name: c.Say("mtls.expires")},
		},
	}
	for _, k := range tokens {
		state := page.StateWords[k.State]
		if k.Ended(c.Clock.Now()) {
			state = ui.State{Tone: ui.Bad, Word: "state.expired"}
		}
		state.Word = c.Say(state.Word)
		here := page.TokensPath + "/" + k.ID.String()
		row := ui.Row{Cells: page.Cells(ui.Words(k.Name), ui.Status(state), code(k.Lookup[:8]+"…"), ui.Day(k.CreatedAt), ui.Day(k.EndsAt))}
		if !k.Ended(c.Clock.Now()) && c.mayTo(authz.APITokenUpdate, owner) {
			row.Acts = append(row.Acts, ui.Link{Text: c.Say("tokens.edit"), URL: here + "/edit"})
		}
		row.Acts = append(row.Acts, c.acts("tokens.", here, k.State, func(verb string) bool {
			return c.mayTo(tokenActs[verb].action, owner) && (verb == "delete" || !k.Ended(c.Clock.Now()))
		})...)
		t.Rows = append(t.Rows, row)
	}
	return t
}

// tokenFields are what is asked of a token.
func (c *call) tokenFields(name, end string) []ui.Field {
	return []ui.Field{
		{Name: "name", Label: c.Say("credential.name"), Hint: c.Say("tokens.name.hint"), Value: name, Require: true, Max: 255, Focus: true},
		{Name: "end_date", Label: c.Say("mtls.expires"), Hint: c.Say("tokens.end.hint"), Type: "date", Narrow: true, Value: end, First: ui.Date(c.Clock.Now())},
	}
}

// tokenUser returns the user that a new token is for: the person, if none is named.
func (c *call) tokenUser(id string) (telamon.User, error) {
	user := c.Actor.User
	if id != "" {
		var err error
		if user, err = telamon.ParseUserID(id); err != nil {
			return telamon.User{}, page.OrNotFound(err)
		}
	}
	if err := authz.CheckUser(c.Actor, authz.APITokenCreate, c.Account(), user); err != nil {
		return telamon.User{}, err
	}
	return c.holder(user)
}

func (c *call) tokenForm(status int, u telamon.User, fields []ui.Field) error {
	up := c.userPath(u)
	head := ui.Head{Up: &ui.Link{Text: u.Name, URL: up}, Title: c.Say("tokens.new", "name", u.Name), Lead: c.Say("tokens.new.lead")}
	form := ui.Form{
		Action: page.TokensPath + "/new", Button: c.Say("tokens.create"), Hidden: []ui.Option{{Value: "user", Text: u.ID.String()}},
		Cancel: c.CancelTo(up),
	}
	return c.Show(status, head.Title, page.FormPage(head, form, fields))
}

// newToken serves GET /tokens/new. A token that acts with some roles asks for a fresh second
// factor, so that is asked for first.
func (c *call) newToken() error {
	u, err := c.tokenUser(c.R.URL.Query().Get("user"))
	if err != nil {
		return err
	}
	if err := c.freshFor(u.Roles); err != nil {
		return err
	}
	return c.tokenForm(http.StatusOK, u, c.tokenFields("", ""))
}

// createToken serves POST /tokens/new. Its answer is the only page that ever has the token.
func (c *call) createToken() error {
	v, err := c.Form()
	if err != nil {
		return err
	}
	u, err := c.tokenUser(v.Get("user"))
	if err != nil {
		return err
	}
	end, ok := dayEnd(v.Get("end_date"))
	if !ok {
		err = errEnd
	}
	var text string
	if err == nil {
		_, text, err = c.iam.CreateAPIToken(c.Context(), c.Actor, iam.NewAPIToken{Account: c.Account(), User: u.ID, Name: v.Get("name"), EndsAt: end})
	}
	if err != nil {
		fields := c.tokenFields(v.Get("name"), v.Get("end_date"))
		if !c.tokenProblem(fields, err) {
			return err
		}
		return c.tokenForm(http.StatusUnprocessableEntity, u, fields)
	}
	return c.showToken(c.Say("tokens.made", "name", strings.TrimSpace(v.Get("name"))), text, c.userPath(u))
}

// tokenProblem puts what is wrong beside its field, and reports whether there is such.
func (c *call) tokenProblem(fields []ui.Field, err error) bool {
	switch fault.From(err).Code {
	case "name_taken":
		fields[0].Error = c.Say("error.name_taken")
		return true
	case "api_token_ended":
		fields[1].Error = c.Say("tokens.ended.error")
		return true
	}
	return page.Blame(c.R, fields, err, map[string]string{"name": "service_users.name.error", "end_date": "service_users.ends.error"})
}

// showToken shows a token, once.
func (c *call) showToken(title, text, next string) error {
	head := ui.Head{Title: title, State: &ui.State{Tone: ui.Good, Word: c.Say("state.active")}}
	curl := ""
	if c.api.Base != "" {
		curl = fmt.Sprintf("read -rs TOKEN\ncurl -H \"x-api-key: $TOKEN\" \\\n  %s/account/api/v1/user/me", c.api.Base)
	}
	return c.Show(http.StatusOK, title, tokenPage(head, text, curl, next))
}

// thisToken returns the token of the address and its user.
func (c *call) thisToken() (telamon.APIToken, telamon.User, error) {
	id, err := telamon.ParseAPITokenID(c.R.PathValue("id"))
	if err != nil {
		return telamon.APIToken{}, telamon.User{}, page.OrNotFound(err)
	}
	k, err := c.iam.APIToken(c.Context(), c.Actor, c.Account(), id)
	if err != nil {
		return k, telamon.User{}, err
	}
	u, err := c.holder(k.User)
	return k, u, err
}

func (c *call) editTokenForm(status int, k telamon.APIToken, u telamon.User, fields []ui.Field) error {
	up := c.userPath(u)
	head := ui.Head{Up: &ui.Link{Text: u.Name, URL: up}, Title: c.Say("tokens.edit.title", "name", k.Name), Lead: c.Say("tokens.edit.lead")}
	form := ui.Form{Action: page.TokensPath + "/" + k.ID.String() + "/edit", Button: c.Say("tokens.save"), Cancel: c.CancelTo(up)}
	return c.Show(status, head.Title, page.FormPage(head, form, fields))
}

// editToken serves GET /tokens/{id}/edit.
func (c *call) editToken() error {
	k, u, err := c.thisToken()
	if err != nil {
		return err
	}
	if err := authz.CheckUser(c.Actor, authz.APITokenUpdate, c.Account(), u.ID); err != nil {
		return err
	}
	if k.Ended(c.Clock.Now()) {
		return c.Redirect(c.userPath(u))
	}
	end := ""
	if !k.EndsAt.IsZero() {
		end = ui.Date(k.EndsAt)
	}
	return c.editTokenForm(http.StatusOK, k, u, c.tokenFields(k.Name, end))
}

// updateToken serves POST /tokens/{id}/edit.
func (c *call) updateToken() error {
	k, u, err := c.thisToken()
	if err != nil {
		return err
	}
	v, err := c.Form()
	if err != nil {
		return err
	}
	end, ok := dayEnd(v.Get("end_date"))
	if !ok {
		err = errEnd
	}
	if err == nil {
		name := v.Get("name")
		change := iam.APITokenChange{Name: &name}
		if k.EndsAt.IsZero() != end.IsZero() || !end.IsZero() && ui.Date(end) != ui.Date(k.EndsAt) {
			change.EndsAt = &end
		}
		_, err = c.iam.UpdateAPIToken(c.Context(), c.Actor, c.Account(), k.ID, change)
	}
	if err != nil {
		fields := c.tokenFields(v.Get("name"), v.Get("end_date"))
		if !c.tokenProblem(fields, err) {
			return err
		}
		return c.editTokenForm(http.StatusUnprocessableEntity, k, u, fields)
	}
	return c.Redirect(c.userPath(u))
}

// tokenActs are the acts on a token by the last part of their pages' addresses.
var tokenActs = map[string]struct {
	action authz.Action
	danger bool
	do     func(*call, telamon.APITokenID) error
}{
	"enable":  {authz.APITokenEnable, false, func(c *call, id telamon.APITokenID) error { return c.setTokenEnabled(id, true) }},
	"disable": {authz.APITokenDisable, true, func(c *call, id telamon.APITokenID) error { return c.setTokenEnabled(id, false) }},
	"delete": {authz.APITokenDelete, true, func(c *call, id telamon.APITokenID) error {
		return c.iam.DeleteAPIToken(c.Context(), c.Actor, c.Account(), id)
	}},
}

func (c *call) setTokenEnabled(id telamon.APITokenID, enabled bool) error {
	_, err := c.iam.UpdateAPIToken(c.Context(), c.Actor, c.Account(), id, iam.APITokenChange{Enabled: &enabled})
	return err
}

// askTokenAct serves GET /tokens/{id}/{verb}: what will happen.
func (c *call) askTokenAct(verb string) error {
	k, u, err := c.thisToken()
	if err != nil {
		return err
	}
	if err := authz.CheckUser(c.Actor, tokenActs[verb].action, c.Account(), u.ID); err != nil {
		return err
	}
	if !slices.Contains(verbsFrom[k.State], verb) {
		return c.Redirect(c.userPath(u))
	}
	return c.confirm(act{
		key: "tokens." + verb, name: k.Name, up: ui.Link{Text: u.Name, URL: c.userPath(u)}, path: page.TokensPath + "/" + k.ID.String() + "/" + verb,
		danger: tokenActs[verb].danger,
		object: []ui.Fact{
			{Key: c.Say("clients.user"), Value: ui.Words(u.Name)}, {Key: c.Say("tokens.begins"), Value: code(k.Lookup[:8] + "…")},
			{Key: c.Say("mtls.created"), Value: ui.Moment(k.CreatedAt)}, {Key: c.Say("mtls.expires"), Value: ui.Moment(k.EndsAt)},
		},
	})
}

// actOnToken serves POST /tokens/{id}/{verb}.
func (c *call) actOnToken(verb string) error {
	k, u, err := c.thisToken()
	if err != nil {
		return err
	}
	if err := tokenActs[verb].do(c, k.ID); err != nil {
		return err
	}
	return c.Redirect(c.userPath(u))
}
