// Package clients serves the pages of what users authenticate by at the API of DigiCert
// ONE: their client certificates and tokens, the service users of an account, and one's own
// details. A password, a token and a file with a private key are on one page, or fetched,
// once.
//
// It holds no rules: package iam has them.
package clients

import (
	"net/http"
	"slices"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/authz"
	"github.com/telamon-ca/telamon/internal/iam"
	"github.com/telamon-ca/telamon/internal/portal/page"
	"github.com/telamon-ca/telamon/internal/portal/ui"
)

// API says where the API of DigiCert ONE is reached, for commands that people copy: base
// addresses without a final slash, "" if there is none.
type API struct {
	Base       string // asks for no client certificate
	ClientAuth string // asks for one
}

// Pages serves the pages.
type Pages struct {
	shell *page.Shell
	iam   *iam.IAM
	api   API
}

// New returns the pages.
func New(shell *page.Shell, iam *iam.IAM, api API) *Pages {
	return &Pages{shell: shell, iam: iam, api: api}
}

// Routes adds the pages to a router.
func (p *Pages) Routes(mux page.Router) {
	p.certificateRoutes(mux)
	p.userRoutes(mux)
	p.tokenRoutes(mux)
	p.meRoutes(mux)
}

// A call is one request of somebody who has signed in.
type call struct {
	*page.Call
	*Pages
}

// person is a handler for people who have signed in.
func (p *Pages) person(h func(*call) error) http.HandlerFunc {
	return p.shell.Person(func(c *page.Call) error { return h(&call{c, p}) })
}

// mayTo reports whether the person may do something to what belongs to a user of the
// account, who may be themself.
func (c *call) mayTo(action authz.Action, owner telamon.User) bool {
	return authz.CheckUser(c.Actor, action, c.Account(), owner.ID) == nil &&
		(owner.ID == c.Actor.User || authz.MayChange(c.Actor, owner.Roles) == nil)
}

// holder returns the user whom something belongs to.
func (c *call) holder(id telamon.UserID) (telamon.User, error) {
	return c.iam.User(c.Context(), c.Actor, c.Account(), id)
}

// userPath is the page of a user, "" if the person may not go there.
func (c *call) userPath(u telamon.User) string {
	switch {
	case u.ID == c.Actor.User:
		return page.MePath
	case !c.May(authz.UserRead):
		return ""
	case u.Kind == telamon.ServiceUser:
		return page.ServiceUsersPath + "/" + u.ID.String()
	}
	return page.MembersPath
}

// userStates are the tone and the message of each status of a user.
var userStates = map[telamon.UserStatus]ui.State{
	telamon.UserActive:   {Tone: ui.Good, Word: "state.active"},
	telamon.UserDisabled: {Tone: ui.Off, Word: "state.disabled"},
	telamon.UserLocked:   {Tone: ui.Bad, Word: "service_users.locked"},
	telamon.UserExpired:  {Tone: ui.Bad, Word: "state.expired"},
	telamon.UserDeleted:  {Tone: ui.Bad, Word: "state.deleted"},
}

// userState returns a user's status in words.
func (c *call) userState(u telamon.User) ui.State {
	s := userStates[u.Status(c.Clock.Now())]
	s.Word = c.Say(s.Word)
	return s
}

// roleName returns what a role is called in the reader's language, or by its own name.
func (c *call) roleName(code string) string {
	if key := "role." + code; c.Language().Has(key) {
		return c.Say(key)
	}
	if role, ok := authz.RoleNamed(code); ok {
		return role.Name
	}
	return code
}

// An act is something that is confirmed first: on a page that names what it is done to, and
// what will happen.
type act struct {
	key    string // its messages are the key and .ask, .effect, .keeps, .button
	name   string // of what it is done to
	up     ui.Link
	path   string
	danger bool
	object []ui.Fact
}

// confirm asks once.
func (c *call) confirm(a act) error {
	title := c.Say(a.key+".ask", "name", a.name)
	return c.Show(http.StatusOK, title, page.ConfirmPage(ui.Head{Up: &a.up, Title: title}, ui.Confirmation{
		Object: a.object, Effects: []string{c.Say(a.key + ".effect")}, Keeps: c.Say(a.key + ".keeps"),
		Form: ui.Form{Action: a.path, Button: c.Say(a.key + ".button"), Danger: a.danger, Cancel: c.CancelTo(a.up.URL)},
	}))
}

// verbs are what can be done to a user, a token and a certificate.
var verbs = []string{"enable", "disable", "delete"}

// acts leads to the acts that a state allows and the person may do.
func (c *call) acts(key, path string, state telamon.State, may func(verb string) bool) []ui.Link {
	var links []ui.Link
	for _, verb := range verbs {
		if slices.Contains(verbsFrom[state], verb) && may(verb) {
			links = append(links, ui.Link{Text: c.Say(key + verb), URL: path + "/" + verb})
		}
	}
	return links
}

// verbsFrom are what can be done to something in a state.
var verbsFrom = map[telamon.State][]string{
	telamon.Active: {"disable", "delete"}, telamon.Disabled: {"enable", "delete"}, telamon.Revoked: {"delete"},
}
